"""A bundle of a reproduction, or of the local stack, to send with a ticket."""

import json
from pathlib import Path
from typing import Annotated

import typer

from matomo_harness.cli.shared import Json, out

app = typer.Typer()


@app.command()
def bundle(
    *,
    to: Annotated[Path, typer.Option(help="A new file: ticket.zip.")],
    repro: Annotated[
        str, typer.Option(help="Of this reproduction, and not of the local stack.")
    ] = "",
    with_data: Annotated[
        bool | None,
        typer.Option(
            "--with-data/--without-data",
            help="Whether the data is in it, rewritten: by default a reproduction's alone.",
        ),
    ] = None,
    keep_person_data: Annotated[
        bool,
        typer.Option("--keep-person-data", help="Rewrite nothing: visitors stay who they are."),
    ] = False,
    rules: Annotated[
        Path | None, typer.Option(help="A file with rules of your own, which goes into it.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Write one file for a ticket: versions, configuration, schema, logs, report and data.

    No secret of the stack is in it, and no person. `repro new` makes a reproduction of it.
    """
    from matomo_harness.operate import bundle as operation
    from matomo_harness.operate import snapshot

    stack = snapshot.stack_of(repro)
    made = operation.write(to, stack, operation.Wish(with_data, keep_person_data, rules))
    manifest = made.manifest
    if json_output:
        document = {"path": str(made.path), "sizes": dict(made.sizes)}
        out.print_json(json.dumps({**document, "manifest": manifest.model_dump()}))
        return
    said = " PERSON DATA IS IN IT." if manifest.person_data else ""
    out.print(f"{to}: {manifest.of}, {to.stat().st_size / 1e6:.1f} MB.{said}", markup=False)
    out.print(
        f"  Matomo {manifest.matomo} (code {manifest.code}), PHP {manifest.php},"
        f" {manifest.mariadb}",
        markup=False,
    )
    for name, size in sorted(made.sizes.items()):
        out.print(f"  {name} ({size / 1e3:.0f} kB)", markup=False)
    if manifest.certificate:
        out.print(f"  certificate {manifest.certificate}", markup=False)
    for note in manifest.left_out:
        out.print(f"  left out    {note}", markup=False)
    there = f"make repro DUMP={to.name}"
    if manifest.recipe:
        out.print(f"  recipe      {manifest.recipe} is under way in it", markup=False)
        there = (
            there if manifest.certificate else f"make up, then make recipe NAME={manifest.recipe}"
        )
    out.print(f"Next: send it; there: {there}", markup=False)
