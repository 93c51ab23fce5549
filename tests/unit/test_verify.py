"""Where the passport of an image of this machine is looked for."""

from types import SimpleNamespace
from typing import Any

import pytest

from matomo_harness.operate.delivery import judge, passport
from matomo_harness.operate.delivery import verify as module
from matomo_harness.operate.delivery.passport import Passport

ID, DIGEST = f"sha256:{64 * 'a'}", f"sha256:{64 * 'b'}"
MADE = Passport(b"{}", b"signature")


def delivery(*names: str) -> Any:
    stages = [(f"stage {name}", SimpleNamespace(name=name)) for name in names]
    return SimpleNamespace(
        content=SimpleNamespace(stages=stages),
        stage=lambda name: SimpleNamespace(registry=f"registry of {name}"),
    )


@pytest.mark.parametrize(
    ("pulled", "asked"),
    [
        ("ghcr.io/library/matomo", "registry of stage ghcr.io/library/matomo"),
        ("library/matomo", "registry of stage docker.io/library/matomo"),
        ("elsewhere.example/matomo", None),
        (None, None),
    ],
)
def test_a_container_is_vouched_for_beside_the_image_that_was_pulled(
    pulled: str | None, asked: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{pulled}@{DIGEST}"] if pulled else []
    asked_for: list[tuple[object, object]] = []
    seen: list[list[Passport]] = []

    def stored(registry: object, digest: str) -> list[Passport]:
        asked_for.append((registry, digest))
        return [MADE]

    def best(passports: list[Passport], *_: object, **__: object) -> None:
        seen.append(passports)
        raise LookupError

    monkeypatch.setattr(module, "_on_this_machine", lambda _: [ID, DIGEST])
    monkeypatch.setattr(module, "_names_by_digest", lambda _: names)
    monkeypatch.setattr(module, "_of_this_machine", lambda: iter(()))
    monkeypatch.setattr(passport, "stored", stored)
    monkeypatch.setattr(judge, "best", best)
    with pytest.raises(LookupError):
        module.verify(delivery("ghcr.io/library/matomo", "docker.io/library/matomo"), "web")
    assert asked_for == ([(asked, DIGEST)] if asked else [])
    assert seen == [[MADE] if asked else []]
