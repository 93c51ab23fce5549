"""Look at an image before anything is assumed: what is in it, and what its first start does."""

import dataclasses
import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from docker.errors import DockerException
from docker.models.containers import Container

from matomo_harness.errors import HarnessError, UnsupportedEnvironmentError, WrongInputError
from matomo_harness.matomo import ini, versions
from matomo_harness.matomo.image import OFFICIAL, PROCESS_MANAGER, Configuration, ImageProfile
from matomo_harness.policy.deployment import DeploymentFile
from matomo_harness.runtime import images, reaper
from matomo_harness.runtime.containers import web_root_options
from matomo_harness.runtime.engine import engine, execute
from matomo_harness.runtime.images import Image, require_runnable
from matomo_harness.runtime.inspection import inspected
from matomo_harness.runtime.shell import is_alive, log_end

LOOK: Final = Path(__file__).parents[1] / "matomo" / "look.sh"
START_SECONDS: Final = 30.0
"""How long an image may take until something listens in it, without its database."""
LISTENING: Final = "0A"
"""A socket's state in /proc/net/tcp (include/net/tcp_states.h)."""
LOOPBACK: Final = "0100007F"
USUAL_PORTS: Final = (80, 8080, 8000, 9000)
"""Where a web server listens, the likeliest first; where it listens on several."""
NOT_HTTP: Final = (443, 8443)
WEB_PROCESSES: Final = ("apache2", "httpd", "nginx", "php-fpm", "caddy", "frankenphp", "lighttpd")
PROCESSES: Final = (
    "for process in /proc/[0-9]*; do"
    " sed -n 's/^Name:[[:space:]]*//p;s/^Uid:[[:space:]]*\\([0-9]*\\).*/\\1/p' $process/status"
    " 2>/dev/null | tr '\\n' ' '; echo; done; cat /etc/passwd"
)


@dataclasses.dataclass(frozen=True)
class FirstStart:
    """What an image does when it is started as it is.

    Args:
        ports: where it listens, not on loopback.
        configuration: text of its config.ini.php; None where there is none.
        web_user: the user that the web server's workers run as; empty where that is not known.
    """

    ports: tuple[int, ...]
    configuration: str | None
    web_user: str


def look(image: Image, declared: DeploymentFile | None = None) -> ImageProfile:
    """Return what `image` is: what is in it, what its start does, and what is declared of it.

    Args:
        image: an image on this engine.
        declared: its deployment.toml, which decides where looking cannot tell.

    Raises:
        WrongInputError: there is no Matomo in it, none that is supported, or no web server; or it
            is not what `declared` says.
        UnsupportedEnvironmentError: it does not start.
    """
    require_runnable(image)
    settings: Mapping[str, Any] = inspected(engine().images.get(image.id), "Config") or {}
    directory = str(settings.get("WorkingDir") or "")
    found = _looked(image, directory)
    profile = _with_files(_read(image, settings, directory, found), image, found)
    if declared:
        profile = _declared(profile, declared)
        _require_commands(profile, image)
    started = _first_start(image, profile, is_known=bool(declared and declared.web.port))
    return _with_start(profile, started, found, declared, image)


def _looked(image: Image, directory: str) -> dict[str, list[str]]:
    """Run look.sh in `image`, without its entrypoint, and return its values by their keys."""
    command = ["sh", "-c", LOOK.read_text(), "look", directory or "/"]
    try:
        said = images.run_once(image.reference, command, user="root")
    except UnsupportedEnvironmentError as error:
        raise WrongInputError(
            expected=f"{image.reference} to have a shell to look at it with",
            seen=error.seen,
            next_command="give an image that is built on the official matomo image",
        ) from error
    found: dict[str, list[str]] = defaultdict(list)
    for line in said.splitlines():
        key, tab, value = line.partition("\t")
        if tab and value not in found[key]:
            found[key].append(value)
    return found


def _read(
    image: Image, settings: Mapping[str, Any], directory: str, found: Mapping[str, list[str]]
) -> ImageProfile:
    places = dict(line.split(" ", 1) for line in found.get("matomo", ()))
    if not places:
        raise _wrong(
            f"Matomo in {image.reference}",
            "no directory that has matomo.php and core/Version.php",
            "give an image that is built on the official matomo image",
        )
    web_root = _web_root(list(places), directory)
    code = next((place for place in places if place != web_root), web_root)
    version = places[code]
    if not versions.is_supported(version):
        raise _wrong(
            f"Matomo {versions.RANGE} in {image.reference}, for which the checks are made",
            f"Matomo {version} in {code}",
            "use the release of the harness that was made for it",
        )
    servers, fpm = found.get("server", []), found.get("fpm", [])
    if not servers and not fpm:
        raise _wrong(
            f"a web server in {image.reference}",
            "neither Apache, nginx, Caddy, FrankenPHP nor PHP-FPM",
            "give the image that serves Matomo, and not one that only has its code",
        )
    owners = {line.split(" ")[0]: line.split(" ")[1:] for line in found.get("directory", ())}
    owner, count = owners.get(web_root, ["", "0"])
    return ImageProfile(
        matomo=version,
        php=next(iter(found.get("php", ())), ""),
        web_root=web_root,
        code=code,
        has_web_root_files=int(count) > 0,
        web_root_owner=owner,
        web_server=servers[0] if servers else PROCESS_MANAGER,
        web_user=next(iter(found.get("web_user", ())), OFFICIAL.web_user),
        user=str(settings.get("User") or ""),
        entrypoint=tuple(settings.get("Entrypoint") or ()),
        command=tuple(settings.get("Cmd") or ()),
        volumes=tuple(settings.get("Volumes") or ()),
        templates=tuple(found.get("template", ())),
        programs=tuple(found.get("program", ())),
        cron=tuple(found.get("cron", ())),
    )


def _web_root(places: Sequence[str], directory: str) -> str:
    """Return the directory that is served: upstream's copies the code there at the first start."""
    served = [place for place in places if not place.startswith("/usr/src/")]
    if directory in served:
        return directory
    if served:
        return served[0]
    return directory if directory not in ("", "/") else OFFICIAL.web_root


def _with_files(
    profile: ImageProfile, image: Image, found: Mapping[str, list[str]]
) -> ImageProfile:
    """Add what is known by the image's files: its configuration, its plugins, its commands."""
    seeds = [path for path in found.get("config", ()) if path.endswith("/config.ini.php")]
    in_web_root = f"{profile.web_root}/config/config.ini.php"
    seed = in_web_root if in_web_root in seeds else next(iter(sorted(seeds, key=len)), "")
    configuration: Configuration = "wizard"
    if seed:
        configuration = "web root" if seed == in_web_root else "file"
    names = images.run_once(image.reference, ["ls", f"{profile.code}/plugins"], user="root")
    profile = dataclasses.replace(
        profile,
        seed=seed,
        configuration=configuration,
        plugins=tuple(names.split()),
        **_commands(profile, found),
    )
    if not seed:
        return profile
    return with_settings(profile, images.file_in(image.reference, seed).decode(errors="replace"))


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


def _commands(profile: ImageProfile, found: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return archiver and tasks, where a program of the image is one and does not start it."""
    started = (*profile.entrypoint, *profile.command)
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


def _declared(profile: ImageProfile, declared: DeploymentFile) -> ImageProfile:
    """Return `profile` with what deployment.toml says."""
    commands = {"archiver": declared.archiver.command, "tasks": declared.tasks.command}
    said: dict[str, Any] = {name: command for name, command in commands.items() if command}
    said["declared"] = tuple(declared.variables_of_the_image.items())
    if declared.archiver.command:
        said["has_archiver"] = declared.archiver.command != profile.console_archiver
    if declared.web.port:
        said["port"] = declared.web.port
    return dataclasses.replace(profile, **said)


def _require_commands(profile: ImageProfile, image: Image) -> None:
    for command in filter(None, (profile.archiver, profile.tasks)):
        found = images.run_once(
            image.reference, ["sh", "-c", f"command -v {command[0]} || true"], user="root"
        )
        if not found.strip():
            raise _wrong(
                f"the command {command[0]} in {image.reference}, as deployment.toml says",
                "no such program",
                "correct the command, or name the image that the file was written for",
            )


# -- the first start ------------------------------------------------------------------------------


def _first_start(image: Image, profile: ImageProfile, *, is_known: bool) -> FirstStart | None:
    """Start `image` as it is, without a network, and see what it does.

    Args:
        image: the image.
        profile: what is known of it.
        is_known: whether its port is declared, so that an image that waits for its database need
            not listen here.
    """
    # In memory the copy of the code to the web root takes a tenth of its time on disk.
    in_memory = {} if profile.has_web_root_files else {profile.web_root: web_root_options(profile)}
    container = engine().containers.create(
        image.reference,
        network_mode="none",
        tmpfs=in_memory,
        labels=reaper.this_process().labels,
        healthcheck={"test": ["NONE"]},
    )
    try:
        container.start()
        ports = _wait_for_ports(container)
        if not ports and is_known:
            return None
        if not ports:
            raise UnsupportedEnvironmentError(
                expected=f"{image.reference} to listen somewhere within {START_SECONDS:.0f} s of"
                " its start, without its database",
                seen=log_end(container),
                next_command="say where it listens: port under [web] in deployment.toml",
            )
        return FirstStart(ports, _live_configuration(container, profile), _web_user(container))
    except DockerException as error:
        raise UnsupportedEnvironmentError(
            expected=f"{image.reference} to start",
            seen=str(error).splitlines()[0][:300],
            next_command=f"docker run --rm {image.reference}",
        ) from error
    finally:
        container.remove(force=True, v=True)


def _wait_for_ports(container: Container) -> tuple[int, ...]:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and is_alive(container):
        said = execute(container, ["cat", "/proc/net/tcp", "/proc/net/tcp6"], "root").out
        if ports := listening(said):
            return ports
        time.sleep(0.1)
    return ()


def listening(table: str) -> tuple[int, ...]:
    """Return the ports that somebody listens on, except those for the container alone.

    Args:
        table: /proc/net/tcp and tcp6, as the kernel writes them.
    """
    found = set()
    for line in table.splitlines():
        words = line.split()
        if len(words) > 3 and words[3] == LISTENING:
            address, _, port = words[1].rpartition(":")
            if address != LOOPBACK:
                found.add(int(port, 16))
    return tuple(sorted(found))


def _live_configuration(container: Container, profile: ImageProfile) -> str | None:
    path = f"{profile.web_root}/config/config.ini.php"
    done = execute(container, ["cat", path], "root")
    return done.out if done.code == 0 else None


def _web_user(container: Container) -> str:
    """Return the user of the web server's workers; root's are those that start them."""
    said = execute(container, ["sh", "-c", PROCESSES], "root").out
    names = {
        parts[2]: parts[0]
        for line in said.splitlines()
        if len(parts := line.split(":")) >= 7 and re.fullmatch(r"\d+", parts[2])
    }
    users = [
        words[1]
        for line in said.splitlines()
        if len(words := line.split()) == 2 and words[0].startswith(WEB_PROCESSES)
    ]
    workers = [user for user in users if user.isdecimal() and user != "0"]
    return names.get(workers[-1], workers[-1]) if workers else ""


def _with_start(
    profile: ImageProfile,
    started: FirstStart | None,
    found: Mapping[str, list[str]],
    declared: DeploymentFile | None,
    image: Image,
) -> ImageProfile:
    if started is None:
        return profile
    port = declared.web.port if declared and declared.web.port else _likeliest(started.ports)
    if port not in started.ports:
        raise _wrong(
            f"{image.reference} to listen on port {port}, as [web] of deployment.toml says",
            f"it listens on {', '.join(map(str, started.ports))}",
            "correct the port, or name the image that the file was written for",
        )
    profile = dataclasses.replace(profile, port=port, web_user=started.web_user or profile.web_user)
    live = started.configuration
    if live is None:
        return profile
    seeds = [path for path in found.get("config", ()) if path.endswith("config.ini.php")]
    texts = (images.file_in(image.reference, path) for path in seeds)
    is_a_copy = any(text.decode(errors="replace").strip() == live.strip() for text in texts)
    if not is_a_copy:
        profile = dataclasses.replace(profile, configuration="rendered", seed="")
    return with_settings(profile, live)


def _likeliest(ports: Sequence[int]) -> int:
    usual = [port for port in USUAL_PORTS if port in ports]
    others = [port for port in ports if port not in NOT_HTTP]
    return next(iter((*usual, *others, *ports)))


def _wrong(expected: str, seen: str, next_command: str) -> WrongInputError:
    return WrongInputError(expected=expected, seen=seen, next_command=next_command)
