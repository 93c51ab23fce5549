"""The mail relay of a test: an SES-like stand (stands/mail), and what came to it."""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Self

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed
from testcontainers.core.network import Network

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.matomo.web import Web
from matomo_harness.runtime import images
from matomo_harness.runtime.certificates import Certificate
from matomo_harness.runtime.containers import HarnessContainer
from matomo_harness.runtime.engine import execute
from matomo_harness.runtime.reaper import Run
from matomo_harness.runtime.shell import wait_for_answer

SUBMISSION: Final = 587
PAGE: Final = 1080
CERTIFICATE_FILE: Final = "/etc/mail-stand/cert.pem"
KEY_FILE: Final = "/etc/mail-stand/key.pem"
POLL_SECONDS: Final = 0.1
RELAY_ANSWERS: Final = (
    f"until read -r _ 2> /dev/null < /dev/tcp/127.0.0.1/{SUBMISSION}; do sleep 0.02; done"
)

_LINK: Final = re.compile(r"""https?://[^\s<>"]+""")
_AFTER_A_LINK: Final = ".,;:!?)]'"


@dataclass(frozen=True)
class Mail:
    """A mail that came.

    Args:
        id: the page's own, as in its address.
        sender: address of its From.
        recipients: whom it was for, as the client said to the relay: those of Bcc too.
        subject: decoded; empty where there is none.
        text: its text part, or one made of its HTML where it has none.
        html: its HTML part, empty where there is none.
    """

    id: str
    sender: str
    recipients: tuple[str, ...]
    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)

    @property
    def links(self) -> tuple[str, ...]:
        """Every address in the text, in order."""
        return tuple(it.rstrip(_AFTER_A_LINK) for it in _LINK.findall(self.text))


@dataclass(frozen=True)
class Mailbox:
    """Every mail that the relay took, whoever it was for.

    Args:
        url: of the page that shows them, without a slash at its end.
        ready: called before the page is asked: it may have to be started.
    """

    url: str
    ready: Callable[[], object] = field(default=lambda: None, repr=False, compare=False)

    def mails(self) -> list[Mail]:
        """Return what is there, in the order in which it came.

        Raises:
            MachineCannotError: the page does not answer.
        """
        self.ready()
        answer = Web(self.url).ask("api/email")
        answer.raise_for_status()
        return [_mail(it) for it in answer.json()]

    def wait_for(self, recipient: str, subject: str, seconds: float = 20) -> Mail:
        """Return the newest mail to `recipient` with `subject` in its own, as soon as there is one.

        Args:
            recipient: the address alone.
            subject: a part of the subject will do.
            seconds: how long to wait for it.

        Raises:
            BrokenPromiseError: none came; `seen` is what did.
            MachineCannotError: the page does not answer.
        """
        attempts = Retrying(
            stop=stop_after_delay(seconds),
            wait=wait_fixed(POLL_SECONDS),
            retry=retry_if_exception_type(BrokenPromiseError),
            reraise=True,
        )
        return attempts(self._newest, recipient, subject, seconds)

    def clear(self) -> None:
        """Remove every mail that is there.

        Raises:
            MachineCannotError: the page does not answer.
        """
        there = [mail.id for mail in self.mails()]
        Web(self.url).post_json("api/email/delete", {"ids": there}).raise_for_status()

    def _newest(self, recipient: str, subject: str, seconds: float) -> Mail:
        there = self.mails()
        for mail in reversed(there):
            if recipient in mail.recipients and subject in mail.subject:
                return mail
        gist = "; ".join(f"{', '.join(it.recipients)} '{it.subject}'" for it in there)
        raise BrokenPromiseError(
            expected=f"a mail to {recipient} with '{subject}' in its subject within {seconds:g} s",
            seen=f"the {len(there)} mails that are there: {gist or 'none'}",
            next_command=f"open {self.url}",
        )


def _mail(document: dict[str, Any]) -> Mail:
    return Mail(
        id=document["id"],
        sender=document["from"][0]["address"] if document.get("from") else "",
        recipients=tuple(it["address"] for it in document["envelope"]["to"]),
        subject=document.get("subject") or "",
        text=document.get("text") or "",
        html=document.get("html") or "",
    )


class MailContainer(HarnessContainer):
    """A relay that takes mail after STARTTLS and AUTH and keeps it; ready when entered.

    Args:
        network: where Matomo will look for it.
        certificate: what clients see; for `alias`.
        alias: the name under which they will.
        run: whose container it is; this process's own by default.
        page_on_demand: the page starts with the first mail, or when it is first asked for, and
            costs nothing where neither comes: its start takes 1.7 s of a processor.
    """

    port = PAGE

    def __init__(
        self,
        network: Network,
        *,
        certificate: Certificate,
        alias: str = "mail",
        run: Run | None = None,
        page_on_demand: bool = False,
    ) -> None:
        files = {CERTIFICATE_FILE: certificate.chain, KEY_FILE: certificate.key}
        super().__init__(images.stand("mail").reference, network, alias, run, files=files)
        self.username = secrets.token_hex(8)
        # With every character that shell, ini, PHP or exim could stumble over.
        self.password = secrets.token_urlsafe(12) + """ '"\\$;#{}:"""
        self.with_envs(MAIL_USERNAME=self.username, MAIL_PASSWORD=self.password)
        self._has_page = not page_on_demand
        if page_on_demand:
            self.with_env("MAIL_PAGE", "on-demand")

    def start(self) -> Self:
        """Start, and wait until the relay takes mail, and shows it where the page is not to wait.

        Raises:
            MachineCannotError: it ended, or does neither.
        """
        super().start()
        if self._has_page:  # it starts once the relay is there
            self._wait_for_page()
        else:
            execute(self.get_wrapped_container(), ["bash", "-c", RELAY_ANSWERS])
        return self

    @property
    def mailbox(self) -> Mailbox:
        """What came to it."""
        return Mailbox(f"http://127.0.0.1:{self.published_port}", self._show_page)

    def _show_page(self) -> None:
        if not self._has_page:
            execute(self.get_wrapped_container(), ["show-page"])
            self._has_page = True
            self._wait_for_page()

    def _wait_for_page(self) -> None:
        wait_for_answer(self.get_wrapped_container(), "the mail relay", self.mailbox.mails)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead a Matomo on the same network here."""
        return {
            "MATOMO_MAIL_TRANSPORT": "smtp",
            "MATOMO_MAIL_HOST": self.alias,
            "MATOMO_MAIL_PORT": str(SUBMISSION),
            "MATOMO_MAIL_TYPE": "Plain",
            "MATOMO_MAIL_USERNAME": self.username,
            "MATOMO_MAIL_PASSWORD": self.password,
            "MATOMO_MAIL_ENCRYPTION": "tls",
        }
