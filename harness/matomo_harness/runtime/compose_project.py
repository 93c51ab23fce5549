"""A throw-away copy of somebody's Compose project, while its context lasts.

Everything in it carries the labels of this process's run, so that the reaper removes it however the
process ends: containers, networks, volumes, and the files, which are among the run's.
"""

import json
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from docker.errors import APIError
from docker.models.containers import Container

from matomo_harness import process
from matomo_harness.errors import UnsupportedEnvironmentError, WrongInputError
from matomo_harness.policy.files import BY_ITS_WHOLE_PATH
from matomo_harness.progress import step
from matomo_harness.runtime import compose_model, images
from matomo_harness.runtime.compose_model import (
    DATABASE_PORT,
    Model,
    ProjectCopy,
    Roles,
    unreadable,
)
from matomo_harness.runtime.containers import LOOPBACK
from matomo_harness.runtime.engine import engine, execute
from matomo_harness.runtime.inspection import environment, inspected
from matomo_harness.runtime.reaper import RUN_LABEL, Run, this_process
from matomo_harness.runtime.shell import log_end, wait_for_answer

SERVICE_LABEL: Final = "com.docker.compose.service"
IN_MEMORY: Final = 8 * 2**20
LAST_LINES: Final = 3
DATABASE_SECONDS: Final = 600.0
"""How long the database may take until it answers: a dump may be among its first scripts."""
GREETING_SECONDS: Final = 10.0


def resolved(files: Sequence[Path]) -> Model:
    """Return the project that `files` describe, as Compose itself reads it.

    Raises:
        WrongInputError: a file is missing, or Compose refuses it.
        UnsupportedEnvironmentError: there is no Compose.
    """
    for file in files:
        if not file.is_file():
            raise WrongInputError(
                expected="a Compose file, or several with a colon between them",
                seen=f"{file.absolute()}, which is no file",
                next_command=BY_ITS_WHOLE_PATH,
            )
    command = ["docker", "compose", *_options(files), "config"]
    try:
        done = subprocess.run(
            [*command, "--format", "json"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise UnsupportedEnvironmentError(
            expected="docker compose to be on this machine",
            seen=str(error),
            next_command="matomo-harness doctor",
        ) from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise WrongInputError(
            expected=f"a project that Compose takes in {', '.join(map(str, files))}",
            seen=" | ".join(lines[-LAST_LINES:]) or f"exit {done.returncode}",
            next_command=" ".join(command),
        )
    model: Model = json.loads(done.stdout)
    return model


def _options(files: Sequence[Path]) -> list[str]:
    return [word for file in files for word in ("--file", str(file))]


def require_mariadb(reference: str, name: str) -> None:
    """Refuse a database that is no MariaDB, by its own version, before anything is started.

    Args:
        reference: the image.
        name: the service.

    Raises:
        WrongInputError: it is MySQL, or something else; or the image is nowhere.
    """
    found = images.local(reference, "given")
    base = compose_model.base_name(reference)
    seen = reference
    if found is None and ("mysql" in base or "percona" in base):
        raise _not_mariadb(name, seen)
    image = found or images.given(reference, f"image of the service {name}")
    says = "mariadbd --version 2>/dev/null || mysqld --version 2>/dev/null || true"
    said = images.run_once(image.reference, ["sh", "-c", says], user="root").strip()
    if "MariaDB" not in said:
        raise _not_mariadb(name, f"{reference}, {said.splitlines()[-1] if said else 'no server'}")


def _not_mariadb(name: str, seen: str) -> WrongInputError:
    return WrongInputError(
        expected=f"MariaDB in the service {name}, for which the checks are made",
        seen=f"{seen}: MySQL is not supported" if "mysql" in seen.lower() else seen,
        next_command=f"put MariaDB there for the gate, e.g. `image: mariadb:11.8` for {name} in a"
        " second file: COMPOSE=docker-compose.yml:gate.yml",
    )


class ComposeCopy:
    """A running copy of a project; everything is removed when the context ends.

    Args:
        files: the Compose files of the project.
        model: the project, as Compose resolves it.
        roles: which service does what.
        image: Matomo's, by which volumes are filled.
    """

    def __init__(self, files: Sequence[Path], model: Model, roles: Roles, image: str) -> None:
        self._run: Run = this_process()
        self.name = f"matomo-harness-copy-{self._run.id}"
        self.roles = roles
        self._image = image
        self._files = files
        self.copy: ProjectCopy = compose_model.copied(
            model, roles, self.name, self._run.labels, lambda name: self._run.file(f"copy-{name}")
        )
        self._description = self._run.file("copy-compose.json")

    def __enter__(self) -> Self:
        try:
            with step("Copying what the project mounts"):
                for source, file in self.copy.files.items():
                    _copy_file(source, file)
                for source, volume in self.copy.folders.items():
                    self._fill(volume, source)
                _write_private(self._description, json.dumps(self.copy.model))
            with step("Starting a copy of the project"):
                self._start_in_turn()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start_in_turn(self) -> None:
        """Start the database, then Matomo, then its web server, each once the former is there.

        Whoever ends where it finds no database, or no host of its upstream's name, is started again
        by the project's restart policy, which a copy has not.
        """
        self._up(self.roles.database)
        database = self.container(self.roles.database)
        wait_for_answer(database, "the database", self._ask_database, seconds=DATABASE_SECONDS)
        for name in dict.fromkeys((self.roles.matomo, self.roles.web)):
            self._leave_out_what_has_ended()
            self._up("--no-recreate", name)

    def _ask_database(self) -> None:
        """Wait for its greeting; while its first scripts run, nobody is greeted by the network."""
        address = (LOOPBACK, self.port(self.roles.database, DATABASE_PORT))
        with socket.create_connection(address, timeout=GREETING_SECONDS) as connection:
            if not connection.recv(1):
                raise ConnectionResetError("the engine hangs up for it")

    def start_the_rest(self) -> None:
        """Start the services that Matomo does not need: some of them wait for an installed one.

        Raises:
            UnsupportedEnvironmentError: Compose failed.
        """
        self._leave_out_what_has_ended()
        self._up("--no-recreate")

    def _leave_out_what_has_ended(self) -> None:
        """Describe the project without the services that ran once: Compose would run them again.

        They write a configuration or load a dump, in the place of what was installed meanwhile.
        """
        services: Mapping[str, Any] = self.copy.model["services"]
        ended = {name for name in services if self._has_ended(name)}
        others = {
            name: _without_dependencies(one, ended)
            for name, one in services.items()
            if name not in ended
        }
        self._description.write_text(json.dumps({**self.copy.model, "services": others}))

    def _has_ended(self, name: str) -> bool:
        try:
            container = self.container(name)
        except UnsupportedEnvironmentError:  # it was not started yet
            return False
        # One that failed gets its second try, once there is a Matomo.
        return container.status == "exited" and inspected(container, "State", "ExitCode") == 0

    def __exit__(self, *_: object) -> None:
        """Remove everything."""
        for source in (*self.copy.files.values(), self._description):
            source.unlink(missing_ok=True)
        filters: Any = {"label": f"com.docker.compose.project={self.name}"}
        for container in engine().containers.list(all=True, filters=filters, ignore_removed=True):
            container.remove(force=True, v=True)
        for network in engine().networks.list(filters=filters):
            network.remove()
        names = {one["name"] for one in self.copy.model["volumes"].values()}
        for volume in engine().volumes.list(filters={"label": f"{RUN_LABEL}={self._run.id}"}):
            if volume.name in names:
                volume.remove(force=True)

    def container(self, name: str) -> Container:
        """Return the container of the service `name`.

        Raises:
            UnsupportedEnvironmentError: there is none.
        """
        labels = [f"com.docker.compose.project={self.name}", f"{SERVICE_LABEL}={name}"]
        found = engine().containers.list(all=True, filters={"label": labels}, ignore_removed=True)
        if not found:
            raise UnsupportedEnvironmentError(
                expected=f"Compose to make a container of the service {name}",
                seen="none",
                next_command=f"docker compose {' '.join(_options(self._files))} config",
            )
        return found[0]

    def port(self, name: str, inside: int) -> int:
        """Return the port on 127.0.0.1 that leads to `inside` of the service `name`.

        Raises:
            UnsupportedEnvironmentError: it does not run any more.
        """
        container = self.container(name)
        container.reload()
        bindings = (inspected(container, "NetworkSettings", "Ports") or {}).get(f"{inside}/tcp")
        if not bindings:
            raise UnsupportedEnvironmentError(
                expected=f"the service {name} of the copy to run, with its port {inside}",
                seen=f"{container.status}: {log_end(container)}",
                next_command=f"docker compose {' '.join(_options(self._files))} logs {name}",
            )
        return int(bindings[0]["HostPort"])

    def network_of(self, name: str) -> str:
        """Return a network that the service `name` is in."""
        container = self.container(name)
        return str(next(iter(inspected(container, "NetworkSettings", "Networks"))))

    def _up(self, *arguments: str) -> None:
        directory = self._files[0].resolve().parent
        command = ["docker", "compose", "--progress", "plain", "--project-name", self.name]
        # There are .env and the variables by which Compose makes secrets.
        command += ["--project-directory", str(directory), "--file", str(self._description)]
        services = list(dict.fromkeys(arguments))
        try:
            process.run(
                [*command, "up", "--detach", "--no-build", *services],
                environment={**os.environ, "COMPOSE_PROFILES": ""},
            )
        except UnsupportedEnvironmentError as error:
            raise UnsupportedEnvironmentError(
                expected=f"docker compose to start a copy of {self._files[0]}",
                seen=self._without_the_run(error.seen),
                next_command=f"docker compose {' '.join(_options(self._files))} config",
            ) from error

    def _without_the_run(self, text: str) -> str:
        return text.replace(f"{self.name}-", "").replace(f"{self.name}_", "")

    def _fill(self, volume: str, source: Path) -> None:
        """Make a volume with the content of a directory, its owners and modes."""
        engine().volumes.create(volume, labels=self._run.labels)
        if not source.is_dir():
            return
        container = engine().containers.create(
            self._image,
            ["never", "started"],
            labels=self._run.labels,
            volumes={volume: {"bind": "/matomo-harness-copy", "mode": "rw,nocopy"}},
        )
        try:
            with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as packed:
                _pack(source, packed)
                packed.seek(0)
                container.put_archive("/matomo-harness-copy", packed)
        finally:
            container.remove(force=True, v=True)


def _without_dependencies(one: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """Return a service that waits for none of `names`, and borrows nothing of them."""
    changed = dict(one)
    for key in ("depends_on", "links", "volumes_from"):
        if isinstance(needs := one.get(key), dict):
            changed[key] = {name: how for name, how in needs.items() if name not in names}
        elif needs:
            changed[key] = [need for need in needs if str(need).partition(":")[0] not in names]
    return changed


def _pack(source: Path, packed: Any) -> None:
    def entry(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        # The engine takes the numbers where there are no names; those of this machine mean nothing.
        member.uname = member.gname = ""
        is_content = member.isfile() or member.isdir() or member.issym() or member.islnk()
        return member if is_content else None

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise unreadable(source, error) from error

    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(source, arcname=".", recursive=False, filter=entry)
        for folder, folders, files in os.walk(source, onerror=refuse):
            for path in (Path(folder) / name for name in (*folders, *files)):
                try:
                    name = path.relative_to(source)
                    archive.add(path, arcname=f"./{name}", recursive=False, filter=entry)
                except OSError as error:  # of a project that runs, files come and go
                    refuse(error)


def _copy_file(source: Path, file: Path) -> None:
    """Copy a file with its mode, and its owner where this user may; only this user gets at it."""
    try:
        file.touch(mode=0o600)
        shutil.copyfile(source, file)
        state = source.stat()
    except OSError as error:
        raise unreadable(source, error) from error
    mode = state.st_mode & 0o777
    if os.geteuid() == 0:
        os.chown(file, state.st_uid, state.st_gid)
    elif state.st_uid != os.geteuid():
        # Its owner is now another one: what that one might do, the container still may. The
        # directory lets nobody else in.
        mode |= mode >> 6 & 0o7
    file.chmod(mode)


def _write_private(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)


def of_environment(container: Container, names: Sequence[str]) -> str:
    """Return the value of the first of `names` that the container's environment has, else "".

    NAME_FILE is read as the images do: it names a file in the container that has the value.
    """
    given = environment(container)
    for name in names:
        if given.get(name):
            return given[name]
        if path := given.get(f"{name}_FILE"):
            return _read(container, path)
    return ""


def _read(container: Container, path: str) -> str:
    try:
        return execute(container, ["cat", path], "root").out.rstrip("\n")
    except APIError as error:
        raise UnsupportedEnvironmentError(
            expected=f"{container.name} to run, in which {path} says a part of the connection",
            seen=f"it has ended: {log_end(container)}",
            next_command="docker compose logs of your project, and the same there",
        ) from error
