"""A bundle for a ticket: a reproduction, or the local stack, in one file that may be sent.

What is in it: its versions, images and plugins (manifest.json), its configuration without secrets,
the definitions of its tables, its containers' logs, what the gate said of it, its certificate, and
its data as a dump. The data goes through the quarantine once more: whatever was done in the
reproduction since it was made, log-ins of the harness's own among it, is rewritten and searched as
production's was.
"""

import dataclasses
import json
import re
import shutil
import ssl
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import pymysql
from docker.errors import DockerException
from docker.models.containers import Container

from matomo_harness import __version__
from matomo_harness.dumps.sources import BUNDLE_MANIFEST, BUNDLED_DUMP, require_zstd
from matomo_harness.errors import BrokenPromiseError, HarnessError, WrongInputError
from matomo_harness.gate.core.target import Http
from matomo_harness.gate.probes.php import Php
from matomo_harness.matomo import ini
from matomo_harness.matomo.database import Database
from matomo_harness.operate import (
    bundled,
    compose,
    local,
    production_config,
    recipes,
    repro,
    snapshot,
    stack_files,
)
from matomo_harness.operate.bundled import Bundle, BundledImage, BundledPlugin, Manifest, printable
from matomo_harness.operate.new_file import new_file, require_new
from matomo_harness.operate.quarantined import Certificate, safe_tables
from matomo_harness.operate.repro import Choices, OpenReproduction, Reproduction
from matomo_harness.operate.stack import Stack
from matomo_harness.personal_data import texts
from matomo_harness.personal_data.schema import quoted
from matomo_harness.personal_data.search import Canary
from matomo_harness.progress import console, step
from matomo_harness.redaction import REDACTED, redact
from matomo_harness.runtime import images
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.inspection import environment, inspected
from matomo_harness.runtime.live_dump import live_dump
from matomo_harness.runtime.quarantine import Quarantine, dumped
from matomo_harness.runtime.shell import MatomoShell
from matomo_harness.settings import RunSettings

KINDS: Final = (".zip",)
SCHEMA: Final = "schema.sql"
LOG_LINES: Final = 10_000
"""Of each container, the last ones."""
SHORTEST_SECRET: Final = 8
"""Characters: fewer are in any text by chance, so they are taken out of logs and not searched."""
GATE_FILES: Final = {"gate.json": "gate.json", "index.html": "gate.html"}
"""What a gate leaves in reports/gate/, and what a reproduction and a bundle call it."""
_SECRET_NAME: Final = re.compile(r"(?i)(password|passwd|salt|secret|token|key)$")
_OF_CODE: Final = r"""
require "core/Version.php";
$plugins = [];
foreach (glob("plugins/*", GLOB_ONLYDIR) as $plugin) {
    $said = json_decode(@file_get_contents("$plugin/plugin.json") ?: "{}", true);
    $plugins[basename($plugin)] = $said["version"] ?? null;
}
echo "CODE", json_encode(
    ["php" => PHP_VERSION, "code" => Piwik\Version::VERSION, "plugins" => (object) $plugins]);
"""
"""Prints what the web container holds, without starting Matomo, which may be the bug."""


@dataclass(frozen=True)
class Wish:
    """What a person wants in a bundle.

    Args:
        with_data: whether the data is in it; by default a reproduction's is, and the local stack's
            is not.
        keep_person_data: whether nothing of it is rewritten.
        rules: a file with rules of one's own, which goes into the bundle.
    """

    with_data: bool | None = None
    keep_person_data: bool = False
    rules: Path | None = None


@dataclass(frozen=True)
class WrittenBundle:
    """A bundle that was written.

    Args:
        path: its file.
        manifest: what it says of itself.
        sizes: bytes of each file in it, unpacked; of the data, packed.
    """

    path: Path
    manifest: Manifest
    sizes: Mapping[str, int]


def write(to: Path, stack: Stack, wish: Wish) -> WrittenBundle:
    """Write a bundle of a stack that is up to `to`, which appears whole or not at all.

    Args:
        to: a new file whose name ends in .zip.
        stack: which one.
        wish: what is wanted in it.

    Raises:
        WrongInputError: `to` is there; the stack is not up; person data is in the reproduction, and
            was not asked for; a column has no rule.
        BrokenPromiseError: a secret of the stack, or a person, is in what was to be written.
        UnsupportedEnvironmentError: there is no room, or no library that packs the data.
    """
    require_new(to, KINDS, "matomo-harness bundle --to ticket.zip")
    record = repro.find(stack.name) if stack.name else None
    _require_agreement(record, wish)
    if wish.keep_person_data:
        console.print(
            f"--keep-person-data: {to.name} will hold what production's visitors and people left."
            " Whoever gets it gets that.",
            style="yellow",
            markup=False,
        )
    with_data = bool(record) if wish.with_data is None else wish.with_data
    if with_data:
        require_zstd()
    inventory = _Inventory(stack, keeps_person_data=wish.keep_person_data)
    with step(f"Looking at {stack.title}"):
        files = inventory.files(record, wish)
    with new_file(to) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            certificate = _write_data(archive, inventory, wish) if with_data else None
            if not with_data:
                inventory.left_out.append(
                    "the data, which is not in it unless --with-data asks for it"
                )
            manifest = inventory.manifest(certificate)
            files[BUNDLE_MANIFEST] = manifest.model_dump_json(indent=2) + "\n"
            for name, text in sorted(files.items()):
                archive.writestr(name, text)
            sizes = {info.filename: _size(info) for info in archive.infolist()}
        with step("Searching the bundle for secrets of the stack"):
            file.flush()
            require_no_secret(file, inventory.secrets, to.name)
    return WrittenBundle(to, manifest, sizes)


def _size(info: zipfile.ZipInfo) -> int:
    return info.compress_size if info.filename == BUNDLED_DUMP else info.file_size


def remember_gate(directory: Path, stack: Stack) -> None:
    """Keep what the gate has just said of a reproduction, for a bundle of it.

    reports/gate/ is overwritten by the next gate of anything.

    Args:
        directory: where the gate has left its files.
        stack: the reproduction's.
    """
    for name, remembered in GATE_FILES.items():
        if (directory / name).exists():
            shutil.copyfile(directory / name, stack.directory / remembered)


def reproduce(paths: Sequence[Path], settings: RunSettings, choices: Choices) -> OpenReproduction:
    """Make a reproduction of a dump, or of as much as is in a bundle.

    Args:
        paths: the dump's files, in their order, or its directory; or one bundle.
        settings: image and base of the database: a bundle's are named, and not pulled.
        choices: what a person may choose; it wins over what is in the bundle.

    Raises:
        WrongInputError: the bundle breaks off, is of a newer harness or has no data; or see
            `repro.make`.
        BrokenPromiseError: the leak search found something.
        UnsupportedEnvironmentError: there is no room, or a container does not start.
    """
    bundle = bundled.read(paths)
    if bundle is None:
        return repro.make(paths, settings, choices)
    bundle.require_data()
    for line in compared(bundle, settings):
        console.print(line, markup=False, soft_wrap=True)
    with bundle.unpacked() as found:
        given = dataclasses.replace(
            choices,
            config=choices.config or found.get(bundled.CONFIG),
            rules=choices.rules or found.get(bundled.RULES),
        )
        return repro.make(paths, settings, given)


def compared(bundle: Bundle, settings: RunSettings) -> Iterator[str]:
    """Yield what a bundle is of, each line beside what it is about to run on here.

    Raises:
        WrongInputError: a given image does not exist.
    """
    said, name = bundle.manifest, bundle.path.name
    image, database_image = images.deployed_image(settings), images.mariadb_base(settings)
    code = images.code_version(image.reference)
    server = images.run_once(database_image.reference, ["mariadbd", "--version"])
    php = images.run_once(image.reference, ["php", "-r", "echo PHP_VERSION;"])
    yield printable(
        f"{name} is of {said.of}, made {said.made} by matomo-harness {said.harness}."
    ) + (" PERSON DATA IS IN IT." if said.person_data else "")
    yield f"  Matomo   tables of {printable(said.matomo)}, code {printable(said.code)};" + _here(
        code, said.code, _series
    )
    yield f"  MariaDB  {printable(said.mariadb)};" + _here(
        snapshot.series(server), snapshot.series(said.mariadb), str
    )
    yield f"  PHP      {printable(said.php)};" + _here(php.strip()[-20:], said.php, _series)
    if said.recipe:
        yield f"  recipe   {printable(said.recipe)} was under way in it"
    for service, here in (("matomo", image), ("db", database_image)):
        there = said.images.get(service)
        if there and there.id != here.id:
            yield (
                f"  image    {printable(there.reference)} ({printable(there.id[:19])}) of"
                f" {service}; here {here.reference}: ANOTHER ONE. Nothing is pulled; IMAGE= and"
                " MARIADB_BASE= name one that is here or in a registry."
            )


def _here(here: str, there: str, series: Any) -> str:
    other = series(here) != series(there)
    return f" here {here}" + (": ANOTHER SERIES, so that a bug may not show" if other else "")


def _series(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _require_agreement(record: Reproduction | None, wish: Wish) -> None:
    """Require that person data is asked for where it is in a reproduction, and only there.

    Raises:
        WrongInputError: it is not.
    """
    if record is None:
        return
    option = f"matomo-harness bundle --repro {record.name} --to ticket.zip"
    if record.certificate.keeps_person_data and not wish.keep_person_data:
        raise WrongInputError(
            expected=f"--keep-person-data, as {record.name} was made with: nothing in it was"
            " rewritten, and whoever gets the bundle gets production's people",
            seen="no such option",
            next_command=f"{option} --keep-person-data   (or make it anew without, and bundle"
            " that)",
        )
    if wish.keep_person_data and not record.certificate.keeps_person_data:
        raise WrongInputError(
            expected=f"--keep-person-data for a reproduction that was made with it: {record.name}"
            " was rewritten",
            seen="--keep-person-data",
            next_command=option,
        )


# -- what is in it --------------------------------------------------------------------------------


class _Inventory:
    """A stack that is up, looked at for a bundle.

    Args:
        stack: which one.
        keeps_person_data: whether logs keep the addresses that are in them.

    Raises:
        WrongInputError: it is not up.
    """

    def __init__(self, stack: Stack, *, keeps_person_data: bool) -> None:
        self.stack = stack
        self.left_out: list[str] = []
        self._keeps_person_data = keeps_person_data
        self.web = compose.running("matomo", stack)
        self.server = compose.running("db", stack)
        self._containers = compose.containers(stack)
        self.prefix = stack_files.read(stack).tables_prefix
        self.login = stack_files.read(stack).superuser_login
        self.database = dataclasses.replace(local.database_of(stack), prefix=self.prefix)
        self._shell = MatomoShell(self.web)
        self._config = ""
        self.secrets = self._secrets()

    def files(self, record: Reproduction | None, wish: Wish) -> dict[str, str]:
        """Return all files of the bundle but its manifest and its data, by name."""
        found = {SCHEMA: _definitions(self.database), **self._logs()}
        try:
            self._config = self._shell.read(self._shell.config)
            found[bundled.CONFIG], left_out = production_config.for_ticket(self._config)
            self.left_out += [f"{name} of {bundled.CONFIG}" for name in left_out]
        except HarnessError as error:  # there is none, or it is not INI: this may be the bug
            said = texts.without_addresses(self._without_secrets(error.seen))
            self.left_out.append(f"{bundled.CONFIG}: {said}")
        if record:
            found[repro.RECORD] = (self.stack.directory / repro.RECORD).read_text()
        remembered = [
            name for name in GATE_FILES.values() if (self.stack.directory / name).exists()
        ]
        found |= {
            # Written without what fields call secret; once more could end a string of JSON.
            name: self._without_known((self.stack.directory / name).read_text())
            for name in remembered
        }
        if not remembered:
            self.left_out.append(
                f"a report of the gate: none has judged {self.stack.title}"
                if record
                else "a report of the gate, which judges images and reproductions"
            )
        if wish.rules:
            found[bundled.RULES] = production_config.text_of(wish.rules, "rules")
        return found

    def manifest(self, certificate: Certificate | None) -> Manifest:
        """Return what the bundle says of itself.

        Args:
            certificate: of its data; None where that is not in it.
        """
        code = self._code()
        starts, active = self._active()
        found = [each for each in self.database.installations() if each.prefix == self.prefix]
        (row,) = self.database.query("SELECT VERSION() AS version")
        return Manifest(
            kind=bundled.KIND,
            format=bundled.FORMAT,
            harness=__version__,
            made=time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
            of=self.stack.title,
            matomo=str(found[0].version or "unknown") if found else "unknown",
            code=code["code"],
            php=code["php"],
            mariadb=str(row["version"]),
            starts=starts,
            images={self._service(each): _image_of(each) for each in self._containers},
            plugins=self._plugins(code["plugins"], active),
            person_data=self._keeps_person_data,
            certificate=str(certificate) if certificate else None,
            left_out=(*self.left_out, *(certificate.left_out if certificate else ())),
            recipe=recipes.under_way(self.stack),
        )

    def _service(self, container: Container) -> str:
        return str(container.labels.get(compose.SERVICE_LABEL, container.name))

    def _code(self) -> dict[str, Any]:
        said = self._shell.run("php", "-r", _OF_CODE)
        code: dict[str, Any] = json.loads(said.partition("CODE")[2])
        return code

    def _active(self) -> tuple[str, frozenset[str] | None]:
        """Return whether Matomo starts, and the plugins that it loads; None where nobody knows."""
        address = f"https://localhost:{compose.port('load-balancer', local.HTTPS, self.stack)}"
        try:
            facts = Php(self._shell, Http(address, self.stack.authority_file)).facts
            return "yes", frozenset(facts["activated"])
        except HarnessError as error:
            said = texts.without_addresses(self._without_secrets(error.seen))
            try:
                listed = ini.read(self._config).texts("Plugins", "Plugins")
            except WrongInputError:
                listed = ()
            return said, frozenset(listed) if listed else None

    def _plugins(
        self, code: Mapping[str, str | None], active: frozenset[str] | None
    ) -> tuple[BundledPlugin, ...]:
        has_options = "option" in self.database.tables()
        rows = (
            []
            if not has_options
            else self.database.query(
                "SELECT option_name AS name, option_value AS version FROM {prefix}option"
                " WHERE option_name LIKE %s",
                r"version\_%",
            )
        )
        # Columns of plugins have options of such names as well: version_log_visit.config_os.
        tables = {
            str(row["name"]).removeprefix("version_"): str(row["version"])
            for row in rows
            if "." not in str(row["name"]) and str(row["name"]) != "version_core"
        }
        return tuple(
            BundledPlugin(
                name=name,
                active=None if active is None else name in active,
                code=code.get(name),
                tables=tables.get(name),
            )
            for name in sorted({*code, *tables, *(active or ())}, key=str.lower)
        )

    def _logs(self) -> dict[str, str]:
        found = {}
        for container in self._containers:
            name = str(container.name).removeprefix(f"{self.stack.project}-")
            try:
                said = container.logs(timestamps=True, tail=LOG_LINES).decode(errors="replace")
            except DockerException:
                self.left_out.append(f"the log of {name}, which cannot be read")
                continue
            text = self._without_secrets(said)
            if not self._keeps_person_data:
                text = texts.without_addresses(texts.without_queries(text))
            found[f"logs/{name}.log"] = text
        return found

    def _without_secrets(self, text: str) -> str:
        return redact(self._without_known(text), ())

    def _without_known(self, text: str) -> str:
        forms = {needle.decode() for secret in self.secrets for needle in _needles(secret)}
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, REDACTED)
        return text

    def _secrets(self) -> tuple[str, ...]:
        """Return what opens something in this stack."""
        found = {
            value
            for name, value in stack_files.known(self.stack).items()
            if _SECRET_NAME.search(name)
        }
        for container in self._containers:
            for name, value in environment(container).items():
                found |= {value} if _SECRET_NAME.search(name) else set()
        for table in {"user", "user_token_auth"} & self.database.tables():
            for row in self.database.query(
                f"SELECT * FROM {{prefix}}{table} WHERE login = %s",  # noqa: S608
                self.login,
            ):
                found |= {
                    str(row[name])
                    for name in ("password", "token_auth", "twofactor_secret")
                    if row.get(name)
                }
        return tuple(sorted(secret for secret in found if len(secret) > 3))


def _image_of(container: Container) -> BundledImage:
    number = str(inspected(container, "Image"))
    try:
        digests = inspected(engine().images.get(number), "RepoDigests") or []
    except DockerException:  # it was removed since
        digests = []
    return BundledImage(
        reference=str(inspected(container, "Config", "Image")), id=number, digests=tuple(digests)
    )


def _definitions(database: Database) -> str:
    """Return the definitions of all tables in the schema, of which a broken one says so."""
    said = []
    with database.connection() as connection, connection.cursor() as cursor:
        for table in sorted(database.all_tables()):
            try:
                cursor.execute(f"SHOW CREATE TABLE {quoted(table)}")
                row = cursor.fetchone() or {}
                found = next(value for key, value in row.items() if key.startswith("Create "))
                said.append(f"{found};\n")
            except pymysql.Error as error:
                said.append(f"-- {table}: error {error.args[0]}\n")
    return "\n".join(said)


def _write_data(archive: zipfile.ZipFile, inventory: _Inventory, wish: Wish) -> Certificate:
    """Write the stack's data into the zip, rewritten as any dump is; return its certificate."""
    import zstandard

    image = _image_that_runs(inventory.server)
    authority = ssl.create_default_context(cafile=str(inventory.stack.authority_file))
    database = dataclasses.replace(inventory.database, tls=authority)
    base_tables = {
        str(row["name"])
        for row in database.query(
            "SELECT table_name AS name FROM information_schema.tables"
            " WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'"
        )
    }
    chosen = sorted(name for name in base_tables if name.startswith(inventory.prefix))
    if others := sorted(database.all_tables() - set(chosen)):
        inventory.left_out.append(f"rows of what is no table of Matomo's: {', '.join(others)}")
    with (
        live_dump(image, database, chosen) as pipe,
        safe_tables(
            [pipe], image, own_rules=wish.rules, keep_person_data=wish.keep_person_data
        ) as safe,
    ):
        if wish.keep_person_data:
            _remove_own_account(safe.held, inventory)
        info = zipfile.ZipInfo(BUNDLED_DUMP, time.gmtime()[:6])
        info.external_attr = 0o600 << 16
        packer = zstandard.ZstdCompressor(level=3, threads=-1)
        written = 0
        with (
            step("Writing the data") as running,
            archive.open(info, "w", force_zip64=True) as raw,
            packer.stream_writer(raw, closefd=False) as file,
        ):
            for chunk in dumped(safe.held, safe.tables):
                file.write(chunk)
                written += len(chunk)
                running.say(f"{written / 1e6:.0f} MB of SQL")
        return safe.certificate


def _image_that_runs(container: Container) -> Image:
    return Image(
        str(inspected(container, "Config", "Image")), str(inspected(container, "Image")), "local"
    )


def _remove_own_account(held: Quarantine, inventory: _Inventory) -> None:
    """Remove the harness's own superuser and all sessions from data that is not rewritten."""
    tables = inventory.database.tables()
    with (
        held.connect() as connection,
        connection.cursor() as cursor,
        held.refusals("the removal of the harness's own account"),
    ):
        of_people = {"user", "access", "user_token_auth", "twofactor_recovery_code"} & tables
        for table in of_people:
            name = quoted(f"{inventory.prefix}{table}")
            cursor.execute(f"DELETE FROM {name} WHERE login = %s", (inventory.login,))  # noqa: S608
        if "session" in tables:
            cursor.execute(f"DELETE FROM {quoted(f'{inventory.prefix}session')}")  # noqa: S608


# -- the last look at it --------------------------------------------------------------------------


def require_no_secret(file: IO[bytes], secrets: Sequence[str], name: str) -> None:
    """Require that none of `secrets` is in a zip, in any form in which it could be kept.

    Args:
        file: the zip.
        secrets: shorter ones than `SHORTEST_SECRET` are passed over.
        name: of the zip, for the error.

    Raises:
        BrokenPromiseError: one is. It is not said which.
    """
    needles: dict[bytes, str] = {}
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            for form, listed in Canary(secret).forms().items():
                # What is in lower case anyhow is there in plain.
                needles |= {needle: form for needle in listed if needle not in needles}
    file.seek(0)
    found = []
    with zipfile.ZipFile(file) as archive:
        for member in archive.namelist():
            forms = {needles[needle] for needle in _in_chunks(_chunks(archive, member), needles)}
            found += [f"{member} ({form})" for form in sorted(forms)]
    if found:
        raise BrokenPromiseError(
            expected=f"no secret of the stack (password, token, salt) in {name}",
            seen=f"one in {', '.join(found)}",
            next_command="take it out of there (where it is a log, make console and docker logs"
            " show the line); nothing was written",
        )


def _needles(secret: str) -> Iterator[bytes]:
    if len(secret) < SHORTEST_SECRET:
        yield secret.encode()
        return
    for form, listed in Canary(secret).forms().items():
        if not form.startswith("packed"):  # bytes, of a secret that reads as an address
            yield from listed


def _in_chunks(chunks: Iterable[bytes], needles: Iterable[bytes]) -> set[bytes]:
    """Return those of `needles` that are in a stream, over the ends of its chunks as well."""
    left = sorted(needles)
    overlap = max(map(len, left), default=1) - 1
    found: set[bytes] = set()
    before = b""
    for chunk in chunks:
        data = before + chunk
        found |= {needle for needle in left if needle in data}
        before = data[-overlap:] if overlap else b""
    return found


def _chunks(archive: zipfile.ZipFile, member: str) -> Iterator[bytes]:
    """Yield the bytes of a file of the zip, those of the data unpacked."""
    with archive.open(member) as raw:
        if member == BUNDLED_DUMP:
            import zstandard

            yield from zstandard.ZstdDecompressor().read_to_iter(raw, write_size=2**20)
            return
        while chunk := raw.read(2**20):
            yield chunk
