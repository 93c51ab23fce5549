"""Code: what runs is the image's, and the image's Matomo is its base's."""

import json
import re
from typing import Final

from pydantic import Field

from matomo_harness.gate.core.check import (
    CannotTellError,
    Capability,
    Finding,
    Group,
    Severity,
    nothing,
    same,
)
from matomo_harness.gate.core.promise import Promise
from matomo_harness.gate.probes.php import Php
from matomo_harness.matomo.api import Api
from matomo_harness.matomo.container import CODE, MatomoContainer
from matomo_harness.policy import Section


class Code(Section, table="code"):
    """Where the code that runs comes from."""

    from_the_image_alone: bool | None = Field(
        default=None,
        description="All code that runs is the image's, and Matomo's own in it is its base's.",
    )


PROMISE: Final = Promise("code", "All code that runs comes from the image alone.", Code)

OF_MATOMO: Final = ("matomo.js", "piwik.js")
"""It writes them for the plugins that are active; tracking.tracker_is_whole looks at them."""
OF_THE_FILE: Final = re.compile(r"config/(\w+\.localhost\.)?config\.ini\.php")
"""Which settings.file_is_of_the_image looks at; one of several instances has it under its own
host's name."""
OF_THE_BASE: Final = "/usr/src/matomo.sha256"
"""Of the image: sums of Matomo's code as the base has it (image/Dockerfile)."""
OWN: Final = ("config/common.config.ini.php", "core/Version.php", *OF_MATOMO)
"""May be an image's own: it changes no code. Others look at the version and the tracker."""
ASKS_OR_WRITES: Final = r"\$_(GET|POST|REQUEST|COOKIE)|file_put_contents|\b(eval|system|exec) *\("


# -- where code could come from -------------------------------------------------------------------


@PROMISE.check(
    "version_is_of_the_image",
    proves="from_the_image_alone",
    severity=Severity.HIGH,
    remedy="Remove the volume on the web root: mount only config, misc and js.",
    failure_mode="U1",
    formerly="configuration.code_is_the_image_s",
)
def version_is_of_the_image(container: MatomoContainer, api: Api) -> Finding:
    """The code that runs is the image's own, and not an older one's from a volume."""
    of_image = container.run(
        "php", "-r", f'require "{CODE}/core/Version.php"; echo Piwik\\Version::VERSION;'
    )
    return same(of_image.strip(), str(api.call("API.getMatomoVersion")["value"]))


@PROMISE.check(
    "no_update_from_a_browser",
    proves="from_the_image_alone",
    severity=Severity.HIGH,
    remedy="Set enable_auto_update = 0 and enable_plugin_upload = 0 in [General].",
    failure_mode="U5",
    formerly="configuration.code_comes_from_the_image_alone",
)
def no_update_from_a_browser(php: Php) -> Finding:
    """Nobody updates Matomo or uploads a plugin from a browser: such code would be gone with the container."""
    general = php.settings["General"]
    keys = ("enable_auto_update", "enable_plugin_upload")
    return nothing("way", [key for key in keys if str(general.get(key)) != "0"])


# -- what is there --------------------------------------------------------------------------------


@PROMISE.check(
    "web_root_is_of_the_image",
    proves="from_the_image_alone",
    severity=Severity.HIGH,
    remedy="Remove the files that are named or put them into the image, and start a new container.",
    group=Group.WEB_ROOT,
    costly=True,
    formerly="drift.web_root_is_the_image_s",
)
def web_root_is_of_the_image(container: MatomoContainer) -> Finding:
    """The web root's code is the image's own, and no program is there besides."""
    # An empty file is none: Matomo makes an empty favicon.ico.
    said = container.run("sh", "-c", f"LC_ALL=C diff -rqN {CODE} . || true")
    if not (changed := re.findall(r"^Files .+ and \./(.+) differ$", said, re.MULTILINE)):
        raise CannotTellError(f"the image has no {CODE} to compare with")
    return nothing("file beyond the image", [path for path in changed if _is_code(path)])


@PROMISE.check(
    "nothing_runs_beside_matomo",
    proves="from_the_image_alone",
    severity=Severity.HIGH,
    remedy="Take auto_prepend_file out of PHP's and the web server's configuration.",
    needs=[Capability.WEB_ROOT, Capability.CHANGE],
    group=Group.WEB_ROOT,
    formerly="drift.nothing_runs_beside_matomo",
)
def nothing_runs_beside_matomo(php: Php) -> Finding:
    """PHP loads nothing before a page in the web server: an agent would see each hit as it came."""
    said = php.said_in_the_web_server(
        'echo "LOADED", json_encode(array_slice(get_included_files(), 0, -1));'
    )
    before = json.loads(said.partition("LOADED")[2].partition("]")[0] + "]")
    return nothing("file that is loaded first", before)


@PROMISE.check(
    "matomo_is_of_the_base",
    proves="from_the_image_alone",
    severity=Severity.HIGH,
    remedy="Take the patch out of the build, or move what it adds into a plugin of its own.",
    costly=True,
    formerly="drift.matomo_is_the_base_s",
)
def matomo_is_of_the_base(container: MatomoContainer) -> Finding:
    """Matomo's code in the image is its base's to the byte: no build patches it, or adds to its own parts."""
    listed = container.run("sh", "-c", f"cat {OF_THE_BASE} 2>/dev/null || true")
    ours = {line.partition("  ")[2] for line in listed.splitlines()}
    if not ours:
        raise CannotTellError(f"the image has no {OF_THE_BASE} to compare with")
    changed = container.run(
        "sh", "-c", f"cd {CODE} && LC_ALL=C sha256sum --quiet -c {OF_THE_BASE} 2>/dev/null || true"
    )
    there = container.run("sh", "-c", f"cd {CODE} && find . -type f").splitlines()
    parts = {_part(path) for path in ours}
    added = [
        path for path in there if path not in ours and _part(path) in parts and _is_code(path[2:])
    ]
    beyond = [
        *re.findall(r"^(?:\./)?(.+): FAILED", changed, re.MULTILINE),
        *(path[2:] for path in added),
    ]
    return nothing("file beyond the base", [path for path in beyond if path not in OWN])


def _part(path: str) -> str:
    """A plugin's folder, or the first folder: what a build may add as a whole."""
    return "/".join(path.split("/")[: 3 if path.startswith("./plugins/") else 2])


def _is_code(path: str) -> bool:
    if path.startswith("tmp/") or path in OF_MATOMO or path.endswith("/.htaccess"):
        return False
    # People's files are there too: logos, a tag manager's scripts, a database of places.
    if path.startswith(("config/", "misc/", "js/")):
        return path.endswith(".php") and not OF_THE_FILE.fullmatch(path)
    return True


@PROMISE.check(
    "compiled_pages_only_show",
    proves="from_the_image_alone",
    severity=Severity.CRITICAL,
    remedy="Find out who wrote the file that is named, as after an intrusion; then empty tmp/.",
    formerly="drift.compiled_pages_only_show",
)
def compiled_pages_only_show(container: MatomoContainer) -> Finding:
    """No program in tmp/, where Matomo compiles its pages, reads what is sent or writes a file of its own."""
    # Twig's and Matomo's own do neither; one that does was put there.
    script = f"grep -rlE --include='*.php' '{ASKS_OR_WRITES}' {container.tmp} 2>/dev/null || true"
    return nothing("program", container.run("sh", "-c", script).splitlines())
