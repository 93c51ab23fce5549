"""Removing what the harness made, and sparing what lives."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from matomo_harness.errors import WrongInputError
from matomo_harness.operate import images as stock
from matomo_harness.operate import kept, schedule
from matomo_harness.progress import step
from matomo_harness.runtime import reaper
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.images import REPOSITORY, listed
from matomo_harness.runtime.reaper import PLACE_LABEL, RUN_LABEL, EngineObject, Run
from matomo_harness.settings import OWNER_LABEL, ROOT, project_name

FOLDER_LABEL: Final = "com.docker.compose.project.working_dir"
"""Compose's own, on containers: where compose.yml is."""


@dataclass(frozen=True)
class CleanResult:
    """What went, and what stayed.

    Args:
        removed: each with its kind.
        left: each with its kind, and whose it is or who may use it.
    """

    removed: list[str]
    left: list[str]


@dataclass(frozen=True)
class EngineUsers:
    """Who uses the engine, as far as it can be seen from here.

    Args:
        things: that carry the harness's label.
        living: runs of this place whose processes live, and whose each is.
        preserved: runs of which something is kept, and whose each is.
        users: a container of each image that has one, by the image's id; anybody's.
        place: where the runs are whose processes can be seen.
    """

    things: list[EngineObject]
    living: Mapping[str, str]
    preserved: Mapping[str, str]
    users: Mapping[str, str]
    place: str


def clean() -> CleanResult:
    """Remove this checkout's stack and data, runs that ended, and images that nothing living uses.

    What is kept of another checkout's runs stays.
    """
    with step("Removing what is this checkout's, and what nothing uses"), reaper.no_run_begins():
        stack = f"{OWNER_LABEL}={project_name()}"
        removed = reaper.remove_containers(engine(), stack)
        schedule.wait_for_end()
        removed += reaper.remove_labelled(engine(), stack)
        kept.remove()
        removed += _remove_ended_runs()
        seen = _look()
        images = _remove_images(seen)
    return CleanResult(removed + images.removed, left_things(seen) + images.left)


def clean_all() -> CleanResult:
    """Remove all that the harness made on this machine, of living runs and other checkouts too."""
    with step("Removing all that the harness made on this machine"):
        removed = reaper.remove_labelled(engine(), OWNER_LABEL)
        kept.remove()
        for run in reaper.runs():
            if run.keep_marker.exists():
                reaper.remove_leftovers(run.let_go())
        images = _remove_images(EngineUsers([], {}, {}, _users(), reaper.place()))
    return CleanResult(removed + images.removed, images.left)


def clean_run(run_id: str) -> CleanResult:
    """Remove what was kept of a run.

    Raises:
        WrongInputError: nothing of such a run is kept.
    """
    run = Run(run_id)
    if not run.keep_marker.exists():
        others = ", ".join(it.id for it in reaper.runs() if it.keep_marker.exists())
        raise WrongInputError(
            expected="a run of which something was kept (--matomo-keep)",
            seen=f"{run_id}; there is {others or 'none'}",
            next_command="matomo-harness clean   (removes what was kept of this checkout's runs)",
        )
    return CleanResult(reaper.remove_leftovers(run.let_go()), [])


# -- what stays -----------------------------------------------------------------------------------


def left_things(seen: EngineUsers) -> list[str]:
    """Return the runs that live, and all things that are there, with whose each is."""
    folders = {
        it.labels[OWNER_LABEL]: f"in {Path(it.labels[FOLDER_LABEL]).parent}"
        for it in seen.things
        if FOLDER_LABEL in it.labels
    }
    return [
        *(f"run {run}: it lives, {whose}" for run, whose in seen.living.items()),
        *(f"{it.name}: of {_whose(it, seen, folders)}" for it in seen.things),
    ]


def why_it_stays(image_id: str, seen: EngineUsers) -> str:
    """Return who uses an image or may use it; empty where it can go.

    A run takes images when it comes to need them, so that while one lives every image stays. A
    stack needs those of its containers, and `make up` builds what else it lacks.
    """
    if user := seen.users.get(image_id):
        return f"container {user} uses it"
    if seen.living:
        return "a run that lives may use it"
    if unseen := [it.name for it in seen.things if _may_live_unseen(it, seen)]:
        return f"whoever made {unseen[0]} may live, and use it"
    return ""


def _may_live_unseen(thing: EngineObject, seen: EngineUsers) -> bool:
    if RUN_LABEL in thing.labels:
        return thing.labels[PLACE_LABEL] != seen.place
    return _is_a_build(thing)


def _is_a_build(thing: EngineObject) -> bool:
    # A container without labels of its own has its image's.
    return thing.labels[OWNER_LABEL] == REPOSITORY


def _whose(thing: EngineObject, seen: EngineUsers, folders: Mapping[str, str]) -> str:
    owner, run = thing.labels[OWNER_LABEL], thing.labels.get(RUN_LABEL)
    if run is None:
        if _is_a_build(thing):
            return "a build, or started by hand from an image of the harness"
        folder = folders.get(owner, "in a folder that is not known")
        return f"another checkout's stack {owner}, {folder}"
    if run in seen.living:
        return f"the run {run}, which lives"
    if (place := thing.labels[PLACE_LABEL]) != seen.place:
        return f"the run {run} of {place}, which cannot be seen from here"
    if run in seen.preserved:
        return f"the kept run {run}, {seen.preserved[run]}; matomo-harness clean --run {run} removes it"
    return f"the run {run}, which has just ended and is being removed"


# -- pieces ---------------------------------------------------------------------------------------


def _look() -> EngineUsers:
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
    return {it.attrs["ImageID"]: it.attrs["Names"][0].lstrip("/") for it in containers}


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
        # One without a name is what a build that failed left.
        removed += [f"image {name}" for name in stock.remove(image)]
        others = [name for name in image.tags if not stock.is_ours(name)]
        left += [f"image {name}: the name is somebody else's" for name in others]
    return CleanResult(removed, left)
