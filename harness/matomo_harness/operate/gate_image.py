"""Run the gate on an image: the full stack is started for it, and thrown away."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from matomo_harness.errors import WrongInputError
from matomo_harness.gate.catalogue import ALL, read_policy, waivers_of
from matomo_harness.gate.core.check import Check
from matomo_harness.operate.gate import OnResult, named, run_checks
from matomo_harness.policy import POLICY_FILE, deployment
from matomo_harness.progress import step
from matomo_harness.runtime import images, targets
from matomo_harness.runtime.full_stack import FullStack
from matomo_harness.runtime.golden import golden
from matomo_harness.settings import RunSettings

OWN_POLICY: Final = Path(POLICY_FILE.name)
"""An institution's policy, in the directory where it runs the gate."""
AT_ONCE: Final = 3
"""How many checks run side by side on a deployment of ours; on somebody else's it is one.

The archiver is the longest thread of a gate: with a fourth check beside it, it waits for a
processor (2 cores, in turns: median 45 s of eight gates with three, 41.5 to 51.9; 49 s of six with
four, 46.5 to 52.4; 48.5 and 54.1 s with two).
"""


def policy_for(image: str | None) -> Path:
    """Return the policy that an image is judged by where none is named.

    Args:
        image: the image that a user named; None for image/ of this checkout.

    Raises:
        WrongInputError: it is another image than ours, which our policy says nothing of.
    """
    if OWN_POLICY.exists():
        return OWN_POLICY
    if image is None or images.is_reference(images.given(image, "IMAGE")):
        return POLICY_FILE
    raise WrongInputError(
        expected=f"a policy for {image}, which is not the reference image",
        seen=f"neither --policy nor a {OWN_POLICY} here",
        next_command=f"matomo-harness init {image}   (drafts one)",
    )


def of_image(
    settings: RunSettings, policy_file: Path, on_result: OnResult, checks: Sequence[Check] = ALL
) -> dict[str, Any]:
    """Run `checks` on the image that `settings` name, in a full stack; write the report.

    Raises:
        HarnessError: the image cannot be built or started, or the policy holds a mistake.
    """
    promised, waivers = read_policy(policy_file), waivers_of(policy_file)
    image, database = images.deployed_image(settings), images.mariadb_base(settings)
    installed = golden(image, database, deployment.beside(policy_file))
    about = {
        "image": str(image),
        "image id": image.id,
        "database": str(database),
        "Matomo": installed.installed.profile.matomo,
        "policy": named(policy_file, promised),
    }
    with step("Starting the full stack"):
        # The checks ask what the tasks do, and not how long they take for it.
        stack = FullStack(installed, is_changed=False).__enter__()
    try:
        target = targets.of_full_stack(stack, promised, about)
        return run_checks(target, waivers, on_result, checks, at_once=AT_ONCE)
    finally:
        stack.__exit__(None, None, None)
