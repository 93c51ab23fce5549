"""Records of snapshots, and what is refused before anything is touched."""

import json
import os
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from matomo_harness.errors import BrokenPromiseError, WrongInputError
from matomo_harness.operate import recipes, snapshot, stack_files
from matomo_harness.operate.stack import Stack
from matomo_harness.settings import RunSettings

KNOWN = {
    "name": "one",
    "made": "2026-11-29 02:27:40",
    "matomo_version": "5.3.1",
    "image": "matomo:latest",
    "image_id": "sha256:1",
    "server_version": "11.8.9-MariaDB",
    "database_image": "mariadb:11.8",
    "database_image_id": "sha256:2",
    "tables_prefix": "matomo_",
    "sizes": {"config": 2, "database": 40},
    "harness": "0.1.0",
}


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path)


def write(stack: Stack, name: str, text: str) -> None:
    directory = stack.snapshots / name
    directory.mkdir(parents=True)
    (directory / "snapshot.json").write_text(text)


def test_snapshots_are_listed_by_name_with_their_size(stack: Stack) -> None:
    write(stack, "two", json.dumps({**KNOWN, "name": "two"}))
    write(stack, "one", json.dumps(KNOWN))
    assert [(each.name, each.bytes) for each in snapshot.every(stack)] == [("one", 42), ("two", 42)]


def test_what_has_no_record_is_no_snapshot(stack: Stack) -> None:
    (stack.snapshots / "cut-short").mkdir(parents=True)
    assert snapshot.every(stack) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", json.dumps({**KNOWN, "unknown": 1})])
def test_a_record_that_is_none_is_named_with_the_way_out(stack: Stack, text: str) -> None:
    write(stack, "one", text)
    with pytest.raises(WrongInputError, match=r"snapshot\.json.*(\n.*)*snapshot delete one"):
        snapshot.every(stack)


@pytest.mark.parametrize("name", ["", "A", "../one", "-x", "a" * 41])
def test_a_name_that_cannot_be_one_is_refused(stack: Stack, name: str) -> None:
    with pytest.raises(WrongInputError, match="at most 40 lower-case letters"):
        snapshot.save(name, stack)


def test_an_unknown_name_is_refused_with_those_that_there_are(stack: Stack) -> None:
    write(stack, "one", json.dumps(KNOWN))
    with pytest.raises(WrongInputError, match=r"other; there are: one\n.*snapshot list"):
        snapshot.delete("other", stack)


def test_a_name_does_not_lead_out_of_the_directory(stack: Stack) -> None:
    write(stack, "one", json.dumps(KNOWN))
    with pytest.raises(WrongInputError, match="the name of a snapshot"):
        snapshot.delete("../snapshots/one", stack)
    assert snapshot.every(stack)


@pytest.mark.parametrize(
    ("said", "series"),
    [
        ("11.8.9-MariaDB-0+deb13u1 from Debian", "11.8"),
        ("mariadbd  Ver 10.11.6-MariaDB-1:10.11.6+maria~ubu2204 for debian-linux-gnu", "10.11"),
        ("10.6.22-19-MariaDB-enterprise-log", "10.6"),
        ("8.0.36", "8.0.36"),
    ],
)
def test_the_release_series_of_a_server(said: str, series: str) -> None:
    assert snapshot.series(said) == series


def test_the_secrets_of_a_stack_are_for_its_owner_only_and_name_its_generation(
    stack: Stack,
) -> None:
    opens = {"DATABASE_PASSWORD": "y", "SALT": "x"}
    stack_files.write({**opens, "GENERATION": "-1"}, stack)
    assert stack.secrets_file.stat().st_mode & 0o777 == 0o600
    assert stack_files.read(stack).generation == "-1"
    assert stack.candidate.secrets_file != stack.secrets_file
    assert stack.candidate.project == stack.project


def test_the_users_of_containers_may_read_the_certificates_whatever_the_umask(
    stack: Stack,
) -> None:
    stack.directory.mkdir()
    before = os.umask(0o077)
    try:
        stack_files.make_certificates(stack)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in stack.tls_directory.iterdir()}
    assert modes == {"authority.pem": 0o644, "cert.pem": 0o644, "key.pem": 0o644}
    assert stack.directory.stat().st_mode & 0o777 == 0o700, "nobody else here comes so far"


@pytest.mark.parametrize("line", ["DATABASE_PASSWORD", "SALT"])
def test_a_lost_password_of_data_that_is_there_is_not_made_anew(
    line: str, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"DATABASE_PASSWORD": "y", "SALT": "x"}
    del values[line]
    stack_files.write(values, stack)
    monkeypatch.setattr("matomo_harness.operate.compose.volumes", lambda _: ["matomo_database"])
    with pytest.raises(WrongInputError, match=f"(?s){line} in .*no such line.*put the line back"):
        stack_files.read(stack)
    assert stack_files.known(stack) == values


def test_a_secrets_file_that_a_person_has_edited_is_read(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    stack.directory.mkdir()
    text = "\ufeffDATABASE_PASSWORD=a=b\n\n# ours\n SALT=x\r\n"
    stack.secrets_file.write_bytes(text.encode())
    assert stack_files.known(stack) == {"DATABASE_PASSWORD": "a=b", "SALT": "x"}
    stack.secrets_file.write_text("SALT=x\nwhatever\n")
    with pytest.raises(WrongInputError, match="line 2, without a =") as error:
        stack_files.known(stack)
    assert "whatever" not in str(error.value)


def test_a_snapshot_is_copied_and_restored_by_a_file_of_secrets_that_a_person_edited(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(stack, "one", json.dumps(KNOWN))
    edited = "\ufeff# of the old days\n\nSALT=a=b\n"
    (stack.snapshots / "one" / "stack.env").write_text(edited)
    for name in ("_fitting", "_fill"):
        monkeypatch.setattr(snapshot, name, lambda *_: None)
    copy = Stack(tmp_path / "copy")
    snapshot.fill("one", RunSettings(), copy, stack)
    assert stack_files.known(copy) == {"SALT": "a=b", "GENERATION": ""}

    for name in ("local", "schedule", "images", "compose"):
        monkeypatch.setattr(snapshot, name, MagicMock())
    for name in ("settings_of_running", "_runs_candidate", "_remove_leftovers"):
        monkeypatch.setattr(snapshot, name, lambda *_: None)
    monkeypatch.setattr(snapshot, "waits_for_update", lambda *_: False)
    snapshot.restore("one", RunSettings(), stack)
    assert stack_files.known(stack)["SALT"] == "a=b"


def test_a_reproduction_that_shows_no_login_page_comes_back_as_it_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def silent(*_: object) -> bool:
        raise BrokenPromiseError(expected="the login page", seen="HTTP 500", next_command="")

    monkeypatch.setattr(snapshot, "waits_for_update", silent)
    assert not snapshot._waits(MagicMock(), "", Stack(tmp_path, "bug"))
    assert "expected the login page; seen: HTTP 500" in capsys.readouterr().err
    with pytest.raises(BrokenPromiseError):
        snapshot._waits(MagicMock(), "", Stack(tmp_path))


def test_no_snapshot_is_saved_of_a_failure_that_was_brought_about(stack: Stack) -> None:
    stack_files.write({"GENERATION": "-1"}, stack)
    record = {"recipe": "guard-lost", "generation": "-1", "before": {}}
    stack.recipe_file.write_text(json.dumps(record))
    with pytest.raises(WrongInputError, match="guard-lost") as refused:
        snapshot.save("bug", stack)
    assert refused.value.next_command == "matomo-harness recipe heal guard-lost"


def test_a_recipe_of_a_state_that_was_given_up_is_no_reason_against_a_snapshot(
    stack: Stack,
) -> None:
    stack_files.write({"GENERATION": "-2"}, stack)
    record = {"recipe": "guard-lost", "generation": "-1", "before": {}}
    stack.recipe_file.write_text(json.dumps(record))
    recipes.require_none(stack)
