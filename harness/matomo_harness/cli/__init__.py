"""The command line: each verb calls one module and prints its result."""

import os
import sys
import traceback
from typing import Annotated, Final, NoReturn

import typer

from matomo_harness import __version__, extra, progress
from matomo_harness.cli import (
    bundle,
    capture,
    delivery,
    drill,
    gate,
    images,
    own,
    policy,
    recipe,
    report,
    repro,
    site,
    snapshot,
    stack,
    upgrade,
)
from matomo_harness.cli.shared import out
from matomo_harness.errors import HarnessError, UnsupportedEnvironmentError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Proves that a containerised Matomo keeps its promises.",
)
GROUPS: Final = (
    *(images, stack, own, gate, report, policy, repro, snapshot),
    *(capture, bundle, recipe, upgrade, site, drill, delivery),
)
for group in GROUPS:
    app.add_typer(group.app)

INTERRUPTED: Final = 130
"""Typer's silent exit code after Ctrl-C: 128 plus SIGINT's number, by convention."""
DEBUG: Final = "HARNESS_DEBUG"


@app.callback()
def root(
    debug: Annotated[bool, typer.Option(help="Show tracebacks.", envvar=DEBUG)] = False,
) -> None:
    """Proves that a containerised Matomo keeps its promises."""
    os.environ[DEBUG] = "1" if debug else ""  # for `main`, and for what it starts


@app.command()
def version() -> None:
    """Print this harness's version."""
    out.print(__version__)


def main() -> None:
    """Run the command line; a user's mistake ends in one clear error, not in a traceback."""
    try:
        _run()
    except HarnessError as error:
        _end(error)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            progress.console.print(f"matomo-harness: interrupted. Next: {_next_of(ended)}")
        raise
    except Exception as error:
        refused = _refused_by_the_engine(error)
        if refused is None:
            raise
        _end(refused)


def _end(error: HarnessError) -> NoReturn:
    if os.environ.get(DEBUG):
        traceback.print_exc()
    progress.console.print(f"matomo-harness: {error}", style="red", markup=False, soft_wrap=True)
    sys.exit(error.exit_code)


def _refused_by_the_engine(error: Exception) -> HarnessError | None:
    """Return what a person reads where the engine refused something; None for any other error.

    A container may end, or somebody may remove one, between any two calls of a command.
    """
    engine = sys.modules.get("docker.errors")
    if engine is None or not isinstance(error, engine.APIError):
        return None
    return UnsupportedEnvironmentError(
        expected="the container engine to do what it was asked",
        seen=str(error.explanation or error),
        next_command=f"docker ps -a; then the same command again, with {DEBUG}=1 to see where",
    )


def _next_of(ended: BaseException) -> str:
    """Return what completes an interrupted command: as it says itself, or the same once more."""
    error: BaseException | None = ended
    while error:
        if isinstance(error, KeyboardInterrupt) and error.args:
            return f"{error.args[0]}."
        error = error.__cause__ or error.__context__
    return "the same command completes it."


def _run() -> None:
    try:
        app()
    except ModuleNotFoundError:
        # A module of operate/ may ask for a library of the engine before it asks for runtime/.
        extra.require_engine_libraries()
        raise
