"""Every session between Matomo and its database speaks TLS, and never clear text in silence."""

import dataclasses
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.matomo import sessions
from matomo_harness.matomo.sessions import Sessions
from matomo_harness.runtime.certificates import Certificate, authority
from matomo_harness.runtime.containers import (
    DATABASE_USER,
    SMALL_DATABASE,
    MariaDBContainer,
    WebContainer,
)
from matomo_harness.runtime.full_stack import FullStack
from matomo_harness.runtime.golden import Golden

SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


@pytest.mark.all_versions(reason="Matomo opens the sessions")
@pytest.mark.slow(reason="a deployment of its own, which archives")
def test_every_session_with_the_database_speaks_tls(
    stack: FullStack, figure: Callable[[str], None]
) -> None:
    uses: dict[str, Callable[[], object]] = {
        "page": lambda: stack.instance.web.get({"module": "Login"}),
        "hit": lambda: stack.instance.web.ask("matomo.php?idsite=1&rec=1"),
        "console": lambda: stack.matomo.shell.console("environmentvariables:check"),
        "archiver": lambda: stack.archive("--skip-all-segments"),
    }
    seen = {name: sessions_during(stack, use) for name, use in uses.items()}
    assert all(counted.all for counted in seen.values()), seen
    assert not any(counted.in_clear_text for counted in seen.values()), seen
    figure(
        ", ".join(
            f"{name}: {counted.by_tls} of {counted.all} sessions by TLS"
            for name, counted in seen.items()
        )
    )


def sessions_during(stack: FullStack, use: Callable[[], object]) -> Sessions:
    root = stack.mariadb.root
    before = sessions.count(root, DATABASE_USER)
    use()
    return sessions.count(root, DATABASE_USER).since(before)


def test_the_console_reports_the_cipher_of_the_session(stack: FullStack) -> None:
    output = stack.matomo.shell.console("environmentvariables:check")
    assert re.search("The database is spoken to by TLS, TLS_[A-Z0-9_]+", output), output


@pytest.fixture
def lenient(any_golden: Golden, request: pytest.FixtureRequest) -> Iterator[FullStack]:
    """A deployment whose database server and user would accept clear text."""
    with FullStack(any_golden, environment=request.param) as started:
        root = started.mariadb.root
        root.query("SET GLOBAL require_secure_transport = OFF")
        root.query(f"ALTER USER {DATABASE_USER}@'%' REQUIRE NONE")
        yield started


@pytest.mark.parametrize("lenient", [{"MATOMO_DATABASE_ENABLE_SSL": "0"}], indirect=True)
@pytest.mark.slow(reason="a deployment of its own")
def test_a_session_in_clear_text_is_counted(lenient: FullStack) -> None:
    seen = sessions_during(lenient, lambda: lenient.instance.web.get({"module": "Login"}))
    assert seen.all
    assert seen.in_clear_text == seen.all
    output = lenient.matomo.shell.console("environmentvariables:check")
    assert "The database is spoken to in clear text" in output


@pytest.mark.parametrize("lenient", [{"MATOMO_DATABASE_SSL_CA": ""}], indirect=True)
@pytest.mark.slow(reason="a deployment of its own")
def test_without_an_authority_matomo_speaks_no_clear_text(
    lenient: FullStack,
) -> None:
    seen = sessions_during(lenient, lambda: lenient.instance.web.get({"module": "Login"}))
    assert not seen.in_clear_text
    assert "MATOMO_DATABASE_ENABLE_SSL names no authority" in lenient.matomo.log


def test_the_server_requires_tls(stack: FullStack) -> None:
    clear = dataclasses.replace(stack.mariadb.database, tls=None)
    with pytest.raises(WrongInputError, match="require_secure_transport"):
        clear.query("SELECT 1")


def test_the_database_user_requires_tls(
    stack: FullStack,
) -> None:
    root = stack.mariadb.root
    root.query("SET GLOBAL require_secure_transport = OFF")
    try:
        with pytest.raises(WrongInputError, match="Access denied"):
            dataclasses.replace(stack.mariadb.database, tls=None).query("SELECT 1")
    finally:
        root.query("SET GLOBAL require_secure_transport = ON")


@contextmanager
def task(stack: FullStack, **environment: str) -> Iterator[WebContainer]:
    with stack.task(
        {f"MATOMO_DATABASE_{key}": value for key, value in environment.items()}
    ) as matomo:
        yield matomo


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"SSL_CA": SYSTEM_AUTHORITIES}, "refused"),
        ({"SSL_CA": "/no/such/file.pem"}, "refused"),
        ({"HOST": "{address}"}, "refused"),
        ({"SSL_CA": SYSTEM_AUTHORITIES, "SSL_NO_VERIFY": "1"}, None),
        ({"ENABLE_SSL": "0"}, "refused"),
        ({"SSL_CA": ""}, "refused"),
        ({"SSL_CA": "", "ADAPTER": "MYSQLI"}, "refused"),
    ],
    ids=[
        "all right",
        "wrong authority",
        "no such file",
        "wrong host name",
        "wrong authority, not verified",
        "no TLS",
        "no authority",
        "no authority, the other driver",
    ],
)
def test_a_wrong_tls_setting_is_refused(
    stack: FullStack, environment: dict[str, str], expected: str | None
) -> None:
    address = stack.mariadb.get_docker_client().bridge_ip(stack.mariadb.get_container_id())
    environment = {key: value.format(address=address) for key, value in environment.items()}
    with task(stack, **environment) as matomo:
        reason = matomo.shell.health()
        assert (reason is not None) == (expected == "refused"), reason
        if reason:
            assert "status 500" in reason


@pytest.mark.parametrize("wrong", ["expired", "another name"])
def test_a_bad_certificate_of_the_server_is_refused(
    stack: FullStack, any_golden: Golden, wrong: str
) -> None:
    certificate = bad_certificate(wrong)
    alias = f"db-{wrong.replace(' ', '-')}"
    with ExitStack() as running:
        mariadb = MariaDBContainer(
            any_golden.database.reference,
            stack.network,
            alias=alias,
            passwords=any_golden.installed.passwords,
            arguments=SMALL_DATABASE,
            certificate=certificate,
        )
        running.enter_context(mariadb)
        matomo = running.enter_context(task(stack, HOST=alias))
        reason = matomo.shell.health()
        assert reason
        assert "status 500" in reason


def bad_certificate(wrong: str) -> Certificate:
    if wrong == "expired":
        return authority().issue("db-expired", expired=True)
    return authority().issue("somebody-else")
