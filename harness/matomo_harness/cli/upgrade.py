"""The next version of Matomo: what does not fit it, by files alone."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from matomo_harness.cli.shared import Json, out
from matomo_harness.settings import RunSettings

app = typer.Typer()


@app.command()
def fit(
    *,
    to: Annotated[str, typer.Option(help="The version to come: 5.10.0.")],
    of: Annotated[
        str, typer.Option("--from", help="Today's version; by default the one that is built here.")
    ] = "",
    config: Annotated[
        Path | None, typer.Option(help="Your config.ini.php; by default image/'s.")
    ] = None,
    plugins: Annotated[
        Path | None, typer.Option(help="The directory of your plugins; by default image/plugins.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Say which plugins and options do not fit another version of Matomo, without a container."""
    from matomo_harness.operate import fit as operation

    found = operation.fit(
        of or RunSettings.from_environment().matomo_version,
        to,
        config or operation.CONFIG,
        plugins or operation.PLUGINS,
    )
    if json_output:
        out.print_json(json.dumps(asdict(found)))
    else:
        for misfit in found.misfits:
            word = "breaks" if misfit.breaks else "differs"
            out.print(f"{word:8}{misfit.what}: {misfit.why} ({misfit.source})", markup=False)
        fits = "does not fit" if found.breaks else "fits"
        named = ", ".join(found.plugins) or "no plugin"
        out.print(
            f"From {found.before} to {found.after}: what is built here {fits} ({named} read).",
            markup=False,
        )
        for note in found.notes:
            out.print(f"  {note}", markup=False)
    operation.require_fits(found)
