"""Drift: what a live Matomo says beyond its image, as patches."""

from pathlib import Path
from typing import Annotated

import typer

from matomo_harness.errors import WrongInputError
from matomo_harness.progress import console
from matomo_harness.settings import RunSettings

app = typer.Typer()


@app.command()
def capture(
    config: Annotated[
        Path | None,
        typer.Option(help="A config.ini.php, or a tar of the directories config, misc and js."),
    ] = None,
    container: Annotated[str, typer.Option(help="A running container instead.")] = "",
    exec_command: Annotated[
        str,
        typer.Option("--exec", help="What reaches a container instead: 'docker exec -i NAME'."),
    ] = "",
    url: Annotated[
        str, typer.Option(help="A running Matomo instead, by its page Config file.")
    ] = "",
    authority: Annotated[
        Path | None, typer.Option(help="With --url: who signed its certificate, a PEM file.")
    ] = None,
    repro: Annotated[str, typer.Option(help="A reproduction instead, by its name.")] = "",
    to: Annotated[
        Path | None, typer.Option(help="Write into this directory; nothing is overwritten.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="The policy; by default policy.toml here, or image/'s.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="Your repository's config.ini.php; by default image/'s, or the image's."),
    ] = None,
) -> None:
    """Print what a live configuration says beyond the image, as patches without secrets.

    Without an option that says where to look it is the local stack. DATABASE_URL or a file that
    DATABASE_URL_FILE names gives the database of a file or of a container. A file, and what --exec
    reaches, are compared with the image that IMAGE names, or else with image/; so is a Matomo at a
    URL, into which HARNESS_LOGIN, HARNESS_PASSWORD and HARNESS_TOTP_SECRET log in.
    """
    from matomo_harness.operate import capture as operation

    given = {
        "--config": config,
        "--container": container,
        "--exec": exec_command,
        "--url": url,
        "--repro": repro,
    }
    if len(named := [option for option, value in given.items() if value]) > 1:
        raise WrongInputError(
            expected="one place to look at", seen=" and ".join(named), next_command="leave one out"
        )
    files = {"--against": against, "--policy": policy, "--authority": authority}
    for option, path in files.items():
        if path and not path.is_file():
            raise WrongInputError(
                expected=f"{option} to name a file", seen=str(path), next_command=f"ls -l {path}"
            )
    if to:
        operation.require_new(to)
    if config:
        live = operation.of_file(config, RunSettings.from_environment())
    elif container:
        live = operation.of_container(container)
    elif exec_command:
        live = operation.of_command(exec_command, RunSettings.from_environment())
    elif url:
        live = operation.of_url(url, RunSettings.from_environment(), authority)
    elif repro:
        live = operation.of_reproduction(repro)
    else:
        live = operation.of_stack()
    found = operation.capture(live, policy, against)
    for line in found.lines:
        console.print(line, markup=False, soft_wrap=True)
    if to:
        for path in operation.write(found, to):
            console.print(f"written: {path}", markup=False, soft_wrap=True)
    else:
        typer.echo(found.config_patch + found.policy_patch, nl=False)
    if not found.is_empty:
        where = f"{to}/config.patch" if to else "FILE"
        console.print(f"Next: git apply --check {where}; then read it, and git apply {where}")
    operation.require_promises_hold(found)
