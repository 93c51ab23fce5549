"""Images as other institutions build them: each comes to a verdict in which every red is true.

tests/layouts has a folder for each habit. A draft is made of what the image does, and the gate
judges the image by it, as a person does with `init` and `gate`.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.gate.catalogue import ALL
from matomo_harness.gate.core.check import Check
from matomo_harness.operate.gate_image import of_image
from matomo_harness.operate.init import DEPLOYMENT, POLICY, init
from matomo_harness.runtime import images
from matomo_harness.runtime.full_stack import FullStack
from matomo_harness.runtime.golden import golden
from matomo_harness.settings import RunSettings
from tests.foreign_images import LAYOUTS, Layout, image_of

STOCK = frozenset(
    {
        "operation.half_saved_file_opens_no_installer",
        "accounts.updater_is_closed",
        "masking.nowhere_in_the_database",
        "user_ids.no_refused_hit_names_anybody",
    }
)
"""What is true of Matomo as it comes: whole addresses of refused hits are stored, for two."""
NEVER_HALF_SAVED = STOCK - {"operation.half_saved_file_opens_no_installer"}
"""The same where Matomo may not write its configuration."""
WITHOUT_UPDATER = STOCK - {"accounts.updater_is_closed"}
"""The same where enable_auto_update is off."""
FORGED = "transport.no_forged_host_is_believed"
"""True of Matomo with proxy_host_headers[]: it takes that host for one of its own, unchecked."""
UNLISTED = frozenset({"plugins.have_their_code", "plugins.have_their_tables"})


LOOP = "Matomo's address leads to a page, and not round in a circle of redirects"
NO_HEADER = "Matomo is told by which header a proxy names the visitor's address"
NOT_THERE = "Every plugin that config.ini.php lists is in the image"
WAITS = '[web]\nport = 80\n[web.variables]\nDB_SERVER = "${MATOMO_DATABASE_HOST}"\n'
SHORT = Layout("no-scheme-headers", causes=(LOOP,), version="next")
"""Judged in every run. An image with four habits runs in every run in test_foreign_stack.py."""
DECIDED = frozenset({"plugins", "transport", "environment", "settings"})
"""Promises of which that habit could make a false red: what every run judges of it."""
LONG = (
    Layout("several-habits", red=frozenset({"plugins.have_their_code"})),
    Layout("listed-not-there", red=frozenset({"plugins.have_their_code"})),
    Layout("other-port"),
    Layout("plain", red=STOCK, causes=(NO_HEADER,), on="base"),
    Layout("secure-file"),
    Layout("force-ssl"),
    Layout("unquoted"),
    Layout("rendered"),
    Layout("read-only"),
    Layout("other-user"),
    Layout("other-archiver"),
    Layout("two-jobs"),
    Layout("no-cmd"),
    Layout("captured"),
    Layout("variables", red=STOCK, on="base"),
    Layout("template", red=NEVER_HALF_SAVED, on="base"),
    Layout("tokens", red=WITHOUT_UPDATER | {FORGED}, on="base"),
    Layout("nginx-and-fpm", red=STOCK, causes=(NO_HEADER,), on="base"),
    Layout("main-server-only", red=STOCK, causes=(NO_HEADER,), on="base-without-volume"),
    Layout("ssh-first"),
    Layout("apache-redirects"),
    Layout("own-tls"),
    Layout("plugins-elsewhere"),
    Layout("waits-for-database", declared=WAITS),
    Layout(
        "web-root", red=WITHOUT_UPDATER | UNLISTED, causes=(NOT_THERE,), on="base-without-volume"
    ),
)


STARTED = (
    Layout("user-33", on="base"),
    Layout("cmd-envsubst", on="base"),
    Layout("unknown-uid", on="base-without-volume"),
    Layout("console-first", on="base"),
    Layout("cron-inside", on="base"),
    Layout("data-volume", on="base"),
    Layout("nonroot-fpm", on="base-without-volume"),
    Layout("installs-itself", on="base"),
)
"""Habits that are proven up to a stack that a gate could judge: it is their start that is odd."""
REFUSED = (
    (Layout("heredoc", on="base"), "with each start of a container every API token"),
    (Layout("below-a-path", on="base"), "matomo/matomo.js is there: Matomo is below a path"),
    (Layout("always-https"), "round in a circle"),
    (Layout("password"), "HTTP 401 for matomo.js: it asks for a password"),
    (Layout("some-addresses"), "HTTP 403 for index.php: it lets in others"),
    (Layout("nobody-copies", on="base-without-volume"), "no matomo.php in it"),
)
"""Habits with which no check can be run, and what the error says of each."""


def verdict(layout: Layout, directory: Path, checks: Sequence[Check] = ALL) -> dict[str, Any]:
    """Draft a policy for an image of `layout`, and return what `checks` of the gate say by it."""
    settings = RunSettings.from_environment()
    settings = dataclasses.replace(
        settings, matomo_version=layout.version or settings.matomo_version, image=None
    )
    if layout.declared:
        (directory / DEPLOYMENT).write_text(layout.declared)
    with image_of(layout, settings) as image:
        init(settings, image, directory, lambda _: None)
        chosen = dataclasses.replace(settings, image=image.reference)
        return of_image(chosen, directory / POLICY, lambda _: None, checks)


def require_true(layout: Layout, directory: Path, checks: Sequence[Check] = ALL) -> None:
    document = verdict(layout, directory, checks)
    red = {
        check["id"]: check["seen"]
        for check in document["checks"]
        if check["status"] in ("fail", "error") and not check["cause"]
    }
    assert red.keys() == layout.red, red
    assert tuple(cause["cause"] for cause in document["causes"]) == layout.causes


def _ids(layout: Layout) -> str:
    return layout.name


@pytest.mark.slow(reason="an image is installed, drafted for and judged")
@pytest.mark.timeout(900)
def test_what_a_layout_decides_is_judged_truly(tmp_path: Path) -> None:
    require_true(SHORT, tmp_path, [check for check in ALL if check.promise in DECIDED])


@pytest.mark.nightly(reason="some images are installed, drafted for and judged")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("layout", [SHORT, *LONG], ids=_ids)
def test_a_layout_comes_to_a_true_verdict(layout: Layout, tmp_path: Path) -> None:
    require_true(layout, tmp_path)


@pytest.mark.nightly(reason="some images are installed and started")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("layout", STARTED, ids=_ids)
def test_an_image_with_an_odd_start_is_installed_and_starts_again(layout: Layout) -> None:
    settings = RunSettings.from_environment()
    with image_of(layout, settings) as image:
        installed = golden(image, images.mariadb_base(settings))
        # Its token is of the installation: salt, account and database are the same as then.
        with FullStack(installed, is_changed=False) as stack:
            assert stack.instance.api.call("SitesManager.getAllSitesId") == [1]


@pytest.mark.nightly(reason="some images are started, and the waits for them take a minute")
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("layout", "seen"), REFUSED, ids=lambda value: getattr(value, "name", ""))
def test_a_layout_that_cannot_be_judged_is_refused_by_name(
    layout: Layout, seen: str, tmp_path: Path
) -> None:
    with pytest.raises(WrongInputError) as error:
        verdict(layout, tmp_path)
    assert seen in error.value.seen


def test_every_layout_is_judged() -> None:
    folders = {path.name for path in LAYOUTS.iterdir() if path.is_dir()}
    judged = {layout.name for layout in (SHORT, *LONG, *STARTED)}
    assert folders == judged | {layout.name for layout, _ in REFUSED}
