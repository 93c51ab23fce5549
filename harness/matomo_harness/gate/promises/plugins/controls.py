"""Controls of plugins: the list is in another order, or is longer, and says what is promised."""

from typing import Final

from matomo_harness.gate.mutants import Control, Deployment, Part, Topology
from matomo_harness.gate.mutants.changes import file, image_file, in_web, with_key, without_line
from matomo_harness.gate.promises.plugins.checks import Plugins
from matomo_harness.matomo import versions

ADDED_CODE: Final = r"<?php namespace Piwik\Plugins\Added; class Added extends \Piwik\Plugin {}"
ADDED_DESCRIPTION: Final = (
    '{"name":"Added","version":"1.0.0","description":"One more.",'
    f'"require":{{"matomo":"{versions.PLUGIN_REQUIREMENT}"}}}}'
)


def _last_first(text: str) -> str:
    """Put the last plugin of config.ini.php at the head of the list."""
    without = without_line('Plugins[] = "NoUserIds"')(text)
    return with_key("Plugins", "Plugins[]", "NoUserIds")(without)


def _add_a_plugin(deployment: Deployment) -> None:
    """Add a folder to the overlay, a line to config.ini.php, and one to the policy."""
    for directory in ("plugins/Added", "/usr/src/matomo/plugins/Added"):
        in_web(f"mkdir {directory}")(deployment)
        deployment.instance.shell.write(f"{directory}/Added.php", ADDED_CODE, user="root")
        deployment.instance.shell.write(f"{directory}/plugin.json", ADDED_DESCRIPTION, user="root")
    image_file(with_key("Plugins", "Plugins[]", "Added"))(deployment)
    deployment.instance.shell.console("core:clear-caches")
    plugins = deployment.policy.section(Plugins)
    if plugins.active is not None:
        longer = plugins.model_copy(update={"active": (*plugins.active, "Added")})
        deployment.policy = deployment.policy.with_section(longer)


CONTROLS: Final[tuple[Control, ...]] = (
    Control(
        "control.plugin_order",
        "the last plugin comes first in the list",
        file(_last_first),
        alters=(Part.PLUGIN_LIST,),
    ),
    Control(
        "control.one_more_plugin",
        "the overlay has one more plugin, which the policy lists",
        _add_a_plugin,
        Topology.DEDICATED,
        alters=(Part.PLUGIN_LIST,),
    ),
)
