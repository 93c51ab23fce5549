"""The output of a build is read as a person would read it; images are listed."""

import json
import multiprocessing
import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from docker.errors import BuildError, ImageNotFound

from matomo_harness.cli import app
from matomo_harness.matomo.database_versions import DATABASES
from matomo_harness.operate import images as stock
from matomo_harness.operate.delivery import dist
from matomo_harness.progress import ProgressStep
from matomo_harness.runtime import images, reaper
from matomo_harness.runtime.golden import GOLDEN_LABEL
from matomo_harness.runtime.images import (
    BASES_DIRECTORY,
    Image,
    _follow,
    _Substitute,
    build_lock,
)


def test_the_last_output_of_a_command_leads_the_error_of_the_build() -> None:
    stream = [
        {"stream": "Step 3/4 : RUN install\n"},
        {"stream": "\x1b[91mmatomo substitute: apt cannot install matomo (next) today\n\x1b[0m"},
        {"error": "The command '/bin/sh -c install' returned a non-zero code: 1"},
    ]
    with pytest.raises(BuildError) as error:
        _follow(stream, ProgressStep("Building"))
    assert str(error.value).startswith(
        "matomo substitute: apt cannot install matomo (next) today\n"
    )


def test_colour_codes_are_no_output() -> None:
    stream = [{"stream": "the reason\n"}, {"stream": "\x1b[0m"}, {"error": "code 1"}]
    with pytest.raises(BuildError, match="the reason"):
        _follow(stream, ProgressStep("Building"))


def test_an_image_is_built_of_what_everybody_may_read(tmp_path: Path) -> None:
    """As a checkout of somebody with the umask 077: Matomo's user could read nothing of it."""
    source = tmp_path / "image"
    (source / "bin").mkdir(parents=True, mode=0o700)
    for name, mode in (("bin/start", 0o700), ("config.ini.php", 0o600)):
        (source / name).touch()
        (source / name).chmod(mode)
    (source / "link").symlink_to("nowhere")
    with images.readable(source) as context:
        modes = {
            str(path.relative_to(context)): path.stat().st_mode & 0o777
            for path in context.rglob("*")
            if not path.is_symlink()
        }
        assert (context / "link").is_symlink()
    assert modes == {"bin": 0o755, "bin/start": 0o755, "config.ini.php": 0o644}
    assert (source / "config.ini.php").stat().st_mode & 0o777 == 0o600, "a person's own stays"


def test_an_image_that_vanishes_during_the_listing_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def get(name: str) -> str:
        if name == "gone":
            raise ImageNotFound("No such image")
        return name

    engine = SimpleNamespace(
        api=SimpleNamespace(images=lambda **_: [{"Id": "here"}, {"Id": "gone"}]),
        images=SimpleNamespace(get=get),
    )
    monkeypatch.setattr(images, "engine", lambda: engine)
    assert images.listed() == ["here"]


def test_golden_images_of_other_code_stay_while_another_checkouts_run_lives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    states = {
        "gone": "stale: what it was made from has gone",
        "other": stock.OF_OTHER_CODE,
        "good": "",
    }
    found = [SimpleNamespace(labels={GOLDEN_LABEL: key}) for key in states]
    monkeypatch.setattr(reaper, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(stock, "listed", lambda _: found)
    monkeypatch.setattr(stock, "_stale", lambda image: states[image.labels[GOLDEN_LABEL]])
    monkeypatch.setattr(stock, "remove", lambda image: [image.labels[GOLDEN_LABEL]])
    run = reaper.begin()
    assert stock.prune() == ["gone", "other"], "this checkout has no use for them"
    run.origin_file.write_text(json.dumps({"process": 1, "checkout": "/home/else/checkout"}))
    assert stock.prune() == ["gone"]
    reaper.end(run)
    assert stock.prune() == ["gone", "other"]


@pytest.mark.parametrize(
    ("labels", "is_on_one"),
    [
        (
            {"org.matomo-harness.substitute": "matomo", "org.opencontainers.image.revision": "1"},
            True,
        ),
        ({"org.opencontainers.image.revision": "1"}, False),
    ],
)
def test_whoever_builds_on_a_substitute_is_warned_that_it_is_for_tests(
    labels: dict[str, str],
    is_on_one: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    built = Image("matomo:latest", "sha256:1", "local")
    found = SimpleNamespace(images=SimpleNamespace(get=lambda _: SimpleNamespace(labels=labels)))
    monkeypatch.setattr(images, "engine", lambda: found)
    monkeypatch.setattr(dist, "dist", lambda *_: (built, ["matomo:latest"]))
    app(["dist", "matomo:latest"], standalone_mode=False)
    said = " ".join(capsys.readouterr().err.split())
    assert ("built on a substitute" in said) is is_on_one


def test_two_users_of_a_machine_may_build_the_same_image(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o1777)
        monkeypatch.setattr(tempfile, "tempdir", directory)
        with build_lock("matomo-harness/matomo:tag"):
            pass
        other = multiprocessing.get_context("fork").Process(target=_lock_as_nobody)
        other.start()
        other.join()
    assert other.exitcode == 0


def _lock_as_nobody() -> None:
    os.setuid(65534)
    with build_lock("matomo-harness/matomo:tag"):
        pass


def test_a_change_to_one_version_of_a_substitute_builds_no_other_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(BASES_DIRECTORY / "mariadb", tmp_path / "mariadb")
    monkeypatch.setattr(images, "BASES_DIRECTORY", tmp_path)
    names = tuple(DATABASES)
    debian = Image("debian", "sha256:1", "local")

    def tags() -> list[str]:
        made = (_Substitute("mariadb", name, {}, "trixie", names) for name in names)
        return [images._substitute_tag(substitute, debian) for substitute in made]

    before = tags()
    assert len(set(before)) == len(names)
    (tmp_path / "mariadb/10.11/Dockerfile").write_text("FROM scratch")
    after = tags()
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False]


@pytest.mark.parametrize(
    ("remote", "page"),
    [
        ("https://person:token@git.example/a/b.git", "https://git.example/a/b"),
        ("git@git.example:a/b.git", "https://git.example/a/b"),
        ("ssh://git@git.example:2222/a/b", "https://git.example/a/b"),
        ("/srv/git/b", ""),
        ("file:///srv/git/b", ""),
        ("", ""),
    ],
)
def test_the_page_of_a_repository_has_nothing_that_opens_it(remote: str, page: str) -> None:
    assert images.page_of(remote) == page
