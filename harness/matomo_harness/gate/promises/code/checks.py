"""Code: all code that runs is the image's, and the image's Matomo is its base's."""

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
from matomo_harness.gate.probes.web_root import OF_THE_BASE
from matomo_harness.matomo.api import Api
from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.policy import Section


class Code(Section, table="code"):
    """Where the code that runs comes from."""

    from_the_image_alone: bool | None = Field(
        default=None,
        description="All code that runs is the image's, and Matomo's own in it is its base's.",
    )


PROMISE: Final = Promise("code", "All code that runs comes from the image alone.", Code)

OF_MATOMO: Final = ("matomo.js", "piwik.js")
"""Matomo writes them for the active plugins; tracking.tracker_is_whole checks them."""
OF_THE_FILE: Final = re.compile(r"config/(\w+\.localhost\.)?config\.ini\.php")
"""The file that settings.file_is_of_the_image checks; one of several instances has it under its
own host's name."""
OWN: Final = ("config/common.config.ini.php", "core/Version.php", *OF_MATOMO)
"""Files that may be an image's own, as they change no code; other checks cover the version and the
tracker."""
ASKS_OR_WRITES: Final = r"\$_(GET|POST|REQUEST|COOKIE)|file_put_contents|\b(eval|system|exec) *\("


# -- where code could come from -------------------------------------------------------------------


def _code(container: MatomoContainer) -> str:
    """Return the directory in which the image has Matomo's code, which no task can change.

    Raises:
        CannotTellError: it has it in the web root alone, where a task may change it.
    """
    profile = container.profile
    if profile.code == profile.web_root:
        raise CannotTellError("the image has Matomo's code in the web root alone")
    return profile.code


@PROMISE.check(
    "version_is_of_the_image",
    proves="from_the_image_alone",
    severity=Severity.HIGH,
    remedy="Remove the volume on the web root: mount only config, misc and js.",
    failure_mode="U1",
    formerly="configuration.code_is_the_image_s",
)
def version_is_of_the_image(container: MatomoContainer, api: Api) -> Finding:
    """The Matomo that runs has the version of the image's code, not of older code on a volume."""
    of_image = container.run(
        "php", "-r", f'require "{_code(container)}/core/Version.php"; echo Piwik\\Version::VERSION;'
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
    """Nobody can update Matomo or upload a plugin from a browser: a new container would lose it."""
    general = php.settings["General"]
    keys = ("enable_auto_update", "enable_plugin_upload")
    return nothing("setting other than 0", [key for key in keys if str(general.get(key)) != "0"])


# -- which code is there --------------------------------------------------------------------------


@PROMISE.check(
    "web_root_is_of_the_image",
    proves="from_the_image_alone",
    severity=Severity.HIGH,
    remedy="Remove the named files or put them into the image, and start a new container.",
    group=Group.WEB_ROOT,
    costly=True,
    formerly="drift.web_root_is_the_image_s",
)
def web_root_is_of_the_image(container: MatomoContainer) -> Finding:
    """The code in the web root is the image's own, unchanged and with no other program beside it."""
    # An empty file counts as absent: Matomo makes an empty favicon.ico.
    code = _code(container)
    output = container.run("sh", "-c", f"LC_ALL=C diff -rqN {code} . || true")
    if not (changed := re.findall(r"^Files .+ and \./(.+) differ$", output, re.MULTILINE)):
        raise CannotTellError(f"the image has no {code} to compare with")
    beyond = [path for path in changed if _is_code(path)]
    return nothing("file beyond the image", _beyond_the_overlay(container, beyond))


def _beyond_the_overlay(container: MatomoContainer, paths: list[str]) -> list[str]:
    """Return those of `paths` that the image does not have below its web root as they are."""
    overlay = container.profile.overlay
    if not overlay or not paths:
        return paths
    script = f'for path; do cmp -s "$path" "{overlay}/$path" || echo "$path"; done'
    return container.run("sh", "-c", script, "sh", *paths).splitlines()


@PROMISE.check(
    "nothing_runs_beside_matomo",
    proves="from_the_image_alone",
    severity=Severity.HIGH,
    remedy="Remove auto_prepend_file from PHP's and the web server's configuration.",
    needs=[Capability.WEB_ROOT, Capability.CHANGE],
    group=Group.WEB_ROOT,
    formerly="drift.nothing_runs_beside_matomo",
)
def nothing_runs_beside_matomo(php: Php) -> Finding:
    """PHP in the web server loads no file before a page: an agent there would see every raw hit."""
    output = php.said_in_the_web_server(
        "$files = get_included_files();"
        " $page = array_search(realpath($_SERVER['SCRIPT_FILENAME']), $files);"
        ' echo "LOADED", json_encode(array_slice($files, 0, $page));'
    )
    before = json.loads(output.partition("LOADED")[2].partition("]")[0] + "]")
    return nothing("file that is loaded first", before)


@PROMISE.check(
    "matomo_is_of_the_base",
    proves="from_the_image_alone",
    severity=Severity.HIGH,
    remedy="Remove the patch from the build, or move what it adds into a plugin of its own.",
    costly=True,
    formerly="drift.matomo_is_the_base_s",
)
def matomo_is_of_the_base(container: MatomoContainer) -> Finding:
    """The image's Matomo is its base's to the byte: the build patches none of it and adds nothing to it."""
    sums = container.run("sh", "-c", f"cat {OF_THE_BASE} 2>/dev/null || true")
    of_base = {line.partition("  ")[2] for line in sums.splitlines()}
    if not of_base:
        raise CannotTellError(f"the image has no {OF_THE_BASE} to compare with")
    code = _code(container)
    changed = container.run(
        "sh", "-c", f"cd {code} && LC_ALL=C sha256sum -c {OF_THE_BASE} 2>/dev/null || true"
    )
    if not re.search(r": (?:OK|FAILED)", changed):
        raise CannotTellError(f"the image has no sha256sum that compares by {OF_THE_BASE}")
    of_image = container.run("sh", "-c", f"cd {code} && find . -type f").splitlines()
    parts = {_part(path) for path in of_base}
    added = [
        path
        for path in of_image
        if path not in of_base and _part(path) in parts and _is_code(path[2:])
    ]
    beyond = [
        *re.findall(r"^(?:\./)?(.+): FAILED", changed, re.MULTILINE),
        *(path[2:] for path in added),
    ]
    return nothing("file beyond the base", [path for path in beyond if path not in OWN])


def _part(path: str) -> str:
    """Return the plugin's folder, or the first folder: a build may add such a part as a whole."""
    return "/".join(path.split("/")[: 3 if path.startswith("./plugins/") else 2])


def _is_code(path: str) -> bool:
    if path.startswith("tmp/") or path in OF_MATOMO or path.endswith("/.htaccess"):
        return False
    # These folders hold users' files too: logos, a tag manager's scripts, a database of places.
    if path.startswith(("config/", "misc/", "js/")):
        return path.endswith(".php") and not OF_THE_FILE.fullmatch(path)
    return True


@PROMISE.check(
    "compiled_pages_only_show",
    proves="from_the_image_alone",
    severity=Severity.CRITICAL,
    remedy="Find out who wrote the named file, as after an intrusion; then empty tmp/.",
    formerly="drift.compiled_pages_only_show",
)
def compiled_pages_only_show(container: MatomoContainer) -> Finding:
    """No PHP file in tmp/, where Matomo compiles pages, reads a request, writes a file or runs a command."""
    # Twig's and Matomo's own files do none of that; a file that does was put there.
    grep = f"grep -lE '{ASKS_OR_WRITES}'"
    # It may be a link to a volume.
    php = f"find -H {container.tmp} -type f -name '*.php'"
    script = f"{php} -exec {grep} {{}} + 2>/dev/null || true"
    return nothing("program", container.run("sh", "-c", script).splitlines())
