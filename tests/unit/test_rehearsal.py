"""What became of hits, what an update printed, what differs, and what it all means."""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import pymysql
import pytest

from matomo_harness.errors import (
    BrokenPromiseError,
    HarnessError,
    UnsupportedEnvironmentError,
    WrongInputError,
)
from matomo_harness.gate.probes.traffic import TEST_SITE
from matomo_harness.matomo.database import Database
from matomo_harness.operate import local, rehearsal, schedule, stack_files
from matomo_harness.operate.rehearsal import copies, hits, rehearse, stages, state
from matomo_harness.operate.rehearsal.findings import Findings, Stage
from matomo_harness.operate.rehearsal.hits import (
    SITE,
    HitAccount,
    SentHit,
    account,
    site_of_its_own,
)
from matomo_harness.operate.rehearsal.judge import Judgement
from matomo_harness.operate.rehearsal.plugin import Kind, PluginChange, Route
from matomo_harness.operate.rehearsal.report import remove, runbook, write
from matomo_harness.operate.rehearsal.state import State
from matomo_harness.operate.rehearsal.updater import Migration, Update, parsed, update
from matomo_harness.operate.rehearsal.verdict import Weight, verdict
from matomo_harness.operate.stack import Stack
from matomo_harness.policy import Upgrade
from matomo_harness.runtime import images
from matomo_harness.runtime.engine import CommandResult
from matomo_harness.runtime.shell import MatomoShell
from matomo_harness.settings import RunSettings

# -- hits -----------------------------------------------------------------------------------------


def test_every_hit_is_accounted_for() -> None:
    sent = [
        SentHit(1, "one", 0.0, 200),
        SentHit(2, "one", 0.5, 204),
        SentHit(3, "one", 1.0, 503),
        SentHit(4, "two", 2.0, None),
        SentHit(5, "two", 3.5, 200),
        SentHit(6, "two", 4.0, 503),
    ]
    one, two = account(sent, frozenset({1, 2, 5, 6}))
    assert one == HitAccount("one", 1.0, 2, {503: 1}, 0, 2, 0, 0)
    assert two == HitAccount("two", 2.0, 1, {503: 1}, 1, 2, 0, 1)
    assert (one.sent, one.lost, two.sent, two.lost) == (3, 1, 3, 1)
    assert account(sent, frozenset({1}))[0].lost_silently == 1


def test_hits_of_a_database_that_is_gone_are_not_called_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The old server is stopped, and the new one does not open its files."""
    stored: list[set[int] | Exception] = [pymysql.OperationalError(2013, "gone"), {3}]

    def answered(*_: object) -> set[int]:
        if isinstance(answer := stored.pop(0), Exception):
            raise answer
        return answer

    monkeypatch.setattr(hits, "numbers_of_stored", answered)
    live = hits.LiveHits("https://localhost:1", None, 4)
    live.hits += [SentHit(1, stages.TODAY, 0.0, 200), SentHit(2, stages.TODAY, 0.1, 200)]
    with pytest.raises(pymysql.OperationalError):
        live.remember(cast("Database", None))
    live.begin_anew()
    live.hits += [SentHit(3, stages.BACK, 9.0, 200), SentHit(4, stages.BACK, 9.1, 200)]
    live.remember(cast("Database", None))
    (back,) = account(live.looked_for, frozenset(live.stored))
    assert (back.stage, back.stored, back.lost_silently) == (stages.BACK, 1, 1)
    (note,) = (what for what in reasons(Weight.NOTE, unknown_hits=2) if "not known" in what)
    assert note.startswith("whether 2 hits were stored")


SITES = [{"idsite": 1, "name": "Own"}, {"idsite": 4, "name": SITE}]


@pytest.mark.parametrize("answer", [SITES, {f"{site['idsite']}": site for site in SITES}])
def test_the_site_of_these_hits_is_found_again_however_matomo_lists_sites(answer: Any) -> None:
    api = MagicMock()
    api.call.return_value = answer
    assert site_of_its_own(api) == 4
    api.add_site.assert_not_called()


# -- the update -----------------------------------------------------------------------------------


def test_each_migration_has_the_time_until_it_was_done() -> None:
    found = parsed(
        [
            "0.100     *** Update ***",
            "0.110 ",
            "0.400   Executing ALTER TABLE `user` ADD COLUMN a INT... Done. [1 / 2]",
            "2.900   Executing UPDATE `option` SET b = 1... Done. [2 / 2]",
            "3.000 Matomo has been successfully updated!",
            "3.010 HARNESS_EXIT 0",
        ]
    )
    assert found.is_done
    assert found.seconds == 3.0
    assert found.migrations == (
        Migration("ALTER TABLE `user` ADD COLUMN a INT", 0.3),
        Migration("UPDATE `option` SET b = 1", 2.5),
    )
    assert found.last_lines[-1] == "Matomo has been successfully updated!"


@pytest.mark.parametrize("lines", [["1.0 HARNESS_EXIT 1"], ["1.0 Killed"], []])
def test_an_update_without_an_exit_code_of_zero_is_not_done(lines: list[str]) -> None:
    assert not parsed(lines).is_done


def test_a_line_that_the_program_did_not_stamp_is_more_of_the_one_before() -> None:
    printed = "0.100 one\x0btwo\u2028three\x85\nfour\n\n0.300 HARNESS_EXIT 0\n"
    done = CommandResult(code=0, out=printed, err="")
    shell = SimpleNamespace(container=None, profile=SimpleNamespace(web_user="w", web_root="/"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("matomo_harness.operate.rehearsal.updater.execute", lambda *_, **__: done)
        found = update(cast("MatomoShell", shell))
    assert found.is_done
    assert found.last_lines == ("one\x0btwo\u2028three", "four")
    assert found.seconds == 0.3


# -- what differs ---------------------------------------------------------------------------------


def test_tables_that_always_move_are_left_out_and_visits_where_hits_came() -> None:
    before = {"log_visit": 1, "option": 2, "site": 3, "user": 4}
    after = {"log_visit": 9, "option": 9, "site": 3, "goal": 5}
    assert state.changed(before, after, with_logs=False) == ("goal", "user")
    # Hits wait in QueuedTracking's tables.
    queue = {"queuedtracking_list_q0": 1}, {"queuedtracking_list_q0": 2}
    assert state.changed(*queue, with_logs=False) == ()
    assert state.changed(*queue, with_logs=True) == ("queuedtracking_list_q0",)
    assert state.changed(before, after, with_logs=True) == ("goal", "log_visit", "user")


def test_tables_with_rows_are_known_but_for_those_that_may_be_empty_at_any_moment() -> None:
    rows = {"site": 1, "annotations": 0, "session": 1, "archive_invalidations": 1, "log_visit": 1}

    def query(statement: str, *_: object) -> list[dict[str, Any]]:
        if "information_schema" in statement:
            return [{"t": f"matomo_{name}", "c": "utf8mb4_general_ci"} for name in rows]
        return [
            {"name": name, "has_rows": has_rows}
            for name, has_rows in rows.items()
            if f"FROM `matomo_{name}`)" in statement
        ]

    database = cast("Database", SimpleNamespace(query=query, tables_prefix="matomo_"))
    assert state.filled(database) == {"site", "log_visit"}
    rows.clear()
    assert state.filled(database) == frozenset()


@pytest.mark.parametrize(
    ("before", "after", "is_same"),
    [
        ({"nb_visits": 1}, {"nb_visits": 1, "new_metric": 2}, True),
        ({"nb_visits": 1}, {"nb_visits": 2}, False),
        ({"nb_visits": 1}, {}, False),
        ([{"a": 1}], [{"a": 1, "b": 2}], True),
        ([{"a": 1}], [{"a": 1}, {"a": 2}], False),
        ([], None, False),
        ([{"label": "a"}, {"label": "b"}], [{"a": 9, "label": "b"}, {"a": 1, "label": "a"}], True),
        ([{"a": 1}, {"a": 1, "b": 2}], [{"a": 1, "b": 2}, {"a": 1}], True),
        ([{"label": "a", "n": 1}, {"label": "a", "n": 1}], [{"label": "a", "n": 1}] * 2, True),
        ([{"label": "a"}, {"label": "a"}], [{"label": "a"}, {"label": "b"}], False),
    ],
)
def test_a_report_is_the_same_where_only_a_column_is_new(
    before: Any, after: Any, is_same: bool
) -> None:
    assert state.different({"report": before}, {"report": after}) == ([] if is_same else ["report"])


class Schema:
    """A database whose answers are known: rows by table, and whether flags are asked for."""

    def __init__(self, **rows: list[dict[str, Any]]) -> None:
        self._rows = rows

    def tables(self) -> set[str]:
        """Return their names."""
        return set(self._rows)

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows that `sql` asks for."""
        (table,) = (name for name in self._rows if f"{{prefix}}{name} " in f"{sql} ")
        rows = self._rows[table]
        if "GROUP BY" in sql:
            return [
                {**row, "first": row["date1"], "last": row["date2"]}
                for row in rows
                if row["name"].startswith("done")
            ]
        if "LIKE 'done%%'" not in sql:
            return rows
        return [row for row in rows if row["name"].startswith("done") == ("NOT LIKE" not in sql)]


def archive(number: int, name: str, value: str | int) -> dict[str, Any]:
    day = {"date1": "2026-01-02", "date2": "2026-01-02"}
    return {"idarchive": number, "idsite": 1, **day, "period": 1, "name": name, "value": value}


def test_archives_of_all_visits_of_a_segment_and_of_a_plugin_are_compared_each() -> None:
    flags = [archive(1, "done", 1), archive(2, "doneabc", 1), archive(3, "done.Goals", 1)]

    def rows(of_all: int) -> dict[str, str]:
        visits = [archive(number, "nb_visits", value) for number, value in ((2, 5), (3, 6))]
        pages = [archive(1, "Actions_url", f"{of_all}"), archive(2, "Actions_url", "same")]
        numbers = [*flags, archive(1, "nb_visits", of_all), *visits]
        found = Schema(archive_numeric_2026_01=numbers, archive_blob_2026_01=pages)
        return state.archive_rows(cast("Database", found))

    assert len(rows(7)) == 5
    changed = state.different(rows(7), rows(8))
    assert [name.partition(", period")[0] for name in changed] == ["site 1, done"] * 2


def test_the_newest_of_archives_with_one_flag_counts() -> None:
    both = [archive(1, "done", 1), archive(2, "done", 1)]
    numbers = [archive(1, "nb_visits", 1), archive(2, "nb_visits", 2)]
    found = Schema(archive_numeric_2026_01=[*both, *numbers])
    assert list(state.archive_rows(cast("Database", found)).values()) == ["2"]


@pytest.mark.parametrize(
    ("row", "hashed"),
    [
        ({"definition": "pageTitle==Open%2520access"}, b"pageTitle==Open%20access"),
        ({"definition": "pageTitle==a+b", "hash": None}, b"pageTitle==a b"),
        ({"definition": "browserCode==FF", "hash": "0" * 32}, None),
    ],
)
def test_segments_are_found_by_the_hash_that_matomo_gives_them(
    row: dict[str, Any], hashed: bytes | None
) -> None:
    digest = hashlib.md5(hashed, usedforsecurity=False).hexdigest() if hashed else "0" * 32
    found = Schema(segment=[row], archive_numeric_2026_01=[archive(1, f"done{digest}", 1)])
    (thing,) = state.archived(cast("Database", found))
    assert (thing.segment, thing.date) == (row["definition"], "2026-01-02")


# -- what ends it early -----------------------------------------------------------------------


class NoHits:
    """Stands in for hits that go on, of which the database is dead."""

    def __init__(self, *_: object) -> None:
        self.hits: list[SentHit] = []
        self.looked_for: list[SentHit] = []
        self.stored: set[int] = set()

    def __enter__(self) -> "NoHits":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def stage(self, _: str) -> "NoHits":
        """Name no stage."""
        return self

    def remember(self, _: object) -> None:
        """Fail, as the database does."""
        raise pymysql.OperationalError(2013, "lost connection")

    def begin_anew(self) -> None:
        """Give up nothing."""


@pytest.mark.parametrize("kind", [UnsupportedEnvironmentError, WrongInputError])
def test_whatever_breaks_on_either_way_is_found_and_not_raised(
    monkeypatch: pytest.MonkeyPatch, kind: type[HarnessError]
) -> None:
    def fails(what: str) -> Callable[..., None]:
        def failing(*_: object) -> None:
            raise kind(expected=what, seen="nothing", next_command="")

        return failing

    monkeypatch.setattr(rehearse, "LiveHits", NoHits)
    monkeypatch.setattr(rehearse, "BASELINE_SECONDS", 0)
    monkeypatch.setattr("matomo_harness.operate.snapshot.save", lambda *_: None)
    monkeypatch.setattr(state, "checksums", lambda _: {})
    of_class = rehearse._Rehearsal
    monkeypatch.setattr(of_class, "_database", None)
    monkeypatch.setattr(of_class, "_look_before", lambda _: ([], {}, {}))
    monkeypatch.setattr(of_class, "_upgrade", fails("the API to answer"))
    monkeypatch.setattr(of_class, "_go_back", fails("a restore"))
    monkeypatch.setattr(of_class, "__init__", lambda *_: None)
    found = dataclasses.replace(GOOD, failed="")
    rehearsal = object.__new__(of_class)
    web = SimpleNamespace(url="", authority=None)
    started = SimpleNamespace(web=web, shell=MagicMock(profile=MagicMock(queue=())))
    started.shell.read.return_value = ""
    copy = SimpleNamespace(stack=SimpleNamespace(authority_file=Path()), started=started)
    values = {"_found": found, "_copy": copy, "_site": 9}
    vars(rehearsal).update(values, _choices=SimpleNamespace(server=None))
    rehearsal.run()
    parts = found.failed.split("; then: ")
    assert parts[:2] == [
        "expected the API to answer; seen: nothing",
        "expected a restore; seen: nothing",
    ]
    assert "lost connection" in parts[2]
    assert not verdict(found, Upgrade()).is_go


def test_another_server_alone_is_judged_by_all_that_is_promised_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged: list[tuple[object, ...]] = []
    of_class = rehearse._Rehearsal
    monkeypatch.setattr(rehearse, "LiveHits", NoHits)
    monkeypatch.setattr(rehearse, "BASELINE_SECONDS", 0)
    monkeypatch.setattr("matomo_harness.operate.snapshot.save", lambda *_: None)
    monkeypatch.setattr(state, "checksums", lambda _: {})
    monkeypatch.setattr(of_class, "__init__", lambda *_: None)
    monkeypatch.setattr(of_class, "_database", None)
    monkeypatch.setattr(of_class, "_look_before", lambda _: ([], {}, {}))
    monkeypatch.setattr(
        of_class, "_gate", lambda _, name, promises, **__: judged.append((name, promises))
    )
    for step in ("_change_server", "_look_after", "_go_back", "_remember"):
        monkeypatch.setattr(of_class, step, lambda *_: None)
    monkeypatch.setattr(of_class, "_pages", lambda _: ())
    started = SimpleNamespace(web=SimpleNamespace(url=""))
    copy = SimpleNamespace(stack=SimpleNamespace(authority_file=Path()), started=started)
    rehearsal = object.__new__(of_class)
    found = dataclasses.replace(GOOD, changes_code=False, stages=[])
    choices = SimpleNamespace(server="11.8", promises=("transport",))
    vars(rehearsal).update(_found=found, _copy=copy, _site=9, _choices=choices)
    rehearsal.run()
    assert found.failed == ""
    assert judged == [(stages.LOOKED, ("transport",))]


def test_hits_that_wait_in_a_queue_are_stored_before_they_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shell = MagicMock(profile=MagicMock(queue=()))
    shell.read.return_value = '[Plugins]\nPlugins[] = "QueuedTracking"\n'
    done = MagicMock()
    done.attach_mock(shell.console, "console")
    monkeypatch.setattr(rehearse._Rehearsal, "__init__", lambda *_: None)
    monkeypatch.setattr(rehearse._Rehearsal, "_database", None)
    rehearsal = object.__new__(rehearse._Rehearsal)
    vars(rehearsal)["_copy"] = SimpleNamespace(started=SimpleNamespace(shell=shell))
    rehearsal._remember(done.live)
    called = [name for name, *_ in done.mock_calls]
    assert called == ["console", "live.remember", "live.begin_anew"]
    assert shell.console.call_args.args[0] == "queuedtracking:process"
    shell.read.side_effect = UnsupportedEnvironmentError(expected="it", seen="", next_command="")
    rehearsal._remember(done.live)
    assert done.live.remember.call_count == 2


def test_an_image_that_is_nowhere_is_named_before_a_stack_that_is_not_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(expected: str) -> Callable[..., None]:
        def refusing(*_: object) -> None:
            raise WrongInputError(expected=expected, seen="nothing", next_command="")

        return refusing

    monkeypatch.setattr(images, "given", refused("TO to name an image"))
    monkeypatch.setattr(copies, "settings_of", refused("the local stack to be up"))
    with pytest.raises(WrongInputError) as error:
        rehearsal.rehearse_upgrade("", "no/such:image", RunSettings())
    assert error.value.expected == "TO to name an image"


def test_the_report_of_an_earlier_rehearsal_does_not_stay(tmp_path: Path) -> None:
    write(GOOD, verdict(GOOD, Upgrade()), tmp_path)
    assert (tmp_path / "index.html").exists()
    remove(tmp_path)
    assert list(tmp_path.iterdir()) == []
    remove(tmp_path / "none")


def test_hits_that_are_lost_while_a_plugin_is_off_are_lost_on_the_way() -> None:
    lost = HitAccount(stages.SWITCHED_OFF, 1.0, 5, {502: 2}, 0, 5, 0, 0)
    (note,) = reasons(Weight.NOTE, hits=(lost,))
    assert note.startswith("2 of 7 hits were lost on the way")


# -- the verdict ----------------------------------------------------------------------------------

COLUMNS = {
    "user": {"login": "varchar(100) NOT NULL COLLATE utf8mb4_general_ci"},
    "site": {"name": "varchar(90) NOT NULL COLLATE utf8mb4_general_ci"},
}
COLLATIONS = dict.fromkeys(COLUMNS, "utf8mb4_general_ci")
BEFORE = State(
    "5.3.1", "5.3.1", {"Login": "", "Goals": ""}, COLUMNS, COLLATIONS, (), (), frozenset(), True, ""
)
AFTER = State(
    "5.8.0", "5.8.0", {"Login": "", "Goals": ""}, COLUMNS, COLLATIONS, (), (), frozenset(), True, ""
)
GREEN = Judgement({"pass": 9}, {}, "reports/x")
GOOD = Findings(
    source="the local stack",
    image="old",
    new_image="new",
    new_version="5.8.0",
    stages=[Stage(stages.AGAIN, 20.0), Stage(stages.UPDATE, 100.0), Stage(stages.BACK, 30.0)],
    before=BEFORE,
    after=AFTER,
    update=Update(0, 100.0, (), ()),
    compared_numbers=64,
    hits=(HitAccount(stages.AGAIN, 20.0, 90, {502: 4}, 6, 90, 0, 0),),
    back_at_once=(),
    back_restored=(),
    gates={stages.TODAY: GREEN, stages.AFTER: GREEN, stages.BACK: GREEN},
)


def reasons(weight: Weight, limits: Upgrade | None = None, **changes: Any) -> list[str]:
    found = verdict(dataclasses.replace(GOOD, **changes), limits or Upgrade())
    return [reason.what for reason in found.of(weight)]


def test_nothing_speaks_against_an_upgrade_without_a_finding() -> None:
    found = verdict(GOOD, Upgrade(longest_minutes=3, lost_hits=10))
    assert found.is_go
    assert found.sentence == "Go."
    (note,) = found.reasons
    assert note.weight is Weight.NOTE
    assert "10 of 100 hits were lost on the way" in note.what


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"failed": "expected core:update to end"}, "the upgrade ended early"),
        ({"new_version": "5.9.0"}, "the volume has old code"),
        ({"after": dataclasses.replace(AFTER, updates=("Forms",))}, "still wait for an update"),
        ({"after": dataclasses.replace(AFTER, tables="5.7.0")}, "says that it is done"),
        ({"after": dataclasses.replace(AFTER, lacking=("log_visit.x",))}, "are not there"),
        ({"after": dataclasses.replace(AFTER, plugins={"Login": ""})}, "not any more: Goals"),
        (
            {"update": Update(1, 1.0, (), ("no table",)), "second_update": Update(0, 1.0, (), ())},
            "its second run went through: the first said exit 1: no table",
        ),
        ({"emptied": ("access",)}, "tables that had rows before are empty or gone: access"),
        ({"unreadable": ("Goals.get",)}, "said something before, and are empty or an error now"),
        ({"changed_archives": ("site 1",)}, "1 records of archives are not as they were"),
        ({"changed_numbers": ("Goals.get",)}, "1 reports have other numbers after the upgrade"),
        ({"changed_again": ("Goals.get",)}, "once their day is archived anew"),
        (
            {"gates": {**GOOD.gates, stages.AFTER: Judgement({}, {"masking.x": "4 bytes"}, "d")}},
            "1 checks are red that pass today: masking.x: 4 bytes",
        ),
        (
            {
                "gates": {
                    stages.TODAY: Judgement({}, {}, "", "Matomo 4 is older"),
                    stages.AFTER: Judgement({}, {"masking.x": "4 bytes"}, "d"),
                }
            },
            "1 checks are red and there is no gate of today to compare with: masking.x: 4 bytes",
        ),
        (
            {"hits": (HitAccount(stages.AFTER, 1.0, 5, {}, 0, 4, 1, 0),)},
            "1 hits were answered well and not stored",
        ),
        ({"back_at_once": ("site",)}, "the way back without a restore tables are not as before"),
        ({"back_restored": ("log_visit",)}, "the way back by a restore tables are not as before"),
        ({"back_restored": None}, "the way back by a restore was not reached"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_speaks_against_it_is_named(changes: dict[str, Any], words: str) -> None:
    (what,) = reasons(Weight.NO, **changes)
    assert words in what


def test_limits_of_the_policy_decide() -> None:
    assert "2.0 minutes" in reasons(Weight.NO, Upgrade(longest_minutes=1.5))[0]
    assert "[upgrade] lost_hits = 9" in reasons(Weight.NO, Upgrade(lost_hits=9))[0]
    assert reasons(Weight.NO, Upgrade(lost_hits=10, longest_minutes=2)) == []


def test_the_longest_step_is_named_where_the_update_takes_too_long() -> None:
    migrations = (Migration("ALTER TABLE a", 2.0), Migration("UPDATE b", 70.0))
    (what,) = reasons(
        Weight.NO, Upgrade(longest_minutes=1.5), update=Update(0, 100.0, migrations, ())
    )
    assert what.endswith("the longest step took 70 s: UPDATE b")


def test_a_plugin_that_matomo_has_on_from_now_on_is_a_step_where_the_list_leaves_it_off() -> None:
    newer = dataclasses.replace(AFTER, defaults=frozenset({"Goals", "BotTracking"}))
    (step,) = reasons(Weight.STEP, after=newer)
    assert "they stay off" in step
    assert step.endswith("BotTracking")
    on = dataclasses.replace(newer, plugins={**AFTER.plugins, "BotTracking": ""})
    assert not any("they stay off" in step for step in reasons(Weight.STEP, after=on))


def test_a_report_that_said_something_and_is_empty_now_is_not_readable() -> None:
    before = {"a": [{"label": "x"}], "b": [], "c": {"nb_visits": 1}, "d": [1]}
    after = {"a": [], "b": [], "c": {"error": "broken"}, "d": [2]}
    assert state.unreadable(before, after) == ["a", "c"]


def test_a_table_without_rows_that_is_gone_is_a_note() -> None:
    rest = {name: columns for name, columns in COLUMNS.items() if name != "site"}
    after = dataclasses.replace(AFTER, columns=rest)
    assert any("tables are gone: site" in what for what in reasons(Weight.NOTE, after=after))
    # With rows it speaks against the upgrade, once.
    assert len(reasons(Weight.NO, after=after, emptied=("site",))) == 1
    notes = reasons(Weight.NOTE, after=after, emptied=("site",))
    assert not any("tables are gone" in what for what in notes)


def test_columns_that_are_gone_are_named() -> None:
    after = dataclasses.replace(AFTER, columns={**COLUMNS, "site": {}})
    said = "columns are gone, with what was in them: site.name"
    assert said in reasons(Weight.NOTE, after=after)
    assert said not in reasons(Weight.NOTE)


def test_a_table_of_another_collation_is_named() -> None:
    odd = {**COLLATIONS, "goal": "latin1_swedish_ci"}
    (what,) = reasons(Weight.NO, after=dataclasses.replace(AFTER, collations=odd))
    assert "goal (latin1_swedish_ci)" in what


def test_what_is_written_to_the_file_is_a_step_and_what_a_deployment_takes_away_is_named() -> None:
    (step,) = reasons(Weight.STEP, config_patch="--- a\n")
    assert "core:update writes into config.ini.php" in step
    (step,) = reasons(
        Weight.STEP, config_patch="--- a\n", restart_takes_back=("[General] proxy_scheme_headers",)
    )
    assert "gone with the next deployment: [General] proxy_scheme_headers" in step


@pytest.mark.parametrize(
    ("failed", "weights"),
    [
        ((stages.AFTER,), {Weight.NO}),
        ((stages.TODAY,), {Weight.NOTE}),
        ((stages.TODAY, stages.AFTER), {Weight.STEP, Weight.NOTE}),
    ],
)
def test_an_archiver_that_fails_today_is_no_fault_of_the_upgrade(
    failed: tuple[str, ...], weights: set[Weight]
) -> None:
    found = dataclasses.replace(GOOD, archiver_failed=dict.fromkeys(failed, "exit 1: one segment"))
    judged = verdict(found, Upgrade()).reasons
    named = {reason.weight for reason in judged if "exit 1: one segment" in reason.what}
    assert named == weights


def test_an_archiver_that_fails_does_not_end_a_rehearsal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearse._Rehearsal, "__init__", lambda *_: None)
    shell, api = MagicMock(), MagicMock()
    shell.console.side_effect = BrokenPromiseError(expected="", seen="exit 1", next_command="")
    found = dataclasses.replace(GOOD, archiver_failed={})
    rehearsal = object.__new__(rehearse._Rehearsal)
    copy = SimpleNamespace(started=SimpleNamespace(shell=shell))
    vars(rehearsal).update(_found=found, _copy=copy, _api=api)
    rehearsal._archive_anew(stages.AFTER, [state.ArchivedPeriod(1, "day", "2026-01-02")])
    assert api.call.call_args.kwargs["dates"] == "2026-01-02"
    assert found.archiver_failed == {stages.AFTER: "exit 1"}


def test_red_checks_of_today_are_a_note() -> None:
    red = Judgement({}, {"masking.x": "4 bytes"}, "d")
    found = dict.fromkeys(GOOD.gates, red)
    assert reasons(Weight.NO, gates=found) == []
    assert "red today already: masking.x" in reasons(Weight.NOTE, gates=found)


def test_a_check_that_passes_today_and_is_not_examined_after_is_a_step() -> None:
    today = Judgement({}, {}, "d", passed=("masking.x", "masking.y"))
    after = Judgement({}, {}, "d", passed=("masking.y",), not_examined=("masking.x", "other.z"))
    gates = {stages.TODAY: today, stages.AFTER: after}
    (step,) = reasons(Weight.STEP, gates=gates)
    assert step.endswith("1 checks pass today and were not examined: masking.x")
    error = Judgement({}, {"masking.x": "no answer"}, "d", errors=("masking.x",))
    assert len(reasons(Weight.NO, gates={**gates, stages.AFTER: error})) == 1


def test_a_gate_that_is_not_possible_any_more_is_a_step() -> None:
    none = Judgement({}, {}, "", "it is Matomo 7.0.0")
    (step,) = reasons(Weight.STEP, gates={stages.TODAY: GREEN, stages.AFTER: none})
    assert step == f"no gate of {stages.AFTER}: it is Matomo 7.0.0"
    # Where there was none today either, nothing is lost.
    gates = dict.fromkeys((stages.TODAY, stages.AFTER), none)
    assert reasons(Weight.STEP, gates=gates) == []
    assert sum("no gate of" in note for note in reasons(Weight.NOTE, gates=gates)) == 2


def test_an_error_of_today_excuses_an_error_and_no_failure() -> None:
    error = Judgement({}, {"masking.x": "no answer"}, "d", errors=("masking.x",))
    failure = Judgement({}, {"masking.x": "4 bytes"}, "d")
    assert reasons(Weight.NO, gates={stages.TODAY: error, stages.AFTER: error}) == []
    (what,) = reasons(Weight.NO, gates={stages.TODAY: error, stages.AFTER: failure})
    assert "masking.x: 4 bytes" in what
    # The other way round nothing new is known.
    assert reasons(Weight.NO, gates={stages.TODAY: failure, stages.AFTER: error}) == []


def test_the_runbook_has_the_steps_and_their_times() -> None:
    found = dataclasses.replace(GOOD, config_patch="--- a\n")
    steps = runbook(found, verdict(found, Upgrade()))
    assert [step["took"] for step in steps if step["took"]] == ["20 s", "1.7 min", "30 s"]
    assert any("apply config.patch" in step["how"] for step in steps)
    order = [step["what"].partition(" ")[0] for step in steps]
    # No archiver starts with the new code on the old tables, or holds those that are changed.
    assert order.index("Stop") < order.index("Save") < order.index("Deploy")
    assert order.index("Update") < order.index("Judge") < order.index("Start")


# -- what somebody else's image, tables and plugins bring along ------------------------------------


def test_an_update_that_ends_well_with_warnings_is_no_go() -> None:
    """Matomo notes the part that threw as done, and never tries it again."""
    warned = ["0.2 [!] Warning messages:", "0.2 * no table x"]
    ended = [
        "0.2 The error was: no rights",
        "0.2     The update completed, with issues.",
        "0.2     * see the log",
        "0.3 Matomo has been successfully updated!",
        "0.3 HARNESS_EXIT 0",
    ]
    found = parsed(["0.1 Executing CREATE ... Done. [1 / 1]", *warned, *ended])
    assert found.is_done
    assert found.warnings == ("no table x The error was: no rights",)
    assert "never try again: no table x" in reasons(Weight.NO, update=found)[0]


def test_an_update_that_fails_says_what_failed_and_not_the_advice_behind_it() -> None:
    printed = [
        "0.1   Executing ALTER TABLE `nowhere` ADD COLUMN a INT;... ",
        "0.1     [X] Critical Error during the update process:",
        "0.1 ",
        "0.1     * /var/www/html/core/Updates/5.3.2.php:",
        "0.1     Error trying to execute the migration 'ALTER TABLE `nowhere` ADD COLUMN a INT;'.",
        "0.1     The error was: there is no table `nowhere`",
        "0.1 ",
        "0.1     The above is the core error message.",
        "0.1 ",
        "0.1     * read the documentation",
        "0.2 In Update.php line 266:",
        "0.2   Matomo could not be updated! See above for more information.",
        "0.2 core:update [--yes]",
        "0.3 HARNESS_EXIT 1",
    ]
    found = parsed(printed)
    assert not found.is_done
    assert found.said == (
        "exit 1: /var/www/html/core/Updates/5.3.2.php: Error trying to execute the migration"
        " 'ALTER TABLE `nowhere` ADD COLUMN a INT;'. The error was: there is no table `nowhere`"
    )
    # What follows it on the way went through; the first is said all the same.
    both = Update(0, 1.0, (), ("done",)).after(found)
    assert both.said == found.said
    assert parsed(["0.1 Killed", "0.2 HARNESS_EXIT 137"]).said == "exit 137: Killed"


@pytest.mark.parametrize("is_new", [True, False])
def test_an_odd_collation_that_was_there_before_is_no_loss(is_new: bool) -> None:
    odd = {**AFTER.collations, "old_plugin": "latin1_swedish_ci"}
    before = BEFORE if is_new else dataclasses.replace(BEFORE, collations=odd)
    after = dataclasses.replace(AFTER, collations=odd)
    against = reasons(Weight.NO, before=before, after=after)
    assert any("another character set or collation" in what for what in against) is is_new
    if not is_new:
        assert against == []
        notes = reasons(Weight.NOTE, before=before, after=after)
        assert any("already: old_plugin" in what for what in notes)


def test_hits_of_today_that_the_upgrade_lost_are_a_loss() -> None:
    accounts = (
        HitAccount(stages.TODAY, 3.0, 20, {}, 0, 0, 20, 0),
        HitAccount(stages.AFTER, 3.0, 20, {}, 0, 20, 0, 0),
    )
    (against,) = reasons(Weight.NO, hits=accounts)
    assert f"{stages.TODAY}: 20 hits were answered well and not stored" in against


def test_a_plugin_that_is_removed_goes_from_the_policy_too() -> None:
    after = dataclasses.replace(AFTER, plugins={"Login": ""})
    red = dataclasses.replace(GREEN, red={"plugins.promised_are_active": "Goals"})
    found: dict[str, Any] = {"plugin": PluginChange(Kind.REMOVE, "Goals"), "after": after}
    gates = {**GOOD.gates, stages.AFTER: red}
    assert reasons(Weight.NO, gates=gates, **found) == []
    assert "active before, and removed: Goals" in reasons(Weight.STEP, gates=gates, **found)


@pytest.mark.parametrize(("today", "against"), [(0, 0), (20, 1)])
def test_hits_that_todays_matomo_passes_over_are_no_loss(today: int, against: int) -> None:
    accounts = (
        HitAccount(stages.TODAY, 3.0, 20, {}, 0, today, 20 - today, 0),
        HitAccount(stages.AFTER, 3.0, 20, {}, 0, 0, 20, 0),
    )
    found = [what for what in reasons(Weight.NO, hits=accounts) if stages.AFTER in what]
    assert len(found) == against


@pytest.mark.parametrize(
    ("plugins", "words"), [({"Goals": "1.1"}, "of 1.1 in the tables"), ({}, "not active")]
)
def test_an_update_of_a_plugin_that_did_not_take_place_is_no_go(
    plugins: dict[str, str], words: str
) -> None:
    change = PluginChange(Kind.UPDATE, "Goals", "1.0")
    after = dataclasses.replace(AFTER, plugins={**AFTER.plugins, "Goals": "", **plugins})
    if not plugins:
        after = dataclasses.replace(after, plugins={"Login": ""})
    assert any(words in what for what in reasons(Weight.NO, plugin=change, after=after))


@pytest.mark.parametrize(
    ("route", "config", "is_refused"),
    [
        (Route.LIST, "[General]\nsalt = 1\n", True),
        (Route.LIST, "[Plugins]\nPlugins[] = CoreHome\n", False),
        (Route.CONSOLE, "[General]\nsalt = 1\n", False),
    ],
)
def test_a_line_is_added_to_a_list_of_plugins_and_never_in_place_of_matomos_own(
    route: Route, config: str, is_refused: bool
) -> None:
    change = PluginChange(Kind.ADD, "X", "1.0", route)
    shell = MagicMock()
    shell.read.return_value = config
    if not is_refused:
        rehearse.require_list(change, shell)
        return
    with pytest.raises(WrongInputError, match="would switch off all of it"):
        rehearse.require_list(change, shell)


def test_what_a_step_says_of_a_new_plugin_is_no_red_check() -> None:
    after = dataclasses.replace(AFTER, plugins={**AFTER.plugins, "X": "1.0"})
    red = dataclasses.replace(GREEN, red={"plugins.nothing_else_is_active": "X"})
    gates = {**GOOD.gates, stages.AFTER: red}
    change = PluginChange(Kind.ADD, "X", "1.0")
    assert reasons(Weight.NO, plugin=change, after=after, gates=gates) == []
    assert len(reasons(Weight.NO, gates=gates)) == 1


def test_sites_of_ours_are_those_of_rehearsals_and_gates(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"idsite": "1", "name": "Own"},
        {"idsite": "3", "name": TEST_SITE},
        {"idsite": "4", "name": hits.SITE},
    ]
    monkeypatch.setattr(hits, "all_rows", lambda *_: rows)
    assert hits.sites_of_ours(cast(Any, None)) == [3, 4]


@pytest.mark.parametrize(("purpose", "started"), [("rehearsal", 0), ("", 1)])
def test_a_stack_that_goes_with_its_command_has_no_schedule(
    purpose: str, started: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawned: list[object] = []
    monkeypatch.setattr("os.posix_spawn", lambda *arguments, **_: spawned.append(arguments))
    schedule.begin(60, Stack(tmp_path, purpose=purpose))
    assert len(spawned) == started


@pytest.mark.parametrize("secret", ["", "A" * 16])
def test_a_gate_logs_in_only_where_there_is_a_second_factor(
    secret: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held = SimpleNamespace(superuser_login="admin", superuser_password="of ours")
    database = SimpleNamespace(second_factor_secret=lambda _: secret or None)
    monkeypatch.setattr(stack_files, "read", lambda _: held)
    monkeypatch.setattr(local, "installed_database", lambda _: database)
    found = local.login_variables(Stack(tmp_path))
    assert found.get("HARNESS_TOTP_SECRET", "") == secret
    assert bool(found) is bool(secret)
