"""Programs that the tests start end with them, whatever kills them."""

import os

import pytest

from harness.stack.reaper import PARENT_VARIABLE, this_process


@pytest.fixture(scope="session", autouse=True)
def _one_run() -> None:
    os.environ[PARENT_VARIABLE] = this_process().id
