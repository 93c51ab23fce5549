"""config, misc and js lie on a file system that outlives the tasks, whoever owns its files."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from docker.errors import NotFound
from tenacity import retry, retry_if_result, stop_after_delay

from matomo_harness.errors import UnsupportedEnvironmentError
from matomo_harness.matomo import ini
from matomo_harness.runtime import images
from matomo_harness.runtime.containers import WebContainer, network
from matomo_harness.runtime.efs import FOREIGN_UID, Efs
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.full_stack import FullStack
from matomo_harness.runtime.golden import Golden
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.reaper import this_process
from matomo_harness.runtime.shell import OWN_CONFIG, MatomoShell

NO_CHOWN = {"cap_drop": ["CHOWN"]}
CHANGED_SETTING = ("General", "all_websites_website_per_page", "17")
"""A setting that a person changed, and that is in no image."""


@pytest.fixture
def efs(matomo_image: Image) -> Iterator[Efs]:
    """Behind an access point everybody may write, and a foreign uid owns everything."""
    with Efs(matomo_image.reference) as file_system:
        yield file_system


@pytest.fixture
def stack(matomo_golden: Golden, matomo_image: Image, efs: Efs) -> Iterator[FullStack]:
    """The full stack on an empty file system, with the database that it had before."""
    with FullStack(matomo_golden, image=matomo_image, efs=efs) as started:
        settle(started)
        yield started


@retry(stop=stop_after_delay(60), retry=retry_if_result(bool))
def settle(stack: FullStack) -> bool:
    """Wait until a page leaves config.ini.php as it is; return whether this one did not.

    The first pages of a task write the file once for each plugin, and not atomically: whoever reads
    it then may read half of it, and find a closed installer (404) while a page of the load balancer
    or the health check still writes (Manager::installLoadedPlugins, Config::forceSave).
    """
    before = stack.matomo.shell.read(OWN_CONFIG)
    found = stack.instance.web.get().ok
    return not found or stack.matomo.shell.read(OWN_CONFIG) != before


@pytest.mark.slow(reason="a deployment of its own on a cold file system")
def test_the_first_boot_on_an_empty_file_system_is_healthy(stack: FullStack, efs: Efs) -> None:
    shell = stack.matomo.shell
    assert stack.instance.api.call("SitesManager.getAllSitesId") == [1]
    # The first page of a cold task takes longer than the health check waits.
    assert stack.instance.web.get().ok
    assert shell.health() is None
    owners = efs.shell("stat -c '%u' config misc js").split()
    assert owners == [str(FOREIGN_UID)] * 3  # nobody changed the owner
    assert shell.run("stat", "-c", "%U", OWN_CONFIG).strip() == "www-data"
    assert "Operation not permitted" not in stack.matomo.log


@pytest.mark.nightly(reason="two tasks in a row")
@pytest.mark.slow(reason="a deployment of its own on a cold file system")
def test_files_survive_a_killed_task(stack: FullStack) -> None:
    shell = stack.matomo.shell
    shell.write("js/container_abc123.js", "/* a tag manager's container */")
    shell.write("misc/user/logo.png", "a logo")
    shell.write(OWN_CONFIG, ini.with_key(shell.read(OWN_CONFIG), *CHANGED_SETTING))
    files = {path: shell.read(path) for path in ("js/container_abc123.js", "misc/user/logo.png")}
    stack.replace_task()
    shell = stack.matomo.shell
    assert {path: shell.read(path) for path in files} == files
    assert stack.instance.api.call("SitesManager.getAllSitesId") == [1]
    assert ini.read(shell.read(OWN_CONFIG)).text(*CHANGED_SETTING[:2]) == CHANGED_SETTING[2]


@pytest.mark.nightly(reason="two tasks in a row")
@pytest.mark.slow(reason="a deployment of its own on a cold file system")
def test_the_next_task_may_write_files_that_root_left(stack: FullStack, efs: Efs) -> None:
    # An archiver that ran as root, or a restore by hand, leaves such files.
    efs.shell("chown -R 0:0 config/config.ini.php misc/user && chmod 644 config/config.ini.php")
    stack.replace_task()
    unwritable = stack.matomo.shell.run("find", "config", "misc", "js", "!", "-writable")
    assert unwritable == ""


@pytest.mark.nightly(reason="a task and its archiver")
@pytest.mark.slow(reason="a deployment of its own on a cold file system")
def test_no_part_of_a_task_writes_as_root(stack: FullStack, efs: Efs) -> None:
    of_root = "find config misc js -mindepth 1 -user root"
    stack.instance.api.call("API.getMatomoVersion")
    assert efs.shell(of_root) == ""
    assert stack.archive().exit_code == 0
    assert efs.shell(of_root) == ""


@pytest.mark.slow(reason="a deployment of its own on a cold file system")
def test_a_task_boots_where_chown_is_refused(matomo_image: Image, efs: Efs) -> None:
    with network() as own_network:
        options = {"mounts": efs.mounts(), **NO_CHOWN}
        for _ in range(2):  # on an empty file system, then on a full one
            with WebContainer(matomo_image.reference, own_network, {}, options=options) as matomo:
                assert "Matomo is not set up yet" in matomo.web.get().text  # no database, no login
                shell = matomo.shell
                assert shell.run("find", "config", "misc", "js", "!", "-writable") == ""
        assert set(efs.shell("stat -c %u config misc js").split()) == {str(FOREIGN_UID)}


def test_reading_the_file_system_leaves_no_volume_behind(efs: Efs) -> None:
    # The path of the volume that Docker makes for the image's web root ends in /ID/_data.
    _, _, _, path, *_ = efs.shell("grep ' /var/www/html ' /proc/self/mountinfo").split()
    with pytest.raises(NotFound):
        engine().volumes.get(Path(path).parent.name)


def test_an_access_point_without_write_access_is_named(any_image: Image) -> None:
    with Efs(any_image.reference, mode="0755") as efs, network() as own_network:
        options = {"mounts": efs.mounts(), **NO_CHOWN}
        matomo = WebContainer(any_image.reference, own_network, {}, options=options)
        with ExitStack() as running, pytest.raises(UnsupportedEnvironmentError) as error:
            running.enter_context(matomo)
    assert "expected to write /var/www/html/config/config.ini.php" in error.value.seen


def test_a_directory_that_matomo_may_no_longer_write_is_named(any_image: Image) -> None:
    with Efs(any_image.reference) as efs, network() as own_network:
        options = {"mounts": efs.mounts(), **NO_CHOWN}
        with WebContainer(any_image.reference, own_network, {}, options=options):
            pass
        # As another image's would be: what is the same is not written at all.
        efs.shell("echo older >> misc/cron/archive.php")
        efs.shell("chown -R 0:0 misc && chmod -R go-w misc")
        matomo = WebContainer(any_image.reference, own_network, {}, options=options)
        with ExitStack() as running, pytest.raises(UnsupportedEnvironmentError) as error:
            running.enter_context(matomo)
    assert "image's code" in error.value.seen


def test_a_task_takes_its_files_where_chown_is_allowed(any_image: Image) -> None:
    with Efs(any_image.reference, mode="0755", uid=0) as efs, network() as own_network:
        options = {"mounts": efs.mounts()}
        with WebContainer(any_image.reference, own_network, {}, options=options) as matomo:
            assert matomo.shell.run("find", "config", "misc", "js", "!", "-writable") == ""


@pytest.mark.slow(reason="two tasks in a row")
@pytest.mark.nightly(reason="two tasks in a row")
def test_a_task_leaves_files_alone_that_others_read(any_image: Image, efs: Efs) -> None:
    files = "config/global.ini.php js/piwik.js misc/user/index.html"
    with network() as own_network:
        options = {"mounts": efs.mounts()}
        with WebContainer(any_image.reference, own_network, {}, options=options):
            pass
        efs.shell("echo older >> js/piwik.js; ln js/piwik.js js/read-by-another-task")
        before = efs.shell(f"stat -c '%i %Z' {files}").splitlines()
        with WebContainer(any_image.reference, own_network, {}, options=options):
            pass
    after = efs.shell(f"stat -c '%i %Z' {files}").splitlines()
    assert (before[0], before[2]) == (after[0], after[2])
    # It is another file by its name now; who had opened the old one reads that to its end.
    assert before[1].split()[0] != after[1].split()[0]
    assert efs.shell("tail -n 1 js/read-by-another-task").strip() == "older"
    assert efs.shell("find config misc js -name '*.new'") == ""


@pytest.mark.slow(reason="two tasks in a row")
@pytest.mark.nightly(reason="two tasks in a row")
def test_an_archiver_takes_no_file_of_a_newer_version_back(any_image: Image, efs: Efs) -> None:
    with network() as own_network:
        options = {"mounts": efs.mounts()}
        with WebContainer(any_image.reference, own_network, {}, options=options):
            pass
    efs.shell("echo '; newer' >> config/global.ini.php; rm js/piwik.js")
    archiver = engine().containers.run(
        any_image.reference,
        ["matomo-archive"],
        labels=this_process().labels,
        mounts=efs.mounts(),
        network_mode="none",
        detach=True,
    )
    try:
        archiver.wait(timeout=60)  # it has no database
    finally:
        archiver.remove(force=True, v=True)
    assert efs.shell("tail -n 1 config/global.ini.php").strip() == "; newer"
    assert efs.shell("ls js").split().count("piwik.js") == 1


@pytest.mark.all_versions(reason="from one version to the next")
@pytest.mark.slow(reason="a deployment of its own on a cold file system")
def test_a_new_image_brings_its_own_files(any_image: Image, efs: Efs, matomo_image: Image) -> None:
    # One version boots, then another: the code's part of config/ must follow the code.
    with network() as own_network:
        options = {"mounts": efs.mounts()}
        with WebContainer(any_image.reference, own_network, {}, options=options):
            pass
        efs.shell("echo '; older' > config/global.ini.php; echo '; mine' >> config/config.ini.php")
        with WebContainer(matomo_image.reference, own_network, {}, options=options) as matomo:
            of_the_code = images.file_in(
                matomo_image.reference, "/usr/src/matomo/config/global.ini.php"
            ).decode()
            assert matomo.shell.read("config/global.ini.php") == of_the_code
            assert matomo.shell.read(OWN_CONFIG).endswith("; mine\n")


@pytest.mark.all_versions(reason="from one version to the next")
@pytest.mark.slow(reason="a deployment of its own on a cold file system")
def test_a_new_image_tracks_and_updates_on_an_old_file_system(
    any_golden: Golden, any_image: Image, matomo_image: Image
) -> None:
    if any_image.id == matomo_image.id:
        pytest.skip("one version only: there is no newer image to boot on its file system")
    with (
        Efs(any_image.reference) as efs,
        FullStack(any_golden, image=any_image, efs=efs) as stack,
    ):
        stack.replace_task(image=matomo_image)
        shell = stack.matomo.shell
        assert shell.console("core:version").strip() == images.code_version(matomo_image.reference)
        # With enable_auto_update = 0 no page says so: the update is a step of the deployment.
        assert "Database Upgrade Required" in update(shell, answer="n")
        assert stack.instance.web.ask("matomo.php?idsite=1&rec=1").ok
        assert "successfully updated" in update(shell, answer="y")
        assert "already up to date" in update(shell, answer="y")
        assert "form_login" in stack.instance.web.get().text
        assert shell.health() is None


def update(shell: MatomoShell, *, answer: str) -> str:
    return shell.run("sh", "-c", f"echo {answer} | php console core:update")


@pytest.mark.slow(reason="a deployment of its own on a cold file system")
def test_a_backup_brings_back_what_was_lost(stack: FullStack, efs: Efs) -> None:
    shell = stack.matomo.shell
    shell.write("js/container_abc123.js", "/* a tag manager's container */")
    shell.write("misc/user/logo.png", "a logo")
    shell.write(OWN_CONFIG, ini.with_key(shell.read(OWN_CONFIG), *CHANGED_SETTING))
    paths = ("js/container_abc123.js", "misc/user/logo.png", OWN_CONFIG, "matomo.js")
    before = contents(shell, paths)
    shell.run("backup-data.sh", user="root")
    stack.matomo.stop()  # or a request under way could save what it has read before
    efs.shell("rm -rf config/* js/* misc/*")
    stack.replace_task()
    settle(stack)
    shell = stack.matomo.shell
    assert ini.read(shell.read(OWN_CONFIG)).text(*CHANGED_SETTING[:2]) is None

    shell.run("restore-data.sh", user="root")
    assert contents(shell, paths) == before
    assert stack.instance.api.call("SitesManager.getAllSitesId") == [1]
    # The first page on files that came back takes longer than the 4 s that the health check waits
    # (seen beside a whole kill matrix).
    settle(stack)
    assert shell.health() is None


def contents(shell: MatomoShell, paths: tuple[str, ...]) -> dict[str, str]:
    """Read files, without the list that the first request of each task appends to by itself."""
    own_list = "PluginsInstalled"  # Manager::installLoadedPlugins
    read = {path: shell.read(path) for path in paths}
    return {**read, OWN_CONFIG: ini.without_section(read[OWN_CONFIG], own_list)}
