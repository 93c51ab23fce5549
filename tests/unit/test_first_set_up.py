"""The worked example of a first set-up says what compose.yml and image/*.toml say."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from cfnlint import decode, lint_file  # type: ignore[import-untyped]

from matomo_harness.settings import COMPOSE_FILE, IMAGE_DIRECTORY

ROOT = Path(__file__).parents[2]
TEMPLATE: Final = ROOT / "docs/howto/first-set-up/matomo.yaml"
PAGE: Final = ROOT / "docs/howto/first-set-up.md"
DECODED: Final[dict[str, Any]] = decode.decode(str(TEMPLATE))[0]
RESOURCES: Final[dict[str, Any]] = DECODED["Resources"]
DELIVERY: Final = tomllib.loads((IMAGE_DIRECTORY / "delivery.toml").read_text())
DEPLOYMENT: Final = tomllib.loads((IMAGE_DIRECTORY / "deployment.toml").read_text())
LOAD_BALANCER: Final = ROOT / "harness/matomo_harness/runtime/services/load-balancer/Dockerfile"
TASKS: Final = ("WebTask", "ArchiverTask")
OF_A_PLACE: Final = {
    "MATOMO_DATABASE_HOST",
    "MATOMO_DATABASE_SSL_CA",
    "MATOMO_MAIL_HOST",
    "MATOMO_GENERAL_NOREPLY_EMAIL_ADDRESS",
    "MATOMO_GENERAL_LOGIN_PASSWORD_RECOVERY_REPLYTO_EMAIL_ADDRESS",
}
"""Variables whose value differs from place to place."""
OF_THE_LAPTOP: Final = {"SSL_CERT_FILE"}
"""What only compose.yml needs: its mail relay has a certificate of an authority of its own."""


def properties(resource: str) -> dict[str, Any]:
    return dict(RESOURCES[resource]["Properties"])


def container(resource: str) -> dict[str, Any]:
    """Return the only container of a task definition."""
    (only,) = properties(resource)["ContainerDefinitions"]
    return dict(only)


def service(name: str) -> dict[str, Any]:
    """Return what compose.yml says of a service."""
    return dict(yaml.safe_load(COMPOSE_FILE.read_text())["services"][name])


def pairs(listed: list[dict[str, Any]], key: str, value: str) -> dict[str, Any]:
    return {each[key]: each[value] for each in listed}


def of_stage(value: object, stage: str) -> str:
    """Return what a name is in a stage: it is plain, made of the stage, or decided by it."""
    if isinstance(value, Mapping) and "Fn::If" in value:
        condition, production, other = value["Fn::If"]
        assert condition == "IsProduction"
        return of_stage(production if stage == "production" else other, stage)
    if isinstance(value, Mapping):
        return str(value["Fn::Sub"]).replace("${Stage}", stage)
    return str(value)


def test_the_linter_of_templates_finds_nothing() -> None:
    assert [str(match) for match in lint_file(TEMPLATE)] == []


def test_the_page_gives_every_parameter_that_has_no_default() -> None:
    asked = {name for name, each in DECODED["Parameters"].items() if "Default" not in each}
    later = {"Image", "Installed", "AlarmTopic"}
    assert set(re.findall(r"\b([A-Z][a-z]\w+)=", PAGE.read_text())) == {*asked, *later}


def test_what_a_failed_first_attempt_made_is_not_in_the_way_of_the_second() -> None:
    policies = {
        name: each["DeletionPolicy"] for name, each in RESOURCES.items() if "DeletionPolicy" in each
    }
    assert policies.pop("Database") == "Snapshot"
    assert {"Repository", "Salt", "Files", "Log"} <= policies.keys()
    assert {*policies.values()} == {"RetainExceptOnCreate"}


def test_without_an_image_nothing_is_made_that_runs_it() -> None:
    conditions = {name: each.get("Condition") for name, each in RESOURCES.items()}
    waiting = {name for name, condition in conditions.items() if condition}
    assert {conditions[name] for name in (*TASKS, "Service")} == {"HasImage"}
    assert waiting.isdisjoint({"Repository", "Database", "Files", "LoadBalancer", "Cluster"})


def test_until_it_is_installed_nothing_ends_a_task_and_nothing_archives() -> None:
    """The image's health check fails where there is no Matomo yet."""
    condition, check, otherwise = container("WebTask")["HealthCheck"]["Fn::If"]
    assert (condition, otherwise) == ("IsInstalled", {"Ref": "AWS::NoValue"})
    assert check
    assert DECODED["Parameters"]["Installed"]["Default"] == "no"
    for name in ("Schedule", "ArchiverIsSilent"):
        assert RESOURCES[name]["Condition"] == "IsInstalled"


def test_an_archiver_that_never_comes_to_its_end_is_heard_of() -> None:
    alarm, heard = properties("ArchiverIsSilent"), properties("ArchiverHasEnded")
    (metric,) = heard["MetricTransformations"]
    assert alarm["MetricName"] == metric["MetricName"]
    assert alarm["Namespace"] == metric["MetricNamespace"]
    assert (alarm["ComparisonOperator"], alarm["TreatMissingData"]) == (
        "LessThanThreshold",
        "breaching",
    )
    assert alarm["AlarmActions"]["Fn::If"][1] == [{"Ref": "AlarmTopic"}]
    # What Matomo says at the end, whether archives failed or not (CronArchive::run).
    words = heard["FilterPattern"].strip('"')
    assert words in "done: 12 req, 845 ms, no error"
    assert words not in "Done archiving!" + "done: 12 req, 845 ms, 2 errors."


def test_the_variables_are_those_of_the_web_container() -> None:
    web = container("WebTask")
    variables = pairs(web["Environment"], "Name", "Value")
    secrets = pairs(web["Secrets"], "Name", "ValueFrom")
    here = {
        name: value
        for name, value in service("matomo")["environment"].items()
        if name not in OF_THE_LAPTOP
    }
    assert variables.keys() | secrets.keys() == here.keys()
    assert variables.keys().isdisjoint(secrets)
    assert secrets.keys() >= {
        "MATOMO_GENERAL_SALT",
        *(name for name in here if name[-8:] == "PASSWORD"),
    }
    # ${TABLES_PREFIX-matomo_}: the default is what a new database gets.
    plain = {name: re.sub(r"^\$\{\w+-(.*)\}$", r"\1", value) for name, value in here.items()}
    fixed = variables.keys() - OF_A_PLACE
    assert {name: variables[name] for name in fixed} == {name: plain[name] for name in fixed}


def test_the_mounts_are_those_of_the_web_container() -> None:
    mounts = pairs(container("WebTask")["MountPoints"], "SourceVolume", "ContainerPath")
    volumes = [each for each in service("matomo")["volumes"] if isinstance(each, Mapping)]
    assert mounts == {volume["source"]: volume["target"] for volume in volumes}
    described = {each["Name"]: each for each in properties("WebTask")["Volumes"]}
    assert described.keys() == mounts.keys()
    for volume in described.values():
        assert volume["EFSVolumeConfiguration"]["TransitEncryption"] == "ENABLED"


def test_the_archiver_has_the_image_mounts_and_environment_of_the_web_container() -> None:
    for key in ("Image", "Environment", "Secrets", "MountPoints"):
        assert container("ArchiverTask")[key] == container("WebTask")[key]
    assert properties("ArchiverTask")["Volumes"] == properties("WebTask")["Volumes"]


@pytest.mark.parametrize(
    ("resource", "section"), [("WebTask", "web"), ("ArchiverTask", "archiver")]
)
def test_limits_port_and_command_are_those_of_the_deployment(resource: str, section: str) -> None:
    task, only, declared = properties(resource), container(resource), DEPLOYMENT[section]
    limits = {"cpu_units": int(task["Cpu"]), "memory_mib": int(task["Memory"])}
    ports = [mapping["ContainerPort"] for mapping in only.get("PortMappings", [])]
    found = {**limits, "stop_seconds": only["StopTimeout"]}
    assert {key: declared[key] for key in found} == found
    assert ports == ([declared["port"]] if section == "web" else [])
    assert only.get("Command") == declared.get("command")


def test_the_health_check_is_the_one_of_the_image() -> None:
    (line,) = re.findall(r"(?m)^HEALTHCHECK (.+)$", (IMAGE_DIRECTORY / "Dockerfile").read_text())
    found = {name: int(number) for name, number in re.findall(r"--([a-z-]+)=(\d+)", line)}
    assert container("WebTask")["HealthCheck"]["Fn::If"][1] == {
        "Command": ["CMD", *re.findall(r'"(.+)"', line)],
        "Interval": found["interval"],
        "Timeout": found["timeout"],
        "StartPeriod": found["start-period"],
        "Retries": found["retries"],
    }


def test_the_archiver_starts_at_every_full_hour_as_the_newest_of_its_family() -> None:
    schedule = properties("Schedule")
    assert schedule["ScheduleExpression"] == "cron(0 * * * ? *)"
    (target,) = schedule["Targets"]
    family = properties("ArchiverTask")["Family"]["Fn::Sub"]
    # With a revision behind it, a deployment would not reach the archiver.
    named = target["EcsParameters"]["TaskDefinitionArn"]["Fn::Sub"]
    assert named.endswith(f":task-definition/{family}")


def test_the_load_balancer_is_the_one_of_compose() -> None:
    here = dict(re.findall(r"(IDLE_SECONDS|HEALTH_PATH)=(\S+)", LOAD_BALANCER.read_text()))
    attributes = pairs(properties("LoadBalancer")["LoadBalancerAttributes"], "Key", "Value")
    assert attributes["idle_timeout.timeout_seconds"] == here["IDLE_SECONDS"]
    assert attributes["routing.http.xff_header_processing.mode"] == "append"
    assert properties("Tasks")["HealthCheckPath"] == here["HEALTH_PATH"]
    assert properties("Tasks")["Port"] == DEPLOYMENT["web"]["port"]
    assert (properties("Https")["Port"], properties("Https")["Protocol"]) == (443, "HTTPS")
    (redirect,) = properties("Http")["DefaultActions"]
    assert redirect["RedirectConfig"] == {
        "Protocol": "HTTPS",
        "Port": "443",
        "StatusCode": "HTTP_301",
    }


def test_a_task_is_reached_through_the_load_balancer_alone() -> None:
    (rule,) = properties("TaskGroup")["SecurityGroupIngress"]
    assert rule["SourceSecurityGroupId"] == {"Ref": "LoadBalancerGroup"}
    assert rule["FromPort"] == rule["ToPort"] == DEPLOYMENT["web"]["port"]


def test_the_database_refuses_clear_text_and_is_not_public() -> None:
    assert "--require-secure-transport=ON" in service("db")["command"]
    assert properties("DatabaseSettings")["Parameters"]["require_secure_transport"] == "1"
    database = properties("Database")
    assert (database["StorageEncrypted"], database["PubliclyAccessible"]) == (True, False)
    assert database["DBName"] == service("db")["environment"]["MARIADB_DATABASE"]


def test_another_series_of_the_database_server_is_a_parameter() -> None:
    database = properties("Database")
    assert database["EngineVersion"] == {"Ref": "MariaDbVersion"}
    assert database["DBParameterGroupName"] == {"Ref": "DatabaseSettings"}
    assert properties("DatabaseSettings")["Family"] == {"Fn::Sub": "mariadb${MariaDbVersion}"}
    assert database["AllowMajorVersionUpgrade"] is True


@pytest.mark.parametrize("stage", ["dev", "stage", "production"])
def test_the_names_are_those_that_a_delivery_looks_for(stage: str) -> None:
    declared = DELIVERY[stage]
    assert {
        "repository": of_stage(properties("Repository")["RepositoryName"], stage),
        "cluster": of_stage(properties("Cluster")["ClusterName"], stage),
        "service": of_stage(properties("Service")["ServiceName"], stage),
        "jobs": [of_stage(properties("ArchiverTask")["Family"], stage)],
    } == {key: declared[key] for key in ("repository", "cluster", "service", "jobs")}
