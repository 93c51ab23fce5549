"""The command line in a process of its own, whose imports were made before: each run is a fork.

A command needs a second or more of processor time for its imports, and the tests run hundreds. What
is imported is the same for all of them; arguments, environment, directory, streams, signals and the
exit code are each run's own, as `python -m matomo_harness` has them.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from matomo_harness.errors import ExitCode

PROGRAM: Final = r"""
import importlib, json, os, pkgutil, random, runpy, signal, socket, sys, time

import matomo_harness.cli
import matomo_harness.operate

for module in pkgutil.walk_packages(matomo_harness.operate.__path__, "matomo_harness.operate."):
    importlib.import_module(module.name)


def forked(requests):
    # Return what is to be run, in the process that runs it; the first process never returns.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, files, *_ = socket.recv_fds(requests, 2**20, 3)
        if not message:
            sys.exit()
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            command = os.fork()
            if command == 0:
                return json.loads(message), files
            os.write(files[2], b"%d\n" % command)
            _, status = os.waitpid(command, 0)
            os.write(files[2], b"%d\n" % os.waitstatus_to_exitcode(status))
            os._exit(0)
        for file in files:
            os.close(file)


wanted, files = forked(socket.socket(fileno=int(sys.argv[1])))
os.dup2(files[0], 1)
os.dup2(files[1], 2)
for file in files:
    os.close(file)
os.environ.clear()
os.environ.update(wanted["environment"])
os.chdir(wanted["directory"])
time.tzset()
random.seed()
sys.argv[1:] = wanted["arguments"]
runpy.run_module("matomo_harness", run_name="__main__", alter_sys=True)
"""
READ_AT_IMPORT: Final = ("PYTHON", "TMPDIR", "HOME", "LC_", "LANG", "TERM", "COLUMNS", "NO_COLOR")
"""Beginnings of variables that matter before a command begins."""


@dataclass(frozen=True)
class Answer:
    """The exit code of a command, and what it printed: standard output, then standard error."""

    code: int
    text: str

    def refuses(self, code: ExitCode, *words: str) -> None:
        """Assert an error in our own form: its parts, `words` in it, and no traceback."""
        assert self.code == code, self.text
        assert "Traceback" not in self.text
        for part in ("expected", "seen:", "next:", *words):
            assert part in self.text, self.text


def run(
    arguments: Sequence[str], directory: Path, environment: Mapping[str, str], seconds: float
) -> Answer:
    """Run the command line to its end.

    Args:
        arguments: of the command line.
        directory: the working directory.
        environment: all its variables.
        seconds: how long it may take.

    Raises:
        subprocess.TimeoutExpired: it took longer, and was killed.
    """
    before = {name: environment[name] for name in environment if name.startswith(READ_AT_IMPORT)}
    return _imported(tuple(sorted(before.items()))).run(arguments, directory, environment, seconds)


def end(path: str) -> None:
    """End the programs that have imported the code at `path`, a PYTHONPATH, which goes."""
    for before in [each for each in _running if ("PYTHONPATH", path) in each]:
        _running.pop(before).close()


@atexit.register
def _end_all() -> None:
    while _running:
        _running.popitem()[1].close()


def _imported(before: tuple[tuple[str, str], ...]) -> "_Server":
    if before not in _running:
        _running[before] = _Server(dict(before))
    return _running[before]


class _Server:
    """A program that has made its imports, and forks for each run.

    Args:
        environment: the variables that matter to that.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  as long as the program
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._program = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={"PATH": os.environ["PATH"], **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
            )

    def close(self) -> None:
        """End it; what it runs goes on."""
        self._requests.close()
        self._program.wait()
        self._said.close()

    def run(
        self,
        arguments: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        seconds: float,
    ) -> Answer:
        """Run the command line, as the function does; several threads may do so at once."""
        wanted = {
            "arguments": [*arguments],
            "directory": str(directory),
            "environment": {**environment},
        }
        reply, theirs = socket.socketpair()
        with reply, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            with theirs:
                files = [out.fileno(), err.fileno(), theirs.fileno()]
                socket.send_fds(self._requests, [json.dumps(wanted).encode()], files)
            code = self._code(reply, arguments, seconds)
            return Answer(code, "".join(_text(file) for file in (out, err)))

    def _code(self, reply: socket.socket, arguments: Sequence[str], seconds: float) -> int:
        with reply.makefile("r") as lines:
            process = lines.readline()
            if not process:
                self._said.seek(0)
                raise AssertionError(f"no command was begun: {_text(self._said)}")
            reply.settimeout(seconds)
            try:
                return int(lines.readline())
            except TimeoutError as error:
                os.kill(int(process), signal.SIGKILL)
                reply.settimeout(None)
                reply.recv(1)  # it is gone
                raise subprocess.TimeoutExpired([*arguments], seconds) from error


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


_running: Final[dict[tuple[tuple[str, str], ...], _Server]] = {}
