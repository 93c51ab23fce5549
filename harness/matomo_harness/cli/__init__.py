"""The command line: each verb calls one module and prints what it says."""

import dataclasses
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from matomo_harness import __version__, progress
from matomo_harness.errors import BrokenPromiseError, ExitCode, HarnessError, WrongInputError
from matomo_harness.operate.fault import Kind, Service
from matomo_harness.policy import POLICY_FILE
from matomo_harness.settings import REPORTS, Settings, every_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matomo_harness.gate.core.check import Check
    from matomo_harness.gate.core.runner import Result
    from matomo_harness.gate.mutation.runner import Row

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Proves that a containerised Matomo keeps its promises.",
)
out = Console(highlight=False, soft_wrap=True)

INTERRUPTED = 130
"""What Typer exits with after Ctrl-C, without a word: 128 and SIGINT's number, by convention."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


@app.callback()
def root(
    debug: Annotated[bool, typer.Option(help="Show tracebacks.", envvar="HARNESS_DEBUG")] = False,
) -> None:
    """Proves that a containerised Matomo keeps its promises."""
    if debug:
        os.environ["HARNESS_DEBUG"] = "1"


@app.command()
def prepare(
    browser: Annotated[bool, typer.Option("--browser", help="A Chromium as well.")] = False,
    images: Annotated[
        bool, typer.Option("--images", help="What tests start from, of one Matomo version.")
    ] = False,
    all_versions: Annotated[
        bool, typer.Option("--all-versions", help="With --images: of each version.")
    ] = False,
) -> None:
    """Make sure that an engine and Compose are here, installing them where that is possible."""
    from matomo_harness.operate.prepare import prepare as run

    versions = every_version()
    run(browser=browser)
    if images:
        from matomo_harness.operate.prepare_images import prepare_images

        prepare_images(versions if all_versions else versions[:1])


@app.command()
def up(json_output: Json = False) -> None:
    """From whatever this machine is to a running, installed local stack."""
    from matomo_harness.operate import kept, local
    from matomo_harness.operate.prepare import prepare as run

    settings = Settings.from_environment()
    run()
    report = local.up(settings)
    progress.write_timings(REPORTS / "up.json")
    if json_output:
        out.print_json(json.dumps(asdict(report)))
        return
    out.print(f"\nMatomo {report.matomo_version} is up: [bold]{report.url}[/bold]")
    out.print(f"  login     {report.login}")
    out.print(f"  password  SUPERUSER_PASSWORD in {os.path.relpath(kept.SECRETS_FILE)}")
    out.print("  2FA code  make totp")
    out.print(f"  mail      {report.mail}")
    out.print(
        f"  trust     {os.path.relpath(kept.AUTHORITY_FILE)}   (curl --cacert, or your browser)"
    )
    out.print("  archiver  every full hour; make archive starts it now")
    out.print(f"  image     {report.image}")
    out.print(f"  database  {report.database_image}")
    out.print("Next: make down stops it and keeps the data; make logs follows its logs.")


@app.command()
def down() -> None:
    """Stop the local stack; its data is kept."""
    from matomo_harness.operate import local

    local.down()
    out.print("The local stack is down, its data is kept. Next: make up, or make clean.")


@app.command()
def clean(
    everything: Annotated[
        bool, typer.Option("--all", help="All on this machine, of living runs as well.")
    ] = False,
    run: Annotated[str, typer.Option(help="Only what --matomo-keep left of this run.")] = "",
) -> None:
    """Remove this checkout's stack and data, and images that nothing living uses."""
    from matomo_harness.operate import clean as operation

    if everything and run:
        raise WrongInputError(
            expected="either --all or --run",
            seen=f"--all --run {run}",
            next_command=f"matomo-harness clean --run {run}",
        )
    if run:
        cleaned = operation.clean_run(run)
    else:
        cleaned = operation.clean_all() if everything else operation.clean()
    for thing in cleaned.removed:
        out.print(f"removed {escape(thing)}")
    for thing in cleaned.left:
        out.print(f"left {escape(thing)}")
    count = f"{len(cleaned.removed)} things removed"
    if cleaned.left and not everything:
        out.print(
            f"{count}, {len(cleaned.left)} left. Next: make up; or make clean ALL=1, which removes"
            " everything that the harness made on this machine, whoever uses it."
        )
    else:
        out.print(f"{count}. Next: make up makes them anew.")


@app.command(context_settings={"ignore_unknown_options": True})
def console(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Run Matomo's console in the local stack."""
    from matomo_harness.operate import local

    raise typer.Exit(local.console(arguments or ["list"]))


@app.command()
def logs() -> None:
    """Follow the local stack's logs."""
    from matomo_harness.operate import local

    raise typer.Exit(local.logs())


@app.command()
def archive(
    past: Annotated[bool, typer.Option("--list", help="Only tell of the runs so far.")] = False,
    json_output: Json = False,
) -> None:
    """Run the local stack's scheduled archiver now, in a container of its own."""
    from matomo_harness.operate import schedule

    if past:
        _print_runs(json_output)
        return
    container = schedule.start_now()
    for said in container.logs(stream=True, follow=True):
        sys.stdout.write(said.decode(errors="replace"))
        sys.stdout.flush()
    if code := container.wait()["StatusCode"]:
        raise BrokenPromiseError(
            expected="the archiver to end with exit code 0",
            seen=f"exit {code}",
            next_command=f"docker logs {container.name}",
        )


def _print_runs(json_output: bool) -> None:
    from matomo_harness.operate import schedule

    runs = schedule.runs()
    if json_output:
        out.print_json(json.dumps([asdict(run) for run in runs]))
        return
    table = Table(Column("container", overflow="fold"), "started (UTC)", "exit code")
    for run in runs:
        table.add_row(
            run.container, run.started, "runs" if run.exit_code is None else f"{run.exit_code}"
        )
    out.print(table)
    out.print("Next: docker logs CONTAINER says what it said.")


@app.command()
def fault(
    kind: Annotated[Kind, typer.Argument(help="What goes wrong.")],
    service: Annotated[Service, typer.Argument(help="Where.")],
    seconds: Annotated[float, typer.Option(help="How long, unless Ctrl-C ends it.")] = 60.0,
    cpus: Annotated[float, typer.Option(help="slow: what is left of the processor.")] = 0.05,
    path: Annotated[str, typer.Option(help="full-disk: a directory in memory.")] = "/var/www/html",
    by: Annotated[int, typer.Option(help="clock-skew: seconds that the clock is ahead.")] = 90,
) -> None:
    """Have something go wrong in the local stack for a while, then heal it."""
    from matomo_harness.operate.fault import inject

    def begun() -> None:
        out.print(f"{service}: {kind}, for {seconds:.0f} s or until Ctrl-C.")

    inject(kind, service, seconds, cpus=cpus, path=path, skew=by, begun=begun)
    out.print(f"{service}: healed. (Were this killed, make down and make up would heal it.)")


@app.command()
def gate(
    image: Annotated[str, typer.Option(help="A built image; image/ by default.")] = "",
    url: Annotated[str, typer.Option(help="A running Matomo instead; it is only looked at.")] = "",
    allow_hits: Annotated[
        bool, typer.Option("--allow-hits", help="At --url: store hits on a test site.")
    ] = False,
    authority: Annotated[
        Path | None, typer.Option(help="At --url: who signed its certificate, a PEM file.")
    ] = None,
    policy: Annotated[Path, typer.Option(help="What is promised.")] = POLICY_FILE,
    only: Annotated[
        str, typer.Option(help="Only these checks: ids, promises, or patterns such as masking.*")
    ] = "",
    listed: Annotated[
        bool, typer.Option("--list", help="List the checks, and look at nothing.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Prove every promise of the policy, on a built image or on a running instance.

    What a running instance lets the gate do comes by environment: HARNESS_TOKEN, and HARNESS_LOGIN,
    HARNESS_PASSWORD, HARNESS_TOTP_SECRET for what only a person sees.
    """
    from matomo_harness.gate import report
    from matomo_harness.operate import gate as gates
    from matomo_harness.operate.prepare import prepare as run

    checks = gates.chosen(only)
    if listed:
        _print_checks(checks, gates.seconds_of_last_run(), json_output)
        return
    if url:
        document = gates.of_address(
            url, policy, _print_result, checks, authority=authority, allow_hits=allow_hits
        )
    else:
        run()
        settings = Settings.from_environment()
        chosen = dataclasses.replace(settings, image=image or settings.image)
        document = gates.of_image(chosen, policy, _print_result, checks)
    if json_output:
        out.print_json(json.dumps(document))
    counts = document["counts"]
    progress.console.print(
        f"{len(document['checks'])} checks: {counts['pass']} kept, {counts['fail']} broken,"
        f" {counts['error']} not decided, {counts['skip']} not looked at,"
        f" {counts['waived']} waived; {counts['not promised']} not promised."
        f" Next: open {os.path.relpath(gates.DIRECTORY / 'index.html')}"
    )
    report.require_kept(document, gates.DIRECTORY)


def _print_checks(
    checks: "Sequence[Check]", seconds: "Mapping[str, float]", json_output: bool
) -> None:
    if json_output:
        told = [
            {
                "id": check.id,
                "promise": check.sentence,
                "proves": list(check.proves),
                "severity": check.severity.name.lower(),
                "capabilities": sorted(it.name.lower() for it in check.capabilities),
                "steps": [step.__name__ for step in check.steps],
                "seconds": seconds.get(check.id),
            }
            for check in checks
        ]
        out.print_json(json.dumps(told))
        return
    table = Table(Column("check", no_wrap=True), "it proves", "it needs", "seconds")
    for check in checks:
        needs = ", ".join(sorted(it.name.lower() for it in check.capabilities))
        took = seconds.get(check.id)
        table.add_row(check.id, check.sentence, needs, "" if took is None else f"{took:.1f}")
    out.print(table)
    out.print("Seconds are those of the gate's last run here. Next: matomo-harness explain CHECK")


@app.command()
def explain(
    name: Annotated[str, typer.Argument(metavar="CHECK", help="A check's id.")],
    json_output: Json = False,
) -> None:
    """Say what a check proves, what it needs, and which mutants prove the check itself."""
    from matomo_harness.operate import gate as gates

    explained = [gates.explained(it) for it in gates.chosen(name)]
    if json_output:
        out.print_json(json.dumps([asdict(it) for it in explained]))
        return
    for told in explained:
        out.print(f"[bold]{told.id}[/bold]  {escape(told.proves)}")
        out.print(f"  keys     {', '.join(told.keys) or 'none: it guards what always holds'}")
        out.print(f"  severity {told.severity}; failure mode {told.failure_mode or 'none known'}")
        out.print(f"  remedy   {escape(told.remedy)}")
        out.print(f"  needs    {'; '.join(told.needs) or 'nothing but an address'}")
        out.print(f"  steps    {'; '.join(told.steps) or 'none'}")
        for mutant, breaks in told.mutants.items():
            out.print(f"  mutant   {mutant}: {escape(breaks)}")
        out.print(f"Next: matomo-harness gate --only {told.id}")


def _print_result(result: "Result") -> None:
    if result.status in ("fail", "error"):
        progress.console.print(
            f"[red]{result.status:5}[/red] {result.check.id}: expected {escape(result.expected)};"
            f" seen: {escape(result.seen)}"
        )
    elif progress.console.is_terminal or result.status == "skip":
        reason = f": {result.seen}" if result.status == "skip" else ""
        progress.console.print(f"{result.status:5} {result.check.id}[dim]{escape(reason)}[/dim]")


policy_app = typer.Typer(help="The policy file: what is promised.", no_args_is_help=True)
app.add_typer(policy_app, name="policy")


@policy_app.command()
def migrate(
    file: Annotated[Path, typer.Argument(help="A policy of the release before.")] = POLICY_FILE,
    write: Annotated[bool, typer.Option("--write", help="Into the file, not to see.")] = False,
) -> None:
    """Turn a policy file of the release before into one of today's; comments are kept."""
    from matomo_harness.policy.migrate import migrated

    text = migrated(file)
    if not write:
        print(text, end="")  # noqa: T201  to be piped
        progress.console.print(f"Next: matomo-harness policy migrate --write {file}")
        return
    file.write_text(text)
    progress.console.print(f"{file} is migrated. Next: matomo-harness gate --policy {file}")


@policy_app.command()
def schema() -> None:
    """Print the JSON schema of a policy file, by which an editor completes and checks it."""
    from matomo_harness.gate.catalogue import SECTIONS
    from matomo_harness.policy import schema_of

    print(schema_of(SECTIONS), end="")  # noqa: T201  to be piped


@app.command()
def mutants(
    only: Annotated[str, typer.Option(help="Parts of ids, or a promise: privacy, drift …")] = "",
    full: Annotated[
        bool,
        typer.Option("--full", help="Every check on every mutant, each control alone: a night."),
    ] = False,
    made_by_rule: Annotated[
        bool, typer.Option("--generated", help="Those made of each key and variable as well.")
    ] = False,
    shard: Annotated[str, typer.Option(help="A part of them all: 1/4.")] = "",
    image: Annotated[str, typer.Option(help="A built image; image/ by default.")] = "",
    json_output: Json = False,
) -> None:
    """Break each promise in turn: the gate must say so, and only then."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from matomo_harness.gate.mutation import turns
    from matomo_harness.operate import mutants as operation
    from matomo_harness.operate.prepare import prepare as run
    from matomo_harness.shard import Shard

    subjects = operation.chosen(only, with_generated=made_by_rule)
    part = Shard.parse(shard) if shard else None
    run()
    settings = Settings.from_environment()
    settings = dataclasses.replace(settings, image=image or settings.image)
    subjects = operation.of_use(subjects, settings)
    if part:
        subjects = turns.part_of(part, subjects, full=full)
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
    """Return a line where a row is not as it should be; else nothing."""
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


@app.command()
def token() -> None:
    """Make an API token of the local stack's superuser, for HARNESS_TOKEN; print it."""
    from matomo_harness.operate import local

    out.print(local.token(Settings.from_environment()))


@app.command()
def totp(json_output: Json = False) -> None:
    """Print the superuser's current 2FA code; Matomo takes each code once."""
    from matomo_harness.operate import local

    code, seconds = local.totp()
    if json_output:
        out.print_json(json.dumps({"code": code, "seconds_left": seconds}))
        return
    out.print(code)
    progress.console.print(f"the next one comes in {seconds} s; Matomo takes each code once")


@app.command()
def doctor(json_output: Json = False) -> None:
    """Say what this machine has and lacks."""
    from matomo_harness.operate.doctor import examine

    findings = examine()
    if json_output:
        out.print_json(json.dumps([asdict(finding) for finding in findings]))
    else:
        table = Table("need", "seen", "next")
        for finding in findings:
            table.add_row(finding.name, finding.seen, finding.lacking or "")
        out.print(table)
    if any(finding.lacking for finding in findings):
        raise typer.Exit(ExitCode.MACHINE_CANNOT)


@app.command()
def images(
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove golden images that nothing can use any more.")
    ] = False,
    json_output: Json = False,
) -> None:
    """List the images that the harness made, the golden ones among them."""
    from matomo_harness.operate import images as stock

    removed = stock.prune() if prune else []
    held = stock.held()
    if json_output:
        out.print_json(json.dumps({"removed": removed, "held": [asdict(it) for it in held]}))
        return
    for name in removed:
        out.print(f"removed {name}")
    table = Table("image", "MiB", "made", "state")
    for image in held:
        table.add_row(image.name, str(image.mebibytes), image.made, image.state)
    out.print(table)
    if any(image.state.startswith("stale") for image in held):
        out.print("Next: matomo-harness images --prune removes the stale ones.")


@app.command()
def dist(tag: Annotated[str, typer.Argument(help="Name of the image.")]) -> None:
    """Build image/ on its base, under a name of your choice."""
    from matomo_harness.runtime import images

    images.require_name(tag)
    settings = Settings.from_environment()
    built = images.build_deployed(images.matomo_base(settings), tag)
    out.print(f"{built.reference} {built.digest}\nNext: make up, or IMAGE={tag} make test-local")


@app.command()
def bench(json_output: Json = False) -> None:
    """Measure what the figures in the README promise, into reports/bench.json."""
    from matomo_harness.operate import bench as measuring

    record = measuring.run(Settings.from_environment())
    measuring.write(record, REPORTS)
    path = REPORTS / "bench.json"
    if json_output:
        out.print_json(path.read_text())
    else:
        out.print(measuring.table(record))
        out.print(
            f"Written to {os.path.relpath(path)} and bench.svg. Next: make down stops the stack."
        )


@app.command()
def version() -> None:
    """Print this harness's version."""
    out.print(__version__)


def main() -> None:
    """Run the command line; a person's mistake ends in one clear line, not in a traceback."""
    try:
        app()
    except HarnessError as error:
        if os.environ.get("HARNESS_DEBUG"):
            raise
        progress.console.print(f"harness: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            progress.console.print("harness: interrupted. Next: the same command completes it.")
        raise
