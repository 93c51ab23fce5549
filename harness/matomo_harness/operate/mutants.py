"""The gate proves itself on the image at hand."""

import os
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from matomo_harness.errors import WrongInputError
from matomo_harness.gate.catalogue import read_policy
from matomo_harness.gate.mutants import Subject
from matomo_harness.gate.mutation import CONTROLS, WRITTEN, generated, report, runner
from matomo_harness.gate.mutation.runner import MutationRunner, Row
from matomo_harness.runtime import images, reaper
from matomo_harness.runtime.golden import golden
from matomo_harness.runtime.shared import shared_servers
from matomo_harness.settings import REPORTS, RunSettings
from matomo_harness.shard import Shard

PAGE: Final = REPORTS / "mutants.html"
PROMISES: Final = {"privacy": ("masking.", "user_ids.")}
"""Words for several promises."""
ALL_CHECKS: Final = "all on each"
QUICK_CHECKS: Final = (
    "all on a control, several controls on one deployment; on a mutant those that it names and its"
    " promise's that cost little"
)


def chosen(words: str, *, with_generated: bool) -> list[Subject]:
    """Return the mutants and controls that `words` name; all where there are none.

    Args:
        words: parts of ids, or a promise, separated by blanks.
        with_generated: whether the generated ones are among them.

    Raises:
        WrongInputError: nothing has such a name.
    """
    subjects: list[Subject] = [*WRITTEN, *CONTROLS]
    if with_generated:
        subjects += generated.generated(read_policy())
    today = [re.sub(r"^variant\b", "control", word) for word in words.split()]  # for one release
    parts = [part for word in today for part in PROMISES.get(word, (word,))]
    found = [
        subject for subject in subjects if not parts or any(part in subject.id for part in parts)
    ]
    if not found:
        raise WrongInputError(
            expected="a part of a mutant's id, or one of "
            + ", ".join(sorted({mutant.promise for mutant in WRITTEN} | {"privacy", "control"})),
            seen=words,
            next_command="make mutants T=masking",
        )
    return found


def of_use(subjects: Sequence[Subject], settings: RunSettings) -> list[Subject]:
    """Return `subjects` without the mutants that change nothing in the image's Matomo.

    Raises:
        HarnessError: the image cannot be built.
    """
    version = images.code_version(images.deployed_image(settings).reference)
    nothing = generated.equivalent(version)
    return [subject for subject in subjects if subject.id not in nothing]


def run(
    settings: RunSettings,
    subjects: Sequence[Subject],
    *,
    full: bool,
    whole: bool,
    on_row: Callable[[Row], None],
    on_red_group: Callable[[Row], None] = lambda _: None,
    shard: Shard | None = None,
) -> dict[str, Any]:
    """Run `subjects` and write the matrix; return what mutants.json holds.

    Args:
        settings: the choices of this run, which name the image.
        subjects: mutants and controls.
        full: whether every check runs on every mutant, and each control on its own deployment.
        whole: whether all written ones are among `subjects`.
        on_row: called with each row as it comes.
        on_red_group: called with the row of a group whose members now run apart.
        shard: the part of the work that `subjects` are.

    Raises:
        HarnessError: the image cannot be built or started.
    """
    promised = read_policy()
    image, database = images.deployed_image(settings), images.mariadb_base(settings)
    installed = golden(image, database)
    servers = shared_servers(installed, reaper.this_process())
    at_once = (os.cpu_count() or 1) + 1
    rows = MutationRunner(installed, servers, promised).run_all(
        subjects, full=full, at_once=at_once, on_row=on_row, on_red_group=on_red_group
    )
    about = {
        "image": str(image),
        "database": str(database),
        "Matomo": images.code_version(image.reference),
        "ran": f"shard {shard}" if shard else "all that was asked for",
        "checks": ALL_CHECKS if full else QUICK_CHECKS,
    }
    return report.write(rows, runner.judge(rows, whole=whole), about, REPORTS)
