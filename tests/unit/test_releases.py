"""A lifecycle rule is warned of before it takes the image that runs, or the way back."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import MagicMock

import pytest

from matomo_harness.operate.delivery.aws import PushedImage, _rules
from matomo_harness.operate.delivery.releases import expiring

DIGEST = f"sha256:{'a' * 64}"
KEEPS: dict[str, Any] = {"countType": "imageCountMoreThan", "countNumber": 9999}


def rule(priority: int, tags: str = "", **selection: Any) -> dict[str, Any]:
    """Return a rule as ECR has it, about images with a tag like `tags`."""
    about = {"tagStatus": "tagged", "tagPatternList": tags.split()} if tags else {}
    chosen = {"tagStatus": "any", **about, **selection}
    return {"rulePriority": priority, "selection": chosen, "action": {"type": "expire"}}


def aged(days: int) -> dict[str, Any]:
    """Return what selects images of so many days."""
    return {"countType": "sinceImagePushed", "countUnit": "days", "countNumber": days}


def warned(days_old: int, *rules: dict[str, Any]) -> str:
    """Return what is said of an image of so many days."""
    pushed = datetime.now(UTC) - timedelta(days=days_old, minutes=5)
    account = MagicMock()
    account.images.return_value = [PushedImage(DIGEST, ("release-1", "other"), pushed)]
    account.rules.return_value = list(_rules(json.loads(json.dumps(rules))))
    return " ".join(expiring(account, DIGEST, 0, "it runs"))


@pytest.mark.parametrize(
    ("days_old", "keeps", "said"),
    [
        (20, 14, "any day now"),
        (20, 30, "in 9 days"),
        (20, 90, ""),
    ],
)
def test_an_image_that_grows_too_old_is_warned_of(days_old: int, keeps: int, said: str) -> None:
    warning = warned(days_old, rule(1, **aged(keeps)))
    assert (said in warning and "it runs" in warning) if said else not warning


def test_one_rule_decides_about_an_image_the_first_that_is_about_all_its_tags() -> None:
    old = rule(9, **aged(14))
    assert not warned(20, rule(1, "release-*", **KEEPS), old)
    assert not warned(20, old, rule(1, "release-* other", **KEEPS))
    assert warned(20, rule(1, "release-* stable", **KEEPS), old)
    assert warned(20, rule(1, tagStatus="untagged", **KEEPS), old)
