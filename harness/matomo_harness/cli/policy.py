"""The policy file."""

from pathlib import Path
from typing import Annotated

import typer

from matomo_harness import progress
from matomo_harness.policy import POLICY_FILE

app = typer.Typer(name="policy", help="The policy file: what is promised.", no_args_is_help=True)


@app.command()
def migrate(
    file: Annotated[Path, typer.Argument(help="A former release's policy file.")] = POLICY_FILE,
    write: Annotated[
        bool, typer.Option("--write", help="Write the file instead of printing it.")
    ] = False,
) -> None:
    """Turn a policy file of the release before into one of today's; comments stay."""
    from matomo_harness.policy.migrate import migrated

    text = migrated(file)
    if not write:
        print(text, end="")  # noqa: T201  to be piped
        progress.console.print(f"Next: matomo-harness policy migrate --write {file}")
        return
    file.write_text(text)
    progress.console.print(f"{file} is migrated. Next: matomo-harness gate --policy {file}")


@app.command()
def schema() -> None:
    """Print the JSON schema of a policy file, by which an editor completes and checks it."""
    from matomo_harness.gate.catalogue import SECTIONS
    from matomo_harness.policy import schema_of

    print(schema_of(SECTIONS), end="")  # noqa: T201  to be piped
