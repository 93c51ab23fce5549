"""What a browser complains of while a test runs: page errors, failed requests, bad answers."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from playwright.sync_api import BrowserContext, ConsoleMessage, Request, Response, WebError

KNOWN: Final = (
    # Debian's package comes without this git submodule: Matomo's pictures of browsers and flags.
    r"^40[34] .*/plugins/Morpheus/icons/dist/",
)
LEFT: Final = "net::ERR_ABORTED"
"""The failure of a request that was under way when its page was left."""


@dataclass
class Watch:
    """Everything that one or several contexts complained of.

    Args:
        errors: what fails a test, unless it is expected.
        console: every line of the browser's console.
        answers: every answer, with its status.
    """

    errors: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)

    def attach(self, context: BrowserContext) -> None:
        """Listen to `context`."""
        context.on("weberror", self._page_error)
        context.on("console", self._console)
        context.on("response", self._response)
        context.on("requestfailed", self._failed)

    def unexpected(self, expected: Iterable[str]) -> list[str]:
        """Return the errors that match none of the patterns `expected`."""
        patterns = [re.compile(pattern) for pattern in (*KNOWN, *expected)]
        return [
            error for error in self.errors if not any(pattern.search(error) for pattern in patterns)
        ]

    @property
    def text(self) -> str:
        """All of it, for a report."""
        parts = {"Errors": self.errors, "Console": self.console, "Answers": self.answers}
        return "\n".join("\n".join((f"{title}:", *lines, "")) for title, lines in parts.items())

    def _page_error(self, error: WebError) -> None:
        self.errors.append(f"page error: {error.error}")

    def _console(self, message: ConsoleMessage) -> None:
        self.console.append(f"{message.type}: {message.text}")

    def _response(self, response: Response) -> None:
        answer = f"{response.status} {response.request.method} {response.url}"
        self.answers.append(answer)
        if response.status >= 400:
            self.errors.append(answer)

    def _failed(self, request: Request) -> None:
        if request.failure != LEFT:
            self.errors.append(f"failed {request.method} {request.url}: {request.failure}")
