"""One look at a target: what several checks read is fetched once, when the first of them asks."""

import json
import re
import secrets
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from matomo_harness.errors import BrokenPromiseError, HarnessError
from matomo_harness.gate.core.check import NEEDS, CannotTellError, Capability, Step, given
from matomo_harness.gate.core.once import declared, once, result_of
from matomo_harness.gate.core.target import Stands, Target
from matomo_harness.gate.probes import gui, sweep
from matomo_harness.gate.probes.day import Day
from matomo_harness.gate.probes.people import People
from matomo_harness.matomo import twofactor
from matomo_harness.matomo.api import Api
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.twofactor import Account
from matomo_harness.matomo.web import IN_ENGLISH, Page, Parameters, Web
from matomo_harness.policy import Policy
from matomo_harness.runtime.shell import MatomoShell
from matomo_harness.time_limit import within

TODAY: Final[Parameters] = {"idSite": 1, "period": "day", "date": "today"}
FACTS: Final = Path(__file__).with_name("facts.php")


STEP_SECONDS: Final = 600.0
"""An archiver of a throw-away copy ends within seconds, on a busy machine within minutes."""


class StepFailedError(HarnessError):
    """A step failed that a check needs.

    Args:
        step: which.
        cause: what it failed by.
    """

    def __init__(self, step: Step, cause: BaseException) -> None:
        first = cause
        while isinstance(first, StepFailedError) and first.__cause__:
            first = first.__cause__
        said = first.seen if isinstance(first, HarnessError) else f"{type(first).__name__}: {first}"
        super().__init__(
            expected=f"the step '{step}' to succeed",
            seen=said[:300],
            next_command="see the checks of what the step does",
        )


class Look:
    """What the checks of one gate see of a target.

    Args:
        target: what is looked at.
        wanted: steps of all checks that look: what is archived is sent before.
    """

    def __init__(self, target: Target, wanted: Collection[Step] = ()) -> None:
        self.target = target
        self._wanted = wanted
        self._performed: dict[Step, Future[None]] = {}
        self._guard = threading.Lock()

    # -- steps -------------------------------------------------------------------------------------

    def perform(self, step: Step) -> None:
        """Do `step` with all that it needs, once: who comes later gets the same outcome.

        Raises:
            StepFailedError: it failed, now or before, or a step that it needs did.
        """
        for needed in NEEDS.get(step, ()):
            self.perform(needed)
        with self._guard:
            outcome = self._performed.get(step)
            is_first = outcome is None
            if outcome is None:
                outcome = self._performed[step] = Future()
        if is_first:
            try:
                with within(STEP_SECONDS, f"the step '{step}'"):
                    self._do(step)
                outcome.set_result(None)
            except BaseException as error:  # noqa: BLE001  it is told to every check that needs it
                outcome.set_exception(error)
        if cause := outcome.exception():
            raise StepFailedError(step, cause) from cause

    def _do(self, step: Step) -> None:
        if step is Step.ARCHIVER_RUN:
            for before in BEFORE_THE_ARCHIVER:
                if before in self._wanted:
                    with suppress(StepFailedError):  # those who need it are told
                        self.perform(before)
        token = declared.set(frozenset(Step))
        try:
            ACTIONS[step](self)
        finally:
            declared.reset(token)

    def _require_archives(self) -> None:
        """Require that the archiver ended well and that what was sent is in a report.

        Raises:
            BrokenPromiseError: it did not, or it is not.
        """
        if code := self.day.archived:
            raise BrokenPromiseError(
                expected="the archiver to end with exit code 0",
                seen=f"exit code {code}",
                next_command="run the archiver by hand, and read what it says",
            )
        reports = [it for it in ARCHIVED_TRAFFIC if it in self._wanted]
        if not any(ARCHIVED_TRAFFIC[it](self.day) for it in reports):
            raise BrokenPromiseError(
                expected="the archiver to make reports of the hits that were sent",
                seen="exit code 0, and no visit in any report",
                next_command="run the archiver by hand, and read what it says",
            )

    # -- capabilities; a check that uses one has named it ------------------------------------------

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
    def account(self) -> Account:
        """A superuser with a second factor."""
        return given(self.target.account, Capability.LOGIN)

    @property
    def shell(self) -> MatomoShell:
        """Console and files."""
        return given(self.target.shell, Capability.CONTAINER)

    @property
    def database(self) -> Database:
        """The schema."""
        return given(self.target.database, Capability.DATABASE)

    @property
    def stands(self) -> Stands:
        """What is around it."""
        return given(self.target.stands, Capability.SERVICES)

    # -- seen over HTTP ----------------------------------------------------------------------------

    @once
    def login_page(self) -> requests.Response:
        """What somebody sees who comes for the first time, redirects followed."""
        return self.web.get()

    @once
    def version(self) -> str:
        """Of Matomo, as its API says."""
        return str(self.api.call("API.getMatomoVersion")["value"])

    @once
    def superuser(self) -> Web:
        """A conversation that is logged in with both factors.

        Raises:
            BrokenPromiseError: the login is refused.
        """
        web = self.web
        twofactor.sign_in(web, self.account)
        web.session.cookies.update(IN_ENGLISH)
        return web

    @once
    def with_password(self) -> Web:
        """A conversation of the superuser who has given name and password, and no code.

        Raises:
            BrokenPromiseError: they are refused.
        """
        web = self.web
        twofactor.log_in(web, self.account.login, self.account.password)
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

    @once
    def plugins_page(self) -> dict[str, Any]:
        """Every plugin, by name, as Administration, Plugins shows it."""
        component = "CorePluginsAdmin.PluginsTable"
        found: dict[str, Any] = self.attribute(
            "CorePluginsAdmin", "plugins", component, "plugins-info"
        )
        return found

    @once
    def privacy_page(self) -> Page:
        """Administration, Privacy, Anonymize data."""
        return self.page("PrivacyManager", "privacySettings")

    @once
    def system_check(self) -> list[dict[str, Any]]:
        """All results of Administration, System check."""
        page, component = (
            self.page("Installation", "systemCheckPage"),
            "Installation.SystemCheckPage",
        )
        kinds = ("mandatory-results", "optional-results", "informational-results")
        return [it for kind in kinds for it in json.loads(page.attribute(component, kind))]

    @once
    def browsed(self) -> gui.Seen:
        """What the superuser sees in a browser.

        Raises:
            CannotTellError: there is no browser here.
            BrokenPromiseError: the login is refused, or the page is not shown.
        """
        session = self.superuser.session.cookies.get_dict()
        where = (self.target.url, self.account, session, self.target.authority)
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

    @once
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

    @result_of(Step.ARCHIVES)
    def tables(self) -> dict[str, bytes]:
        """Everything in the database, by table, once the archiver ran."""
        found = {}
        with self.database.connection() as connection, connection.cursor() as cursor:
            for table in sorted(self.database.tables()):
                cursor.execute(f"SELECT * FROM `{self.database.prefix}{table}`")  # noqa: S608
                rows = cursor.fetchall()
                found[table] = b"\0".join(
                    sweep.unpacked(it) for row in rows for it in row.values() if it is not None
                )
        return found

    @once
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

    @once
    def day(self) -> Day:
        """A day's life: hits in many ways, reports before and after archiving."""
        return Day(self.target)

    @once
    def people(self) -> People:
        """Accounts of every role, made for this look."""
        return People(self.target, self._wanted)


BEFORE_THE_ARCHIVER: Final = (Step.TRAFFIC, Step.REFUSED_HITS, Step.COUNTED_VISITS)
ARCHIVED_TRAFFIC: Final[Mapping[Step, Callable[[Day], bool]]] = {
    Step.TRAFFIC: lambda day: day.traffic_is_reported(),
    Step.COUNTED_VISITS: lambda day: any(it["visits"] for it in day.after[""].values()),
}
"""Whether there are visits in the reports of what a step sent."""
ACTIONS: Final[Mapping[Step, Callable[[Look], object]]] = {
    Step.SITE: lambda look: look.day.sites,
    Step.TRAFFIC: lambda look: look.day.send(),
    Step.REFUSED_HITS: lambda look: look.day.refused,
    Step.COUNTED_VISITS: lambda look: (look.day.visits, look.day.before),
    Step.ARCHIVER_RUN: lambda look: look.day.archived,
    Step.ARCHIVES: Look._require_archives,
    Step.SECOND_ARCHIVER_RUN: lambda look: (look.day.after, look.day.archived_again),
    Step.MAILED_REPORT: lambda look: look.day.mailed,
    Step.ACCOUNTS: lambda look: look.people.without_factor,
    Step.ENROLLED_ACCOUNT: lambda look: look.people.enrolled,
    Step.SECOND_ENROLLED_ACCOUNT: lambda look: look.people.enrolled_after,
}
"""What the runner does for each step."""
