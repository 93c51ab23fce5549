"""The mail relay of a test: an emulated SES (services/mail), and the mails that it received."""

import secrets
from typing import Final, Self

from testcontainers.core.network import Network

from matomo_harness.matomo.mail import Mailbox
from matomo_harness.runtime import description, images
from matomo_harness.runtime.certificates import Certificate
from matomo_harness.runtime.containers import HarnessContainer, tls_files
from matomo_harness.runtime.engine import execute
from matomo_harness.runtime.reaper import Run
from matomo_harness.runtime.shell import wait_for_answer

SUBMISSION: Final = 587
PAGE: Final = 1080
RELAY_ANSWERS: Final = (
    f"until read -r _ 2> /dev/null < /dev/tcp/127.0.0.1/{SUBMISSION}; do sleep 0.02; done"
)


class MailContainer(HarnessContainer):
    """A relay that takes mail after STARTTLS and AUTH and stores it; ready when entered.

    Args:
        network: the network in which Matomo looks for it.
        certificate: the certificate that clients see, for the name `mail`.
        run: the run that owns the container; this process's own by default.
        page_on_demand: the page starts with the first mail or the first request for it, and costs
            nothing where neither comes: its start takes 1.7 s of processor time.
    """

    port = PAGE

    def __init__(
        self,
        network: Network,
        *,
        certificate: Certificate,
        run: Run | None = None,
        page_on_demand: bool = False,
    ) -> None:
        described = description.read({}).services["mail"]
        files = tls_files(described, certificate)
        super().__init__(images.service_image("mail").reference, network, "mail", run, files=files)
        self.username = described.environment["MAIL_USERNAME"]
        # It has every character that shell, ini, PHP or exim could misread.
        self.password = secrets.token_urlsafe(12) + """ '"\\$;#{}:"""
        self.with_envs(MAIL_USERNAME=self.username, MAIL_PASSWORD=self.password)
        self._has_page = not page_on_demand
        if page_on_demand:
            self.with_env("MAIL_PAGE", "on-demand")

    def start(self) -> Self:
        """Start, and wait for the relay, and for its page unless that starts on demand.

        Raises:
            UnsupportedEnvironmentError: the container ended, or one of the two does not answer.
        """
        super().start()
        if self._has_page:  # it starts after the relay
            self._wait_for_page()
        else:
            execute(self.get_wrapped_container(), ["bash", "-c", RELAY_ANSWERS])
        return self

    @property
    def mailbox(self) -> Mailbox:
        """The mails that it received."""
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
        """The variables that make a Matomo on the same network use this relay."""
        values = {"MAIL_PASSWORD": self.password}
        variables = description.read(values).services["matomo"].variables("MATOMO_MAIL_")
        return {**variables, "MATOMO_MAIL_HOST": self.alias, "MATOMO_MAIL_USERNAME": self.username}
