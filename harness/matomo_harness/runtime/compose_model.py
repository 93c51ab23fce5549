"""The model of a throw-away copy of somebody's Compose project; nothing here starts anything.

Compose itself resolves the project (`docker compose config`): .env, env_file, extends, profiles and
interpolation are its own matter. What comes out is turned into the model of a copy which shares
nothing with the project: no port, name, mount, volume or network, and no way to what is outside.
"""

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from matomo_harness.errors import WrongInputError
from matomo_harness.matomo import ini
from matomo_harness.matomo.image import TLS_PORTS, likeliest

Model = dict[str, Any]
"""What `docker compose config --format json` prints, or a part of it. A `$` in a value is `$$`, so
that Compose can read it again."""

DATABASE_PORT: Final = 3306
DATA: Final = ("/var/lib/mysql", "/bitnami/mariadb", "/config")
"""Where images of MariaDB keep their data: the official one, Bitnami's and LinuxServer's."""
MOST_BYTES: Final = 512 * 2**20
"""What a project may mount from this machine, all in all: enough for a whole web root with Matomo
(200 MB), and nothing that holds a production's uploads or dumps."""
HOST_VARIABLE: Final = re.compile(r"(^|_)(DATABASE|DB|MYSQL|MARIADB)_(HOST|HOSTNAME|SERVER)$", re.I)
"""Variables by which images are led to their database."""
OF_A_DATABASE: Final = re.compile(
    r"(MARIADB|MYSQL)_(ROOT_PASSWORD|RANDOM_ROOT_PASSWORD|ALLOW_EMPTY\w*PASSWORD|DATABASE)(_FILE)?"
)
"""Variables of MariaDB's official image, in both spellings."""
DATABASE_IMAGE: Final = re.compile(r"mariadb|mysql|percona", re.I)
WEB_SERVER_IMAGE: Final = re.compile(r"nginx|openresty|angie|httpd|apache|caddy|lighttpd", re.I)
THIS_CONTAINER: Final = ("localhost", "127.0.0.1", "::1")
NO_RESOLVER: Final = "127.0.0.1"
"""Nothing listens there in a container, so that the engine's resolver knows the names of services
alone: a name outside the project is unknown at once."""
GIVES_UP: Final = ["timeout:1", "attempts:1"]
"""Docker 20.10 says nothing where its own question is refused, and a program would wait for 20 s
(resolv.conf(5): seconds, and how often)."""
UNREACHABLE: Final = "255.255.255.255"
"""An address to which no connection is even tried."""
OF_MATOMO: Final = ("api.matomo.org", "plugins.matomo.org", "builds.matomo.org", "matomo.org")
"""What a Matomo with enable_internet_features asks while it is installed and used: so many times
that each second of waiting would be felt."""
NO_WAY_OUT: Final = {"com.docker.network.bridge.enable_ip_masquerade": "false"}
"""Nothing outside answers an address of such a network (docs.docker.com, "Bridge network driver");
published ports work. By number this machine itself is reached, as from any network that publishes:
the gateway mode `isolated`, without an address of this machine, is for `internal` ones alone."""
CONFIGURATION: Final = "config.ini.php"
SOCKETS: Final = ("docker.sock", "podman.sock", "containerd.sock")
OF_THE_KERNEL: Final = ("/proc", "/sys", "/dev", "/run", "/var/run")
OF_THE_PROJECT: Final = (
    *("build", "cgroup_parent", "container_name", "develop", "dns", "dns_opt", "dns_search"),
    *("domainname", "env_file", "external_links", "extra_hosts", "labels", "label_file", "logging"),
    *("mac_address", "ports", "profiles", "pull_policy", "restart", "scale"),
)
"""Keys of a service that a copy has not, or has otherwise. Labels are orders to other programs of
the machine (a proxy that routes by them, a scheduler, an updater); a log may be sent elsewhere."""


MEMORY_LIMITS: Final = ("mem_limit", "mem_reservation", "memswap_limit")
OF_ROOT: Final = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")
"""What root has of Docker's own set of capabilities, and needs to read and write others' files."""


@dataclass(frozen=True)
class ProjectCopy:
    """The model of a copy, and what has to be there before it is started.

    Args:
        model: what Compose starts; it has secrets.
        files: the file that is to be a copy, by the original.
        folders: the volume that is to have the content, by the original.
        opened: paths in Matomo's container that the project mounts read-only. The copy has to
            write there once, when Matomo is installed.
    """

    model: Model = field(repr=False)
    files: Mapping[Path, Path]
    folders: Mapping[Path, str]
    opened: tuple[str, ...] = ()


@dataclass(frozen=True)
class Roles:
    """Which service of a project does what.

    Args:
        matomo: Matomo's code runs in it.
        database: its MariaDB.
        web: answers HTTP; another one than `matomo` where that is php-fpm alone.
        port: where `web` listens.
        tls_port: where it may end TLS itself besides; None for nowhere.
        configuration: path of config.ini.php in `matomo`.
    """

    matomo: str
    database: str
    web: str
    port: int
    tls_port: int | None = None
    configuration: str = "/var/www/html/config/config.ini.php"


def plain(text: object) -> str:
    """Return a value of the model as a program in the container sees it."""
    return str(text).replace("$$", "$")


def service(model: Model, name: str, file: str) -> Model:
    """Return the service that runs Matomo.

    Args:
        model: the project.
        name: of the service.
        file: the Compose file, for the error.

    Raises:
        WrongInputError: there is no such service.
    """
    services: Model = model.get("services") or {}
    if name not in services:
        raise WrongInputError(
            f"a service {name} in {file}, and none that waits for a profile",
            f"the services {', '.join(services) or 'none'}",
            f"name the one that runs Matomo: --service {next(iter(services), 'NAME')}",
        )
    found: Model = services[name]
    return found


def require_image(model: Model, name: str, file: str) -> None:
    """Refuse a service whose image has no name.

    Args:
        model: the project.
        name: of the service.
        file: the Compose file, for the next command.

    Raises:
        WrongInputError: it has `build:` and no image.
    """
    if not model["services"][name].get("image"):
        # Compose's own name for it. The service's name alone may be that of a public image, as
        # matomo or nginx, which the build would take, and begin with the next time.
        own = f"{model.get('name') or 'institution'}-{name}"
        files = " ".join(f"--file {part}" for part in file.split(os.pathsep))
        raise WrongInputError(
            f"the service {name} of {file} to name an image",
            "build: alone, whose image has no name that says what is judged",
            f"add `image: {own}` to it, then: docker compose {files} build {name}",
        )


def require_copyable(model: Model, file: str) -> None:
    """Refuse a project of which no copy can be kept apart from this machine.

    Args:
        model: the project.
        file: the Compose file, for the next command.

    Raises:
        WrongInputError: a service has `build:` and no image, or has a part in the machine itself:
            its network, its processes, its devices or the engine.
    """
    for name, one in model["services"].items():
        require_image(model, name, file)
        for key, seen in _parts_in_the_machine(one):
            raise WrongInputError(
                f"a service {name} of which a copy can be kept apart from this machine and from the"
                " project itself",
                f"{key}: {seen}",
                f"leave it out for the gate, e.g. `profiles: [host]` for {name} in {file},"
                f" or take {key} out",
            )


def _parts_in_the_machine(one: Model) -> Iterator[tuple[str, str]]:
    for key in ("network_mode", "pid", "ipc", "uts", "cgroup"):
        value = str(one.get(key) or "")
        if value == "host" or value.startswith("container:"):
            yield key, value
    if one.get("privileged"):
        yield "privileged", "true"
    if one.get("devices"):
        yield "devices", str(len(one["devices"]))
    if one.get("use_api_socket"):
        yield "use_api_socket", "true"
    for value in one.get("volumes_from") or ():
        if str(value).startswith("container:"):
            yield "volumes_from", str(value)
    for mount in one.get("volumes") or ():
        kind, source = mount.get("type"), plain(mount.get("source", ""))
        if kind not in ("bind", "volume", "tmpfs"):
            yield "volumes", f"a mount of type {kind}"
        elif kind == "bind" and (why := _why_not_copied(Path(source))):
            yield "volumes", f"{source}, {why}"


def _why_not_copied(source: Path) -> str:
    """Return why a mount of this source cannot be copied; empty where it can."""
    if source.name in SOCKETS:
        return "the engine's socket: who has it can do anything on this machine"
    if source == Path("/") or str(source) in OF_THE_KERNEL or _is_below(source, OF_THE_KERNEL[:3]):
        return "which is the machine itself"
    try:
        mode = source.stat().st_mode
    except OSError:
        return ""  # Compose makes a directory of what is not there
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return ""
    return "which is a socket or a device, and no file"


def _is_below(path: Path, folders: tuple[str, ...]) -> bool:
    return any(Path(folder) in path.parents for folder in folders)


# -- the database ---------------------------------------------------------------------------------


def names(model: Model, name: str) -> set[str]:
    """Return the names by which other services reach the service `name`."""
    one = model["services"][name]
    aliases = {
        alias
        for joined in (one.get("networks") or {}).values()
        for alias in (joined or {}).get("aliases") or ()
    }
    links = (str(link) for other in model["services"].values() for link in other.get("links") or ())
    linked = {alias for to, _, alias in (link.partition(":") for link in links) if to == name}
    return {name, *aliases, *linked, one.get("container_name")} - {None, ""}


def led_to(model: Model, name: str) -> Iterator[tuple[str, str]]:
    """Yield each variable that leads the service `name` to a database, and the host."""
    for variable, value in (model["services"][name].get("environment") or {}).items():
        if value and HOST_VARIABLE.search(variable):
            host = re.sub(r"^\w+://|:\d+$", "", plain(value))
            if not host.startswith(("/", "unix:")):
                yield variable, host


def database_service(model: Model, matomo: str, file: str, configuration: str = "") -> str:
    """Return the name of the service that is Matomo's database.

    Args:
        model: the project.
        matomo: the service that runs Matomo.
        file: the Compose file, for errors.
        configuration: text of the config.ini.php that the project mounts; empty without one.

    Raises:
        WrongInputError: there is none, or several; or a service is led to a database outside.
    """
    known = {alias: name for name in model["services"] for alias in names(model, name)}
    instead = (
        "name one of the project in a second file, which Compose puts over the first:"
        f" COMPOSE={file}:gate.yml"
    )
    led = [(name, *found) for name in model["services"] for found in led_to(model, name)]
    if configuration:
        host = ini.read(configuration).text("database", "host") or ""
        if host and "${" not in host:
            led.append((matomo, "config.ini.php", host.partition(":")[0]))
    for name, variable, host in led:
        if host not in (*known, *THIS_CONTAINER):
            raise WrongInputError(
                f"{name} to have its database in the project: nothing is installed in another",
                f"{variable} leads to {host}, which is no service of {file}",
                instead,
            )
    for name, _, host in led:
        if name == matomo and host in known:
            return str(known[host])
    looks_so = [
        name
        for name, one in model["services"].items()
        if name != matomo
        and (
            DATABASE_IMAGE.search(base_name(one["image"]))
            or any(OF_A_DATABASE.fullmatch(key) for key in one.get("environment") or {})
        )
    ]
    needed = model["services"][matomo].get("depends_on") or {}
    chosen = [name for name in looks_so if name in needed] or looks_so
    if len(chosen) != 1:
        raise WrongInputError(
            f"one MariaDB in {file}, for {matomo}",
            f"{', '.join(chosen) or 'none'}, and no MATOMO_DATABASE_HOST of {matomo} that says so",
            instead if not chosen else f"set MATOMO_DATABASE_HOST of {matomo}",
        )
    return str(chosen[0])


def base_name(reference: str) -> str:
    """Return the last part of an image's name, without tag and digest."""
    return reference.rpartition("/")[2].partition("@")[0].partition(":")[0]


def web_port(model: Model, name: str, found: int | None = None) -> int | None:
    """Return where the web server of the service `name` listens, as far as the project says.

    Args:
        model: the project.
        name: of the service, which may publish a port of something else as well.
        found: where its image was found to answer; it is the one if the project publishes it.
    """
    ports = _targets(model, name)
    if not ports:
        return None
    return found if found in ports else likeliest(ports)


def tls_port(model: Model, name: str, port: int) -> int | None:
    """Return where the service `name` may end TLS itself, other than at `port`; None for nowhere.

    Args:
        model: the project.
        name: of the service.
        port: the one that it is come by.
    """
    ports = _targets(model, name)
    return next((tls for tls in TLS_PORTS if tls in ports and tls != port), None)


def _targets(model: Model, name: str) -> list[int]:
    return [
        int(port["target"])
        for port in model["services"][name].get("ports") or ()
        if port.get("protocol", "tcp") == "tcp"
    ]


def web_of_fpm(model: Model, matomo: str, file: str, web_root: str) -> str:
    """Return the service that answers HTTP for a Matomo which is php-fpm alone.

    Args:
        model: the project.
        matomo: the service that runs Matomo.
        file: the Compose file, for the error.
        web_root: where Matomo's code is in that service.

    Raises:
        WrongInputError: there is none.
    """
    code = {
        mount.get("source")
        for mount in model["services"][matomo].get("volumes") or ()
        if Path(str(mount["target"])) in (Path(web_root), *Path(web_root).parents)
    } - {None}  # a volume without a name is its service's alone
    others = {name: one for name, one in model["services"].items() if name != matomo}
    before = {name: one for name, one in others.items() if web_port(model, name)}
    with_code = [
        name
        for name, one in others.items()
        if code & {mount.get("source") for mount in one.get("volumes") or ()}
        or matomo in _services_of(one.get("volumes_from"))
    ]
    # A proxy that is before it comes by the network, where it need publish no port. A job shares
    # the files as well, and so does a backup.
    hidden = [
        name for name in with_code if WEB_SERVER_IMAGE.search(base_name(others[name]["image"]))
    ]
    # A web server with files of its own; an exporter or a job may need Matomo, too.
    needing = [
        name
        for name, one in before.items()
        if matomo in {*(one.get("depends_on") or {}), *_services_of(one.get("links"))}
    ]
    if chosen := [*(name for name in with_code if name in before), *hidden, *needing]:
        return str(chosen[0])
    raise WrongInputError(
        f"a web server in {file} before {matomo}, which is php-fpm alone",
        "no web server that shares its files, and no service with ports that depends on it",
        f"publish the port of that web server in {file}",
    )


def _services_of(words: Iterable[object] | None) -> set[str]:
    """Return the services in `links` or `volumes_from`, which may have a name or a mode besides."""
    return {str(word).partition(":")[0] for word in words or ()}


def exposed(model: Model, name: str) -> list[int]:
    """Return the ports that a service offers to its network without publishing them (`expose`)."""
    words = (str(port).partition("/")[0] for port in model["services"][name].get("expose") or ())
    return [int(port) for port in words if port.isdecimal()]


# -- the copy -------------------------------------------------------------------------------------


def copied(
    model: Model,
    roles: Roles,
    project: str,
    labels: Mapping[str, str],
    file_for: Callable[[str], Path],
) -> ProjectCopy:
    """Return the model of a copy of `model`.

    Args:
        model: the project, as Compose resolves it.
        roles: which service does what.
        project: name of the copy's own Compose project.
        labels: of everything in it.
        file_for: returns where a copied file goes, by a name that is unique in the copy.

    Raises:
        WrongInputError: it mounts more than may be copied.
    """
    plan = _Plan(model, roles, project, dict(labels), file_for)
    services = {name: plan.service(name) for name in model["services"]}
    of_files = {
        kind: {name: plan.secret(kind, name, one) for name, one in model[kind].items()}
        for kind in ("secrets", "configs")
        if model.get(kind)
    }
    require_size([*plan.files, *plan.folders])
    volumes: Model = {name: plan.volume(name) for name in model.get("volumes") or {}}
    for name in plan.folders.values():
        volumes[name] = {"name": name, "external": True}
    for name in plan.empty_ones.values():
        volumes[name] = {"name": name, "labels": dict(labels)}
    copy: Model = {
        "name": project,
        "services": services,
        "networks": {name: plan.network(name) for name in plan.network_names},
        "volumes": volumes,
        **of_files,
    }
    return ProjectCopy(copy, plan.files, plan.folders, tuple(plan.opened))


class _Plan:
    """A copy in the making: what it mounts is collected while its services are written."""

    def __init__(
        self,
        model: Model,
        roles: Roles,
        project: str,
        labels: dict[str, str],
        file_for: Callable[[str], Path],
    ) -> None:
        self.model = model
        self.roles = roles
        self.project = project
        self.labels = labels
        self.file_for = file_for
        self.files: dict[Path, Path] = {}
        self.folders: dict[Path, str] = {}
        self.empty_ones: dict[str, str] = {}
        self.opened: list[str] = []
        # A backup service that mounts the database's files sees those of the copy.
        self.data = {
            str(mount["source"])
            for mount in map(self._undisguised, self._mounts(roles.database))
            if mount.get("source") and _is_data(mount["target"])
        }
        self.network_names = list(model.get("networks") or {})

    def _mounts(self, name: str) -> list[Model]:
        return list(self.model["services"][name].get("volumes") or ())

    def service(self, name: str) -> Model:
        """Return the service `name` of the copy."""
        original: Model = self.model["services"][name]
        one = {key: value for key, value in original.items() if key not in OF_THE_PROJECT}
        one |= {"labels": self.labels, "restart": "no", "pull_policy": "missing"}
        one["logging"] = {"driver": "json-file"}
        limits = ((original.get("deploy") or {}).get("resources") or {}).get("limits") or {}
        if name == self.roles.database:  # its data are in memory, and count
            limits = {key: value for key, value in limits.items() if key != "memory"}
            one = {key: value for key, value in one.items() if key not in MEMORY_LIMITS}
        one["deploy"] = {"resources": {"limits": limits}} if limits else {}
        if name == self.roles.matomo:  # settings are written, and pages of checks beside its code
            one.pop("read_only", None)
        if name == self.roles.matomo and one.get("cap_drop"):
            # The gate looks and installs as root, whoever the service starts as.
            one["cap_add"] = sorted({*(one.get("cap_add") or ()), *OF_ROOT})
        mode = str(one.get("network_mode") or "")
        # Compose hands any other word to the engine: its own network, or anybody's by its name.
        if mode and mode != "none" and not mode.startswith("service:"):
            del one["network_mode"]
            one["networks"] = {"default": None}
        if not one.get("network_mode"):
            one |= {"dns": [NO_RESOLVER], "dns_opt": GIVES_UP}
            one["extra_hosts"] = [f"{host}:{UNREACHABLE}" for host in OF_MATOMO]
            one["networks"] = self._joined(one.get("networks") or {"default": None}, original)
        one["volumes"] = [
            self._mount(name, self._undisguised(mount)) for mount in self._mounts(name)
        ]
        one["ports"] = [
            {"mode": "ingress", "host_ip": "127.0.0.1", "target": port}
            for port in self._published(name)
        ]
        return {key: value for key, value in one.items() if value not in (None, {}, [])}

    def _published(self, name: str) -> list[int]:
        """Return the ports by which the harness comes to a service of the copy."""
        of_web = [self.roles.port, *filter(None, [self.roles.tls_port])]
        of_roles = {self.roles.database: [DATABASE_PORT], self.roles.web: of_web}
        return of_roles.get(name, [])

    def _joined(self, networks: Model, original: Model) -> Model:
        """Return the networks of a service; who called it by its container's name still does."""
        self.network_names += [name for name in networks if name not in self.network_names]
        former = [original["container_name"]] if original.get("container_name") else []
        return {
            name: {"aliases": [*((joined or {}).get("aliases") or ()), *former]}
            for name, joined in networks.items()
        }

    def network(self, name: str) -> Model:
        """Return a network of the copy, out of which no way leads."""
        return {
            "name": f"{self.project}_{name}",
            "labels": self.labels,
            "driver": "bridge",
            "driver_opts": NO_WAY_OUT,
        }

    def volume(self, name: str) -> Model:
        """Return a fresh volume of the copy, whatever the project's own is."""
        return {"name": f"{self.project}_{name}", "labels": self.labels}

    def secret(self, kind: str, name: str, one: Model) -> Model:
        """Return a secret or a config; a file of the project is copied."""
        own = {key: value for key, value in one.items() if key != "name"}
        if one.get("file"):
            own["file"] = str(self._file(Path(plain(one["file"])), f"{kind}-{name}"))
        return own

    def _undisguised(self, mount: Model) -> Model:
        """Return a bind mount for a volume that is a directory of this machine by its options."""
        volume = (self.model.get("volumes") or {}).get(mount.get("source", "")) or {}
        options = volume.get("driver_opts") or {}
        if mount["type"] != "volume" or "bind" not in str(options.get("o", "")).split(","):
            return mount
        return {**mount, "type": "bind", "source": options.get("device", "")}

    def _mount(self, name: str, mount: Model) -> Model:
        own: Model = {
            key: mount[key] for key in ("type", "target", "read_only", "tmpfs") if key in mount
        }
        if mount["type"] == "tmpfs":
            return own
        source = str(mount.get("source") or "")
        if name == self.roles.database and str(mount["target"]) in DATA:
            # Empty, and in memory: on disk each of a test's thousand writes waits for the disk.
            return {"type": "tmpfs", "target": mount["target"]}
        if source in self.data:
            volume = self.empty_ones.setdefault(source, self._name("data", len(self.empty_ones)))
            return {**own, "type": "volume", "source": volume}
        if mount["type"] == "volume":
            options = {"volume": mount["volume"]} if mount.get("volume") else {}
            return {**own, **options, **({"source": source} if source else {})}
        if name == self.roles.matomo and self._has_configuration(mount) and mount.get("read_only"):
            del own["read_only"]
            self.opened.append(self.roles.configuration)
        path = Path(plain(source))
        if _is_file(path):
            copy = self._file(path, f"file-{len(self.files)}")
            return {**own, "source": str(copy).replace("$", "$$")}
        volume = self.folders.setdefault(path, self._name("folder", len(self.folders)))
        # What the image has at that place is hidden by the project's own directory, too.
        return {**own, "type": "volume", "source": volume, "volume": {"nocopy": True}}

    def _has_configuration(self, mount: Model) -> bool:
        wanted, target = Path(self.roles.configuration), Path(str(mount["target"]))
        return target == wanted or target in wanted.parents

    def _file(self, path: Path, name: str) -> Path:
        return self.files.setdefault(path, self.file_for(name))

    def _name(self, kind: str, number: int) -> str:
        return f"{self.project}_{kind}-{number}"


def _is_data(target: str) -> bool:
    return any(target == folder or target.startswith(f"{folder}/") for folder in DATA)


def require_size(sources: list[Path]) -> None:
    """Refuse mounts that are too large to be copied; the search ends at the limit.

    Args:
        sources: files and directories.

    Raises:
        WrongInputError: they are larger, or cannot be read.
    """
    left = MOST_BYTES
    for source in sources:
        for size in _sizes(source):
            left -= size
            if left < 0:
                raise WrongInputError(
                    f"mounts of at most {MOST_BYTES // 2**20} MiB in all, which can be copied",
                    f"{source}, with which they are larger",
                    "mount for the gate what Matomo needs, and not its uploads or dumps, in a"
                    " second file: COMPOSE=docker-compose.yml:gate.yml",
                )


def _sizes(source: Path) -> Iterator[int]:
    if _is_file(source):
        yield source.stat().st_size
        return
    for folder, _, files in os.walk(source):
        for name in files:
            path = Path(folder) / name
            try:
                size = path.lstat().st_size
            except FileNotFoundError:  # of a project that runs
                continue
            except OSError as error:
                raise unreadable(path, error) from error
            # A file on a disk takes a block at least: a million of empty ones is too many, too.
            yield max(size, 512)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:  # in a directory that is closed to this user
        raise unreadable(path, error) from error


def unreadable(source: Path, error: OSError) -> WrongInputError:
    """Return the refusal of what this user may not read, and the project mounts.

    Args:
        source: the file or directory.
        error: what the system said.
    """
    return WrongInputError(
        f"to be allowed to read {source}, which the project mounts: it is copied",
        str(error.strerror or error),
        "the same command as a user who may read it",
    )


def mounted_configuration(model: Model, matomo: str) -> str:
    """Return the text of the config.ini.php that a project mounts into Matomo; empty without one.

    Args:
        model: the project.
        matomo: the service that runs Matomo.
    """
    for mount in model["services"][matomo].get("volumes") or ():
        source = Path(plain(mount.get("source", "")))
        if mount["type"] != "bind":
            continue
        # The file, its directory, or the whole web root.
        for path in (source, source / CONFIGURATION, source / "config" / CONFIGURATION):
            if path.name == CONFIGURATION and _is_file(path):
                try:
                    return path.read_text(errors="replace")
                except OSError as error:
                    raise unreadable(path, error) from error
    return ""


def mounted_code(model: Model, matomo: str) -> Path | None:
    """Return the directory of this machine from which a project mounts Matomo's code, if it does.

    Args:
        model: the project.
        matomo: the service that runs Matomo.
    """
    for mount in model["services"][matomo].get("volumes") or ():
        source = Path(plain(mount.get("source", "")))
        if mount["type"] == "bind" and _is_file(source / "matomo.php"):
            return source
    return None
