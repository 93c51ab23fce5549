"""Mutants of transport: a session is in clear text, a link leads away from TLS, or anybody is trusted."""

from typing import Final

from matomo_harness.gate.mutants import Deployment, Location, Mutants, Topology
from matomo_harness.gate.mutants.changes import (
    apache,
    code,
    every,
    in_web,
    key,
    load_balancer,
    no_key,
)

MUTANTS: Final = Mutants("transport")

ENVIRONMENT: Final = "plugins/EnvironmentVariables/Environment.php"
NO_AUTHORITY: Final = "return !empty($effective['enable_ssl']) &&"


def no_scheme(deployment: Deployment) -> None:
    """Remove the header that names the scheme by which a browser came."""
    drop = "sed -i '/X-Forwarded-Proto/d' /etc/haproxy/haproxy.cfg"
    load_balancer(drop)(deployment)


# -- the database ---------------------------------------------------------------------------------

MUTANTS.add(
    "database_in_clear",
    "TLS to the database is switched off",
    Location.ENVIRONMENT,
    "database_by_tls",
    failure_mode="D4",
    topology=Topology.FULL_STACK,
    environment={"MATOMO_DATABASE_ENABLE_SSL": "0"},
)
MUTANTS.add(
    "any_certificate_of_the_database",
    "whatever certificate the database shows is accepted",
    Location.IMAGE,
    "database_certificate_is_checked",
    in_web("printf '\\n[database]\\nssl_no_verify = 1\\n' >> config/common.config.ini.php"),
    "D4",
    Topology.FULL_STACK,
)
MUTANTS.add(
    "no_authority_no_tls",
    "without a named authority the database's session is in clear text, whatever ENABLE_SSL says",
    Location.IMAGE,
    "no_clear_text_in_silence",
    code(ENVIRONMENT, NO_AUTHORITY, "return false &&"),
    "D4",
    Topology.DEDICATED,
)

# -- browsers -------------------------------------------------------------------------------------

MUTANTS.add(
    "scheme_dropped",
    "the proxy sends no scheme: cookies and links are for http",
    Location.PROXY,
    ("cookies_are_secure", "nothing_links_to_clear_text"),
    no_scheme,
    "X1",
    Topology.FULL_STACK,
    {"MATOMO_GENERAL_FORCE_SSL": "0"},
)
MUTANTS.add(
    "clear_text_served",
    "the load balancer passes on requests by http as well",
    Location.PROXY,
    "clear_text_leads_to_tls",
    load_balancer(
        "sed -i 's/^ *http-request redirect code 301.*/    http-request set-header"
        " X-Forwarded-Proto https\\n    default_backend target-group/' /etc/haproxy/haproxy.cfg"
    ),
    topology=Topology.FULL_STACK,
)
MUTANTS.add(
    "hits_in_clear_text",
    "the load balancer accepts old pages' hits by http and redirects the rest",
    Location.PROXY,
    "clear_text_leads_to_tls",
    load_balancer(
        "sed -i 's#^\\( *http-request redirect code 301.*\\)$#"
        "\\1 unless { path /matomo.php }\\n    default_backend target-group#'"
        " /etc/haproxy/haproxy.cfg; grep -q 'unless { path' /etc/haproxy/haproxy.cfg"
    ),
    "X1",
    Topology.FULL_STACK,
)
MUTANTS.add(
    "cookies_for_scripts",
    "the web server removes HttpOnly from every cookie, for a script that is to see who is logged in",
    Location.IMAGE,
    "cookies_are_not_for_scripts",
    apache('Header edit* Set-Cookie "(?i); *HttpOnly" ""'),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "cookies_for_other_sites",
    "the web server lets other sites' pages send the session's cookie, for a frame",
    Location.IMAGE,
    "cookies_are_not_for_scripts",
    apache('Header edit* Set-Cookie "SameSite=Lax" "SameSite=None"'),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "old_tls",
    "the load balancer accepts TLS 1.0 and weak ciphers, for an old device",
    Location.PROXY,
    "old_tls_is_refused",
    load_balancer(
        "sed -i 's/ssl-min-ver TLSv1.2/ssl-min-ver TLSv1.0 ciphers DEFAULT:@SECLEVEL=0/'"
        " /etc/haproxy/haproxy.cfg; grep -q 'ssl-min-ver TLSv1.0' /etc/haproxy/haproxy.cfg"
    ),
    topology=Topology.FULL_STACK,
)
MUTANTS.add(
    "hosts_unchecked",
    "trusted hosts were switched off for a test: whoever asks by another name moves Matomo's address",
    Location.FILE,
    ("address_is_not_moved", "settings.no_safeguard_is_off"),
    key("General", "enable_trusted_host_check", 0),
    "X4",
    Topology.DEDICATED,
)
MUTANTS.add(
    "hosts_unknown",
    "a read-only config.ini.php names no trusted host: any name is believed, for ever",
    Location.FILE,
    "address_is_not_moved",
    every(
        no_key("General", "trusted_hosts[]"),
        in_web("chown root config/config.ini.php; chmod 444 config/config.ini.php"),
    ),
    "X4",
    Topology.DEDICATED,
)
