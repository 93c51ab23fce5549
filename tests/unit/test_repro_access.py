"""What opens a reproduction to the gate, and what is said where nothing does."""

from pathlib import Path
from unittest.mock import MagicMock

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.operate import local, repro, stack_files
from matomo_harness.operate.stack import Stack


def test_without_an_account_it_is_said_why_the_gate_gets_no_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, database = Stack(tmp_path / "kept", "kept"), MagicMock()
    monkeypatch.setattr(stack_files, "read", lambda _: MagicMock(superuser_login="harness-1"))
    monkeypatch.setattr(local, "installed_database", lambda _: database)
    repro._require_account(stack)
    assert database.query.call_args.args[1] == "harness-1"
    database.query.return_value = []
    with pytest.raises(WrongInputError) as error:
        repro._require_account(stack)
    assert "repro open kept" in error.value.next_command
