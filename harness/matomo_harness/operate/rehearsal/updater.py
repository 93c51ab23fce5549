"""Matomo's own update of its tables, with the time that each step takes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from matomo_harness.runtime.engine import execute
from matomo_harness.runtime.shell import WHOLE_DATA_SECONDS, MatomoShell

STAMPED: Final = r"""
{ php console core:update --yes --no-interaction 2>&1; printf '\nHARNESS_EXIT %s\n' "$?"; } |
php -r '$begun = microtime(true); while (($line = fgets(STDIN)) !== false) {
    printf("%.3f %s", microtime(true) - $begun, $line);
}'
"""
"""Runs core:update and puts before each line the seconds since the beginning."""
EXIT: Final = "HARNESS_EXIT "
EXECUTING: Final = re.compile(r"\bExecuting (?P<sql>.+?)\s*\.\.\. Done\. \[\d+ / \d+\]")
"""A migration in the output of core:update (CoreUpdater's CliUpdateObserver)."""
STAMP: Final = re.compile(r"(?P<seconds>\d+\.\d+) ")
LAST_LINES: Final = 3
WARNED: Final = re.compile(r"\[[!X]\] ")
"""Begins a list of what went wrong, with which core:update may end with 0 all the same: Matomo
notes an update as done of which a part threw (core/Updater.php), and never tries it again."""
ERRORS: Final = "[X] "
"""Begins such a list of errors, as of a statement that failed: there more lines of a message are
indented (CoreUpdater's Update::handleCoreError), and an empty one ends it."""


@dataclass(frozen=True)
class Migration:
    """A step of the update.

    Args:
        text: as Matomo prints it, in a line.
        seconds: that it took.
    """

    text: str
    seconds: float


@dataclass(frozen=True)
class Update:
    """How Matomo's update went.

    Args:
        code: exit code of core:update.
        seconds: that it took.
        migrations: in their order.
        last_lines: of what it printed.
        warnings: what it says went wrong.
    """

    code: int
    seconds: float
    migrations: tuple[Migration, ...]
    last_lines: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    def after(self, earlier: "Update") -> "Update":
        """Return both as one, which failed where either did."""
        return Update(
            earlier.code or self.code,
            round(earlier.seconds + self.seconds, 1),
            (*earlier.migrations, *self.migrations),
            self.last_lines,
            (*earlier.warnings, *self.warnings),
        )

    @property
    def said(self) -> str:
        """Its exit code, and what went wrong; what it printed last where it does not say that.

        Behind an error come advice and the command's usage, and nothing of the error.
        """
        return f"exit {self.code}: {' | '.join(self.warnings or self.last_lines)}"

    @property
    def longest(self) -> Migration | None:
        """The step that took longest."""
        return max(self.migrations, key=lambda migration: migration.seconds, default=None)

    @property
    def is_done(self) -> bool:
        """Whether it says that it succeeded."""
        return self.code == 0


def update(shell: MatomoShell) -> Update:
    """Run core:update in a container, as the web server's user.

    Raises:
        TimeLimitError: it takes longer than WHOLE_DATA_SECONDS.
    """
    done = execute(
        shell.container,
        ["sh", "-c", STAMPED],
        shell.profile.web_user,
        directory=shell.profile.web_root,
        seconds=WHOLE_DATA_SECONDS,
    )
    return parsed(done.out.split("\n"))  # as fgets() does; splitlines() knows other ends, too


def parsed(lines: Sequence[str]) -> Update:
    """Return what the lines of STAMPED say.

    A line without a stamp is more of the one before it.
    """
    migrations, said, code, last = [], [], -1, 0.0
    warnings, listed, is_after_blank = [], "", False
    for line in lines:
        stamped = STAMP.match(line)
        seconds = float(stamped["seconds"]) if stamped else last
        raw = line[stamped.end() if stamped else 0 :]
        text = raw.strip()
        if not text:
            is_after_blank = True
            continue
        if text.startswith(EXIT):
            code = int(text.removeprefix(EXIT))
        else:
            said.append(text)
        is_more = not raw.startswith("    ") or (listed == ERRORS and not is_after_blank)
        if found := WARNED.match(text):
            listed = found[0]
        elif listed and text.startswith("* "):
            warnings.append(text.removeprefix("* "))
        elif listed and warnings and is_more and not text.startswith(EXIT):
            warnings[-1] += f" {text}"  # more lines of the same message
        else:
            listed = ""
        is_after_blank = False
        if found := EXECUTING.search(text):
            migrations.append(Migration(found["sql"], round(seconds - last, 2)))
        last = seconds
    ended = tuple(said[-LAST_LINES:])
    return Update(code, round(last, 1), tuple(migrations), ended, tuple(warnings))
