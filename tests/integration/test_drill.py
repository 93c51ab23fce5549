"""A backup is restored as it is and proven; a broken one is named, and nothing of it is left."""

import dataclasses
import gzip
import io
import json
import re
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final

import pytest
from docker.errors import NotFound

from matomo_harness.errors import ExitCode
from matomo_harness.matomo import ini, tracker, traffic
from matomo_harness.matomo.traffic import Site
from matomo_harness.matomo.twofactor import Account
from matomo_harness.operate.drill.findings import Stage
from matomo_harness.runtime import reaper
from matomo_harness.runtime.engine import engine, execute_stream
from matomo_harness.runtime.full_stack import FullStack
from matomo_harness.runtime.golden import Golden
from matomo_harness.runtime.reaper import PARENT_LABEL
from matomo_harness.settings import RunSettings
from tests.checkout import Checkout, copied
from tests.closed import assert_closed
from tests.dumped import write_dump
from tests.integration.test_howto_commands import commands_of, run
from tests.runs import left_of, run_of, wait_until_gone

PERSON: Final = "margaret.hamilton"
SEVERAL_DAYS: Final = 4
"""The first day is so long ago, so that the last one is over everywhere."""
PROMISES: Final = "second_factors"
CONFIG: Final = "config/config.ini.php"
SALT: Final = "MATOMO_GENERAL_SALT"

Rows = Callable[[str], str]


@dataclass(frozen=True)
class Backup:
    """A production's backup, and what its administrator knows.

    Args:
        directory: has `dump.sql.gz` and `efs.tar`, as they were made.
        salt: production's.
        account: a superuser's.
        numbers: of `matomo-harness numbers`.
        said: by backup-data.sh.
    """

    directory: Path
    salt: str
    account: Account
    numbers: Path
    said: str

    @property
    def dump(self) -> Path:
        """The dump."""
        return self.directory / "dump.sql.gz"

    @property
    def files(self) -> Path:
        """The tar of the file system."""
        return self.directory / "efs.tar"

    @property
    def variables(self) -> dict[str, str]:
        """What the administrator gives beside them."""
        return {
            SALT: self.salt,
            "HARNESS_LOGIN": self.account.login,
            "HARNESS_PASSWORD": self.account.password,
        }

    def broken(self, to: Path, change: Rows) -> "Backup":
        """Return the same backup with another dump."""
        to.mkdir()
        text = gzip.decompress(self.dump.read_bytes()).decode("latin-1")
        changed = change(text)
        assert changed != text
        (to / "dump.sql.gz").write_bytes(gzip.compress(changed.encode("latin-1")))
        (to / "efs.tar").write_bytes(self.files.read_bytes())
        return dataclasses.replace(self, directory=to)

    def with_files(self, to: Path, change: Callable[[dict[str, bytes]], None]) -> "Backup":
        """Return the same backup with other files."""
        to.mkdir()
        with tarfile.open(self.files) as tar:
            files = {
                member.name.removeprefix("./"): read.read()
                for member in tar
                if (read := tar.extractfile(member))
            }
        change(files)
        with tarfile.open(to / "efs.tar", "w") as tar:
            for name, text in files.items():
                member = tarfile.TarInfo(name)
                member.size, member.mtime = len(text), int(time.time())
                tar.addfile(member, io.BytesIO(text))
        (to / "dump.sql.gz").write_bytes(self.dump.read_bytes())
        return dataclasses.replace(self, directory=to)


@pytest.fixture(scope="module")
def drilling(
    tmp_path_factory: pytest.TempPathFactory, matomo_settings: RunSettings
) -> Iterator[Checkout]:
    """A copy of this checkout, in which drills run."""
    with copied(tmp_path_factory.mktemp("drilling"), matomo_settings) as copy:
        yield copy


@pytest.fixture(scope="module")
def backup(
    matomo_golden: Golden, drilling: Checkout, tmp_path_factory: pytest.TempPathFactory
) -> Backup:
    """Last night's backup of a production with two sites, visits of three days, and a person."""
    directory = tmp_path_factory.mktemp("backup")
    with FullStack(matomo_golden) as stack:
        instance = stack.instance
        api, zone = instance.api, "America/New_York"
        first = datetime.now(UTC).date() - timedelta(days=SEVERAL_DAYS)
        sites = [Site(1, "https://one.example", "UTC")]
        other = api.add_site("Two", "https://two.example", zone, since=f"{first}")
        sites.append(Site(other, "https://two.example", zone))
        hits = list(traffic.hits(traffic.visits(sites, first, 3)))
        assert tracker.send(api, hits) == len(hits)
        api.call(
            "UsersManager.addUser",
            userLogin=PERSON,
            password="a-password-of-hers",
            email=f"{PERSON}@library.example.edu",
        )
        assert stack.archive().exit_code == 0
        shell, place = instance.shell, "/tmp/efs"
        shell.run("mkdir", "-p", "misc/user", place, user="root")
        shell.write("misc/user/logo.png", "a logo", user="root")
        shell.write("js/container_abcdefgh.js", "/* of a container */", user="root")
        said = shell.run("backup-data.sh", place, user="root")
        container = stack.matomo.get_wrapped_container()
        tar = execute_stream(container, ["tar", "-C", place, "-cf", "-", "."])
        (directory / "efs.tar").write_bytes(b"".join(tar))
        database = instance.database
        options = ("--host=127.0.0.1", "--ssl", "--skip-ssl-verify-server-cert")
        write_dump(
            stack.mariadb.get_wrapped_container(),
            (database.user, database.password),
            database.name,
            directory / "dump.sql.gz",
            *options,
        )
        numbers = directory / "numbers.json"
        assert instance.authority
        answer = drilling.harness(
            *("numbers", "--url", instance.url, "--to", str(numbers)),
            *("--authority", str(instance.authority)),
            HARNESS_TOKEN=instance.token,
        )
        assert answer.code == 0, answer.text
        return Backup(directory, stack.salt, instance.account, numbers, said)


@dataclass(frozen=True)
class EndedDrill:
    """How a drill ended.

    Args:
        code: its exit code.
        text: what it printed.
        found: what drill.json holds; empty where it wrote none.
        files: all that is in its reports.
        left: what is left of it on the engine.
    """

    code: int
    text: str
    found: Mapping[str, Any]
    files: str
    left: tuple[str, ...]

    def of(self, weight: str) -> list[str]:
        """Return what reasons of a weight say."""
        return [each["what"] for each in self.found["reasons"] if each["weight"] == weight]


def begun(checkout: Checkout, backup: Backup, *arguments: str, **variables: str) -> Any:
    """Start a drill."""
    command = ("drill", "--dump", str(backup.dump), "--files", str(backup.files), *arguments)
    return subprocess.Popen(
        checkout.command(*command),
        cwd=checkout.root,
        env=checkout.environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def drilled(checkout: Checkout, backup: Backup, *arguments: str, **variables: str) -> EndedDrill:
    """Run a drill to its end."""
    folder = checkout.root / "reports/drill"
    for path in folder.glob("*"):
        path.unlink()
    with begun(checkout, backup, *arguments, **{**backup.variables, **variables}) as program:
        run = run_of(program)
        text, _ = program.communicate(timeout=600)
    files = {path.name: path.read_text() for path in folder.glob("*")}
    found = json.loads(files["drill.json"]) if "drill.json" in files else {}
    left = left_of(run)
    return EndedDrill(program.returncode, text, found, "".join(files.values()), left)


@pytest.mark.slow(reason="a backup is made of a full stack, and restored")
@pytest.mark.timeout(600)
def test_a_backup_is_proven_and_nothing_of_it_is_left(drilling: Checkout, backup: Backup) -> None:
    ended = drilled(drilling, backup, "--gate", PROMISES, "--against", str(backup.numbers))
    assert ended.code == 0, ended.text
    found = ended.found
    assert found["verdict"]["sentence"] == "This is a backup; a restore needs 1 more."
    assert ended.of("step") == [
        "the salt is not in the files: a restore needs it from where you keep secrets"
    ]
    assert found["restored_by"] == "restore-data.sh"
    assert (found["salt_fits"], found["has_config"], found["damaged"]) == (True, True, [])
    assert found["counts"]["sites"] == 2
    assert found["numbers"]["count"] == found["counts"]["archives"] > 10
    assert found["production"]["count"] > 10
    assert found["sample"]["count"] > 10
    login = found["login"]
    assert (login["asked"], login["is_in"], login["by_own_password"]) == (True, True, True)
    assert found["gate"]["counts"]["pass"] > 0
    assert [name for name, minutes in found["gaps"].items() if minutes is None] == []
    assert {*found["seconds"]} == {str(stage) for stage in Stage}
    assert found["runbook"][0]["what"].startswith("Stop the archiver")
    for secret in (PERSON, backup.salt, backup.account.password, backup.account.secret):
        assert secret not in ended.files + ended.text
    assert not re.search(rf"\b{backup.account.login}\b", ended.files + ended.text)
    assert ended.left == ()


def test_the_backup_program_says_what_it_does_not_hold(backup: Backup) -> None:
    assert "it lacks the database" in backup.said
    assert "it lacks the salt: it is in the environment" in backup.said
    with tarfile.open(backup.files) as tar:
        names = [member.name for member in tar]
        read = tar.extractfile("./backup-manifest.txt")
        assert read
        manifest = read.read().decode()
    assert backup.salt not in manifest
    assert re.search(r"(?m)^made 20\d\d-", manifest)
    listed = re.findall(r"(?m)^file [0-9a-f]{64}  (.+)$", manifest)
    assert {f"./{name}" for name in listed} <= {*names}
    assert {CONFIG, "misc/user/logo.png", "js/container_abcdefgh.js", "matomo.js"} <= {*listed}


# -- broken backups --------------------------------------------------------------------------------


def without_rows(text: str, of: str = "") -> str:
    return re.sub(rf"(?ms)^INSERT INTO `{of}.*?\);\n", "", text)


def of_the_same_size(text: str) -> str:
    emptied = without_rows(text)
    line = "-- " + "x" * 76 + "\n"
    head, end, rest = emptied.rpartition("-- Dump completed")
    return head + line * ((len(text) - len(emptied)) // len(line)) + end + rest


def without_table(text: str, name: str) -> str:
    return re.sub(
        rf"(?ms)^DROP TABLE IF EXISTS `\w*{name}`.*?(?=^-- Table structure|^/\*!40103)", "", text
    )


def of_another_day(text: str) -> str:
    return re.sub(r"Dump completed on \d{4}-\d\d-\d\d", "Dump completed on 2020-02-02", text)


def changed_config(change: Callable[[str], str]) -> Callable[[dict[str, bytes]], None]:
    def changed(files: dict[str, bytes]) -> None:
        files[CONFIG] = change(files[CONFIG].decode()).encode()
        files.pop("backup-manifest.txt")  # or it would say so first

    return changed


def without(name: str) -> Callable[[dict[str, bytes]], None]:
    def changed(files: dict[str, bytes]) -> None:
        files.pop(name)
        files.pop("backup-manifest.txt")

    return changed


def lost_on_the_way(files: dict[str, bytes]) -> None:
    del files["misc/user/logo.png"]


BROKEN_DUMPS: Final[Mapping[str, tuple[Rows, str]]] = {
    "truncated": (lambda text: text[: len(text) * 2 // 3], "the dump cannot be loaded"),
    "empty, of the right size": (of_the_same_size, "tables and no rows"),
    "no table of users": (
        lambda text: without_table(text, "user"),
        "the dump cannot be loaded: expected a dump of Matomo",
    ),
}
"""What ends a drill before anything is started."""
LATE_DUMPS: Final[Mapping[str, tuple[Rows, str]]] = {
    "without archives": (
        lambda text: without_rows(text, r"\w*archive_(?:numeric|blob)_"),
        "the dump has no archives",
    ),
    "without the reports beside numbers": (
        lambda text: without_table(text, r"archive_blob_\d{4}_\d\d"),
        "the reports beside them are not in the dump: archive_blob_",
    ),
    "without the rows of visits": (
        lambda text: without_rows(text, r"\w*log_"),
        "of which the dump has no visit",
    ),
    "one table missing": (
        lambda text: without_table(text, "log_conversion"),
        "tables that the code needs are not in the dump: log_conversion",
    ),
    "older than the policy allows": (of_another_day, "[drill] oldest_hours = 26"),
}
BROKEN_FILES: Final[Mapping[str, tuple[Callable[[dict[str, bytes]], None], str]]] = {
    "without config.ini.php": (without(CONFIG), "config.ini.php is not in the files"),
    "of another Matomo": (
        changed_config(lambda text: ini.with_key(text, "General", "salt", "another")),
        "the salt does not fit the database",
    ),
    "of another day": (
        changed_config(
            lambda text: ini.with_key(text, "PluginsInstalled", "PluginsInstalled[]", "Funnels")
        ),
        "dump and files are of different days: Funnels",
    ),
    "lost on the way": (
        lost_on_the_way,
        "files are not as when the backup was made: misc/user/logo.png",
    ),
}


@pytest.mark.slow(reason="a backup is made of a full stack, and a dump is loaded")
@pytest.mark.parametrize("name", BROKEN_DUMPS)
def test_a_broken_dump_is_named_before_anything_starts(
    drilling: Checkout, backup: Backup, tmp_path: Path, name: str
) -> None:
    change, words = BROKEN_DUMPS[name]
    ended = drilled(drilling, backup.broken(tmp_path / "broken", change))
    assert ended.code == ExitCode.BROKEN_PROMISE, ended.text
    assert [what for what in ended.of("no") if words in what], ended.of("no")
    assert len(ended.of("no")) == 1
    assert Stage.START not in ended.found["seconds"]
    assert (PERSON in ended.files + ended.text, ended.left) == (False, ())


@pytest.mark.nightly(reason="a whole drill for each")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", LATE_DUMPS)
def test_what_a_dump_lacks_is_named(
    drilling: Checkout, backup: Backup, tmp_path: Path, name: str
) -> None:
    change, words = LATE_DUMPS[name]
    ended = drilled(drilling, backup.broken(tmp_path / "broken", change), "--gate", PROMISES)
    assert ended.code == ExitCode.BROKEN_PROMISE, ended.text
    assert [what for what in ended.of("no") if words in what], ended.of("no")
    assert (PERSON in ended.files + ended.text, ended.left) == (False, ())


@pytest.mark.nightly(reason="a whole drill for each")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", BROKEN_FILES)
def test_what_is_wrong_with_the_files_is_named_alone(
    drilling: Checkout, backup: Backup, tmp_path: Path, name: str
) -> None:
    change, words = BROKEN_FILES[name]
    ended = drilled(drilling, backup.with_files(tmp_path / "broken", change), "--gate", PROMISES)
    assert ended.code == ExitCode.BROKEN_PROMISE, ended.text
    (what,) = ended.of("no")
    assert words in what
    # The image's own program wants a config.ini.php; others' programs are not called at all.
    by_hand = name == "without config.ini.php"
    assert (ended.found["restored_by"] != "restore-data.sh") == by_hand
    assert (PERSON in ended.files + ended.text, ended.left) == (False, ())


@pytest.mark.nightly(reason="a whole drill, with the whole gate")
@pytest.mark.timeout(600)
def test_without_the_salt_no_token_opens_what_the_gate_passes(
    drilling: Checkout, backup: Backup
) -> None:
    ended = drilled(drilling, backup, **{SALT: "", "HARNESS_LOGIN": ""})
    assert ended.code == ExitCode.BROKEN_PROMISE, ended.text
    (what,) = ended.of("no")
    assert "the salt is neither in the files nor given" in what
    assert ended.found["gate"]["red"] == {}
    # Matomo needs no salt for a password and a code: what is lost are tokens and visitors.
    login = ended.found["login"]
    assert (login["is_in"], login["by_own_password"]) == (True, False)


@pytest.mark.nightly(reason="three drills")
@pytest.mark.timeout(900)
def test_every_command_of_the_how_to_runs_in_its_order(
    drilling: Checkout, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, path in (
        ("last-night.sql.gz", backup.dump),
        ("efs.tar", backup.files),
        ("numbers.json", backup.numbers),
    ):
        (drilling.root / name).write_bytes(path.read_bytes())
    for name, value in backup.variables.items():
        monkeypatch.setenv(name, value)
    for line in commands_of("restore-drill.md"):
        if line.startswith(("matomo-harness numbers", "tar")):
            # The fixture has made it, by the same command, of a production that is gone.
            assert (
                drilling.root / ("efs.tar" if line.startswith("tar") else "numbers.json")
            ).exists()
        else:
            run(dataclasses.replace(drilling, seconds=600), line)


# -- closed, and gone ------------------------------------------------------------------------------


def line_of(output: IO[str], beginning: str) -> None:
    for line in output:
        if line.startswith(beginning):
            return
    raise AssertionError(f"never said: {beginning}")


@pytest.mark.slow(reason="a backup is made of a full stack, and restored in part")
@pytest.mark.timeout(600)
@pytest.mark.nightly(reason="a second restoring")
def test_nothing_leaves_the_deployment_and_a_kill_leaves_nothing_of_it(
    drilling: Checkout, backup: Backup
) -> None:
    with begun(drilling, backup, **backup.variables) as program:
        run = run_of(program)
        line_of(program.stdout, f"Drill: {Stage.LOGIN}")
        label = f"{PARENT_LABEL}={reaper.Run(run).as_parent}"
        containers = engine().containers.list(filters={"label": label})
        assert_closed(containers)
        assert list(reaper.RUNS.glob(f"{run}-drill-*"))
        program.send_signal(signal.SIGKILL)
    wait_until_gone(lambda: left_of(run), run)
    for container in containers:
        with pytest.raises(NotFound):
            engine().containers.get(str(container.id))


# -- wrong input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--dump", "none.sql", "--files", "files.tar"), ("a dump at", "none.sql")),
        (("--dump", "dump.sql", "--files", "none.tar"), ("config, misc and js", "no such file")),
        (("--gate", "privacy"), ("--gate to name promises", "privacy")),
        (("--against", "none.json"), ("production's numbers in", "none.json")),
        (("--url", "https://matomo.example"), ("a token of production's in HARNESS_TOKEN",)),
        (("--policy", "none.toml"), ("none.toml",)),
    ],
    ids=lambda words: " ".join(words),
)
def test_wrong_input_is_refused_by_name(
    drilling: Checkout, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    (drilling.root / "dump.sql").write_text("-- a dump\n")
    (drilling.root / "files.tar").write_bytes(b"")
    given = () if "--dump" in arguments else ("--dump", "dump.sql", "--files", "files.tar")
    answer = drilling.harness("drill", *given, *arguments, HARNESS_TOKEN="")
    answer.refuses(ExitCode.WRONG_INPUT, *words)


@pytest.mark.slow(reason="a backup is made of a full stack, and a dump is loaded")
def test_a_dump_of_another_version_is_refused_by_name(
    drilling: Checkout, backup: Backup, tmp_path: Path
) -> None:
    def older(text: str) -> str:
        return re.sub(r"'version_core','[\d.]+'", "'version_core','5.0.0'", text)

    ended = drilled(drilling, backup.broken(tmp_path / "older", older))
    assert ended.code == ExitCode.WRONG_INPUT, ended.text
    assert "an image with Matomo 5.0.0" in ended.text
    assert ended.left == ()
