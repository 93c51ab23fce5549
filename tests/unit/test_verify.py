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


OF_DEV, OF_STAGE = "ghcr.io/library/matomo", "docker.io/library/matomo"


@pytest.mark.parametrize(
    ("pulled", "asked"),
    [
        ([OF_STAGE], [OF_STAGE]),
        (["library/matomo"], [OF_STAGE]),
        # Nothing lies beside what a pull request made.
        ([OF_DEV, "library/matomo"], [OF_DEV, OF_STAGE]),
        (["elsewhere.example/matomo"], []),
        ([], []),
    ],
)
def test_a_container_is_vouched_for_beside_the_image_that_was_pulled(
    pulled: list[str], asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{name}@{DIGEST}" for name in pulled]
    asked_for: list[tuple[object, object]] = []
    seen: list[list[Passport]] = []

    def stored(registry: object, digest: str) -> list[Passport]:
        asked_for.append((registry, digest))
        return [] if OF_DEV in str(registry) else [MADE]

    def best(passports: list[Passport], *_: object, **__: object) -> None:
        seen.append(passports)
        raise LookupError

    monkeypatch.setattr(module, "_on_this_machine", lambda _: [ID, DIGEST])
    monkeypatch.setattr(module, "_names_by_digest", lambda _: names)
    monkeypatch.setattr(module, "_of_this_machine", lambda: iter(()))
    monkeypatch.setattr(passport, "stored", stored)
    monkeypatch.setattr(judge, "best", best)
    with pytest.raises(LookupError):
        module.verify(delivery(OF_DEV, OF_STAGE), "web")
    assert asked_for == [(f"registry of stage {name}", DIGEST) for name in asked]
    assert seen == [[MADE] if asked else []]
