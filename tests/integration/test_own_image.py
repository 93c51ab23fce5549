"""An institution's own image: what is found by looking at it, and what is refused by its name."""

import secrets
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from matomo_harness.errors import (
    ExitCode,
    HarnessError,
    UnsupportedEnvironmentError,
    WrongInputError,
)
from matomo_harness.matomo.image import ImageProfile
from matomo_harness.operate.gate_image import policy_for
from matomo_harness.operate.init import deployment_text
from matomo_harness.operate.inspect import described, image_of
from matomo_harness.policy import POLICY_FILE, deployment
from matomo_harness.runtime import images, profiles
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.golden import golden
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.reaper import this_process
from matomo_harness.settings import RunSettings
from tests.checkout import Checkout

Build = Callable[..., Image]


@pytest.fixture
def built(tmp_path: Path, any_image: Image) -> Iterator[Build]:
    """Build an image of some instructions on the one under test, or on another; remove it."""
    made: list[Image] = []

    def build(*instructions: str, on: Image = any_image) -> Image:
        (tmp_path / "Dockerfile").write_text("\n".join((f"FROM {on.reference}", *instructions)))
        # Two runs on one machine have the same names of directories.
        tag = f"{images.REPOSITORY}/own:{uuid.uuid4().hex}"
        made.append(images.build(tmp_path, tag, {}, {}))
        return made[-1]

    yield build
    for image in reversed(made):
        engine().images.remove(image.reference, force=True)


def refused(image: Image, declared: str = "", directory: Path | None = None) -> WrongInputError:
    said = None
    if directory:
        (directory / "deployment.toml").write_text(declared)
        said = deployment.read(directory / "deployment.toml")
    with pytest.raises(WrongInputError) as error:
        profiles.look(image, said)
    return error.value


# -- what is found --------------------------------------------------------------------------------


def test_what_the_reference_image_declares_is_what_is_found(any_image: Image) -> None:
    found, declared = profiles.look(any_image), deployment.read()
    assert found.port == declared.web.port
    assert found.archiver == declared.archiver.command
    assert found.has_archiver
    assert (found.configuration, found.seed) == ("file", "/usr/src/matomo-config/config.ini.php")
    assert set(found.programs) >= {"backup-data.sh", "restore-data.sh", "matomo-health"}
    assert {"EnvironmentVariables", "NoUserIds", "CoreHome"} <= set(found.plugins)
    assert dict(described(found))["web server"] == "apache2 on port 80, as www-data"


def test_a_stock_image_has_none_of_our_programs(any_base: Image) -> None:
    found = profiles.look(any_base)
    assert (found.configuration, found.seed, found.programs) == ("wizard", "", ())
    assert found.archiver == ("php", "/var/www/html/console", "core:archive")
    assert not found.has_archiver


@pytest.mark.slow(reason="an image is built and started")
def test_variables_in_the_configuration_are_found(built: Build) -> None:
    seed = "/usr/src/matomo-config/config.ini.php"
    image = built(f"RUN printf '[database]\\nhost = \"${{DB_HOST}}\"\\n' >> {seed}")
    found = profiles.look(image)
    assert ("database.host", "DB_HOST") in found.variables
    known = {"MATOMO_DATABASE_HOST": "db-1"}
    assert found.environment(known) == {"DB_HOST": "db-1"}


def test_a_program_of_another_contract_is_not_ours(built: Build) -> None:
    image = built("RUN printf '#!/bin/sh\\nmysqldump\\n' > /usr/local/bin/backup-data.sh")
    assert "backup-data.sh" not in profiles.look(image).programs


@pytest.mark.slow(reason="an image is built and started")
def test_an_archiver_that_is_the_command_itself_is_no_job(built: Build) -> None:
    script = "#!/bin/sh\\nphp console core:archive & exec apache2-foreground\\n"
    image = built(
        f"RUN printf '{script}' > /start.sh && chmod 755 /start.sh",
        "RUN rm /usr/local/bin/matomo-archive",
        'CMD ["/start.sh"]',
    )
    found = profiles.look(image)
    assert found.command == ("/start.sh",)
    assert not found.has_archiver


# -- what is refused, by its name -----------------------------------------------------------------


def test_an_image_without_matomo_is_refused(built: Build) -> None:
    error = refused(built("RUN rm -rf /usr/src/matomo"))
    assert error.seen == "no directory that has matomo.php and core/Version.php"


def test_an_image_without_a_web_server_is_refused(built: Build) -> None:
    error = refused(built("RUN rm -f /usr/sbin/apache2"))
    assert "a web server in" in error.expected


def test_an_image_that_starts_nothing_is_refused(built: Build) -> None:
    error = refused(built("ENTRYPOINT []"))
    assert "neither ENTRYPOINT nor CMD" in error.seen
    assert "CMD" in error.next_command


def test_matomo_4_is_refused(built: Build) -> None:
    version = "s/const VERSION = '[^']*'/const VERSION = '4.16.1'/"
    error = refused(built(f'RUN sed -i "{version}" /usr/src/matomo/core/Version.php'))
    assert "Matomo 4.16.1 in /usr/src/matomo" in error.seen


def test_an_image_without_a_shell_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY Dockerfile /\nCMD ["/none"]')
    image = images.build(tmp_path, f"{images.REPOSITORY}/own:{uuid.uuid4().hex}", {}, {})
    try:
        assert "a shell to look at it with" in refused(image).expected
    finally:
        engine().images.remove(image.reference, force=True)


@pytest.mark.slow(reason="an image is built and started")
def test_a_deployment_file_of_another_image_is_refused(any_image: Image, tmp_path: Path) -> None:
    error = refused(any_image, "[web]\nport = 8080\n", tmp_path)
    assert "to listen on port 8080, as [web] of deployment.toml says" in error.expected
    assert "it listens on 80" in error.seen
    error = refused(any_image, '[archiver]\ncommand = ["run_archiving.sh"]\n', tmp_path)
    assert "the command run_archiving.sh in" in error.expected


def test_our_policy_is_for_our_image(
    built: Build, any_image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    foreign = built("ENV ANYTHING=1").reference
    assert policy_for(None) == policy_for(any_image.reference) == POLICY_FILE
    with pytest.raises(WrongInputError) as error:
        policy_for(foreign)
    assert error.value.next_command.startswith(f"matomo-harness init {foreign}")
    (tmp_path / "policy.toml").touch()
    assert policy_for(foreign) == Path("policy.toml")


@pytest.mark.nightly(reason="an image is built, and started twice")
def test_a_start_that_ends_without_its_variables_is_tried_with_those_of_its_template(
    built: Build,
) -> None:
    template = "RUN printf '[database]\\nhost = \"{{DB_HOST}}\"\\n' > /settings.tpl"
    needs = 'RUN printf \': "${DB_HOST:?is required}"\\nexec matomo-entrypoint "$@"\\n\' > /start'
    start = ('ENTRYPOINT ["sh", "/start"]', 'CMD ["apache2-foreground"]')
    found = profiles.look(built(template, needs, *start))
    assert (found.port, found.starts_alone, found.templates) == (80, True, ("/settings.tpl",))
    found = profiles.look(built("RUN rm /settings.tpl", on=built(template, needs, *start)))
    assert (found.starts_alone, found.templates) == (True, ())
    assert ("database.host", "DB_HOST") in found.named


@pytest.mark.nightly(reason="an image is started twice")
@pytest.mark.slow(reason="an image is built and started")
def test_a_start_that_ends_for_another_reason_says_it_once_it_has_a_database(built: Build) -> None:
    needs = 'RUN printf \': "${CAMPUS:?is required}"\\nexec matomo-entrypoint "$@"\\n\' > /start'
    image = built(needs, 'ENTRYPOINT ["sh", "/start"]', 'CMD ["apache2-foreground"]')
    found = profiles.look(image)
    assert (found.port, found.starts_alone) == (80, False)
    with pytest.raises(UnsupportedEnvironmentError) as error:
        golden(image, images.mariadb_base(RunSettings.from_environment()))
    assert "CAMPUS: is required" in error.value.seen
    assert "[web.variables]" in error.value.next_command


@pytest.mark.nightly(reason="the waits for what cannot come take four minutes")
@pytest.mark.slow(reason="an image is built and started")
@pytest.mark.timeout(900)
def test_a_start_that_never_finds_its_database_names_the_file_to_write(built: Build) -> None:
    waits = "RUN printf '#!/bin/sh\\necho Waiting for $DB_SERVER; exec sleep 600\\n' > /wait"
    image = built(waits, 'ENTRYPOINT ["sh", "/wait"]')
    found = profiles.look(image)
    assert (found.port, found.starts_alone) == (80, False)
    with pytest.raises(UnsupportedEnvironmentError) as error:
        golden(image, images.mariadb_base(RunSettings.from_environment()))
    assert "once it has a database" in error.value.expected
    assert "Waiting for" in error.value.seen
    assert "[web.variables]" in error.value.next_command


# -- on the command line --------------------------------------------------------------------------


def test_inspect_prints_json(checkout: Checkout, any_image: Image) -> None:
    answer = checkout.harness("inspect", any_image.reference, "--json")
    assert answer.code == 0
    assert '"port": 80,' in answer.text


def test_a_compose_file_names_the_image(tmp_path: Path, any_image: Image) -> None:
    path = tmp_path / "docker-compose.yml"
    image = f"${{NO_VARIABLE_OF_THIS_NAME:-{any_image.reference}}}"
    path.write_text(f"services: {{analytics: {{image: '{image}'}}, web: {{build: .}}}}")
    assert image_of(str(path), "analytics").id == any_image.id
    for service, expected in (("matomo", "a service matomo"), ("web", "to name an image")):
        with pytest.raises(HarnessError, match=expected):
            image_of(str(path), service)


def test_a_container_names_its_image_whatever_has_the_name_now(any_image: Image) -> None:
    client, name = engine(), f"matomo-harness/test-moved:{secrets.token_hex(4)}"
    labels = this_process().labels
    assert client.images.get(any_image.reference).tag(name)
    container = client.containers.create(name, labels=labels)
    try:
        assert image_of(str(container.name), "") == Image(name, any_image.id, "given")
        other = images.service_image("mail").reference
        assert client.images.get(other).tag(name)
        assert image_of(str(container.name), "") == Image(any_image.id, any_image.id, "given")
    finally:
        container.remove(force=True, v=True)
        client.images.remove(name)


def test_init_replaces_no_file(checkout: Checkout, any_image: Image) -> None:
    (checkout.root / "policy.toml").write_text("mine")
    answer = checkout.harness("init", any_image.reference, "--directory", str(checkout.root))
    answer.refuses(ExitCode.WRONG_INPUT, "init replaces no file", "--directory")
    assert (checkout.root / "policy.toml").read_text() == "mine"


def test_the_draft_of_a_deployment_file_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "deployment.toml"
    path.write_text(deployment_text(ImageProfile(port=8080, archiver=("run.sh", 'a "b"'))))
    assert deployment.read(path).digest == deployment.DeploymentFile().digest
    path.write_text(path.read_text().replace("# port", "port").replace("# command", "command"))
    assert deployment.read(path).archiver.command == ("run.sh", 'a "b"')
