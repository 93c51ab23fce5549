"""An upgrade is rehearsed on a copy: what it costs and changes, and both ways back."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from matomo_harness.errors import ExitCode
from matomo_harness.operate.rehearsal import stages
from matomo_harness.runtime import images
from matomo_harness.runtime.images import BaseUnavailableError, Image
from matomo_harness.settings import RunSettings
from tests.checkout import Checkout
from tests.programs import Answer
from tests.rehearsed import reasons, rehearsed, small_stack
from tests.runs import left_of, run_of


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A local stack of 5.3.1 that is up, with visits of some days and their archives."""
    with small_stack(tmp_path_factory.mktemp("rehearsal")) as started:
        yield started


@pytest.fixture(scope="module")
def newer() -> Image:
    """The image with the next version, which may be none today (versions.TESTED)."""
    settings = RunSettings.from_environment()
    try:
        return images.deployed_image(
            dataclasses.replace(settings, matomo_version="next", image=None)
        )
    except BaseUnavailableError as error:
        pytest.skip(f"no base for Matomo `next` today: {error.seen}")


def upgraded(stack: Checkout, image: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Rehearse an upgrade to an image; return the exit code and what rehearsal.json holds."""
    return rehearsed(stack, "rehearse-upgrade", "--to", image, *arguments)


@pytest.mark.slow(reason="a stack is started, and a copy of it six times")
@pytest.mark.timeout(900)
def test_an_upgrade_goes_there_and_back_and_the_stack_hears_nothing(
    stack: Checkout, newer: Image
) -> None:
    before = stack.database.query("CHECKSUM TABLE {prefix}site, {prefix}user, {prefix}log_visit")
    code, found = upgraded(stack, newer.reference)
    after = stack.database.query("CHECKSUM TABLE {prefix}site, {prefix}user, {prefix}log_visit")
    assert before == after
    assert (code, reasons(found, "no")) == (0, [])

    assert found["before"]["code"] == "5.3.1"
    assert found["after"]["code"] == found["after"]["tables"] == found["new_version"]
    assert found["update"]["migrations"]
    assert found["tables"]["new columns"]
    assert found["compared_numbers"] > 0
    assert found["compared_archives"] > 0
    pages = {
        stage["name"]: {page["name"]: page for page in stage["pages"]} for stage in found["stages"]
    }
    # With enable_auto_update = 0 no page says that the tables are older (image/config).
    for seen in pages.values():
        assert seen["the login form"]["status"] == 200
    hits = {account["stage"]: account for account in found["hits"]}
    assert hits[stages.TODAY]["lost"] == 0
    assert hits[stages.AFTER]["stored"] > 0
    assert found["lost_by_return"] >= hits[stages.AFTER]["stored"]
    for account in found["hits"]:
        others = sum(account["otherwise"].values())
        assert account["sent"] == account["answered"] + others + account["unanswered"]
    assert (found["back_at_once"], found["back_restored"]) == ([], [])
    assert set(found["gates"]) == {stages.TODAY, stages.BACK_AT_ONCE, stages.AFTER, stages.BACK}
    page = (stack.root / "reports/rehearsal/index.html").read_text()
    assert stack.secret("DATABASE_PASSWORD") not in page + json.dumps(found)


@pytest.mark.nightly(reason="the whole way again, of another beginning")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["snapshot", "image"])
def test_it_begins_with_a_snapshot_or_an_image_as_well(
    stack: Checkout, newer: Image, kind: str
) -> None:
    name = "before-the-update"
    if kind == "snapshot":
        assert (answer := stack.harness("snapshot", "save", name)).code == 0, answer.text
    else:
        name = images.deployed_image(stack.settings).reference
    code, found = upgraded(stack, newer.reference, "--from", name, "--visits", "20")
    assert name in found["source"]
    assert reasons(found, "no") == []
    assert code == 0
    assert found["compared_numbers"] > 0


def moved(stack: Checkout, *arguments: str) -> dict[str, Any]:
    """Rehearse that a made-up production on MariaDB 10.11 moves to 11.8; assert that it can."""
    own = images.deployed_image(stack.settings).reference
    code, found = upgraded(
        stack,
        "",
        *("--from", own, "--visits", "20", "--database-from", "10.11", "--database-to", "11.8"),
        *arguments,
    )
    assert (code, reasons(found, "no")) == (0, [])
    server = found["server"]
    assert server["before"].startswith("10.11.")
    assert server["after"].startswith("11.8.")
    assert server["changed"] == []
    # Without it the archiver ends with error 1267: seen, before the rehearsal wrote it.
    assert server["speech"] == {"collation": "utf8mb4_general_ci"}
    assert any("Illegal mix of collations" in step for step in reasons(found, "step"))
    assert found["compared_numbers"] > 0
    assert found["back_restored"] == []
    return found


@pytest.mark.nightly(reason="a Matomo is installed, and a copy of it started four times")
@pytest.mark.timeout(900)
def test_a_newer_database_server_opens_the_files(stack: Checkout) -> None:
    found = moved(stack)
    assert found["question"].startswith("Can the image ")
    assert found["update"] is None
    assert [step["took"] for step in found["runbook"] if "database server" in step["what"]] != [""]
    assert {each["name"] for each in found["stages"]} == {
        stages.TODAY,
        stages.SERVER,
        stages.LOOKED,
        stages.BACK,
    }
    assert set(found["gates"]) == {stages.TODAY, stages.SERVER, stages.LOOKED, stages.BACK}


@pytest.mark.nightly(reason="the same by another way, and with a newer Matomo behind it")
@pytest.mark.timeout(900)
def test_a_newer_database_server_takes_a_dump_and_then_a_newer_matomo(
    stack: Checkout, newer: Image
) -> None:
    found = moved(stack, "--database-way", "dump", "--to", newer.reference)
    assert found["after"]["code"] == found["new_version"] != "5.3.1"
    silently = {each["stage"]: each["lost_silently"] for each in found["hits"]}
    assert silently[stages.SERVER] == 0


SMALL_VOLUME = """
import types
from matomo_harness.cli import main
from matomo_harness.operate.rehearsal import copies
from matomo_harness.runtime import reaper
from matomo_harness.runtime.engine import engine
from matomo_harness.settings import OWNER_LABEL, project_name

copies.secrets = types.SimpleNamespace(token_hex=lambda size: "full00")
run = reaper.this_process()
print("run", run.id, flush=True)
project = project_name(run.file("rehearsal-full00"))
engine().volumes.create(
    f"{project}_backup",
    driver_opts={"type": "tmpfs", "device": "tmpfs", "o": "size=8m"},
    labels={OWNER_LABEL: project},
)
main()
"""
"""The command, for whose copy a volume of 8 MiB is there already."""


@pytest.mark.slow(reason="a stack is started")
def test_without_room_for_a_copy_nothing_is_rehearsed_and_nothing_stays(
    stack: Checkout, newer: Image
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SMALL_VOLUME, "rehearse-upgrade", "--to", newer.reference],
        cwd=stack.root,
        env=stack.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    answer = Answer(ended.returncode, ended.stdout + ended.stderr)
    answer.refuses(ExitCode.UNSUPPORTED_ENVIRONMENT, "room", "8192 KiB are free")
    assert left_of(ended.stdout.split()[1]) == ()
    assert stack.database.query("SELECT COUNT(*) AS n FROM {prefix}site")


@pytest.mark.slow(reason="a stack is started")
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_the_stack_as_it_was_and_nothing_else(stack: Checkout, newer: Image) -> None:
    program = subprocess.Popen(
        stack.command("rehearse-upgrade", "--to", newer.reference),
        cwd=stack.root,
        env=stack.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert program.stdout
    try:
        run = run_of(program)
        for line in program.stdout:
            if line.startswith("Archiving, and the last day of each site anew"):
                break
        program.send_signal(2)
        said, _ = program.communicate()
    finally:
        program.kill()
    assert program.returncode == 130, said
    assert left_of(run) == ()
    assert "form_login" in stack.web.get().text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--to", "no/such:image"), ("no/such:image",)),
        (("--gate", "privacy"), ("--gate to name promises", "privacy")),
        (
            ("--database-to", "11.8", "--database-way", "ferry"),
            ("DATABASE_WAY to be one of place, dump", "ferry"),
        ),
        (("--database-to", "no/such:image"), ("no/such:image",)),
        (("--database-from", "10.11"), ("DATABASE_FROM= with FROM=an image alone",)),
        (("--from", "repro:nowhere"), ("the name of a reproduction",)),
        (("--from", "snapshot:nowhere"), ("the name of a snapshot",)),
        ((), ("the local stack to be up", "make up")),
    ],
    ids=lambda words: " ".join(words),
)
def test_wrong_input_is_refused_by_name(
    checkout: Checkout, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    own = images.deployed_image(checkout.settings).reference
    answer = checkout.harness("rehearse-upgrade", "--to", own, *arguments)
    answer.refuses(ExitCode.WRONG_INPUT, *words)


def test_an_older_server_is_refused_where_it_would_open_a_newer_ones_files(
    checkout: Checkout,
) -> None:
    own = images.deployed_image(checkout.settings).reference
    answer = checkout.harness("rehearse-upgrade", "--from", own, "--database-to", "10.11")
    answer.refuses(
        ExitCode.WRONG_INPUT, "no MariaDB opens the data directory of a newer one", "10.11."
    )


def test_neither_an_image_nor_a_server_is_refused(checkout: Checkout) -> None:
    answer = checkout.harness("rehearse-upgrade")
    answer.refuses(ExitCode.WRONG_INPUT, "TO=, the image", "DATABASE_TO=")


@pytest.mark.nightly(reason="the whole way again, of tables with another prefix")
@pytest.mark.timeout(900)
def test_tables_of_another_prefix_are_upgraded_as_well(stack: Checkout, newer: Image) -> None:
    prefix = stack.database.tables_prefix
    renamed = ", ".join(f"{prefix}{name} TO piwik_{name}" for name in stack.database.tables())
    stack.database.query(f"RENAME TABLE {renamed}")
    # The names of its sequences have the prefix, too: with new ones the numbers of archives would
    # begin again at 1, and new archives mix with those that are there.
    stack.database.query(
        "UPDATE piwik_sequence SET name = CONCAT('piwik_', SUBSTRING(name, %s))",
        len(prefix) + 1,
    )
    assert (answer := stack.harness("up")).code == 0, answer.text
    code, found = upgraded(stack, newer.reference)
    assert (code, reasons(found, "no")) == (0, [])
    assert (found["back_at_once"], found["back_restored"]) == ([], [])
    assert found["compared_numbers"] > 0


@pytest.mark.slow(reason="two images are asked for their code")
def test_the_same_image_and_an_older_one_are_refused(stack: Checkout, newer: Image) -> None:
    own = images.deployed_image(stack.settings).reference
    answer = stack.harness("rehearse-upgrade", "--to", own)
    answer.refuses(ExitCode.WRONG_INPUT, "another image than the one that runs")
    answer = stack.harness("rehearse-upgrade", "--from", newer.reference, "--to", own)
    answer.refuses(ExitCode.WRONG_INPUT, "Matomo has no way down")
