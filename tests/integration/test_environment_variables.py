"""The EnvironmentVariables plugin: values of the environment hold, and stay out of the file."""

from collections.abc import Iterator

import pytest

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.matomo import ini
from matomo_harness.runtime.dedicated import DedicatedMatomo, pair
from matomo_harness.runtime.golden import Golden
from matomo_harness.runtime.shell import OWN_CONFIG as CONFIG
from matomo_harness.runtime.shell import MatomoShell

pytestmark = pytest.mark.all_versions(
    reason="the plugin reaches into Matomo's configuration classes"
)

MAIL_PASSWORD = 'ca$nary;"quoted"\\ü'
ENVIRONMENT = {
    # A list, and a key that neither global.ini.php nor the image's config.ini.php sets.
    "MATOMO_GENERAL_CORS_DOMAINS": '["https://one.example", "https://two.example"]',
    "MATOMO_MAIL_TRANSPORT": "smtp",
    "MATOMO_MAIL_PASSWORD": MAIL_PASSWORD,
    # The first is misspelt, and the second is of a section that does not exist.
    "MATOMO_GENERAL_FORSE_SSL": "0",
    "MATOMO_NOSUCHSECTION_KEY": "1",
}


@pytest.fixture(scope="module")
def injected(matomo_golden: Golden) -> Iterator[DedicatedMatomo]:
    """A dedicated Matomo with these variables, for all tests here."""
    with pair(matomo_golden, ENVIRONMENT) as started:
        yield started


@pytest.fixture
def shell(injected: DedicatedMatomo) -> MatomoShell:
    return injected.shell


@pytest.fixture(autouse=True)
def own_plugin(request: pytest.FixtureRequest, shell: MatomoShell) -> None:
    """Skip what the public plugin does not claim to do, where it takes our plugin's place."""
    is_ours = "plugins/EnvironmentVariables/Environment.php" in shell.run(
        "sh", "-c", "ls plugins/EnvironmentVariables/*"
    )
    if not is_ours and "any_plugin" not in request.keywords:
        pytest.skip("another EnvironmentVariables plugin is in the image; this is ours alone")


def effective(shell: MatomoShell, section: str, key: str, *environment: str) -> str:
    """Read one value as Matomo sees it, with further variables in its environment."""
    command = ["php", "console", "config:get", f"--section={section}", f"--key={key}"]
    return shell.run("env", *environment, *command).strip()


def complaints(shell: MatomoShell, *environment: str) -> str:
    """Run the plugin's own check, which must fail, and return what it says."""
    with pytest.raises(BrokenPromiseError) as error:
        shell.run("env", *environment, "php", "console", "environmentvariables:check")
    return error.value.seen


def test_a_list_that_is_in_no_file_holds_in_the_web_server(injected: DedicatedMatomo) -> None:
    web = injected.web
    web.session.headers["Origin"] = "https://two.example"
    answer = web.get({"module": "API", "method": "API.getMatomoVersion"})
    assert answer.headers["Access-Control-Allow-Origin"] == "https://two.example"


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ('["HTTP_A", "HTTP_B"]', '["HTTP_A","HTTP_B"]'),
        ("HTTP_A, HTTP_B", '["HTTP_A","HTTP_B"]'),
        ("HTTP_A", '["HTTP_A"]'),
        ("", "Nothing found"),
    ],
)
def test_a_list_is_json_or_words_between_commas(shell: MatomoShell, value: str, seen: str) -> None:
    variable = f"MATOMO_GENERAL_PROXY_CLIENT_HEADERS={value}"
    assert effective(shell, "General", "proxy_client_headers", variable) == seen


def test_a_key_that_holds_text_takes_a_json_list_as_text(shell: MatomoShell) -> None:
    assert effective(shell, "mail", "host", 'MATOMO_MAIL_HOST=["a"]') == '"[\\"a\\"]"'


@pytest.mark.parametrize(
    ("key", "value", "seen"),
    [
        ("force_ssl", "true", '"1"'),
        ("force_ssl", "On", '"1"'),
        ("enable_internet_features", "false", "Nothing found"),  # as it says of 0
        ("enable_auto_update", "off", "Nothing found"),
        ("instance_id", "off", '"off"'),
    ],
)
def test_a_switch_takes_the_words_that_a_file_takes(
    shell: MatomoShell, key: str, value: str, seen: str
) -> None:
    variable = f"MATOMO_GENERAL_{key.upper()}={value}"
    assert effective(shell, "General", key, variable) == seen


def test_a_camel_case_key_is_taken_as_it_is_written(shell: MatomoShell) -> None:
    variable = "MATOMO_TwoFactorAuth_twoFactorAuthName=Library"
    assert effective(shell, "TwoFactorAuth", "twoFactorAuthName", variable) == '"Library"'


def test_a_value_can_be_in_a_file(shell: MatomoShell) -> None:
    shell.write("tmp/secret", "from a file\n")
    variable = "MATOMO_MAIL_USERNAME_FILE=/var/www/html/tmp/secret"
    assert effective(shell, "mail", "username", variable) == '"from a file"'


def test_a_file_that_cannot_be_read_is_named(shell: MatomoShell) -> None:
    complaint = complaints(shell, "MATOMO_MAIL_USERNAME_FILE=/nowhere")
    assert "MATOMO_MAIL_USERNAME_FILE sets nothing: the file that it names, /nowhere" in complaint


def test_a_variable_that_sets_nothing_is_named(shell: MatomoShell) -> None:
    complaint = complaints(shell)
    assert "MATOMO_NOSUCHSECTION_KEY sets nothing" in complaint
    assert "MATOMO_GENERAL_FORSE_SSL sets [General] forse_ssl" in complaint
    assert "is force_ssl meant?" in complaint


@pytest.mark.parametrize(("port", "seen"), [("tcp://10.0.0.9:3306", '"3306"'), ("3307", '"3307"')])
def test_what_kubernetes_says_of_a_service_sets_nothing(
    shell: MatomoShell, port: str, seen: str
) -> None:
    of_a_service = [
        "MATOMO_DATABASE_SERVICE_HOST=10.0.0.9",
        "MATOMO_DATABASE_SERVICE_PORT=3306",
        "MATOMO_DATABASE_SERVICE_PORT_MYSQL=3306",
        f"MATOMO_DATABASE_PORT={port}",
        "MATOMO_DATABASE_PORT_3306_TCP=tcp://10.0.0.9:3306",
        "MATOMO_DATABASE_PORT_3306_TCP_PROTO=tcp",
        "MATOMO_DATABASE_PORT_3306_TCP_PORT=3306",
        "MATOMO_DATABASE_PORT_3306_TCP_ADDR=10.0.0.9",
    ]
    assert effective(shell, "database", "port", *of_a_service) == seen
    assert "MATOMO_DATABASE_" not in complaints(shell, *of_a_service)


def test_a_plugin_list_in_the_environment_is_named(
    shell: MatomoShell,
) -> None:
    assert "MATOMO_PLUGINS_PLUGINS sets nothing" in complaints(shell, "MATOMO_PLUGINS_PLUGINS=Live")


def test_the_log_names_a_useless_variable_once(injected: DedicatedMatomo) -> None:
    injected.web.get()
    assert injected.matomo.log.count("MATOMO_NOSUCHSECTION_KEY sets nothing") == 1


@pytest.mark.any_plugin
def test_a_password_with_special_characters_opens_the_database(
    injected: DedicatedMatomo,
) -> None:
    # Matomo came up, so the web server connected with it; here the console does.
    assert set("'\"\\$;# ") <= set(injected.mariadb.passwords.matomo)
    assert injected.shell.console("config:get", "--section=database", "--key=username")


def test_no_save_writes_the_environment_into_the_file(injected: DedicatedMatomo) -> None:
    shell = injected.shell
    saves = (
        ("config:set", "--section=General", "--key=enable_trusted_host_check", "--value=1"),
        ("plugin:deactivate", "Tour"),
        ("plugin:activate", "Tour"),
    )
    for save in saves:
        shell.console(*save)
    written = shell.read(CONFIG)
    assert 'Plugins[] = "Tour"' in written, "the plugin was saved"
    assert 'salt = ""' in written, "the file's own value of an overridden key stays"
    secrets = [injected.mariadb.passwords.matomo, injected.mariadb.passwords.matomo[:12], "nary;"]
    assert not [secret for secret in secrets if secret in written]
    entries = ini.read(written).entries
    database = {entry.key: entry.text for entry in entries if entry.section == "database"}
    assert database == {"charset": "utf8mb4"}, "the image's own, and no more"
    assert "cors_domains" not in written
