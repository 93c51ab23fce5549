"""An institution's own pages, and what they send to Matomo."""

import json
from pathlib import Path
from typing import Annotated

import typer

from matomo_harness.cli.shared import Json, out

app = typer.Typer()


@app.command()
def site(
    urls: Annotated[list[str], typer.Argument(metavar="URL…", help="Pages of your website.")],
    matomo: Annotated[
        str,
        typer.Option(
            help="Your Matomo's address; by default whatever takes hits as Matomo does is one."
        ),
    ] = "",
    site_id: Annotated[
        int, typer.Option(help="The site's number in Matomo: others are faults.")
    ] = 0,
    pages: Annotated[
        int, typer.Option(min=1, help="From each URL so many pages of its host, by links.")
    ] = 3,
    click: Annotated[
        str, typer.Option(help="What a visitor clicks who agrees: a selector, as '#accept'.")
    ] = "",
    never: Annotated[
        list[str] | None,
        typer.Option(help="A value that must be nowhere in what is sent, in whatever form."),
    ] = None,
    allow: Annotated[
        list[str] | None, typer.Option(help="A fault, by its name, that is accepted.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.5, help="How long a page's first hit is waited for.")
    ] = 5.0,
    authority: Annotated[
        Path | None, typer.Option(help="Who signed the certificates, a PEM file.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Go through your website in a browser, and say what it sends to Matomo that it should not.

    Nothing is recorded: each hit is read, and goes on as a heartbeat that Matomo answers and does
    not store.
    """
    from matomo_harness.operate import site as operation

    said = operation.site(
        tuple(urls),
        operation.Choices(
            matomo=matomo,
            site=site_id,
            pages=pages,
            click=click,
            seconds=seconds,
            authority=authority,
            forbidden=tuple(never or ()),
            allowed=tuple(allow or ()),
        ),
    )
    if json_output:
        out.print_json(json.dumps(said))
    else:
        for fault in said["faults"]:
            word = "allowed" if fault["allowed"] else fault["severity"]
            out.print(f"{word:9}{fault['name']}: {fault['seen']}", markup=False)
            out.print(
                f"         where:  {fault['where']}, on {', '.join(fault['pages'])}", markup=False
            )
            out.print(f"         remedy: {fault['remedy']}", markup=False)
            out.print(f"         see:    {fault['source']}", markup=False)
        took = ", ".join(said["matomo"]) or "none"
        out.print(f"Matomo: {took}; sites: {', '.join(said['sites']) or 'none'}", markup=False)
        out.print(said["verdict"]["sentence"], style="bold", markup=False)
        out.print(f"Next: open {operation.shown_page()}", markup=False)
    operation.require_clean(said)
