"""Recipes: failures of docs/failure-modes.md, on purpose, in the local stack."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from matomo_harness.cli.shared import Json, out
from matomo_harness.settings import RunSettings

app = typer.Typer()
recipe = typer.Typer(no_args_is_help=True, help="Failures on purpose in the local stack, by name.")
app.add_typer(recipe, name="recipe")

Name = Annotated[str, typer.Argument(help="The recipe's name.")]


@recipe.command("list")
def list_all(json_output: Json = False) -> None:
    """List the recipes, and say which one is under way."""
    from matomo_harness.operate import recipes

    settings = RunSettings.from_environment()
    shown = [recipes.directions(each, settings) for each in recipes.RECIPES]
    if json_output:
        out.print_json(json.dumps([asdict(each) for each in shown]))
        return
    table = Table(Column("recipe", no_wrap=True), "row", Column("what happens", overflow="fold"))
    for each in shown:
        mark = " (under way)" if each.is_under_way else ""
        table.add_row(f"{each.name}{mark}", each.failure_mode, escape(each.happens))
    out.print(table)
    begun = next((each for each in shown if each.is_under_way), None)
    out.print(f"Next: {begun.heal if begun else 'matomo-harness recipe run NAME'}", markup=False)


@recipe.command()
def run(name: Name) -> None:
    """Bring a failure about in the local stack; say how to see it, and how to heal it."""
    from matomo_harness.operate import recipes

    shown = recipes.run(name)
    lines = [f"{shown.name} ({shown.failure_mode}): {shown.happens}.", "See it:"]
    for command, answer in shown.see:
        lines += [f"  {command}", f"      {answer}"]
    lines += ["Heal it by hand:", *(f"  {command}" for command in shown.heal_by_hand)]
    lines.append(f"Next: {shown.heal}   (brings the state back, also after that)")
    out.print("\n".join(lines), markup=False)


@recipe.command()
def heal(name: Name) -> None:
    """Bring back what was before a recipe."""
    from matomo_harness.operate import recipes

    recipes.heal(name)
    out.print(f"{name} is healed. Next: matomo-harness recipe list", markup=False)
