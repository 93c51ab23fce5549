"""Who is nobody to AWS or to docker is told so, and what helps."""

from pathlib import Path

import pytest

from matomo_harness.errors import HarnessError, UnsupportedEnvironmentError, WrongInputError
from matomo_harness.operate.delivery import aws


@pytest.mark.parametrize(
    ("content", "kind", "word"),
    [
        ("[profile another]\n", WrongInputError, "AWS_PROFILE"),
        ("[profile", UnsupportedEnvironmentError, "parse"),
    ],
    ids=["no such profile", "no such file format"],
)
def test_a_profile_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    content: str,
    kind: type[HarnessError],
    word: str,
) -> None:
    file = tmp_path / "config"
    file.write_text(content)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with pytest.raises(kind, match=word):
        aws._session.__wrapped__("123456789012", "eu-central-1", "")
