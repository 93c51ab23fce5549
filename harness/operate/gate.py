"""The gate: every check on a built image, or those that can be on a running instance."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from harness import policy
from harness.gate import remote, report, run, target
from harness.gate.run import Result
from harness.gate.target import Target
from harness.progress import step
from harness.settings import REPORTS, Settings
from harness.stack import images
from harness.stack.golden import golden
from harness.stack.production import Production

DIRECTORY: Final = REPORTS / "gate"

Told = Callable[[Result], None]


def of_image(settings: Settings, policy_file: Path, told: Told) -> dict[str, Any]:
    """Run every check on the image that `settings` name, in production's shape; write the report.

    Raises:
        HarnessError: the image cannot be built or started, or the policy holds a mistake.
    """
    promised = policy.read(policy_file)
    image, database = images.deployed_image(settings), images.mariadb_base(settings)
    installed = golden(image, database)
    about = {
        "image": str(image),
        "image id": image.id,
        "database": str(database),
        "Matomo": images.code_version(image.reference),
        "policy": policy_file.name,
    }
    with step("Starting production's shape"):
        production = Production(installed).__enter__()
    try:
        return _run(target.of_production(production, promised, about), told)
    finally:
        production.__exit__(None, None, None)


def of_address(
    url: str, policy_file: Path, told: Told, *, authority: Path | None, allow_hits: bool
) -> dict[str, Any]:
    """Run on the Matomo at `url` the checks that need no more than is given; write the report.

    Raises:
        HarnessError: no Matomo there, a refused token or login, a mistake in the policy.
    """
    promised = policy.read(policy_file)
    looked_at = remote.target(url, promised, authority=authority, allow_hits=allow_hits)
    return _run(looked_at, told)


def _run(looked_at: Target, told: Told) -> dict[str, Any]:
    results = run.run(looked_at, told=told)
    account, stands = looked_at.account, looked_at.stands
    secrets = [
        looked_at.token,
        *((account.password, account.secret) if account else ()),
        *(stands.secrets.values() if stands else ()),
    ]
    return report.write(results, looked_at.about, DIRECTORY, [it for it in secrets if it])
