"""What a stack keeps beside its volumes, in .local/: secrets, certificates, its people."""

import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from matomo_harness.errors import WrongInputError
from matomo_harness.matomo.database import DEFAULT_PREFIX
from matomo_harness.operate import compose
from matomo_harness.operate.stack import LOCAL, Stack
from matomo_harness.runtime import description, images
from matomo_harness.runtime.certificates import Authority


@dataclass(frozen=True)
class StackSecrets:
    """The secrets that the parts of a stack share.

    Args:
        database_password: the password of Matomo's database user.
        salt: MATOMO_GENERAL_SALT; tokens and sessions depend on it.
        superuser_login: the superuser whom the harness logs in as; a person who has restored a
            database may name one of that database.
        superuser_password: that superuser's password.
        mail_password: the password of Matomo's user at the mail relay.
        tables_prefix: how the names of Matomo's tables begin; may be empty.
        generation: how the names of the volumes in use end: empty for the first ones, then what a
            restored snapshot was copied into.
    """

    database_password: str = field(repr=False)
    salt: str = field(repr=False)
    superuser_login: str
    superuser_password: str = field(repr=False)
    mail_password: str = field(repr=False)
    tables_prefix: str
    generation: str


_MADE_BY: Final[Mapping[str, Callable[[], str]]] = {
    "DATABASE_PASSWORD": lambda: secrets.token_urlsafe(18),
    "SALT": lambda: secrets.token_hex(16),
    "SUPERUSER_LOGIN": lambda: "admin",
    "SUPERUSER_PASSWORD": lambda: secrets.token_urlsafe(12),
    "MAIL_PASSWORD": lambda: secrets.token_urlsafe(18),
    "TABLES_PREFIX": lambda: DEFAULT_PREFIX,
    "GENERATION": lambda: "",
}


_OPENS_THE_DATA: Final = ("DATABASE_PASSWORD", "SALT")
"""What cannot be made anew for data that is there: the server, and all tokens, have the old one."""


def login_of_nobody() -> str:
    """Return a login for the harness that nobody in production has.

    Beside people who stay who they are there may be an `admin`, whose password nobody here has.
    """
    return f"harness-{secrets.token_hex(4)}"


def read(stack: Stack = LOCAL) -> StackSecrets:
    """Read the secrets, and make those that are missing; the file appears whole or not at all.

    Raises:
        WrongInputError: the file is gone, or a line that opens the data, and the data is there.
    """
    values = known(stack)
    if lost := [name for name in _OPENS_THE_DATA if name not in values]:
        _require_no_data(stack, lost)
    if missing := [name for name in _MADE_BY if name not in values]:
        values |= {name: _MADE_BY[name]() for name in missing}
        write(values, stack)
    return StackSecrets(**{name.lower(): values[name] for name in _MADE_BY})


def remember_prefix(prefix: str, stack: Stack = LOCAL) -> None:
    """Have every later start of the stack use tables whose names begin with `prefix`."""
    write({**known(stack), "TABLES_PREFIX": prefix}, stack)


def make_certificates(stack: Stack = LOCAL) -> None:
    """Make the stack's certificates where there are none; the key that signed them is thrown away.

    The users of the containers can read them; .local/ is closed to others on this machine.
    """
    stack.directory.chmod(0o700)  # a release before may have left it open
    if stack.tls_directory.exists():
        return
    made = stack.tls_directory.with_suffix(".new")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    certificate = Authority(made / stack.authority_file.name).issue(
        *description.read({}).certificate_names
    )
    (made / "cert.pem").write_bytes(certificate.chain)
    (made / "key.pem").write_bytes(certificate.key)
    images.let_everybody_read(made)
    made.rename(stack.tls_directory)


def remove(stack: Stack = LOCAL) -> None:
    """Remove secrets, certificates and the records of snapshots and of a recipe."""
    stack.secrets_file.unlink(missing_ok=True)
    stack.recipe_file.unlink(missing_ok=True)
    stack.candidate.secrets_file.unlink(missing_ok=True)
    shutil.rmtree(stack.snapshots, ignore_errors=True)
    shutil.rmtree(stack.tls_directory, ignore_errors=True)


def known(stack: Stack) -> dict[str, str]:
    """Return what is in the stack's file, by name; nothing where there is no file.

    Raises:
        WrongInputError: a line is no NAME=value.
    """
    return parsed(stack.secrets_file) if stack.secrets_file.exists() else {}


def parsed(file: Path) -> dict[str, str]:
    """Return what is in a file of secrets, by name.

    People edit it: it may have empty lines, comments, and a mark of its encoding.

    Raises:
        WrongInputError: a line is no NAME=value.
    """
    text = file.read_text(encoding="utf-8-sig")
    found = {}
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        name, sign, value = line.partition("=")
        if sign and not line.startswith("#"):
            found[name.strip()] = value
        elif line and not line.startswith("#"):
            raise WrongInputError(
                expected=f"NAME=value in each line of {file}",
                seen=f"line {number}, without a =",
                next_command=f"edit {os.path.relpath(file)}",
            )
    return found


def write(values: Mapping[str, str], stack: Stack) -> None:
    """Write the file anew."""
    stack.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_closed(stack.secrets_file, "".join(f"{name}={value}\n" for name, value in values.items()))


def write_closed(path: Path, text: str) -> None:
    """Write a file of mode 0600, which appears whole or not at all."""
    made = path.with_suffix(".new")
    made.unlink(missing_ok=True)
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    made.rename(path)


def _require_no_data(stack: Stack, lost: Sequence[str]) -> None:
    if volumes := compose.volumes(stack):
        is_there = stack.secrets_file.exists()
        raise WrongInputError(
            expected=f"{' and '.join(lost)} in {stack.secrets_file}, which open the stack's data",
            seen=f"no such {'line' if is_there else 'file'}, and the volume {volumes[0]}",
            next_command=f"put the {'line' if is_there else 'file'} back, or give the data up:"
            " make clean",
        )
