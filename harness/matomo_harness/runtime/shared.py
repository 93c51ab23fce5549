"""The servers that the tests of a run share: the first process that needs them starts them."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from docker.errors import APIError, NotFound
from filelock import FileLock
from testcontainers.core.network import Network

from matomo_harness.matomo.database import Database
from matomo_harness.matomo.mail import Mailbox
from matomo_harness.progress import step
from matomo_harness.runtime import reaper
from matomo_harness.runtime.certificates import Authority
from matomo_harness.runtime.containers import (
    DATA_DIRECTORY,
    LOOPBACK,
    SCHEMA,
    SMALL_DATABASE,
    HarnessContainer,
    MariaDBContainer,
    WebContainer,
    network,
)
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.fpm import web_container
from matomo_harness.runtime.full_stack import ALL_NAMES, FullStack, behind_tls
from matomo_harness.runtime.golden import Golden
from matomo_harness.runtime.load_balancer import LoadBalancer
from matomo_harness.runtime.mail import MailContainer
from matomo_harness.runtime.reaper import Run
from matomo_harness.runtime.servers import Servers
from matomo_harness.runtime.shell import is_alive

LOG_BY_HOST: Final = (
    "-c",
    'ErrorLogFormat "[%{Host}i] [%l] %M"',
    "-c",
    r'LogFormat "[%{Host}i] %h %t \"%r\" %>s %b" combined',
)
"""Names the instance in each line of the log of a web server that many instances share."""

FEW_PROCESSES: Final = (
    *("-c", "StartServers 2"),
    *("-c", "MinSpareServers 1"),
    *("-c", "MaxSpareServers 4"),
)
DATABASE_MEMORY: Final = "1g"
"""Size limit of the data of all instances together; an instance takes 4 MiB."""


@dataclass(frozen=True)
class _ServerAddresses:
    """Where the servers are, for every process of the run.

    Args:
        web: id of the web container.
        database: id of the database's container.
        others: ids of the containers around them.
        port: the port by which instances are reached.
        database_port: the database's port.
        authority: file of the authority that signed the load balancer's certificate.
        mailbox: address of the page that shows the mails that the relay received.
    """

    web: str
    database: str
    others: list[str]
    port: int
    database_port: int
    authority: str | None = None
    mailbox: str | None = None


def shared_servers(golden: Golden, run: Run, *, memory: str = DATABASE_MEMORY) -> Servers:
    """Return the run's servers that make instances of `golden`; start them if they do not run.

    Args:
        golden: the state that the instances start with.
        run: the run that they end with; they outlive this process.
        memory: size limit of the database's files, as the engine writes sizes.

    Raises:
        UnsupportedEnvironmentError: one of the two does not start.
    """
    return _once(golden, run, "servers", lambda: _start(golden, run, memory))


def shared_servers_by_tls(golden: Golden, run: Run) -> Servers:
    """Return the run's servers behind a load balancer that ends TLS, with a mail relay.

    Args:
        golden: the state that the instances start with.
        run: the run that they end with; they outlive this process.

    Raises:
        UnsupportedEnvironmentError: one of them does not start.
    """
    return _once(golden, run, "servers-by-tls", lambda: _start_by_tls(golden, run))


def shared_full_stack(golden: Golden, run: Run, purpose: str) -> FullStack:
    """Return the run's one full stack for a purpose; the first use starts it.

    Args:
        golden: the images that it starts from.
        run: the run that it ends with; it outlives this process.
        purpose: what it is shared for; part of a file's name.

    Raises:
        UnsupportedEnvironmentError: one of its containers does not start.
    """
    name = f"{purpose}-{golden.web.digest}"
    with FileLock(run.file(f"{name}.lock")):
        state = run.file(f"{name}.json")
        with suppress(FileNotFoundError, NotFound):
            return FullStack.attach(golden, run, json.loads(state.read_text()))
        reaper.watch_once(run)
        with step(f"Starting the full stack that is shared for: {purpose}"):
            stack = FullStack(golden, run=run, is_changed=False).__enter__()
        stack.keep()
        state.touch(mode=0o600)
        state.write_text(json.dumps(stack.whereabouts))
    return stack


def _once(golden: Golden, run: Run, kind: str, start: Callable[[], _ServerAddresses]) -> Servers:
    name = f"{kind}-{golden.web.digest}"
    with FileLock(run.file(f"{name}.lock")):
        state = run.file(f"{name}.json")
        if state.exists():
            found = _ServerAddresses(**json.loads(state.read_text()))
            if servers := _attach(golden, found):
                return servers
        started = start()
        state.touch(mode=0o600)
        state.write_text(json.dumps(asdict(started)))
        servers = _attach(golden, started)
    assert servers is not None  # noqa: S101  they answered a moment ago
    return servers


def _start(golden: Golden, run: Run, memory: str) -> _ServerAddresses:
    reaper.watch_once(run)
    with step("Starting the web server and the database that tests share"):
        own_network = network(run).create()
        mariadb = _database(golden, run, own_network, memory)
        matomo = _web(golden, run, own_network, mariadb)
        _enter(own_network, mariadb, matomo)
    return _ServerAddresses(
        _id(matomo), _id(mariadb), [], matomo.published_port, mariadb.published_port
    )


def _start_by_tls(golden: Golden, run: Run) -> _ServerAddresses:
    reaper.watch_once(run)
    with step("Starting the servers that tests share, behind a load balancer"):
        own_network = network(run).create()
        # It belongs to the run and not to this process: others check certificates by its file.
        signer = Authority(run.file(f"authority-{golden.web.digest}.pem"))
        certificate = signer.issue(*ALL_NAMES)
        mail = MailContainer(own_network, certificate=certificate, run=run)
        profile = golden.installed.profile
        balancer = LoadBalancer(
            own_network,
            certificate,
            target=f"matomo:{profile.http_port}",
            target_tls=profile.speaks_tls,
            run=run,
        )
        mariadb = _database(golden, run, own_network, DATABASE_MEMORY)
        environment = {**mail.environment, **behind_tls()}
        matomo = _web(golden, run, own_network, mariadb, environment, authority=signer.file)
        _enter(own_network, mariadb, mail, matomo, balancer)
    return _ServerAddresses(
        _id(matomo),
        _id(mariadb),
        [_id(balancer), _id(mail)],
        balancer.published_port,
        mariadb.published_port,
        str(signer.file),
        mail.mailbox.url,
    )


def _database(golden: Golden, run: Run, own_network: Network, memory: str) -> MariaDBContainer:
    mariadb = MariaDBContainer(
        golden.database.reference,
        own_network,
        passwords=golden.installed.passwords,
        run=run,
        arguments=SMALL_DATABASE,
    )
    mariadb.with_tmpfs_mount(DATA_DIRECTORY, f"size={memory}")
    return mariadb


def _web(
    golden: Golden,
    run: Run,
    own_network: Network,
    mariadb: MariaDBContainer,
    environment: Mapping[str, str] = MappingProxyType({}),
    *,
    authority: Path | None = None,
) -> WebContainer:
    return web_container(
        golden.web.reference,
        own_network,
        # The name of a schema would apply to every instance, so there is none.
        {**mariadb.server_environment(), **golden.environment, **environment},
        run=run,
        profile=golden.installed.profile,
        arguments=(*LOG_BY_HOST, *FEW_PROCESSES),
        authority=authority,
    )


def _enter(own_network: Network, *containers: HarnessContainer) -> None:
    """Start the containers and leave them to the run, which may outlive this process.

    Where one does not start, all are removed: each test would try again, and leave as many.
    """
    try:
        with ThreadPoolExecutor() as side_by_side:
            list(side_by_side.map(lambda container: container.__enter__(), containers))
    except BaseException:
        for container in containers:
            with suppress(APIError):
                container.stop()
        with suppress(APIError):
            own_network.remove()
        raise


def _id(container: HarnessContainer) -> str:
    return str(container.get_wrapped_container().id)


def _attach(golden: Golden, started: _ServerAddresses) -> Servers | None:
    """Return the servers; None where one is gone, for example after the engine restarted."""
    try:
        ids = (started.web, started.database, *started.others)
        web, database, *others = (engine().containers.get(container_id) for container_id in ids)
    except NotFound:
        return None
    if not all(is_alive(container) for container in (web, database, *others)):
        return None
    root = golden.installed.passwords.root
    template = Database(LOOPBACK, started.database_port, "root", root, SCHEMA)
    return Servers(
        web,
        started.port,
        database,
        template,
        golden.installed,
        authority=Path(started.authority) if started.authority else None,
        mailbox=Mailbox(started.mailbox) if started.mailbox else None,
    )
