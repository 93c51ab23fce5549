"""What the verbs of all groups share: standard output, and the option for JSON."""

from typing import Annotated

import typer
from rich.console import Console

out = Console(highlight=False, soft_wrap=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
