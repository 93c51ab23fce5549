"""Which plugins are promised to be active."""

from types import SimpleNamespace
from typing import Any

import pytest

from matomo_harness.gate.promises.plugins.checks import Plugins, promised_are_active


@pytest.mark.parametrize(("folders", "passed"), [("Goals TagManager", False), ("Goals", True)])
def test_a_plugin_that_is_there_and_promised_then_is_active(folders: str, passed: bool) -> None:
    api: Any = SimpleNamespace(
        call_many=lambda calls: [{"value": call["pluginName"] == "Goals"} for call in calls]
    )
    own: Any = SimpleNamespace(run=lambda *command: folders if "ls" in command[2] else "")
    plugins = Plugins(active=("Goals",), where_present=("TagManager",))
    assert promised_are_active(plugins, api, own).passed is passed
