"""The evidence of a failed test holds no secret, and has the errors of the servers."""

import pytest

from matomo_harness.redaction import redact, setting
from matomo_harness.runtime.evidence import DATABASE_ERRORS, WEB_ERRORS


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("x canary y", "x (redacted) y"),
        ("token_auth=abc&method=x", "token_auth=(redacted)&method=x"),
        ("userLogin=bob&password=a%20b", "userLogin=bob&password=(redacted)"),
        ("Set-Cookie: MATOMO_SESSID=abc; path=/", "Set-Cookie: (redacted) path=/"),
        ("> Cookie: a=1; MATOMO_SESSID=xyz\nHost: x", "> Cookie: (redacted)\nHost: x"),
        ("Authorization: Bearer abc def", "Authorization: (redacted)"),
        ("{'Cookie': 'a=1; b=2', 'Host': 'x'}", "{'Cookie': '(redacted)', 'Host': 'x'}"),
        ('{"password": "a \\" b", "author": "Jo"}', '{"password": "(redacted)", "author": "Jo"}'),
        ('{"token_auth" : "", "x": 1}', '{"token_auth" : "", "x": 1}'),
        ('GENERATED ROOT PASSWORD: a&b"c~', "GENERATED ROOT PASSWORD: (redacted)"),
        ("module=Login&form_nonce=abc", "module=Login&form_nonce=(redacted)"),
    ],
)
def test_known_secrets_and_secret_fields_are_redacted(text: str, redacted: str) -> None:
    assert redact(text, ["canary"]) == redacted


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("LoginLdap.ldap_password", "x", "(redacted)"),
        ("QueuedTracking.redisPassword", "12345678", "(redacted)"),
        ("marketplace_license_key", "x", "(redacted)"),
        ("Slack.webhookUrl", "https://hooks.example/x", "(redacted)"),
        ("PrivacyManager.ipAddressMaskLength", "2", "2"),
        ("General.only_allow_secure_auth_tokens", "1", "1"),
        ("General.password_hash_argon2_time_cost", "4", "4"),
        ("LoginLdap.password", "", ""),
        ("TwoFactorAuth.twoFactorAuthRequired", "1", "1"),
    ],
)
def test_a_setting_is_shown_unless_its_name_says_a_secret(
    name: str, value: str, shown: str
) -> None:
    assert setting(name, value) == shown


@pytest.mark.parametrize(
    ("line", "is_error"),
    [
        ("[h] [warn] PHP Warning:  Undefined variable $x in /var/www/html/x.php on line 1", True),
        ("[h] [error] PHP Fatal error:  Uncaught Exception: boom", True),
        ('[h] 172.31.0.1 [24/Nov/2026:00:21:31 +0000] "GET /y.php HTTP/1.1" 500 -', True),
        ('[h] 172.31.0.1 [24/Nov/2026:00:21:31 +0000] "GET /y.php HTTP/1.1" 403 500', False),
        ('172.31.0.1 - - [24/Nov/2026] "GET / HTTP/1.1" 503 299 "-" "curl"', True),
        ("[h] [notice] MATOMO_GENERAL_X sets nothing", False),
    ],
)
def test_errors_of_the_web_server_are_recognised(line: str, is_error: bool) -> None:
    assert bool(WEB_ERRORS.search(line)) == is_error


def test_a_warning_of_the_database_is_no_error() -> None:
    assert DATABASE_ERRORS.search("2026-11-24  0:21:31 0 [ERROR] InnoDB: Unable to lock")
    assert not DATABASE_ERRORS.search("2026-11-24  0:21:31 3 [Warning] Aborted connection 3")
