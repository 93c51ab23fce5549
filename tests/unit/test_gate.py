"""The gate's own parts: checks are distinct, reports hold no secret, addresses are masked."""

import json
import zlib
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

from matomo_harness.cli import gate as cli
from matomo_harness.errors import BrokenPromiseError, WrongInputError
from matomo_harness.gate import report
from matomo_harness.gate.catalogue import ALL, read_policy
from matomo_harness.gate.core.check import Status, same
from matomo_harness.gate.core.runner import Result
from matomo_harness.gate.core.verdict import Verdict
from matomo_harness.gate.probes import leak_scan
from matomo_harness.gate.probes.traffic import masked, new_canary
from matomo_harness.operate import gate as operation
from matomo_harness.policy import POLICY_FILE
from matomo_harness.redaction import redact

SECRET = "a-secret-that-was-seen"


def test_the_report_says_whose_policy_it_was_judged_by(tmp_path: Path) -> None:
    assert operation.named(POLICY_FILE, read_policy()).startswith("the reference's policy.toml, ")
    own = tmp_path / "policy.toml"
    own.write_text("[masking]\nbytes = 2\n")
    assert operation.named(own, read_policy(own)).startswith("policy.toml, ")


def test_what_runs_is_not_judged_by_our_policy_in_silence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli._of_this_directory() == POLICY_FILE
    assert "Judged by what the reference image promises" in capsys.readouterr().err
    (tmp_path / "policy.toml").touch()
    assert cli._of_this_directory() == Path("policy.toml")
    assert not capsys.readouterr().err


def test_each_check_has_a_unique_id_and_a_sentence() -> None:
    assert len(ALL) >= 201
    assert max(Counter(check.id for check in ALL).values()) == 1
    assert all(check.sentence.endswith(".") for check in ALL)


def test_the_report_has_every_check_and_no_secret(tmp_path: Path) -> None:
    results = [Result(check, Status.PASSED, "this", "this", 0.1) for check in ALL[1:]]
    broken = Result(
        ALL[0], Status.FAILED, "no secret", f"a page with {SECRET}", 0.1, (("x.ini", SECRET),)
    )
    verdict = Verdict((broken, *results), {})
    document = report.write(verdict, {"image": "matomo:1"}, tmp_path, [SECRET])

    assert json.loads((tmp_path / "gate.json").read_text()) == document
    counts = {status: count for status, count in document["counts"].items() if count}
    assert counts == {"pass": len(ALL) - 1, "fail": 1}
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()  # noqa: S314  our own
    assert (len(suite), suite.get("failures")) == (len(ALL), "1")
    page = (tmp_path / "index.html").read_text()
    assert [check.id for check in ALL if check.id not in page] == []
    assert [path for path in tmp_path.iterdir() if SECRET in path.read_text()] == []
    with pytest.raises(BrokenPromiseError, match=ALL[0].id):
        report.require_passed(document, tmp_path)


@pytest.mark.parametrize("before", [570, 580, 590])
def test_no_part_of_a_secret_is_left_where_a_long_text_is_cut(before: int) -> None:
    finding = same("", f"{'x ' * (before // 2)}{SECRET} and more {'y' * 900}")
    assert f"{SECRET[:6]}" not in redact(finding.seen, [SECRET])


def test_the_page_shows_a_picture_as_evidence(tmp_path: Path) -> None:
    shown = Result(ALL[0], Status.PASSED, "this", "this", 0.1, (("page.png", b"\x89PNG"),))
    report.write(Verdict((shown,), {}), {}, tmp_path)
    name = f"{ALL[0].id}-page.png"
    assert (tmp_path / name).read_bytes() == b"\x89PNG"
    assert f'<img src="{name}"' in (tmp_path / "index.html").read_text()


def test_no_form_of_a_canary_address_is_in_a_text_by_chance() -> None:
    """Four letters may be in any text: CI found those of an address in matomo.js."""
    families = ("IPv4", "IPv6")
    canaries = [new_canary("run", "form", 1, family) for family in families for _ in range(300)]
    short = [form for canary in canaries for form in canary.forms_of_address if len(form) < 7]
    assert len(short) == 300, "an IPv4 address, packed"
    assert [form for form in short if form != form.decode(errors="replace").encode()] == short


def test_no_canary_comes_from_an_address_of_googles_robot() -> None:
    # Matomo answers its hits and stores none: one gate in some hundred was red by that.
    for _ in range(2000):
        assert not new_canary("run", "bulk", 1, "IPv4").address.startswith("66.")


def test_an_archive_is_unpacked_before_the_search() -> None:
    assert leak_scan.unpacked(zlib.compress(b"203.0.113.7")) == b"203.0.113.7"
    assert leak_scan.unpacked(b"203.0.113.7") == b"203.0.113.7"
    assert leak_scan.unpacked("203.0.113.7") == b"203.0.113.7"


@pytest.mark.parametrize(
    ("zeroed", "v4", "v6"),
    [
        (0, "198.51.100.99", "2001:db8:1234:5678:9abc:def0:1111:2222"),
        (1, "198.51.100.0", "2001:db8:1234:5678::"),
        (2, "198.51.0.0", "2001:db8:1234::"),
        (3, "198.0.0.0", "2001:d00::"),
        (4, "0.0.0.0", "::"),  # noqa: S104  an address, not an interface
    ],
)
def test_addresses_are_masked_as_matomo_masks_them(zeroed: int, v4: str, v6: str) -> None:
    assert masked("198.51.100.99", zeroed) == v4
    assert masked("2001:db8:1234:5678:9abc:def0:1111:2222", zeroed) == v6


def test_a_report_that_another_user_left_is_named_before_the_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "gate.json"
    theirs.touch()
    monkeypatch.setattr("os.access", lambda path, _: path != theirs)
    with pytest.raises(WrongInputError, match=r"gate\.json is read-only"):
        operation.require_place(tmp_path)


def test_the_command_that_reaches_a_container_shows_no_secret(tmp_path: Path) -> None:
    about = {"container": "`kubectl --token=abcdefgh exec -i deploy/matomo --`"}
    report.write(Verdict((), {}), about, tmp_path)
    assert [path for path in tmp_path.iterdir() if "abcdefgh" in path.read_text()] == []
