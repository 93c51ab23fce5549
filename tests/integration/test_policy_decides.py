"""Every key of the policy is read: another value is another verdict or expectation."""

from collections.abc import Callable

import pytest

from matomo_harness.gate.catalogue import ALL, SECTIONS, read_policy
from matomo_harness.gate.core.check import Status
from matomo_harness.gate.core.runner import Result, Runner, is_promised
from matomo_harness.gate.mutants import Deployment
from matomo_harness.gate.mutation import WRITTEN
from matomo_harness.matomo.ini import with_key
from matomo_harness.policy import Policy
from matomo_harness.runtime import targets
from matomo_harness.runtime.full_stack import FullStack
from matomo_harness.runtime.instance import Instance

REFERENCE = read_policy()
CHECKS = {check.id: check for check in ALL}
KEYS = {f"{kind.table}.{name}": kind for kind in SECTIONS for name in kind.model_fields}


def changed(key: str, value: object, policy: Policy = REFERENCE) -> Policy:
    kind, name = KEYS[key], key.partition(".")[2]
    section = policy.section(kind)
    return policy.with_section(kind.model_validate({**section.model_dump(), name: value}))


def value_of(key: str) -> object:
    return REFERENCE.value(key)


def without(key: str, *names: str) -> tuple[str, ...]:
    names_promised = value_of(key)
    assert isinstance(names_promised, tuple)
    assert set(names) <= set(names_promised)
    return tuple(name for name in names_promised if name not in names)


def more(key: str, *names: str) -> tuple[str, ...]:
    names_promised = value_of(key)
    assert isinstance(names_promised, tuple)
    return (*names_promised, *names)


# -- promises: true or false, present or absent ---------------------------------------------------

PROMISES = [
    key
    for key, kind in KEYS.items()
    if kind().model_dump()[key.partition(".")[2]] is None
    and any(check.proves == (key,) for check in ALL)
]


@pytest.mark.parametrize("key", PROMISES)
def test_without_the_key_its_checks_are_not_promised(key: str) -> None:
    proving = [check for check in ALL if check.proves == (key,)]
    assert not any(is_promised(check, changed(key, None)) for check in proving)
    if isinstance(value_of(key), bool):
        assert not any(is_promised(check, changed(key, False)) for check in proving)


# -- values: what is then expected, and what is seen ----------------------------------------------

VALUES: list[tuple[str, Callable[[], object], str]] = [
    ("masking.bytes", lambda: 3, "masking.page_shows_the_mask"),
    (
        "plugins.active",
        lambda: without("plugins.active", "Annotations"),
        "plugins.nothing_else_is_active",
    ),
    ("accounts.guesses", lambda: 2, "accounts.guesses_are_limited"),
    ("accounts.longest_session_seconds", lambda: 60, "settings.no_safeguard_is_off"),
    ("accounts.idle_session_seconds", lambda: 60, "settings.no_safeguard_is_off"),
    ("settings.visit_length_seconds", lambda: 600, "settings.no_safeguard_is_off"),
    ("settings.invitation_days", lambda: 1, "settings.no_safeguard_is_off"),
    ("archiving.unique_visitors_of", lambda: ("day", "year"), "settings.no_safeguard_is_off"),
    ("archiving.today_outdated_after_seconds", lambda: 60, "archiving.today_is_archived_anew"),
    ("archiving.killed_taken_up_after_seconds", lambda: 60, "archiving.killed_is_taken_up_again"),
    ("archiving.maximum_rows", lambda: {"referrers": 10_000}, "archiving.row_limits"),
    (
        "environment.variables",
        lambda: more("environment.variables", "MATOMO_GENERAL_NO_SUCH"),
        "environment.promised_variables_are_set",
    ),
    # Deleted at 720 days, every seventh: one that was 719 days old last time is 726 today.
    ("retention.visits_days", lambda: 725, "retention.old_visits"),
    ("environment.may_be_set", lambda: (), "environment.no_other_variable"),
    (
        "exposure.security_headers",
        lambda: more("exposure.security_headers", "X-No-Such"),
        "exposure.security_headers_are_there",
    ),
    (
        "tracking.without_cookies",
        lambda: ("opt_out_frame",),
        "tracking.no_cookie_before_a_click",
    ),
    (
        "exposure.closed_paths",
        lambda: more("exposure.closed_paths", "matomo.js"),
        "exposure.everything_else_is_closed",
    ),
]


USED = "twofa_codes_used_%"


def result(stack: FullStack, policy: Policy, check: str) -> Result:
    # Each code is taken once, and both policies are asked within one window of codes.
    stack.mariadb.database.query("DELETE FROM {prefix}option WHERE option_name LIKE %s", USED)
    target = targets.of_full_stack(stack, policy)
    return Runner(target, [CHECKS[check]]).run(CHECKS[check])


@pytest.mark.parametrize(("key", "value", "check"), VALUES, ids=[key for key, _, _ in VALUES])
def test_another_value_changes_the_verdict_or_expectation(
    stack: FullStack, key: str, value: Callable[[], object], check: str
) -> None:
    assert key in KEYS
    before = result(stack, REFERENCE, check)
    after = result(stack, changed(key, value()), check)
    assert before.status is Status.PASSED, before
    assert (after.status, after.expected, after.seen) != (
        before.status,
        before.expected,
        before.seen,
    )
    assert after.status is Status.FAILED, after
    assert "code" not in after.expected, "it is no refused login"


def test_a_plugin_may_be_present_beside_the_active_ones(stack: FullStack) -> None:
    check = "plugins.nothing_else_is_active"
    fewer = changed("plugins.active", without("plugins.active", "Annotations"))
    assert result(stack, fewer, check).status is Status.FAILED
    present = changed("plugins.where_present", more("plugins.where_present", "Annotations"), fewer)
    assert result(stack, present, check).status is Status.PASSED


def test_a_trusted_cookie_is_a_choice(fresh_matomo: Instance) -> None:
    shell, check = fresh_matomo.shell, CHECKS["settings.no_safeguard_is_off"]
    shell.write(
        shell.config, with_key(shell.read(shell.config), "Tracker", "trust_visitors_cookies", 1)
    )
    allowed = changed("settings.trust_visitors_cookies", True)
    seen = [
        Runner(targets.of_instance(fresh_matomo, policy), [check]).run(check).status
        for policy in (REFERENCE, allowed)
    ]
    assert seen == [Status.FAILED, Status.PASSED]


def test_a_secret_of_a_plugin_is_allowed_without_its_value_and_never_shown(
    fresh_matomo: Instance,
) -> None:
    value = "whose-value-nobody-may-see"
    fresh_matomo.database.query(
        "INSERT INTO {prefix}plugin_setting (plugin_name, setting_name, setting_value, user_login)"
        " VALUES ('Directory', 'apiKey', %s, '')",
        value,
    )
    shell = fresh_matomo.shell
    shell.write(shell.config, with_key(shell.read(shell.config), "Directory", "api_key", value))
    ids = ("settings.plugin_settings", "settings.file_is_of_the_image")
    checks = [CHECKS[name] for name in ids]
    seen = [
        Runner(targets.of_instance(fresh_matomo, REFERENCE), checks).run(each) for each in checks
    ]
    assert [each.status for each in seen] == [Status.FAILED, Status.FAILED]
    assert "Directory.apiKey=(redacted)" in seen[0].seen
    assert value not in repr(seen)
    allowed = changed("settings.plugin_settings", ("Directory.apiKey=(redacted)",))
    runner = Runner(targets.of_instance(fresh_matomo, allowed), checks)
    assert runner.run(checks[0]).status is Status.PASSED


def test_an_event_may_be_allowed(dedicated_matomo: Instance) -> None:
    (deciding,) = (mutant for mutant in WRITTEN if mutant.id == "plugins.no_code_on_campus")
    deciding.change(Deployment(REFERENCE, alone=dedicated_matomo))
    check = CHECKS["plugins.nobody_else_decides"]
    event = ("TwoFactorAuth.requiresTwoFactorAuthentication",)
    policies = (
        REFERENCE,
        changed("plugins.allowed_events", event),
        changed("plugins.may_decide", ("NoUserIds",)),
    )
    seen = [
        Runner(targets.of_instance(dedicated_matomo, policy), [check]).run(check).status
        for policy in policies
    ]
    assert seen == [Status.FAILED, Status.PASSED, Status.PASSED]


def test_a_file_may_be_served(dedicated_matomo: Instance) -> None:
    (noted,) = (mutant for mutant in WRITTEN if mutant.id == "exposure.notes_beside_the_tracker")
    noted.change(Deployment(REFERENCE, alone=dedicated_matomo))
    check = CHECKS["exposure.only_known_files_are_served"]
    seen = [
        Runner(targets.of_instance(dedicated_matomo, policy), [check]).run(check)
        for policy in (REFERENCE, changed("exposure.may_be_served", ("js/*.txt",)))
    ]
    assert [result.status for result in seen] == [Status.FAILED, Status.PASSED], seen


SHOWN_OTHERWISE = {
    "plugins.where_present": "test_a_plugin_may_be_present_beside_the_active_ones",
    "settings.trust_visitors_cookies": "test_a_trusted_cookie_is_a_choice",
    "plugins.allowed_events": "test_an_event_may_be_allowed",
    "plugins.may_decide": "test_an_event_may_be_allowed",
    "exposure.may_be_served": "test_a_file_may_be_served",
}


def test_every_key_has_a_test_here() -> None:
    shown = {*PROMISES, *(key for key, _, _ in VALUES), *SHOWN_OTHERWISE}
    assert set(KEYS) == shown
    assert all(name in globals() for name in SHOWN_OTHERWISE.values())
