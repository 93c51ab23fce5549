"""What a draft makes of what was seen: kept, left out, or kept without what is not so today."""

from pathlib import Path

from matomo_harness.gate.catalogue import ALL, SECTIONS, read_policy
from matomo_harness.gate.core.check import Status
from matomo_harness.gate.core.runner import Result
from matomo_harness.operate.init import NOT_TODAY, Draft
from matomo_harness.policy import Policy, is_promise
from matomo_harness.runtime.images import Image

IMAGE = Image("registry.example/matomo:1", "sha256:0", "given")


def draft(policy: Policy | None = None, **red: str) -> Draft:
    """Return the draft where the checks in `red` saw these texts, and all others passed."""
    seen = {name.replace("__", "."): text for name, text in red.items()}
    results = [
        Result(
            check,
            Status.FAILED if check.id in seen else Status.PASSED,
            "",
            seen.get(check.id, ""),
            0,
        )
        for check in ALL
        if check.proves
    ]
    return Draft(policy or read_policy(), results)


def test_what_passes_is_promised() -> None:
    found = draft()
    assert found.kept["masking.bytes"] == 2
    assert set(found.left_out.values()) == {NOT_TODAY}


def test_a_promise_that_is_broken_is_left_out_with_what_was_seen() -> None:
    found = draft(mail__arrives="no mail\n  came")
    assert found.left_out["mail.arrives"] == "mail.arrives: no mail came"
    assert "# arrives = …" in found.text(IMAGE)


def test_a_promise_that_few_of_its_checks_break_is_drafted() -> None:
    found = draft(masking__nowhere_in_the_database="192.0.2.7 in tracking_failure")
    assert found.kept["masking.bytes"] == 2
    assert "# Broken today: masking.nowhere_in_the_database: 192.0.2.7" in found.text(IMAGE)


def test_a_list_goes_without_what_is_not_so() -> None:
    found = draft(
        exposure__console_is_closed="console: HTTP 200, 799 bytes",
        exposure__security_headers_are_there="X-Frame-Options",
    )
    closed = found.kept["exposure.closed_paths"]
    assert "console" not in closed
    assert "config/config.ini.php" in closed
    assert "X-Frame-Options" not in found.kept["exposure.security_headers"]


def test_settings_that_are_there_are_named() -> None:
    found = draft(settings__options="A.b=1; C.d=")
    assert found.kept["settings.options"][-2:] == ("A.b=1", "C.d=")


def test_a_cause_is_no_broken_promise() -> None:
    results = [
        Result(check, Status.ERROR, "", "a loop", 0, cause="Matomo's web server answers")
        for check in ALL
        if check.proves
    ]
    found = Draft(read_policy(), results)
    assert found.kept["masking.bytes"] == 2
    assert set(found.causes) == {"Matomo's web server answers"}


def test_the_text_says_every_key() -> None:
    text = draft().text(IMAGE)
    for kind in SECTIONS:
        assert f"\n[{kind.table}]\n" in text
        for name in kind.model_fields:
            assert f"{name} = " in text or f"[{kind.table}.{name}]" in text


def test_what_is_drafted_is_read_as_it_was_meant(tmp_path: Path) -> None:
    policy, path = read_policy(), tmp_path / "policy.toml"
    path.write_text(draft(policy).text(IMAGE))
    again = read_policy(path)
    for kind in SECTIONS:
        for name in kind.model_fields:
            before = getattr(policy.section(kind), name)
            after = getattr(again.section(kind), name)
            assert after == before or not is_promise(before), f"{kind.table}.{name}"
