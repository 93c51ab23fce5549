"""A copy of a snapshot as a stack of its own, for as long as a test needs it."""

import dataclasses
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from matomo_harness import process
from matomo_harness.errors import WrongInputError
from matomo_harness.matomo import ini
from matomo_harness.operate import clean, local, repro, snapshot, stack_files
from matomo_harness.operate.local import StartedStack
from matomo_harness.operate.stack import LOCAL, Stack
from matomo_harness.operate.stack_image import writable_configuration
from matomo_harness.progress import step
from matomo_harness.runtime.instance import Instance
from matomo_harness.runtime.reaper import PARENT_VARIABLE, Run
from matomo_harness.settings import RunSettings


@contextmanager
def running_copy(
    name: str,
    settings: RunSettings,
    run: Run,
    stack: Stack = LOCAL,
    *,
    stays: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Instance, Stack]]:
    """Start a copy of a snapshot beside everything else, and remove it at the end of the block.

    Args:
        name: the snapshot's name.
        settings: images of the local stack; a reproduction has its own.
        run: the run that the copy goes with, whatever ends it.
        stack: the one that the snapshot is of; it need not be up.
        stays: asked at the end whether the copy is left, for the run's own clean-up.

    Yields:
        the copy's Matomo, and the stack that it is.

    Raises:
        WrongInputError: there is no such snapshot, the images do not fit its data, or its tables
            wait for an update.
        UnsupportedEnvironmentError: there is no room, or a container does not start.
    """
    if stack.name:
        settings = repro.settings_of(repro.find(stack.name), settings)
    copy = Stack(run.file(f"snapshot-{secrets.token_hex(3)}"), stack.name)
    copy.directory.mkdir(mode=0o700, parents=True)
    with goes_with(run):
        try:
            port, http_port = repro.ports_for(copy)
            settings = dataclasses.replace(settings, port=port, http_port=http_port)
            with step(f"Starting a copy of the snapshot {name}"):
                snapshot.fill(name, settings, copy, stack)
                started = local.start(settings, copy, adopts=False)
            yield _instance(started, settings, name), copy
        finally:
            if not stays():
                clean.remove_stack(copy)


@contextmanager
def goes_with(run: Run) -> Iterator[None]:
    """Have Compose label what it makes with the run that it goes with."""
    with process.variable(PARENT_VARIABLE, run.as_parent):
        yield


def take_own_address(started: StartedStack) -> None:
    """Have Matomo trust the copy's address: it remembers that of the first one who logged in."""
    shell = started.shell
    text, host = shell.read(shell.config), urlsplit(started.web.url).netloc
    if ini.read(text).texts("General", "trusted_hosts"):
        with writable_configuration(shell):
            shell.write(shell.config, ini.with_key(text, "General", "trusted_hosts[]", host))


def _instance(started: StartedStack, settings: RunSettings, name: str) -> Instance:
    take_own_address(started)
    copy, opening = started.stack, stack_files.read(started.stack)
    if snapshot.waits_for_update(started, f"the login page of the snapshot {name}"):
        raise WrongInputError(
            expected=f"a snapshot whose tables are those of the image: {name}",
            seen="older ones, so that Matomo shows its updater",
            next_command=f"matomo-harness snapshot restore {name}, update it, and save it anew",
        )
    return Instance(
        url=started.web.url,
        shell=started.shell,
        database=dataclasses.replace(started.database, prefix=opening.tables_prefix),
        account=local.account(copy),
        token=local.token(settings, copy),
        authority=copy.authority_file,
    )
