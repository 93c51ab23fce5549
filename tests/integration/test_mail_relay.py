"""The mail stand: takes mail as production's relay does, and shows what it took."""

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
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

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
With 10 s the test failed once on a busy machine: the page starts meanwhile."""


class _Relay(MailContainer):
    more_ports = (SUBMISSION,)

    @contextmanager
    def client(self, authority: Path | None = None) -> Iterator[smtplib.SMTP]:
        """One that has greeted; after STARTTLS where it is told whom to trust."""
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
    with network() as place, _Relay(place, certificate=certificate) as running:
        yield running


@pytest.fixture
def recipient() -> str:
    """Nobody that another test writes to."""
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
def test_each_mechanism_lets_the_user_in_and_no_wrong_password(
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


def test_nothing_but_starttls_is_taken_in_clear_text(relay: _Relay) -> None:
    with relay.client() as client:
        assert "starttls" in client.esmtp_features
        assert "auth" not in client.esmtp_features
        refusal = (530, b"Must issue a STARTTLS command first")
        assert client.docmd("MAIL", f"FROM:<{SENDER}>") == refusal
        client.user, client.password = relay.username, relay.password
        assert client.auth("PLAIN", client.auth_plain)[0] == 503
        assert client.docmd("MAIL", f"FROM:<{SENDER}>") == refusal


def test_without_a_login_no_mail_is_taken(relay: _Relay, certificate: Certificate) -> None:
    with relay.client(certificate.authority) as client:
        assert client.docmd("MAIL", f"FROM:<{SENDER}>") == (530, b"Authentication required")
        assert client.docmd("RCPT", f"TO:<{SENDER}>")[0] == 503


def test_the_certificate_is_the_one_given(
    relay: _Relay, certificate: Certificate, tmp_path: Path
) -> None:
    with relay.client(certificate.authority) as client:
        assert isinstance(client.sock, ssl.SSLSocket)
        shown = ssl.DER_cert_to_PEM_cert(client.sock.getpeercert(binary_form=True) or b"")
    assert shown.strip() in certificate.chain.decode()

    stranger = Authority(tmp_path / "authority.pem")
    with pytest.raises(ssl.SSLCertVerificationError), relay.client(stranger.file):
        pass


def test_a_mail_that_was_taken_is_on_the_page_already(
    relay: _Relay, certificate: Certificate, recipient: str
) -> None:
    with relay.client(certificate.authority) as client:
        client.login(relay.username, relay.password)
        for number in range(12):
            client.send_message(_mail(recipient, f"Number {number}"))
            subjects = [it.subject for it in relay.mailbox.mails() if recipient in it.recipients]
            assert subjects == [f"Number {it}" for it in range(number + 1)]


def test_the_newest_of_several_is_found(
    relay: _Relay, certificate: Certificate, recipient: str
) -> None:
    for text in ("first", "second"):
        relay.send(certificate.authority, _mail(recipient, "Reset", text))
    relay.send(certificate.authority, _mail(recipient, "Another", "third"))
    relay.send(certificate.authority, _mail(f"x-{recipient}", "Reset", "fourth"))
    assert relay.mailbox.wait_for(recipient, "Reset").text.strip() == "second"


def test_waiting_in_vain_tells_what_is_there(
    relay: _Relay, certificate: Certificate, recipient: str
) -> None:
    relay.send(certificate.authority, _mail(recipient, "Something else"))
    started = time.monotonic()
    with pytest.raises(BrokenPromiseError) as error:
        relay.mailbox.wait_for(recipient, "Reset", seconds=0.5)
    assert 0.5 <= time.monotonic() - started < 3
    assert f"{recipient} with 'Reset'" in error.value.expected
    assert f"{recipient} 'Something else'" in error.value.seen
    assert relay.mailbox.url in error.value.next_command


def test_a_cleared_mailbox_is_empty(
    relay: _Relay, certificate: Certificate, recipient: str
) -> None:
    relay.send(certificate.authority, _mail(recipient, "Gone soon"))
    relay.mailbox.clear()
    assert relay.mailbox.mails() == []


def test_the_page_is_there_for_a_person(relay: _Relay) -> None:
    browser = Web(relay.mailbox.url)
    browser.session.headers["Accept"] = "text/html"  # whoever else asks is told of no page
    answer = browser.ask("")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html")
    script = str(Page(answer).document.select("script[src]")[0]["src"]).removeprefix("./")
    assert len(browser.ask(script).text) > 100_000


def test_the_log_tells_of_refusals_and_no_password(
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
    # The engine's log lags behind; once it has the last line it has all.
    attempts = Retrying(
        stop=stop_after_delay(10),
        wait=wait_fixed(0.1),
        retry=retry_if_result(lambda log: last not in log),
    )
    log = attempts(lambda: relay.log)
    for secret in (relay.password, encoded, line):
        assert secret[:20] not in log


@pytest.fixture
def without_page(certificate: Certificate) -> Iterator[_Relay]:
    """One whose page waits until somebody wants it."""
    with network() as place:
        relay = _Relay(place, certificate=certificate, page_on_demand=True)
        with relay as running:
            yield running


def _has_page(relay: _Relay) -> bool:
    return any("maildev" in " ".join(it) for it in relay.get_wrapped_container().top()["Processes"])


def test_a_page_on_demand_starts_when_it_is_looked_at(without_page: _Relay) -> None:
    assert not _has_page(without_page)
    assert without_page.mailbox.mails() == []
    assert _has_page(without_page)


def test_a_page_on_demand_has_the_mail_that_it_starts_with(
    without_page: _Relay, certificate: Certificate, recipient: str
) -> None:
    without_page.send(certificate.authority, _mail(recipient, "First of all"))
    assert _has_page(without_page)
    (mail,) = without_page.mailbox.mails()
    assert (mail.recipients, mail.subject) == ((recipient,), "First of all")


def test_a_mail_that_the_page_does_not_start_for_is_not_taken(
    without_page: _Relay, certificate: Certificate, recipient: str
) -> None:
    gone = "mv /usr/local/bin/show-page /tmp/"
    assert execute(without_page.get_wrapped_container(), ["sh", "-c", gone]).code == 0
    with pytest.raises(smtplib.SMTPRecipientsRefused, match="451"):
        without_page.send(certificate.authority, _mail(recipient, "Lost"))


@pytest.mark.parametrize("daemon", ["exim4", "node"])
@pytest.mark.slow(reason="a container of its own, to its end")
def test_the_container_ends_with_either_daemon(certificate: Certificate, daemon: str) -> None:
    with network() as place, MailContainer(place, certificate=certificate) as ending:
        container = ending.get_wrapped_container()
        script = f"kill $(grep -l '^{daemon}' /proc/[0-9]*/cmdline | cut -d/ -f3)"
        assert execute(container, ["sh", "-c", script]).code == 0
        assert container.wait(timeout=10)["StatusCode"] == 1


def test_a_stop_takes_less_than_two_seconds(certificate: Certificate) -> None:
    with network() as place, MailContainer(place, certificate=certificate) as ending:
        started = time.monotonic()
        ending.get_wrapped_container().stop(timeout=20)
        assert time.monotonic() - started < 2
