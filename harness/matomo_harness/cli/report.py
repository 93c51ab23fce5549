"""What a gate left, for who decides."""

import json
from pathlib import Path
from typing import Annotated

import typer

from matomo_harness import progress
from matomo_harness.cli.shared import Json, out
from matomo_harness.settings import REPORTS

app = typer.Typer()


@app.command()
def report(
    file: Annotated[Path, typer.Argument(help="The gate.json of a gate.")] = REPORTS
    / "gate/gate.json",
    pull_request: Annotated[
        int | None,
        typer.Option(help="Also write it as a comment there, over that of the last run."),
    ] = None,
    json_output: Json = False,
) -> None:
    """Print a gate's verdict and its promises as Markdown, for a summary or a pull request.

    On GitHub: matomo-harness report >> "$GITHUB_STEP_SUMMARY". A comment needs GITHUB_REPOSITORY
    and GITHUB_TOKEN in the environment.
    """
    from matomo_harness.gate.report import markdown
    from matomo_harness.operate import pull_request as operation

    text = markdown(operation.read(file))
    address = ""
    if pull_request is not None:
        address = operation.comment(operation.from_environment(pull_request), text)
        progress.console.print(f"Written: {address}", markup=False, soft_wrap=True)
    if json_output:
        out.print_json(json.dumps({"markdown": text, "comment": address or None}))
    else:
        out.print(text, markup=False, end="")
