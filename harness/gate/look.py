"""One look at a target: what several checks read is fetched once, when the first of them asks."""

import json
import re
import secrets
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from harness.errors import BrokenPromiseError
from harness.gate import gui, sweep
from harness.gate.check import CannotTellError
from harness.gate.day import Day
from harness.gate.people import People
from harness.gate.target import Stands, Target
from harness.matomo import twofactor
from harness.matomo.api import Api
from harness.matomo.database import Database
from harness.matomo.web import IN_ENGLISH, Page, Parameters, Web
from harness.policy import Policy
from harness.stack.shell import MatomoShell

ABOUT_HITS: Final = frozenset({"archiving", "masking", "user_ids"})
"""Areas whose checks look at what became of hits."""
TODAY: Final[Parameters] = {"idSite": 1, "period": "day", "date": "today"}
FACTS: Final = Path(__file__).with_name("facts.php")


class Look:
    """What the checks of one gate see of a target.

    Args:
        target: what is looked at.
        areas: of the checks that look; what none of them asks for is not done.
    """

    def __init__(self, target: Target, areas: Collection[str] = ABOUT_HITS) -> None:
        self.target = target
        self._areas = areas

    # -- doors; a check that asks for one has named it ---------------------------------------------

    @property
    def policy(self) -> Policy:
        """What is promised."""
        return self.target.policy

    @property
    def web(self) -> Web:
        """A new conversation, without cookies."""
        return self.target.web

    @property
    def api(self) -> Api:
        """The API with the superuser's token."""
        return self.target.api

    @property
    def shell(self) -> MatomoShell:
        """Console and files."""
        assert self.target.shell  # noqa: S101  Door.INSIDE
        return self.target.shell

    @property
    def database(self) -> Database:
        """The schema."""
        assert self.target.database  # noqa: S101  Door.DATABASE
        return self.target.database

    @property
    def stands(self) -> Stands:
        """What is around it."""
        assert self.target.stands  # noqa: S101  Door.STANDS
        return self.target.stands

    # -- seen over HTTP ----------------------------------------------------------------------------

    @cached_property
    def login_page(self) -> requests.Response:
        """What somebody sees who comes for the first time, redirects followed."""
        return self.web.get()

    @cached_property
    def version(self) -> str:
        """Of Matomo, as its API says."""
        return str(self.api.call("API.getMatomoVersion")["value"])

    @cached_property
    def superuser(self) -> Web:
        """A conversation that is logged in with both factors.

        Raises:
            BrokenPromiseError: the login is refused.
        """
        account, web = self.target.account, self.web
        assert account  # noqa: S101  Door.LOGIN
        twofactor.sign_in(web, account)
        web.session.cookies.update(IN_ENGLISH)
        return web

    def page(self, module: str, action: str, **more: str | int) -> Page:
        """Return a page as the superuser sees it."""
        query: Parameters = {"module": module, "action": action, **more}
        return Page(self.superuser.get(query))

    def attribute(self, module: str, action: str, component: str, name: str) -> Any:
        """Return what a page hands to one of its components, decoded.

        Raises:
            BrokenPromiseError: the page has no such component.
        """
        return json.loads(self.page(module, action).attribute(component, name))

    @cached_property
    def plugins_page(self) -> dict[str, Any]:
        """Every plugin, by name, as Administration, Plugins shows it."""
        component = "CorePluginsAdmin.PluginsTable"
        found: dict[str, Any] = self.attribute(
            "CorePluginsAdmin", "plugins", component, "plugins-info"
        )
        return found

    @cached_property
    def privacy_page(self) -> Page:
        """Administration, Privacy, Anonymize data."""
        return self.page("PrivacyManager", "privacySettings")

    @cached_property
    def system_check(self) -> list[dict[str, Any]]:
        """All results of Administration, System check."""
        page, component = (
            self.page("Installation", "systemCheckPage"),
            "Installation.SystemCheckPage",
        )
        kinds = ("mandatory-results", "optional-results", "informational-results")
        return [it for kind in kinds for it in json.loads(page.attribute(component, kind))]

    @cached_property
    def browsed(self) -> gui.Seen:
        """What the superuser sees in a browser.

        Raises:
            CannotTellError: there is no browser here.
            BrokenPromiseError: the login is refused, or the page is not shown.
        """
        account = self.target.account
        assert account  # noqa: S101  Door.LOGIN
        session = self.superuser.session.cookies.get_dict()
        where = (self.target.url, account, session, self.target.authority)
        # In a thread of its own: pytest-playwright may have the browser's loop in this one.
        with ThreadPoolExecutor(1) as aside:
            return aside.submit(gui.see, *where).result()

    def said_by_php(self, code: str) -> str:
        """Have the web server run PHP, by a page that is gone afterwards; return what it shows.

        Raises:
            BrokenPromiseError: the page cannot be written.
            WrongInputError: the container is shared with other instances.
        """
        word, name = secrets.token_hex(16), f"gate-{secrets.token_hex(8)}.php"
        guard = f"if (($_POST['word'] ?? '') !== '{word}') {{ http_response_code(404); exit; }}"
        self.shell.write(name, f"<?php {guard} {code}")
        try:
            return self.web.post_form(name, {"word": word}).text
        finally:
            self.shell.run("rm", "-f", name)

    def own_program(self, name: str) -> MatomoShell:
        """Return the shell of a container that is this target's alone and has a program of ours.

        Raises:
            CannotTellError: it is shared with others, or the image has no such program.
        """
        if self.shell.instance:
            raise CannotTellError("the container is shared")
        if not self.shell.run("sh", "-c", f"command -v {name} || true"):
            raise CannotTellError(f"the image has no {name}")
        return self.shell

    # -- seen from inside --------------------------------------------------------------------------

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What Matomo's own code says of itself in the container (facts.php).

        Raises:
            BrokenPromiseError: it cannot be started there.
        """
        return self.facts_with()

    def facts_with(self, *environment: str) -> dict[str, Any]:
        """Return what it says of itself with another environment, by arguments of `env`.

        Raises:
            BrokenPromiseError: it cannot be started so.
        """
        host = urlsplit(self.target.url).hostname or ""
        said = self.shell.run("env", *environment, "php", "-r", FACTS.read_text(), "--", host)
        return self._facts_in(said, "on the command line")

    def facts_over_http(self, code: str) -> dict[str, Any]:
        """Return what it says of itself in the web server, after `code` in PHP.

        Raises:
            BrokenPromiseError: it cannot be started there.
        """
        return self._facts_in(self.said_by_php(f"{code} {FACTS.read_text()}"), "in the web server")

    def _facts_in(self, said: str, where: str) -> dict[str, Any]:
        _, found, document = said.partition("FACTS")
        if not found:
            raise BrokenPromiseError(
                expected=f"Matomo to start {where}",
                seen=re.sub(r"<[^>]+>|\s+", " ", said)[:300],
                next_command=f"docker logs {self.shell.container.name}",
            )
        facts: dict[str, Any] = json.loads(document)
        return facts

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """The effective configuration, section by section."""
        return {name: dict(it) if it else {} for name, it in self.facts["settings"].items()}

    @cached_property
    def tables(self) -> dict[str, bytes]:
        """Everything in the database, by table, once the archiver ran."""
        assert self.day.archived is not None  # noqa: S101
        found = {}
        with self.database.connection() as connection, connection.cursor() as cursor:
            for table in sorted(self.database.tables()):
                cursor.execute(f"SELECT * FROM `{self.database.prefix}{table}`")  # noqa: S608
                rows = cursor.fetchall()
                found[table] = b"\0".join(
                    sweep.unpacked(it) for row in rows for it in row.values() if it is not None
                )
        return found

    @cached_property
    def visit_tables(self) -> list[str]:
        """Names of all tables that have visits in them: a copy, or what an upgrade left, too."""
        # Where instances share a server, what is beside this one's schema is another's.
        shared = self.target.shell is not None and self.target.shell.instance
        where = "TABLE_SCHEMA = DATABASE() AND " if shared else ""
        rows = self.database.query(
            "SELECT TABLE_SCHEMA AS `schema`, TABLE_NAME AS name"  # noqa: S608  no word from outside
            f" FROM information_schema.COLUMNS WHERE {where} COLUMN_NAME = 'location_ip'"
        )
        return [f"{it['schema']}`.`{it['name']}" for it in rows]

    # -- done once, looked at often ----------------------------------------------------------------

    @cached_property
    def day(self) -> Day:
        """A day's life: hits in many ways, reports before and after archiving."""
        return Day(
            self.target,
            counted_too="archiving" in self._areas,
            canaries_too=not {"masking", "user_ids"}.isdisjoint(self._areas),
        )

    @cached_property
    def people(self) -> People:
        """Accounts of every role, made for this look."""
        return People(self.target)
