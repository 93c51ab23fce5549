"""Whether plugins and config.ini.php fit another version of Matomo: in a second, by files alone."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packaging.version import InvalidVersion, Version

from matomo_harness.errors import BrokenPromiseError, WrongInputError
from matomo_harness.matomo import ini, version_changes, versions
from matomo_harness.matomo.ini import Ini
from matomo_harness.matomo.version_changes import OptionChange
from matomo_harness.settings import IMAGE_DIRECTORY

CONFIG: Final = IMAGE_DIRECTORY / "config" / "config.ini.php"
PLUGINS: Final = IMAGE_DIRECTORY / "plugins"
MATOMO: Final = ("matomo", "piwik")
"""Names of Matomo itself in what a plugin.json requires."""


@dataclass(frozen=True)
class Misfit:
    """Something that the new version does differently.

    Args:
        what: a plugin, an option or what is around Matomo.
        why: in words.
        source: how that is known.
        breaks: whether the upgrade fails, or Matomo is out of order, where nothing is done.
    """

    what: str
    why: str
    source: str
    breaks: bool = False


@dataclass(frozen=True)
class Fit:
    """What an upgrade meets.

    Args:
        before: version of today.
        after: version to come.
        misfits: those that break something first.
        plugins: names of the plugins whose plugin.json was read.
        unknown: listed plugins of which there is neither a folder, nor are they Matomo's own.
        notes: what else there is to know.
    """

    before: str
    after: str
    misfits: tuple[Misfit, ...]
    plugins: tuple[str, ...]
    unknown: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def breaks(self) -> bool:
        """Whether something has to be done before the upgrade."""
        return any(misfit.breaks for misfit in self.misfits)


def fit(before: str, after: str, config: Path = CONFIG, plugins: Path = PLUGINS) -> Fit:
    """Return what of a repository does not fit another version of Matomo.

    Args:
        before: version of today.
        after: version to come.
        config: the config.ini.php that images are built with.
        plugins: directory of the plugins that images are built with; there may be none.

    Raises:
        WrongInputError: a version is none, or not a newer one; a file is not there, or not what it
            should be.
    """
    _require_way(before, after)
    file = _config(config)
    folders = _plugins(plugins)
    listed = file.texts("Plugins", "Plugins")
    misfits = [
        *_plugins_that_do_not_fit(folders, after),
        *_own_plugins(listed, before, after),
        *_options(file, before, after),
        *(
            Misfit("around Matomo", change.what, change.source)
            for change in version_changes.SERVERS
            if version_changes.between(before, after, change.since)
        ),
    ]
    own = version_changes.OWN_PLUGINS | {change.name for change in version_changes.PLUGINS}
    unknown = sorted(set(listed) - own - folders.keys())
    return Fit(
        before=before,
        after=after,
        misfits=tuple(sorted(misfits, key=lambda misfit: not misfit.breaks)),
        plugins=tuple(folders),
        unknown=tuple(unknown),
        notes=(*_whose(config, plugins), *_notes(after, unknown)),
    )


def require_fits(found: Fit) -> None:
    """Require that nothing breaks.

    Raises:
        BrokenPromiseError: something does.
    """
    if found.breaks:
        broken = [misfit.what for misfit in found.misfits if misfit.breaks]
        raise BrokenPromiseError(
            expected=f"what the image is built with to fit Matomo {found.after}",
            seen=f"{len(broken)} that do not: {', '.join(broken)}",
            next_command="mend these in the repository, then the same command again",
        )


def _require_way(before: str, after: str) -> None:
    for option, text in (("--from", before), ("--to", after)):
        try:
            Version(text)
        except InvalidVersion as error:
            wanted = f"a version of Matomo with {option}, as 5.10.0"
            raise WrongInputError(wanted, text, f"{option} 5.10.0") from error
    if versions.number(after) < versions.number(before):
        raise WrongInputError(
            f"--to to be {before} or newer: Matomo has no way down",
            after,
            f"--from, if {before} is not what runs today",
        )


def _config(path: Path) -> Ini:
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeError) as error:
        seen = getattr(error, "strerror", None) or "bytes that are no text"
        raise WrongInputError(f"a config.ini.php at {path}", seen, "--config FILE") from error
    try:
        return ini.read(text)
    except WrongInputError as error:
        raise WrongInputError(
            f"{error.expected} in {path}", error.seen, error.next_command
        ) from error


def _plugins(directory: Path) -> dict[str, dict[str, Any]]:
    """Return what plugin.json of each plugin says, by the name of its folder."""
    if not directory.is_dir():
        return {}
    found = {}
    folders = (path for path in directory.iterdir() if path.is_dir())
    for folder in sorted(path for path in folders if not path.name.startswith(".")):
        path = folder / "plugin.json"
        try:
            said = json.loads(path.read_text())
            require = said.get("require", {}) if isinstance(said, dict) else None
            if not isinstance(require, dict):
                raise ValueError("`require` is no object")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise WrongInputError(
                f"the plugin {folder.name} to have a plugin.json", reason, f"cat {path}"
            ) from error
        found[folder.name] = require
    return found


def _plugins_that_do_not_fit(folders: dict[str, dict[str, Any]], after: str) -> Iterable[Misfit]:
    for name, require in folders.items():
        # Either name in any case, and each has to hold (core/Plugin/Dependency.php).
        for asked in (value for key, value in require.items() if key.lower() in MATOMO):
            text = str(asked or "")
            try:
                if version_changes.takes(text, after):
                    continue
                why = (
                    f"it asks for Matomo {text or '4 (an empty text)'}, so {after} switches it off"
                )
            except ValueError as error:
                why = f"it asks for Matomo {text}: {error}"
            yield Misfit(f"plugin {name}", why, f"{name}/plugin.json", breaks=True)
            break


def _own_plugins(listed: Iterable[str], before: str, after: str) -> Iterable[Misfit]:
    names = set(listed)
    for change in version_changes.PLUGINS:
        if not version_changes.between(before, after, change.since):
            continue
        if change.is_gone and change.name in names:
            yield Misfit(
                f"plugin {change.name}",
                f"it is listed, and gone since {change.since}: {change.what}",
                change.source,
                breaks=True,
            )
        elif not change.is_gone and names and change.name not in names:
            yield Misfit(
                f"plugin {change.name}",
                f"{change.what}; the list in the file replaces Matomo's own, so say what you want",
                change.source,
            )


def _options(file: Ini, before: str, after: str) -> Iterable[Misfit]:
    sections = {name: set(keys) for name, keys in file.settings.items()}
    new = [
        change
        for change in (*version_changes.OPTIONS, *version_changes.SECTIONS_GONE)
        if version_changes.between(before, after, change.since)
    ]
    for change in version_changes.relevant(new, sections):
        why = change.what
        if change.is_written:
            why += "; capture what core:update writes, or the next image takes it away"
        name = "" if change.name == "*" else f" {change.name}"
        yield Misfit(f"[{change.section}]{name}", why, change.source, breaks=_breaks(change, file))


def _breaks(change: OptionChange, file: Ini) -> bool:
    if change.name == "proxy_scheme_headers":
        # Without a redirect to https nothing goes round in circles.
        is_forced = file.text("General", "force_ssl") == "1"
        return is_forced and file.text("General", "assume_secure_protocol") != "1"
    return change.breaks


def _whose(config: Path, plugins: Path) -> Iterable[str]:
    """Say what was read of our image: it says nothing of another one."""
    read = {"--config": (config, CONFIG), "--plugins": (plugins, PLUGINS)}
    if ours := [option for option, (given, own) in read.items() if given == own]:
        yield (
            "Of another image than the reference image this says nothing without"
            f" {' and '.join(ours)}."
        )


def _notes(after: str, unknown: list[str]) -> Iterable[str]:
    if unknown:
        yield (
            f"listed, and neither Matomo's own nor in the plugins' directory: {', '.join(unknown)};"
            " ask whoever makes them for a release that takes this version"
        )
    if versions.number(after) > version_changes.READ_UP_TO:
        yield f"nothing newer than Matomo {version_changes.READ_UP_TO} was read for these tables"
    yield "files alone were read; make rehearse-upgrade proves the rest on a copy of your data"
