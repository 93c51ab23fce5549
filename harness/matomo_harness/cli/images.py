"""The machine: what it has and lacks, the images on it, and how quick everything is on it."""

import json
import os
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from matomo_harness.cli.shared import Json, out
from matomo_harness.errors import ExitCode
from matomo_harness.progress import console
from matomo_harness.settings import REPORTS, RunSettings, every_version, other_databases

app = typer.Typer()


@app.command()
def prepare(
    browser: Annotated[bool, typer.Option("--browser", help="Also provide a Chromium.")] = False,
    images: Annotated[
        bool, typer.Option("--images", help="Build what tests start from, for one Matomo version.")
    ] = False,
    all_versions: Annotated[
        bool,
        typer.Option("--all-versions", help="With --images: for each version, and MariaDB's too."),
    ] = False,
) -> None:
    """Make sure that an engine and Compose are here, installing them where that is possible."""
    from matomo_harness.operate.prepare import prepare as run

    versions = every_version()
    run(browser=browser)
    if images:
        from matomo_harness.operate.prepare_images import prepare_images

        if all_versions:
            prepare_images(versions, other_databases())
        else:
            prepare_images(versions[:1])


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
        out.print_json(json.dumps({"removed": removed, "held": [asdict(image) for image in held]}))
        return
    for name in removed:
        out.print(f"removed {name}")
    table = Table("image", "MiB", "made", "state")
    for image in held:
        table.add_row(image.name, str(image.mebibytes), image.made, image.state)
    out.print(table)
    if any(image.state.startswith("stale") for image in held):
        left = "What is stale still is being built, or of another checkout, whose run lives."
        out.print(left if prune else "Next: matomo-harness images --prune removes the stale ones.")


@app.command()
def dist(tag: Annotated[str, typer.Argument(help="The name of the new image.")]) -> None:
    """Build image/ on its base for linux/amd64, under a name of your choice and its commit."""
    from matomo_harness.operate.delivery.dist import ON_A_SUBSTITUTE
    from matomo_harness.operate.delivery.dist import dist as build
    from matomo_harness.runtime import images

    built, names = build(tag, RunSettings.from_environment())
    if images.is_on_substitute(built):
        console.print(f"warning: {ON_A_SUBSTITUTE}", style="yellow", markup=False)
    out.print(f"{', '.join(names)} {built.digest}", markup=False)
    out.print(f"Next: make up, IMAGE={tag} make test-local, or make publish-dev", markup=False)


@app.command()
def updates(
    image: Annotated[str, typer.Argument(help="A built image; by default image/ is built.")] = "",
    json_output: Json = False,
) -> None:
    """Say which packages of an image its distribution has a newer version of.

    Exit code 1: one of them is a security update. 3: the suites cannot be reached.
    """
    from matomo_harness.operate import updates as operation
    from matomo_harness.operate.prepare import prepare as run
    from matomo_harness.runtime import images

    run()
    settings = RunSettings.from_environment()
    chosen = images.given(image, "the image") if image else images.deployed_image(settings)
    found = operation.waiting(chosen)
    if json_output:
        out.print_json(json.dumps([asdict(update) for update in found]))
    else:
        for update in found:
            kind = "security" if update.is_of_security else "newer"
            out.print(
                f"{kind:9}{update.name} {update.installed} -> {update.newer} ({update.suites})",
                markup=False,
            )
        count = sum(update.is_of_security for update in found)
        out.print(f"{chosen.reference}: {len(found)} updates, {count} of them for security.")
    operation.require_no_security_update(chosen, found)


@app.command()
def bench(json_output: Json = False) -> None:
    """Measure the figures of docs/performance.md; write them into reports/bench.json."""
    from matomo_harness.operate import bench as measuring

    record = measuring.run(RunSettings.from_environment())
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
def doctor(json_output: Json = False) -> None:
    """Say what this machine has and lacks."""
    from matomo_harness.operate.doctor import examine

    requirements = examine()
    if json_output:
        out.print_json(json.dumps([asdict(requirement) for requirement in requirements]))
    else:
        table = Table("need", "seen", "next")
        for requirement in requirements:
            table.add_row(requirement.name, requirement.seen, requirement.lacking or "")
        out.print(table)
    if any(requirement.lacking for requirement in requirements):
        raise typer.Exit(ExitCode.UNSUPPORTED_ENVIRONMENT)
