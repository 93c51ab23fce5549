"""A Matomo that is not ours, seen from inside its container; nothing there is changed.

A `Shell` takes a script there: the engine's own call, or a command such as `docker exec -i NAME`,
`kubectl exec …`, `aws ecs execute-command …`. What such a command prints around the answer (the
banner of a session, a terminal's line ends) is told from it by a mark and by base64. The script
travels as base64, too: nobody on the way has a quote to lose, and a terminal that echoes the script
does not echo the mark.
"""

import base64
import binascii
import dataclasses
import os
import re
import secrets
import shlex
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from matomo_harness.errors import BrokenPromiseError, WrongInputError
from matomo_harness.matomo import look
from matomo_harness.matomo.container import OutOfReachError
from matomo_harness.matomo.image import ASK_HEALTH, ImageProfile
from matomo_harness.time_limit import require_time_left, seconds_left

FIRST_ANSWER_SECONDS: Final = 30.0
"""The time for the first answer. A session of ECS takes a few seconds to begin; a person who is
asked for a password never answers."""
COMMAND_SECONDS: Final = 120.0
LAST_LINES: Final = 4
ONE_WORD: Final = ("--command", "-c")
"""What these stand before is a whole command in one word, as `aws ecs execute-command` has it."""
ROOTS: Final = ("/var/www/html", "/var/www/matomo", "/srv/matomo", "/app", "/usr/share/matomo")
"""Where images have Matomo, after the working directory; elsewhere it is searched for."""

FIND: Final = r"""
for root in "$PWD" __ROOTS__ ''; do [ -f "$root/core/Version.php" ] && break; done
# /usr/src is where official images keep what they copy to the web root.
[ "$root" ] || root=$(find / \( -path /proc -o -path /sys -o -path /usr/src \) -prune -o \
    -path '*/core/Version.php' -print 2>/dev/null | head -n 1)
root=${root%/core/Version.php}
cd "${root:-/}" || exit
owner=config/config.ini.php
[ "$(stat -L -c %u $owner 2>/dev/null || echo 0)" != 0 ] || owner=tmp
set -- $(stat -L -c '%u %g %U' "$owner" 2>/dev/null || echo '0 0 root')
[ "$1" != 0 ] || for name in www-data apache nginx; do
    id "$name" >/dev/null 2>&1 && set -- "$(id -u "$name")" "$(id -g "$name")" "$name" && break
done
as=
if [ "$(id -u)" = 0 ] && [ "$1" != 0 ]; then
    if setpriv --reuid="$1" --regid="$2" --clear-groups true 2>/dev/null; then
        as="setpriv --reuid=$1 --regid=$2 --clear-groups"
    elif chroot --userspec="$1:$2" / true 2>/dev/null; then
        as="chroot --userspec=$1:$2 /"
    elif su -s /bin/sh -c true "$3" 2>/dev/null; then
        as="su $3"
    fi
fi
echo "$root"; id -u; echo "$1"; echo "$as"
grep -E "const VERSION *=" core/Version.php 2>/dev/null
"""
"""Prints where Matomo is, who one is there, who owns its files, how to become that user, and its
version. Whoever runs Matomo's code must be that user: a cache that root made is an error on every
page. Not every image has setpriv, and su may ask PAM."""

Shell = Callable[[str, float], tuple[str, str]]
"""Takes a script into the container, and seconds that it may take; returns what was printed on
standard output, banners and all, and what else there is to tell where that is no answer."""


@dataclass(frozen=True)
class ReadOnlyContainer:
    """One Matomo in a container that is only looked at (see MatomoContainer).

    Args:
        name: the container, or the command that reaches it, for messages.
        shell: takes a script there.
        root: where Matomo is, in the container.
        is_root: whether the scripts run as root.
        becomes: the words that make root Matomo's own user; empty where nobody needs to become it.
        version: Matomo's, by its code.
    """

    name: str
    shell: Shell
    root: str
    is_root: bool
    becomes: tuple[str, ...]
    version: str
    instance: None = None
    config: str = "config/config.ini.php"
    tmp: str = "tmp"
    uploads: str = "misc/user"

    @cached_property
    def profile(self) -> ImageProfile:
        """What is known by looking inside; how its image starts is not.

        The file that Matomo uses is never taken for the image's own, which it may hide.
        """
        found = look.found_in(self.run("sh", "-c", look.SCRIPT, "look", self.root))
        profile = look.profile_of(found, self.name, self.root, (), is_image=False)
        live = self.run("sh", "-c", f"readlink -f {self.config} || true").strip()
        in_use = (live, f"{self.root}/{self.config}")
        others = [path for path in look.seeds_in(found) if path not in in_use]
        if profile.seed not in in_use:
            return profile
        return dataclasses.replace(profile, seed=next(iter(others), ""))

    @property
    def started_at(self) -> int:
        """When its first process was started, in seconds since 1970, by the container's clock."""
        return int(self.run("stat", "-c", "%Y", "/proc/1"))

    def run(self, *command: str, user: str = "") -> str:
        """Run `command` in Matomo's directory and return its standard output.

        Args:
            command: changes nothing.
            user: root, or else Matomo's own user, whatever that is called there.

        Raises:
            BrokenPromiseError: it exits non-zero.
            OutOfReachError: root is wanted, and the scripts run as another user.
            WrongInputError: no answer comes back.
        """
        if user == "root" and not self.is_root:
            raise OutOfReachError(
                expected="root in the container, who may read every file",
                seen=f"another user, by {self.name}",
                next_command="give a command that runs as root: docker exec -i --user root …",
            )
        words = shlex.join(command)
        becomes = self.becomes if user != "root" else ()
        if becomes[:1] == ("chroot",):  # which leads to / first
            words = shlex.join([*becomes, "sh", "-c", f"cd {shlex.quote(self.root)} && {words}"])
        elif becomes[:1] == ("su",):
            words = shlex.join(["su", "-s", "/bin/sh", "-c", words, becomes[1]])
        elif becomes:
            words = f"{shlex.join(becomes)} {words}"
        script = f"cd {shlex.quote(self.root)} && {words}"
        code, out, error = exchange(self.shell, script, COMMAND_SECONDS, self.name)
        if code != 0:
            last = (out + error).strip().splitlines()[-LAST_LINES:]
            raise BrokenPromiseError(
                expected=f"`{command[0]}` to succeed in the container of {self.name}",
                seen=f"exit {code}: {' | '.join(last)}",
                next_command="read the container's log",
            )
        return out

    def console(self, *arguments: str) -> str:
        """Run Matomo's console as Matomo's own user.

        Raises:
            BrokenPromiseError: the command exits non-zero.
        """
        return self.run("php", "console", *arguments)

    def health(self) -> str | None:
        """Return None when the image's own health check passes, else its reason."""
        try:
            self.run(*ASK_HEALTH)
        except BrokenPromiseError as error:
            return error.seen
        return None

    def read(self, path: str) -> str:
        """Return the text of a file below the web root.

        Raises:
            BrokenPromiseError: there is no such file.
        """
        return self.run("cat", path)

    def write(self, path: str, text: str, user: str = "") -> None:  # noqa: ARG002
        """Refuse: who only looks writes nothing.

        Raises:
            OutOfReachError: always.
        """
        raise OutOfReachError(
            expected="a container that may be changed",
            seen=f"{self.name} is only looked at, and {path} was to be written",
            next_command="make gate IMAGE=…, of the image that it runs",
        )


def entered(shell: Shell, name: str) -> ReadOnlyContainer:
    """Return the Matomo in the container that `shell` reaches.

    Args:
        shell: takes a script there.
        name: for messages.

    Raises:
        WrongInputError: no answer comes back, there is no Matomo, or nobody can become its user.
    """
    roots = " ".join(ROOTS)
    code, out, error = exchange(shell, FIND.replace("__ROOTS__", roots), FIRST_ANSWER_SECONDS, name)
    root, user, owner, becomes, code_of_version = [*out.splitlines(), "", "", "", "", ""][:5]
    version = re.search(r"""VERSION *= *['"]([^'"]+)""", code_of_version)
    if not root or not version:
        seen = f"no core/Version.php outside /usr/src (exit {code}) {error.strip()[-200:]}"
        raise WrongInputError(f"a Matomo in the container of {name}", seen.strip(), "docker ps")
    is_root = user == "0"
    if is_root and owner != "0" and not becomes:
        raise WrongInputError(
            f"setpriv, su or chroot in the container, to become the user {owner} of Matomo's files",
            "none of them works",
            "give a command that runs as that user: docker exec -i --user …",
        )
    return ReadOnlyContainer(name, shell, root, is_root, tuple(becomes.split()), version[1])


# -- by a command ---------------------------------------------------------------------------------


def reached_by(text: str) -> ReadOnlyContainer:
    """Return the Matomo in the container that the command `text` reaches.

    Args:
        text: a command to which `sh -c SCRIPT` is added: `docker exec -i NAME`. Where its last word
            is `--command`, these are added as one word, as `aws ecs execute-command` wants it; also
            behind `ssh`, whose far end takes words apart again.

    Raises:
        WrongInputError: the command cannot be run, fails, asks for something or waits; or there is
            no Matomo.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise WrongInputError(
            "a command whose quotes are closed", f"{text}: {error}", EXAMPLE
        ) from error
    if not words:
        raise WrongInputError("a command that reaches the container", "an empty one", EXAMPLE)
    return entered(_Command(tuple(words)), f"`{_in_short(words)}`")


EXAMPLE: Final = "the same command with --exec 'docker exec -i NAME'"


def _in_short(words: Sequence[str]) -> str:
    return shlex.join(words)[:120]


@dataclass(frozen=True)
class _Command:
    """A command of this machine as a Shell.

    Args:
        words: the command.
    """

    words: tuple[str, ...]

    def __call__(self, script: str, seconds: float) -> tuple[str, str]:
        encoded = base64.b64encode(script.encode()).decode()
        there = ["sh", "-c", f"echo {encoded}|base64 -d|sh"]
        as_one = self.words[-1] in ONE_WORD or Path(self.words[0]).name == "ssh"
        command = [*self.words, *([shlex.join(there)] if as_one else there)]
        # It stays open: the plugin of `aws ecs execute-command` gives up at an end of its input.
        for_reading, for_writing = os.pipe()
        try:
            # In a session of its own it has no terminal to ask on.
            program = subprocess.Popen(
                command,
                stdin=for_reading,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            os.close(for_writing)
            seen = f"{self.words[0]}: {error.strerror}"
            raise WrongInputError(
                "a command of this machine that reaches the container", seen, EXAMPLE
            ) from error
        finally:
            os.close(for_reading)
        try:
            out, error_text = program.communicate(timeout=seconds_left(seconds))
            ended = f"exit {program.returncode}"
        except subprocess.TimeoutExpired:
            _kill(program)
            out, error_text = program.communicate()
            require_time_left()
            ended = f"still at work after {seconds:.0f} s"
        finally:
            os.close(for_writing)
            _kill(program)
        text = out.decode(errors="replace")
        said = " | ".join(line.strip() for line in _last(error_text.decode(errors="replace")))
        return text, f"{ended}{f': {said}' if said else ''}"


def _kill(program: subprocess.Popen[bytes]) -> None:
    """Kill `program` and what it has started; it may have ended already."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, signal.SIGKILL)


# -- the frame ------------------------------------------------------------------------------------


def exchange(shell: Shell, script: str, seconds: float, name: str) -> tuple[int, str, str]:
    """Run `script` by `shell`; return its exit code, its standard output and standard error.

    Raises:
        WrongInputError: what comes back is no answer.
    """
    mark = secrets.token_hex(8)
    printed, ended = shell(_frame(script, mark), seconds)
    text = printed.replace("\r", "")
    _, begun, rest = text.partition(f"{mark}<\n")
    out, middle, rest = rest.partition(f"{mark}=\n")
    error, is_whole, _ = rest.partition(f"{mark}>\n")
    if not (begun and middle and is_whole):
        said = " | ".join(line.strip() for line in _last(text)) or "nothing"
        raise WrongInputError(
            f"an answer of sh in the container, by {name}",
            f"{ended}; it printed: {said}" + ("" if begun else " (a prompt, or no shell?)"),
            f"try it: {name.strip('`')} sh -c 'echo here'",
        )
    try:
        decoded = [base64.b64decode("".join(part.split()), validate=True) for part in (out, error)]
    except (binascii.Error, ValueError) as mistake:
        raise WrongInputError(
            f"an answer in base64, by {name}", f"something else in it: {mistake}", "try it again"
        ) from mistake
    output, errors = (part.decode(errors="replace") for part in decoded)
    errors, _, code = errors.rstrip("\n").rpartition("\n")
    return int(code), output, errors


def _frame(script: str, mark: str) -> str:
    """Return a script that runs `script` and prints what came of it, between marks.

    Standard output comes as base64 while it runs; then the end of standard error, with the exit
    code as its last line. The script has no input, and no file is written.
    """
    command = f"sh -c {shlex.quote(script)} 3>&- </dev/null; printf '\\n%s' $? >&2"
    return f"""exec 3>&1
printf '\\n%s<\\n' {mark}
error=$( {{ {{ {command}; }} | base64 >&3; }} 2>&1 | tail -c 8000 )
printf '%s=\\n' {mark}; printf %s "$error" | base64; printf '%s>\\n' {mark}
"""


def _last(text: str) -> list[str]:
    return text.strip().splitlines()[-LAST_LINES:]
