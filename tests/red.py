"""What has failed so far: pytest shows it at the end, and a whole run takes half an hour."""

from typing import Final

import pytest

from matomo_harness.settings import REPORTS

FILE: Final = REPORTS / "red.txt"


def pytest_configure(config: pytest.Config) -> None:
    """Collect it in the process that hears of all tests, and not in its workers."""
    if not hasattr(config, "workerinput"):
        FILE.unlink(missing_ok=True)
        config.pluginmanager.register(_Red(), "red")


class _Red:
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            FILE.parent.mkdir(exist_ok=True)
            with FILE.open("a") as file:
                file.write(f"{report.when} of {report.nodeid}\n{report.longreprtext}\n\n")
