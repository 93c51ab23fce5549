"""An institution's own image: what it is, and the files that it begins with."""

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from matomo_harness import progress
from matomo_harness.cli.shared import Json, out
from matomo_harness.settings import RunSettings

if TYPE_CHECKING:
    from matomo_harness.gate.core.runner import Result

app = typer.Typer()

What = Annotated[
    str,
    typer.Argument(
        metavar="IMAGE|CONTAINER|COMPOSE FILE",
        help="An image, a container, or a Compose file with a service that runs Matomo.",
    ),
]
Service = Annotated[str, typer.Option(help="The service of a Compose file that runs Matomo.")]


@app.command()
def inspect(
    what: What,
    service: Service = "matomo",
    directory: Annotated[
        Path, typer.Option(help="Where the image's deployment.toml is, if it has one.")
    ] = Path(),
    json_output: Json = False,
) -> None:
    """Say what an image is: web root, user, port, configuration, archiver, plugins, versions."""
    from matomo_harness.operate import inspect as operation
    from matomo_harness.operate.prepare import prepare

    prepare()
    image = operation.image_of(what, service)
    profile = operation.profile_of(image, directory)
    if json_output:
        out.print_json(json.dumps({"image": image.reference, **asdict(profile)}))
        return
    table = Table(show_header=False, box=None)
    for name, text in operation.described(profile):
        table.add_row(name, escape(text))
    out.print(table)
    _say_what_was_not_seen(operation.beyond_the_image(what, service), service)
    options = ["--service", service] if operation.compose_files(what) else []
    options += ["--directory", str(directory)] if directory != Path() else []
    out.print(f"Next: {shlex.join(['matomo-harness', 'init', what, *options])}", markup=False)


@app.command()
def init(
    what: What,
    service: Service = "matomo",
    directory: Annotated[
        Path, typer.Option(help="Where the files go; none that is there is replaced.")
    ] = Path(),
    json_output: Json = False,
) -> None:
    """Draft an institution's policy, deployment file, workflow and first test from its image.

    Each promise is tried on a throw-away deployment of the image; what it does not keep today is
    written as a comment.
    """
    from matomo_harness.operate import init as operation
    from matomo_harness.operate.inspect import beyond_the_image, compose_files, image_of
    from matomo_harness.operate.prepare import prepare

    prepare()
    image = image_of(what, service)
    done = 0

    def on_result(_: "Result") -> None:
        nonlocal done
        done += 1
        if done % 25 == 0:
            progress.console.print(f"{done} checks have been tried")

    drafted = operation.init(RunSettings.from_environment(), image, directory, on_result)
    if json_output:
        out.print_json(
            json.dumps(
                {
                    "written": [str(path) for path in drafted.written],
                    "promised": drafted.promised,
                    "left_out": dict(drafted.left_out),
                    "causes": list(drafted.causes),
                }
            )
        )
        return
    for path in drafted.written:
        out.print(f"written  {path}")
    for cause in drafted.causes:
        out.print(f"cause    {escape(cause)}: it does not, so that much could not be tried")
    for key, reason in drafted.left_out.items():
        if reason != operation.NOT_TODAY:
            out.print(f"left out {key}: {escape(reason)}")
    _say_what_was_not_seen(beyond_the_image(what, service), service)
    judged = ["--image", image.reference]
    if compose_files(what):
        judged = ["--compose", what, "--service", service]
    gate = shlex.join(["matomo-harness", "gate", *judged, "--policy", str(drafted.written[0])])
    out.print(
        f"{drafted.promised} keys promise something. Read {drafted.written[0]}, and correct it."
        f" Next: {gate}",
        markup=False,
    )


def _say_what_was_not_seen(parts: list[str], service: str) -> None:
    """Say what a service has besides its image: the gate on the project goes by that, too."""
    if parts:
        said = f"Only the image was looked at, not what {service} adds to it: {'; '.join(parts)}."
        out.print(said, markup=False)
