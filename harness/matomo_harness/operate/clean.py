"""Remove what the harness made, and spare what lives."""

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from matomo_harness.errors import WrongInputError
from matomo_harness.operate import images as stock
from matomo_harness.operate import schedule, stack_files
from matomo_harness.operate.alone import removing
from matomo_harness.operate.stack import LOCAL, REPRODUCTIONS, Stack, reproductions
from matomo_harness.progress import step
from matomo_harness.runtime import reaper
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.images import REPOSITORY, listed
from matomo_harness.runtime.inspection import inspected
from matomo_harness.runtime.reaper import PLACE_LABEL, RUN_LABEL, EngineObject, Run
from matomo_harness.settings import OWNER_LABEL, ROOT

FOLDER_LABEL: Final = "com.docker.compose.project.working_dir"
"""Compose sets this label on containers: where compose.yml is."""
A_BUILD: Final = "a build, or started by hand from an image of the harness"


@dataclass(frozen=True)
class CleanResult:
    """What was removed, and what was left.

    Args:
        removed: names, each with its kind.
        left: names, each with its kind, and whose it is or who may use it.
    """

    removed: list[str]
    left: list[str]


@dataclass(frozen=True)
class EngineUsers:
    """Who uses the engine, as far as it can be seen from here.

    Args:
        things: everything that carries the harness's label.
        living: the runs of this place whose processes live, and whose each is.
        preserved: the runs of which something is preserved, and whose each is.
        users: a container that uses an image, by the image's id, whosever it is.
        place: the place of the runs whose processes can be seen.
    """

    things: list[EngineObject]
    living: Mapping[str, str]
    preserved: Mapping[str, str]
    users: Mapping[str, str]
    place: str


def clean() -> CleanResult:
    """Remove this checkout's stack and data, runs that ended, and images that nothing living uses.

    What is preserved of another checkout's runs stays.

    Raises:
        WrongInputError: another command is at work on a stack of this checkout.
        UnsupportedEnvironmentError: a container of somebody else's is in a stack's network.
    """
    stacks = [*reproductions(), LOCAL]
    with step("Removing what is this checkout's, and what nothing uses"), ExitStack() as locks:
        for stack in stacks:
            # What dead runs left is removed at the end, and named.
            locks.enter_context(removing(stack, tidies=False))
        # The last one, as everybody's runs wait for it.
        locks.enter_context(reaper.no_run_begins())
        removed = [thing for stack in stacks for thing in remove_stack(stack)]
        removed += _remove_ended_runs()
        seen = _engine_users()
        images = _remove_images(seen)
    return CleanResult(removed + images.removed, left_things(seen) + images.left)


def remove_stack(stack: Stack) -> list[str]:
    """Remove the containers, the data and the secrets of a stack; return what was removed."""
    own = f"{OWNER_LABEL}={stack.project}"
    removed = reaper.remove_containers(engine(), own)
    schedule.wait_for_end(stack.root)
    removed += reaper.remove_labelled(engine(), own)
    stack_files.remove(stack)
    if stack.name:
        shutil.rmtree(stack.root, ignore_errors=True)
    return removed


def clean_all() -> CleanResult:
    """Remove all that the harness made on this machine, even of living runs and other checkouts.

    A container that somebody started from an image that was built here is theirs, and stays.
    """
    with step("Removing all that the harness made on this machine"):
        things = reaper.labelled(engine(), OWNER_LABEL)
        theirs = [thing.name for thing in things if _is_a_build(thing)]
        removed = []
        for owner in sorted({thing.labels[OWNER_LABEL] for thing in things} - {REPOSITORY}):
            removed += reaper.remove_labelled(engine(), f"{OWNER_LABEL}={owner}")
        stack_files.remove()
        shutil.rmtree(REPRODUCTIONS, ignore_errors=True)
        for run in reaper.runs():
            if run.keep_marker.exists():
                reaper.remove_leftovers(run.let_go())
        images = _remove_images(EngineUsers([], {}, {}, _users(), reaper.place()))
    left = [f"{name}: of {A_BUILD}" for name in theirs]
    return CleanResult(removed + images.removed, left + images.left)


def clean_run(run_id: str) -> CleanResult:
    """Remove what was preserved of a run.

    Raises:
        WrongInputError: nothing of such a run is preserved.
    """
    run = Run(run_id)
    if not run.keep_marker.exists():
        others = [other.id for other in reaper.runs() if other.keep_marker.exists()]
        raise WrongInputError(
            expected="a run of which something was preserved (--matomo-keep)",
            seen=f"{run_id}; preserved runs: {', '.join(others) or 'none'}",
            # `clean` alone would take the local stack along, with its data and its snapshots.
            next_command=f"matomo-harness clean --run {others[0]}"
            if others
            else "docker ps   (nothing is preserved that would have to be removed)",
        )
    return CleanResult(reaper.remove_leftovers(run.let_go()), [])


# -- what stays -----------------------------------------------------------------------------------


def left_things(seen: EngineUsers) -> list[str]:
    """Return the living runs and all things that stay, each with its owner."""
    folders = {
        thing.labels[OWNER_LABEL]: f"in {Path(thing.labels[FOLDER_LABEL]).parent}"
        for thing in seen.things
        if FOLDER_LABEL in thing.labels
    }
    return [
        *(f"run {run}: it lives, {whose}" for run, whose in seen.living.items()),
        *(f"{thing.name}: of {_whose(thing, seen, folders)}" for thing in seen.things),
    ]


def why_it_stays(image_id: str, seen: EngineUsers) -> str:
    """Return who uses an image or may use it; empty where it can go.

    A run takes an image when it needs it, so every image stays while a run lives. A stack needs the
    images of its containers, and `make up` builds what else it lacks.
    """
    if user := seen.users.get(image_id):
        return f"container {user} uses it"
    if seen.living:
        return "a run that lives may use it"
    if unseen := [thing.name for thing in seen.things if _may_live_unseen(thing, seen)]:
        return f"whoever made {unseen[0]} may live, and use it"
    return ""


def _may_live_unseen(thing: EngineObject, seen: EngineUsers) -> bool:
    if RUN_LABEL in thing.labels:
        return thing.labels[PLACE_LABEL] != seen.place
    return _is_a_build(thing)


def _is_a_build(thing: EngineObject) -> bool:
    # A container without labels of its own has those of its image.
    return thing.labels[OWNER_LABEL] == REPOSITORY


def _whose(thing: EngineObject, seen: EngineUsers, folders: Mapping[str, str]) -> str:
    owner, run = thing.labels[OWNER_LABEL], thing.labels.get(RUN_LABEL)
    if run is None:
        if _is_a_build(thing):
            return A_BUILD
        folder = folders.get(owner, "in a folder that is not known")
        return f"another checkout's stack {owner}, {folder}"
    if run in seen.living:
        return f"the run {run}, which lives"
    if (place := thing.labels[PLACE_LABEL]) != seen.place:
        return f"the run {run} of {place}, which cannot be seen from here"
    if run in seen.preserved:
        command = f"matomo-harness clean --run {run}"
        return f"the kept run {run}, {seen.preserved[run]}; {command} removes it"
    return f"the run {run}, which has just ended and is being removed"


# -- pieces ---------------------------------------------------------------------------------------


def _engine_users() -> EngineUsers:
    runs = reaper.runs()
    return EngineUsers(
        things=reaper.labelled(engine(), OWNER_LABEL),
        living={run.id: _process(run) for run in runs if run.lives},
        preserved={run.id: _checkout(run) for run in runs if run.keep_marker.exists()},
        users=_users(),
        place=reaper.place(),
    )


def _process(run: Run) -> str:
    process = f"process {run.origin.process} " if run.origin else ""
    return f"{process}{_checkout(run)}"


def _checkout(run: Run) -> str:
    return f"of {run.origin.checkout}" if run.origin else "of a checkout that is not known"


def _users() -> dict[str, str]:
    containers = engine().containers.list(all=True, sparse=True)
    return {
        str(inspected(container, "ImageID")): name.lstrip("/")
        for container in containers
        # Without a name where the engine is just removing it.
        for name in (inspected(container, "Names") or [str(container.id)])[:1]
    }


def _remove_ended_runs() -> list[str]:
    removed = reaper.remove_leftovers_of_dead_runs()
    for run in reaper.runs():
        is_own = run.origin is not None and run.origin.checkout == str(ROOT)
        if not run.lives and (is_own or not run.keep_marker.exists()):
            removed += reaper.remove_leftovers(run.let_go())
    return removed


def _remove_images(seen: EngineUsers) -> CleanResult:
    removed, left = [], []
    for image in listed(OWNER_LABEL):
        if reason := why_it_stays(str(image.id), seen):
            left += [f"image {name}: {reason}" for name in image.tags or [str(image.id)]]
            continue
        # A failed build leaves an image without a name.
        removed += [f"image {name}" for name in stock.remove(image)]
        others = [name for name in image.tags if not stock.is_ours(name)]
        left += [f"image {name}: the name is somebody else's" for name in others]
    return CleanResult(removed, left)
