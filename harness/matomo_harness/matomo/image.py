"""What an image that runs Matomo is: found by looking at it, or declared by deployment.toml."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Configuration = Literal["file", "web root", "rendered", "wizard"]
"""Where config.ini.php comes from: a file of the image that its start puts in place, a file of the
image below the web root, a start that writes it, or the installation wizard."""

VARIABLE: Final = re.compile(r"\$\{(\w+)\}")

SCHEMA_VARIABLE: Final = "MATOMO_DATABASE_DBNAME"
"""Not set where several instances share a container: a plugin might apply it to all of them."""
SAME_EVERYWHERE: Final[Mapping[str, str]] = {
    "MATOMO_DATABASE_PORT": "3306",
    SCHEMA_VARIABLE: "matomo",
    "MATOMO_DATABASE_ADAPTER": "MYSQLI",
    "MATOMO_DATABASE_CHARSET": "utf8mb4",
}
"""Of the connection to any database of the harness, for a template that has no default. The other
adapter's name has a backslash, which some starts lose."""

PROCESS_MANAGER: Final = "php-fpm"
"""PHP's process manager, which speaks FastCGI and no HTTP."""
NGINX_PORT: Final = 80
TLS_PORTS: Final = (443, 8443)
"""Where a web server is expected to speak TLS, as long as nobody has looked."""
NAMES_OF_ROOT: Final = ("0", "root")
"""How an image or a service names that user."""
USUAL_PORTS: Final = (80, 8080, 8000, 9000)
"""Where a web server listens, the likeliest first; where it listens on several."""
BACKUP: Final = "backup-data.sh"
RESTORE: Final = "restore-data.sh"
HEALTH: Final = "matomo-health"
ASK_HEALTH: Final = (HEALTH, "30")
"""What it finds is looked at, and not how quickly: the 4 s of an orchestrator's check are too few
for the first page where a gate, or a whole suite, runs beside."""
WITH_CONTRACT: Final = (BACKUP, RESTORE, HEALTH)
"""Programs of the reference image whose arguments and effects are known (image/README.md). Others'
programs of these names are not called."""


@dataclass(frozen=True)
class ImageProfile:
    """What the harness must know of an image; the defaults are those of the official one.

    Args:
        matomo: version of Matomo's code.
        php: version of PHP on the command line.
        web_root: the directory that is served.
        code: the directory from which a start copies Matomo's code; the web root where the code is
            there already.
        has_web_root_files: whether the image has files below the web root.
        overlay: where a container of a golden image has these, unchanged; empty elsewhere.
        web_root_owner: its owner and mode, as `uid:gid:mode`.
        web_server: the program that answers HTTP; PROCESS_MANAGER for an image that has none.
        web_user: the user that Matomo's code runs as.
        user: the user that the image starts as; empty for root.
        entrypoint: what the image starts, before `command`.
        command: what it starts by default.
        port: where its web server listens.
        redirects: whether its web server leads to https whoever does not say by X-Forwarded-Proto
            that it was.
        speaks_tls: whether its web server ends TLS itself at `port`, by a certificate that a load
            balancer does not check.
        starts_alone: whether it listens without its database; if not, the port is only declared.
        volumes: directories that it declares as volumes.
        configuration: where config.ini.php comes from.
        seed: the image's own config.ini.php; empty where it has none.
        templates: other files of the image that look like a configuration of Matomo.
        variables: names of environment variables in the values of config.ini.php, by
            `section.key`.
        named: variables of its start whose names say for which setting they stand, by
            `section.key`, as `variables`.
        plugins: the folders in plugins/.
        lists_installed_plugins: whether its config.ini.php has [PluginsInstalled].
        prefix: tables_prefix of its config.ini.php; None where it says none.
        archiver: the command that archives; Matomo's own console where the image has no program
            for it.
        has_archiver: whether the image has a program of its own that archives.
        tasks: the command that runs Matomo's scheduled tasks, where the archiver leaves them out.
        queue: the command that stores the hits that wait in a queue; only deployment.toml says it.
        programs: those of the reference image's programs that it has.
        cron: lines of its crontabs that archive.
        declared: variables that deployment.toml sets, with their values, in which `${NAME}` stands
            for a variable that the harness sets for the reference image.
    """

    matomo: str = ""
    php: str = ""
    web_root: str = "/var/www/html"
    code: str = "/usr/src/matomo"
    has_web_root_files: bool = False
    overlay: str = ""
    web_root_owner: str = ""
    web_server: str = "apache2"
    web_user: str = "www-data"
    user: str = ""
    entrypoint: tuple[str, ...] = ("/entrypoint.sh",)
    command: tuple[str, ...] = ("apache2-foreground",)
    port: int = 80
    redirects: bool = False
    speaks_tls: bool = False
    starts_alone: bool = True
    volumes: tuple[str, ...] = ()
    configuration: Configuration = "wizard"
    seed: str = ""
    templates: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    named: tuple[tuple[str, str], ...] = ()
    plugins: tuple[str, ...] = field(default=(), repr=False)
    lists_installed_plugins: bool = False
    prefix: str | None = None
    archiver: tuple[str, ...] = ()
    has_archiver: bool = False
    tasks: tuple[str, ...] = ()
    queue: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    cron: tuple[str, ...] = ()
    declared: tuple[tuple[str, str], ...] = ()

    @property
    def fixed_user(self) -> str:
        """The user of all its processes, where it starts as another than root; else empty."""
        user = self.user.partition(":")[0]
        return "" if user in NAMES_OF_ROOT else user

    @property
    def http_port(self) -> int:
        """Where HTTP is answered: by the nginx of ours where the image has no web server."""
        return NGINX_PORT if self.web_server == PROCESS_MANAGER else self.port

    @property
    def starts_by_entrypoint(self) -> bool:
        """Whether the entrypoint alone starts the web server, so that a job must replace it."""
        return not self.command

    def environment(self, known: Mapping[str, str]) -> dict[str, str]:
        """Return the variables by which this image takes what the harness decides.

        Args:
            known: what the harness sets for the reference image: MATOMO_DATABASE_HOST, and so on.
        """
        given, known = known, {**SAME_EVERYWHERE, **known}
        found = {
            name: known[variable]
            for key, name in (*self.named, *self.variables)
            if (variable := f"MATOMO_{key.replace('.', '_').upper()}") in known
            and (name != SCHEMA_VARIABLE or name in given)
        }
        said = {
            name: VARIABLE.sub(lambda match: known.get(match[1], ""), text)
            for name, text in self.declared
        }
        return {**found, **said}

    @property
    def console_archiver(self) -> tuple[str, ...]:
        """Matomo's own command that archives."""
        return ("php", f"{self.web_root}/console", "core:archive")


OFFICIAL: Final = ImageProfile()
"""The official image, as upstream documents it."""


def likeliest(ports: Sequence[int]) -> int:
    """Return the port to come by, as far as numbers tell: a load balancer comes in clear text.

    Args:
        ports: at least one.
    """
    usual = [port for port in USUAL_PORTS if port in ports]
    others = [port for port in ports if port not in TLS_PORTS]
    return next(iter((*usual, *others, *ports)))


def profile_of(values: Mapping[str, Any]) -> ImageProfile:
    """Return the profile that `values` are of, after they have been JSON."""
    return ImageProfile(**{name: _tuples(value) for name, value in values.items()})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
