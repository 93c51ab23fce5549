"""How we read compose.yml: in each form that Compose accepts, or with an error."""

from pathlib import Path

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.policy import deployment
from matomo_harness.runtime import description
from matomo_harness.runtime.description import Service, require_supported

ENTRY = "services:\n  one:\n    image: ${ONE_IMAGE}\n"


def read(directory: Path, more: str) -> Service:
    path = directory / "compose.yml"
    path.write_text(ENTRY + more)
    return description.read({"GIVEN": "7"}, path).services["one"]


@pytest.mark.parametrize(
    ("more", "environment"),
    [
        ("    environment: [A=1, B=]\n", {"A": "1", "B": ""}),
        ("    environment:\n", {}),
        ("    environment: {A: true, B: 1, C: }\n", {"A": "true", "B": "1", "C": ""}),
        (
            "    environment: {A: '${GIVEN}', B: '${X:-y}', C: '${X:-}', D: '$$HOME'}\n",
            {"A": "7", "B": "y", "C": "", "D": "$HOME"},
        ),
    ],
)
def test_variables_are_read_in_every_form(
    tmp_path: Path, more: str, environment: dict[str, str]
) -> None:
    assert dict(read(tmp_path, more).environment) == environment


def test_a_single_tmpfs_is_a_list_of_one(tmp_path: Path) -> None:
    assert read(tmp_path, "    tmpfs: /data\n").tmpfs == ("/data",)


@pytest.mark.parametrize(
    "text",
    [
        "services:\n  one: {}\n",
        f"{ENTRY}    volumes: [/nowhere]\n",
        f"{ENTRY}    ports: ['8000-8010:80-90']\n",
        "services: [one]\n",
        "services: {one: [\n",
        "",
    ],
)
def test_an_unreadable_description_is_wrong_input(tmp_path: Path, text: str) -> None:
    path = tmp_path / "compose.yml"
    path.write_text(text)
    with pytest.raises(WrongInputError, match=r"compose\.yml to describe services"):
        description.read({}, path)


@pytest.mark.parametrize(
    ("more", "seen"),
    [("    entrypoint: [x]\n", "entrypoint"), ("    volumes: ['data:/data']\n", "volumes: data")],
)
def test_what_the_tests_would_ignore_is_refused(tmp_path: Path, more: str, seen: str) -> None:
    with pytest.raises(WrongInputError, match=seen):
        require_supported(read(tmp_path, more))


def test_a_file_of_the_previous_release_is_named(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text("")
    path = tmp_path / "deployment.toml"
    path.write_text(deployment.DEPLOYMENT_FILE.read_text())
    with pytest.raises(WrongInputError, match=r"deployment\.toml has its keys"):
        deployment.read(path)


def test_the_command_of_a_queue(tmp_path: Path) -> None:
    path = tmp_path / "deployment.toml"
    path.write_text('[queue]\ncommand = ["php", "console", "queuedhits:process"]\n')
    assert deployment.read(path).queue.command == ("php", "console", "queuedhits:process")
    path.write_text('[queue]\ncommand = "php console queuedhits:process"\n')
    with pytest.raises(WrongInputError, match="command"):
        deployment.read(path)
