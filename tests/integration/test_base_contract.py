"""What the Dockerfile relies on holds for the base at hand, official or substitute."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from docker.models.containers import Container

from matomo_harness.matomo.container import WEB_ROOT
from matomo_harness.runtime import images, reaper
from matomo_harness.runtime.containers import WebContainer, network
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.images import BASES_DIRECTORY, Image
from matomo_harness.runtime.inspection import inspected
from matomo_harness.runtime.shell import OWN_CONFIG as CONFIG

pytestmark = pytest.mark.all_versions(reason="each version has a base of its own")

SOURCE = "/usr/src/matomo"
FILES = (
    "index.php matomo.php piwik.php matomo.js piwik.js console core/Version.php "
    "config/global.ini.php config/global.php js misc lang plugins/CoreHome tmp"
)
EXTENSIONS = (
    "apcu bcmath ctype curl dom fileinfo gd iconv ldap mbstring mysqli mysqlnd openssl pdo_mysql"
    " posix redis session simplexml tokenizer xml xmlreader xmlwriter zip zlib"
)
"""What docker-library/php compiles in, and what matomo-org/docker installs on it. Debian's PHP has
more (pcntl, intl, sockets …): ours may not use these."""


@pytest.fixture(scope="module")
def running(base: Image) -> Iterator[WebContainer]:
    """The bare base, started by its own entrypoint."""
    with network() as own_network, WebContainer(base.reference, own_network, {}) as matomo:
        yield matomo


@dataclass(frozen=True)
class ContainerExit:
    """How a container ended."""

    code: int
    output: str


@pytest.fixture
def run(base: Image) -> Iterator["Runner"]:
    runner = Runner(base)
    yield runner
    for container in runner.containers:
        container.remove(force=True, v=True)


class Runner:
    """Runs the base with its own entrypoint until it ends."""

    def __init__(self, base: Image) -> None:
        self.base = base
        self.containers: list[Container] = []

    def __call__(self, script: str, *, user: int = 0, **environment: str) -> ContainerExit:
        """Run `script` as `user`, who owns the web root."""
        container = engine().containers.run(
            self.base.reference,
            ["sh", "-c", script],
            detach=True,
            user=f"{user}:{user}",
            environment=environment,
            network_mode="none",
            tmpfs={WEB_ROOT: f"exec,uid={user},gid={user}"},
            labels=reaper.this_process().labels,
        )
        self.containers.append(container)
        code = container.wait(timeout=60)["StatusCode"]
        return ContainerExit(code, container.logs().decode(errors="replace"))


def test_the_code_lies_flat_in_usr_src_matomo(base: Image) -> None:
    images.run_once(base.reference, ["sh", "-c", f"cd {SOURCE} && ls -d {FILES}"])


def test_no_configuration_is_baked_in(base: Image) -> None:
    assert (
        "config.ini.php" not in images.run_once(base.reference, ["ls", f"{SOURCE}/config"]).split()
    )


def test_the_image_says_how_to_run_it(base: Image) -> None:
    config = inspected(engine().images.get(base.id), "Config")
    assert config["Entrypoint"] == ["/entrypoint.sh"]
    assert config["Cmd"] == ["apache2-foreground"]
    assert config["WorkingDir"] == "/var/www/html"
    assert config["StopSignal"] == "SIGWINCH"  # Apache's word for a graceful stop
    assert not config.get("User"), "root starts it, and Apache's own user is in its environment"
    assert "80/tcp" in config["ExposedPorts"]
    assert "/var/www/html" in config["Volumes"]


def test_the_web_server_has_debians_number(base: Image) -> None:
    # 33 on Debian; an image on Alpine has 82, and no Apache (docker-library/php).
    assert images.run_once(base.reference, ["sh", "-c", "id -u www-data"]).strip() == "33"


def test_any_user_may_write_the_empty_web_root(base: Image) -> None:
    owner = images.run_once(base.reference, ["stat", "-c", "%U:%G %a", "/var/www/html"])
    assert owner.strip() == "www-data:www-data 1777"


PROGRAMS = "a2enmod a2enconf apache2 apache2-foreground php setpriv setsid tar find xargs sha256sum"
"""What image/ calls by name; where `php` is, is the base's own matter."""


@pytest.mark.parametrize("program", PROGRAMS.split())
def test_the_program_is_on_the_path(base: Image, program: str) -> None:
    images.run_once(base.reference, ["sh", "-c", f"command -v {program}"])


def test_the_settings_of_opcache_are_the_official_ones(base: Image) -> None:
    names = ("memory_consumption", "interned_strings_buffer", "max_accelerated_files")
    shown = [
        images.run_once(base.reference, ["php", "-r", f"echo ini_get('opcache.{name}');"])
        for name in names
    ]
    assert shown == ["128", "8", "4000"]


def test_the_entrypoint_gives_the_code_to_the_user_of_the_web_server(run: Runner) -> None:
    ended = run(
        "cmp matomo.php /usr/src/matomo/matomo.php && stat -c %U:%G index.php plugins config"
    )
    assert ended == ContainerExit(0, "www-data:www-data\n" * 3)


def test_the_entrypoint_does_not_touch_existing_code(base: Image) -> None:
    script = "echo old > matomo.php && /entrypoint.sh sh -c 'cat matomo.php; ls | wc -l'"
    output = images.run_once(base.reference, ["sh", "-c", f"cd $(mktemp -d) && {script}"])
    assert output.split() == ["old", "1"]


def test_the_entrypoint_copies_as_its_own_user(run: Runner) -> None:
    ended = run("stat -c %u:%g matomo.php", user=1000)
    assert ended == ContainerExit(0, "1000:1000\n")


def test_a_database_password_can_be_in_a_file(run: Runner) -> None:
    script = 'echo "$MATOMO_DATABASE_DBNAME:${MATOMO_DATABASE_DBNAME_FILE-unset}"'
    ended = run(script, MATOMO_DATABASE_DBNAME_FILE="/etc/debian_version")
    assert ended.code == 0
    assert ended.output.endswith(":unset\n")
    assert len(ended.output) > len(":unset\n")


def test_a_password_and_its_file_exclude_each_other(run: Runner) -> None:
    ended = run("true", MATOMO_DATABASE_PASSWORD="a", MATOMO_DATABASE_PASSWORD_FILE="/etc/hostname")
    assert ended.code == 1
    assert "MATOMO_DATABASE_PASSWORD_FILE" in ended.output


@pytest.mark.parametrize("extension", EXTENSIONS.split())
def test_the_extension_is_loaded(running: WebContainer, extension: str) -> None:
    assert extension in running.shell.run("php", "-m").lower().split()


def test_the_memory_limit_comes_from_the_environment(running: WebContainer) -> None:
    limit = "echo ini_get('memory_limit');"
    assert running.shell.run("php", "-r", limit) == "256M"
    assert running.shell.run("env", "PHP_MEMORY_LIMIT=77M", "php", "-r", limit) == "77M"


def test_the_web_server_may_be_another_user(run: Runner) -> None:
    ended = run(
        ". /etc/apache2/envvars && echo $APACHE_RUN_USER:$APACHE_RUN_GROUP",
        APACHE_RUN_USER="#1000",
        APACHE_RUN_GROUP="#1000",
    )
    assert ended == ContainerExit(0, "#1000:#1000\n")


def test_requests_run_as_www_data(running: WebContainer) -> None:
    running.shell.write("whoami.php", "<?php echo posix_getpwuid(posix_geteuid())['name'];")
    assert running.web.get(path="whoami.php").text == "www-data"


def test_every_plugin_class_loads(running: WebContainer) -> None:
    script = (BASES_DIRECTORY / "matomo/check-classes").read_text()
    running.shell.write("tmp/check-classes", script)
    output = running.shell.run("php", "tmp/check-classes", ".")
    assert int(output.split()[1]) > 1000, output


def test_a_plugin_of_several_classes_loads(running: WebContainer) -> None:
    running.shell.run("mkdir", "-p", "plugins/Dropin/Deep")
    running.shell.write("plugins/Dropin/Deep/Thing.php", THING)
    assert evaluate(running, "class_exists('Piwik\\Plugins\\Dropin\\Deep\\Thing')") == "true"


@pytest.mark.parametrize(("switch", "enabled"), [(1, "true"), (0, "false")])
def test_internet_features_are_switched_by_configuration_alone(
    running: WebContainer, switch: int, enabled: str
) -> None:
    running.shell.write(CONFIG, f"[General]\nenable_internet_features = {switch}\n")
    try:
        start = "(new Piwik\\Application\\Environment('cli'))->init()"
        assert evaluate(running, "Piwik\\SettingsPiwik::isInternetEnabled()", start) == enabled
    finally:
        running.shell.run("rm", CONFIG)


def test_the_security_files_close_the_private_directories(running: WebContainer) -> None:
    running.shell.console("core:create-security-files")
    web = running.web
    for path in ("config/global.ini.php", "lang/en.json", "core/Version.php", "tmp/check-classes"):
        assert web.get(path=path).status_code == 403, path
    for path in ("plugins/CoreHome/CoreHome.php", "misc/user/index.html.php", "plugins/", "core/"):
        assert web.get(path=path).status_code in (403, 404), path
    for path in ("matomo.js", "js/index.php", "plugins/CoreHome/images/favicon.png"):
        assert web.get(path=path).status_code == 200, path


def test_directories_are_not_listed(running: WebContainer) -> None:
    assert running.web.get(path="plugins/CoreHome/").status_code == 403


THING = "<?php namespace Piwik\\Plugins\\Dropin\\Deep; class Thing {}"


def evaluate(running: WebContainer, expression: str, first: str = "null") -> str:
    """Evaluate a PHP expression where Matomo's classes can be loaded."""
    code = f"""
        define('PIWIK_DOCUMENT_ROOT', getcwd());
        if (is_file('vendor_config.php')) {{ require 'vendor_config.php'; }}
        defined('PIWIK_INCLUDE_PATH') || define('PIWIK_INCLUDE_PATH', PIWIK_DOCUMENT_ROOT);
        require 'core/bootstrap.php';
        {first};
        var_export({expression});"""
    return running.shell.run("php", "-r", code)
