"""A rehearsal sees an upgrade that breaks something, by its name, and lets harmless ones pass."""

import re
from collections.abc import Iterator

import pytest

from matomo_harness.operate.rehearsal.verdict import Weight
from matomo_harness.runtime import images
from tests.checkout import Checkout
from tests.rehearsed import rehearsed, small_stack
from tests.upgrades import ALONE, AT_ONCE, CONTROLS, TOGETHER, BrokenUpgrade, every


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A local stack of 5.3.1 that is up, with visits of some days and their archives."""
    with small_stack(tmp_path_factory.mktemp("rehearsal")) as started:
        yield started


def judged(stack: Checkout, upgrade: BrokenUpgrade) -> tuple[int, list[dict[str, str]]]:
    """Rehearse an upgrade; return the exit code and the reasons of the verdict."""
    new = upgrade.build(images.deployed_image(stack.settings))
    code, found = rehearsed(stack, "rehearse-upgrade", "--to", new.reference, limits=upgrade.policy)
    return code, found["reasons"]


def is_named(upgrade: BrokenUpgrade, reasons: list[dict[str, str]]) -> bool:
    """Say whether a reason names what is wrong with an upgrade."""
    return any(
        reason["weight"] == upgrade.weight and re.search(upgrade.says, reason["what"])
        for reason in reasons
    )


def test_each_broken_upgrade_says_what_a_rehearsal_says_of_it() -> None:
    assert all(each.says for each in every())
    assert len({each.id for each in every()}) == len(every()) >= 12


@pytest.mark.nightly(reason="a whole rehearsal, as an upgrade's in every run")
@pytest.mark.timeout(900)
def test_what_breaks_at_once_is_seen_in_one_rehearsal(stack: Checkout) -> None:
    code, reasons = judged(stack, TOGETHER)
    missing = [each.name for each in AT_ONCE if not is_named(each, reasons)]
    assert (code, missing) == (1, []), reasons


@pytest.mark.nightly(reason="a rehearsal for each")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("upgrade", every(), ids=lambda upgrade: upgrade.id)
def test_each_is_seen_alone_and_by_its_name(stack: Checkout, upgrade: BrokenUpgrade) -> None:
    code, reasons = judged(stack, upgrade)
    assert is_named(upgrade, reasons), reasons
    assert code == (0 if upgrade.weight is Weight.STEP else 1)


@pytest.mark.nightly(reason="a rehearsal for each")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("upgrade", CONTROLS, ids=lambda upgrade: upgrade.id)
def test_nothing_speaks_against_a_harmless_one(stack: Checkout, upgrade: BrokenUpgrade) -> None:
    code, reasons = judged(stack, upgrade)
    assert [reason for reason in reasons if reason["weight"] != "note"] == []
    assert code == 0
    assert not any(is_named(each, reasons) for each in (*AT_ONCE, *ALONE))
