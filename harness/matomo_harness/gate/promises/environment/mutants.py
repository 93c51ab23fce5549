"""Mutants of environment: a variable is lost, misspelt, unread or overruled, or one is extra."""

from typing import Final

from matomo_harness.gate.mutants import Deployment, Location, Mutants, Topology
from matomo_harness.gate.mutants.changes import code, in_web, no_plugin

MUTANTS: Final = Mutants("environment")

ENVIRONMENT: Final = "plugins/EnvironmentVariables/Environment.php"
IN_A_FILE: Final = "str_ends_with($rest, '_FILE') &&"

MUTANTS.add(
    "environment_unread",
    "EnvironmentVariables is not in the list of plugins",
    Location.FILE,
    ("wins_on_the_command_line", "secrets.salt_is_there", "plugins.promised_are_active"),
    no_plugin("EnvironmentVariables"),
    "M6",
)
MUTANTS.add(
    "misspelt",
    "a variable names a key that does not exist",
    Location.ENVIRONMENT,
    "no_useless_variable",
    failure_mode="C1",
    topology=Topology.DEDICATED,
    environment={"MATOMO_GENERAL_NO_SUCH_KEY": "1"},
)


@MUTANTS.mutant("shadowed", Location.IMAGE, "wins_in_the_web_server", "C6", Topology.FULL_STACK)
def _shadowed(deployment: Deployment) -> None:
    """The web server's own configuration shadows a variable."""
    # Apache's own envvars set it only for the web server, not for the console.
    other = "export MATOMO_GENERAL_NOREPLY_EMAIL_ADDRESS=other@matomo.example"
    in_web(f"echo {other} >> /etc/apache2/envvars")(deployment)
    deployment.full_stack.matomo.get_wrapped_container().restart(timeout=1)
    deployment.full_stack.wait_for_a_target()


MUTANTS.add(
    "variable_lost",
    "the task definition lost a variable",
    Location.ENVIRONMENT,
    "promised_variables_are_set",
    failure_mode="C1",
    topology=Topology.FULL_STACK,
    environment={"MATOMO_GENERAL_FORCE_SSL": None},
)
MUTANTS.add(
    "authority_lost",
    "the task definition neither turns on TLS to the database nor names an authority",
    Location.CERTIFICATE,
    ("promised_variables_are_set", "transport.database_by_tls"),
    failure_mode="D4",
    topology=Topology.FULL_STACK,
    environment={"MATOMO_DATABASE_ENABLE_SSL": None, "MATOMO_DATABASE_SSL_CA": None},
)
MUTANTS.add(
    "mail_encryption_lost",
    "nothing says that mail is sent by TLS",
    Location.ENVIRONMENT,
    "promised_variables_are_set",
    failure_mode="E1",
    topology=Topology.FULL_STACK,
    environment={"MATOMO_MAIL_ENCRYPTION": ""},
)
MUTANTS.add(
    "file_unread",
    "a variable NAME_FILE is no longer read, and mounted secrets set nothing",
    Location.IMAGE,
    "value_in_a_file_wins",
    code(ENVIRONMENT, IN_A_FILE, f"false && {IN_A_FILE}"),
    "C7",
    Topology.DEDICATED,
)
MUTANTS.add(
    "by_a_variable",
    "a variable of the task definition makes the tracker show everybody what it does",
    Location.ENVIRONMENT,
    "no_other_variable",
    failure_mode="C9",
    topology=Topology.DEDICATED,
    environment={"MATOMO_TRACKER_DEBUG_ON_DEMAND": "1"},
)
