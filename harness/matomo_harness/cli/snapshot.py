"""Snapshots: states of the local stack or of a reproduction, by name."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Column, Table

from matomo_harness.cli.shared import Json, out
from matomo_harness.settings import RunSettings

app = typer.Typer()
snapshot = typer.Typer(no_args_is_help=True, help="States of a stack, by name.")
app.add_typer(snapshot, name="snapshot")

Name = Annotated[str, typer.Argument(help="The snapshot's name.")]
Repro = Annotated[
    str, typer.Option("--repro", help="Of this reproduction, and not of the local stack.")
]
MIB = 2**20


@snapshot.command()
def save(name: Name, repro: Repro = "", json_output: Json = False) -> None:
    """Save database and files of a stack that is up; its database is stopped for the copy."""
    from matomo_harness.operate import snapshot as operation

    made = operation.save(name, operation.stack_of(repro))
    if json_output:
        out.print_json(json.dumps(asdict(made)))
        return
    out.print(
        f"{name}: Matomo {made.matomo_version}, {made.server_version}, {_size(made.bytes)}",
        markup=False,
    )
    out.print(f"Next: matomo-harness snapshot restore {name}{_option(repro)}", markup=False)


@snapshot.command("list")
def list_all(repro: Repro = "", json_output: Json = False) -> None:
    """List the snapshots of a stack."""
    from matomo_harness.operate import snapshot as operation

    found = operation.every(operation.stack_of(repro))
    if json_output:
        out.print_json(json.dumps([asdict(each) for each in found]))
        return
    table = Table(Column("name", overflow="fold"), "made (UTC)", "Matomo", "database", "size")
    for each in found:
        table.add_row(
            each.name, each.made, each.matomo_version, each.server_version, _size(each.bytes)
        )
    out.print(table)
    verbs = ("save", "restore", "delete")
    listed = ", ".join(f"matomo-harness snapshot {verb} NAME{_option(repro)}" for verb in verbs)
    out.print(f"Next: {listed}", markup=False)


@snapshot.command()
def restore(name: Name, repro: Repro = "", json_output: Json = False) -> None:
    """Start a stack on a snapshot's state, in the place of its present one, which is given up."""
    from matomo_harness.operate import snapshot as operation

    stack = operation.stack_of(repro)
    restored = operation.restore(name, RunSettings.from_environment(), stack)
    if json_output:
        out.print_json(json.dumps(asdict(restored)))
        return
    out.print(f"\nThe state {name} runs: [bold]{restored.url}[/bold]")
    out.print(
        f"  login {restored.login}; password SUPERUSER_PASSWORD in {stack.secrets_file}",
        markup=False,
    )
    if restored.waits_for_update:
        out.print(
            "The tables are older than the image: every page is Matomo's own updater.",
            style="yellow",
        )
    out.print(f"Next: open it; the snapshot {name} stays as it is.", markup=False)


@snapshot.command()
def delete(name: Name, repro: Repro = "") -> None:
    """Delete a snapshot; the stack stays as it is."""
    from matomo_harness.operate import snapshot as operation

    operation.delete(name, operation.stack_of(repro))
    out.print(
        f"{name} is deleted. Next: matomo-harness snapshot list{_option(repro)}", markup=False
    )


def _size(count: int) -> str:
    return f"{count / MIB:.0f} MiB"


def _option(repro: str) -> str:
    return f" --repro {repro}" if repro else ""
