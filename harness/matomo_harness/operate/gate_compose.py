"""Run the gate on a throw-away copy of somebody's own Compose project."""

import contextlib
import dataclasses
import json
import os
import secrets
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pymysql
from pymysql.constants import ER

from matomo_harness.errors import (
    BrokenPromiseError,
    HarnessError,
    UnsupportedEnvironmentError,
    WrongInputError,
)
from matomo_harness.gate.catalogue import ALL, read_policy, waivers_of
from matomo_harness.gate.core.check import Check
from matomo_harness.gate.core.target import Http, Permissions, Target
from matomo_harness.matomo import ini, twofactor
from matomo_harness.matomo.api import create_token
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.image import (
    NAMES_OF_ROOT,
    NGINX_PORT,
    OFFICIAL,
    PROCESS_MANAGER,
    ImageProfile,
    likeliest,
)
from matomo_harness.matomo.install import Superuser
from matomo_harness.matomo.look import NoMatomoError
from matomo_harness.matomo.twofactor import Account
from matomo_harness.matomo.web import Web
from matomo_harness.operate.gate import OnResult, named, run_checks
from matomo_harness.operate.gate_image import AT_ONCE
from matomo_harness.policy import Policy, deployment
from matomo_harness.policy.deployment import DeploymentFile, WebTask
from matomo_harness.progress import step
from matomo_harness.runtime import compose_model, compose_project, images
from matomo_harness.runtime.certificates import authority, loopback_tls, speaks_tls
from matomo_harness.runtime.compose_model import DATABASE_PORT, Model, Roles
from matomo_harness.runtime.compose_project import ComposeCopy, of_environment
from matomo_harness.runtime.containers import LOOPBACK, network
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.golden import wait_until_steady
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.inspection import inspected
from matomo_harness.runtime.installation import BOOT, ensure_installed
from matomo_harness.runtime.load_balancer import LoadBalancer
from matomo_harness.runtime.profiles import exposed_ports, look, web_user_in
from matomo_harness.runtime.servers import HTTPS_ONLY
from matomo_harness.runtime.shell import (
    OWN_CONFIG,
    MatomoShell,
    ask_web,
    start_seconds,
    wait_for_answer,
    wait_for_web,
)

POLICY: Final = "policy.toml"
NOBODY_BEHIND: Final = (502, 503, 504)
"""What nginx and Apache answer where nobody takes a request that they hand on."""
FOLDER_OF_A_LINK: Final = """
[ -L "$1" ] && [ ! -e "$1" ] || exit 0
cd "$(dirname "$1")"
target=$(readlink "$(basename "$1")")
mkdir -p "$(dirname "$target")"
cd "$(dirname "$target")" && pwd -P
"""
"""Prints the directory that a link leads to in which nothing is yet, as on a fresh volume."""
SETTINGS: Final = f"""{BOOT}
\\Piwik\\Plugin\\Manager::getInstance()->loadActivatedPlugins();
$config = \\Piwik\\Config::getInstance();
echo "SEEN", json_encode(["database" => $config->database, "General" => $config->General]);
"""
"""Prints what Matomo takes for its settings, whatever they come from."""


def policy_of(files: Sequence[Path], service: str, given: Path | None) -> Path:
    """Return the policy of a project: the one that is given, or the one beside it.

    Args:
        files: its Compose files.
        service: the service that runs Matomo.
        given: what the user named; None where nothing was.

    Raises:
        WrongInputError: there is none. Another image's policy says nothing of this project.
    """
    if given:
        return given
    for path in (files[0].parent / POLICY, Path(POLICY)):
        if path.is_file():
            return path
    raise WrongInputError(
        expected=f"a policy of this project: --policy, or {POLICY} beside {files[0].name}",
        seen="none",
        next_command=f"matomo-harness init {shlex.quote(os.pathsep.join(map(str, files)))}"
        f" --service {service}",
    )


def of_project(
    where: str,
    service: str,
    given_policy: Path | None,
    on_result: OnResult,
    checks: Sequence[Check] = ALL,
) -> dict[str, Any]:
    """Run `checks` on a copy of a Compose project; write the report.

    Args:
        where: its Compose file, or several with a colon between them.
        service: the service that runs Matomo.
        given_policy: what is promised; None for the file beside the project.
        on_result: called with each result as it comes.
        checks: those to run.

    Raises:
        HarnessError: the project cannot be copied or started, or a file holds a mistake.
    """
    files = [Path(name) for name in where.split(os.pathsep) if name]
    model = compose_project.resolved(files)
    reference = compose_model.service(model, service, where)
    compose_model.require_copyable(model, where)
    policy_file = policy_of(files, service, given_policy)
    promised, waivers = read_policy(policy_file), waivers_of(policy_file)
    mounted = compose_model.mounted_configuration(model, service)
    database = compose_model.database_service(model, service, where, mounted)
    compose_project.require_mariadb(str(model["services"][database]["image"]), database)
    image = images.given(str(reference["image"]), f"image of the service {service}")
    with step(f"Looking at {image.reference}"):
        profile = _look(image, model, service, policy_file)
    roles = _roles(model, service, database, profile, where)
    about = {
        "project": f"a copy of {', '.join(file.name for file in files)}, service {service}",
        "image": str(image),
        "image id": image.id,
        "database": str(model["services"][database]["image"]),
        "Matomo": profile.matomo,
        "policy": named(policy_file, promised),
    }
    with (
        ComposeCopy(files, model, roles, image.reference) as copy,
        contextlib.ExitStack() as running,
    ):
        with step("Installing Matomo in the copy"):
            target = _Installer(copy, profile, running).target(promised, about)
        with step("Starting what else is in the project"):
            copy.start_the_rest()
        return run_checks(target, waivers, on_result, checks, at_once=AT_ONCE)


def _look(image: Image, model: Model, service: str, policy_file: Path) -> ImageProfile:
    """Return what the image is, with what the service has otherwise."""
    one = model["services"][service]
    path = deployment.beside(policy_file)
    declared = deployment.read(path) if path else None
    port = compose_model.web_port(model, service)
    try:
        profile = look(image, declared)
        port = compose_model.web_port(model, service, profile.port)
    except NoMatomoError as error:
        if not (source := compose_model.mounted_code(model, service)):
            raise
        raise WrongInputError(
            expected=f"Matomo's code in {image.reference}: the gate judges what is in an image",
            seen=f"none in it; the service {service} mounts its code from {source}",
            next_command=f"copy it into an image of yours (COPY {source.name} {OFFICIAL.web_root})"
            f" that {service} names for the gate, in a second file:"
            " COMPOSE=docker-compose.yml:gate.yml",
        ) from error
    except UnsupportedEnvironmentError:
        if not port or (declared and declared.web.port):
            raise
        # Alone it waits for what the project gives it, which says where it listens.
        known = declared or DeploymentFile()
        web = WebTask(**{**known.web.model_dump(), "port": port})
        profile = look(image, known.model_copy(update={"web": web}))
    user = str(one.get("user") or "").partition(":")[0]
    changes: dict[str, Any] = {"port": port} if port else {}
    if profile.seed == f"{profile.web_root}/{OWN_CONFIG}":
        changes |= {"seed": ""}  # in the copy that is the file that Matomo uses
    if user in NAMES_OF_ROOT:
        changes |= {"user": ""}
    elif user:
        changes |= {"user": user, "web_user": user}
    return dataclasses.replace(profile, **changes)


def _roles(model: Model, service: str, database: str, profile: ImageProfile, where: str) -> Roles:
    web = service
    if profile.web_server == PROCESS_MANAGER:
        web = compose_model.web_of_fpm(model, service, where, profile.web_root)
    # Where it is php-fpm alone, the number of its own port says nothing of the other service's.
    found = profile.port if web == service else None
    port = compose_model.web_port(model, web, found) or found or _unpublished_port(model, web)
    tls_port = compose_model.tls_port(model, web, port)
    configuration = f"{profile.web_root}/{OWN_CONFIG}"
    return Roles(service, database, web, port, tls_port, configuration)


def _unpublished_port(model: Model, web: str) -> int:
    """Return where a web server listens that publishes no port: a proxy comes to it there."""
    said = compose_model.exposed(model, web)
    if not said:
        image = images.given(str(model["services"][web]["image"]), f"image of the service {web}")
        said = list(exposed_ports(inspected(engine().images.get(image.id), "Config") or {}))
    return likeliest(said) if said else NGINX_PORT


class _Installer:
    """Installs Matomo in a started copy.

    Args:
        copy: the copy.
        profile: what Matomo's image is.
        running: what is started besides, until it is closed.
    """

    def __init__(
        self, copy: ComposeCopy, profile: ImageProfile, running: contextlib.ExitStack
    ) -> None:
        self.copy = copy
        self.roles = copy.roles
        self.running = running
        self.shell = MatomoShell(copy.container(self.roles.matomo), profile=profile)
        self.seconds = start_seconds(profile)

    def target(self, policy: Policy, about: Mapping[str, str]) -> Target:
        """Install Matomo, and return it as a target that may be changed."""
        self._wait_for_its_files()
        self._take_its_user()
        if not self.shell.profile.starts_alone:
            self._wait_until_steady()
        modes = self._open()
        own = self._configuration()
        # The installer would take the plugins for installed, and make none of their tables.
        text = ini.without_section(own or ini.HEADER, "PluginsInstalled")
        if text != own:
            self._write(text)
        settings = self._settings()
        database, connection = self._database(settings)
        http, address = self._http(settings)
        for key, value in connection.items():
            text = ini.with_key(text, "database", key, value)
        if not settings["General"].get("salt"):
            text = ini.with_key(text, "General", "salt", secrets.token_hex(16))
        # The project's own host is not this one, by which a login would be refused.
        text = ini.without_key(text, "General", "trusted_hosts[]")
        self._write(ini.with_key(text, "General", "trusted_hosts[]", address))
        for table in database.all_tables():  # of a dump among the database's first scripts
            database.query(f"DROP TABLE IF EXISTS `{table}`")
        superuser = Superuser("admin", secrets.token_urlsafe(12))
        web = http.web
        ensure_installed(self.shell, web, database, superuser)
        account: Account = twofactor.first_login(http.web, superuser.login, superuser.password)
        token = create_token(http.web, account).token
        self._close(modes)
        return Target(
            http=http,
            policy=policy,
            permissions=Permissions(may_hit=True, may_change=True, names_clients=False),
            token=token,
            account=account,
            container=self.shell,
            database=database,
            about=about,
        )

    # -- its files --------------------------------------------------------------------------------

    def _wait_for_its_files(self) -> None:
        """Wait until the start of the image has put Matomo's code and its configuration in place.

        The web server begins to listen at the end of a start.
        """
        is_tls = self._speaks_tls(self.roles.port)
        if self.roles.web != self.roles.matomo:  # nginx answers before php-fpm does
            wait_for_answer(
                self.shell.container,
                "php-fpm",
                lambda: self._ask_php_fpm(is_tls),
                seconds=self.seconds,
            )

        def ask() -> None:
            self.shell.run("test", "-f", "matomo.js", user="root")
            self.shell.run("test", "-d", "config", user="root")

        wait_for_answer(self.shell.container, "Matomo's code", ask)

    def _take_its_user(self) -> None:
        """Work as the user that Matomo's code runs as: the project may have chosen another one.

        Of an image that waits for its database it was not known before, either.
        """
        if user := web_user_in(self.shell.container):
            profile = dataclasses.replace(self.shell.profile, web_user=user)
            self.shell = dataclasses.replace(self.shell, profile=profile)

    def _wait_until_steady(self) -> None:
        """Wait until a start that needs its database is done with it: it may install by itself."""
        # Without a file Matomo's own settings cannot be read; the connection is then the project's.
        settings = self._settings() if self._configuration() else {"database": {}, "General": {}}
        database, _ = self._database(settings)
        is_tls = self._speaks_tls(self.roles.port)
        wait_until_steady(lambda: ask_web(self._web(is_tls)), database)

    def _ask_php_fpm(self, is_tls: bool) -> None:
        """Ask by the web server before it, which knows whether it is reached by port or socket."""
        if (status := self._web(is_tls).ask("matomo.php").status_code) in NOBODY_BEHIND:
            raise ConnectionError(f"the web server before it answers {status}")

    def _web(self, is_tls: bool) -> Web:
        address = f"localhost:{self.copy.port(self.roles.web, self.roles.port)}"
        return Web(f"{'https' if is_tls else 'http'}://{address}", self_signed=is_tls)

    def _configuration(self) -> str:
        path = self.shell.config
        return self.shell.run("sh", "-c", f"cat {path} 2>/dev/null || true", user="root")

    def _write(self, text: str) -> None:
        config, user = self.shell.config, self.shell.profile.web_user
        self.shell.write(config, text, user="root")
        self.shell.run("chown", user, config, user="root")

    def _open(self) -> dict[str, str]:
        """Let Matomo write its config.ini.php; return what to undo, by path.

        A link stands for what it leads to, or for the directory where that will be.
        """
        script = "stat -L -c '%u:%g %a' $1 2>/dev/null || true"
        folder = self.shell.run("sh", "-c", FOLDER_OF_A_LINK, "sh", self.shell.config, user="root")
        paths = ["config", self.shell.config, *folder.split()]
        before = {
            path: self.shell.run("sh", "-c", script, "sh", path, user="root").strip()
            for path in paths
        }
        user = self.shell.profile.web_user
        found: dict[str, str] = {}
        for path, said in before.items():
            test = f"test -w {path} && echo yes || true"
            if said and not self.shell.run("sh", "-c", test).strip():
                found[path] = said
                opens = f"chown {user} {path} && chmod u+rwX {path}"
                self.shell.run("sh", "-c", opens, user="root")
        return found

    def _close(self, modes: Mapping[str, str]) -> None:
        """Take back what was opened; what the project mounts read-only, Matomo cannot write."""
        for path, said in modes.items():
            owner, mode = said.split()
            self.shell.run("sh", "-c", f"chown {owner} {path}; chmod {mode} {path}", user="root")
        for path in self.copy.copy.opened:
            self.shell.run("sh", "-c", f"chown 0 {path}; chmod a-w {path}", user="root")

    def _settings(self) -> dict[str, dict[str, Any]]:
        try:
            said = self.shell.run("php", "-r", SETTINGS)
            found: dict[str, dict[str, Any]] = json.loads(said.partition("SEEN")[2])
        except (BrokenPromiseError, ValueError) as error:
            raise WrongInputError(
                expected=f"Matomo's code to start in the service {self.roles.matomo}",
                seen=error.seen if isinstance(error, HarnessError) else said[:300],
                next_command="php console core:version in it, which says more",
            ) from error
        return {name: found.get(name) or {} for name in ("database", "General")}

    # -- its database -----------------------------------------------------------------------------

    def _database(self, settings: Mapping[str, Any]) -> tuple[Database, dict[str, str]]:
        """Return Matomo's database, and what its config.ini.php has to say of it.

        What Matomo sees already is kept; the rest is what the database was started with.
        """
        server = self.copy.container(self.roles.database)
        matomo = self.copy.container(self.roles.matomo)
        seen = {key: str(value or "") for key, value in settings["database"].items()}
        model = {"services": self.copy.copy.model["services"]}
        names = compose_model.names(model, self.roles.database)
        host = seen.get("host", "").partition(":")[0]
        is_led = host in names
        if host and not is_led and host not in compose_model.THIS_CONTAINER:
            raise WrongInputError(
                expected=f"Matomo's database to be the service {self.roles.database}",
                seen=f"{host}, as Matomo reads its settings",
                next_command="set its host to that service",
            )

        def given(key: str, *of_server: str) -> str:
            own = seen.get(key, "") if is_led else ""
            variable = f"MATOMO_DATABASE_{key.upper()}"
            return own or of_environment(matomo, [variable]) or of_environment(server, of_server)

        user = given("username", "MARIADB_USER", "MYSQL_USER")
        words = ("MARIADB_PASSWORD", "MYSQL_PASSWORD")
        if not user or user == "root":
            user, words = "root", ("MARIADB_ROOT_PASSWORD", "MYSQL_ROOT_PASSWORD")
        connection = {
            "host": host if is_led else self.roles.database,
            "username": user,
            "password": given("password", *words),
            "dbname": given("dbname", "MARIADB_DATABASE", "MYSQL_DATABASE") or "matomo",
            "tables_prefix": seen.get("tables_prefix", "")
            if is_led
            else of_environment(matomo, ["MATOMO_DATABASE_TABLES_PREFIX"]) or "matomo_",
            "schema": "Mariadb",
            "charset": "utf8mb4",
        }
        port = self.copy.port(self.roles.database, DATABASE_PORT)
        database = Database(
            LOOPBACK, port, user, connection["password"], connection["dbname"], tls=None
        )
        reached = database

        def ask() -> None:
            nonlocal reached
            for tls in (None, loopback_tls()):
                reached = dataclasses.replace(database, tls=tls)
                with contextlib.suppress(WrongInputError):
                    _use(reached)
                    return
            _use(reached)

        wait_for_answer(server, "the database", ask)
        written = {key: value for key, value in connection.items() if seen.get(key) != value}
        return reached, written

    # -- its address ------------------------------------------------------------------------------

    def _http(self, settings: Mapping[str, Any]) -> tuple[Http, str]:
        """Return Matomo's address, and the host in it.

        Where it wants https, a load balancer of ours ends that, as a proxy of the institution does.
        """
        general, port = settings["General"], self.roles.port
        is_tls = self._speaks_tls(port)
        wants_https = any(str(general.get(key) or "0") != "0" for key in HTTPS_ONLY)
        if not is_tls:
            address = f"localhost:{self.copy.port(self.roles.web, port)}"
            http = Http(f"http://{address}")
            wait_for_web(http.web, self.copy.container(self.roles.web))
            # Its own web server may want https, and not Matomo, who gives a file to everybody.
            is_led = _leads_to_https(http.web)
            if not (is_led or wants_https):
                return http, address
            # Where it ends TLS as well, that is the door: what leads there may ask for no header.
            if is_led and (tls_port := self.roles.tls_port) and self._ends_tls(tls_port):
                port, is_tls = tls_port, True
        own_network = network()
        own_network.name = self.copy.network_of(self.roles.web)
        balancer = self.running.enter_context(
            LoadBalancer(
                own_network,
                authority().issue("localhost", "127.0.0.1"),
                target=f"{self.roles.web}:{port}",
                target_tls=is_tls,
                alias="matomo-harness-load-balancer",
            )
        )
        http = Http(balancer.url, authority().file, clear_text=balancer.http.url)
        wait_for_web(http.web, self.copy.container(self.roles.web))
        if _leads_to_https(http.web):
            raise WrongInputError(
                expected=f"the web server of the service {self.roles.web} to answer a load balancer"
                " that has ended TLS",
                seen=f"at port {port} it leads every request to https, also one that says by"
                " X-Forwarded-Proto that it was: round in a circle",
                next_command="publish the port where it ends TLS itself under `ports:`, or have the"
                " redirect ask for that header",
            )
        return http, f"localhost:{balancer.published_port}"

    def _ends_tls(self, port: int) -> bool:
        """Return whether something ends TLS at another port of a web server that answers."""
        try:
            return speaks_tls(LOOPBACK, self.copy.port(self.roles.web, port))
        except OSError:  # nobody listens there, or hangs up
            return False

    def _speaks_tls(self, port: int) -> bool:
        """Return whether the web server ends TLS itself, once something answers at its port."""
        answers: list[bool] = []

        def ask() -> None:
            published = self.copy.port(self.roles.web, port)
            answers.append(speaks_tls(LOOPBACK, published))

        container = self.copy.container(self.roles.web)
        wait_for_answer(container, "the web server", ask, seconds=self.seconds)
        return answers[-1]


def _use(database: Database) -> None:
    """Ask a database for something; make its schema where there is none.

    Matomo's wizard does so where it asks for the database (Installation/FormDatabaseSetup.php), a
    step before those that install the copy; many projects leave it to that.
    """
    try:
        database.query("SELECT 1")
    except WrongInputError as error:
        refused = error.__cause__
        if not (isinstance(refused, pymysql.Error) and refused.args[0] == ER.BAD_DB_ERROR):
            raise
        made = f"CREATE DATABASE IF NOT EXISTS `{database.name}` CHARACTER SET utf8mb4"
        dataclasses.replace(database, name="").query(made)


def _leads_to_https(web: Web) -> bool:
    """Return whether the web server leads to https who asks for a file of Matomo's."""
    return str(web.ask("matomo.js").headers.get("Location", "")).startswith("https:")
