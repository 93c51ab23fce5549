"""What of production's config.ini.php a reproduction gets."""

from pathlib import Path

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.matomo import ini
from matomo_harness.operate import production_config

PRODUCTION = """; <?php exit; ?> DO NOT REMOVE THIS LINE
[database]
host = "rds.example"
username = "matomo"
password = "raw-password"
dbname = "analytics"
tables_prefix = "piwik_"
charset = "utf8"

[General]
salt = "raw-salt"
trusted_hosts[] = "analytics.example"
trusted_hosts[] = "stats.example"
cors_domains[] = "https://a.example"
login_allowlist_ip[] = "192.0.2.7"
login_whitelist_ip[] = "192.0.2.7"
enable_processing_unique_visitors_year = 1

[mail]
transport = "smtp"
host = "mail.example"
password = "mail-password"

[SomePlugin]
api_token = "raw-token"
users_password[] = "raw-too"
mode = 3

[LoginLdap_srv]
hostname = "ldap"
admin_pass = "raw-bind"
use_auth = 1

[database_reader]
host = "replica.example"
username = "reader"

[Plugins]
Plugins[] = "CoreHome"
Plugins[] = "Actions"
"""
OWN = """; <?php exit; ?> DO NOT REMOVE THIS LINE
[General]
salt = ""

[Plugins]
Plugins[] = "CoreHome"
Plugins[] = "EnvironmentVariables"
"""


def test_secrets_and_what_leads_to_production_are_left_out() -> None:
    text, left_out = production_config.for_reproduction(PRODUCTION, OWN, "https://localhost:8500")
    words = ("raw-", "mail", "rds.example", "analytics", "replica.example", "reader", "192.")
    assert not [word for word in words if word in text]
    assert {"General.salt", "[mail]", "database.password", "SomePlugin.api_token"} <= {*left_out}
    assert {"General.login_allowlist_ip", "General.login_whitelist_ip"} <= {*left_out}
    assert text.startswith("; <?php exit; ?>")


def test_what_production_was_closed_by_for_its_dump_is_left_out() -> None:
    closed = f"{PRODUCTION}\n[Tracker]\nrecord_statistics = 0\nvisit_standard_length = 900\n"
    closed = closed.replace("[General]", "[General]\nmaintenance_mode = 1")
    text, left_out = production_config.for_reproduction(closed, OWN, "https://localhost:8500")
    assert {"General.maintenance_mode", "Tracker.record_statistics"} <= {*left_out}
    said = ini.read(text)
    assert said.text("General", "maintenance_mode") is None
    assert said.text("Tracker", "record_statistics") is None
    assert said.text("Tracker", "visit_standard_length") == "900"


def test_what_production_chose_stays() -> None:
    text, _ = production_config.for_reproduction(PRODUCTION, OWN, "https://localhost:8500")
    said = ini.read(text)
    assert said.text("database", "charset") == "utf8"
    assert said.text("General", "enable_processing_unique_visitors_year") == "1"
    assert said.text("SomePlugin", "mode") == "3"
    assert said.text("LoginLdap_srv", "use_auth") == "1"
    assert said.text("General", "salt") == ""
    assert {*said.texts("General", "trusted_hosts")} == {"localhost", "localhost:8500"}
    assert {*said.texts("Plugins", "Plugins")} == {"CoreHome", "Actions", "EnvironmentVariables"}
    assert said.texts("PluginsInstalled", "PluginsInstalled") == ()


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongInputError, match=r"config\.ini\.php"):
        production_config.read(tmp_path / "nothing.php")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WrongInputError, match="no text"):
        production_config.read(tmp_path / "binary")


def test_a_queue_in_productions_redis_is_left_out() -> None:
    """Each hit would be an error: what is clicked of it goes with the rows (personal-data.toml)."""
    queue = '[QueuedTracking]\nqueueEnabled = 1\nredisHost = "redis.example"\n'
    text, left_out = production_config.without_secrets(f"{PRODUCTION}\n{queue}")
    assert "[QueuedTracking]" in left_out
    assert "redis.example" not in text


def test_a_login_at_productions_identity_provider_is_left_out() -> None:
    """With it the page of the login leads a browser there, and nobody gets in."""
    saml = '[LoginSaml]\nstatus = 1\noptions_forcesaml = 1\nidp_sso = "https://idp.example/sso"\n'
    text, left_out = production_config.without_secrets(f"{PRODUCTION}\n{saml}")
    assert "[LoginSaml]" in left_out
    assert "idp.example" not in text


@pytest.mark.parametrize("cache", ["redis", "file"])
def test_a_cache_in_productions_redis_is_left_out(cache: str) -> None:
    """The reproduction's network leads nowhere: Matomo would end at its first page."""
    sections = f"[Cache]\nbackend = chained\n[ChainedCache]\nbackends[] = {cache}\n"
    redis = '[RedisCache]\nhost = "redis.example"\n'
    text, left_out = production_config.without_secrets(f"{PRODUCTION}\n{sections}{redis}")
    names = {"[RedisCache]", "[Cache]", "[ChainedCache]"}
    assert names & set(left_out) == (names if cache == "redis" else set())
    assert ("redis.example" in text) == (cache != "redis")
