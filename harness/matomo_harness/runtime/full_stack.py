"""The full stack, shaped like production, on one machine; docs/production-shape.md maps its parts.

A browser reaches the load balancer by TLS, and the load balancer reaches Matomo by plain HTTP.
Matomo reaches its database by TLS and the mail relay with STARTTLS and a password. config/, misc/
and js/ are on EFS; an archiver is a second container. Matomo starts installed, from golden images.
"""

import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from testcontainers.core.network import Network

from matomo_harness.errors import WrongInputError
from matomo_harness.matomo import ini
from matomo_harness.matomo.api import Api
from matomo_harness.matomo.container import ADDED
from matomo_harness.matomo.web import Web
from matomo_harness.runtime import archiver, description, images
from matomo_harness.runtime.archiver import ArchiverResult
from matomo_harness.runtime.certificates import Authority, KnownAuthority, authority
from matomo_harness.runtime.containers import (
    DATABASE_USER,
    SMALL_DATABASE,
    EmulatedService,
    HarnessContainer,
    MariaDBContainer,
    WebContainer,
    network,
)
from matomo_harness.runtime.efs import Efs
from matomo_harness.runtime.fpm import web_container
from matomo_harness.runtime.golden import Golden, as_matomo_sees
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.instance import Instance
from matomo_harness.runtime.load_balancer import LoadBalancer
from matomo_harness.runtime.mail import MailContainer
from matomo_harness.runtime.reaper import Run, this_process
from matomo_harness.runtime.shell import wait_for_web

SALT: Final = "MATOMO_GENERAL_SALT"
SALT_SETTING: Final = ("General", "salt")
"""The salt is that of the installation in the golden images, not that of the description."""
ADDRESSES: Final = (
    "noreply_email_address",
    "login_password_recovery_replyto_email_address",
)
"""Matomo makes them of the host otherwise, which has a port here and is no address then."""
WITH_CODE: Final = ("db", "mail", "efs", "matomo", "archiver", "load-balancer")
"""Services with code of their own; the file system is efs.py. All others are EmulatedServices."""
PHP_AS_IN_THE_IMAGE: Final = {"HARNESS_PHP": "as-in-the-image"}
"""Makes the web server run without the settings of golden_image/php.ini (start-matomo)."""
ALL_NAMES: Final = description.read({}).certificate_names
"""Names in the one certificate that all servers here have."""


def behind_tls() -> dict[str, str]:
    """Return the variables of a Matomo that sends mail, behind a load balancer that ends TLS."""
    variables = description.read({}).services["matomo"].variables("MATOMO_GENERAL_")
    return {name: value for name, value in variables.items() if name != SALT}


class FullStack:
    """An installed Matomo with all services around it; a context manager.

    Args:
        golden: the images to start from.
        image: image of the web container; by default the golden one, which starts installed and
            warm. A deployed one starts as on its first day, with what is on `efs`.
        environment: MATOMO_* variables; they win over the harness's. One that is None is not set.
        efs: volumes to mount on config, misc and js; by default these end with the web container.
        database_memory: size limit of the database's data, in bytes.
        run: the run that owns the containers; this process's own by default.
        is_changed: whether a fault or a mutant changes it while it runs. If not, as under the gate,
            the web task gets all of the processor, and PHP checks its files for changes as seldom
            as in the image.
    """

    def __init__(
        self,
        golden: Golden,
        *,
        image: Image | None = None,
        environment: Mapping[str, str | None] = MappingProxyType({}),
        efs: Efs | None = None,
        database_memory: int | None = None,
        run: Run | None = None,
        is_changed: bool = True,
    ) -> None:
        self._golden = golden
        self._run = run or this_process()
        self._is_changed = is_changed
        self._image = image or golden.web
        self._environment = environment
        self._efs = efs
        self._signer: Authority | KnownAuthority = authority(self._run)
        self._database_memory = database_memory
        self._running = ExitStack()

    def __enter__(self) -> Self:
        """Start everything, side by side."""
        with self._running as running:
            self._describe(running.enter_context(network(self._run)))
            # The attribute is read at the end, when it may be another container.
            running.callback(lambda: self.matomo.stop())
            with ThreadPoolExecutor() as side_by_side:
                task = side_by_side.submit(self.matomo.start)
                services = (self.mariadb, self.mail, self.load_balancer, *self.others.values())
                list(side_by_side.map(running.enter_context, services))
                task.result()
            self.wait_for_a_target()
            self._configure()
            self._running = running.pop_all()
        return self

    def _describe(self, own_network: Network) -> None:
        """Set up the containers without starting any."""
        certificate = self._signer.issue(*ALL_NAMES)
        self.network = own_network
        self.mariadb = MariaDBContainer(
            self._golden.database.reference,
            self.network,
            passwords=self._golden.installed.passwords,
            run=self._run,
            arguments=SMALL_DATABASE,
            certificate=certificate,
            # A config.ini.php that the installer filled asks for no encryption.
            requires_tls=self._golden.reads_variables,
            memory=self._database_memory,
        )
        self.mail = MailContainer(
            self.network, certificate=certificate, run=self._run, page_on_demand=True
        )
        profile = self._golden.installed.profile
        self.load_balancer = LoadBalancer(
            self.network,
            certificate,
            target=f"matomo:{profile.http_port}",
            target_tls=profile.speaks_tls,
            run=self._run,
        )
        self.others = {
            service.name: EmulatedService(
                service,
                images.service_image(folder).reference,
                self.network,
                certificate=certificate,
                run=self._run,
            )
            for service in description.read({}).services.values()
            if service.name not in WITH_CODE
            and not service.profiles
            and (folder := description.emulated(service))
        }
        self.matomo = self.task()

    def _configure(self) -> None:
        """Write into config.ini.php what Matomo neither reads elsewhere nor can write itself."""
        shell = self.matomo.shell
        is_rendered = self._golden.installed.profile.configuration == "rendered"
        if is_rendered:
            self._require_connection()
        before = text = shell.run("cat", shell.config, user="root")
        may_write = shell.run("sh", "-c", f"[ ! -w {shell.config} ] || echo yes")
        trusted = ini.read(text).texts("General", "trusted_hosts")
        is_of_the_start = is_rendered or not self._golden.reads_variables
        if not self._golden.reads_variables:
            text = self._with_mail(text)
            self._say_what_is_added(text)
        # To the first superuser's request Matomo notes the host where it knows none, or answers
        # with an error. A start may write anew those of production.
        if (is_of_the_start and trusted) or (not may_write and not trusted):
            host = urlsplit(self.load_balancer.url).netloc
            text = ini.with_key(text, "General", "trusted_hosts[]", host)
        if text != before:
            shell.write(shell.config, text, user="root")

    def _require_connection(self) -> None:
        """Require that what the image's start wrote leads Matomo to the database of this stack.

        Raises:
            WrongInputError: it does not: the start takes it from variables that nobody named.
        """
        expected = {
            ("database", "host"): self.mariadb.alias,
            ("database", "username"): DATABASE_USER,
            ("database", "password"): self.mariadb.passwords.matomo,
            SALT_SETTING: self.salt,
        }
        seen = as_matomo_sees(self.matomo.shell)
        other = [key for key, value in expected.items() if seen.get(key) != value]
        if not other:
            return
        if other == [SALT_SETTING]:
            raise WrongInputError(
                expected="the image's start to write the same salt into config.ini.php each time",
                seen="another one than Matomo was installed with: with each start of a container"
                " every API token and every session is lost",
                next_command="have the start take the salt from a variable, which deployment.toml"
                ' names under [web.variables]: NAME = "${MATOMO_GENERAL_SALT}"; or have it write'
                " the file only where there is none",
            )
        keys = ", ".join(f"[{section}] {name}" for section, name in other)
        values = (f"${{MATOMO_{section}_{name}}}".upper() for section, name in other)
        said = ", ".join(f'NAME = "{value}"' for value in values)
        raise WrongInputError(
            expected="the image's start to write config.ini.php by its variables, and the same"
            " at each start",
            seen=f"{keys}: neither what the harness's variables say nor what it was installed with",
            next_command="name the variables that the start reads under [web.variables] in"
            f" deployment.toml: {said}",
        )

    def _with_mail(self, text: str) -> str:
        """Return the text of a config.ini.php with the mail relay, and addresses of its own."""
        for variable, value in self.mail.environment.items():
            key = variable.removeprefix("MATOMO_MAIL_").lower()
            text = ini.with_key(text, "mail", key, value)
        described = description.read({}).services["matomo"].environment
        for key in ADDRESSES:
            if ini.read(text).text("General", key) is None:
                value = described[f"MATOMO_GENERAL_{key.upper()}"]
                text = ini.with_key(text, "General", key, value)
        return text

    def _say_what_is_added(self, text: str) -> None:
        """Note the addresses of `text` where a check looks for what is the harness's own."""
        shell = self.matomo.shell
        added = shell.run("cat", ADDED, user="root")
        for key in ADDRESSES:
            value = ini.read(text).text("General", key) or ""
            added = ini.with_key(added, "General", key, value)
        shell.run("sh", "-c", 'printf "%s" "$1" > "$2"', "sh", added, ADDED, user="root")

    # -- one full stack for several processes ------------------------------------------------------

    @property
    def whereabouts(self) -> dict[str, str]:
        """What another process of the run needs to `attach`, including a password."""
        return {
            "network": str(self.network.name),
            "authority": str(self._signer.file),
            "mail password": self.mail.password,
            **{
                name: str(service.get_wrapped_container().id)
                for name, service in self._services.items()
            },
        }

    @property
    def _services(self) -> dict[str, HarnessContainer]:
        return {
            "matomo": self.matomo,
            "mariadb": self.mariadb,
            "mail": self.mail,
            "load balancer": self.load_balancer,
            **self.others,
        }

    @classmethod
    def attach(cls, golden: Golden, run: Run, whereabouts: Mapping[str, str]) -> Self:
        """Return the full stack that another process of `run` started.

        Args:
            golden: the images that it was started from.
            run: the run that owns the containers.
            whereabouts: where the other process's full stack is.

        Raises:
            NotFound: one of its containers is gone.
        """
        attached = cls(golden, run=run)
        attached._signer = KnownAuthority(Path(whereabouts["authority"]))
        own_network = network(run)
        own_network.name = whereabouts["network"]
        attached._describe(own_network)
        attached.mail.password = whereabouts["mail password"]
        for name, container in attached._services.items():
            container.attach(whereabouts[name])
        return attached

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove everything."""
        self._running.close()

    def keep(self) -> None:
        """Keep everything when the context ends."""
        self._running.pop_all()

    def task(
        self,
        environment: Mapping[str, str | None] = MappingProxyType({}),
        *,
        image: Image | None = None,
    ) -> WebContainer:
        """Return another web container of this full stack, not started.

        Args:
            environment: variables that differ from the first one's; one that is None is not set.
            image: an image of another version than the first one's.
        """
        variables: dict[str, str | None] = {
            **self.mariadb.matomo_environment(),
            **self.mail.environment,
            **self._golden.environment,
            **behind_tls(),
            **({} if self._is_changed else PHP_AS_IN_THE_IMAGE),
            **self._environment,
            **environment,
        }
        limits = self._golden.deployment.web.limits if self._is_changed else {}
        options = {**limits, "mounts": self._efs.mounts() if self._efs else []}
        return web_container(
            (image or self._image).reference,
            self.network,
            {name: value for name, value in variables.items() if value is not None},
            run=self._run,
            profile=self._golden.installed.profile,
            authority=self._signer.file,
            options=options,
        ).with_chosen({**self._environment, **environment})

    def replace_task(
        self,
        environment: Mapping[str, str | None] = MappingProxyType({}),
        *,
        image: Image | None = None,
    ) -> None:
        """Kill the web container, as a failing host does, and start another one; see `task`."""
        self.matomo.stop()
        self.matomo = self.task(environment, image=image)
        self.matomo.start()
        self.wait_for_a_target()

    def wait_for_a_target(self) -> None:
        """Wait until the load balancer forwards requests to its target.

        Raises:
            UnsupportedEnvironmentError: the load balancer still answers in the target's place.
        """
        wait_for_web(self.load_balancer.web, self.matomo.get_wrapped_container())

    def archive(self, *options: str) -> ArchiverResult:
        """Run the scheduled task once, to its end; `options` are those of core:archive.

        Where Matomo's own tasks are a job apart, that runs after it.
        """
        web = self.matomo.get_wrapped_container()
        limits = self._golden.deployment.archiver.limits
        archives, *tasks = archiver.jobs(self._golden.installed.profile, limits)
        ended = archiver.archive(web, self._run.labels, *options, job=archives)
        for job in tasks:
            after = archiver.archive(web, self._run.labels, job=job)
            code, log = ended.exit_code or after.exit_code, ended.log + after.log
            ended = ArchiverResult(code, log, ended.seconds + after.seconds)
        return ended

    @property
    def salt(self) -> str:
        """The salt of the installation."""
        return self._golden.salt

    # -- made anew each time, as a container has other ports after a restart -----------------------

    @property
    def instance(self) -> Instance:
        """The Matomo, with HTTP through the load balancer."""
        return Instance(
            url=self.load_balancer.url,
            shell=self.matomo.shell,
            database=self.mariadb.database,
            account=self._golden.installed.account,
            token=self._golden.installed.token,
            authority=self._signer.file,
        )

    @property
    def web(self) -> Web:
        """An alias of `instance.web`, for one release."""
        _warn("web")
        return self.instance.web

    @property
    def api(self) -> Api:
        """An alias of `instance.api`, for one release."""
        _warn("api")
        return self.instance.api


def _warn(name: str) -> None:
    message = f"FullStack.{name} is FullStack.instance.{name} now, and ends with this release"
    warnings.warn(message, DeprecationWarning, stacklevel=3)
