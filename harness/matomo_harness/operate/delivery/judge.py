"""Whether a passport vouches for an image today; each reason against it has a name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fnmatch import fnmatch
from typing import Final

from matomo_harness.errors import BrokenPromiseError, HarnessError
from matomo_harness.gate.catalogue import read_policy, waivers_of
from matomo_harness.operate.delivery.passport import (
    PREDICATE,
    RED,
    SBOM,
    STATEMENT,
    Passport,
    now,
    signer,
)
from matomo_harness.operate.delivery.registry import digest_of, short
from matomo_harness.operate.delivery.stages import Delivery
from matomo_harness.policy import Gate, Policy, Waiver, waivers_digest

NOT_RUN: Final = ("skip", "not promised")


@dataclass(frozen=True)
class Requirements:
    """What a passport is judged by.

    Args:
        policy: of today.
        waivers: of today.
        max_age: of the gate's verdict.
    """

    policy: Policy
    waivers: tuple[Waiver, ...]
    max_age: timedelta

    @classmethod
    def of(cls, delivery: Delivery) -> "Requirements":
        """Return what delivery.toml, the policy and its waivers ask for today.

        Raises:
            WrongInputError: one of the files has a mistake.
        """
        age = timedelta(days=delivery.content.passport.max_age_days)
        return cls(read_policy(delivery.policy), waivers_of(delivery.policy), age)


def against(passport: Passport, digests: Sequence[str], needs: Requirements) -> list[str]:
    """Return every reason why a passport, whose signature holds, does not vouch for an image.

    Args:
        passport: that is judged.
        digests: names of the image: its digest in the registry, and its id where that is known.
        needs: what is asked of it.
    """
    try:
        return [*_wrong_kind(passport)] or [
            *_of_the_image(passport, digests),
            *_of_the_verdict(passport, needs),
            *_of_the_policy(passport, needs),
            *_of_the_time(passport, needs, now()),
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return [f"no passport that this release can read: {type(error).__name__}: {error}"]


def lasting(passport: Passport, digests: Sequence[str]) -> list[str]:
    """Return the reasons that no passing of time and no change of the policy brings about."""
    try:
        return [
            *_wrong_kind(passport),
            *_of_the_image(passport, digests),
            *_red(passport),
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return [f"no passport that this release can read: {type(error).__name__}: {error}"]


def _wrong_kind(passport: Passport) -> Iterator[str]:
    said = passport.statement
    if (said.get("_type"), said.get("predicateType")) != (STATEMENT, PREDICATE):
        yield "no passport: a statement of another kind"


def _of_the_image(passport: Passport, digests: Sequence[str]) -> Iterator[str]:
    known = {*passport.digests, passport.about["image_id"]} - {""}
    if not known & set(digests):
        vouched = ", ".join(map(short, passport.digests))
        yield f"other digest: it is about {vouched}, and this is {short(digests[0])}"
    bill = passport.about.get("sbom")
    if bill and not passport.sbom:
        yield f"no {SBOM} beside it: what is in the image was signed as well"
    elif bill and digest_of(passport.sbom) != f"sha256:{bill['digest']['sha256']}":
        yield f"other {SBOM}: what is in the image is not what was signed"


def _red(passport: Passport) -> Iterator[str]:
    predicate = passport.statement["predicate"]
    checks = passport.about["checks"]
    failed = [name for name, status in checks.items() if status in RED]
    if failed or predicate["result"] == "FAILED":
        named = ", ".join(failed[:3]) or "a waiver that does not hold"
        yield f"red gate: {len(failed)} checks failed: {named}"


def _of_the_verdict(passport: Passport, needs: Requirements) -> Iterator[str]:
    yield from _red(passport)
    if left_out := passport.about["not_examined"].get("not chosen"):
        yield f"not the whole gate: {left_out} checks were not chosen (--only)"
    checks = passport.about["checks"]
    if not any(status in ("pass", "waived") for status in checks.values()):
        yield "nothing was proven: no check passed"
    patterns = needs.policy.section(Gate).required
    for name in (name for name, status in checks.items() if status in NOT_RUN):
        if any(fnmatch(name, pattern) for pattern in patterns):
            yield f"skipped check: the policy requires {name}, and it was not run"
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in checks):
            yield f"skipped check: the policy requires {pattern}, and no such check is in it"


def _of_the_policy(passport: Passport, needs: Requirements) -> Iterator[str]:
    judged_by = {
        resource["name"]: resource["digest"]["sha256"]
        for resource in passport.statement["predicate"]["configuration"]
    }
    if (seen := judged_by.get("policy.toml", "")) != needs.policy.digest:
        yield f"other policy: judged by {seen[:12]}, and today's is {needs.policy.digest[:12]}"
    today = waivers_digest(needs.waivers)
    if (seen := judged_by.get("waivers.toml", "")) != today:
        yield f"other waivers: judged by {seen[:12] or 'none'}, and today's are {today[:12]}"


def _of_the_time(passport: Passport, needs: Requirements, moment: datetime) -> Iterator[str]:
    for check, until in passport.about["waivers"].items():
        if date.fromisoformat(until) < moment.date():
            yield f"waiver expired: that of {check} held until {until}"
    age = moment - passport.time
    if age > needs.max_age:
        yield f"too old: {age.days} days, and {needs.max_age.days} are allowed"
    if age < -timedelta(minutes=10):
        yield f"from the future: judged at {passport.time:%Y-%m-%d %H:%M} UTC"


def best(
    passports: Sequence[Passport], digests: Sequence[str], delivery: Delivery, *, whenever: bool
) -> tuple[Passport, str]:
    """Return a passport that vouches for an image, and who signed it.

    Args:
        passports: all that there are for the image.
        digests: names of the image.
        delivery: with the rules, and who may sign.
        whenever: whether a passport that vouched once is enough: for the way back.

    Raises:
        WrongInputError: the policy or another file has a mistake.
        BrokenPromiseError: none does; `seen` has the reasons against the latest.
    """
    if not passports:
        raise BrokenPromiseError(
            expected=f"a passport for {short(digests[0])}",
            seen="no passport: the gate's verdict on this image was never signed",
            next_command="make gate, then make publish-stage with HARNESS_PASSPORT_KEY",
        )
    needs = Requirements.of(delivery)
    refusals: list[tuple[str, HarnessError]] = []
    for passport in passports:
        try:
            name = signer(passport, delivery.trusted)
        except BrokenPromiseError as error:
            refusals.append(("", error))
            continue
        reasons = lasting(passport, digests) if whenever else against(passport, digests, needs)
        if not reasons:
            return passport, name
        refused = BrokenPromiseError(
            expected=f"a fresh, green, matching passport for {short(digests[0])}",
            seen="; ".join(reasons),
            next_command="make gate, then make publish-stage: that makes a passport anew",
        )
        refusals.append((str(passport.about.get("time", "")), refused))
    raise max(refusals, key=lambda refusal: refusal[0])[1]
