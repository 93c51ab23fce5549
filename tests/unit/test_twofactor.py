"""Codes are those of RFC 6238, for Matomo's short secrets too."""

import base64
import time

import pytest

from matomo_harness.matomo import twofactor


def test_the_code_is_that_of_the_rfc(monkeypatch: pytest.MonkeyPatch) -> None:
    # RFC 6238, appendix B: at 59 s the SHA-1 code of this secret is 94287082.
    monkeypatch.setattr(time, "time", lambda: 59)
    secret = base64.b32encode(b"12345678901234567890").decode()
    assert twofactor.code(secret) == "287082"


def test_a_step_is_half_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "JBSWY3DPEHPK3PXP"  # 16 characters, as Matomo makes them
    monkeypatch.setattr(time, "time", lambda: 1000)
    later = twofactor.code(secret, steps=1)
    monkeypatch.setattr(time, "time", lambda: 1030)
    assert twofactor.code(secret) == later
