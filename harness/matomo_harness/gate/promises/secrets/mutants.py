"""Mutants of secrets: the salt is lost, or a password or a token is written down or disclosed."""

import json
from typing import Final

from matomo_harness.gate.mutants import Deployment, Location, Mutants, Topology
from matomo_harness.gate.mutants.changes import code, in_web, key

MUTANTS: Final = Mutants("secrets")

SALT: Final = "MATOMO_GENERAL_SALT"
BACKUP: Final = "/mnt/efs/backup"

# -- the configuration ----------------------------------------------------------------------------

MUTANTS.add(
    "salt_lost",
    "no salt is set",
    Location.ENVIRONMENT,
    "salt_is_there",
    failure_mode="A12",
    topology=Topology.DEDICATED,
    environment={SALT: None},
)
MUTANTS.add(
    "salt_misspelt",
    "the salt's variable is misspelt",
    Location.ENVIRONMENT,
    ("salt_is_there", "environment.no_useless_variable"),
    failure_mode="A12",
    topology=Topology.DEDICATED,
    environment={SALT: None, "MATOMO_GENRAL_SALT": "x"},
)
MUTANTS.add(
    "old_password_in_the_file",
    "config.ini.php still has the password from before the environment set it",
    Location.VOLUME,
    "none_in_the_configuration",
    key("database", "password", "of last year"),
    "C3",
)
MUTANTS.add(
    "environment_saved",
    "EnvironmentVariables no longer keeps what it reads out of the file, like the public plugin",
    Location.IMAGE,
    "save_writes_none",
    code(
        "plugins/EnvironmentVariables/EnvironmentVariables.php",
        "['Config.beforeSave' => 'keepEnvironmentOutOfTheFile']",
        "[]",
    ),
    "C3",
    Topology.DEDICATED,
)

# -- anywhere -------------------------------------------------------------------------------------


@MUTANTS.mutant("secret_in_a_file", Location.VOLUME, "none_in_a_file", "C3", Topology.FULL_STACK)
def _in_a_file(deployment: Deployment) -> None:
    """A password lies beside config.ini.php."""
    deployment.instance.shell.write("config/old.ini", deployment.full_stack.mail.password)


@MUTANTS.mutant("secret_in_a_backup", Location.VOLUME, "none_in_a_file", "C3", Topology.FULL_STACK)
def _in_a_backup(deployment: Deployment) -> None:
    """An old backup has the database's password."""
    # It dates from the public EnvironmentVariables plugin, which writes what it reads.
    password = deployment.full_stack.mariadb.passwords.matomo
    _beside_the_backup(deployment, "config.ini.php", password)


@MUTANTS.mutant("secret_in_json", Location.VOLUME, "none_in_a_file", "C3", Topology.FULL_STACK)
def _in_json(deployment: Deployment) -> None:
    """The task definition with its passwords, as JSON, was left beside the backup."""
    # As the cloud's console shows a task definition, saved before a deployment.
    password = deployment.full_stack.mariadb.passwords.matomo
    description = json.dumps({"name": "MATOMO_DATABASE_PASSWORD", "value": password})
    _beside_the_backup(deployment, "task.json", description)


def _beside_the_backup(deployment: Deployment, name: str, text: str) -> None:
    deployment.instance.shell.run("mkdir", "-p", BACKUP, user="root")
    deployment.instance.shell.write(f"{BACKUP}/{name}", text, user="root")


MUTANTS.add(
    "environment_written_down",
    "a start script has written all variables, passwords too, to /etc/environment",
    Location.CONTAINERS,
    "none_in_a_file",
    in_web("env | grep ^MATOMO_ > /etc/environment"),
    "C3",
    Topology.FULL_STACK,
)


@MUTANTS.mutant("secret_in_a_log", Location.CONTAINERS, "none_in_a_log", "C3", Topology.FULL_STACK)
def _in_a_log(deployment: Deployment) -> None:
    """A password is printed as the container starts."""
    secret = deployment.full_stack.mail.password
    deployment.instance.shell.run("sh", "-c", 'echo "$1" > /proc/1/fd/1', "sh", secret, user="root")


@MUTANTS.mutant(
    "secret_as_argument",
    Location.CONTAINERS,
    "none_in_the_process_list",
    "C3",
    Topology.FULL_STACK,
)
def _as_argument(deployment: Deployment) -> None:
    """A password is a program's argument."""
    secret = deployment.full_stack.mail.password
    container = deployment.instance.shell.container
    container.exec_run(["sh", "-c", "sleep 600; :", secret], detach=True, user="root")


@MUTANTS.mutant(
    "token_on_the_volume", Location.VOLUME, "no_token_in_a_file", "S1", Topology.DEDICATED
)
def _on_the_volume(deployment: Deployment) -> None:
    """A script in js/, for a number on the institution's home page, has the superuser's token in it."""
    deployment.instance.shell.write("js/visits.js", f"load('{deployment.instance.token}')")
