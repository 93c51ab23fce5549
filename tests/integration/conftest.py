"""Programs that the tests start end with them, whatever kills them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.stack.reaper import PARENT_VARIABLE, this_process
from tests.checkout import Checkout, copied


@pytest.fixture(scope="session", autouse=True)
def _one_run() -> None:
    os.environ[PARENT_VARIABLE] = this_process().id


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A copy of this checkout, with nothing running."""
    with copied(tmp_path) as made:
        yield made
