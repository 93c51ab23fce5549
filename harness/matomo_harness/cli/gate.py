"""The gate, its checks, and how it proves itself."""

import dataclasses
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Column, Table

from matomo_harness import extra, progress
from matomo_harness.cli.shared import Json, out
from matomo_harness.errors import ExitCode, WrongInputError
from matomo_harness.policy import POLICY_FILE
from matomo_harness.settings import RunSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matomo_harness.gate.core.check import Check
    from matomo_harness.gate.core.runner import Result
    from matomo_harness.gate.mutation.runner import Row

app = typer.Typer()


@app.command()
def gate(
    image: Annotated[str, typer.Option(help="A built image; by default image/ is built.")] = "",
    url: Annotated[str, typer.Option(help="A running Matomo instead; the gate only reads.")] = "",
    container: Annotated[
        str, typer.Option(help="A running container instead, by its name; the gate only reads.")
    ] = "",
    exec_command: Annotated[
        str,
        typer.Option(
            "--exec", help="With --url: what reaches the container: 'docker exec -i NAME'."
        ),
    ] = "",
    compose: Annotated[
        str, typer.Option(help="A Compose file instead: the gate makes a copy of its project.")
    ] = "",
    service: Annotated[
        str, typer.Option(help="With --compose: the service that runs Matomo.")
    ] = "matomo",
    repro: Annotated[str, typer.Option(help="A copy of a reproduction instead, by its name.")] = "",
    allow_hits: Annotated[
        bool,
        typer.Option("--allow-hits", help="With --url, --container: store hits on a test site."),
    ] = False,
    authority: Annotated[
        Path | None,
        typer.Option(help="With --url, --container: who signed its certificate, a PEM file."),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            help="The file of what is promised; by default policy.toml here, or the reference's."
        ),
    ] = None,
    only: Annotated[
        str, typer.Option(help="Only these checks: ids, promises, or patterns such as masking.*")
    ] = "",
    listed: Annotated[bool, typer.Option("--list", help="List the checks and run none.")] = False,
    summary: Annotated[
        Path | None, typer.Option(help="Add the report to this file, in Markdown.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Prove every promise of the policy: on an image, a copy of a project, or a running instance.

    The environment gives access to a running instance: HARNESS_TOKEN, and for what only a logged-in
    user sees HARNESS_LOGIN, HARNESS_PASSWORD and HARNESS_TOTP_SECRET. DATABASE_URL or a file that
    DATABASE_URL_FILE names gives its database, HARNESS_EXEC its container, as --exec does.
    """
    from matomo_harness.gate import report
    from matomo_harness.operate import gate as gates

    if summary and not (summary.parent.is_dir() and os.access(summary.parent, os.W_OK)):
        raise WrongInputError(
            expected="--summary to name a file in a directory that can be written to",
            seen=str(summary),
            next_command=f"mkdir -p {summary.parent}",
        )
    checks = gates.chosen(only)
    if listed:
        _print_checks(checks, gates.seconds_of_last_run(), json_output)
        return
    _require_one_target(image, url, container, exec_command)
    if compose:
        _require_alone("--compose", image, url, container)
        document = _of_project(compose, service, policy, checks)
    elif repro:
        _require_alone("--repro", image, url, container)
        document = _of_reproduction(repro, policy or _of_this_directory(), checks)
    elif container:
        document = _of_container(
            *(container, url, policy or _of_this_directory(), checks),
            authority=authority,
            allow_hits=allow_hits,
        )
    elif url:
        document = gates.of_address(
            *(url, policy or _of_this_directory(), _ResultPrinter(), checks),
            authority=authority,
            allow_hits=allow_hits,
            container=gates.reached_by(exec_command),
        )
    else:
        document = _of_image(image, policy, checks)
    if summary:
        with summary.open("a") as written:  # as GitHub's own summary is: others may be in it
            written.write(report.markdown(document))
    if json_output:
        out.print_json(json.dumps(document))
    counts = document["counts"]
    if gaps := document["not_examined"]:
        said = ", ".join(f"{count} {why}" for why, count in gaps.items())
        progress.console.print(f"Not examined: {said} (of all checks that there are).")
    progress.console.print(
        f"{document['verdict']['sentence']} {len(document['checks'])} checks:"
        f" {counts['pass']} passed, {counts['fail']} failed,"
        f" {counts['error']} in error, {counts['skip']} skipped,"
        f" {counts['waived']} waived; {counts['not promised']} not promised."
        f" Next: open {os.path.relpath(gates.DIRECTORY / 'index.html')}"
    )
    report.require_passed(document, gates.DIRECTORY)


def _require_one_target(image: str, url: str, container: str, exec_command: str) -> None:
    """Require options that say where to look in one way.

    Raises:
        WrongInputError: two of them contradict each other, or one needs another.
    """
    given = {"--image": image, "--url": url, "--container": container, "--exec": exec_command}
    named = [option for option, value in given.items() if value]
    for one, other in (("--image", "--url"), ("--image", "--container"), ("--container", "--exec")):
        if {one, other} <= set(named):
            raise WrongInputError(
                expected=f"{one} or {other}",
                seen="both",
                next_command="matomo-harness gate --help",
            )
    if exec_command and not url:
        raise WrongInputError(
            expected="--url with --exec, as many checks ask the web server",
            seen="--exec alone",
            next_command=f"matomo-harness gate --url https://… --exec {exec_command!r}",
        )


def _require_alone(option: str, *others: str) -> None:
    if given := next(filter(None, others), ""):
        raise WrongInputError(
            expected=f"{option}, or another place to look at",
            seen=f"{option} and {given}",
            next_command="matomo-harness gate --help",
        )


def _of_project(
    compose: str, service: str, policy: Path | None, checks: "Sequence[Check]"
) -> dict[str, Any]:
    extra.require_engine_libraries()
    from matomo_harness.operate.gate_compose import of_project
    from matomo_harness.operate.prepare import prepare

    prepare()
    return of_project(compose, service, policy, _ResultPrinter(), checks)


def _of_reproduction(name: str, policy: Path, checks: "Sequence[Check]") -> dict[str, Any]:
    extra.require_engine_libraries()
    from matomo_harness.gate.remote import VARIABLES
    from matomo_harness.operate import bundle, gate, repro, snapshot

    settings, stack = RunSettings.from_environment(), repro.find(name).stack
    with snapshot.on_a_copy(settings, stack):
        access = repro.access(name, settings)
        for variable in VARIABLES:  # they may be of production
            os.environ.pop(variable, None)
        os.environ.update(access.variables)
        document = _of_container(
            *(access.container, access.url, policy, checks),
            authority=access.authority,
            allow_hits=True,
        )
    bundle.remember_gate(gate.DIRECTORY, stack)
    return document


def _of_container(
    name: str,
    url: str,
    policy: Path,
    checks: "Sequence[Check]",
    *,
    authority: Path | None,
    allow_hits: bool,
) -> dict[str, Any]:
    extra.require_engine_libraries()
    from matomo_harness.operate import gate, gate_container

    container, matomo = gate_container.entered(name)
    where = url or gate_container.address(container, matomo)
    database, reason = gate_container.database(container, matomo, where)
    if reason:
        progress.console.print(
            f"Without a database ({reason}), unless DATABASE_URL names it.", markup=False
        )
    return gate.of_address(
        *(where, policy, _ResultPrinter(), checks),
        authority=authority,
        allow_hits=allow_hits,
        container=matomo,
        database=database,
    )


def _of_this_directory() -> Path:
    """Return the policy of this directory; where there is none the reference's, and say so."""
    here = Path(POLICY_FILE.name)
    if here.exists():
        return here
    progress.console.print(
        f"Judged by what the reference image promises, as there is no {here} here: what another"
        " deployment promises is named by --policy (make: POLICY=).",
        markup=False,
        soft_wrap=True,
    )
    return POLICY_FILE


def _of_image(image: str, policy: Path | None, checks: "Sequence[Check]") -> dict[str, Any]:
    from matomo_harness.operate.gate_image import of_image, policy_for
    from matomo_harness.operate.prepare import prepare

    prepare()
    settings = RunSettings.from_environment()
    chosen = dataclasses.replace(settings, image=image or settings.image)
    policy = policy or policy_for(chosen.image)
    return of_image(chosen, policy, _ResultPrinter(), checks)


def _print_checks(
    checks: "Sequence[Check]", seconds: "Mapping[str, float]", json_output: bool
) -> None:
    if json_output:
        listed = [
            {
                "id": check.id,
                "promise": check.sentence,
                "proves": list(check.proves),
                "severity": check.severity.name.lower(),
                "capabilities": _capabilities(check),
                "steps": [step.__name__ for step in check.steps],
                "seconds": seconds.get(check.id),
            }
            for check in checks
        ]
        out.print_json(json.dumps(listed))
        return
    table = Table(Column("check", no_wrap=True), "proves", "needs", "seconds")
    for check in checks:
        needs = ", ".join(_capabilities(check))
        took = seconds.get(check.id)
        table.add_row(check.id, check.sentence, needs, "" if took is None else f"{took:.1f}")
    out.print(table)
    out.print("Seconds are those of the gate's last run here. Next: matomo-harness explain CHECK")


def _capabilities(check: "Check") -> list[str]:
    return sorted(capability.name.lower() for capability in check.capabilities)


class _ResultPrinter:
    """Prints results as they come; a cause that many share, once."""

    def __init__(self) -> None:
        self._causes: set[str] = set()

    def __call__(self, result: "Result") -> None:
        if not result.cause:
            _print_result(result)
        elif result.cause not in self._causes:
            self._causes.add(result.cause)
            progress.console.print(
                f"[red]error[/red] {escape(result.cause)}: it does not; seen: {escape(result.seen)}"
                " (checks that depend on it are not run, and not printed)"
            )


def _print_result(result: "Result") -> None:
    if result.status in ("fail", "error"):
        progress.console.print(
            f"[red]{result.status:5}[/red] {result.check.id}: expected {escape(result.expected)};"
            f" seen: {escape(result.seen)}"
        )
    elif progress.console.is_terminal or result.status in ("skip", "waived"):
        reason = f": {result.seen}" if result.status in ("skip", "waived") else ""
        progress.console.print(f"{result.status:5} {result.check.id}[dim]{escape(reason)}[/dim]")


@app.command()
def explain(
    name: Annotated[str, typer.Argument(metavar="CHECK", help="A check's id.")],
    json_output: Json = False,
) -> None:
    """Say what a check proves, what it needs, and which mutants prove the check itself."""
    from matomo_harness.operate.explain import explained
    from matomo_harness.operate.gate import chosen

    checks = [explained(check) for check in chosen(name)]
    if not extra.is_installed():
        progress.console.print(
            "The mutants that prove a check are known with the extra alone:"
            f" {extra.install_command()}",
            markup=False,
            soft_wrap=True,
        )
    if json_output:
        out.print_json(json.dumps([asdict(check) for check in checks]))
        return
    for check in checks:
        out.print(f"[bold]{check.id}[/bold]  {escape(check.proves)}")
        out.print(f"  keys     {', '.join(check.keys) or 'none: it guards what always holds'}")
        out.print(f"  severity {check.severity}; failure mode {check.failure_mode or 'none known'}")
        out.print(f"  remedy   {escape(check.remedy)}")
        out.print(f"  needs    {'; '.join(check.needs) or 'nothing but an address'}")
        out.print(f"  steps    {'; '.join(check.steps) or 'none'}")
        for mutant, breaks in (check.mutants or {}).items():
            out.print(f"  mutant   {mutant}: {escape(breaks)}")
        out.print(f"Next: matomo-harness gate --only {check.id}")


@app.command()
def mutants(
    only: Annotated[
        str, typer.Option(help="Only these: parts of ids, or a promise such as masking.")
    ] = "",
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="All checks on every mutant, each control alone: takes a night."
        ),
    ] = False,
    made_by_rule: Annotated[
        bool, typer.Option("--generated", help="Also those generated from each key and variable.")
    ] = False,
    shard: Annotated[str, typer.Option(help="Run one part of them all: 1/4.")] = "",
    image: Annotated[str, typer.Option(help="A built image; by default image/ is built.")] = "",
    json_output: Json = False,
) -> None:
    """Break each promise in turn: the gate must turn red, and stay green for harmless changes."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from matomo_harness.gate.mutation import batches
    from matomo_harness.operate import mutants as operation
    from matomo_harness.operate.prepare import prepare as run
    from matomo_harness.shard import Shard

    subjects = operation.chosen(only, with_generated=made_by_rule)
    part = Shard.parse(shard) if shard else None
    run()
    settings = RunSettings.from_environment()
    settings = dataclasses.replace(settings, image=image or settings.image)
    subjects = operation.of_use(subjects, settings)
    if part:
        subjects = batches.part_of(part, subjects, full=full)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=progress.console) as bar:
        task = bar.add_task("mutants", total=len(subjects))

        def on_row(row: "Row") -> None:
            bar.advance(task)
            if not bar.console.is_terminal:  # a log has no bar
                done = f"{bar.tasks[task].completed:.0f}/{len(subjects)}"
                bar.console.print(f"{done} {row.subject.id} {row.seconds:.0f} s", soft_wrap=True)
            if said := _what_went_wrong(row):
                bar.console.print(escape(said), style="red", soft_wrap=True)

        def on_red_group(row: "Row") -> None:
            said = f"red together, run apart: {_what_went_wrong(row)}"
            bar.console.print(escape(said), soft_wrap=True)

        whole = not only and not part
        document = operation.run(
            *(settings, subjects),
            full=full,
            whole=whole,
            on_row=on_row,
            on_red_group=on_red_group,
            shard=part,
        )
    if json_output:
        out.print_json(json.dumps(document))
    for title in ("not_made", "killed_by_another_promise", "checks_without_a_kill"):
        if document[title]:
            progress.console.print(f"{title.replace('_', ' ')}: {', '.join(document[title])}")
    progress.console.print(f"Next: open {os.path.relpath(operation.PAGE)}")
    print(document["summary"], file=sys.stderr if json_output else sys.stdout)
    if not document["proven"]:
        raise typer.Exit(ExitCode.BROKEN_PROMISE)


def _what_went_wrong(row: "Row") -> str:
    """Return a line about a row that is not as it should be; empty where it is."""
    from matomo_harness.gate.mutants import Mutant
    from matomo_harness.gate.mutation import runner

    name = row.subject.id
    if row.not_made:
        return f"not made: {name}: {row.not_made}"
    if isinstance(row.subject, Mutant):
        lost = runner.missed(row)
        return f"survived: {name}: not red: {', '.join(lost)}" if lost else ""
    alarms = [f"{check}: {row.seen[check]}" for check in sorted(row.red)]
    return f"false alarm: {name}: {'; '.join(alarms)}" if alarms else ""
