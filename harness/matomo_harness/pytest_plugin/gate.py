"""The gate as pytest items: `pytest policy.toml` has a test for each check.

A policy file is collected where it is named on the command line or in `testpaths`, and never
where pytest merely comes across it. All items of a run share one deployment, whatever `-n` says:
the first worker that needs it starts it, and it ends with the run.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from matomo_harness.errors import HarnessError
from matomo_harness.extra import require_engine_libraries

if TYPE_CHECKING:
    # Whoever has this plugin installed and does not use it shall not wait for these.
    from matomo_harness.gate.core.check import Check
    from matomo_harness.gate.core.runner import Result, Runner
    from matomo_harness.gate.core.verdict import Verdict
    from matomo_harness.policy import Waiver
    from matomo_harness.runtime.full_stack import FullStack
    from matomo_harness.runtime.golden import Golden
    from matomo_harness.runtime.reaper import Run
    from matomo_harness.settings import RunSettings

SUFFIX: Final = ".toml"
GROUPED: Final = "loadgroup"


# -- one deployment, and a runner for each worker -------------------------------------------------


@dataclass(frozen=True)
class GateSession:
    """The checks on the deployment that all workers of a run share.

    Args:
        stack: the deployment's full stack.
        runner: this worker's; checks that share a step run in one worker.
        run: the run that owns the deployment.
        secrets: those that no message may disclose.
        waivers: for checks that may fail.
    """

    stack: "FullStack"
    runner: "Runner"
    run: "Run"
    secrets: tuple[str, ...]
    waivers: tuple["Waiver", ...] = ()

    def verdict(self, check: "Check") -> "Verdict":
        """Run `check`; one that must run alone waits for the checks of other workers."""
        from matomo_harness.gate.core.verdict import verdict

        with self._turn(check):
            return verdict([self.runner.run(check)], self.runner.target.policy, self.waivers)

    def _turn(self, check: "Check") -> AbstractContextManager[None]:
        from filelock import ReadWriteLock

        from matomo_harness.gate.core.check import Group

        lock = ReadWriteLock(self.run.file("gate-turns"), is_singleton=False)
        return lock.write_lock() if check.group is Group.ALONE else lock.read_lock()


def gate_on(
    golden: "Golden", run: "Run", policy_file: Path, checks: Iterable["Check"]
) -> GateSession:
    """Return the gate on the run's deployment, which is started where it does not run yet.

    Args:
        golden: what the deployment starts from.
        run: the deployment ends with it.
        policy_file: what is promised.
        checks: those that this run may ask for.

    Raises:
        HarnessError: the policy holds a mistake, or a container does not come up.
    """
    from matomo_harness.gate.catalogue import read_policy, waivers_of
    from matomo_harness.gate.core.runner import Runner
    from matomo_harness.gate.probes.preflight import PREFLIGHT
    from matomo_harness.runtime import targets
    from matomo_harness.runtime.shared import shared_full_stack

    policy, waivers = read_policy(policy_file), waivers_of(policy_file)
    stack = shared_full_stack(golden, run, "gate")
    target = targets.of_full_stack(stack, policy)
    runner = Runner(target, checks, preflight=PREFLIGHT)
    return GateSession(stack, runner, run, tuple(target.secrets), waivers)


def group_of(check: "Check") -> list[pytest.MarkDecorator]:
    """Return the mark that has xdist run the checks of a group in one worker."""
    return [pytest.mark.xdist_group(f"gate-{check.group}")] if check.group else []


# -- a policy file's items ------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Have xdist keep groups together where a policy file is named.

    Raises:
        UsageError: an option has xdist do otherwise.
    """
    if not _named_policies(config):
        return
    if not config.pluginmanager.hasplugin("xdist"):  # --strict-markers would know no such marker
        config.addinivalue_line("markers", "xdist_group(name): checks that one worker runs.")
    if getattr(config, "workerinput", None) is not None:
        config.option.loadgroup = True
        return
    chosen = getattr(config.option, "dist", "no")
    if chosen == "load":  # xdist's own choice for -n
        config.option.dist = GROUPED
    elif chosen not in ("no", GROUPED):
        raise pytest.UsageError(
            f"expected --dist {GROUPED} for the checks of a policy file, which share steps\n"
            f"  seen: --dist {chosen}\n  next: pytest -n 3 --dist {GROUPED} …"
        )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "PolicyFile | None":
    """Collect a policy file that is named."""
    if file_path.resolve() in _named_policies(parent.config):  # it may be named by a link
        return PolicyFile.from_parent(parent, path=file_path)
    return None


def _named_policies(config: pytest.Config) -> set[Path]:
    base = config.invocation_params.dir
    named = (base / re.split("::", argument)[0] for argument in config.args)
    return {path.resolve() for path in named if path.suffix == SUFFIX and path.is_file()}


class PolicyFile(pytest.File):
    """A policy: its checks are its items."""

    def collect(self) -> Iterator["CheckItem"]:
        """Return an item for each check.

        Raises:
            CollectError: the file holds a mistake, or the extra `docker` is missing.
        """
        from matomo_harness.gate.catalogue import ALL, read_policy, waivers_of

        try:
            require_engine_libraries()  # once here, and not by each item
            read_policy(self.path)
            waivers_of(self.path)
        except HarnessError as error:
            raise self.CollectError(
                f"expected {error.expected}; seen: {error.seen}; next: {error.next_command}"
            ) from error
        for check in ALL:
            yield CheckItem.from_parent(self, name=check.id, check=check)


class BrokenCheckError(Exception):
    """A promise is broken, or could not be checked; the text says what was seen."""


class CheckItem(pytest.Item):
    """One check of the gate."""

    def __init__(self, *, check: "Check", **arguments: Any) -> None:
        super().__init__(**arguments)
        self.check = check
        # For -k, for one release.
        self.extra_keyword_matches.update(check.formerly)
        for mark in group_of(check):
            self.add_marker(mark)

    def runtest(self) -> None:
        """Run the check on the deployment of this run.

        Raises:
            BrokenCheckError: the check is red.
        """
        require_passed(_gate_of(self), self.check, self.config)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *_: Any) -> Any:
        """Return what the check saw, or the three parts of an error of ours."""
        if excinfo.errisinstance((BrokenCheckError, HarnessError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Return where the promise is written, and the check's id."""
        return self.path, None, self.check.id


def require_passed(gate: GateSession, check: "Check", config: pytest.Config) -> None:
    """Run `check`; its finding is the message of the failure.

    Raises:
        BrokenCheckError: the check is red; the message names the directory with its evidence.
        Skipped: a capability is missing, or the target has nothing to decide by.
    """
    from matomo_harness.gate.core.check import Status
    from matomo_harness.gate.core.runner import RED
    from matomo_harness.redaction import redact

    verdict = gate.verdict(check)
    (result,) = verdict.results
    problem = verdict.problems.get(check.id, "")
    if problem and result.status not in RED:
        raise BrokenCheckError(f"{check.id}: {problem}\n  next: edit waivers.toml")
    if result.status in (Status.SKIPPED, Status.NOT_PROMISED, Status.WAIVED):
        pytest.skip(redact(result.seen, gate.secrets))
    if result.status not in RED:
        return
    lines = [check.sentence, f"expected {result.expected}", f"  seen: {result.seen}"]
    if result.files:
        lines.append(f"  evidence: {_write(result, gate.secrets, config)}")
    lines += [f"  waiver: {problem}"] if problem else []
    lines.append(f"  remedy: {check.remedy}")
    lines.append(f"  next: matomo-harness explain {check.id}")
    raise BrokenCheckError(redact("\n".join(lines), gate.secrets))


def _write(result: "Result", secrets: Iterable[str], config: pytest.Config) -> Path:
    from matomo_harness.redaction import redact

    chosen = config.getoption("--matomo-reports")
    here = config.invocation_params.dir  # a test may have changed it
    root = here / chosen if chosen else config.rootpath / "reports"
    directory = root / "failures" / result.check.id
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in result.files:
        if isinstance(content, bytes):
            (directory / name).write_bytes(content)
        else:
            (directory / name).write_text(redact(content, list(secrets)))
    return directory


_GATES: Final = pytest.StashKey[dict[Path, GateSession | Exception]]()


def _gate_of(item: CheckItem) -> GateSession:
    from matomo_harness.policy import deployment
    from matomo_harness.pytest_plugin import run_of, settings_of
    from matomo_harness.runtime import images
    from matomo_harness.runtime.golden import golden

    gates = item.config.stash.setdefault(_GATES, {})
    if item.path not in gates:
        settings: RunSettings = settings_of(item.config)
        checks = [other.check for other in item.session.items if isinstance(other, CheckItem)]
        try:
            image, database = images.deployed_image(settings), images.mariadb_base(settings)
            installed = golden(image, database, deployment.beside(item.path))
            gates[item.path] = gate_on(installed, run_of(item.config), item.path, checks)
        except HarnessError as error:  # else each check would wait for such an image again
            gates[item.path] = error
    found = gates[item.path]
    if isinstance(found, Exception):
        raise found
    return found
