"""A script reaches a container by a command, and its answer is told from what is around it."""

import os
import shlex
import stat
import subprocess
import time
from pathlib import Path

import pytest

from matomo_harness.errors import BrokenPromiseError, WrongInputError
from matomo_harness.matomo import inside
from matomo_harness.matomo.container import OutOfReachError
from matomo_harness.matomo.inside import ReadOnlyContainer, Shell

VERSION_FILE = "<?php final class Version { public const VERSION = '5.3.1'; }"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory like Matomo's, owned by whoever runs this."""
    for name, text in (("core/Version.php", VERSION_FILE), ("config/config.ini.php", "[General]")):
        path = tmp_path / "web root" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (tmp_path / "web root" / "tmp").mkdir()
    return tmp_path / "web root"


@pytest.fixture
def command(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A command that reaches a "container": it runs what it is given in `root`."""
    monkeypatch.setenv("LC_ALL", "C")  # this machine's programs may speak another language
    return written(tmp_path, f'cd {shlex.quote(str(root))} && exec "$@"')


def written(directory: Path, script: str) -> str:
    path = directory / f"reach-{time.monotonic_ns()}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


# -- the frame ------------------------------------------------------------------------------------


def here(script: str, seconds: float) -> tuple[str, str]:
    ended = subprocess.run(
        ["sh", "-c", script], capture_output=True, timeout=seconds, text=True, check=False
    )
    return ended.stdout, f"exit {ended.returncode}"


def answer(script: str, shell: Shell = here) -> tuple[int, str, str]:
    return inside.exchange(shell, script, 10, "`here`")


def test_both_streams_and_the_exit_code_come_back() -> None:
    assert answer("echo out; echo error >&2; exit 3") == (3, "out\n", "error\n")
    assert answer("true") == (0, "", "")
    assert answer("printf 'no newline'; printf x >&2") == (0, "no newline", "x")


def test_a_long_answer_and_quotes_arrive_whole() -> None:
    text = "ä'\"$(x)\\\n"
    script = f"cat <<'END'\n{text}END\nawk 'BEGIN {{ for (i = 0; i < 99999; i++) print i }}'"
    assert answer(script) == (0, text + "".join(f"{i}\n" for i in range(99_999)), "")


def test_a_script_reads_nothing_of_what_follows_it() -> None:
    assert answer("cat; echo after") == (0, "after\n", "")


def test_a_banner_around_the_answer_is_no_part_of_it() -> None:
    def by_a_terminal(script: str, seconds: float) -> tuple[str, str]:
        out, ended = here(script, seconds)
        session = f"\nStarting session with SessionId: x\n$ {out}\nExiting session: x.\n"
        return session.replace("\n", "\r\n"), ended

    assert answer("echo out; echo error >&2", by_a_terminal) == (0, "out\n", "error\n")


def test_something_else_between_the_marks_is_refused() -> None:
    def noisy(script: str, seconds: float) -> tuple[str, str]:
        out, ended = here(script, seconds)
        return out.replace("=\n", "=\n*** rebooting ***\n"), ended

    with pytest.raises(WrongInputError, match="something else in it"):
        answer("echo out", noisy)


# -- the command ----------------------------------------------------------------------------------


def test_the_matomo_behind_a_command_is_found(command: str, root: Path) -> None:
    container = inside.reached_by(command)
    assert (container.root, container.version) == (str(root), "5.3.1")
    assert container.read("config/config.ini.php") == "[General]"
    assert container.run("pwd").strip() == str(root)
    assert command in container.name
    with pytest.raises(BrokenPromiseError, match="No such file"):
        container.read("config/none.php")


def test_nothing_is_written(command: str, root: Path) -> None:
    container = inside.reached_by(command)
    with pytest.raises(OutOfReachError, match="only looked at"):
        container.write("tmp/x", "text")
    assert not (root / "tmp/x").exists()


def test_who_is_not_root_is_not_taken_for_root(root: Path) -> None:
    container = ReadOnlyContainer("`x`", here, str(root), False, (), "5.3.1")
    assert container.run("echo", "here") == "here\n"
    with pytest.raises(OutOfReachError, match="root in the container"):
        container.run("echo", "here", user="root")


@pytest.mark.parametrize("seed", ["", "/usr/src/matomo-config/config.ini.php"])
def test_the_file_in_use_is_not_taken_for_that_of_the_image(
    seed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        "matomo\t/srv/matomo 5.3.1",
        "server\tapache",
        "config\t/srv/matomo/config/config.ini.php",
    ]
    lines += [f"config\t{seed}"] if seed else []
    monkeypatch.setattr(ReadOnlyContainer, "run", lambda *_, **__: "\n".join(lines))
    container = ReadOnlyContainer("`x`", here, "/srv/matomo", False, (), "5.3.1")
    assert (container.profile.seed, container.profile.configuration) == (seed, "web root")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_root_becomes_the_owner_of_matomo_files(command: str, root: Path) -> None:
    for directory in (root.parent, *root.parent.parents):
        if stat.S_IMODE(directory.stat().st_mode) & stat.S_IXOTH == 0:
            directory.chmod(directory.stat().st_mode | stat.S_IXOTH)
    for path in (root, *root.rglob("*")):
        os.chown(path, 12345, 12345)
    container = inside.reached_by(command)
    assert container.run("id", "-u") == "12345\n"
    assert container.run("id", "-u", user="root") == "0\n"


def test_a_session_in_one_word_and_an_open_input(root: Path, tmp_path: Path) -> None:
    """As `aws ecs execute-command … --command "…"`, which gives up at an end of its input."""
    aws = written(
        tmp_path,
        'echo "Starting session with SessionId: x"; echo\n'
        '[ "$1 $3" = "--command " ] || exit 9\n'
        f"cd {shlex.quote(str(root))}\n"
        # Only an end of the input ends `read`: nobody types anything.
        "exec 4<&0; { read -r _ <&4; kill $$; } & reader=$!\n"
        'eval "$2" | sed "s/$/\\r/"; kill $reader\n'
        'echo "Exiting session with sessionId: x."',
    )
    assert inside.reached_by(f"{aws} --command").read("config/config.ini.php") == "[General]"


# -- wrong input ----------------------------------------------------------------------------------


def refused(command: str, *words: str) -> None:
    with pytest.raises(WrongInputError) as error:
        inside.reached_by(command)
    for word in words:
        assert word in str(error.value)


def test_what_is_no_command_is_refused() -> None:
    refused("'docker exec", "quotes")
    refused("  ", "an empty one")
    refused("no-such-program exec", "no-such-program", "No such file")


def test_a_command_that_fails_is_refused_with_what_it_said(tmp_path: Path) -> None:
    refused(
        written(tmp_path, "echo 'Error: No such container: x' >&2; exit 1"),
        "exit 1",
        "No such container",
    )


def test_a_command_that_answers_otherwise_is_refused(tmp_path: Path) -> None:
    refused(written(tmp_path, "echo 'Enter MFA code:'"), "a prompt", "Enter MFA code:")


def test_a_command_that_asks_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = tmp_path / "asked"

    def once_it_has_asked(_: float) -> float:
        while not asked.exists():
            time.sleep(0.01)
        return 1.0

    monkeypatch.setattr(inside, "seconds_left", once_it_has_asked)
    asks = written(tmp_path, f"printf 'Password: '; touch {asked}; read -r word")
    refused(asks, "Password:", f"still at work after {inside.FIRST_ANSWER_SECONDS:.0f} s")


def test_a_container_without_matomo_is_refused(tmp_path: Path) -> None:
    find = tmp_path / "programs/find"  # this machine may have a Matomo somewhere
    find.parent.mkdir()
    find.symlink_to("/bin/true")
    refused(
        written(tmp_path, f'cd {tmp_path}; PATH={find.parent}:$PATH; exec "$@"'),
        "a Matomo in the container",
        "no core/Version.php",
    )
