"""What Matomo's own code reports about itself, on the command line and in the web server."""

import json
import re
import secrets
import threading
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.gate.core.check import CannotTellError
from matomo_harness.gate.core.once import once
from matomo_harness.gate.core.target import Http
from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.image import WITH_CONTRACT

FACTS: Final = Path(__file__).with_name("facts.php")
GRANTS: Final = FACTS.with_name("grants.php")
BOOTSTRAP: Final = "bootstrap.php"
"""Included by Matomo's index.php, which has none of its own."""
PAGES: Final = "/tmp/gate-"  # noqa: S108  in the container; the rest of the name is a secret
INSTEAD: Final = f"""<?php
$gate = $_POST['gate'] ?? '';
if (is_string($gate) && ctype_xdigit($gate) && is_file($gate = "{PAGES}$gate.php")) {{
    require $gate;
    exit;
}}
?>
"""
"""Always the same, as PHP may run what it read a moment ago (opcache.revalidate_freq)."""


class Php:
    """A target's own PHP, run in its container."""

    def __init__(self, container: MatomoContainer, http: Http) -> None:
        self._container = container
        self._http = http
        self._one_page = threading.Lock()

    @once
    def facts(self) -> dict[str, Any]:
        """What Matomo's own code reports about itself in the container (facts.php).

        Raises:
            BrokenPromiseError: Matomo cannot be started there.
        """
        return self.facts_with()

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """The effective configuration, section by section."""
        return {name: dict(keys) if keys else {} for name, keys in self.facts["settings"].items()}

    def facts_with(self, *environment: str) -> dict[str, Any]:
        """Return the facts under another environment, given as arguments of `env`.

        Raises:
            BrokenPromiseError: Matomo cannot be started with it.
        """
        host = urlsplit(self._http.url).hostname or ""
        said = self._container.run("env", *environment, "php", "-r", FACTS.read_text(), "--", host)
        return self._facts_in(said, "on the command line")

    @once
    def denied(self) -> list[str]:
        """The rights to make and change tables that the database denies Matomo's user.

        Raises:
            BrokenPromiseError: Matomo cannot be started there.
        """
        said = self._container.run("php", "-r", GRANTS.read_text())
        return list(self._answer(said, "DENIED", "on the command line"))

    def facts_over_http(self, code: str) -> dict[str, Any]:
        """Return the facts in the web server, after it has run `code`, which is PHP.

        Raises:
            BrokenPromiseError: Matomo cannot be started there.
        """
        said = self.said_in_the_web_server(f"{code} {FACTS.read_text()}")
        return self._facts_in(said, "in the web server")

    def said_in_the_web_server(self, code: str) -> str:
        """Have the web server run PHP in place of a page; return what it shows.

        A web server may serve by a list of what may be had, so no page is added: Matomo's index.php
        includes a bootstrap.php, where there is one, before it does anything else.

        Raises:
            BrokenPromiseError: the file cannot be written.
            WrongInputError: the container is shared with other instances.
        """
        word = secrets.token_hex(16)
        page = f"{PAGES}{word}.php"
        with self._one_page:
            own = self._container.run("sh", "-c", f"cat {BOOTSTRAP} 2>/dev/null || true")
            self._container.write(page, f"<?php {code}", user="root")
            self._container.write(BOOTSTRAP, f"{INSTEAD}{own}", user="root")
            try:
                return self._http.web.post_form("index.php", {"gate": word}).text
            finally:
                if own:
                    self._container.write(BOOTSTRAP, own, user="root")
                else:
                    self._container.run("rm", "-f", BOOTSTRAP, user="root")
                self._container.run("rm", "-f", page, user="root")

    def _facts_in(self, said: str, where: str) -> dict[str, Any]:
        facts: dict[str, Any] = self._answer(said, "FACTS", where)
        return facts

    def _answer(self, said: str, mark: str, where: str) -> Any:
        _, found, document = said.partition(mark)
        if not found:
            raise BrokenPromiseError(
                expected=f"Matomo to start {where}",
                seen=re.sub(r"<[^>]+>|\s+", " ", said)[:300],
                next_command=f"docker logs {self._container.name}",
            )
        return json.loads(document)


def require_program(container: MatomoContainer, name: str) -> None:
    """Require a container that only this target uses and whose image has the program `name`.

    Raises:
        CannotTellError: others share the container, or the image has no such program.
    """
    if container.instance:
        raise CannotTellError("the container is shared")
    if name in WITH_CONTRACT:
        if name not in container.profile.programs:
            raise CannotTellError(f"the image has no {name} with the reference image's contract")
    elif not container.run("sh", "-c", f"command -v {name} || true"):
        raise CannotTellError(f"the image has no {name}")


def is_writable(container: MatomoContainer, path: str) -> bool:
    """Whether the web server's user may write a file."""
    return bool(container.run("sh", "-c", f"[ ! -w {path} ] || echo yes").strip())


def require_writable_configuration(container: MatomoContainer) -> None:
    """Require a config.ini.php that Matomo saves itself.

    Raises:
        CannotTellError: it may not write the file.
    """
    if not is_writable(container, container.config):
        raise CannotTellError("Matomo may not write config.ini.php")


def in_force(php: Php, database: Database, section: str, name: str) -> int:
    """Return a setting as Matomo deletes by it (PrivacyManager::getPurgeDataSettings).

    A row of the table option wins over the file, unless the page on which people change it is
    switched off.
    """
    value = php.settings[section][name]
    if int(php.settings["General"]["enable_delete_old_data_settings_admin"] or 0):
        rows = database.query(
            "SELECT option_value AS value FROM {prefix}option WHERE option_name = %s", name
        )
        value = rows[0]["value"] if rows else value
    return int(value or 0)
