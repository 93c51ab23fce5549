"""In the official images' layouts image/ builds, runs and is installed; fpm answers by nginx."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from matomo_harness.matomo import versions
from matomo_harness.matomo.image import PROCESS_MANAGER
from matomo_harness.runtime import images
from matomo_harness.runtime.containers import WebContainer, network
from matomo_harness.runtime.dedicated import pair
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.fpm import FpmContainer
from matomo_harness.runtime.golden import golden
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.inspection import inspected
from matomo_harness.runtime.profiles import look
from matomo_harness.settings import RunSettings

BASES: Final = Path(__file__).parents[1] / "bases"


def laid_out(name: str, base: Image) -> Image:
    """Return `base` in the layout that tests/bases/`name` gives it; built where it is missing."""
    directory = BASES / name
    tag = f"{images.REPOSITORY}/test-{name}:{images.content_hash(images.tree(directory), base.id)}"
    return images.local(tag, "local") or images.build(
        directory, tag, {"MATOMO_BASE": base.reference}, {}
    )


@pytest.fixture(scope="module")
def docker_php(any_base: Image) -> Image:
    return laid_out("docker-php", any_base)


@pytest.fixture(scope="module")
def fpm(any_base: Image) -> Image:
    return laid_out("fpm", any_base)


@pytest.fixture(scope="module")
def deployed(docker_php: Image) -> Image:
    """image/ on the base in docker-php's layout."""
    tag = docker_php.reference.replace("test-docker-php", "test-on-docker-php")
    return images.build_deployed(docker_php, tag)


@pytest.fixture(scope="module")
def running(deployed: Image) -> Iterator[WebContainer]:
    with network() as own_network, WebContainer(deployed.reference, own_network, {}) as matomo:
        yield matomo


@pytest.fixture(scope="module")
def behind_nginx(fpm: Image) -> Iterator[FpmContainer]:
    with network() as own_network, FpmContainer(fpm.reference, own_network, {}) as matomo:
        yield matomo


# -- php:apache -----------------------------------------------------------------------------------


def test_the_layout_is_docker_phps(docker_php: Image) -> None:
    script = "command -v php; command -v docker-php-entrypoint; ls $PHP_INI_DIR/conf.d; php --ini"
    shown = images.run_once(docker_php.reference, ["sh", "-c", script])
    assert shown.startswith("/usr/local/bin/php\n/usr/local/bin/docker-php-entrypoint\n")
    assert "docker-php-ext-opcache.ini" in shown
    assert "Warning" not in shown
    for absent in ("ps", "curl", "apachectl", "/usr/bin/php"):
        absence = ["sh", "-c", f"! command -v {absent}"]
        images.run_once(docker_php.reference, absence)


def test_image_builds_on_it_and_answers(running: WebContainer, docker_php: Image) -> None:
    shell, web = running.shell, running.web
    assert web.get(path="matomo.js").status_code == 200
    assert web.get(path="config/global.ini.php").status_code == 403
    assert "X-Powered-By" not in web.get(path="matomo.js").headers
    assert shell.run("sh", "-c", "command -v php").strip() == "/usr/local/bin/php"
    assert versions.is_supported(images.code_version(docker_php.reference))


@pytest.mark.nightly(reason="a golden pair of its own")
@pytest.mark.slow(reason="a golden pair of its own")
def test_image_on_it_is_installed_and_archives(deployed: Image) -> None:
    made = golden(deployed, images.mariadb_base(RunSettings.from_environment()))
    with pair(made) as matomo:
        assert 'name="form_login"' in matomo.web.get().text
        assert matomo.shell.health() is None
        matomo.web.get({"idsite": 1, "rec": 1}, path="matomo.php").raise_for_status()
        matomo.shell.run("matomo-archive", user="root")


# -- php:fpm --------------------------------------------------------------------------------------


def test_an_fpm_image_is_known_by_looking(fpm: Image) -> None:
    assert look(fpm).web_server == PROCESS_MANAGER
    found = engine().images.get(fpm.id)
    assert inspected(found, "Config", "Entrypoint") == ["/entrypoint.sh"]
    assert inspected(found, "Config", "Cmd") == ["php-fpm"]
    assert "/var/www/html" in inspected(found, "Config", "Volumes")


@pytest.mark.slow(reason="an image of PHP's process manager is built and started")
def test_files_and_pages_come_through_nginx(behind_nginx: FpmContainer) -> None:
    web = behind_nginx.web
    script = web.get(path="matomo.js")
    assert (script.status_code, script.headers["Server"]) == (200, "nginx")
    assert "javascript" in script.headers["Content-Type"]
    # Nothing is installed: Matomo's own first page, made by PHP.
    assert "Matomo" in web.get().text
    assert "installation" in web.get().text.lower()
    assert "matomo" in web.get(path="js/index.php").text.lower()


@pytest.mark.parametrize(
    "path",
    [
        "config/global.ini.php",
        "core/Version.php",
        "tmp/",
        "lang/en.json",
        "console",
        ".htaccess",
        "plugins/CoreHome/CoreHome.php",
        "README.md",
        "vendor/autoload.php",
        "index.php/vendor/autoload.php",
    ],
)
def test_what_is_not_for_visitors_is_refused_by_nginx(
    behind_nginx: FpmContainer, path: str
) -> None:
    assert behind_nginx.web.get(path=path).status_code in (403, 404)


def test_another_process_finds_the_nginx_again(behind_nginx: FpmContainer, fpm: Image) -> None:
    with network() as other:
        same = FpmContainer(fpm.reference, other, {})
        same.attach(str(behind_nginx.get_wrapped_container().id))
        assert same.web.url == behind_nginx.web.url
