"""The emulated mail relay takes mail as production's relay does, and shows what it took."""

import base64
import secrets
import smtplib
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

import pytest
from tenacity import Retrying, retry_if_result, wait_fixed

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.matomo.web import Page, Web
from matomo_harness.runtime.certificates import Authority, Certificate
from matomo_harness.runtime.containers import LOOPBACK, network
from matomo_harness.runtime.engine import execute
from matomo_harness.runtime.mail import SUBMISSION, MailContainer

SENDER = "noreply@matomo.example"
NAME = "matomo.example"
PATIENCE = 300
"""Seconds that a client waits for the answer to RCPT (RFC 5321, 4.5.3.2), as PHPMailer does.
With 10 s the test failed once on a busy machine, because the page starts meanwhile."""


class _Relay(MailContainer):
    more_ports = (SUBMISSION,)

    @contextmanager
    def client(self, authority: Path | None = None) -> Iterator[smtplib.SMTP]:
        """Yield a client that has greeted; after STARTTLS where an authority to trust is given."""
        port = self.published(SUBMISSION)
        with smtplib.SMTP(LOOPBACK, port, local_hostname=NAME, timeout=PATIENCE) as client:
            client.ehlo()
            if authority:
                client.starttls(context=ssl.create_default_context(cafile=str(authority)))
                client.ehlo()
            yield client

    def send(self, authority: Path, mail: EmailMessage) -> None:
        with self.client(authority) as client:
            client.login(self.username, self.password)
            client.send_message(mail)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    authority = Authority(tmp_path_factory.mktemp("mail") / "authority.pem")
    return authority.issue("mail", "localhost", LOOPBACK)


@pytest.fixture(scope="module")
def relay(certificate: Certificate) -> Iterator[_Relay]:
    with network() as own_network, _Relay(own_network, certificate=certificate) as running:
        yield running


@pytest.fixture
def recipient() -> str:
    """An address that no other test writes to."""
    return f"{secrets.token_hex(8)}@gmail.com"


def _mail(recipient: str, subject: str, text: str = "Hello") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = f"Matomo <{SENDER}>", recipient, subject
    mail.set_content(text)
    return mail


def test_a_mail_arrives_as_it_was_sent(
    relay: _Relay, certificate: Certificate, recipient: str
) -> None:
    mail = _mail(
        recipient,
        "Bestätige: „Zürich“ ✓",
        "Grüße! Go to https://matomo.example/index.php?module=Login&token=a%2Bb.\n"
        "Or read (http://matomo.example/faq), at https://matomo.example/index.php?a=1 again.",
    )
    mail.add_alternative("<p>Grüße als <b>HTML</b></p>", subtype="html")
    mail["Bcc"] = f"hidden-{recipient}"
    relay.send(certificate.authority, mail)

    found = relay.mailbox.wait_for(recipient, "Zürich")
    assert (found.sender, found.subject) == (SENDER, "Bestätige: „Zürich“ ✓")
    assert set(found.recipients) == {recipient, f"hidden-{recipient}"}
    assert found.text.startswith("Grüße! Go to")
    assert "<b>HTML</b>" in found.html
    assert found.links == (
        "https://matomo.example/index.php?module=Login&token=a%2Bb",
        "http://matomo.example/faq",
        "https://matomo.example/index.php?a=1",
    )


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_each_mechanism_accepts_the_password_and_no_other(
    relay: _Relay, certificate: Certificate, mechanism: str
) -> None:
    with relay.client(certificate.authority) as client:
        assert mechanism in client.esmtp_features["auth"].split()
        respond = client.auth_plain if mechanism == "PLAIN" else client.auth_login
        for user, password in [
            (relay.username, f"{relay.password}x"),
            (relay.username, ""),
            ("somebody", relay.password),
        ]:
            client.user, client.password = user, password
            with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
                client.auth(mechanism, respond)
            assert client.docmd("MAIL", f"FROM:<{SENDER}>") == (530, b"Authentication required")
        client.user, client.password = relay.username, relay.password
        assert client.auth(mechanism, respond)[0] == 235
        assert client.docmd("MAIL", f"FROM:<{SENDER}>")[0] == 250


def test_only_starttls_is_accepted_in_clear_text(relay: _Relay) -> None:
    with relay.client() as client:
        assert "starttls" in client.esmtp_features
        assert "auth" not in client.esmtp_features
        refusal = (530, b"Must issue a STARTTLS command first")
        assert client.docmd("MAIL", f"FROM:<{SENDER}>") == refusal
        client.user, client.password = relay.username, relay.password
        assert client.auth("PLAIN", client.auth_plain)[0] == 503
        assert client.docmd("MAIL", f"FROM:<{SENDER}>") == refusal


def test_no_mail_is_taken_without_a_login(relay: _Relay, certificate: Certificate) -> None:
    with relay.client(certificate.authority) as client:
        assert client.docmd("MAIL", f"FROM:<{SENDER}>") == (530, b"Authentication required")
        assert client.docmd("RCPT", f"TO:<{SENDER}>")[0] == 503


def test_the_relay_shows_the_given_certificate(
    relay: _Relay, certificate: Certificate, tmp_path: Path
) -> None:
    with relay.client(certificate.authority) as client:
        assert isinstance(client.sock, ssl.SSLSocket)
        shown = ssl.DER_cert_to_PEM_cert(client.sock.getpeercert(binary_form=True) or b"")
    assert shown.strip() in certificate.chain.decode()

    stranger = Authority(tmp_path / "authority.pem")
    with pytest.raises(ssl.SSLCertVerificationError), relay.client(stranger.file):
        pass


def test_a_mail_is_on_the_page_as_soon_as_it_is_taken(
    relay: _Relay, certificate: Certificate, recipient: str
) -> None:
    with relay.client(certificate.authority) as client:
        client.login(relay.username, relay.password)
        for number in range(12):
            client.send_message(_mail(recipient, f"Number {number}"))
            subjects = [
                mail.subject for mail in relay.mailbox.mails() if recipient in mail.recipients
            ]
            assert subjects == [f"Number {earlier}" for earlier in range(number + 1)]


def test_waiting_finds_the_newest_mail(
    relay: _Relay, certificate: Certificate, recipient: str
) -> None:
    for text in ("first", "second"):
        relay.send(certificate.authority, _mail(recipient, "Reset", text))
    relay.send(certificate.authority, _mail(recipient, "Another", "third"))
    relay.send(certificate.authority, _mail(f"x-{recipient}", "Reset", "fourth"))
    assert relay.mailbox.wait_for(recipient, "Reset").text.strip() == "second"


def test_waiting_in_vain_names_the_mails_that_arrived(
    relay: _Relay, certificate: Certificate, recipient: str
) -> None:
    relay.send(certificate.authority, _mail(recipient, "Something else"))
    started = time.monotonic()
    with pytest.raises(BrokenPromiseError) as error:
        relay.mailbox.wait_for(recipient, "Reset", seconds=0.5)
    # And no longer: tests/unit/test_mailbox.py, by a clock that no other program holds up.
    assert time.monotonic() - started >= 0.5
    assert f"{recipient} with 'Reset'" in error.value.expected
    assert f"{recipient} 'Something else'" in error.value.seen
    assert relay.mailbox.url in error.value.next_command


def test_a_cleared_mailbox_is_empty(
    relay: _Relay, certificate: Certificate, recipient: str
) -> None:
    relay.send(certificate.authority, _mail(recipient, "Gone soon"))
    relay.mailbox.clear()
    assert relay.mailbox.mails() == []


def test_a_person_can_open_the_page(relay: _Relay) -> None:
    browser = Web(relay.mailbox.url)
    browser.session.headers["Accept"] = "text/html"  # any other client is refused the page
    answer = browser.ask("")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html")
    script = str(Page(answer).document.select("script[src]")[0]["src"]).removeprefix("./")
    assert len(browser.ask(script).text) > 100_000


def test_the_log_has_refusals_and_no_password(
    relay: _Relay, certificate: Certificate, recipient: str
) -> None:
    encoded = base64.b64encode(f"\0{relay.username}\0{relay.password}".encode()).decode()
    line = base64.b64encode(relay.password.encode()).decode()
    relay.send(certificate.authority, _mail(recipient, "With the right one"))
    for authority in (None, certificate.authority):
        with relay.client(authority) as client:
            for command in (f"AUTH PLAIN {encoded}x", f"AUTH PLAI {encoded}", encoded, line) * 3:
                assert client.docmd(command)[0] >= 500
    with relay.client(certificate.authority) as client:
        client.user, client.password = f"{recipient}-last", relay.password
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.auth("LOGIN", client.auth_login)

    last = f"535 Incorrect authentication data (set_id={recipient}-last)"
    # The engine's log lags behind; once it has the last line, it has all of them.
    attempts = Retrying(wait=wait_fixed(0.1), retry=retry_if_result(lambda log: last not in log))
    log = attempts(lambda: relay.log)
    for secret in (relay.password, encoded, line):
        assert secret[:20] not in log


@pytest.fixture
def without_page(certificate: Certificate) -> Iterator[_Relay]:
    """A relay whose page starts only when somebody opens it."""
    with network() as own_network:
        relay = _Relay(own_network, certificate=certificate, page_on_demand=True)
        with relay as running:
            yield running


def _has_page(relay: _Relay) -> bool:
    return any(
        "maildev" in " ".join(process)
        for process in relay.get_wrapped_container().top()["Processes"]
    )


@pytest.mark.slow(reason="a page of mails is started")
def test_a_page_on_demand_starts_when_it_is_read(without_page: _Relay) -> None:
    assert not _has_page(without_page)
    assert without_page.mailbox.mails() == []
    assert _has_page(without_page)


@pytest.mark.slow(reason="a page of mails is started")
def test_a_page_on_demand_shows_the_mail_that_started_it(
    without_page: _Relay, certificate: Certificate, recipient: str
) -> None:
    without_page.send(certificate.authority, _mail(recipient, "First of all"))
    assert _has_page(without_page)
    (mail,) = without_page.mailbox.mails()
    assert (mail.recipients, mail.subject) == ((recipient,), "First of all")


def test_no_mail_is_taken_when_the_page_does_not_start(
    without_page: _Relay, certificate: Certificate, recipient: str
) -> None:
    gone = "mv /usr/local/bin/show-page /tmp/"
    assert execute(without_page.get_wrapped_container(), ["sh", "-c", gone]).code == 0
    with pytest.raises(smtplib.SMTPRecipientsRefused, match="451"):
        without_page.send(certificate.authority, _mail(recipient, "Lost"))


@pytest.mark.parametrize(
    "daemon",
    ["exim4", pytest.param("node", marks=pytest.mark.nightly(reason="as the other daemon"))],
)
@pytest.mark.slow(reason="a container of its own, to its end")
def test_the_container_ends_with_either_daemon(certificate: Certificate, daemon: str) -> None:
    with network() as own_network, MailContainer(own_network, certificate=certificate) as ending:
        container = ending.get_wrapped_container()
        script = f"kill $(grep -l '^{daemon}' /proc/[0-9]*/cmdline | cut -d/ -f3)"
        assert execute(container, ["sh", "-c", script]).code == 0
        assert container.wait()["StatusCode"] == 1


@pytest.mark.slow(reason="a container of its own, to its end")
def test_it_stops_at_a_signal_and_need_not_be_killed(certificate: Certificate) -> None:
    with network() as own_network, MailContainer(own_network, certificate=certificate) as ending:
        container = ending.get_wrapped_container()
        container.kill("SIGTERM")  # as a stop does at first; the kill that follows it would be 137
        assert container.wait()["StatusCode"] == 0
