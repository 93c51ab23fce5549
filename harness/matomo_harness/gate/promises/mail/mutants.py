"""Mutants of mail: it does not arrive, goes in clear text, or its links lead elsewhere."""

from typing import Final

from matomo_harness.gate.mutants import Location, Mutants, Topology
from matomo_harness.gate.mutants.changes import key
from matomo_harness.gate.promises.transport.mutants import no_scheme

MUTANTS: Final = Mutants("mail")

MUTANTS.add(
    "mail_host",
    "mail goes to a host that does not exist",
    Location.ENVIRONMENT,
    "arrives",
    failure_mode="E1",
    topology=Topology.FULL_STACK,
    environment={"MATOMO_MAIL_HOST": "mial"},
)
MUTANTS.add(
    "mail_password",
    "the relay's password was rotated on the relay alone",
    Location.MAIL,
    "arrives",
    failure_mode="D9",
    topology=Topology.FULL_STACK,
    environment={"MATOMO_MAIL_PASSWORD": "of last year"},
)
MUTANTS.add(
    "mail_encryption_by_another_name",
    "the encryption of mail is set to another program's word for it",
    Location.ENVIRONMENT,
    "settings_are_known_words",
    topology=Topology.FULL_STACK,
    environment={"MATOMO_MAIL_ENCRYPTION": "starttls"},
)
MUTANTS.add(
    "mail_misspelt",
    "the relay's name is in a variable that is misspelt",
    Location.ENVIRONMENT,
    ("arrives", "environment.promised_variables_are_set", "environment.no_useless_variable"),
    failure_mode="C1",
    topology=Topology.FULL_STACK,
    environment={"MATOMO_MAIL_HOST": None, "MATOMO_MAIL_HOTS": "mail"},
)
MUTANTS.add(
    "reset_by_http",
    "the proxy sends no scheme: the link to a new password uses http",
    Location.PROXY,
    "password_reset_arrives",
    no_scheme,
    "X4",
    Topology.FULL_STACK,
    {"MATOMO_GENERAL_FORCE_SSL": "0"},
)
MUTANTS.add(
    "reset_link_by_a_forged_header",
    "Matomo takes its host from a header that no proxy sets: anybody decides where a reset link leads",
    Location.FILE,
    ("password_reset_arrives", "transport.no_forged_host_is_believed"),
    key("General", "proxy_host_headers[]", "HTTP_X_FORWARDED_HOST"),
    "X4",
    Topology.FULL_STACK,
)
