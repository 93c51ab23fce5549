"""A stack on this machine with an image that somebody else built."""

import dataclasses
from pathlib import Path

import pytest

from matomo_harness.errors import ExitCode
from matomo_harness.matomo.api import Api
from matomo_harness.operate import clean
from matomo_harness.operate.stack import Stack
from matomo_harness.runtime import images
from matomo_harness.settings import RunSettings
from tests.checkout import copied
from tests.foreign_images import Layout, image_of
from tests.rehearsed import reasons, rehearsed

DUMPS = Path(__file__).parents[1] / "dumps"
pytestmark = pytest.mark.timeout(900)

HABITS = Layout("several-habits")
OTHERS = (
    Layout("web-root", on="base-without-volume"),
    Layout("rendered"),
    Layout("other-user"),
    Layout("two-jobs"),
    Layout("plain", on="base"),
    Layout("secure-file"),
    Layout("read-only"),
    Layout("captured"),
    Layout("own-tls"),
)


def require_runs(layout: Layout, directory: Path) -> None:
    """Bring up a stack of the image, fill it, have its archiver count, and bring it up again."""
    settings = RunSettings.from_environment()
    with image_of(layout, settings) as image:
        own = dataclasses.replace(settings, image=image.reference)
        with copied(directory, own) as copy:
            assert (answer := copy.harness("up")).code == 0, answer.text
            filled = copy.harness("traffic", "--sites", "1", "--days", "1", "--visits", "5")
            assert filled.code == 0, filled.text
            assert (again := copy.harness("up")).code == 0, again.text
            token = copy.harness("token").text.split()[-1]
            visits = Api(copy.web, token).call(
                "VisitsSummary.getVisits", idSite=1, period="year", date="today"
            )
            assert int(visits["value"]) == 5
            assert copy.harness("archive").code == 0
            if layout.name == "web-root":
                said = copy.harness("console", "config:get", "--section", "Plugins").text
                assert "EnvironmentVariables" in said
            assert copy.harness("console", "core:version").code == 0
            clean.remove_stack(Stack(copy.root))


def _ids(layout: Layout) -> str:
    return layout.name


@pytest.mark.slow(reason="an image is looked at, installed, filled and archived")
def test_an_image_with_other_habits_runs_on_this_machine(tmp_path: Path) -> None:
    require_runs(HABITS, tmp_path)


@pytest.mark.nightly(reason="an image is looked at, installed, filled and archived, for each")
@pytest.mark.parametrize("layout", OTHERS, ids=_ids)
def test_an_image_of_somebody_else_runs_on_this_machine(layout: Layout, tmp_path: Path) -> None:
    require_runs(layout, tmp_path)


@pytest.mark.nightly(reason="a dump is loaded, rewritten and updated, on two images")
@pytest.mark.parametrize("layout", [HABITS, Layout("plain", on="base")], ids=_ids)
def test_a_dump_runs_on_an_image_of_somebody_else(layout: Layout, tmp_path: Path) -> None:
    settings = RunSettings.from_environment()
    with image_of(layout, settings) as image, copied(tmp_path, settings) as copy:
        old = str(DUMPS / "matomo-4.x-mysql-8.0.sql")
        made = copy.harness(
            "repro", "new", old, "--name", "theirs", "--update", "--json", IMAGE=image.reference
        )
        assert made.code == 0, made.text
        assert '"waits_for_update": false' in made.text
        assert copy.harness("repro", "remove", "theirs").code == 0


@pytest.mark.nightly(reason="an image of somebody else is upgraded, there and back")
@pytest.mark.parametrize(
    "layout",
    [HABITS, Layout("web-root", on="base-without-volume"), Layout("read-only")],
    ids=_ids,
)
def test_an_upgrade_of_an_image_of_somebody_else_is_rehearsed(
    layout: Layout, tmp_path: Path
) -> None:
    settings = RunSettings.from_environment()
    sides = [
        dataclasses.replace(settings, matomo_version=version, image=None)
        for version in ("5.3.1", "next")
    ]
    with (
        image_of(layout, sides[0]) as old,
        image_of(layout, sides[1]) as new,
        copied(tmp_path, sides[0]) as copy,
    ):
        _, found = rehearsed(
            copy,
            *("rehearse-upgrade", "--from", old.reference, "--to", new.reference),
            *("--visits", "20"),
            promises="tracking",
        )
    # web-root does not have the plugin that leaves user ids out.
    assert [what for what in reasons(found, "no") if "user_ids" not in what] == []
    assert found["after"]["code"] == found["after"]["tables"] == found["new_version"]
    assert found["compared_numbers"] > 0
    assert (found["back_at_once"], found["back_restored"]) == ([], [])


@pytest.mark.slow(reason="an image is looked at")
def test_an_image_that_only_serves_is_refused_by_name(tmp_path: Path) -> None:
    settings = RunSettings.from_environment()
    with image_of(Layout("no-cmd"), settings) as image, copied(tmp_path, settings) as copy:
        answer = copy.harness("up", IMAGE=image.reference)
        answer.refuses(ExitCode.WRONG_INPUT, "run a command beside it", "an ENTRYPOINT that")
        assert copy.containers == []


def test_an_image_that_is_no_matomo_is_refused_by_name(tmp_path: Path) -> None:
    database = images.mariadb_base(RunSettings.from_environment())
    with copied(tmp_path) as copy:
        answer = copy.harness("up", IMAGE=database.reference)
        answer.refuses(ExitCode.WRONG_INPUT, "Matomo")
        assert copy.containers == []
