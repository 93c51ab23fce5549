"""An upgrade of Matomo, rehearsed on a copy: what it changes, what it costs, and the way back."""

import dataclasses
import os
from pathlib import Path
from typing import Any, Final

from matomo_harness.errors import BrokenPromiseError, WrongInputError, one_of
from matomo_harness.gate.catalogue import read_policy, waivers_of
from matomo_harness.gate.promises import NAMES
from matomo_harness.matomo import database_versions
from matomo_harness.operate import gate, stack_image
from matomo_harness.operate.gate_image import policy_for
from matomo_harness.operate.rehearsal import copies, rehearse, report
from matomo_harness.operate.rehearsal import plugin as plugins
from matomo_harness.operate.rehearsal.copies import Way
from matomo_harness.operate.rehearsal.plugin import Kind, PluginChange, Route
from matomo_harness.operate.rehearsal.rehearse import Choices
from matomo_harness.operate.rehearsal.verdict import verdict
from matomo_harness.policy import Upgrade
from matomo_harness.runtime import images
from matomo_harness.settings import REPORTS, SUBSTITUTE, RunSettings

DIRECTORY: Final = REPORTS / "rehearsal"
PAGE: Final = report.PAGE


def rehearse_upgrade(
    source: str,
    image: str,
    settings: RunSettings,
    *,
    policy: Path | None = None,
    visits: int = 1000,
    promises: tuple[str, ...] = (),
    plugin: PluginChange | None = None,
    database_from: str = "",
    database_to: str = "",
    database_way: str = Way.PLACE,
) -> dict[str, Any]:
    """Rehearse an upgrade, write its report, and return what rehearsal.json holds.

    Args:
        source: a snapshot, a reproduction or an image; the local stack where empty.
        image: to upgrade to; empty where the database server alone changes.
        settings: of this process.
        policy: the policy's file; by default policy.toml of this directory, or the reference's
            where its own image runs today.
        visits: made-up ones, where it begins with an image.
        promises: that the gates judge; all where there are none.
        plugin: that the image has, has in another version, or has no more.
        database_from: the database server of a beginning by an image: a version or an image.
        database_to: the database server to upgrade to, likewise; empty where it stays.
        database_way: how the data gets there, place or dump.

    Raises:
        WrongInputError: there is no such source, image or promise; the image is not a newer one; or
            the report cannot be written.
        UnsupportedEnvironmentError: there is no room, or a container does not start.
    """
    require_promises(promises)
    way = one_of(Way, database_way, "DATABASE_WAY", "make rehearse-upgrade DATABASE_TO=11.8")
    begins = copies.source_of(source)
    if not image and not database_to:
        raise WrongInputError(
            expected="TO=, the image to upgrade to, or DATABASE_TO=, the database server",
            seen="neither",
            next_command="make rehearse-upgrade TO=registry.example/matomo:5.10.0",
        )
    if database_from:
        if begins.kind is not copies.Kind.IMAGE:
            raise WrongInputError(
                expected="DATABASE_FROM= with FROM=an image alone",
                seen=f"{begins}, which has its own database server",
                next_command="the same command without DATABASE_FROM=",
            )
        settings = _with_database(settings, database_from)
    server = images.mariadb_base(_with_database(settings, database_to)) if database_to else None
    if image:
        images.given(image, "TO")  # what was named by hand comes first, in an error as well
    policy_file = policy or policy_for(copies.settings_of(begins, settings).image)
    limits = read_policy(policy_file).section(Upgrade)
    waivers_of(policy_file)  # the gate needs them hours later: a mistake is named now
    gate.require_place(DIRECTORY)
    choices = Choices(policy_file, DIRECTORY, visits, promises, server, way, plugin)
    with stack_image.declared_beside(policy):
        found = rehearse.rehearse(begins, image, settings, choices)
    return report.write(found, verdict(found, limits), DIRECTORY)


def require_promises(names: tuple[str, ...]) -> None:
    """Require that there are promises of these names.

    Raises:
        WrongInputError: there is none of one.
    """
    if unknown := [name for name in names if name not in NAMES]:
        raise WrongInputError(
            expected=f"--gate to name promises: {', '.join(NAMES)}",
            seen=", ".join(unknown),
            next_command="matomo-harness gate --list",
        )


def rehearse_plugin(
    kind: str,
    what: str,
    source: str,
    settings: RunSettings,
    *,
    by: str = Route.CONSOLE,
    policy: Path | None = None,
    visits: int = 1000,
    promises: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Rehearse that a plugin is added, updated or removed; return what rehearsal.json holds.

    Args:
        kind: add, update or remove.
        what: the plugin's folder or zip file; its name where it is removed.
        source: as of `rehearse_upgrade`.
        settings: of this process.
        by: how it is switched on, console or list.
        policy: as of `rehearse_upgrade`.
        visits: likewise.
        promises: likewise.

    Raises:
        WrongInputError: there is no such source, plugin or promise.
        UnsupportedEnvironmentError: there is no room, or a container does not start.
    """
    example = "matomo-harness rehearse-plugin add ./MyPlugin"
    chosen = one_of(Kind, kind, "the first word", example)
    change = plugins.change_of(chosen, what, one_of(Route, by, "--route", example))
    old = images.deployed_image(copies.settings_of(copies.source_of(source), settings))
    with stack_image.declared_beside(policy):
        new = plugins.build(change, what, old)
    return rehearse_upgrade(
        source,
        new.reference,
        settings,
        policy=policy,
        visits=visits,
        promises=promises,
        plugin=change,
    )


def _with_database(settings: RunSettings, chosen: str) -> RunSettings:
    """Return the settings with a database server: one of the versions by name, or an image."""
    if chosen not in database_versions.NAMES:
        return dataclasses.replace(settings, mariadb_base=chosen)
    base = settings.mariadb_base if settings.mariadb_base == SUBSTITUTE else "auto"
    return dataclasses.replace(settings, mariadb_version=chosen, mariadb_base=base)


def shown(name: str) -> str:
    """Return the path of a report from here."""
    return os.path.relpath(DIRECTORY / name)


def require_go(document: dict[str, Any]) -> None:
    """Require that nothing speaks against the upgrade.

    Raises:
        BrokenPromiseError: something does.
    """
    if not document["verdict"]["go"]:
        first = document["reasons"][0]
        raise BrokenPromiseError(
            expected="nothing to speak against the upgrade",
            seen=f"{document['verdict']['sentence']} The first: {first['what']}",
            next_command=first["next"] or f"open {shown(PAGE)}",
        )
