"""The gate only reads a running instance, and says which checks it skips."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from matomo_harness.errors import ExitCode, UnsupportedEnvironmentError, WrongInputError
from matomo_harness.gate import remote
from matomo_harness.gate.catalogue import ALL, read_policy
from matomo_harness.gate.core import runner as run
from matomo_harness.gate.core.check import Status
from matomo_harness.gate.core.runner import Result
from matomo_harness.matomo import ini, versions
from matomo_harness.matomo.api import create_token
from matomo_harness.runtime.dedicated import DedicatedMatomo
from matomo_harness.runtime.instance import Instance
from tests.checkout import Checkout

PROMISED = read_policy()
# The gate asks for pages that are not there, and for what is refused.
pytestmark = pytest.mark.matomo_log(r'" 5\d\d ', reason="the gate asks for what is refused")


def credentials(instance: Instance) -> dict[str, str]:
    account = instance.account
    return {
        "HARNESS_TOKEN": instance.token,
        "HARNESS_LOGIN": account.login,
        "HARNESS_PASSWORD": account.password,
        "HARNESS_TOTP_SECRET": account.secret,
    }


def inspect(instance: Instance, environment: dict[str, str], *, hits: bool = False) -> list[Result]:
    target = remote.target(instance.url, PROMISED, allow_hits=hits, environment=environment)
    return run.run(target, ALL)


def broken(results: list[Result]) -> list[str]:
    return [
        f"{result.check.id}: {result.seen}"
        for result in results
        if result.status in (Status.FAILED, Status.ERROR)
    ]


@pytest.mark.slow(reason="all checks that only read")
def test_a_check_without_its_capability_is_skipped_with_the_reason(fresh_matomo: Instance) -> None:
    results = inspect(fresh_matomo, {})
    assert not broken(results)
    skipped = {
        result.check.id: result.seen for result in results if result.status is Status.SKIPPED
    }
    assert "HARNESS_TOKEN" in skipped["plugins.promised_are_active"]
    assert "--allow-hits" in skipped["masking.ipv4_of_a_new_visitor"]
    assert "HARNESS_LOGIN" in skipped["masking.page_shows_the_mask"]


@pytest.mark.all_versions(reason="what the checks read is Matomo's")
@pytest.mark.slow(reason="all checks that only read")
def test_allowed_hits_go_to_one_new_site_only(fresh_matomo: Instance) -> None:
    results = inspect(fresh_matomo, credentials(fresh_matomo), hits=True)
    assert not broken(results)
    passed = {result.check.id for result in results if result.status is Status.PASSED}
    assert {"masking.ipv4_of_a_new_visitor", "user_ids.none_in_bulk"} <= passed
    sites = fresh_matomo.api.call("SitesManager.getSitesWithAtLeastViewAccess")
    assert [site["name"] for site in sites if site["idsite"] not in (1, "1")] == [
        "matomo-harness gate"
    ]
    rows = fresh_matomo.database.query("SELECT DISTINCT idsite FROM {prefix}log_visit")
    assert [row["idsite"] for row in rows] == [2]


# -- wrong input ----------------------------------------------------------------------------------


def refused(url: str, match: str, **environment: str) -> None:
    with pytest.raises(WrongInputError, match=match):
        remote.target(url, PROMISED, environment=environment)


def test_an_invalid_address_is_refused() -> None:
    refused("analytics.example", "begins with http")
    with pytest.raises(WrongInputError, match="without a user and a password") as error:
        remote.target("https://gate:s3cret@stats.example", PROMISED, environment={})
    assert "s3cret" not in str(error.value)


def test_an_address_is_taken_as_people_copy_it() -> None:
    for copied in ("", "/", "/index.php", "/index.php?module=CoreHome&idSite=1#?period=day", "/#a"):
        url = f"https://www.example/stats{copied}"
        assert remote._address(url, "") == "https://www.example/stats"


def test_a_page_that_is_no_matomo_is_refused(matomo: Instance) -> None:
    refused(f"{matomo.url}/robots.txt?", "login form of a Matomo")


def test_a_wrong_token_is_refused(fresh_matomo: Instance) -> None:
    refused(fresh_matomo.url, "HARNESS_TOKEN", HARNESS_TOKEN="0" * 32)


def test_an_expired_token_is_refused(fresh_matomo: Instance) -> None:
    token = create_token(fresh_matomo.web, fresh_matomo.account, steps=2).token
    fresh_matomo.database.query(
        "UPDATE {prefix}user_token_auth SET date_expired = NOW() - INTERVAL 1 DAY"
    )
    refused(fresh_matomo.url, "HARNESS_TOKEN", HARNESS_TOKEN=token)


def test_a_secret_of_another_account_is_refused(fresh_matomo: Instance) -> None:
    wrong = {**credentials(fresh_matomo), "HARNESS_TOTP_SECRET": "A" * 16}
    refused(fresh_matomo.url, "login, password and code", **wrong)


def test_a_secret_that_is_not_base32_is_refused(fresh_matomo: Instance) -> None:
    wrong = {**credentials(fresh_matomo), "HARNESS_TOTP_SECRET": "not base32!"}
    refused(fresh_matomo.url, "login, password and code", **wrong)


def test_a_login_without_a_password_is_refused(fresh_matomo: Instance) -> None:
    refused(fresh_matomo.url, "HARNESS_PASSWORD", HARNESS_LOGIN="admin")


def test_a_matomo_in_maintenance_is_refused(fresh_matomo: Instance) -> None:
    shell = fresh_matomo.shell
    text = ini.with_key(shell.read(shell.config), "General", "maintenance_mode", 1)
    shell.write(shell.config, text)
    refused(fresh_matomo.url, "maintenance")


def test_another_major_version_is_refused(dedicated_matomo: DedicatedMatomo) -> None:
    path = "core/Version.php"
    text = dedicated_matomo.shell.read(path)
    dedicated_matomo.shell.write(path, re.sub(r"VERSION = '\d+", "VERSION = '4", text))
    dedicated_matomo.database.query(
        "UPDATE {prefix}option SET option_value = CONCAT('4', SUBSTR(option_value, 2))"
        " WHERE option_name = 'version_core'"
    )
    refused(dedicated_matomo.url, "Matomo 4", HARNESS_TOKEN=dedicated_matomo.token)


@pytest.mark.matomo_environment(
    MATOMO_GENERAL_ENABLE_INTERNET_FEATURES="1", MATOMO_GENERAL_ENABLE_AUTO_UPDATE="1"
)
@pytest.mark.slow(reason="a deployment of its own")
def test_a_database_that_wants_an_update_is_refused(dedicated_matomo: DedicatedMatomo) -> None:
    """Matomo says so to everybody where it may update itself, and to nobody where it may not."""
    dedicated_matomo.database.query(
        "UPDATE {prefix}option SET option_value = %s WHERE option_name = 'version_core'",
        versions.OF_LONG_AGO,
    )
    refused(dedicated_matomo.url, "database is of its own version")


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_network_that_hangs_is_given_up(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PATIENCE", (1.0, 1.0))
    with pytest.raises(UnsupportedEnvironmentError, match="nothing on it for 1 s"):
        remote.target(silent, PROMISED, environment={})


@pytest.mark.slow(reason="three commands")
def test_the_command_refuses_wrong_input(checkout: Checkout) -> None:
    checkout.harness("gate", "--url", "nonsense").refuses(ExitCode.WRONG_INPUT, "http")
    checkout.harness("gate", "--url", "http://127.0.0.1:1").refuses(
        ExitCode.UNSUPPORTED_ENVIRONMENT
    )
    policy_file = checkout.root / "image/policy.toml"
    policy_file.write_text(policy_file.read_text().replace("bytes = 2", "bytes = 9"))
    answer = checkout.harness("gate", "--url", "http://127.0.0.1:1")
    answer.refuses(ExitCode.WRONG_INPUT, "[masking] bytes: input should be less than or equal")


# The command without the engine's libraries does the same (test_without_docker).
@pytest.mark.nightly(reason="all checks that only read, a second time")
@pytest.mark.slow(reason="all checks that only read")
def test_the_command_only_reads_a_running_instance(
    fresh_matomo: Instance, checkout: Checkout
) -> None:
    with pytest.MonkeyPatch.context() as environment:
        for name, value in credentials(fresh_matomo).items():
            environment.setenv(name, value)
        answer = checkout.harness("gate", "--url", fresh_matomo.url, "--json")
    assert answer.code == 0, answer.text
    document = json.loads((checkout.root / "reports/gate/gate.json").read_text())
    assert document["counts"]["fail"] == 0
    assert document["counts"]["pass"] >= 30
    assert fresh_matomo.api.call("SitesManager.getAllSitesId") == [1]
    (row,) = fresh_matomo.database.query("SELECT COUNT(*) AS visits FROM {prefix}log_visit")
    assert row["visits"] == 0
    assert fresh_matomo.token not in (checkout.root / "reports/gate/index.html").read_text()
