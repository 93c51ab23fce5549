"""Reproductions of a production: made, listed, opened, removed."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from matomo_harness.cli.shared import Json, out
from matomo_harness.progress import console
from matomo_harness.settings import RunSettings

app = typer.Typer()
repro = typer.Typer(no_args_is_help=True, help="A production state on this machine.")
app.add_typer(repro, name="repro")

Name = Annotated[str, typer.Argument(help="The reproduction's name.")]
Update = Annotated[bool, typer.Option(help="Let Matomo update tables that are older.")]

Rules = Annotated[
    Path | None, typer.Option(help="A file with rules of your own, which come first.")
]
Since = Annotated[str, typer.Option(help="Visits of this day (UTC) and later alone: 2026-01-31.")]
Sites = Annotated[str, typer.Option(help="These sites alone: 1,3.")]
Sample = Annotated[str, typer.Option(help="All visits of so many of the visitors alone: 1%.")]
SchemaOnly = Annotated[
    bool, typer.Option("--schema-only", help="No visits and no reports: settings alone.")
]
Dump = Annotated[
    list[Path], typer.Argument(help="The dump: files in order, or a directory; or a bundle.")
]


@app.command()
def pseudonymise(
    *,
    dump: Annotated[
        list[Path] | None,
        typer.Argument(help="Files in order, or a directory; none for DATABASE_URL's database."),
    ] = None,
    to: Annotated[Path, typer.Option(help="A new file: .sql, .sql.gz or .sql.zst.")],
    rules: Rules = None,
    since: Since = "",
    sites: Sites = "",
    sample: Sample = "",
    schema_only: SchemaOnly = False,
) -> None:
    """Write a dump without person data, so that the raw one need not travel.

    Without DUMP it is one of the database that DATABASE_URL names, or a file of mode 0600 that
    DATABASE_URL_FILE names: mysql://user:password@host:port/schema.
    """
    from matomo_harness.operate.prepare import prepare
    from matomo_harness.operate.pseudonymise import pseudonymise as run
    from matomo_harness.personal_data import slices

    part = slices.parsed(since, sites, sample, schema_only=schema_only)
    prepare()
    certificate = run(dump or [], to, RunSettings.from_environment(), own_rules=rules, part=part)
    out.print(f"{to}: {certificate}", markup=False)
    for note in certificate.left_out:
        out.print(f"left out: {note}", markup=False)
    out.print(f"Next: make repro DUMP={to}, here or where it is sent to.", markup=False)


@repro.command()
def new(
    dump: Dump,
    name: Annotated[str, typer.Option(help="What to call it.")] = "prod",
    update: Update = False,
    archive: Annotated[bool, typer.Option(help="Archive anew what there are visits for.")] = True,
    keep_person_data: Annotated[
        bool,
        typer.Option("--keep-person-data", help="Rewrite nothing: visitors stay who they are."),
    ] = False,
    rules: Rules = None,
    config: Annotated[Path | None, typer.Option(help="Production's config.ini.php.")] = None,
    files: Annotated[
        Path | None, typer.Option(help="A tar of production's directories config, misc and js.")
    ] = None,
    since: Since = "",
    sites: Sites = "",
    sample: Sample = "",
    schema_only: SchemaOnly = False,
    json_output: Json = False,
) -> None:
    """Make a running reproduction of a dump, or of a bundle, without person data."""
    from matomo_harness.operate import bundle
    from matomo_harness.operate import repro as operation
    from matomo_harness.operate.prepare import prepare
    from matomo_harness.personal_data import slices

    part = slices.parsed(since, sites, sample, schema_only=schema_only)
    prepare()
    if keep_person_data:
        console.print(
            f"--keep-person-data: {name} will hold what production's visitors and people left."
            " Whoever gets it or anything made from it gets that.",
            style="yellow",
            markup=False,
        )
    choices = operation.Choices(name, update, archive, keep_person_data, rules, config, part, files)
    _show(bundle.reproduce(dump, RunSettings.from_environment(), choices), json_output)


@repro.command("open")
def open_again(name: Name, update: Update = False, json_output: Json = False) -> None:
    """Start a reproduction again, and print its address."""
    from matomo_harness.operate import repro as operation

    _show(operation.open_again(name, RunSettings.from_environment(), update=update), json_output)


@repro.command("list")
def list_all(json_output: Json = False) -> None:
    """List this checkout's reproductions."""
    from matomo_harness.operate import repro as operation

    found = operation.every()
    if json_output:
        out.print_json(json.dumps([asdict(record) for record in found]))
        return
    table = Table(Column("name", overflow="fold"), "address", "of", "made (UTC)", "person data")
    for record in found:
        table.add_row(
            record.name,
            f"https://localhost:{record.port}/" if operation.is_open(record) else "closed",
            f"Matomo {record.matomo_version}, {record.server}",
            record.made,
            "IN IT" if record.certificate.keeps_person_data else "rewritten",
        )
    out.print(table)
    out.print("Next: matomo-harness repro open NAME, repro remove NAME, or make repro DUMP=…")


@repro.command()
def remove(name: Name) -> None:
    """Remove a reproduction with all its data."""
    from matomo_harness.operate import repro as operation

    for thing in operation.remove(name):
        out.print(f"removed {escape(thing)}")
    out.print("Next: matomo-harness repro list")


@repro.command()
def totp(name: Name) -> None:
    """Print the current 2FA code of the harness's superuser in a reproduction."""
    from matomo_harness.operate import local
    from matomo_harness.operate import repro as operation

    code, seconds = local.totp(operation.find(name).stack)
    out.print(code)
    console.print(f"the next one comes in {seconds} s; Matomo takes each code once")


def _show(found: object, json_output: bool) -> None:
    from matomo_harness.operate.repro import DIFFERENCES, OpenReproduction

    assert isinstance(found, OpenReproduction)  # noqa: S101
    if json_output:
        out.print_json(json.dumps(asdict(found)))
        return
    record, summary = found.record, found.summary
    secrets = record.stack.secrets_file
    out.print(f"\nThe reproduction {record.name} runs: [bold]{summary.url}[/bold]")
    out.print(
        f"  of          {', '.join(record.dump)}: Matomo {record.matomo_version},"
        f" {record.server}, {record.tables} tables",
        markup=False,
    )
    out.print(f"  image       {record.image} (Matomo {summary.matomo_version})", markup=False)
    out.print(
        f"  login       {summary.login}; password SUPERUSER_PASSWORD in {secrets}", markup=False
    )
    out.print(f"  2FA code    matomo-harness repro totp {record.name}")
    out.print(f"  mail        {summary.mail}")
    out.print(f"  certificate {record.certificate}", markup=False)
    for note in record.certificate.left_out:
        out.print(f"  left out    {note}", markup=False)
    if record.missing_plugins:
        out.print(
            f"  lacks       {', '.join(record.missing_plugins)}: plugins of production that the"
            " image has no code of; IMAGE=… names one that has",
            style="yellow",
            markup=False,
        )
    out.print("What differs from production:")
    for difference in DIFFERENCES:
        out.print(f"  {difference}", markup=False)
    if found.broken:
        out.print(
            f"What does not work, as in production or because of what differs: {found.broken}",
            style="yellow",
            markup=False,
        )
    if found.waits_for_update:
        out.print(
            "The tables are older than the image: Matomo waits for its update, and the harness has"
            " no account yet.",
            style="yellow",
        )
        out.print(f"Next: matomo-harness repro open {record.name} --update")
    else:
        out.print(f"Next: open it; matomo-harness repro remove {record.name} removes it.")
