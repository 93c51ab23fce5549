"""The policy is read strictly; what it does not state is not promised; a former one is migrated."""

import re
from pathlib import Path

import pytest

from matomo_harness import policy
from matomo_harness.errors import WrongInputError
from matomo_harness.gate.catalogue import ALL, PROMISES, SECTIONS, read_policy
from matomo_harness.gate.probes.accounts import FOR_EVERYBODY
from matomo_harness.gate.promises.masking.checks import Masking
from matomo_harness.gate.promises.plugins.checks import Plugins
from matomo_harness.gate.promises.retention.policy import Retention
from matomo_harness.gate.promises.tracking.checks import Tracking
from matomo_harness.matomo import ini
from matomo_harness.policy import Drill, Gate, Policy, Upgrade, is_promise
from matomo_harness.policy.migrate import migrated
from matomo_harness.settings import ROOT

TEXT = policy.POLICY_FILE.read_text()
FORMER = Path(__file__).with_name("policy_of_0_1.toml")


def written(directory: Path, text: str) -> Path:
    path = directory / "policy.toml"
    path.write_text(text)
    return path


def test_the_policy_of_this_repository_promises_two_masked_bytes() -> None:
    assert read_policy().section(Masking).bytes == 2


# -- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("bytes = 2", "byts = 2", "[masking] byts: unknown, nearest: bytes"),
        ("bytes = 2", "bytes = 5", "[masking] bytes: input should be less than or equal to 4"),
        ("bytes = 2", "bytes = true", "[masking] bytes: input should be a valid integer"),
        ("bytes = 2", "bytes = 'two'", "seen: 'two'"),
        ("none_stored = true", "none_stored = 1", "[user_ids] none_stored: input should be a"),
        ("referrers = 5000", "referrers = '5000'", "[archiving] maximum_rows.referrers"),
        ("[masking]", "[maskin]", "[maskin]: unknown, nearest: masking"),
        ("[masking]", "[privacy]", "[privacy]: unknown; matomo-harness policy migrate"),
        ("[masking]", "[masking", "readable TOML"),
        ("active = [", "active = [1,", "[plugins] active.0"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, before: str, after: str, complaint: str) -> None:
    assert before in TEXT
    with pytest.raises(WrongInputError, match=re.escape(complaint)):
        read_policy(written(tmp_path, TEXT.replace(before, after, 1)))


def test_a_file_that_is_not_there_is_looked_for_where_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WrongInputError) as refused:
        read_policy(Path("policy.toml"))
    assert refused.value.seen == f"none at {tmp_path}/policy.toml"
    assert "whole path" in refused.value.next_command


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    text = TEXT.replace("bytes = 2", "bytes = 5").replace("arrives = true", "arives = true")
    with pytest.raises(WrongInputError) as refused:
        read_policy(written(tmp_path, text))
    assert "[masking] bytes: input" in refused.value.seen
    assert "[mail] arives: unknown" in refused.value.seen


def test_an_unknown_required_check_is_named(tmp_path: Path) -> None:
    text = f"{TEXT}\n[gate]\nrequired = ['masking.*', 'masking.no_such']\n"
    with pytest.raises(WrongInputError, match=re.escape("masking.no_such")):
        read_policy(written(tmp_path, text))


def test_a_required_check_may_have_its_former_id(tmp_path: Path) -> None:
    text = f"{TEXT}\n[gate]\nrequired = ['configuration.mail_comes']\n"
    assert read_policy(written(tmp_path, text)).section(Gate).required == ("mail.arrives",)


# -- what is promised -----------------------------------------------------------------------------

KEYS = [f"{kind.table}.{name}" for kind in SECTIONS for name in kind.model_fields]


def test_an_empty_policy_promises_only_what_always_holds(tmp_path: Path) -> None:
    promised = read_policy(written(tmp_path, ""))
    for check in ALL:
        values = [promised.value(key) for key in check.proves]
        of_defaults = [value for value in values if is_promise(value)]
        assert all(isinstance(value, int | tuple) for value in of_defaults), check.id


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_proven_by_a_check_or_read_by_one(key: str) -> None:
    assert any(key in check.proves for check in ALL) or key in READ_BESIDE, key


READ_BESIDE = {
    "plugins.where_present": "plugins.nothing_else_is_active",
    "plugins.allowed_events": "plugins.nobody_else_decides",
    "environment.may_be_set": "environment.no_other_variable",
    "exposure.may_be_served": "exposure.only_known_files_are_served",
}
"""Keys that widen what another key promises, and the check that reads them."""


def test_the_key_that_the_accounts_step_reads_exists() -> None:
    assert FOR_EVERYBODY in KEYS


def test_checks_name_only_known_keys() -> None:
    named = {key for check in ALL for key in check.proves}
    assert named <= set(KEYS)
    assert set(READ_BESIDE.values()) <= {check.id for check in ALL}


def test_every_check_has_a_sentence_a_remedy_and_a_severity() -> None:
    for check in ALL:
        assert check.sentence.endswith("."), check.id
        assert check.remedy.endswith("."), check.id
        assert check.severity, check.id
        assert re.fullmatch(r"([A-Z]\d+)?", check.failure_mode), check.id


def test_every_promise_has_a_sentence_and_checks() -> None:
    assert all(promise.sentence.endswith(".") and promise.checks for promise in PROMISES)


def test_a_policy_with_another_section_is_another_policy() -> None:
    changed = read_policy().with_section(Masking(bytes=3))
    assert (changed.value("masking.bytes"), read_policy().value("masking.bytes")) == (3, 2)
    assert Policy().section(Masking).bytes is None


# -- files beside it ------------------------------------------------------------------------------


def test_the_configuration_lists_the_plugins_of_the_policy() -> None:
    listed = ini.read((ROOT / "image/config/config.ini.php").read_text()).of("Plugins", "Plugins")
    required = [entry.text for entry in listed if not entry.comment]
    optional = [entry.text for entry in listed if entry.comment == "; optional"]
    assert len(required) + len(optional) == len(listed)
    promised = read_policy().section(Plugins)
    assert sorted(required) == sorted(promised.active or ())
    assert sorted(optional) == sorted(promised.where_present)
    assert "UserId" not in required + optional


def test_the_published_schema_is_current() -> None:
    """After a change, run `matomo-harness policy schema > image/policy.schema.json`."""
    assert policy.SCHEMA_FILE.read_text() == policy.schema_of(SECTIONS)
    assert TEXT.startswith(f"#:schema ./{policy.SCHEMA_FILE.name}\n")


# -- the previous release -------------------------------------------------------------------------


def test_a_migrated_policy_promises_the_same(tmp_path: Path) -> None:
    text = migrated(FORMER)
    # What no policy of before could promise.
    today = read_policy().with_section(Retention()).with_section(Tracking(opt_out=True))
    today = today.with_section(Upgrade()).with_section(Drill())
    assert read_policy(written(tmp_path, text)).sections == today.sections
    assert "# The same since 5.8." in text, "the comments stay"


def test_only_a_policy_of_the_previous_release_is_migrated(tmp_path: Path) -> None:
    with pytest.raises(WrongInputError, match="has none of privacy, login"):
        migrated(written(tmp_path, TEXT))
    with pytest.raises(WrongInputError, match="readable TOML"):
        migrated(written(tmp_path, "[privacy"))


def test_a_former_policy_is_refused_with_the_command_to_run() -> None:
    with pytest.raises(WrongInputError, match="matomo-harness policy migrate"):
        read_policy(FORMER)


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("[login]", "[[login]]", r"\[login\] to be a table"),
        ("from_browser = false", "from_browser = 'no'", "from_browser to be true or false"),
        ("user_ids_stored = false", "user_ids_kept = false", "unknown: user_ids_kept"),
    ],
)
def test_a_mistake_in_a_former_policy_is_named(
    tmp_path: Path, before: str, after: str, complaint: str
) -> None:
    text = FORMER.read_text()
    assert before in text
    with pytest.raises(WrongInputError, match=complaint):
        migrated(written(tmp_path, text.replace(before, after)))


def test_a_mask_of_no_byte_promised_nothing(tmp_path: Path) -> None:
    text = FORMER.read_text().replace("masked_bytes = 2", "masked_bytes = 0")
    promised = read_policy(written(tmp_path, migrated(written(tmp_path, text))))
    assert promised.section(Masking).bytes is None
