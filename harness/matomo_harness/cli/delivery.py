"""Delivery: publish, promote, roll back, redeploy; and whether what runs was vouched for."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from matomo_harness import extra
from matomo_harness.cli.shared import Json, out
from matomo_harness.errors import WrongInputError
from matomo_harness.progress import console

if TYPE_CHECKING:
    from matomo_harness.operate.delivery.outcome import Outcome

app = typer.Typer()

StageName = Annotated[str, typer.Argument(help="dev, stage or production, as in delivery.toml.")]
Plan = Annotated[bool, typer.Option("--plan", help="Say what would be done, and change nothing.")]
File = Annotated[
    Path | None, typer.Option(help="By default delivery.toml here, or the reference's.")
]


@app.command()
def publish(
    stage: StageName,
    image: Annotated[
        str, typer.Option(help="A built image; by default matomo:latest, of make dist-dev.")
    ] = "matomo:latest",
    gate: Annotated[
        Path | None, typer.Option(help="The gate's verdict; by default reports/gate/gate.json.")
    ] = None,
    delivery: File = None,
    plan: Plan = False,
    json_output: Json = False,
) -> None:
    """Push an image to the registry of a stage under its commit, and sign the gate's verdict on it.

    HARNESS_PASSPORT_KEY names the file of the SSH key that signs; stage asks for it, dev does not.
    """
    extra.require_engine_libraries()
    from matomo_harness.operate.delivery import publish as operation
    from matomo_harness.operate.delivery.stages import Delivery

    done = operation.publish(
        Delivery.read(delivery), stage, image, gate=gate or operation.GATE, plan=plan
    )
    _show(done, plan=plan, json_output=json_output, following=f"make redeploy-{_short(done.stage)}")


@app.command()
def promote(
    stage: StageName = "production",
    source: Annotated[str, typer.Option("--from", help="The stage that has the image.")] = "stage",
    image: Annotated[
        str, typer.Option(help="A tag or a digest there; by default the commit checked out.")
    ] = "",
    delivery: File = None,
    plan: Plan = False,
    json_output: Json = False,
) -> None:
    """Copy an image by its digest to a later stage, if a fresh, green passport vouches for it."""
    from matomo_harness.operate.delivery import promote as operation
    from matomo_harness.operate.delivery.stages import Delivery

    done = operation.promote(
        Delivery.read(delivery), stage, source=source, reference=image, plan=plan
    )
    _show(done, plan=plan, json_output=json_output, following=f"make redeploy-{_short(done.stage)}")


@app.command()
def rollback(
    stage: StageName = "production",
    to: Annotated[
        str, typer.Option(help="A tag or a digest; by default the release before the running one.")
    ] = "",
    delivery: File = None,
    plan: Plan = False,
    json_output: Json = False,
) -> None:
    """Have a stage run the release before the one that runs, and wait until it does."""
    from matomo_harness.operate.delivery import redeploy as operation
    from matomo_harness.operate.delivery.stages import Delivery

    done = operation.rollback(Delivery.read(delivery), stage, to=to, plan=plan)
    _show(done, plan=plan, json_output=json_output, following=_verify(done))


@app.command()
def redeploy(
    stage: StageName,
    image: Annotated[
        str,
        typer.Option(
            help="A tag or a digest; by default the newest release, elsewhere the commit."
        ),
    ] = "",
    delivery: File = None,
    plan: Plan = False,
    json_output: Json = False,
) -> None:
    """Force a new deployment of a stage, wait for it, and say which digest runs afterwards."""
    from matomo_harness.operate.delivery import redeploy as operation
    from matomo_harness.operate.delivery.stages import Delivery

    done = operation.redeploy(Delivery.read(delivery), stage, reference=image, plan=plan)
    _show(done, plan=plan, json_output=json_output, following=_verify(done))


@app.command()
def verify(
    what: Annotated[
        str, typer.Argument(help="An image, with its registry or of this machine; a container.")
    ] = "",
    service: Annotated[
        str, typer.Option(help="What a stage of delivery.toml runs, instead: production.")
    ] = "",
    passport: Annotated[
        Path | None, typer.Option(help="Its passport, a file: no registry is asked for one.")
    ] = None,
    whenever: Annotated[
        bool,
        typer.Option("--whenever", help="An old passport, or one of another policy, will do."),
    ] = False,
    delivery: File = None,
    json_output: Json = False,
) -> None:
    """Say whether an image, or what runs, is what the gate was green on and somebody signed."""
    if bool(what) == bool(service):
        raise WrongInputError(
            expected="an image or a container, or --service and a stage",
            seen="both" if what else "neither",
            next_command="matomo-harness verify --help",
        )
    from matomo_harness.operate.delivery import verify as operation
    from matomo_harness.operate.delivery.stages import Delivery

    rules = Delivery.read(delivery)
    if service:
        vouched = operation.verify_service(rules, service, file=passport, whenever=whenever)
    else:
        vouched = [operation.verify(rules, what, file=passport, whenever=whenever)]
    if json_output:
        out.print_json(json.dumps([asdict(one) for one in vouched]))
        return
    for one in vouched:
        out.print(
            f"{one.image} is vouched for by {one.signed_by}: Matomo {one.matomo}, {one.checks}"
            f" checks passed, {one.time}\n  {one.digest}",
            markup=False,
        )


def _short(stage: str) -> str:
    return "prod" if stage == "production" else stage


def _verify(done: "Outcome") -> str:
    return f"matomo-harness verify --service {done.stage}"


def _show(done: "Outcome", *, plan: bool, json_output: bool, following: str) -> None:
    for warning in done.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False)
    if json_output:
        out.print_json(json.dumps({**asdict(done), "plan": plan}))
        return
    for done_or_not in done.steps:
        out.print(f"{'would ' if plan else ''}{done_or_not}", markup=False)
    if plan:
        out.print("Nothing was changed. Next: the same without --plan.")
        return
    if done.passport:
        out.print(f"passport {done.passport}", markup=False)
    out.print(f"{done.image} ({done.tag})\nNext: {following}", markup=False)
