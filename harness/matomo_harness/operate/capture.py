"""Turn what a live Matomo says beyond its image into patches of image/config and of the policy.

The live files are compared with those of the image that runs, and what differs is written as a
change of the repository's files, which may be newer. This only reads; nothing is written but to the
directory that is asked for.
"""

import base64
import dataclasses
import lzma
import os
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from docker.models.containers import Container

from matomo_harness.errors import BrokenPromiseError, HarnessError, WrongInputError
from matomo_harness.gate import remote
from matomo_harness.gate.catalogue import read_policy
from matomo_harness.gate.probes.drift import differences
from matomo_harness.matomo import ini, inside, read_only
from matomo_harness.matomo.container import ADDED, SEED
from matomo_harness.matomo.inside import ReadOnlyContainer
from matomo_harness.operate import (
    capture_file,
    capture_page,
    capture_policy,
    compose,
    gate_container,
    local,
    production_config,
    production_files,
    repro,
    stack_files,
)
from matomo_harness.operate.capture_file import Known, LeftOut
from matomo_harness.operate.capture_policy import BrokenSetting, Rows
from matomo_harness.operate.stack import LOCAL, Stack
from matomo_harness.policy import POLICY_FILE, Policy
from matomo_harness.progress import step
from matomo_harness.runtime import images, profiles
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.inspection import environment, inspected
from matomo_harness.settings import IMAGE_DIRECTORY, ROOT, RunSettings

CONFIG: Final = "config.ini.php"
COMMON: Final = "common.config.ini.php"
GLOBAL: Final = "global.ini.php"
OURS: Final = IMAGE_DIRECTORY / "config"
"""The files of the reference image, in the repository."""
CONFIG_PATCH: Final = "config.patch"
POLICY_PATCH: Final = "policy.patch"
REPORT: Final = "capture.txt"
FILES: Final = (CONFIG_PATCH, POLICY_PATCH, REPORT)
NO_DATABASE: Final = (
    "what people click is in the database, which was not read; give it by DATABASE_URL or"
    " DATABASE_URL_FILE"
)


@dataclass(frozen=True)
class Seeds:
    """The files of an image.

    Args:
        path: of its config.ini.php; empty where it has none.
        config: the text of that; only the first line of one where it has none.
        common: the text of common.config.ini.php; None where it has none.
        standard: the text of Matomo's own global.ini.php.
        added: what the harness added to the image's file, in a golden image.
    """

    path: str
    config: str
    common: str | None
    standard: str
    added: str

    @property
    def defaults(self) -> ini.Settings:
        """What holds of keys that config.ini.php does not set."""
        return ini.merged(*map(ini.read, (self.standard, self.common or "", self.added)))

    @property
    def is_ours(self) -> bool:
        """Whether it is built from image/ of this checkout; a wheel's own is nobody's to change."""
        return self.path == SEED and ROOT / "image" == IMAGE_DIRECTORY


@dataclass(frozen=True)
class Live:
    """What runs, or ran when it was saved.

    Args:
        what: in words.
        config: the text of its config.ini.php.
        common: the text of its common.config.ini.php; None where there is none.
        seeds: the files of its image.
        variables: its environment.
        rows: what people have clicked; None where the database was not read.
        unread: why it was not.
        unseen: what of its file could not be read, in words.
    """

    what: str
    config: str = field(repr=False)
    common: str | None = field(repr=False)
    seeds: Seeds = field(repr=False)
    variables: Mapping[str, str] = field(repr=False)
    rows: Rows | None = field(repr=False)
    unread: str = ""
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True)
class Capture:
    """What differs.

    Args:
        what: was looked at, in words.
        config_patch: changes of the repository's config files; may be empty.
        policy_patch: likewise of the policy.
        left_out: what differs and is in no patch.
        weakened: what is set and breaks a promise.
        notes: what else there is to know.
    """

    what: str
    config_patch: str = field(repr=False)
    policy_patch: str = field(repr=False)
    left_out: tuple[LeftOut, ...]
    weakened: tuple[BrokenSetting, ...]
    notes: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs that is of the image or the policy."""
        return not (self.config_patch or self.policy_patch or self.weakened)

    @property
    def lines(self) -> list[str]:
        """What there is to say besides the patches."""
        but = " but what is left out" if self.left_out else ""
        said = [f"{self.what}: " + (f"nothing differs{but}" if self.is_empty else "differs")]
        said += [f"broken promise: {each}" for each in self.weakened]
        reasons = dict.fromkeys(each.why for each in self.left_out)
        for why in reasons:
            names = ", ".join(each.what for each in self.left_out if each.why == why)
            said.append(f"left out: {names} ({why})")
        return [*said, *self.notes]


# -- what runs ------------------------------------------------------------------------------------


def of_file(path: Path, settings: RunSettings) -> Live:
    """Return what a config.ini.php or a tar with one says.

    Args:
        path: the file, or an archive of the directories config, misc and js.
        settings: name the image that it is compared with.

    Raises:
        WrongInputError: there is no such file, it is no INI, or there is no config.ini.php in it.
    """
    text = _text_of(path)
    with step("Looking at the image's files"):
        seeds = seeds_of(images.deployed_image(settings))
    return Live(str(path), text, None, seeds, {}, *_rows_given())


def _text_of(path: Path) -> str:
    """Return the config.ini.php that `path` is, or has in it."""
    if _is_tar(path):
        try:
            with production_files.read(path) as files:
                text = files.config
        except (zlib.error, lzma.LZMAError) as error:
            raise WrongInputError(
                f"a whole archive in {path}", str(error), f"tar -tf {path}"
            ) from error
        if text is None:
            raise WrongInputError(
                f"config/{CONFIG} in {path}", f"{len(files.names)} other files", f"tar -tf {path}"
            )
    else:
        text = _decoded(path)
    try:
        file = ini.read(text)
    except WrongInputError as error:
        raise WrongInputError(
            f"{error.expected} in {path}", error.seen, error.next_command
        ) from error
    if not file.headings or not file.entries:
        raise WrongInputError(
            f"a {CONFIG}, with [sections] and keys, in {path}",
            f"{len(file.headings)} sections and {len(file.entries)} keys",
            "give the file that Matomo has in config/, or a tar of that directory",
        )
    return text


def _is_tar(path: Path) -> bool:
    try:
        return path.is_file() and tarfile.is_tarfile(path)
    except (OSError, EOFError, zlib.error, lzma.LZMAError):  # packed, and not to its end
        return False


def _decoded(path: Path, what: str = f"a {CONFIG}, or a tar with one,") -> str:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeError) as error:
        seen = getattr(error, "strerror", None) or "bytes that are no text"
        raise WrongInputError(f"{what} in {path}", seen, f"ls -l {path}") from error


def of_container(name: str) -> Live:
    """Return what the Matomo in a running container says.

    Raises:
        WrongInputError: there is no such container, it does not run, or holds no Matomo.
    """
    container, matomo = gate_container.entered(name)
    given, unread = read_only.given(), ""
    if given is None:
        given, unread = gate_container.database(container, matomo, "http://localhost")
    rows = None
    try:
        rows = capture_policy.rows_of(read_only.opened(given).database) if given else None
    except HarnessError as error:
        unread = error.seen
    unread = f"{NO_DATABASE} ({unread})" if rows is None else ""
    return _of_container(f"the container {name}", container, matomo, rows, unread)


def of_command(command: str, settings: RunSettings) -> Live:
    """Return what the Matomo says that a command reaches, as `docker exec -i NAME`.

    Args:
        command: to it `sh -c SCRIPT` is added (inside.reached_by).
        settings: name the image that it is compared with.

    Raises:
        WrongInputError: the command fails, or there is no installed Matomo.
    """
    matomo = inside.reached_by(command)
    what = f"the container that {matomo.name} reaches"
    config = _config_of(what, matomo)
    with step("Looking at the image's files"):
        seeds = seeds_of(images.deployed_image(settings))
    variables = _variables(matomo.run("env").splitlines())
    return Live(what, config, _read(matomo, COMMON), seeds, variables, *_rows_given())


def of_url(url: str, settings: RunSettings, authority: Path | None = None) -> Live:
    """Return what the Matomo at an address says on its page Config file.

    Args:
        url: its address; HARNESS_LOGIN, HARNESS_PASSWORD and HARNESS_TOTP_SECRET are of a
            superuser there.
        settings: name the image that it is compared with.
        authority: who signed its certificate; the public ones where None.

    Raises:
        WrongInputError: no supported Matomo is there, or it refuses the login.
        BrokenPromiseError: it does not show that page.
    """
    web = remote.signed_in(url, authority=authority)
    with step("Looking at the image's files"):
        seeds = seeds_of(images.deployed_image(settings))
    page = capture_page.shown(web, ini.read(seeds.config).settings, seeds.defaults)
    return Live(web.url, page.text, None, seeds, {}, *_rows_given(), page.unseen)


def _rows_given() -> tuple[Rows | None, str]:
    """Return what people have clicked by the database that the environment gives, or why not."""
    given = read_only.given()
    if given is None:
        return None, NO_DATABASE
    return capture_policy.rows_of(read_only.opened(given).database), ""


def of_stack(stack: Stack = LOCAL) -> Live:
    """Return what the local stack or a reproduction says.

    Raises:
        WrongInputError: it is not up.
    """
    container, matomo = gate_container.entered(str(compose.running("matomo", stack).name))
    prefix = stack_files.read(stack).tables_prefix
    database = dataclasses.replace(local.database_of(stack), prefix=prefix)
    rows = capture_policy.rows_of(database)
    return _of_container(stack.title, container, matomo, rows, "")


def of_reproduction(name: str) -> Live:
    """Return what a reproduction says.

    Raises:
        WrongInputError: there is none of that name, or it is not up.
    """
    return of_stack(repro.find(name).stack)


def _of_container(
    what: str, container: Container, matomo: ReadOnlyContainer, rows: Rows | None, unread: str
) -> Live:
    config = _config_of(what, matomo)
    with step("Looking at the image's files"):
        image = str(inspected(container, "Image"))
        seeds = seeds_of(Image(image, image, "given"))
    variables = environment(container)
    return Live(what, config, _read(matomo, COMMON), seeds, variables, rows, unread)


def _config_of(what: str, matomo: ReadOnlyContainer) -> str:
    config = _read(matomo, CONFIG)
    if config is None:
        raise WrongInputError(
            f"config/{CONFIG} in {what}", f"none in {matomo.root}", "install Matomo there first"
        )
    return config


def _variables(lines: Iterable[str]) -> dict[str, str]:
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _read(matomo: ReadOnlyContainer, name: str) -> str | None:
    found = matomo.run("sh", "-c", f"[ ! -e config/{name} ] || {{ echo; cat config/{name}; }}")
    return found[1:] if found else None


def seeds_of(image: Image) -> Seeds:
    """Return the files of an image, found by looking at it."""
    profile = profiles.files_of(image)
    paths = [*(f"{profile.code}/config/{name}" for name in (COMMON, GLOBAL)), ADDED]
    said = images.run_once(image.id, ["sh", "-c", SHOW, "show", *paths, profile.seed], user="root")
    # Nobody else's line ends in what base64 has no sign for.
    lines = [line[:-1] for line in said.splitlines() if line.endswith("!")]
    texts = [base64.b64decode(line).decode(errors="replace") for line in lines]
    common, standard, added, config = (*texts, "", "", "", "")[:4]
    return Seeds(profile.seed, config or ini.HEADER, common or None, standard, added)


SHOW: Final = """for path; do [ ! -f "$path" ] || base64 "$path" | tr -d '\\n'; echo '!'; done"""
"""Prints files in base64, one in a line; of one that is not there, nothing."""


# -- what differs ---------------------------------------------------------------------------------


def capture(live: Live, policy: Path | None = None, against: Path | None = None) -> Capture:
    """Return what `live` says beyond its image and its policy.

    Args:
        live: what runs.
        policy: the policy's file; by default policy.toml of this directory, or else, for the
            reference image, the repository's.
        against: the config.ini.php of the repository that the image is built from; by default the
            one of image/, where the image is built from that, or else the image's own.

    Raises:
        WrongInputError: a file is no INI, or the policy has a mistake.
    """
    seeds, notes = live.seeds, [*live.unseen, *([live.unread] if live.unread else [])]
    policy = policy or _policy_of(seeds)
    promised = read_policy(policy) if policy else Policy()
    known = _known(live, promised)
    defaults = seeds.defaults
    path = against or (OURS / CONFIG if seeds.is_ours else None)
    ours = _decoded(path, f"a {CONFIG}") if path else seeds.config
    found = capture_file.captured(ours, seeds.config, live.config, defaults, known)
    patch = ""
    if found.changes:
        before = ours if path or seeds.path else None
        patch = capture_file.patch(_label(path) if path else CONFIG, before, found.text)
    changes, left_out = [*found.changes], [*found.left_out]
    common = path.with_name(COMMON) if path else None
    if common and common.is_file() and live.common is not None and seeds.common is not None:
        before = _decoded(common, "Matomo's configuration")
        standard = ini.read(seeds.standard).settings
        also = capture_file.captured(before, seeds.common, live.common, standard, known)
        patch += capture_file.patch(_label(common), before, also.text)
        changes += also.changes
        left_out += also.left_out
    if patch:
        notes += _notes_on(seeds, path, ours, defaults)
    if policy is None:
        notes.append(f"no {POLICY_FILE.name} here, so nothing was compared with promises: --policy")
        return Capture(live.what, patch, "", tuple(left_out), (), tuple(notes))
    before = _decoded(policy, "a policy")
    said = capture_policy.captured(before, promised, changes, live.rows or Rows(), known)
    return Capture(
        live.what,
        patch,
        capture_file.patch(_label(policy), before, said.text),
        (*left_out, *said.left_out),
        said.weakened,
        tuple(notes),
    )


def _known(live: Live, policy: Policy) -> Known:
    """Return which variables are set or promised, and which values may be nowhere."""
    files = [ini.read(text) for text in (live.config, live.common or "")]
    promised = policy.value("environment.variables")
    variables = {*live.variables, *(promised if isinstance(promised, tuple) else ())}
    if not any(map(_reads_environment, (live.seeds.config, live.config))):
        variables = {name for name in variables if not name.startswith("MATOMO_")}
    return Known(variables, capture_file.secrets_of(*files, variables=live.variables))


def _notes_on(seeds: Seeds, path: Path | None, ours: str, defaults: ini.Settings) -> list[str]:
    """Return what to know before a patch is applied: which file it is a change of."""
    if path is None:
        where = f"the image has it at {seeds.path}" if seeds.path else "the image has none"
        return [
            f"config.patch is against {CONFIG} alone ({where}): apply it where your repository has"
            " that file, or name that: --against FILE"
        ]
    # A build drops optional plugins from the list.
    differ = [
        f"[{each.section}] {each.name}"
        for each in differences(ini.read(ours).settings, ini.read(seeds.config).settings, defaults)
        if (each.section, each.name) != capture_file.LIST_OF_PLUGINS
    ]
    if not differ:
        return []
    return [
        f"the image that runs was built from another {_label(path)}: {', '.join(differ)} differ."
        " What differs live is in the patch all the same; is it your image's file (--against FILE)?"
    ]


def _policy_of(seeds: Seeds) -> Path | None:
    """Return the policy of this directory, or the reference image's for that one alone."""
    here = Path(POLICY_FILE.name)
    return here if here.exists() else POLICY_FILE if seeds.is_ours else None


def _reads_environment(text: str) -> bool:
    return production_config.READS_ENVIRONMENT in ini.read(text).texts("Plugins", "Plugins")


def _label(path: Path) -> str:
    """Return a file's path from here, or its name alone where it is elsewhere."""
    relative = os.path.relpath(path)
    return path.name if relative.startswith("..") else str(PurePosixPath(relative))


# -- what is written ------------------------------------------------------------------------------


def require_new(directory: Path) -> None:
    """Require a directory that has no file of an earlier capture.

    Raises:
        WrongInputError: it has one, or is no directory.
    """
    there = [name for name in FILES if (directory / name).exists()]
    if there or (directory.exists() and not directory.is_dir()):
        raise WrongInputError(
            f"--to to name a directory without {', '.join(FILES)}",
            f"{directory / there[0] if there else directory} is there, and nothing is overwritten",
            "--to ANOTHER",
        )


def write(found: Capture, directory: Path) -> list[Path]:
    """Write the patches, and what there is to say, below a directory; return the files.

    Raises:
        WrongInputError: it has one of them, or cannot be written to.
    """
    texts: Mapping[str, str] = {
        CONFIG_PATCH: found.config_patch,
        POLICY_PATCH: found.policy_patch,
        REPORT: "".join(f"{line}\n" for line in found.lines),
    }
    written: list[Path] = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            if text:
                with (directory / name).open("xb") as file:
                    written.append(directory / name)
                    file.write(text.encode())
    except OSError as error:
        for path in written:
            path.unlink()
        raise WrongInputError(
            f"--to to name a directory that can be written to, without {', '.join(FILES)}",
            f"{directory}: {error.strerror}",
            "--to ANOTHER",
        ) from error
    return written


def require_promises_hold(found: Capture) -> None:
    """Require that nothing that is set breaks a promise.

    Raises:
        BrokenPromiseError: something does.
    """
    if found.weakened:
        raise BrokenPromiseError(
            expected=f"{found.what} to keep what the policy promises",
            seen=f"settings against {'; '.join(dict.fromkeys(e.promise for e in found.weakened))}",
            next_command="undo what is set there; or change the policy's line, if that is what you"
            " want to promise",
        )
