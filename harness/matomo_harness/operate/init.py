"""Draft what an institution owns: its policy, what its image needs, a workflow and a first test.

The draft promises what the image keeps today: every promise is tried on a full stack of the image,
and one that is not kept is written as a comment that says what was seen.
"""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tomlkit
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from matomo_harness import extra
from matomo_harness.errors import WrongInputError
from matomo_harness.gate.catalogue import ALL, SECTIONS, read_policy
from matomo_harness.gate.core import runner
from matomo_harness.gate.core.check import Check, Status
from matomo_harness.gate.core.context import Context
from matomo_harness.gate.core.runner import Result
from matomo_harness.gate.core.target import Target
from matomo_harness.gate.probes.php import Php
from matomo_harness.gate.probes.preflight import PREFLIGHT
from matomo_harness.matomo.image import ImageProfile
from matomo_harness.operate.capture_policy import MAXIMUM_ROWS
from matomo_harness.operate.gate import OnResult
from matomo_harness.operate.gate_image import AT_ONCE
from matomo_harness.policy import Policy, deployment, is_promise
from matomo_harness.progress import step
from matomo_harness.runtime import images, targets
from matomo_harness.runtime.full_stack import FullStack
from matomo_harness.runtime.golden import Golden, golden
from matomo_harness.runtime.images import Image
from matomo_harness.settings import RunSettings

POLICY: Final = "policy.toml"
DEPLOYMENT: Final = "deployment.toml"
WORKFLOW: Final = ".github/workflows/matomo-gate.yml"
TEST: Final = "test_matomo.py"
DRAFTS: Final = Path(__file__).with_name("drafts")
NEEDED: Final = f"{extra.BROWSER},{extra.DOCKER}"
"""Extras that a whole gate needs."""
AN_ID: Final = re.compile(r"(sha256:)?[0-9a-f]{12,64}")
"""What names an image that has no name."""
UNNAMED: Final = "matomo:ci"
"""The name of its build, then."""
WIDTH: Final = 100
DAYS_OF_GRACE: Final = 10
"""Between the age at which Matomo deletes visits and what is promised: it looks once a week."""
NOT_TODAY: Final = "not so today"
MASK_IS_ON: Final = "PrivacyManager.ipAnonymizerEnabled=1"
MANY: Final = 8
MOST: Final = 5
"""A promise that so many checks prove is kept where one of five at most is broken."""


@dataclass(frozen=True)
class DraftResult:
    """What `init` wrote.

    Args:
        written: the files.
        promised: how many keys of the policy promise something.
        left_out: promises that the image does not keep today, with what was seen.
        causes: what kept checks from saying anything.
    """

    written: tuple[Path, ...]
    promised: int
    left_out: Mapping[str, str]
    causes: tuple[str, ...]


def init(settings: RunSettings, image: Image, directory: Path, on_result: OnResult) -> DraftResult:
    """Draft the files for `image` into `directory`.

    Args:
        settings: name the database's image.
        image: the institution's image.
        directory: where the files go; one of an earlier draft is never replaced. A deployment.toml
            that is there says of the image what looking cannot tell, and stays.
        on_result: called with the result of each check that decides about a promise.

    Raises:
        WrongInputError: a file is there already, or there is no Matomo in the image.
        UnsupportedEnvironmentError: the image does not start.
    """
    paths = [directory / name for name in (POLICY, DEPLOYMENT, WORKFLOW, TEST)]
    declared = deployment.beside(paths[0])
    if there := [path for path in paths if path.exists() and path != declared]:
        raise WrongInputError(
            expected=f"a directory without {', '.join(path.name for path in there)}",
            seen=f"{there[0]} is there, and init replaces no file",
            next_command="give another one: matomo-harness init IMAGE --directory DIRECTORY",
        )
    installed = golden(image, images.mariadb_base(settings), declared)
    profile = installed.installed.profile
    with step("Starting the full stack"):
        stack = FullStack(installed, is_changed=False).__enter__()
    try:
        results, tried = _tried(stack, installed, on_result)
    finally:
        stack.__exit__(None, None, None)
    policy = Draft(tried, results)
    names = {"image": image.reference}
    texts = (
        policy.text(image),
        deployment_text(profile),
        workflow_text(image.reference),
        _rendered(TEST, **names),
    )
    directory.mkdir(parents=True, exist_ok=True)
    drafts = {path: text for path, text in zip(paths, texts, strict=True) if path != declared}
    for path, text in drafts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    read_policy(paths[0])  # what was written can be read
    return DraftResult(
        tuple(drafts), len(policy.kept), policy.left_out, tuple(dict.fromkeys(policy.causes))
    )


def _tried(stack: FullStack, installed: Golden, on_result: OnResult) -> tuple[list[Result], Policy]:
    """Run the checks that decide about promises, under a policy that makes all of them."""
    target = targets.of_full_stack(stack, Policy())
    policy = _everything(target, installed)
    target = targets.of_full_stack(stack, policy)
    checks: Sequence[Check] = [check for check in ALL if check.proves]
    return runner.run(target, checks, on_result, at_once=AT_ONCE, preflight=PREFLIGHT), policy


def _everything(target: Target, installed: Golden) -> Policy:
    """Return a policy that promises all that may hold of a target."""
    reference = read_policy()
    settings, activated, hooks = _facts(target)
    general, deletion = settings.get("General", {}), settings.get("Deletelogs", {})
    values: dict[str, Any] = {
        "plugins.active": tuple(sorted(activated)),
        "plugins.where_present": (),
        "plugins.may_decide": tuple(sorted(hooks)),
        "settings.options": (),
        "settings.plugin_settings": (),
        "settings.site_settings": (),
        "accounts.superusers": None,
        "archiving.maximum_rows": _numbers(
            {
                name.removeprefix(MAXIMUM_ROWS): value
                for name, value in general.items()
                if name.startswith(MAXIMUM_ROWS)
            }
        ),
        "archiving.today_outdated_after_seconds": _number(
            general.get("time_before_today_archive_considered_outdated")
        ),
        "archiving.killed_taken_up_after_seconds": _number(
            general.get("archive_failure_recovery_timeout")
        ),
        "second_factors.for_everybody": True if installed.installed.account.secret else None,
        "retention.visits_days": _retention(deletion),
    }
    if not installed.reads_variables:
        values["environment.variables"] = None
        values["secrets.only_in_the_environment"] = None
    sections = {}
    for kind in SECTIONS:
        section = reference.section(kind)
        said = {
            name: values[key]
            for name in kind.model_fields
            if (key := f"{kind.table}.{name}") in values
        }
        sections[kind] = section.model_copy(update=said)
    return Policy(sections)


def _facts(target: Target) -> tuple[dict[str, Any], list[str], list[str]]:
    """Return Matomo's settings, its active plugins, and those that are not its own and hook in."""
    php = Context(target, ()).get(Php)
    facts = php.facts
    own = [name for name in facts["hooks"] if name != "config/"]
    return php.settings, facts["activated"], own


def _number(value: object) -> int | None:
    return int(str(value)) if str(value).isdecimal() and int(str(value)) > 0 else None


def _numbers(values: Mapping[str, object]) -> dict[str, int] | None:
    found = {name: number for name, value in values.items() if (number := _number(value))}
    return found or None


def _retention(deletion: Mapping[str, Any]) -> int | None:
    days = _number(deletion.get("delete_logs_older_than"))
    is_on = str(deletion.get("delete_logs_enable", "0")) == "1"
    return days + DAYS_OF_GRACE if is_on and days else None


# -- the policy -----------------------------------------------------------------------------------


class Draft:
    """What of a policy the results leave, and its text.

    Args:
        tried: the policy that was tried.
        results: of all checks that prove a key.
    """

    def __init__(self, tried: Policy, results: Sequence[Result]) -> None:
        self._results = results
        self.kept: dict[str, Any] = {}
        self.left_out: dict[str, str] = {}
        self.causes: list[str] = []
        self._said: dict[str, str] = {}
        for kind in SECTIONS:
            for name in kind.model_fields:
                key = f"{kind.table}.{name}"
                default = kind.model_fields[name].default
                self._decide(key, getattr(tried.section(kind), name), default)
        if "masking.bytes" not in self.kept and "settings.options" in self.kept:
            # Where masking is promised, its own setting need not be named.
            self.kept["settings.options"] += (MASK_IS_ON,)

    def _decide(self, key: str, value: Any, default: Any) -> None:
        if value is False and default is False:
            self.kept[key] = value
            return
        if not is_promise(value):
            self.left_out[key] = NOT_TODAY
            return
        of_key = [result for result in self._results if key in result.check.proves]
        broken = [result for result in of_key if result.status in runner.RED and not result.cause]
        self.causes += [result.cause for result in of_key if result.cause]
        refined = _refined(key, value, broken)
        if refined is not None:
            self.kept[key] = refined
            if refined != value and broken:
                self._said[key] = f"Not among them today: {_seen(broken)}"
        elif broken and default is None and not _is_an_exception(broken, of_key):
            self.left_out[key] = f"{broken[0].check.id}: {_seen(broken)}"
        elif of_key and all(result.status is Status.SKIPPED for result in of_key):
            self.left_out[key] = f"could not be tried: {of_key[0].seen}"
        else:
            self.kept[key] = value
            if broken:
                self._said[key] = f"Broken today: {broken[0].check.id}: {_seen(broken)}"

    def text(self, image: Image) -> str:
        """Return the policy's text."""
        lines = _comment(
            f"What this deployment promises, drafted from what the image {image.reference} did on"
            " the day of the draft. The gate proves each promise by what happens. What is not"
            " here, or is a comment, is not promised and not checked. Read it, and correct it to"
            " what you promise."
        )
        for kind in SECTIONS:
            lines += ["", f"[{kind.table}]"]
            tables = []
            for name, field in kind.model_fields.items():
                key = f"{kind.table}.{name}"
                said = [*_comment(field.description or ""), *_comment(self._said.get(key, ""))]
                if isinstance(self.kept.get(key), dict):
                    items = [f"{row} = {number}" for row, number in self.kept[key].items()]
                    tables += ["", *said, f"[{key}]", *items]
                elif key in self.kept:
                    lines += [*said, _line(name, self.kept[key])]
                else:
                    lines += [*said, *_comment(f"Not promised: {self.left_out[key]}")]
                    lines += [f"# {name} = …" if key not in _EXAMPLES else f"# {_EXAMPLES[key]}"]
            lines += tables
        return "\n".join(lines) + "\n"


_EXAMPLES: Final = {
    "masking.bytes": "bytes = 2",
    "second_factors.for_everybody": "for_everybody = true",
    "user_ids.none_stored": "none_stored = true",
    "archiving.only_by_schedule": "only_by_schedule = true",
    "retention.visits_days": "visits_days = 180",
}


def _refined(key: str, value: Any, broken: Sequence[Result]) -> Any:
    """Return the value of a list without what is not so today; None where it is no such list."""
    text = "; ".join(result.seen for result in broken)
    if key in ("settings.options", "settings.plugin_settings", "settings.site_settings"):
        return (*value, *filter(None, text.split("; "))) if "characters)" not in text else None
    if key in ("exposure.closed_paths", "exposure.security_headers", "environment.variables"):
        left = tuple(
            item
            for item in value
            if not re.search(rf"(?<![\w./-]){re.escape(item)}(?![\w/-])", text)
        )
        return left or None
    return None


def _is_an_exception(broken: Sequence[Result], of_key: Sequence[Result]) -> bool:
    """Whether so few of a promise's checks fail that it is kept, and these are to be mended."""
    return len(of_key) >= MANY and len(broken) * MOST <= len(of_key)


def _names(text: str, item: str) -> bool:
    return bool(re.search(rf"(?<![\w./-]){re.escape(item)}(?![\w/-])", text))


def _seen(broken: Sequence[Result]) -> str:
    text = " ".join(broken[0].seen.split())
    more = f" (and {len(broken) - 1} more checks)" if len(broken) > 1 else ""
    return (text if len(text) <= 160 else f"{text[:160]} …") + more


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, WIDTH - 2)]


def _line(name: str, value: Any) -> str:
    item = tomlkit.item(list(value) if isinstance(value, tuple) else value)
    line = f"{name} = {item.as_string()}"
    if len(line) <= WIDTH:
        return line
    items = "".join(f"    {tomlkit.item(part).as_string()},\n" for part in value)
    return f"{name} = [\n{items}]"


# -- the other files ------------------------------------------------------------------------------


def _rendered(name: str, **values: object) -> str:
    """Return the text of a template beside this module."""
    environment = Environment(
        loader=FileSystemLoader(DRAFTS),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  TOML, YAML and Python
    )
    return environment.get_template(f"{name}.jinja").render(**values)


def workflow_text(reference: str) -> str:
    """Return the text of a workflow that runs the gate on an image, by this very harness.

    Args:
        reference: the image's name, by which its build is called there. A digest is no part of
            it, and an id is no name: no build gets either.
    """
    harness, is_named_by_variable = extra.requirement(NEEDED), False
    if folder := extra.folder():  # of this machine: CI takes the commit from the repository
        commit = images.commit_in(folder)
        harness = f"{extra.DISTRIBUTION}[{NEEDED}] @ git+$MATOMO_HARNESS@{commit}"
        is_named_by_variable = True
    return _rendered(
        "workflow.yml",
        image=UNNAMED if AN_ID.fullmatch(reference) else reference.partition("@")[0],
        harness=harness,
        is_named_by_variable=is_named_by_variable,
    )


def deployment_text(profile: ImageProfile) -> str:
    """Return the text of a deployment.toml, with what was found by looking at the image."""
    return _rendered(
        DEPLOYMENT,
        profile=profile,
        archiver=_line("command", profile.archiver),
        tasks=_line("command", profile.tasks or ("matomo-tasks",)),
    )
