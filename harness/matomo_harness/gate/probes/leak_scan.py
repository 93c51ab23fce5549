"""The leak scan: it searches tables, archives, files, logs and mails for what must be nowhere."""

import base64
import secrets
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from matomo_harness.gate.core.once import once
from matomo_harness.gate.core.target import Services
from matomo_harness.gate.probes.reports import Archives
from matomo_harness.gate.probes.traffic import Canary
from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.matomo.database import Database

Needles = Mapping[str, tuple[bytes, ...]]
"""The values to search for, in every form that each could have, by a name for the report."""

SEARCHED_DIRECTORIES: Final = (
    "config config/config.ini.php misc misc/user js /data /etc /home /opt /root /srv /tmp"
    " /var/cache /var/lib /var/log /var/tmp"
)
"""Where the deployment's own files may be, besides its tmp/; relative to the web root. What may be
a link is named itself: a search enters only links that are its arguments."""

OF_THE_KERNEL: Final = r"\( -path /proc -o -path /sys \) -prune"
"""What is below / and no file; below /dev is memory that files are kept in, /dev/shm."""
BEGINNING: Final = 8
"""Letters of a token that may be an argument: of 32, they leave 96 bits to guess."""


def addresses(canaries: Iterable[Canary]) -> Needles:
    """Return the addresses of `canaries` in every form."""
    return {canary.address: tuple(canary.forms_of_address) for canary in canaries}


def user_ids(canaries: Iterable[Canary]) -> Needles:
    """Return the user ids of `canaries`, in clear and hashed."""
    return {canary.user_id: tuple(canary.forms_of_user_id) for canary in canaries}


class StoredTables:
    """Everything in the database after the archiver has run, read once."""

    def __init__(self, database: Database, _archives: Archives) -> None:
        self._database = database

    @once
    def contents(self) -> dict[str, bytes]:
        """All values, by table; archives are decompressed."""
        return contents(self._database)

    def with_any(self, needles: Needles) -> list[str]:
        """Return the needles found in tables, each with its table."""
        return found_in(self.contents, needles)


def contents(database: Database) -> dict[str, bytes]:
    """Return all values in the database now, by table; what is compressed is decompressed."""
    found = {}
    with database.connection() as connection, connection.cursor() as cursor:
        for table in sorted(database.tables()):
            cursor.execute(f"SELECT * FROM `{database.tables_prefix}{table}`")  # noqa: S608
            rows = cursor.fetchall()
            found[table] = b"\0".join(
                unpacked(value) for row in rows for value in row.values() if value is not None
            )
    return found


def found_in(tables: Mapping[str, bytes], needles: Needles) -> list[str]:
    """Return the needles found in the contents of `tables`, each with its table."""
    return [f"{name} in {table}" for table, text in tables.items() for name in _in(text, needles)]


def in_files(
    container: MatomoContainer,
    needles: Needles,
    *,
    since: int | None = None,
    of_before: bool = False,
) -> list[str]:
    """Return the files that hold a needle, wherever the web server may write.

    Args:
        container: where the files are.
        needles: what must be in no file.
        since: when the first of them was sent, by the container's clock. Every file that changed
            after that is searched, wherever it is: a plugin may write beside its code, a log may
            be on a volume of its own. Without it the usual places are searched.
        of_before: search also the files that have not changed since the container's start. None of
            them holds what was sent since, but eight digits of an address are soon found by chance
            in the sums of a package's files. Where the image's `find` cannot compare times, all
            files of the usual places are searched.
    """
    patterns = b"\n".join(
        form for forms in needles.values() for form in forms if _is_printable(form)
    )
    name = f"gate-{secrets.token_hex(6)}"  # a directory may be searched by two of its paths
    path = f"{container.tmp}/{name}"
    encoded = base64.b64encode(patterns).decode()
    container.run("sh", "-c", 'echo "$1" | base64 -d > "$2"', "sh", encoded, path)
    places = f"{SEARCHED_DIRECTORIES} {container.tmp}"
    moment = container.started_at if since is None else since
    # Busybox's find, which is Alpine's, takes no moment, but minutes: a few too many do no harm.
    minutes = f"$(( ($(date +%s) - {moment}) / 60 + 2 ))"
    is_known = " || ".join(
        f'{{ newer="{words}"; find / -maxdepth 0 $newer; }}'
        for words in (f"-newerct @{moment}", f"-mmin -{minutes}")
    )
    changed = f"-H {places}" if since is None else f"/ {OF_THE_KERNEL} -o"
    in_all = f"grep -rlaF -f {path} {places}"
    in_changed = f"find {changed} -type f $newer -exec grep -laF -f {path} {{}} +"
    in_changed_or_all = f"if {is_known}; then {in_changed}; else {in_all}; fi"
    search = in_all if of_before else in_changed_or_all
    script = f"{{ {search}; }} 2>/dev/null | grep -vx / | grep -vF {name}; rm -f {path}"
    return list(dict.fromkeys(container.run("sh", "-c", script, user="root").split()))


def files_with(container: MatomoContainer, secret: str) -> list[str]:
    """Return the files that hold `secret`, of the deployment's own and Matomo's temporary ones.

    Nothing is written there, and no process gets the secret as an argument, but its beginning: what
    goes on as a secret could is compared here.

    Args:
        container: where the files are.
        secret: a token: letters and digits.
    """
    begins, rest = secret[:BEGINNING], len(secret) - BEGINNING
    places = f"{SEARCHED_DIRECTORIES} {container.tmp}"
    search = f"LC_ALL=C grep -roaE '{begins}[0-9A-Za-z]{{{rest}}}' {places} 2>/dev/null || true"
    found = container.run("sh", "-c", search, user="root").splitlines()
    return sorted({line.removesuffix(f":{secret}") for line in found if line.endswith(secret)})


def in_logs(services: Services, needles: Needles, *, only: str = "") -> list[str]:
    """Return the needles found in logs, each with its service; `only` names a single service."""
    return [
        f"{name} in the log of {service}"
        for service, text in services.logs().items()
        if not only or service == only
        for name in _in(text.encode(), needles)
    ]


def in_mails(services: Services, needles: Needles) -> list[str]:
    """Return the needles found in mails, each with the mail's subject."""
    return [
        f"{name} in '{mail.subject}'"
        for mail in services.mail.mails()
        for name in _in(f"{mail.text}{mail.html}".encode(), needles)
    ]


def _in(text: bytes, needles: Needles) -> list[str]:
    return [name for name, forms in needles.items() if any(form in text for form in forms)]


def _is_printable(form: bytes) -> bool:
    return form.isascii() and form.decode().isprintable()


def unpacked(value: Any) -> bytes:
    """Return a column's value as bytes, decompressed where it is an archive.

    Four bytes are soon found by chance in compressed data.
    """
    data = value if isinstance(value, bytes) else str(value).encode()
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data
