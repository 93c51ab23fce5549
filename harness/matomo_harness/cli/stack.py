"""The local stack, and what a user needs of it from day to day."""

import json
import os
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from matomo_harness import progress
from matomo_harness.cli.shared import Json, out
from matomo_harness.errors import BrokenPromiseError, WrongInputError
from matomo_harness.operate.fault import FaultKind, FaultTarget
from matomo_harness.operate.stack import Stack
from matomo_harness.settings import REPORTS, RunSettings

app = typer.Typer()


@app.command()
def up(json_output: Json = False) -> None:
    """Prepare this machine, and bring up a running, installed local stack."""
    from matomo_harness.operate import local
    from matomo_harness.operate.prepare import prepare as run
    from matomo_harness.operate.stack import LOCAL

    settings = RunSettings.from_environment()
    run()
    if LOCAL.recipe_file.exists():
        progress.console.print("A recipe is under way. Next: matomo-harness recipe list")
    report = local.up(settings)
    progress.write_timings(REPORTS / "up.json")
    if json_output:
        out.print_json(json.dumps(asdict(report)))
        return
    out.print(f"\nMatomo {report.matomo_version} is up: [bold]{report.url}[/bold]")
    out.print(f"  login     {report.login}")
    out.print(f"  password  SUPERUSER_PASSWORD in {os.path.relpath(LOCAL.secrets_file)}")
    out.print("  2FA code  make totp")
    out.print(f"  mail      {report.mail}")
    authority = os.path.relpath(LOCAL.authority_file)
    out.print(f"  trust     {authority}   (curl --cacert, or your browser)")
    out.print("  archiver  every full hour; make archive starts it now")
    out.print(f"  image     {report.image}")
    out.print(f"  database  {report.database_image}")
    out.print("Next: make down stops it and keeps the data; make logs follows its logs.")


@app.command()
def down() -> None:
    """Stop the local stack; its data stays."""
    from matomo_harness.operate import local
    from matomo_harness.operate.alone import alone
    from matomo_harness.operate.stack import LOCAL

    with alone(LOCAL, tidies=False):
        local.down()
    out.print("The local stack is down; its data stays. Next: make up, or make clean.")


@app.command()
def clean(
    everything: Annotated[
        bool, typer.Option("--all", help="All of the harness on this machine, living runs too.")
    ] = False,
    run: Annotated[str, typer.Option(help="Remove only what --matomo-keep left of this run.")] = "",
) -> None:
    """Remove this checkout's stack, data, reproductions and snapshots, and images nothing uses."""
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
def console(
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Its command and options; none lists the commands.")
    ] = None,
) -> None:
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
    past: Annotated[bool, typer.Option("--list", help="Only list the runs so far.")] = False,
    json_output: Json = False,
) -> None:
    """Run the local stack's scheduled archiver now, in a container of its own."""
    from matomo_harness.operate import schedule

    if past:
        _print_runs(json_output)
        return
    container = schedule.start_now()
    for line in container.logs(stream=True, follow=True):
        sys.stdout.write(line.decode(errors="replace"))
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
    out.print("Next: docker logs CONTAINER shows what it printed.")


@app.command()
def traffic(
    sites: Annotated[int, typer.Option(help="How many sites get visits.")] = 2,
    days: Annotated[int, typer.Option(help="How many days, up to yesterday.")] = 30,
    visits: Annotated[int, typer.Option(help="How many visits, of all sites together.")] = 1000,
    repro: Annotated[str, typer.Option(help="A reproduction, instead of the local stack.")] = "",
    json_output: Json = False,
) -> None:
    """Fill the local stack with made-up visits, and archive them."""
    from matomo_harness.operate import traffic as operation

    made = operation.make(sites, days, visits, _stack(repro))
    if json_output:
        out.print_json(json.dumps(asdict(made)))
        return
    table = Table(
        "site", Column("name", overflow="fold"), "days", "visits", "visitors", "actions",
        "conversions",
    )  # fmt: skip
    for site in made.sites:
        counted = (site.visits, site.unique_visitors, site.actions, site.conversions)
        table.add_row(
            f"{site.id}", escape(site.name), f"{site.first_day} to {site.last_day}",
            *(f"{number:,}" for number in counted),
        )  # fmt: skip
    out.print(table)
    out.print(
        f"{made.tracked + made.copied:,} visits in {made.seconds:.0f} s: {made.tracked:,} by the"
        f" tracker, {made.copied:,} as copies of those; archived, and reported exactly."
    )
    out.print(f"Next: open {made.url}", markup=False)


@app.command()
def shell(
    repro: Annotated[str, typer.Option(help="A reproduction, instead of the local stack.")] = "",
) -> None:
    """Open a shell in the web container, as the web server's user in the web root."""
    from matomo_harness.operate import local

    raise typer.Exit(local.shell(_stack(repro)))


def _stack(name: str) -> Stack:
    """Return the local stack, or the reproduction `name`."""
    from matomo_harness.operate import repro
    from matomo_harness.operate.stack import LOCAL

    return repro.find(name).stack if name else LOCAL


@app.command()
def fault(
    kind: Annotated[FaultKind, typer.Argument(help="What goes wrong.")],
    service: Annotated[FaultTarget, typer.Argument(help="Where it goes wrong.")],
    seconds: Annotated[float, typer.Option(help="How long, unless Ctrl-C ends it sooner.")] = 60.0,
    cpus: Annotated[float, typer.Option(help="slow: what is left of the processor.")] = 0.05,
    path: Annotated[str, typer.Option(help="full-disk: a directory in memory.")] = "/var/www/html",
    by: Annotated[int, typer.Option(help="clock-skew: seconds that the clock is ahead.")] = 90,
) -> None:
    """Make something go wrong in the local stack for a while, then heal it."""
    from matomo_harness.operate.fault import inject

    def on_begin() -> None:
        out.print(f"{service}: {kind}, for {seconds:.0f} s or until Ctrl-C.")

    inject(kind, service, seconds, cpus=cpus, path=path, skew=by, on_begin=on_begin)
    out.print(f"{service}: healed. (If this is ever killed, make down and make up heal it.)")


@app.command()
def token() -> None:
    """Make an API token of the local stack's superuser for HARNESS_TOKEN, and print it."""
    from matomo_harness.operate import local

    out.print(local.token(RunSettings.from_environment()))


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
