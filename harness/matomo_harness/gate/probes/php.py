"""What Matomo's own code reports about itself, on the command line and in the web server."""

import json
import re
import secrets
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.gate.core.check import CannotTellError
from matomo_harness.gate.core.once import once
from matomo_harness.gate.core.target import Http
from matomo_harness.matomo.container import MatomoContainer

FACTS: Final = Path(__file__).with_name("facts.php")


class Php:
    """A target's own PHP, run in its container."""

    def __init__(self, container: MatomoContainer, http: Http) -> None:
        self._container = container
        self._http = http

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

    def facts_over_http(self, code: str) -> dict[str, Any]:
        """Return the facts in the web server, after it has run `code`, which is PHP.

        Raises:
            BrokenPromiseError: Matomo cannot be started there.
        """
        said = self.said_in_the_web_server(f"{code} {FACTS.read_text()}")
        return self._facts_in(said, "in the web server")

    def said_in_the_web_server(self, code: str) -> str:
        """Have the web server run PHP in a page that is then removed; return what it shows.

        Raises:
            BrokenPromiseError: the page cannot be written.
            WrongInputError: the container is shared with other instances.
        """
        word, name = secrets.token_hex(16), f"gate-{secrets.token_hex(8)}.php"
        guard = f"if (($_POST['word'] ?? '') !== '{word}') {{ http_response_code(404); exit; }}"
        self._container.write(name, f"<?php {guard} {code}")
        try:
            return self._http.web.post_form(name, {"word": word}).text
        finally:
            self._container.run("rm", "-f", name)

    def _facts_in(self, said: str, where: str) -> dict[str, Any]:
        _, found, document = said.partition("FACTS")
        if not found:
            raise BrokenPromiseError(
                expected=f"Matomo to start {where}",
                seen=re.sub(r"<[^>]+>|\s+", " ", said)[:300],
                next_command=f"docker logs {self._container.name}",
            )
        facts: dict[str, Any] = json.loads(document)
        return facts


def require_program(container: MatomoContainer, name: str) -> None:
    """Require a container that only this target uses and whose image has the program `name`.

    Raises:
        CannotTellError: others share the container, or the image has no such program.
    """
    if container.instance:
        raise CannotTellError("the container is shared")
    if not container.run("sh", "-c", f"command -v {name} || true"):
        raise CannotTellError(f"the image has no {name}")
