"""The one pair of servers of a run: whichever of its processes needs it first starts it."""

import json
from typing import Any, Final

from docker.errors import NotFound
from filelock import FileLock

from harness.matomo.database import Database
from harness.progress import step
from harness.stack import reaper
from harness.stack.containers import (
    DATA_DIRECTORY,
    LOOPBACK,
    SCHEMA,
    SMALL_DATABASE,
    MariaDBContainer,
    MatomoContainer,
    network,
)
from harness.stack.engine import engine
from harness.stack.golden import Golden
from harness.stack.reaper import Run
from harness.stack.servers import Servers
from harness.stack.shell import is_alive

LOG_BY_HOST: Final = (
    "-c",
    'ErrorLogFormat "[%{Host}i] [%l] %M"',
    "-c",
    r'LogFormat "[%{Host}i] %h %t \"%r\" %>s %b" combined',
)
"""Whose line it is, in the log of a web server that many instances share."""

FEW_PROCESSES: Final = (
    *("-c", "StartServers 2"),
    *("-c", "MinSpareServers 1"),
    *("-c", "MaxSpareServers 4"),
)
DATABASE_MEMORY: Final = "1g"
"""Upper bound of all instances' data together; an instance takes 4 MiB."""


def shared_servers(golden: Golden, run: Run, *, memory: str = DATABASE_MEMORY) -> Servers:
    """Return the run's servers that make instances of `golden`, started if they do not run.

    Args:
        golden: what the instances begin with.
        run: they end with it, not with this process.
        memory: of the database's files, as the engine writes sizes.

    Raises:
        MachineCannotError: one of the two does not come up.
    """
    name = f"servers-{golden.web.digest}"
    with FileLock(run.file(f"{name}.lock")):
        state = run.file(f"{name}.json")
        if state.exists() and (servers := _attach(golden, json.loads(state.read_text()))):
            return servers
        started = _start(golden, run, memory)
        state.touch(mode=0o600)
        state.write_text(json.dumps(started))
        servers = _attach(golden, started)
    assert servers is not None  # noqa: S101  they answered a moment ago
    return servers


def _start(golden: Golden, run: Run, memory: str) -> dict[str, Any]:
    reaper.watch_once(run)
    with step("Starting the web server and the database that tests share"):
        own_network = network(run).create()
        mariadb = MariaDBContainer(
            golden.database.reference,
            own_network,
            passwords=golden.installed.passwords,
            run=run,
            arguments=SMALL_DATABASE,
        )
        mariadb.with_tmpfs_mount(DATA_DIRECTORY, f"size={memory}")
        # The image's health check asks for a Matomo that is not there: instances have other hosts.
        options = {"healthcheck": {"test": ["NONE"]}}
        # No name of a schema: it would hold for every instance.
        environment = {**mariadb.server_environment(), **golden.environment}
        matomo = MatomoContainer(
            golden.web.reference,
            own_network,
            environment,
            run=run,
            arguments=(*LOG_BY_HOST, *FEW_PROCESSES),
            options=options,
        )
        # Started, and left to the run: this process may end before it.
        mariadb.__enter__()
        matomo.__enter__()
    return {
        "web": matomo.get_wrapped_container().id,
        "web_port": matomo.published_port,
        "database": mariadb.get_wrapped_container().id,
        "database_port": mariadb.published_port,
    }


def _attach(golden: Golden, state: dict[str, Any]) -> Servers | None:
    """Return the servers of `state`; None where they have gone, with an engine for instance."""
    try:
        web, database = (engine().containers.get(state[it]) for it in ("web", "database"))
    except NotFound:
        return None
    if not (is_alive(web) and is_alive(database)):
        return None
    root = golden.installed.passwords.root
    template = Database(LOOPBACK, state["database_port"], "root", root, SCHEMA)
    return Servers(web, state["web_port"], database, template, golden.installed)
