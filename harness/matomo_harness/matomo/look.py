"""Read what look.sh says of a place in which there is Matomo: an image, or a running container."""

import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from matomo_harness.errors import HarnessError, WrongInputError
from matomo_harness.matomo import ini, versions
from matomo_harness.matomo.image import OFFICIAL, PROCESS_MANAGER, Configuration, ImageProfile

SCRIPT: Final = Path(__file__).with_name("look.sh").read_text()
"""It takes the working directory as its argument."""
LookResult = Mapping[str, Sequence[str]]
"""What look.sh printed: values by their keys."""
HEADING: Final = re.compile(r"\s*\[(\w+)\]\s*")
PLACEHOLDER: Final = re.compile(
    r"""\s*(\w+)\s*=\s*["']?"""
    r"""(?:\$|[${@%<]+[?=]*\s*(?:php\s+echo\s+)?(?:[.]?[Ee]nv[.]|ENV\[|(?:get)?env\b|[.])?[\s(]*["']?|__)"""
    r"""([A-Z][A-Z0-9_]*?)(?::?-[^}]*)?["'\])]*\s*(?:[|][^}]*)?[;?\s]*[}@%>_]*"""
    r"""["']?\s*"""
)
"""A setting whose whole value stands for a variable: `${NAME}`, `$NAME`, `{NAME}`, `{{ .NAME }}`,
`@NAME@`, `%NAME%`, `__NAME__`; or asks for one, as dockerize, gomplate, Jinja, ERB and PHP do:
`{{ .Env.NAME }}`, `{{ getenv "NAME" }}`, `{{ NAME | default("") }}`, `<%= ENV["NAME"] %>`,
`<?= getenv("NAME") ?>`."""
OF_DATABASE: Final = re.compile(
    r"(?:\w*_)?(?:DB|DATABASE|MYSQL|MARIADB|RDS)_(?:DB_|DATABASE_|MYSQL_)?"
    r"(?:(?P<host>HOST|HOSTNAME|SERVER|ENDPOINT)|(?P<username>USER|USERNAME|LOGIN)"
    r"|(?P<password>PASS|PASSWORD|PWD)|(?P<dbname>NAME|DBNAME|DB|DATABASE|SCHEMA)"
    r"|(?P<port>PORT|PORT_NUMBER)|(?P<tables_prefix>(?:TABLES?_)?PREFIX))"
)
"""A variable's name that says for which setting of the database connection it stands."""
OF_EVERY_IMAGE: Final = (
    "MATOMO_DATABASE_HOST",
    "MATOMO_DATABASE_USERNAME",
    "MATOMO_DATABASE_PASSWORD",
    "MATOMO_DATABASE_DBNAME",
    "MATOMO_DATABASE_TABLES_PREFIX",
    "MATOMO_GENERAL_SALT",
)
"""Every image is given these, whatever it reads."""
OF_SALT: Final = re.compile(r"(?:[A-Z0-9_]*_)?SALT")
OFFICIAL_BASE: Final = "give an image that is built on the official matomo image"


class NoMatomoError(WrongInputError):
    """There is no Matomo in a place."""


def found_in(said: str) -> LookResult:
    """Return what look.sh printed."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in said.splitlines():
        key, tab, value = line.partition("\t")
        if tab and value not in found[key]:
            found[key].append(value)
    return dict(found)


def profile_of(
    found: LookResult,
    what: str,
    directory: str,
    started: Sequence[str],
    *,
    is_image: bool = True,
) -> ImageProfile:
    """Return what the files of a place tell.

    Args:
        found: what look.sh said there.
        what: the place's name, for errors.
        directory: its working directory.
        started: the words of what it starts by itself, which is no job.
        is_image: whether it is one, and no container that runs.

    Raises:
        NoMatomoError: there is no Matomo.
        WrongInputError: there is none that is supported, or no web server.
    """
    places = dict(line.split(" ", 1) for line in found.get("matomo", ()))
    if not places:
        raise NoMatomoError(
            expected=f"Matomo in {what}",
            seen="no directory that has matomo.php and core/Version.php",
            next_command=OFFICIAL_BASE,
        )
    web_root = _web_root(list(places), directory)
    code = next((place for place in places if place != web_root), web_root)
    if is_image and places.get(web_root, places[code]) != places[code]:
        code = web_root  # upstream's start copies nothing to where there is a Matomo already
    version = places[code]
    if not versions.is_supported(version):
        raise WrongInputError(
            f"Matomo {versions.RANGE} in {what}, for which the checks are made",
            f"Matomo {version} in {code}",
            "use the release of the harness that was made for it",
        )
    servers = found.get("server", ())
    if not servers and not found.get("fpm"):
        raise WrongInputError(
            f"a web server in {what}",
            "neither Apache, nginx, Caddy, FrankenPHP nor PHP-FPM",
            "give the image that serves Matomo, and not one that only has its code",
        )
    owners = {line.split(" ")[0]: line.split(" ")[1:] for line in found.get("directory", ())}
    owner, count = owners.get(web_root, ["", "0"])
    plugins = dict(line.split(" ", 1) for line in found.get("plugins", ()))
    seed, configuration = _seed(found, web_root)
    profile = ImageProfile(
        matomo=version,
        php=next(iter(found.get("php", ())), ""),
        web_root=web_root,
        code=code,
        has_web_root_files=int(count) > 0,
        web_root_owner=owner,
        web_server=servers[0] if servers else PROCESS_MANAGER,
        web_user=next(iter(found.get("web_user", ())), OFFICIAL.web_user),
        seed=seed,
        configuration=configuration,
        templates=tuple(found.get("template", ())),
        plugins=tuple(plugins.get(code, "").split()),
        programs=tuple(found.get("program", ())),
        cron=tuple(found.get("cron", ())),
    )
    return dataclasses.replace(profile, **_commands(profile, found, started))


def seeds_in(found: LookResult) -> list[str]:
    """Return the paths of each config.ini.php, the shortest first."""
    paths = (path for path in found.get("config", ()) if path.endswith("/config.ini.php"))
    return sorted(paths, key=len)


def _seed(found: LookResult, web_root: str) -> tuple[str, Configuration]:
    """Return the image's own config.ini.php, and where Matomo's comes from."""
    seeds = seeds_in(found)
    in_web_root = f"{web_root}/config/config.ini.php"
    if in_web_root in seeds:
        return in_web_root, "web root"
    return (seeds[0], "file") if seeds else ("", "wizard")


def _web_root(places: Sequence[str], directory: str) -> str:
    """Return the directory that is served: upstream's copies the code there at the first start."""
    served = [place for place in places if not place.startswith("/usr/src/")]
    if directory in served:
        return directory
    if served:
        return served[0]
    return directory if directory not in ("", "/") else OFFICIAL.web_root


def with_settings(profile: ImageProfile, text: str) -> ImageProfile:
    """Add what the text of its config.ini.php says."""
    try:
        settings = ini.read(text)
    except HarnessError:  # a check says so, with the line
        return profile
    variables = {
        f"{entry.section}.{entry.name}": name
        for entry in settings.entries
        for name in entry.variables
    }
    return dataclasses.replace(
        profile,
        variables=tuple(variables.items()),
        lists_installed_plugins=bool(settings.texts("PluginsInstalled", "PluginsInstalled")),
        prefix=settings.text("database", "tables_prefix"),
    )


def with_placeholders(profile: ImageProfile, text: str) -> ImageProfile:
    """Add the variables that a start puts into a template, or into a text within its script.

    What a start does with them is its own affair; but the variable has the placeholder's name in
    all that we have seen.

    Args:
        profile: what is known of the image; a variable that is known already stays.
        text: of the file; it need be no INI.
    """
    variables = dict(profile.variables)
    section = ""
    for line in text.splitlines():
        if heading := HEADING.fullmatch(line):
            section = heading[1]
        elif section and (setting := PLACEHOLDER.fullmatch(line)):
            variables.setdefault(f"{section}.{setting[1]}", setting[2])
    return dataclasses.replace(profile, variables=tuple(variables.items()))


def with_names(profile: ImageProfile, names: Iterable[str]) -> ImageProfile:
    """Add the variables whose names say for which setting they stand.

    Args:
        profile: what is known of the image.
        names: of the variables that its start mentions, or that the image sets.
    """
    found = []
    for name in sorted(set(names)):
        if name in OF_EVERY_IMAGE:
            continue
        if match := OF_DATABASE.fullmatch(name):
            key = next(key for key, text in match.groupdict().items() if text)
            found.append((f"database.{key}", name))
        elif OF_SALT.fullmatch(name):
            found.append(("General.salt", name))
    return dataclasses.replace(profile, named=tuple(found))


def _commands(profile: ImageProfile, found: LookResult, started: Sequence[str]) -> dict[str, Any]:
    """Return archiver and tasks, where a program of the image is one and does not start it."""
    at_start = [word for word in started if word.startswith("/")]
    names = {Path(word).name for word in started}

    def own(key: str) -> list[str]:
        programs = found.get(key, ())
        return [path for path in programs if path not in at_start and Path(path).name not in names]

    archivers, tasks = own("archiver"), own("tasks")
    only_tasks = [path for path in tasks if path not in archivers]
    in_path = ("/usr/local/bin/", "/usr/local/sbin/", "/usr/bin/")

    def command(path: str) -> tuple[str, ...]:
        return (Path(path).name if path.startswith(in_path) else path,)

    archiver = next(iter(archivers), None)
    leaves_out = archiver in found.get("leaves_tasks_out", ())
    return {
        "archiver": command(archiver) if archiver else profile.console_archiver,
        "has_archiver": archiver is not None,
        "tasks": command(only_tasks[0]) if only_tasks and (leaves_out or not archiver) else (),
    }
