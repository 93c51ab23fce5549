"""What a backup holds, how old it is, which numbers are compared, and what it all means."""

import dataclasses
import errno
import hashlib
import io
import json
import sqlite3
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, cast

import pymysql
import pytest

from matomo_harness.dumps.sources import (
    DumpSource,
    UnreadableDumpError,
    _no_password,
    _truncated,
)
from matomo_harness.errors import (
    BrokenPromiseError,
    HarnessError,
    UnsupportedEnvironmentError,
    WrongInputError,
)
from matomo_harness.matomo import ini, twofactor
from matomo_harness.operate import compose, drill, gate_container, rehearsal, snapshot_copy
from matomo_harness.operate.drill import against, archived, backup_files, deployment, report, steps
from matomo_harness.operate.drill.against import Production
from matomo_harness.operate.drill.archived import Archive
from matomo_harness.operate.drill.backup_files import DamagedFilesError
from matomo_harness.operate.drill.deployment import connected
from matomo_harness.operate.drill.findings import (
    Ages,
    Comparison,
    Counts,
    Findings,
    Gate,
    Login,
    Salt,
    Stage,
)
from matomo_harness.operate.drill.judgement import verdict
from matomo_harness.operate.drill.steps import _lost_containers, completed
from matomo_harness.operate.quarantined import NO_END
from matomo_harness.operate.rehearsal import state
from matomo_harness.operate.rehearsal.state import ArchivedPeriod
from matomo_harness.operate.rehearsal.verdict import Weight
from matomo_harness.policy import Drill
from matomo_harness.runtime import images
from matomo_harness.runtime.images import Image
from matomo_harness.settings import RunSettings

NOW = datetime(2026, 3, 4, 8, 0)
LIMITS = Drill(oldest_hours=26, longest_minutes=60)
AGES = Ages(
    now=NOW,
    dump=NOW - timedelta(hours=5),
    is_said=True,
    newest_visit=NOW - timedelta(hours=5, minutes=2),
    newest_archive=NOW - timedelta(hours=5, minutes=30),
    files=NOW - timedelta(hours=4),
)
LOGIN = Login(2, 2, asked=True, is_in=True, by_own_password=True)

# -- the verdict ----------------------------------------------------------------------------------


def proven(**changes: Any) -> Findings:
    """Return what a drill of a good backup finds."""
    found = Findings(
        dump=("dump.sql.gz",),
        files="efs.tar",
        image="matomo",
        began=NOW,
        seconds=dict.fromkeys(Stage, 6.0),
        matomo="5.3.1",
        code="5.3.1",
        counts=Counts(tables=60, sites=2, users=3, visits=40, archives=50),
        ages=AGES,
        parts={"config": 9, "misc": 2, "js": 3},
        is_listed=True,
        has_config=True,
        salt=Salt.FILES,
        salt_fits=True,
        restored_by="restore-data.sh",
        numbers=Comparison(50),
        sample=Comparison(27),
        login=LOGIN,
        gate=Gate({"pass": 9}, {}),
    )
    return dataclasses.replace(found, **changes)


def test_a_good_backup_has_nothing_against_it() -> None:
    judged = verdict(proven(), LIMITS)
    assert judged.sentence == "This is a backup."
    assert judged.reasons == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"unusable": {Stage.DUMP: "its end"}, "counts": None}, "the dump cannot be loaded"),
        ({"unusable": {Stage.FILES: "its end"}}, "the files cannot be restored: its end"),
        (
            {"unusable": {Stage.ANSWERS: "the page"}},
            "waiting for Matomo broke off: expected the page",
        ),
        ({"has_config": False}, "config.ini.php is not in the files"),
        ({"damaged": ("js/a.js",)}, "not as when the backup was made: js/a.js"),
        ({"lost_containers": ("abc",)}, "published containers of the tag manager"),
        ({"counts": Counts(tables=60)}, "no rows where every Matomo has some: site, user"),
        ({"counts": Counts(60, 2, 3, 40, 0)}, "the dump has no archives"),
        ({"salt": Salt.NOWHERE, "salt_fits": None}, "the salt is neither in the files nor given"),
        ({"salt_fits": False}, "the salt does not fit the database"),
        ({"no_tables": ("Funnels",)}, "dump and files are of different days: Funnels"),
        ({"without_image": ("A",), "no_code": ("A",)}, "neither in the image nor in the files: A"),
        ({"missing_tables": ("goal",)}, "tables that the code needs are not in the dump: goal"),
        ({"missing_columns": ("log_visit.a",)}, "columns that hits are stored in"),
        ({"lost_reports": ("archive_blob_2024_03",)}, "not in the dump: archive_blob_2024_03"),
        ({"moved": ("site",)}, "not as in the dump once Matomo has started: site"),
        ({"numbers": Comparison(50, ("site 1",))}, "1 of 50 numbers that Matomo reports"),
        ({"production": Comparison(50, ("site 1",))}, "1 of 50 reports are not as in production"),
        ({"sample": Comparison(9, ("site 1",))}, "once their day is archived anew: site 1"),
        ({"login": Login(0, 0)}, "no superuser"),
        ({"login": dataclasses.replace(LOGIN, is_in=False)}, "cannot log in with the second"),
        ({"login": dataclasses.replace(LOGIN, asked=False)}, "gets in without it"),
        ({"login": dataclasses.replace(LOGIN, token_opens=False)}, "the token of production"),
        (
            {"gate": Gate({"fail": 1}, {"masking.a": "…"})},
            "(0 of them could not be completed): masking.a",
        ),
        (
            {"ages": dataclasses.replace(AGES, dump=NOW - timedelta(hours=30), files=None)},
            "the dump was taken 30.0 hours ago, and [drill] oldest_hours = 26",
        ),
        (
            {
                "ages": Ages(
                    NOW, NOW, True, NOW - timedelta(hours=50), NOW - timedelta(hours=49), files=NOW
                )
            },
            "the last that happened in it was 49.0 hours ago",
        ),
        ({"seconds": {Stage.DUMP: 4000.0}}, "[drill] longest_minutes = 60"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_thing_against_a_backup_is_named_alone(changes: dict[str, Any], words: str) -> None:
    judged = verdict(proven(**changes), LIMITS)
    (reason,) = judged.of(Weight.NO)
    assert words in reason.what
    assert reason.next
    assert judged.sentence == "This is no backup: one thing speaks against it."


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"has_logo": False}, "a logo of its own"),
        ({"has_known_end": False}, "whether the dump is whole is not known: the tool wrote no end"),
        ({"salt": Salt.GIVEN}, "the salt is not in the files"),
        (
            {"without_image": ("A",), "code_in_files": ("A",)},
            "the code of active plugins is in the files alone: A",
        ),
        ({"login": Login(1, 0, is_in=True, by_own_password=True)}, "no superuser has a second"),
        (
            {"ages": dataclasses.replace(AGES, files=NOW - timedelta(hours=29))},
            "the files are of 24 hours before the dump",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_restore_needs_besides_is_a_step_of_it(changes: dict[str, Any], words: str) -> None:
    found = proven(**changes)
    judged = verdict(found, LIMITS)
    (reason,) = judged.of(Weight.STEP)
    assert words in reason.what
    assert judged.sentence == "This is a backup; a restore needs 1 more."
    assert reason.what in [step["what"] for step in report.runbook(found, judged)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"allow_lists": ("login_allowlist_ip",)}, "without [General] login_allowlist_ip"),
        (
            {"login": dataclasses.replace(LOGIN, asked=False, has_factor=False)},
            "HARNESS_LOGIN has no second factor",
        ),
        (
            {"login": dataclasses.replace(LOGIN, by_own_password=False, is_unknown=True)},
            "HARNESS_LOGIN and HARNESS_PASSWORD were not used",
        ),
        (
            {"login": dataclasses.replace(LOGIN, token_opens=False, is_token_there=False)},
            "the token of production is not in the dump",
        ),
        ({"left_out": ("USE: a schema (1)",)}, "of the dump: USE: a schema (1)"),
        ({"missing_months": ("2024-02",)}, "no table of archives is of these months: 2024-02"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_good_to_know_speaks_neither_against_it_nor_for_a_step(
    changes: dict[str, Any], words: str
) -> None:
    judged = verdict(proven(**changes), LIMITS)
    (reason,) = judged.reasons
    assert reason.weight is Weight.NOTE
    assert words in reason.what
    assert judged.sentence == "This is a backup."


def test_without_limits_no_age_and_no_time_speaks_against_it() -> None:
    ages = dataclasses.replace(AGES, dump=NOW - timedelta(days=99), files=None)
    assert verdict(proven(ages=ages, seconds={Stage.DUMP: 1e6}), Drill()).is_backup


@pytest.mark.parametrize(
    ("hours", "is_copying", "steps_more"),
    [(29, True, 1), (29, False, 0), (-20, True, 1), (-20, False, 1), (4, False, 0)],
)
def test_an_old_file_says_nothing_of_when_it_was_copied_and_a_young_one_does(
    hours: int, is_copying: bool, steps_more: int
) -> None:
    ages = dataclasses.replace(AGES, files=NOW - timedelta(hours=hours), is_copying=is_copying)
    judged = verdict(proven(ages=ages), LIMITS)
    assert len(judged.of(Weight.STEP)) == steps_more


def test_the_gaps_are_in_minutes() -> None:
    assert list(AGES.minutes.values()) == [300, 2, 30, 60]
    assert Ages(NOW, NOW, False).minutes["from the newest visit until the dump"] is None


def test_the_runbook_has_the_times_that_were_measured(tmp_path: Path) -> None:
    found = proven(seconds={Stage.DUMP: 120.0, Stage.START: 6.0})
    document = report.write(found, verdict(found, LIMITS), tmp_path)
    took = {step["what"]: step["took"] for step in document["runbook"]}
    assert took["Load the dump into an empty schema"] == "2.0 min"
    assert took["Start matomo"] == "6 s"
    assert document["minutes_to_answer"] == 2.1
    page = (tmp_path / "index.html").read_text()
    assert "This is a backup." in page
    assert "27 compared, 0 differ" in page
    assert json.loads((tmp_path / "drill.json").read_text()) == document


@pytest.mark.parametrize(
    ("dump", "command"),
    [
        (("last night.sql.gz",), "zcat 'last night.sql.gz' | mariadb DATABASE"),
        (("dump.sql",), "cat dump.sql | mariadb DATABASE"),  # which zcat refuses
        (("dump.sql.zst",), "zstdcat dump.sql.zst | mariadb DATABASE"),
    ],
)
def test_the_runbook_loads_a_dump_as_it_is_packed(dump: tuple[str, ...], command: str) -> None:
    assert report.loading(dump) == command


@pytest.mark.parametrize(
    "dump", [("mydumper-of-today",), ("a.gz.00", "a.gz.01"), ("dump.zip",), ("dump.tar.gz",)]
)
def test_the_runbook_has_no_command_that_cannot_load_a_dump(dump: tuple[str, ...]) -> None:
    assert report.loading(dump).startswith(f"unpack {' '.join(dump)}, and load it")


# -- before anything is loaded --------------------------------------------------------------------


def refused_at_once(
    monkeypatch: pytest.MonkeyPatch, policy: Path | None, image: str | None = None
) -> str:
    """Return what a drill is refused for before a file of the backup is looked at."""

    def never(*_: Any) -> Findings:
        raise AssertionError("the drill has begun")

    monkeypatch.setattr(steps, "drill", never)
    settings = RunSettings(image=image)
    with pytest.raises(WrongInputError) as error:
        drill.drill([Path("dump.sql")], Path("efs.tar"), settings, policy=policy)
    return f"{error.value}"


def test_a_mistake_in_the_waivers_is_named_before_a_drill_or_a_rehearsal_begins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("")
    (tmp_path / "waivers.toml").write_text("[[waivers]]\ncheck = 1\n")
    monkeypatch.setattr(drill, "DIRECTORY", tmp_path / "reports")
    assert "waivers.toml" in refused_at_once(monkeypatch, policy)

    def never(*_: Any) -> None:
        raise AssertionError("the rehearsal has begun")

    monkeypatch.setattr(rehearsal.rehearse, "rehearse", never)
    monkeypatch.setattr(images, "given", lambda name, _: Image(name, "sha256:1", "given"))
    settings = RunSettings.from_environment({})
    with pytest.raises(WrongInputError, match=r"waivers\.toml"):
        rehearsal.rehearse_upgrade("image:a", "b", settings, policy=policy)


def test_a_report_that_cannot_be_written_is_named_before_a_drill_begins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("")
    (tmp_path / "reports").write_text("no directory")
    monkeypatch.setattr(drill, "DIRECTORY", tmp_path / "reports/drill")
    assert "a directory for the report" in refused_at_once(monkeypatch, policy)


def test_another_image_is_not_drilled_by_our_policy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    theirs = Image("theirs:1", "sha256:1", "given")
    monkeypatch.setattr(images, "given", lambda *_: theirs)
    monkeypatch.setattr(images, "is_reference", lambda _: False)
    monkeypatch.setattr(drill, "DIRECTORY", tmp_path / "reports")
    monkeypatch.chdir(tmp_path)
    assert "a policy for theirs:1" in refused_at_once(monkeypatch, None, "theirs:1")
    (tmp_path / "policy.toml").write_text("[drill]\nno_such_key = 1\n")
    assert "no_such_key" in refused_at_once(monkeypatch, None, "theirs:1"), "one's own is read"


def test_another_image_is_not_rehearsed_by_our_policy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(images, "given", lambda name, _: Image(name, "sha256:1", "given"))
    monkeypatch.setattr(images, "is_reference", lambda image: image.reference == "ours:1")
    monkeypatch.setattr("matomo_harness.operate.gate.require_place", refused)
    monkeypatch.chdir(tmp_path)
    for begins, seen in (("theirs:1", "a policy for theirs:1"), ("ours:1", "past the policy")):
        with pytest.raises(WrongInputError, match=seen):
            rehearsal.rehearse_upgrade(f"image:{begins}", "other:2", RunSettings())


def refused(*_: Any) -> None:
    raise WrongInputError(expected="", seen="past the policy", next_command="")


def test_a_drill_that_breaks_off_leaves_no_verdict_of_an_earlier_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def without_room(_: object) -> None:
        raise UnsupportedEnvironmentError(expected="room", seen="none", next_command="df -h")

    reports, dump, files = tmp_path / "reports", tmp_path / "dump.sql", tmp_path / "efs.tar"
    report.write(proven(), verdict(proven(), LIMITS), reports)
    dump.write_text("-- a dump\n")
    files.write_text("")
    monkeypatch.setattr("matomo_harness.runtime.images.deployed_image", lambda _: "matomo")
    monkeypatch.setattr(steps._Drill, "run", without_room)
    choices = steps.Choices(tmp_path, reports)
    with pytest.raises(UnsupportedEnvironmentError):
        steps.drill([dump], files, RunSettings.from_environment({}), choices)
    assert list(reports.iterdir()) == []


@pytest.mark.parametrize("name", [".", "file/numbers.json"])
def test_numbers_that_cannot_be_written_are_not_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(against.TOKEN, "a token")
    with pytest.raises(WrongInputError, match="that can be written to"):
        against.take("https://matomo.invalid", None, tmp_path / name)


# -- the dump -------------------------------------------------------------------------------------


def dumped(monkeypatch: pytest.MonkeyPatch, load: Callable[..., Any]) -> Findings:
    """Return what is found of a dump that is loaded so."""
    monkeypatch.setattr(steps, "safe_tables", load)
    monkeypatch.setattr(
        steps,
        "images",
        SimpleNamespace(
            mariadb_base=lambda _: None,
            deployed_image=lambda _: SimpleNamespace(reference="matomo"),
            code_version=lambda _: "5.3.1",
        ),
    )
    found, nothing = proven(unusable={}), cast(Any, None)
    with ExitStack() as running, suppress(steps._EndedError):
        steps._Drill([], Path(), nothing, nothing, found, running)._dump(running)
    return found


def test_what_is_not_known_of_a_dump_is_carried_on(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def load(*_: Any, **__: Any) -> Iterator[Any]:
        yield SimpleNamespace(
            described=SimpleNamespace(matomo_version="5.3.1"),
            certificate=SimpleNamespace(left_out=("VIEW: no views (1)", NO_END)),
        )

    found = dumped(monkeypatch, load)
    assert (found.left_out, found.has_known_end) == (("VIEW: no views (1)",), False)


def test_a_dump_that_only_its_password_opens_is_no_broken_backup(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(*_: Any, **__: Any) -> Any:
        raise _no_password("dump.zip", "none")

    with pytest.raises(WrongInputError, match="the password of dump"):
        dumped(monkeypatch, load)


def test_a_truncated_dump_is_a_broken_backup(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any, **__: Any) -> Any:
        raise _truncated("dump.sql")

    assert "dump.sql to be whole" in dumped(monkeypatch, load).unusable[Stage.DUMP]


def test_a_dump_that_this_user_may_not_read_is_named_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(UnreadableDumpError, match="a readable dump"):
        list(DumpSource([Path(__file__)]).parts())


# -- what breaks on the way -----------------------------------------------------------------------


def broken(stage: Stage, error: Exception) -> Findings:
    """Return what is found where a stage breaks with an error."""
    found, nothing = proven(unusable={}), cast(Any, None)
    of_drill = steps._Drill([], Path(), nothing, nothing, found, nothing)
    with of_drill._stage(stage, may_fail=True):
        raise error
    return found


def refused_by_database(number: int) -> WrongInputError:
    """Return the error for a server that lets nobody in."""
    error = WrongInputError(expected="the database", seen="", next_command="")
    error.__cause__ = pymysql.OperationalError(number, "a reason")
    return error


@pytest.mark.parametrize(
    "error",
    [
        *(pymysql.OperationalError(number, "margaret") for number in (2006, 2013, 1114)),
        refused_by_database(2003),
        UnsupportedEnvironmentError(expected="room", seen="none", next_command="df"),
    ],
    ids=["gone", "lost", "full", "stopped", "machine"],
)
def test_a_machine_that_fails_once_matomo_runs_says_nothing_of_the_backup(error: Exception) -> None:
    with pytest.raises(UnsupportedEnvironmentError) as seen:
        broken(Stage.NUMBERS, error)
    assert "margaret" not in f"{seen.value}"


@pytest.mark.parametrize(
    ("stage", "error"),
    [
        (Stage.NUMBERS, pymysql.OperationalError(1054, "margaret")),
        (Stage.NUMBERS, BrokenPromiseError(expected="a page", seen="", next_command="")),
        (Stage.RESTORE, WrongInputError(expected="INI", seen="", next_command="")),
        (
            Stage.ANSWERS,
            UnsupportedEnvironmentError(expected="an answer", seen="", next_command=""),
        ),
    ],
    ids=["a column", "a page", "the configuration", "no answer"],
)
def test_what_the_backup_brings_about_speaks_against_it(stage: Stage, error: Exception) -> None:
    assert [*broken(stage, error).unusable] == [stage]


# -- the login ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("login", "password", "judged"),
    [
        ("grace", "hers", (True, False, False)),
        ("ada", "hers", (True, True, False)),
        ("adda", "hers", (False, True, True)),
        ("ada", "", (False, True, True)),
        ("", "", (False, True, False)),
    ],
    ids=["without a second factor", "with one", "mistyped", "no password", "nothing given"],
)
def test_who_logs_in_is_judged_by_a_second_factor_of_their_own(
    monkeypatch: pytest.MonkeyPatch, login: str, password: str, judged: tuple[bool, bool, bool]
) -> None:
    superuser = {"superuser_access": 1, "password": ""}
    tables: Any = Tables()
    tables.put(
        "user",
        {"login": "ada", "twofactor_secret": "a secret", **superuser},
        {"login": "grace", "twofactor_secret": "", **superuser},
    )
    monkeypatch.setenv(steps.LOGIN, login)
    monkeypatch.setenv(steps.PASSWORD, password)
    started: Any = SimpleNamespace(
        shell=SimpleNamespace(run=lambda *_, **__: "hashed"),
        web=SimpleNamespace(url="https://localhost", authority=None),
    )

    def nobody(*_: Any) -> None:
        raise BrokenPromiseError(expected="", seen="", next_command="")

    monkeypatch.setattr(twofactor, "log_in", nobody)
    found = steps._log_in(started, tables, None, None)
    assert (found.superusers, found.enrolled) == (2, 1)
    assert (found.by_own_password, found.has_factor, found.is_unknown) == judged


@pytest.mark.parametrize(
    ("token", "salt", "is_there"),
    [
        ("of yesterday", "a salt", True),
        ("of today", "a salt", False),
        ("of today", None, True),
    ],
    ids=["in the dump", "made after it", "without a salt that fits"],
)
def test_a_token_that_was_made_after_the_dump_is_known_by_its_hash(
    monkeypatch: pytest.MonkeyPatch, token: str, salt: str | None, is_there: bool
) -> None:
    tables: Any = Tables()
    tables.put("user", {"login": "anonymous", "twofactor_secret": "", "superuser_access": 0})
    stored = hashlib.sha512(b"of yesterday" + b"a salt").hexdigest()
    tables.put("user_token_auth", {"password": stored})
    monkeypatch.setattr(steps, "_opens", lambda *_: False)
    found = steps._log_in(cast(Any, None), tables, Production(token=token), salt)
    assert (found.token_opens, found.is_token_there) == (False, is_there)


# -- files ----------------------------------------------------------------------------------------


def tar_of(path: Path, files: Mapping[str, str], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(text), 1_000_000
            tar.addfile(member, io.BytesIO(text.encode()))
        link = tarfile.TarInfo("config/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/shadow"
        tar.addfile(link)
    return path


FILES = {
    "./efs/config/config.ini.php": "[General]\nsalt = a\n",
    "./efs/misc/user/people.csv": "a person",
    "./efs/js/container_abc.js": "1",
    "./efs/plugins/Mine/js/a.js": "2",
    "./efs/matomo.js": "3",
    "./efs/../js/../../etc/passwd": "4",
    "./efs/other": "5",
}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_all_of_the_files_are_restored_but_code(tmp_path: Path, mode: str) -> None:
    with backup_files.read(tar_of(tmp_path / "efs.tar", FILES, mode)) as found:
        assert found.config == FILES["./efs/config/config.ini.php"]
        assert found.counts == {"config": 1, "misc": 1, "js": 1, "plugins": 1}
        assert found.plugins == {"Mine"}
        assert set(found.sums) >= {"matomo.js", "plugins/Mine/js/a.js"}
        assert (found.manifest, found.damaged) == (None, [])
        found.archive.seek(0)
        with tarfile.open(fileobj=found.archive) as restored:
            assert restored.getnames() == [
                "config/config.ini.php",
                "misc/user/people.csv",
                "js/container_abc.js",
            ]


def test_a_file_that_is_not_as_the_list_says_is_named(tmp_path: Path) -> None:
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in FILES.items()}
    listed = "".join(
        f"file {digests[f'./efs/{name}']}  {name}\n"
        for name in ("config/config.ini.php", "js/container_abc.js", "matomo.js")
    )
    manifest = f"made 2026-03-04T01:02:03Z\nmatomo 5.3.1\nlacks the database\n{listed}"
    files = {**FILES, "./efs/backup-manifest.txt": manifest}
    with backup_files.read(tar_of(tmp_path / "whole.tar", files)) as found:
        assert found.damaged == []
        assert found.manifest
        assert (found.manifest.matomo, found.manifest.lacks) == ("5.3.1", ("the database",))
        assert f"{found.manifest.made}" == "2026-03-04 01:02:03+00:00"
    files["./efs/matomo.js"] = "another"
    del files["./efs/js/container_abc.js"]
    with backup_files.read(tar_of(tmp_path / "damaged.tar", files)) as found:
        assert found.damaged == ["js/container_abc.js", "matomo.js"]


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.EACCES, WrongInputError, "to be allowed to read"),
        (errno.EPERM, WrongInputError, "to be allowed to read"),
        (errno.ENOSPC, UnsupportedEnvironmentError, "room in"),
        (errno.EDQUOT, UnsupportedEnvironmentError, "room in"),
        (errno.EIO, DamagedFilesError, "cannot be read to its end"),
    ],
)
def test_what_this_machine_lacks_is_no_damage_of_the_files(
    monkeypatch: pytest.MonkeyPatch, number: int, kind: type[HarnessError], words: str
) -> None:
    def fail(_: Path) -> None:
        raise OSError(number, "a reason")

    monkeypatch.setattr(tarfile, "open", fail)
    with pytest.raises(HarnessError, match=words) as seen, backup_files.read(Path("efs.tar")):
        pass
    assert type(seen.value) is kind
    assert "a reason" in seen.value.seen


def test_a_list_that_is_cut_is_named_itself(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"3").hexdigest()
    for end in ("file", "file 0123456789ab"):
        manifest = f"made 2026-03-04T01:02:03Z\nfile {digest}  matomo.js\n{end}"
        files = {**FILES, "./efs/backup-manifest.txt": manifest}
        with backup_files.read(tar_of(tmp_path / "efs.tar", files)) as found:
            assert found.damaged == ["backup-manifest.txt"]


def tar_with(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    """Write a tar with these members."""
    with tarfile.open(path, "w:gz") as tar:
        for member, text in members:
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return path


def test_a_time_that_no_calendar_has_is_none(tmp_path: Path) -> None:
    odd, usual = tarfile.TarInfo("js/odd.js"), tarfile.TarInfo("js/usual.js")
    odd.mtime, usual.mtime = 2**40, 1_000_000
    with backup_files.read(tar_with(tmp_path / "efs.tar", (odd, b"1"), (usual, b"2"))) as found:
        assert found.newest == datetime.fromtimestamp(1_000_000, UTC)
        assert found.counts == {"js": 2}


def test_a_hard_link_is_restored_as_the_file_that_it_names(tmp_path: Path) -> None:
    file, link = tarfile.TarInfo("js/a.js"), tarfile.TarInfo("js/b.js")
    link.type, link.linkname = tarfile.LNKTYPE, "js/a.js"
    with backup_files.read(tar_with(tmp_path / "efs.tar", (file, b"text"), (link, b""))) as found:
        assert found.sums["js/b.js"] == found.sums["js/a.js"]
        found.archive.seek(0)
        with tarfile.open(fileobj=found.archive) as restored:
            assert [member.size for member in restored] == [4, 4]
    link.linkname = "js/other.js"
    with (
        pytest.raises(DamagedFilesError, match=r"the file of the hard link js/b\.js"),
        backup_files.read(tar_with(tmp_path / "lost.tar", (file, b"text"), (link, b""))),
    ):
        pass


def test_names_that_are_no_utf_8_are_compared_by_their_bytes(tmp_path: Path) -> None:
    name = b"misc/user/logo\xe9.png".decode(errors="surrogateescape")
    digest = hashlib.sha256(b"1").hexdigest()
    for said, damaged in ((digest, []), ("0" * 64, [r"misc/user/logo\xe9.png"])):
        listed = f"file {said}  {name}\n".encode(errors="surrogateescape")
        path = tar_with(
            tmp_path / "efs.tar",
            (tarfile.TarInfo(name), b"1"),
            (tarfile.TarInfo("backup-manifest.txt"), listed),
        )
        with backup_files.read(path) as found:
            assert found.damaged == damaged
            changed = proven(damaged=tuple(found.damaged))
            report.write(changed, verdict(changed, LIMITS), tmp_path / "report")


@pytest.mark.parametrize("part", [0, 100, 300])
def test_a_tar_that_is_cut_or_of_something_else_is_damaged(tmp_path: Path, part: int) -> None:
    path = tar_of(tmp_path / "efs.tar", FILES if part else {"home/notes.txt": "1"})
    path.write_bytes(path.read_bytes()[: part or None])
    with pytest.raises(DamagedFilesError), backup_files.read(path):
        pass


def test_a_configuration_leads_to_the_deployment_and_stays_as_it_is_otherwise() -> None:
    production = """; ours
[database]
host = "rds"
port = 3307
password = "of production"
charset = utf8mb4
[General]
salt = "of production"
trusted_hosts[] = "matomo.example"
[mail]
transport = "smtp"
host = "ses"
[Plugins]
Plugins[] = "Live"
"""
    environment = {
        "MATOMO_DATABASE_HOST": "db",
        "MATOMO_DATABASE_PASSWORD": "of the drill",
        "MATOMO_GENERAL_SALT": "of the drill",
        "MATOMO_GENERAL_FORCE_SSL": "1",
        "MATOMO_MAIL_HOST": "mail",
        "PATH": "/bin",
    }
    read = ini.read(connected(production, environment))
    texts = {key: read.text("database", key) for key in read.settings["database"]}
    assert texts == {"host": "db", "password": "of the drill", "charset": "utf8mb4"}
    assert [read.text("mail", key) for key in read.settings["mail"]] == ["mail"]
    assert read.text("General", "salt") == "of production"
    assert read.text("General", "force_ssl") == "1"
    assert read.texts("Plugins", "Plugins") == ("Live",)


class Shell:
    """Stands for a container's shell, and for the container."""

    name = "matomo"
    profile = SimpleNamespace(web_user="www-data")

    def __init__(self) -> None:
        self.put = ""

    def run(self, *command: str, user: str = "") -> str:
        """Answer what is asked of a deployment without environment."""
        assert not user
        return "1000" if command[0] == "id" else ""

    def put_archive(self, _: str, archive: IO[bytes]) -> None:
        """Take what is put into it."""
        with tarfile.open(fileobj=archive) as tar:
            config = tar.extractfile("config/config.ini.php")
            assert config
            self.put = config.read().decode()


def test_addresses_that_may_log_in_are_left_out_of_what_is_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = """[General]
salt = "a"
login_allowlist_ip[] = "192.0.2.7"
login_allowlist_ip[] = "198.51.100.0/24"
login_whitelist_ip = "192.0.2.8"
login_allowlist_apply_to_reporting_api_requests = 1
"""
    shell: Any = Shell()
    started: Any = SimpleNamespace(shell=shell, stack=None)
    matomo = SimpleNamespace(profile=SimpleNamespace(programs=(), web_root="/"))
    monkeypatch.setattr(compose, "running", lambda *_: shell)
    monkeypatch.setattr(gate_container, "entered", lambda _: (None, matomo))
    monkeypatch.setattr(snapshot_copy, "take_own_address", lambda _: None)
    files = {"config/config.ini.php": config}
    with backup_files.read(tar_of(tmp_path / "efs.tar", files)) as found:
        assert deployment.allow_lists(found) == ("login_allowlist_ip", "login_whitelist_ip")
        deployment.restore(started, found)
    assert ini.read(shell.put).settings["General"].keys() == {
        "salt",
        "login_allowlist_apply_to_reporting_api_requests",
    }


# -- numbers --------------------------------------------------------------------------------------


def archive(period: str = "day", first: str = "2026-03-02", **changes: Any) -> Archive:
    day = date.fromisoformat(first)
    made = Archive(1, period, day, day, "", True, {"nb_visits": 3.0, "bounce_count": 1.0})
    return dataclasses.replace(made, **changes)


class Tables:
    """Answers SQL that MariaDB and SQLite understand alike."""

    def __init__(self) -> None:
        self._sqlite = sqlite3.connect(":memory:")
        self._sqlite.row_factory = sqlite3.Row

    def put(self, table: str, *rows: Mapping[str, Any]) -> None:
        """Make a table with these rows."""
        columns = list(rows[0])
        self._sqlite.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
        for row in rows:
            marks = ", ".join("?" for _ in columns)
            self._sqlite.execute(f"INSERT INTO {table} VALUES ({marks})", [*row.values()])  # noqa: S608

    def archive(self, month: str, *, reports: bool | None = True, **numbers: float) -> None:
        """Make the tables of a month with one archive.

        Args:
            month: as the names of the tables end.
            reports: whether the archive has one; None for no such table.
            numbers: of the archive.
        """
        rows = [{"idarchive": 7, "name": name, "value": value} for name, value in numbers.items()]
        self.put(f"archive_numeric_{month}", *rows)
        if reports is not None:
            self.put(f"archive_blob_{month}", {"idarchive": 7 if reports else 8})

    def tables(self) -> set[str]:
        """Return the names of the tables."""
        return {row["name"] for row in self._sqlite.execute("SELECT name FROM sqlite_master")}

    def query(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        """Return the rows of a statement."""
        given: list[Any] = []
        marks = []
        for value in values:
            several = value if isinstance(value, tuple) else (value,)
            given += several
            listed = ", ".join("?" for _ in several)
            marks.append(f"({listed})" if isinstance(value, tuple) else listed)
        filled = statement.replace("{prefix}", "").replace("%%", "%")
        for mark in marks:
            filled = filled.replace("%s", mark, 1)
        return list(self._sqlite.execute(filled, given))


OF_PLUGINS = {"UserCountry_distinctCountries": 1.0}


@pytest.mark.parametrize("reports", [None, False], ids=["no table", "no row of it"])
def test_reports_that_are_lost_beside_their_numbers_are_named(reports: bool | None) -> None:
    tables: Any = Tables()
    tables.archive("2024_02", done=1, nb_visits=3, **OF_PLUGINS)
    tables.archive("2024_03", reports=reports, done=1, nb_visits=3, **OF_PLUGINS)
    assert archived.lost_reports(tables) == ("archive_blob_2024_03",)


@pytest.mark.parametrize(
    "numbers",
    [
        {"done": 1, "nb_visits": 0, **OF_PLUGINS},
        {"done": 1, **OF_PLUGINS},
        {"done": 2, "nb_visits": 3, **OF_PLUGINS},
        {"done.VisitsSummary": 1, "nb_visits": 3, **OF_PLUGINS},
        {"done": 1, "nb_visits": 3, "Goal_nb_conversions": 1},
    ],
    ids=["no visits", "no number of visits", "failed", "of a plugin", "old reports deleted"],
)
def test_no_report_is_asked_of_an_archive_that_has_none(numbers: dict[str, float]) -> None:
    tables: Any = Tables()
    tables.archive("2024_03", reports=None, **numbers)
    assert archived.lost_reports(tables) == ()


def test_months_without_a_table_of_archives_are_named() -> None:
    tables: Any = Tables()
    for month in ("2023_01", "2023_11", "2024_02"):
        tables.archive(month, done=1)
    archives = [archive("year", "2023-01-01"), archive(first="2023-11-05")]
    assert archived.missing_months(tables, archives) == ("2023-12", "2024-01")
    assert archived.missing_months(tables, []) == ()


@pytest.mark.parametrize(
    ("script", "lost"),
    [
        ("container_abc.js", ()),
        ("container_abc_preview.js", ("abc",)),
        ("container_abc_dev_0123456789abcdef.js", ("abc",)),
        ("container_abcd.js", ("abc",)),
    ],
)
def test_the_live_script_of_a_published_container_has_to_be_there(
    tmp_path: Path, script: str, lost: tuple[str, ...]
) -> None:
    tables: Any = Tables()
    tables.put("tagmanager_container", {"idcontainer": "abc", "status": "active"})
    tables.put(
        "tagmanager_container_release",
        {"idcontainer": "abc", "status": "active", "environment": "live"},
    )
    with backup_files.read(tar_of(tmp_path / "efs.tar", {f"js/{script}": "1"})) as files:
        assert _lost_containers(tables, files) == lost


class Reports:
    """Answers as Matomo's API does."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = answers
        self.asked: list[dict[str, Any]] = []

    def call(self, method: str, **parameters: Any) -> Any:
        """Return the answer of the period."""
        assert method == "VisitsSummary.get"
        self.asked.append(parameters)
        return self._answers[str(parameters["period"])]


ANSWERS = {
    "day": {
        "2026-03-02": {"nb_visits": 3, "bounce_count": 1, "nb_actions": 9},
        "2026-03-03": [],
    },
    "week": {"2026-03-02,2026-03-08": {"nb_visits": 3, "bounce_count": 1}},
    "month": {"2026-03": {"nb_visits": 3, "bounce_count": 1}},
    "range": {"nb_visits": 3, "bounce_count": 1},
}


def test_every_number_of_every_archive_is_asked_for_at_once() -> None:
    archives = [
        archive(),
        archive(first="2026-03-03", numbers={}),
        archive("week"),
        archive("month", "2026-03-01"),
        archive("range", last=date(2026, 3, 9)),
    ]
    reports: Any = Reports(ANSWERS)
    assert archived.differing(reports, archives) == []
    assert [asked["date"] for asked in reports.asked] == [
        "2026-03-02,2026-03-03",
        "2026-03-01,2026-03-01",
        "2026-03-02,2026-03-02",
        "2026-03-02,2026-03-09",
    ]


@pytest.mark.parametrize(
    "changed",
    [
        archive(numbers={"nb_visits": 4.0}),
        archive(numbers={"max_actions": 1.0}),
        archive(first="2026-03-03"),
        archive("week", numbers={"nb_visits": 1.0}),
        archive("range", last=date(2026, 3, 9), numbers={"nb_visits": 1.0}),
    ],
    ids=lambda changed: changed.name,
)
def test_another_number_or_none_is_a_difference(changed: Archive) -> None:
    reports: Any = Reports(ANSWERS)
    assert archived.differing(reports, [changed]) == [changed.name]


class Visits:
    """A database of two sites' visits, in UTC and five hours behind it."""

    def __init__(self, *visits: tuple[int, str]) -> None:
        self._visits = [(site, datetime.fromisoformat(moment)) for site, moment in visits]

    def query(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Return the rows of a statement."""
        if "GROUP BY idsite" in statement:
            firsts = dict(sorted(self._visits, reverse=True))
            return [{"idsite": site, "first": moment} for site, moment in firsts.items()]
        site, *bounds = values
        if "timezone" in statement:
            return [{"timezone": "UTC" if site == 1 else "UTC-5"}]
        begun, ended = bounds
        return [{"1": 1} for one, moment in self._visits if one == site and begun <= moment < ended]


@pytest.mark.parametrize(
    ("visits", "days_stored", "days"),
    [
        ([(1, "2026-03-01T08:00")], None, ["2026-03-03", "2026-03-02"]),
        ([(1, "2026-03-01T08:00")], 720, ["2026-03-03"]),
        # Of a site with another's archives alone nobody knows whether it has lost any.
        ([(2, "2026-03-01T08:00")], None, []),
        # A dump without a visit: those of these days should be there.
        ([], None, ["2026-03-03", "2026-03-02"]),
        ([], 3, ["2026-03-03"]),
        ([], 1, []),
    ],
)
def test_days_are_sampled_whose_visits_should_be_there(
    visits: list[tuple[int, str]], days_stored: int | None, days: list[str]
) -> None:
    archives = [
        archive(first="2026-03-02"),
        archive(first="2026-03-03"),
        archive(first="2026-03-04", is_closed=False),
        archive("week"),
    ]
    database: Any = Visits(*visits)
    sampled = steps._sampled(database, archives, date(2026, 3, 4), days_stored)
    assert [str(day.first) for day in sampled] == days


def test_a_day_of_whose_visits_the_dump_has_none_is_not_compared_with_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Matomo archives no such day anew: its old numbers stay."""
    monkeypatch.setattr(state, "numbers", lambda _, asked: dict.fromkeys(map(str, asked), 3))
    nothing: Any = SimpleNamespace(
        call=lambda *_, **__: None, shell=SimpleNamespace(console=lambda *_, **__: "")
    )
    database: Any = Visits((1, "2026-03-02T23:59"), (2, "2026-03-03T02:00"))
    sampled = [archive(first="2026-03-03"), archive(site=2), archive()]
    found = steps._archived_anew(nothing, nothing, database, sampled)
    assert (found.count, found.different) == (
        3,
        ("site 1, day of 2026-03-03, of which the dump has no visit",),
    )


def test_a_segment_is_named_without_whom_it_is_about() -> None:
    segment = "userId==margaret"
    assert "margaret" not in archive(segment=segment).name
    named = archived.name_of(f"Goals.get, {ArchivedPeriod(1, 'day', '2026-03-02', segment)}")
    assert named.startswith("Goals.get, site 1, day of 2026-03-02, segment ")
    assert "margaret" not in named


def test_production_is_asked_for_the_newest_periods_that_were_over() -> None:
    archives = [
        archive(first="2026-03-01"),
        archive(),
        archive(first="2026-03-03", is_closed=False),
        archive("week", is_closed=False),
    ]
    assert archived.newest_closed(archives) == [ArchivedPeriod(1, "day", "2026-03-02")]


@pytest.mark.parametrize(
    ("zone", "end"),
    [
        ("UTC", datetime(2026, 3, 3)),
        ("America/New_York", datetime(2026, 3, 3, 5)),
        ("Pacific/Auckland", datetime(2026, 3, 2, 11)),
        ("UTC-5.5", datetime(2026, 3, 3, 5, 30)),
        ("UTC+2", datetime(2026, 3, 2, 22)),
        ("Nowhere/Else", datetime(2026, 3, 3, 12)),
    ],
)
def test_a_day_ends_in_the_zone_of_its_site(zone: str, end: datetime) -> None:
    assert archived._end(date(2026, 3, 2), zone) == end


@pytest.mark.parametrize(
    ("day", "over"),
    [
        ("2026-03-02", ["2026-03-02", "2026-02-23", "2026-02-01", "2025-01-01"]),
        ("2026-03-01", ["2026-03-01", "2026-02-23", "2026-02-01", "2025-01-01"]),
        ("2025-12-31", ["2025-12-31", "2025-12-22", "2025-12-01", "2025-01-01"]),
    ],
)
def test_periods_are_asked_for_once_they_are_over(day: str, over: list[str]) -> None:
    found = against._over(date.fromisoformat(day))
    assert [f"{first}" for first in found.values()] == over


def test_equal_rows_in_another_order_are_the_same_report() -> None:
    rows = [{"label": "a", "nb_visits": 2}, {"label": "b", "nb_visits": 2}]
    nested = {"2026-01-01": rows}
    turned = {"2026-01-01": rows[::-1]}
    assert archived.digests({"one": nested}) == archived.digests({"one": turned})
    assert archived.digests({"one": rows}) != archived.digests({"one": rows[:1]})


def test_what_production_does_not_show_says_nothing_of_the_backup(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = {
        True: {"a": 1, "b": {"error": "no access"}, "c": {"error": "no such report"}, "d": 2},
        False: {"a": 1, "b": 7, "c": {"error": "no such report"}, "d": 3},
    }
    restored = cast(Any, object())
    monkeypatch.setattr(state, "numbers", lambda api, _: answers[api is not restored])
    found = against.compared(Production(url="https://matomo.example"), restored, [])
    assert (found.count, found.different) == (3, ("d",))
    assert found.left_out == "1 reports that production does not show to this token"


def test_a_report_that_production_did_not_answer_is_no_number_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    restored = cast(Any, object())

    def numbers(api: object, periods: Sequence[ArchivedPeriod]) -> dict[str, Any]:
        found: dict[str, Any] = {f"{m}, {p}": 1 for p in periods for m in state.METHODS}
        if api is not restored:
            found[f"Actions.getPageUrls, {periods[-1]}"] = {"error": "HTTP 504: the proxy's"}
        return found

    monkeypatch.setenv(against.TOKEN, "a token")
    monkeypatch.setattr(state, "numbers", numbers)
    monkeypatch.setattr(against, "all_rows", lambda *_: [1])
    file = tmp_path / "numbers.json"
    taken = against.take("https://matomo.invalid", None, file)
    assert taken.unanswered == 1
    found = against.compared(Production(file), restored, [])
    assert (found.count, found.different) == (4 * len(state.METHODS) - 1, ())
    assert found.left_out == "1 reports that production answered by an error"


@pytest.mark.parametrize(
    ("plugin", "in_file", "given", "salt", "source"),
    [
        ("EnvironmentVariables", "a", "b", "b", Salt.GIVEN),
        ("EnvironmentVariables", "a", "", "a", Salt.FILES),
        ("Live", "a", "b", "a", Salt.FILES),
        ("Live", "", "b", "b", Salt.GIVEN),
        ("Live", "", "", None, Salt.NOWHERE),
    ],
)
def test_the_salt_is_the_one_that_production_has(
    monkeypatch: pytest.MonkeyPatch,
    plugin: str,
    in_file: str,
    given: str,
    salt: str | None,
    source: Salt,
) -> None:
    monkeypatch.setenv(steps.SALT_VARIABLE, given)
    lines = ["[General]", *([f'salt = "{in_file}"'] if in_file else [])]
    files = SimpleNamespace(config="\n".join([*lines, "[Plugins]", f'Plugins[] = "{plugin}"']))
    found = proven(salt=Salt.NOWHERE)
    drill = steps._Drill([], Path(), cast(Any, None), cast(Any, None), found, ExitStack())
    assert drill._salt(cast(Any, files)) == salt
    assert found.salt == source


def test_a_file_of_numbers_is_read_as_it_was_written(tmp_path: Path) -> None:
    periods = (ArchivedPeriod(1, "day", "2026-03-02"),)
    numbers = against.Numbers(periods, archived.digests({"Goals.get, site 1": [1, {"label": "a"}]}))
    path = tmp_path / "numbers.json"
    path.write_text(json.dumps(dataclasses.asdict(numbers)))
    assert against.read(path) == numbers
    path.write_text("{}")
    with pytest.raises(WrongInputError, match="another file"):
        against.read(path)


@pytest.mark.parametrize(
    ("said", "written", "expected"),
    [
        ("02:00:00", "02:00:01", "02:00:00"),
        ("04:00:00", "02:00:10", "02:00:00"),  # Berlin
        ("07:30:00", "02:05:00", "02:00:00"),  # Kolkata, and five minutes until it was packed
        ("02:00:00", "07:01:00", "07:00:00"),  # New York
        ("02:00:00", "07:20:00", "02:00:00"),  # UTC, and copied later
        ("02:00:00", "20:00:30", "02:00:00"),
    ],
)
def test_the_time_of_a_dump_is_by_the_clock_of_its_machine(
    said: str, written: str, expected: str
) -> None:
    def moment(text: str) -> datetime:
        return datetime.fromisoformat(f"2026-03-02T{text}")

    file = moment(written).replace(tzinfo=UTC).timestamp()
    assert completed(moment(said), file) == moment(expected)
    assert completed(None, file) == moment(written)
