"""A backup, proven: restored as it is, compared, and destroyed again."""

import json
from pathlib import Path
from typing import Annotated

import typer

from matomo_harness.cli.shared import Json, out
from matomo_harness.settings import RunSettings

app = typer.Typer()

Authority = Annotated[
    Path | None,
    typer.Option(help="Who signed production's certificate, where that is no public one."),
]


@app.command()
def drill(
    *,
    dump: Annotated[
        list[Path], typer.Option(help="The dump: a file or a directory; again for the next piece.")
    ],
    files: Annotated[Path, typer.Option(help="A tar of the directories config, misc and js.")],
    against: Annotated[
        Path | None, typer.Option(help="Production's numbers: a file of `numbers`.")
    ] = None,
    url: Annotated[
        str, typer.Option(help="Or production's address, with a token in HARNESS_TOKEN.")
    ] = "",
    authority: Authority = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            help="The policy; by default policy.toml here, or image/'s for its own image."
        ),
    ] = None,
    promises: Annotated[
        str, typer.Option("--gate", help="Promises that the gate judges: 'masking plugins'; all.")
    ] = "",
    json_output: Json = False,
) -> None:
    """Restore a backup as it is into an empty deployment, and prove that it is one.

    Person data stays in that deployment, which nobody reaches but this machine, which sends
    nothing, and which is destroyed at the end. MATOMO_GENERAL_SALT gives the salt where it is not
    in the files; HARNESS_LOGIN and HARNESS_PASSWORD a superuser of production.
    """
    from matomo_harness.operate import drill as operation
    from matomo_harness.operate.drill import against as production
    from matomo_harness.operate.prepare import prepare

    given = production.production_of(against, url, authority) if against or url else None
    prepare()
    document = operation.drill(
        dump,
        files,
        RunSettings.from_environment(),
        policy=policy,
        promises=tuple(promises.replace(",", " ").split()),
        production=given,
    )
    if json_output:
        out.print_json(json.dumps(document))
    else:
        for reason in document["reasons"]:
            out.print(f"{reason['weight']:5}{reason['what']}", markup=False)
            if reason["next"]:
                out.print(f"     next: {reason['next']}", markup=False)
        for gap, minutes in document["gaps"].items():
            if minutes is not None:
                out.print(f"{minutes:5} minutes {gap}", markup=False)
        out.print(document["verdict"]["sentence"], style="bold", markup=False)
        out.print(f"Next: open {operation.shown(operation.PAGE)}", markup=False)
    operation.require_backup(document)


@app.command()
def numbers(
    *,
    url: Annotated[str, typer.Option(help="Production's address; its token is in HARNESS_TOKEN.")],
    to: Annotated[Path, typer.Option(help="A new file, for `drill --against`.")],
    authority: Authority = None,
) -> None:
    """Write digests of production's reports of each site's last day, week, month and year."""
    from matomo_harness.operate.drill import against as production

    taken = production.take(url, authority, to)
    out.print(f"{len(taken.digests)} reports of {len(taken.periods)} periods are in {to}.")
    if taken.unanswered:
        out.print(f"{taken.unanswered} more were answered by an error, and are not compared.")
    out.print(f"Next: matomo-harness drill --dump … --files … --against {to}", markup=False)
