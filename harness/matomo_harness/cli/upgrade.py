"""The next version of Matomo: what does not fit it, and the upgrade on a copy of one's data."""

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


@app.command("rehearse-upgrade")
def rehearse_upgrade(
    *,
    of: Annotated[
        str,
        typer.Option(
            "--from", help="A snapshot, a reproduction or an image; by default the local stack."
        ),
    ] = "",
    to: Annotated[str, typer.Option(help="The image to upgrade to.")],
    policy: Annotated[
        Path | None, typer.Option(help="The policy; by default policy.toml here, or image/'s.")
    ] = None,
    visits: Annotated[
        int, typer.Option(help="Made-up ones, where it begins with an image.")
    ] = 1000,
    promises: Annotated[
        str, typer.Option("--gate", help="Promises that the gates judge: 'masking plugins'; all.")
    ] = "",
    json_output: Json = False,
) -> None:
    """Rehearse an upgrade of Matomo on a copy, with traffic going on, and both ways back.

    Nothing but the copy is touched, and that is removed whatever ends the rehearsal.
    """
    from matomo_harness.operate import rehearsal as operation
    from matomo_harness.operate.prepare import prepare

    prepare()
    document = operation.rehearse_upgrade(
        of,
        to,
        RunSettings.from_environment(),
        policy=policy,
        visits=visits,
        promises=tuple(promises.replace(",", " ").split()),
    )
    if json_output:
        out.print_json(json.dumps(document))
    else:
        for reason in document["reasons"]:
            out.print(f"{reason['weight']:5}{reason['what']}", markup=False)
            if reason["next"]:
                out.print(f"     next: {reason['next']}", markup=False)
        out.print(document["verdict"]["sentence"], style="bold", markup=False)
        out.print(f"Next: open {operation.shown(operation.PAGE)}", markup=False)
    operation.require_go(document)
