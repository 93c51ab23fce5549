"""Look at an image before anything is assumed: what is in it, and what its first start does."""

import dataclasses
import re
import shlex
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from typing import Any, Final

from docker.errors import APIError, DockerException
from docker.models.containers import Container
from requests import codes

from matomo_harness.errors import UnsupportedEnvironmentError, WrongInputError
from matomo_harness.matomo.image import PROCESS_MANAGER, TLS_PORTS, ImageProfile, likeliest
from matomo_harness.matomo.install import closed_server
from matomo_harness.matomo.look import (
    OFFICIAL_BASE,
    SCRIPT,
    LookResult,
    found_in,
    profile_of,
    with_names,
    with_placeholders,
    with_settings,
)
from matomo_harness.policy.deployment import DeploymentFile
from matomo_harness.runtime import images, reaper
from matomo_harness.runtime.containers import LOOPBACK, web_root_options
from matomo_harness.runtime.engine import engine, execute
from matomo_harness.runtime.images import Image, require_runnable
from matomo_harness.runtime.inspection import inspected
from matomo_harness.runtime.shell import is_alive, log_end

START_SECONDS: Final = 30.0
"""How long an image may take until something listens in it, without its database."""
LONGEST_WORK: Final = 120.0
"""The same where it is at work all the time: it does not wait then, and the machine is slow."""
LOOKS: Final = 20
"""So many of the last looks say whether a start is at work: most of them have seen it."""
AT_WORK: Final = ("R", "D")
"""States of a process that runs or could run, or that waits for a disk (ps(1)). Who waits for a
database sleeps, on a slow machine as well; who copies files or compiles is one of these there."""
LISTENING: Final = "0A"
"""A socket's state in /proc/net/tcp (include/net/tcp_states.h)."""
LOOPBACK_HEX: Final = "0100007F"
ANSWERS_HTTP: Final = r"""
function status($way, $port) {
    $unchecked = ["ssl" => ["verify_peer" => false, "verify_peer_name" => false]];
    $context = stream_context_create($unchecked);
    foreach (["127.0.0.1", "[::1]"] as $host) {
        $to = "$way://$host:$port";
        $socket = @stream_socket_client($to, $code, $message, 1, STREAM_CLIENT_CONNECT, $context);
        if (!$socket) continue;
        stream_set_timeout($socket, 2);
        @fwrite($socket, "HEAD /matomo.js HTTP/1.0\r\nHost: localhost\r\n\r\n");
        return preg_match('~^HTTP/\S+ (\d+)~', (string) @fgets($socket), $found) ? $found[1] : "";
    }
    return "";
}
foreach (array_slice($argv, 1) as $port) {
    $clear = status("tcp", $port);
    // A server that expects TLS says 400 to clear text, or nothing.
    $by_tls = in_array($clear, ["", "400"]) ? status("ssl", $port) : "";
    if ($by_tls) echo "ssl:$port:$by_tls ";
    elseif ($clear) echo "tcp:$port:$clear ";
}
"""
"""Prints which of its arguments are ports that answer HTTP, as `tcp:80:200` or `ssl:443:200`.
Others listen as well, and often first: an SSH server, or php-fpm beside nginx."""
LEADS_TO_HTTPS: Final = r"""
foreach (["", "X-Forwarded-Proto: https\r\n"] as $header) {
    foreach (["127.0.0.1", "[::1]"] as $host) {
        $socket = @fsockopen($host, (int) $argv[1], $code, $message, 1);
        if (!$socket) continue;
        stream_set_timeout($socket, 2);
        @fwrite($socket, "HEAD /matomo.js HTTP/1.0\r\nHost: localhost\r\n$header\r\n");
        $said = (string) @stream_get_contents($socket, 8192);
        echo preg_match('~^HTTP/\S+ 30\d.*^Location: https://~ims', $said) ? "yes " : "no ";
        break;
    }
}
"""
"""Prints whether a port leads to https who asks for a file of Matomo's: anybody, and a load
balancer that has terminated TLS."""
NOWHERE: Final[Mapping[str, str]] = {
    "MATOMO_DATABASE_HOST": LOOPBACK,
    "MATOMO_DATABASE_USERNAME": "matomo",
    "MATOMO_DATABASE_PASSWORD": "matomo",
    "MATOMO_DATABASE_DBNAME": "matomo",
    "MATOMO_DATABASE_TABLES_PREFIX": "matomo_",
    "MATOMO_GENERAL_SALT": "0" * 32,
}
"""Of a database that is not there, for a start that ends without such values."""
CHOICES: Final = ("database.adapter", "database.charset")
"""Settings of the connection that need not be the harness's."""
WEB_PROCESSES: Final = ("apache2", "httpd", "nginx", "php-fpm", "caddy", "frankenphp", "lighttpd")
PROCESSES: Final = (
    "for process in /proc/[0-9]*; do"
    " sed -n 's/^Name:[[:space:]]*//p;s/^Uid:[[:space:]]*\\([0-9]*\\).*/\\1/p' $process/status"
    " 2>/dev/null | tr '\\n' ' '; echo; done; cat /etc/passwd"
)


@dataclasses.dataclass(frozen=True)
class Answers:
    """Where a web server answers, not on loopback.

    Args:
        clear: ports in clear text; of php-fpm, those of FastCGI.
        tls: ports by TLS.
        locked: those of them that ask for a password.
        foreign: those of them that have no file of Matomo's: of a process manager's own page, or of
            what measures it; or Matomo's, whose start has not put its files in place.
    """

    clear: tuple[int, ...] = ()
    tls: tuple[int, ...] = ()
    locked: tuple[int, ...] = ()
    foreign: tuple[int, ...] = ()

    @property
    def ports(self) -> tuple[int, ...]:
        """All of them."""
        return (*self.clear, *self.tls)

    @property
    def likeliest(self) -> int:
        """The one to come by, as far as ports tell: a load balancer comes in clear text."""
        own = self.of_matomo
        chosen = [port for port in self.clear if port in own]
        chosen = chosen or [port for port in self.tls if port in own]
        return likeliest(chosen or self.clear or self.tls)

    @property
    def of_matomo(self) -> tuple[int, ...]:
        """Those that have a file of Matomo's for everybody."""
        others = (*self.locked, *self.foreign)
        return tuple(port for port in self.ports if port not in others)


@dataclasses.dataclass(frozen=True)
class FirstStart:
    """What an image does when it is started as it is.

    Args:
        port: the one to come by of those where it answers.
        speaks_tls: as ImageProfile's.
        redirects: as ImageProfile's.
        configuration: text of its config.ini.php; None where there is none.
        web_user: the user that Matomo's code runs as; empty where that is not known.
        web_server: the web server's name; empty where that is not known.
    """

    port: int
    speaks_tls: bool
    redirects: bool
    configuration: str | None
    web_user: str
    web_server: str


def look(image: Image, declared: DeploymentFile | None = None) -> ImageProfile:
    """Return what `image` is: what is in it, what its start does, and what is declared of it.

    Args:
        image: an image on this engine.
        declared: its deployment.toml, which decides where looking cannot tell.

    Raises:
        WrongInputError: there is no Matomo in it, none that is supported, or no web server; its
            web server lets nobody in by clear text; or it is not what `declared` says.
        UnsupportedEnvironmentError: it does not start.
    """
    require_runnable(image)
    settings: Mapping[str, Any] = inspected(engine().images.get(image.id), "Config") or {}
    directory = str(settings.get("WorkingDir") or "")
    entrypoint = tuple(settings.get("Entrypoint") or ())
    command = tuple(settings.get("Cmd") or ())
    if not entrypoint and not command:
        raise WrongInputError(
            f"{image.reference} to start a web server",
            "neither ENTRYPOINT nor CMD: an ENTRYPOINT in a Dockerfile drops the base's CMD",
            'name the command in the Dockerfile, as in CMD ["apache2-foreground"]',
        )
    found = _looked(image, directory, (*entrypoint, *command))
    profile = dataclasses.replace(
        profile_of(found, image.reference, directory, (*entrypoint, *command)),
        user=str(settings.get("User") or ""),
        entrypoint=entrypoint,
        command=command,
        volumes=tuple(settings.get("Volumes") or ()),
    )
    profile = with_names(profile, (*found.get("name", ()), *_preset(settings)))
    if profile.seed:
        text = images.file_in(image.reference, profile.seed).decode(errors="replace")
        profile = with_settings(profile, text)
    if declared:
        profile = _declared(profile, declared)
        _require_commands(profile, image)
    exposed = exposed_ports(settings)
    known_port = declared.web.port if declared else None
    environments = _environments(profile, found, image)
    started = _first_start(image, profile, exposed, environments, known_port)
    if started is None:
        port = known_port or likeliest(exposed)
        profile = dataclasses.replace(
            profile,
            port=port,
            speaks_tls=port in TLS_PORTS,
            starts_alone=False,
            web_user=profile.fixed_user or profile.web_user,
        )
    profile = _with_start(profile, started, found, image)
    if profile.configuration == "rendered" or started is None:
        profile = _with_templates(profile, found, image)
    return profile


def files_of(image: Image) -> ImageProfile:
    """Return what the files of `image` tell, without its being started.

    Raises:
        WrongInputError: there is no Matomo in it, or none that is supported.
    """
    directory = str(inspected(engine().images.get(image.id), "Config", "WorkingDir") or "")
    return profile_of(_looked(image, directory), image.reference, directory, ())


def _with_templates(profile: ImageProfile, found: LookResult, image: Image) -> ImageProfile:
    """Return `profile` with the variables that templates in `image` have a placeholder for."""
    for path in (*found.get("config", ()), *profile.templates):
        text = images.file_in(image.reference, path).decode(errors="replace")
        profile = with_placeholders(profile, text)
    # The image's own choice of these stays.
    preset = _preset(inspected(engine().images.get(image.id), "Config") or {})
    variables = (
        (key, name) for key, name in profile.variables if not (key in CHOICES and name in preset)
    )
    return dataclasses.replace(profile, variables=tuple(variables))


def _preset(settings: Mapping[str, Any]) -> list[str]:
    """Return the names of the variables that an image sets (ENV)."""
    return [str(pair).partition("=")[0] for pair in settings.get("Env") or ()]


def _environments(
    profile: ImageProfile, found: LookResult, image: Image
) -> Iterator[Mapping[str, str]]:
    """Yield what to start `image` with: nothing, then values for all that its templates name."""
    yield {}
    if values := _with_templates(profile, found, image).environment(NOWHERE):
        yield values


def _looked(image: Image, directory: str, started: Sequence[str] = ()) -> LookResult:
    """Run look.sh in `image`, which starts the words of `started`, without its entrypoint."""
    command = ["sh", "-c", SCRIPT, "look", directory or "/", *started]
    try:
        return found_in(images.run_once(image.reference, command, user="root"))
    except UnsupportedEnvironmentError as error:
        raise WrongInputError(
            expected=f"{image.reference} to have a shell to look at it with",
            seen=error.seen,
            next_command=OFFICIAL_BASE,
        ) from error


def _declared(profile: ImageProfile, declared: DeploymentFile) -> ImageProfile:
    """Return `profile` with what deployment.toml says."""
    commands = {
        "archiver": declared.archiver.command,
        "tasks": declared.tasks.command,
        "queue": declared.queue.command,
    }
    said: dict[str, Any] = {name: command for name, command in commands.items() if command}
    said["declared"] = tuple(declared.variables_of_the_image.items())
    if declared.archiver.command:
        said["has_archiver"] = declared.archiver.command != profile.console_archiver
    if declared.web.port:
        said["port"] = declared.web.port
    return dataclasses.replace(profile, **said)


def _require_commands(profile: ImageProfile, image: Image) -> None:
    for command in filter(None, (profile.archiver, profile.tasks, profile.queue)):
        asks = " || ".join(
            f"command -v {shlex.quote(place)}" for place in places_of(command[0], profile)
        )
        found = images.run_once(image.reference, ["sh", "-c", f"{asks} || true"], user="root")
        if not found.strip():
            raise WrongInputError(
                f"the command {command[0]} in {image.reference}, as deployment.toml says",
                "no such program",
                "correct the command, or name the image that the file was written for",
            )


def places_of(program: str, profile: ImageProfile) -> list[str]:
    """Return where a program may be in an image that was not started.

    Args:
        program: its name or path, as deployment.toml says it.
        profile: what the image is: its start may copy the code, with what is in it, to the web
            root, where its commands run.
    """
    path = PurePosixPath(profile.web_root, program)
    if "/" not in program or not path.is_relative_to(profile.web_root):
        return [program]
    return list(dict.fromkeys([str(path), f"{profile.code}/{path.relative_to(profile.web_root)}"]))


# -- the first start ------------------------------------------------------------------------------


def _first_start(
    image: Image,
    profile: ImageProfile,
    exposed: Sequence[int],
    environments: Iterable[Mapping[str, str]],
    known_port: int | None,
) -> FirstStart | None:
    """Start `image` as it is, without a network, and see what it does.

    Args:
        image: the image.
        profile: what is known of it.
        exposed: the ports that it declares.
        environments: variables to start it with; the next ones where it ends with these.
        known_port: its port, where deployment.toml says it.

    Returns:
        None where it waits for its database or ends without, and its port is declared.

    Raises:
        WrongInputError: it does not listen where it is declared to, or lets nobody in there.
        UnsupportedEnvironmentError: it ends, or listens nowhere.
    """
    seen = ""
    for variables in environments:
        with _container(image, profile, variables) as container:
            is_http = profile.web_server != PROCESS_MANAGER
            answers, others = _wait_for_ports(container, exposed, known_port, is_http=is_http)
            if answers.ports:
                processes = _web_processes(container)
                port, redirects = _entrance(container, answers, known_port, image, is_http=is_http)
                return FirstStart(
                    port=port,
                    speaks_tls=port in answers.tls,
                    redirects=redirects,
                    configuration=_live_configuration(container, profile),
                    web_user=web_user_of(processes),
                    web_server=web_server_of(processes),
                )
            seen = f"no HTTP on port {', '.join(map(str, others))}; " if others else ""
            seen += log_end(container)
            if is_alive(container) and (exposed or known_port):
                return None  # it waits for its database
    if exposed or known_port:
        return None  # it may end because it has none
    raise UnsupportedEnvironmentError(
        expected=f"{image.reference} to {'answer HTTP' if is_http else 'listen'} somewhere"
        f" within {START_SECONDS:.0f} s of its start, without its database"
        f" ({LONGEST_WORK:.0f} s while it is at work)",
        seen=seen,
        next_command="say where it listens: port under [web] in deployment.toml, and under"
        " [web.variables] which variables it needs",
    )


@contextmanager
def _container(
    image: Image, profile: ImageProfile, variables: Mapping[str, str]
) -> Iterator[Container]:
    """Start `image` as it is, without a network, and remove the container.

    Raises:
        UnsupportedEnvironmentError: the engine cannot start it.
    """
    # In memory the copy of the code to the web root takes a tenth of its time on disk.
    in_memory = {} if profile.has_web_root_files else {profile.web_root: web_root_options(profile)}
    container = engine().containers.create(
        image.reference,
        network_mode="none",
        tmpfs=in_memory,
        environment=dict(variables),
        labels=reaper.this_process().labels,
        healthcheck={"test": ["NONE"]},
    )
    try:
        container.start()
        yield container
    except DockerException as error:
        raise UnsupportedEnvironmentError(
            expected=f"{image.reference} to start",
            seen=str(error).splitlines()[0][:300],
            next_command=f"docker run --rm {image.reference}",
        ) from error
    finally:
        container.remove(force=True, v=True)


def exposed_ports(settings: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the ports that an image declares (EXPOSE), which nobody need listen on.

    Args:
        settings: its `Config`, as the engine gives it.
    """
    words = (str(name).partition("/") for name in settings.get("ExposedPorts") or ())
    return tuple(sorted(int(port) for port, _, kind in words if kind in ("", "tcp")))


def _wait_for_ports(
    container: Container, exposed: Sequence[int], known: int | None, *, is_http: bool
) -> tuple[Answers, tuple[int, ...]]:
    """Return where the web server answers, and the ports that only something else listens on.

    Something else may answer HTTP first, and often does. It is not taken for Matomo's until each
    declared port answers or the time is over, and never where another port is declared.
    """
    begun, work = time.monotonic(), deque[bool](maxlen=LOOKS)
    declared = (known,) if known else exposed
    ports: tuple[int, ...] = ()
    answers = Answers()
    while _may_take_longer(time.monotonic() - begun, work) and is_alive(container):
        with suppress(APIError):  # it may end in between
            said = execute(container, ["cat", "/proc/net/tcp", "/proc/net/tcp6"], "root").out
            ports = listening(said)
            answers = _answering(container, ports) if is_http else Answers(ports)
            if declared and {*declared} <= {*answers.ports}:
                return answers, ()
            if answers.of_matomo and not known:
                return answers, ()
            work.append(_is_at_work(container))
        time.sleep(0.1)
    is_another = bool(declared) and not {*answers.of_matomo, *declared} & {*answers.ports}
    if is_another or not answers.ports or not is_alive(container):
        return Answers(), ports
    return answers, ()


def _may_take_longer(seconds: float, work: Collection[bool]) -> bool:
    """Whether to wait for a start that has taken so long; `work` is what was seen of it last."""
    return seconds < START_SECONDS or (seconds < LONGEST_WORK and 2 * sum(work) > len(work))


def _is_at_work(container: Container) -> bool:
    """Whether a process of the container is at work now; what is run in it by us is over."""
    rows = container.top(ps_args="-eo pid,stat")["Processes"] or []
    return any(str(row[-1]).startswith(AT_WORK) for row in rows)


def _answering(container: Container, ports: Sequence[int]) -> Answers:
    """Return those of `ports` that answer HTTP."""
    if not ports:
        return Answers()
    # Without the image's own PHP settings, which may forbid it.
    ask = ["php", "-n", "-r", ANSWERS_HTTP, "--", *map(str, ports)]
    said = re.findall(r"\b(tcp|ssl):(\d+):(\d+)", execute(container, ask, "root").out)
    return Answers(
        clear=tuple(int(port) for way, port, _ in said if way == "tcp"),
        tls=tuple(int(port) for way, port, _ in said if way == "ssl"),
        locked=tuple(int(port) for _, port, status in said if int(status) == codes.unauthorized),
        foreign=tuple(int(port) for _, port, status in said if _has_no_file(int(status))),
    )


def _has_no_file(status: int) -> bool:
    return status == int(codes.not_found) or status >= int(codes.server_error)


def _entrance(
    container: Container, answers: Answers, known: int | None, image: Image, *, is_http: bool
) -> tuple[int, bool]:
    """Return the port to come by, and whether it lets in only whom a load balancer has led.

    Where clear text is led to https whoever comes, and the image ends TLS itself, that is the door.

    Raises:
        WrongInputError: nothing answers at the port that is known, or it lets in nobody.
    """
    port = known or answers.likeliest
    if port not in answers.ports:
        raise WrongInputError(
            f"{image.reference} to listen on port {port}, as [web] of deployment.toml says",
            f"it listens on {', '.join(map(str, answers.ports))}",
            "correct the port, or name the image that the file was written for",
        )
    if port in answers.locked:
        raise closed_server("matomo.js", codes.unauthorized)
    if not is_http or port in answers.tls:
        return port, False
    ask = ["php", "-n", "-r", LEADS_TO_HTTPS, "--", str(port)]
    led = execute(container, ask, "root").out.split()
    if led == ["yes", "yes"] and answers.tls and not known:
        return _entrance(container, answers, likeliest(answers.tls), image, is_http=is_http)
    if led == ["yes", "yes"]:
        raise WrongInputError(
            f"{image.reference} to answer a load balancer that has terminated TLS",
            f"its web server leads every request at port {port} to https, also one that says by"
            " X-Forwarded-Proto that it was: round in a circle",
            "ask for the header in the redirect, as in RewriteCond %{HTTP:X-Forwarded-Proto}"
            " !https; or leave the redirect to the load balancer",
        )
    return port, led == ["yes", "no"]


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
            if address != LOOPBACK_HEX:
                found.add(int(port, 16))
    return tuple(sorted(found))


def _live_configuration(container: Container, profile: ImageProfile) -> str | None:
    path = f"{profile.web_root}/config/config.ini.php"
    done = execute(container, ["cat", path], "root")
    return done.out if done.code == 0 else None


def _web_processes(container: Container) -> list[tuple[str, str]]:
    """Return name and user of each process that is part of a web server."""
    said = execute(container, ["sh", "-c", PROCESSES], "root").out
    names = {
        parts[2]: parts[0]
        for line in said.splitlines()
        if len(parts := line.split(":")) >= 7 and re.fullmatch(r"\d+", parts[2])
    }
    return [
        (words[0], names.get(words[1], words[1]))
        for line in said.splitlines()
        if len(words := line.split()) == 2 and words[0].startswith(WEB_PROCESSES)
    ]


def web_user_in(container: Container) -> str:
    """Return the user of Matomo's code in a container whose web server runs; empty if not known."""
    return web_user_of(_web_processes(container))


def web_server_of(processes: Sequence[tuple[str, str]]) -> str:
    """Return the name of the web server that runs; empty where that is not known.

    Args:
        processes: name and user of each; php-fpm beside another is that one's helper.
    """
    names = [name for name, _ in processes if not name.startswith(PROCESS_MANAGER)]
    return names[0] if names else ""


def web_user_of(processes: Sequence[tuple[str, str]]) -> str:
    """Return the user of the web server's workers, or empty; root's are those that start them.

    Args:
        processes: name and user of each; Matomo's code runs in php-fpm where there is one.
    """
    of_php = [user for name, user in processes if name.startswith(PROCESS_MANAGER)]
    # Where php-fpm has no worker yet (pm = ondemand), another one's user is not Matomo's.
    users = of_php or [user for _, user in processes]
    return ([user for user in users if user not in ("root", "0")] or [""])[-1]


def _with_start(
    profile: ImageProfile,
    started: FirstStart | None,
    found: LookResult,
    image: Image,
) -> ImageProfile:
    if started is None:
        return profile
    web_server = profile.web_server
    if web_server != PROCESS_MANAGER:
        web_server = started.web_server or web_server
    web_user = started.web_user or profile.web_user
    profile = dataclasses.replace(
        profile,
        port=started.port,
        web_user=web_user,
        web_server=web_server,
        redirects=started.redirects,
        speaks_tls=started.speaks_tls,
    )
    live = started.configuration
    if live is None:
        return profile
    seeds = [path for path in found.get("config", ()) if path.endswith("config.ini.php")]
    texts = (images.file_in(image.reference, path) for path in seeds)
    is_a_copy = any(text.decode(errors="replace").strip() == live.strip() for text in texts)
    if not is_a_copy:
        profile = dataclasses.replace(profile, configuration="rendered", seed="")
    return with_settings(profile, live)
