"""A plugin that is listed as installed, and of which tables were never made, is installed again.

Matomo installs a plugin once: where [PluginsInstalled] of config.ini.php names it, as after a
restore of a file without its database, its tables are never made, and core:update fails.
"""

from dataclasses import dataclass

from matomo_harness.errors import BrokenPromiseError, WrongInputError
from matomo_harness.gate.core.target import Http
from matomo_harness.gate.probes.php import Php
from matomo_harness.gate.promises.plugins.checks import TABLES
from matomo_harness.matomo import ini
from matomo_harness.matomo.web import Web
from matomo_harness.operate import compose, local, snapshot, stack_image
from matomo_harness.progress import step
from matomo_harness.runtime.shell import MatomoShell


@dataclass(frozen=True)
class Repair:
    """What a repair found and did.

    Args:
        plugin: its name.
        lacked: tables and columns that were not there.
        knows_tables: whether it is known which tables the plugin needs; else columns alone are.
    """

    plugin: str
    lacked: tuple[str, ...]
    knows_tables: bool


def repair(name: str, reproduction: str = "") -> Repair:
    """Install an active plugin again, if something of it is not there; its rows stay.

    Args:
        name: of the plugin.
        reproduction: whose; the local stack's where empty.

    Raises:
        WrongInputError: the stack is not up, or the plugin is not active.
        BrokenPromiseError: something is still lacking.
    """
    stack = snapshot.stack_of(reproduction)
    shell = stack_image.shell_of(stack)
    port = compose.port("load-balancer", local.HTTPS, stack)
    web = Web(f"https://localhost:{port}", authority=stack.authority_file)
    lacked = _lacking(name, shell, web)
    found = Repair(name, tuple(lacked), name in TABLES)
    if not lacked:
        return found
    with step(f"Having Matomo install {name} again"):
        text = shell.read(shell.config)
        listed = [
            entry
            for entry in ini.read(text).of("PluginsInstalled", "PluginsInstalled")
            if entry.text == name
        ]
        with stack_image.writable_configuration(shell):
            shell.write(shell.config, ini.without(text, listed))
            # The next request installs what is in [Plugins] and not in [PluginsInstalled].
            web.get()
    if still := _lacking(name, shell, web):
        raise BrokenPromiseError(
            expected=f"{name} to have its tables and columns",
            seen=f"still without {', '.join(still)}",
            next_command=f"docker logs {shell.name}",
        )
    return found


def _lacking(name: str, shell: MatomoShell, web: Web) -> list[str]:
    """Return the tables and columns of a plugin that are not there.

    Raises:
        WrongInputError: it is not active.
    """
    facts = Php(shell, Http(web.url, web.authority)).facts
    if name not in facts["activated"]:
        raise WrongInputError(
            expected=f"an active plugin: {', '.join(sorted(facts['activated']))}",
            seen=name,
            next_command=f'make console CMD="plugin:activate {name}"',
        )
    tables = [table for table in TABLES.get(name, ()) if table not in facts["tables"]]
    of_plugin = f"Piwik\\Plugins\\{name}\\"
    columns = [
        str(column).partition(" of ")[0]
        for column in facts["no_columns"]
        if str(column).partition(" of ")[2].startswith(of_plugin)
    ]
    return [*tables, *columns]
