"""Mails that came to a relay, as its page shows them."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.matomo.web import Web

POLL_SECONDS: Final = 0.1
_LINK: Final = re.compile(r"""https?://[^\s<>"]+""")
_AFTER_A_LINK: Final = ".,;:!?)]'"


@dataclass(frozen=True)
class MailMessage:
    """A mail that came to the relay.

    Args:
        id: the id that the page gives it, as in its address.
        sender: the address in its From.
        recipients: whom it was for, as the client named them to the relay: those of Bcc too.
        subject: decoded; empty where there is none.
        text: its text part, or one made from its HTML where it has none.
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
        """Every address in the text, in order of appearance."""
        return tuple(link.rstrip(_AFTER_A_LINK) for link in _LINK.findall(self.text))


@dataclass(frozen=True)
class Mailbox:
    """Every mail that the relay took, whomever it was for.

    Args:
        url: the page that shows them, without a slash at its end.
        ready: called before the page is asked, as it may have to be started.
    """

    url: str
    ready: Callable[[], object] = field(default=lambda: None, repr=False, compare=False)

    def mails(self) -> list[MailMessage]:
        """Return the mails in the order in which they came.

        Raises:
            UnsupportedEnvironmentError: the page does not answer.
        """
        self.ready()
        answer = Web(self.url).ask("api/email")
        answer.raise_for_status()
        return [_mail(document) for document in answer.json()]

    def wait_for(self, recipient: str, subject: str, seconds: float = 20) -> MailMessage:
        """Return the newest mail to `recipient` with `subject` in its subject, once there is one.

        Args:
            recipient: the address alone.
            subject: a part of the subject will do.
            seconds: how long to wait for the mail.

        Raises:
            BrokenPromiseError: none came; `seen` names those that did.
            UnsupportedEnvironmentError: the page does not answer.
        """
        attempts = Retrying(
            stop=stop_after_delay(seconds),
            wait=wait_fixed(POLL_SECONDS),
            retry=retry_if_exception_type(BrokenPromiseError),
            reraise=True,
        )
        return attempts(self._newest, recipient, subject, seconds)

    def clear(self) -> None:
        """Remove every mail.

        Raises:
            UnsupportedEnvironmentError: the page does not answer.
        """
        ids = [mail.id for mail in self.mails()]
        Web(self.url).post_json("api/email/delete", {"ids": ids}).raise_for_status()

    def _newest(self, recipient: str, subject: str, seconds: float) -> MailMessage:
        mails = self.mails()
        for mail in reversed(mails):
            if recipient in mail.recipients and subject in mail.subject:
                return mail
        excerpt = "; ".join(f"{', '.join(mail.recipients)} '{mail.subject}'" for mail in mails)
        raise BrokenPromiseError(
            expected=f"a mail to {recipient} with '{subject}' in its subject within {seconds:g} s",
            seen=f"the {len(mails)} mails that came: {excerpt or 'none'}",
            next_command=f"open {self.url}",
        )


def _mail(document: dict[str, Any]) -> MailMessage:
    return MailMessage(
        id=document["id"],
        sender=document["from"][0]["address"] if document.get("from") else "",
        recipients=tuple(recipient["address"] for recipient in document["envelope"]["to"]),
        subject=document.get("subject") or "",
        text=document.get("text") or "",
        html=document.get("html") or "",
    )
