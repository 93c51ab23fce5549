"""No fresh instance sees what another does: in both directions, for each thing that one can do.

Each probe also runs on a twin, which shares what an instance otherwise has to itself (schema,
configuration, caches, uploads): there it must see the other's change, or it would prove nothing.
"""

import dataclasses
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.matomo import twofactor, versions
from matomo_harness.matomo.web import Page, Parameters
from matomo_harness.pytest_plugin import SharedServers
from matomo_harness.runtime.instance import Instance
from matomo_harness.runtime.shell import host_of

ALL_VERSIONS = pytest.mark.all_versions(reason="what an instance has to itself is Matomo's choice")

HIT: Parameters = {"idsite": 1, "rec": 1, "url": "https://discovery.example/canary"}
SETTING = ("--section=General", "--key=login_session_not_remembered_idle_timeout")


@dataclass(frozen=True)
class Probe:
    """A change, and where it would show.

    Args:
        act: makes the change in one instance.
        observe: returns what an instance shows of it.
    """

    act: Callable[[Instance], object]
    observe: Callable[[Instance], object]


def rows(statement: str) -> Callable[[Instance], object]:
    return lambda instance: instance.database.query(statement)


def add_user(instance: Instance) -> Any:
    return instance.api.call(
        "UsersManager.addUser", userLogin="bob", password="secret-bob", email="bob@matomo.example"
    )


def users(instance: Instance) -> object:
    return instance.api.call("UsersManager.getUsersLogin")


def add_token(instance: Instance) -> None:
    instance.database.query(
        "INSERT INTO {prefix}user_token_auth (login, description, password, hash_algo,"
        " system_token, date_created) VALUES ('admin', 'canary', 'x', 'sha512', 0, NOW())"
    )


def set_option(instance: Instance) -> Any:
    return instance.api.call(
        "PrivacyManager.setAnonymizeIpSettings",
        anonymizeIPEnable=1,
        useAnonymizedIpForVisitEnrichment=0,
        **versions.mask_length(3),
    )


def option(instance: Instance) -> object:
    """Return how many bytes of a new visitor's address are stored: the option at work."""
    web = instance.web
    version = 1 + secrets.randbelow(10_000)  # another browser is another visitor
    web.session.headers["User-Agent"] = f"Mozilla/5.0 (X11; Linux) Gecko/20100101 Firefox/{version}"
    web.get(HIT, path="matomo.php")
    return instance.database.query(
        "SELECT LENGTH(TRIM(TRAILING 0x00 FROM location_ip)) AS bytes FROM {prefix}log_visit"
        " ORDER BY idvisit DESC LIMIT 1"
    )


def set_setting(instance: Instance) -> str:
    return instance.shell.console("config:set", *SETTING, "--value=1234")


def setting(instance: Instance) -> object:
    return instance.shell.console("config:get", *SETTING)


def write_cache(instance: Instance) -> None:
    """Change Matomo's cached translations but not their length: they are serialized."""
    directory = f"{instance.shell.tmp}/cache/tracker"
    for name in instance.shell.run("ls", directory).split():
        text = instance.shell.read(f"{directory}/{name}") if "Translations-en" in name else ""
        if "Sign in" in text:
            instance.shell.run("rm", f"{directory}/{name}")
            instance.shell.write(f"{directory}/{name}", text.replace("Sign in", "Canary!"))


def login_page(instance: Instance) -> object:
    return "Canary!" in instance.web.get({"module": "Login"}).text


def fail_to_log_in(instance: Instance) -> None:
    """Log in wrongly once, and have it counted 32 times: from 21 on the address is blocked."""
    web = instance.web
    form = {
        "form_login": "admin",
        "form_password": "wrong-password",
        "form_nonce": Page(web.get({"module": "Login"})).form_value("form_nonce"),
    }
    assert web.post({"module": "Login"}, form).status_code == 403
    for _ in range(5):
        instance.database.query(
            "INSERT INTO {prefix}brute_force_log (ip_address, attempted_at, login)"
            " SELECT ip_address, attempted_at, login FROM {prefix}brute_force_log"
        )


def is_let_in(instance: Instance) -> object:
    return instance.web.get({"module": "Login"}).status_code


def upload(instance: Instance) -> None:
    instance.shell.run("mkdir", "-p", instance.shell.uploads)
    instance.shell.write(f"{instance.shell.uploads}/logo.png", "a picture")


def logo(instance: Instance) -> object:
    return instance.web.get(path=f"{instance.shell.uploads}/logo.png").status_code


def archive(instance: Instance) -> str:
    instance.web.get(HIT, path="matomo.php")
    return instance.shell.console("core:archive", "--force-idsites=1")


def archive_tables(instance: Instance) -> object:
    return sorted(name for name in instance.database.tables() if name.startswith("archive_numeric"))


def plugin_is_active(instance: Instance) -> object:
    return instance.api.call("API.isPluginActivated", pluginName="Tour")


PROBES = {
    "sites": Probe(
        lambda instance: instance.api.add_site(
            "Canary", "https://canary.example", "UTC", since="2026-01-01"
        ),
        lambda instance: instance.api.call("SitesManager.getAllSitesId"),
    ),
    "a row that was there": Probe(
        lambda instance: instance.api.call("SitesManager.updateSite", idSite=1, siteName="Canary"),
        lambda instance: instance.api.call("SitesManager.getSiteFromId", idSite=1)["name"],
    ),
    "hits": Probe(
        lambda instance: instance.web.get(HIT, path="matomo.php"),
        rows("SELECT idvisit FROM {prefix}log_visit"),
    ),
    "users": Probe(add_user, users),
    "tokens": Probe(add_token, rows("SELECT description FROM {prefix}user_token_auth")),
    "option rows": Probe(set_option, option),
    "plugin activation": Probe(
        lambda instance: instance.shell.console("plugin:deactivate", "Tour"), plugin_is_active
    ),
    "config.ini.php": Probe(set_setting, setting),
    "caches": Probe(write_cache, login_page),
    "brute-force counters": Probe(fail_to_log_in, is_let_in),
    "uploaded files": Probe(upload, logo),
    "archive tables": Probe(archive, archive_tables),
}
EXPECTED_ERRORS = pytest.mark.matomo_log(
    'module=Login HTTP/1.1" 500', reason="Matomo answers a blocked address with status 500"
)


ARCHIVES: Final = pytest.mark.slow(reason="archives, once for each instance")
NAMES: Final = [
    pytest.param(name, marks=ARCHIVES) if name == "archive tables" else name for name in PROBES
]


@pytest.fixture
def second(matomo_servers: SharedServers) -> Iterator[Instance]:
    servers, instance = matomo_servers.fresh()
    yield instance
    servers.drop(instance)


@pytest.fixture
def twin(fresh_matomo: Instance) -> Iterator[Instance]:
    """The same instance under another host: it has nothing of its own but the name."""
    shell = fresh_matomo.shell
    name = f"{shell.instance}-twin"
    link = f"config/{host_of(name)}.config.ini.php"
    shell.run("ln", "-s", f"{host_of(str(shell.instance))}.config.ini.php", link)
    host, twin_host = host_of(str(shell.instance)), host_of(name)
    yield dataclasses.replace(fresh_matomo, url=fresh_matomo.url.replace(host, twin_host))
    shell.run("rm", link)


def is_apart(probe: Probe, first: Instance, other: Instance) -> bool:
    """Change each in turn; return whether the other stayed as it was."""
    untouched = probe.observe(other)
    probe.act(first)
    touched = probe.observe(first)
    assert touched != untouched, "the probe shows nothing"
    if probe.observe(other) != untouched:
        return False
    probe.act(other)
    return probe.observe(first) == touched


@ALL_VERSIONS
@EXPECTED_ERRORS
@pytest.mark.parametrize("name", NAMES)
def test_an_instance_does_not_see_changes_of_another(
    name: str, fresh_matomo: Instance, second: Instance
) -> None:
    assert is_apart(PROBES[name], fresh_matomo, second)


@EXPECTED_ERRORS
@pytest.mark.parametrize("name", NAMES)
def test_a_change_is_seen_without_isolation(
    name: str, fresh_matomo: Instance, twin: Instance
) -> None:
    assert not is_apart(PROBES[name], fresh_matomo, twin)


@ALL_VERSIONS
@EXPECTED_ERRORS
@pytest.mark.parametrize("name", NAMES)
def test_a_reset_takes_the_change_back(
    name: str, fresh_matomo: Instance, matomo_servers: SharedServers
) -> None:
    probe, servers = PROBES[name], matomo_servers.servers()
    untouched = probe.observe(fresh_matomo)
    probe.act(fresh_matomo)
    touched = probe.observe(fresh_matomo)
    assert touched != untouched, "the probe shows nothing"
    servers.reset(fresh_matomo)
    assert servers.changes(fresh_matomo) == []
    assert probe.observe(fresh_matomo) == untouched
    # Numbers that the database gives out begin again as well.
    servers.reset(fresh_matomo)
    probe.act(fresh_matomo)
    assert probe.observe(fresh_matomo) == touched


@ALL_VERSIONS
@pytest.mark.slow(reason="many pages, one after the other")
def test_the_caches_that_instances_share_hold_no_state(fresh_matomo: Instance) -> None:
    shared = caches(fresh_matomo)
    assert shared, "no cache is shared"
    fresh_matomo.api.add_site("Another", "https://b.example", "UTC", since="2026-01-01")
    set_option(fresh_matomo)
    fresh_matomo.shell.run("sh", "-c", f"find {fresh_matomo.shell.tmp}/cache -type l -delete")
    twofactor.sign_in(fresh_matomo.web, fresh_matomo.account)
    fresh_matomo.web.get(HIT, path="matomo.php")
    made = caches(fresh_matomo)
    assert any("general" in name for name in made)
    assert {name: made[name] for name in made.keys() & shared.keys()} == {
        name: shared[name] for name in made.keys() & shared.keys()
    }


def caches(instance: Instance) -> dict[str, str]:
    """Return Matomo's caches by name, without the time until which they are used."""
    shell = instance.shell
    found = shell.run("sh", "-c", f"find {shell.tmp}/cache/tracker -name '*.php'").split()
    return {
        path.rpartition("/")[2]: re.sub(r"'lifetime' => \d+", "", shell.read(path))
        for path in found
    }


@ALL_VERSIONS
@pytest.mark.parametrize("path", ["core/Version.php", "matomo.js", "config/config.ini.php"])
def test_changing_the_shared_code_names_the_fixture_to_take(
    fresh_matomo: Instance, path: str
) -> None:
    with pytest.raises(WrongInputError, match="take the fixture dedicated_matomo"):
        fresh_matomo.shell.write(path, "changed")


@ALL_VERSIONS
def test_two_sessions_log_in_to_two_instances(fresh_matomo: Instance, second: Instance) -> None:
    # Account and code are the same: each instance has its own list of used codes.
    for instance in (fresh_matomo, second):
        assert twofactor.sign_in(instance.web, instance.account).component != twofactor.ASK
