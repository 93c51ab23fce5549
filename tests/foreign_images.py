"""Images as other institutions build them: tests/layouts has a folder for each habit."""

import dataclasses
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory

from matomo_harness.runtime import images
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.inspection import inspected
from matomo_harness.settings import IMAGE_DIRECTORY, OWNER_LABEL, RunSettings

LAYOUTS = Path(__file__).parent / "layouts"


@dataclass(frozen=True)
class Layout:
    """A habit of others, and what is true of an image that has it.

    Args:
        name: its folder.
        red: ids of the checks that are red, and rightly so.
        causes: parts of the causes that are named.
        on: what it is built on: `own`, the reference image, or `base`.
        version: Matomo's; the first tested one where empty.
        declared: text of its deployment.toml, where looking cannot tell.
    """

    name: str
    red: frozenset[str] = frozenset()
    causes: tuple[str, ...] = ()
    on: str = "own"
    version: str = ""
    declared: str = ""


@contextmanager
def image_of(layout: Layout, settings: RunSettings) -> Iterator[Image]:
    """Build the image of a layout, and remove it."""
    base, own = images.matomo_base(settings), images.deployed_image(settings)
    arguments = {"BASE": base.reference, "OWN": own.reference}
    with TemporaryDirectory() as temporary, ExitStack() as made:
        context = Path(temporary)
        shutil.copytree(IMAGE_DIRECTORY / "config", context / "config")
        shutil.copytree(IMAGE_DIRECTORY / "plugins", context / "plugins")
        shutil.copytree(LAYOUTS / layout.name, context, dirs_exist_ok=True)
        if layout.on == "base-without-volume":
            arguments["BASE"] = made.enter_context(without_volume(base))
        tag = f"{images.REPOSITORY}/layout-{layout.name}:{uuid.uuid4().hex[:8]}"
        image = images.build(context, tag, arguments, {})
        made.callback(engine().images.remove, tag, force=True)
        yield dataclasses.replace(image, origin="given")


@contextmanager
def without_volume(base: Image) -> Iterator[str]:
    """Import `base` again without its VOLUME, below which the engine's builder drops a COPY."""
    tag = f"without-volume-{uuid.uuid4().hex[:8]}"
    variables = inspected(engine().images.get(base.id), "Config", "Env") or []
    container = engine().containers.create(base.reference)
    try:
        with NamedTemporaryFile() as archive:
            archive.writelines(engine().api.export(str(container.id)))
            archive.flush()
            engine().api.import_image_from_file(
                archive.name,
                repository=images.REPOSITORY,
                tag=tag,
                changes=[
                    'ENTRYPOINT ["/entrypoint.sh"]',
                    'CMD ["apache2-foreground"]',
                    "WORKDIR /var/www/html",
                    "EXPOSE 80",
                    *(f"ENV {variable}" for variable in variables),
                    f"LABEL {OWNER_LABEL}={images.REPOSITORY}",
                ],
            )
    finally:
        container.remove(v=True)
    try:
        yield f"{images.REPOSITORY}:{tag}"
    finally:
        engine().images.remove(f"{images.REPOSITORY}:{tag}", force=True)
