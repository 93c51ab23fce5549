"""The deployment of a drill: empty at first, closed, and destroyed at the end whatever ends it."""

import dataclasses
import json
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from matomo_harness.gate.promises.plugins.checks import TABLES
from matomo_harness.matomo import ini
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.image import RESTORE
from matomo_harness.operate import (
    clean,
    compose,
    gate_container,
    local,
    production_config,
    repro,
    snapshot_copy,
    stack_files,
)
from matomo_harness.operate.drill.backup_files import BackupFiles, readable
from matomo_harness.operate.local import StartedStack
from matomo_harness.operate.production_files import CONFIG
from matomo_harness.operate.stack import Stack
from matomo_harness.progress import step
from matomo_harness.runtime.installation import BOOT
from matomo_harness.runtime.reaper import Run
from matomo_harness.runtime.shell import MatomoShell
from matomo_harness.settings import RunSettings

PLACE: Final = "/mnt/efs"
"""Where the deployment has the volume of the backups (compose.yml)."""
FROM_ENVIRONMENT: Final = ("database", "mail", "General")
"""Sections that MATOMO_SECTION_KEY of a deployment's environment is about."""


CORE_TABLES: Final = f"""{BOOT}
$names = \\Piwik\\Db\\Schema::getInstance()->getTablesNames();
echo "TABLES", json_encode(array_map("Piwik\\\\Common::unprefixTable", array_values($names)));
"""
"""Prints the tables of Matomo's own code; no plugin is loaded, which would look for some."""
MADE_BY_MONTH: Final = frozenset({"archive_numeric", "archive_blob"})
"""Matomo counts these among its tables: their names go on with the month."""


@contextmanager
def place_of(settings: RunSettings, run: Run) -> Iterator[tuple[Stack, RunSettings]]:
    """Yield a stack that has nothing yet, and its settings; destroy it at the end.

    Args:
        settings: images.
        run: the run that it goes with, whatever ends it.
    """
    stack = Stack(run.file(f"drill-{secrets.token_hex(3)}"), purpose="drill")
    stack.directory.mkdir(mode=0o700, parents=True)
    with snapshot_copy.goes_with(run):
        try:
            port, http_port = repro.ports_for(stack)
            yield stack, dataclasses.replace(settings, port=port, http_port=http_port)
        finally:
            with step("Destroying the deployment"):
                clean.remove_stack(stack)
                # The report of the gate quotes what it has seen.
                shutil.rmtree(stack.root, ignore_errors=True)


def prepare_secrets(stack: Stack, salt: str | None) -> None:
    """Make the secrets of the stack, with the salt of the backup where there is one.

    The superuser of the harness gets a name that no production has.
    """
    known = {"SUPERUSER_LOGIN": stack_files.login_of_nobody()}
    stack_files.write({**known, **({"SALT": salt} if salt else {})}, stack)


def needed_tables(shell: MatomoShell, plugins: Iterable[str]) -> set[str]:
    """Return the tables that Matomo's code and some plugins make, without the prefix.

    Raises:
        BrokenPromiseError: Matomo's code cannot be started.
    """
    _, _, said = shell.run("php", "-r", CORE_TABLES).partition("TABLES")
    of_plugins = {table for name in plugins for table in TABLES.get(name, ())}
    return {*json.loads(said or "[]"), *of_plugins} - MADE_BY_MONTH


def restore(started: StartedStack, files: BackupFiles) -> str:
    """Put the files back, by the image's own program where it has one; return what did it.

    Of config.ini.php only what leads to production's database and mail relay is another, where the
    environment does not say that, the addresses that may log in are left out, and the address of
    this deployment is added.

    Raises:
        BrokenPromiseError: that program fails, or Matomo cannot write what it got back.
    """
    shell = started.shell
    container = compose.running("matomo", started.stack)
    _, matomo = gate_container.entered(shell.name)
    owner = int(shell.run("id", "-u", shell.profile.web_user))
    # A replica of production's is nobody's here, whatever says which database is Matomo's.
    config = ini.without_section(files.config or "", "database_reader")
    for key in allow_lists(files):
        config = ini.without_key(ini.without_key(config, "General", key), "General", f"{key}[]")
    plugins = ini.read(config).texts("Plugins", "Plugins") if files.has_config else ()
    if plugins and production_config.READS_ENVIRONMENT not in plugins:
        config = connected(config, _environment(shell))
    # The image's own program wants a config.ini.php; without one that of the image stays.
    if RESTORE in matomo.profile.programs and files.has_config:
        files.put_into(container, PLACE, owner, config, frozenset())
        parts = [f"{PLACE}/{part}" for part in ("misc", "js")]
        shell.run("mkdir", "-p", *parts, user="root")
        shell.run(RESTORE, PLACE, user="root")
        done_by = RESTORE
    else:
        listed = shell.run("find", "config", "misc", "js", "-type", "f").splitlines()
        code = frozenset(listed) - ({CONFIG} if files.has_config else set())
        files.put_into(container, matomo.profile.web_root, owner, config, code)
        done_by = "a copy of the directories"
    snapshot_copy.take_own_address(started)
    return done_by


def allow_lists(files: BackupFiles) -> tuple[str, ...]:
    """Name the keys of [General] by which production lets only some addresses log in."""
    config = readable(files.config)
    there = config.settings.get("General", {}) if config else {}
    return tuple(key for key in production_config.ALLOW_LISTS if key in there)


def connected(text: str, environment: Mapping[str, str]) -> str:
    """Return a config.ini.php with the database and the mail relay of a deployment.

    Args:
        text: production's.
        environment: of the deployment: MATOMO_DATABASE_HOST and the like.
    """
    for key in list(ini.read(text).settings.get("database", {})):
        if key not in production_config.OF_TABLES:
            text = ini.without_key(ini.without_key(text, "database", key), "database", f"{key}[]")
    text = ini.without_section(text, "mail")
    for section in FROM_ENVIRONMENT:
        beginning = f"MATOMO_{section.upper()}_"
        for name, value in environment.items():
            key = name.removeprefix(beginning).lower()
            is_own_salt = key == "salt" and ini.read(text).text("General", "salt") is not None
            if name.startswith(beginning) and not is_own_salt:
                text = ini.with_key(text, section, key, value)
    return text


def _environment(shell: MatomoShell) -> dict[str, str]:
    lines = shell.run("env", "-0").split("\0")
    return dict(line.split("=", 1) for line in lines if line.startswith("MATOMO_"))


def second_database(database: Database, stack: Stack) -> Database:
    """Return the database of a stack that was started again: its port is another one then."""
    return dataclasses.replace(local.database_of(stack), prefix=database.prefix)
