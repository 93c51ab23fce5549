"""The errors that a user reads, in three parts: expected, seen, next command."""

from enum import IntEnum, StrEnum
from typing import TypeVar

E = TypeVar("E", bound=StrEnum)


class ExitCode(IntEnum):
    """Exit codes of every verb, a contract with scripts and CI."""

    OK = 0
    BROKEN_PROMISE = 1
    WRONG_INPUT = 2
    UNSUPPORTED_ENVIRONMENT = 3


class HarnessError(Exception):
    """Base of every error that a user is meant to read.

    Args:
        expected: what should have been the case.
        seen: what was the case instead.
        next_command: the one thing to do now.
    """

    exit_code = ExitCode.BROKEN_PROMISE

    def __init__(self, expected: str, seen: str, next_command: str) -> None:
        self.expected = expected
        self.seen = seen
        self.next_command = next_command
        super().__init__(f"expected {expected}\n  seen: {seen}\n  next: {next_command}")


class BrokenPromiseError(HarnessError):
    """Matomo does not do what it should (exit code 1)."""


class WrongInputError(HarnessError):
    """The user's input cannot be used (exit code 2)."""

    exit_code = ExitCode.WRONG_INPUT


class UnsupportedEnvironmentError(HarnessError):
    """The machine lacks something: an engine, disk space, a registry (exit code 3)."""

    exit_code = ExitCode.UNSUPPORTED_ENVIRONMENT


def one_of(kind: type[E], text: str, named_by: str, next_command: str) -> E:
    """Return the member of an enumeration that a person named.

    Args:
        kind: of words.
        text: what was named.
        named_by: the option or the variable.
        next_command: one that names a member.

    Raises:
        WrongInputError: there is no such member.
    """
    for member in kind:
        if member.value == text:
            return member
    raise WrongInputError(
        expected=f"{named_by} to be one of {', '.join(kind)}", seen=text, next_command=next_command
    )
