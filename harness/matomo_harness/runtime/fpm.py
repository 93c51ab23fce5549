"""An image that has PHP's process manager and no web server, behind an nginx of ours.

`matomo:<version>-fpm` listens on port 9000 and speaks FastCGI. Whoever deploys it puts a web server
before it that serves the files of the web root, which both mount, and passes scripts on
(services/nginx). Together they are what a WebContainer is.
"""

import contextlib
import dataclasses
import secrets
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from docker.errors import NotFound
from docker.types import Mount
from testcontainers.core.network import Network

from matomo_harness.matomo.image import OFFICIAL, PROCESS_MANAGER, ImageProfile
from matomo_harness.matomo.web import Web
from matomo_harness.runtime import images
from matomo_harness.runtime.containers import HarnessContainer, WebContainer
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.inspection import inspected
from matomo_harness.runtime.reaper import Run, this_process
from matomo_harness.runtime.shell import (
    AnswerWaitStrategy,
    ask_web,
    start_seconds,
    wait_for_answer,
)

FASTCGI: Final = 9000
"""Where php-fpm listens (docker-library/php, "EXPOSE 9000")."""
FPM: Final = dataclasses.replace(
    OFFICIAL, web_server=PROCESS_MANAGER, command=("php-fpm",), port=FASTCGI
)
"""The official fpm image, as upstream documents it."""
FRONT_LABEL: Final = "org.matomo-harness.front-of"
"""On an nginx: the volume that it serves, by which a process manager finds its nginx again."""
BAD_GATEWAY: Final = 502
MEMORY: Final = "size=1g,mode=1777"
"""Of the web root, as tmpfs's options: in memory, as a WebContainer's is, and open to any user."""


def memory_of(profile: ImageProfile) -> str:
    """Return tmpfs's options for the web root of an image, whose owner is the same as there.

    A start that is not root's unpacks the code and gives the directory itself to its own user, as
    upstream's does; the system lets only the directory's owner do that.
    """
    if not profile.web_root_owner:
        return MEMORY
    user, group, _ = profile.web_root_owner.split(":")
    return f"{MEMORY},uid={user},gid={group}"


def web_container(
    image: str, network: Network, environment: Mapping[str, str], **options: Any
) -> WebContainer:
    """Return the container that serves an image's Matomo, with a web server before it if need be.

    Args:
        image: the image under test, or a golden one.
        network: the network that its database is in.
        environment: MATOMO_* variables.
        options: further arguments of WebContainer, the profile among them.
    """
    profile: ImageProfile = options.get("profile", OFFICIAL)
    kind = FpmContainer if profile.web_server == PROCESS_MANAGER else WebContainer
    return kind(image, network, environment, **options)


class Nginx(HarnessContainer):
    """Serves a web root, and passes its scripts to a process manager; ready when entered.

    Args:
        network: the network that the process manager is in.
        volume: name of the volume with the web root; it is mounted read-only.
        target: host name and port of the process manager in the network.
        alias: its own name in the network.
        run: the run that owns the container; this process's own by default.
        web_root: where the process manager has the web root: FastCGI names scripts by path.
    """

    port = 80

    def __init__(
        self,
        network: Network,
        volume: str,
        *,
        target: str,
        alias: str = "matomo",
        run: Run | None = None,
        web_root: str = OFFICIAL.web_root,
    ) -> None:
        mounts = [Mount(web_root, volume, type="volume", read_only=True)]
        image = images.service_image("nginx").reference
        super().__init__(image, network, alias, run, mounts=mounts)
        self.with_envs(TARGET=target, WEB_ROOT=web_root)
        self._kwargs["labels"] = {**self._kwargs["labels"], FRONT_LABEL: volume}
        self.waiting_for(AnswerWaitStrategy("nginx", lambda: self.web.ask("matomo.js")))

    @property
    def web(self) -> Web:
        """A new conversation with it, without cookies."""
        return Web(f"http://localhost:{self.published_port}")


class FpmContainer(WebContainer):
    """A process manager and the nginx before it, to be used as any other WebContainer.

    `shell` and `log` are those of the process manager; HTTP goes through nginx, which has the name
    `alias` in the network. The arguments are those of WebContainer; those of a web server's command
    have no meaning here, and are left out.
    """

    port = FASTCGI

    def __init__(
        self,
        image: str,
        network: Network,
        environment: Mapping[str, str],
        *,
        alias: str = "matomo",
        run: Run | None = None,
        profile: ImageProfile = FPM,
        arguments: tuple[str, ...] = (),  # noqa: ARG002  Apache's
        authority: Path | None = None,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self._volume = f"matomo-harness-{secrets.token_hex(6)}"
        self._labels = (run or this_process()).labels
        mount = Mount(profile.web_root, self._volume, type="volume", no_copy=True)
        super().__init__(
            image,
            network,
            environment,
            alias=f"{alias}-fpm",
            run=run,
            profile=profile,
            authority=authority,
            options={**options, "mounts": [mount, *options.get("mounts", [])]},
        )
        del self.tmpfs[profile.web_root]
        self.ports = {}  # nobody but nginx speaks FastCGI
        self._front = Nginx(
            network,
            self._volume,
            target=f"{self.alias}:{self.port}",
            alias=alias,
            run=run,
            web_root=profile.web_root,
        )

    def start(self) -> Self:
        """Start both, and wait until a script answers through nginx."""
        # In memory: then it gets no copy of an image's files, as a volume on disk does.
        options = {"type": "tmpfs", "device": "tmpfs", "o": memory_of(self.profile)}
        engine().volumes.create(self._volume, driver_opts=options, labels=self._labels)
        self._front.start()
        super().start()
        container = self.get_wrapped_container()
        seconds = start_seconds(self.profile)
        wait_for_answer(container, "php-fpm", self._ask_a_script, self.misplaced, seconds)
        return self

    def _ask_a_script(self) -> None:
        ask_web(self.web)
        # The tracker's script by PHP: no database is asked for it.
        if self.web.get(path="js/index.php").status_code == BAD_GATEWAY:
            raise ConnectionError("nginx does not reach php-fpm")

    def stop(self, force: bool = True, delete_volume: bool = True) -> None:
        """Remove both, and the web root."""
        super().stop(force, delete_volume)
        self._front.stop(force, delete_volume)
        with contextlib.suppress(NotFound):
            engine().volumes.get(self._volume).remove(force=True)

    def attach(self, container_id: str) -> None:
        """Represent a process manager, and its nginx, that another process started.

        Args:
            container_id: the engine's id of the process manager.

        Raises:
            NotFound: one of the two is gone.
        """
        super().attach(container_id)
        for mount in inspected(self.get_wrapped_container(), "Mounts") or []:
            if mount.get("Destination") == self.profile.web_root:
                self._volume = str(mount.get("Name"))
        filters: Any = {"label": f"{FRONT_LABEL}={self._volume}"}
        found = engine().containers.list(filters=filters, ignore_removed=True)
        if not found:
            raise NotFound(f"no nginx before {container_id}")
        self._front.attach(str(found[0].id))

    @property
    def published_port(self) -> int:
        """The port on 127.0.0.1 that leads to nginx."""
        return self._front.published_port

    @property
    def front(self) -> Nginx:
        """The nginx."""
        return self._front
