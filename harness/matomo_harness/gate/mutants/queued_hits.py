"""A real plugin that puts hits into a table (QueuedHits/), for mutants and controls."""

import dataclasses
from pathlib import Path
from typing import Final

from matomo_harness.gate.core.target import Target
from matomo_harness.gate.mutants import Change, Deployment
from matomo_harness.gate.mutants.changes import image_file, in_web, sql, with_key
from matomo_harness.gate.promises.plugins.checks import Plugins

PLUGIN: Final = Path(__file__).with_name("QueuedHits")
NAME: Final = PLUGIN.name
COMMAND: Final = ("php", "console", "queuedhits:process")
HANDLER: Final = "Tracker/Handler.php"
PROCESS: Final = "Commands/Process.php"
TABLE: Final = (
    "CREATE TABLE {prefix}queued_hits (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY,"
    " state LONGTEXT NOT NULL, done TINYINT NOT NULL DEFAULT 0)"
)
COPIED: Final = "$state = $requestSet->getState();"
MASKED: Final = (
    COPIED
    + r"""
        array_walk_recursive($state, function (&$value) {
            if (is_string($value) && filter_var($value, FILTER_VALIDATE_IP)) {
                $mask = '\Piwik\Plugins\PrivacyManager\IPAnonymizer::applyIPMask';
                $value = $mask(\Matomo\Network\IP::fromStringIP($value), 2)->toString();
            }
        });"""
)
"""The handler masks addresses, those of headers too, before anything is stored."""
REMOVED: Final = '"DELETE FROM $table WHERE id = ?"'
MARKED: Final = '"UPDATE $table SET done = 1 WHERE id = ?"'


def queue(
    *edits: tuple[str, str, str], command: tuple[str, ...] = COMMAND, name: str = NAME
) -> Change:
    """Install the plugin, allow it in the policy, and declare its command.

    Args:
        edits: a file of the plugin, what is replaced in it and by what.
        command: as `[queue]` of deployment.toml declares it; empty where nothing does.
        name: what the plugin is called.
    """

    def change(deployment: Deployment) -> None:
        shell = deployment.instance.shell
        for source in sorted(path for path in PLUGIN.rglob("*") if path.is_file()):
            part = str(source.relative_to(PLUGIN))
            text = source.read_text()
            for path, old, new in edits:
                if path == part and old not in text:
                    raise LookupError(f"no {old!r} in {part}")
                text = text.replace(old, new) if path == part else text
            text, part = (each.replace(NAME, name) for each in (text, part))
            text = text.replace(NAME.lower(), name.lower())
            for plugins in ("plugins", "/usr/src/matomo/plugins"):
                path = f"{plugins}/{name}/{part}"
                in_web(f"mkdir -p {path.rpartition('/')[0]}")(deployment)
                shell.write(path, text, user="root")
        sql(TABLE)(deployment)
        image_file(with_key("Plugins", "Plugins[]", name))(deployment)
        shell.console("core:clear-caches")
        _allow(deployment, name)
        deployment.altered = lambda target: _declared(target, deployment, command)

    return change


def _allow(deployment: Deployment, name: str) -> None:
    plugins = deployment.policy.section(Plugins)
    allowed = {
        "active": (*plugins.active, name) if plugins.active is not None else None,
        "may_decide": (*(plugins.may_decide or ()), name),
    }
    deployment.policy = deployment.policy.with_section(plugins.model_copy(update=allowed))


def _declared(target: Target, deployment: Deployment, command: tuple[str, ...]) -> Target:
    shell = deployment.instance.shell
    profile = dataclasses.replace(shell.profile, queue=command)
    return dataclasses.replace(target, container=dataclasses.replace(shell, profile=profile))
