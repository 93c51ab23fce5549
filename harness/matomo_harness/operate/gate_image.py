"""Run the gate on an image: the full stack is started for it, and thrown away."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from matomo_harness.gate.catalogue import ALL, read_policy, waivers_of
from matomo_harness.gate.core.check import Check
from matomo_harness.operate.gate import OnResult, run_checks
from matomo_harness.progress import step
from matomo_harness.runtime import images, targets
from matomo_harness.runtime.full_stack import FullStack
from matomo_harness.runtime.golden import golden
from matomo_harness.settings import RunSettings

AT_ONCE: Final = 4
"""How many checks run side by side on a deployment of ours; on somebody else's it is one."""


def of_image(
    settings: RunSettings, policy_file: Path, on_result: OnResult, checks: Sequence[Check] = ALL
) -> dict[str, Any]:
    """Run `checks` on the image that `settings` name, in a full stack; write the report.

    Raises:
        HarnessError: the image cannot be built or started, or the policy holds a mistake.
    """
    promised, waivers = read_policy(policy_file), waivers_of(policy_file)
    image, database = images.deployed_image(settings), images.mariadb_base(settings)
    declared = policy_file.with_name("deployment.toml")
    installed = golden(image, database, declared if declared.exists() else None)
    about = {
        "image": str(image),
        "image id": image.id,
        "database": str(database),
        "Matomo": installed.installed.profile.matomo,
        "policy": f"{policy_file.name}, {promised.digest[:12]}",
    }
    with step("Starting the full stack"):
        # The checks ask what the tasks do, and not how long they take for it.
        stack = FullStack(installed, is_changed=False).__enter__()
    try:
        target = targets.of_full_stack(stack, promised, about)
        return run_checks(target, waivers, on_result, checks, at_once=AT_ONCE)
    finally:
        stack.__exit__(None, None, None)
