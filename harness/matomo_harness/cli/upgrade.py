"""The next version of Matomo: what does not fit it, and the upgrade on a copy of one's data."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from matomo_harness.cli.shared import Json, out
from matomo_harness.settings import RunSettings

app = typer.Typer()

Beginning = Annotated[
    str,
    typer.Option(
        "--from", help="A snapshot, a reproduction or an image; by default the local stack."
    ),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option(help="The policy; by default policy.toml here, or image/'s for its own image."),
]
Visits = Annotated[int, typer.Option(help="Made-up ones, where it begins with an image.")]
Promises = Annotated[
    str, typer.Option("--gate", help="Promises that the gates judge: 'masking plugins'; all.")
]


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
    of: Beginning = "",
    to: Annotated[
        str, typer.Option(help="The image to upgrade to; none where --database-to is all.")
    ] = "",
    database_to: Annotated[
        str, typer.Option(help="The database server to upgrade to: 11.8, or an image.")
    ] = "",
    database_way: Annotated[
        str, typer.Option(help="How the data gets there: place (its files), or dump.")
    ] = "place",
    database_from: Annotated[
        str, typer.Option(help="Where it begins with an image: the database server to begin on.")
    ] = "",
    policy: PolicyFile = None,
    visits: Visits = 1000,
    promises: Promises = "",
    json_output: Json = False,
) -> None:
    """Rehearse an upgrade of Matomo, its database server or both, on a copy, and the ways back.

    Traffic goes on all the while. Nothing but the copy is touched, and that is removed whatever
    ends the rehearsal.
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
        database_from=database_from,
        database_to=database_to,
        database_way=database_way,
    )
    _show(document, json_output=json_output)


@app.command("rehearse-plugin")
def rehearse_plugin(
    kind: Annotated[str, typer.Argument(help="add, update or remove.")],
    what: Annotated[
        str, typer.Argument(help="The plugin's folder or zip file; its name to remove it.")
    ],
    *,
    of: Beginning = "",
    by: Annotated[
        str, typer.Option("--route", help="How it is switched on: console, or list (the file's).")
    ] = "console",
    policy: PolicyFile = None,
    visits: Visits = 1000,
    promises: Promises = "",
    json_output: Json = False,
) -> None:
    """Rehearse that a plugin is added, updated or removed, on a copy, and the ways back.

    Its files come first, then it is switched on, then the configuration is captured.
    """
    from matomo_harness.operate import rehearsal as operation
    from matomo_harness.operate.prepare import prepare

    prepare()
    document = operation.rehearse_plugin(
        kind,
        what,
        of,
        RunSettings.from_environment(),
        by=by,
        policy=policy,
        visits=visits,
        promises=tuple(promises.replace(",", " ").split()),
    )
    _show(document, json_output=json_output)


@app.command("repair-plugin")
def repair_plugin(
    name: Annotated[str, typer.Argument(help="The plugin, as its folder is called.")],
    *,
    repro: Annotated[str, typer.Option(help="Of a reproduction; by default the local stack.")] = "",
    json_output: Json = False,
) -> None:
    """Have Matomo install an active plugin again, of which tables or columns were never made.

    What is in its tables stays.
    """
    from matomo_harness.operate import repair_plugin as operation

    found = operation.repair(name, repro)
    if json_output:
        out.print_json(json.dumps(asdict(found)))
        return
    if not found.knows_tables:
        out.print(f"Which tables {name} needs is not known here; columns are looked at.")
    if found.lacked:
        out.print(f"Made: {', '.join(found.lacked)}.", markup=False)
    else:
        out.print(f"Nothing of {name} is lacking.", markup=False)
    out.print("Next: make gate ONLY='plugins.*'", markup=False)


def _show(document: dict[str, Any], *, json_output: bool) -> None:
    from matomo_harness.operate import rehearsal as operation

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
