"""The gate's comment on a pull request: one, kept current, and nobody else's is touched.

The server here answers as GitHub's documentation of its REST API says.
"""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from matomo_harness.errors import ExitCode, UnsupportedEnvironmentError, WrongInputError
from matomo_harness.gate import report
from matomo_harness.gate.catalogue import ALL, PROMISES
from matomo_harness.gate.core.check import Status
from matomo_harness.gate.core.runner import Result
from matomo_harness.gate.core.verdict import Verdict
from matomo_harness.operate import pull_request
from matomo_harness.operate.pull_request import MARK, PullRequest
from tests.programs import Answer
from tests.unit.test_without_docker import harness

TOKEN = "a-token-of-the-run"
PAGE = 2
"""Comments on a page of the answer; GitHub's smallest is 30."""


@dataclass
class GitHub:
    """What the server holds, and what it was asked.

    Args:
        address: of its API.
        comments: on pull request 7, in the order in which they were written.
    """

    address: str = ""
    comments: list[dict[str, Any]] = field(default_factory=list)
    may_write: bool = True

    def add(self, body: str, kind: str) -> dict[str, Any]:
        """Add a comment of a person (`User`) or a program (`Bot`)."""
        number = len(self.comments) + 1
        made = {
            "id": number,
            "body": body,
            "user": {"type": kind},
            "html_url": f"https://github.example/a/b/pull/7#issuecomment-{number}",
        }
        self.comments.append(made)
        return made

    @property
    def bodies(self) -> list[str]:
        """The texts of all comments."""
        return [comment["body"] for comment in self.comments]


@pytest.fixture
def github() -> Iterator[GitHub]:
    state = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
            """Print nothing."""

        def answer(self, code: int, document: object, link: str = "") -> None:
            body = json.dumps(document).encode()
            self.send_response(code)
            if link:
                self.send_header("Link", f'<{link}>; rel="next"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def given(self) -> str:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            return str(sent["body"])

        def is_refused(self) -> bool:
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                self.answer(401, {"message": "Bad credentials"})
                return True
            return False

        def do_GET(self) -> None:
            if self.is_refused():
                return
            if not self.path.startswith("/repos/a/b/issues/7/comments?"):
                self.answer(404, {"message": "Not Found"})
                return
            page = int((re.findall(r"[?&]page=(\d+)", self.path) or ["1"])[0])
            chosen = state.comments[(page - 1) * PAGE : page * PAGE]
            more = len(state.comments) > page * PAGE
            path = f"{state.address}/repos/a/b/issues/7/comments?page={page + 1}"
            self.answer(200, chosen, path if more else "")

        def do_POST(self) -> None:
            if not self.is_refused():
                body = self.given()
                if state.may_write:
                    self.answer(201, state.add(body, "Bot"))
                else:
                    said = {"message": "Resource not accessible by integration"}
                    self.answer(403, said)

        def do_PATCH(self) -> None:
            if not self.is_refused():
                number = int(self.path.rpartition("/")[2])
                state.comments[number - 1]["body"] = self.given()
                self.answer(200, state.comments[number - 1])

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.address = f"http://127.0.0.1:{server.server_port}"
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield state
        finally:
            server.shutdown()
            serving.join()


@pytest.fixture
def here(github: GitHub) -> PullRequest:
    return PullRequest(github.address, "a/b", 7, TOKEN, "https://github.example/a/b/actions/runs/1")


def test_the_first_run_writes_a_comment_and_the_next_replaces_it(
    github: GitHub, here: PullRequest
) -> None:
    for number in range(2 * PAGE):  # ours is on a later page
        github.add(f"a person's {number}", "User")
    address = pull_request.comment(here, "## red")
    assert address.endswith(f"#issuecomment-{2 * PAGE + 1}")
    assert pull_request.comment(here, "## green") == address
    assert len(github.comments) == 2 * PAGE + 1
    assert github.bodies[-1].startswith(f"{MARK}\n## green")
    assert "actions/runs/1" in github.bodies[-1]


def test_the_comment_of_a_person_with_our_mark_stays(github: GitHub, here: PullRequest) -> None:
    copied = f"{MARK}\nmine"
    github.add(copied, "User")
    pull_request.comment(here, "## green")
    assert github.bodies[0] == copied
    assert len(github.comments) == 2


def test_a_long_report_is_cut_at_a_line(github: GitHub, here: PullRequest) -> None:
    pull_request.comment(here, "a line of a report\n" * 10_000)
    (body,) = github.bodies
    assert len(body) < 65_536
    assert "\na line of a report\n\n… and more: see the report.\n" in body


def test_a_run_that_may_not_write_is_named(github: GitHub, here: PullRequest) -> None:
    github.may_write = False
    with pytest.raises(UnsupportedEnvironmentError, match="seen: 403 Forbidden"):
        pull_request.comment(here, "## green")


def test_a_pull_request_that_is_not_there_is_named(github: GitHub) -> None:
    missing = PullRequest(github.address, "a/b", 8, TOKEN)
    with pytest.raises(WrongInputError, match="a pull request 8 in a/b"):
        pull_request.comment(missing, "## green")


def test_a_token_is_shown_nowhere() -> None:
    unreachable = PullRequest("http://127.0.0.1:1", "a/b", 7, TOKEN)
    assert TOKEN not in repr(unreachable)
    with pytest.raises(UnsupportedEnvironmentError) as caught:
        pull_request.comment(unreachable, "## green")
    assert TOKEN not in str(caught.value)


# -- the verb -------------------------------------------------------------------------------------


@pytest.fixture
def gate_json(tmp_path: Path) -> str:
    results = tuple(Result(check, Status.PASSED, "expected", "seen", 0.1) for check in ALL)
    report.write(Verdict(results, {}), {"image": "matomo:1"}, tmp_path, (), PROMISES)
    return str(tmp_path / "gate.json")


def test_the_promises_are_printed_as_a_table(gate_json: str) -> None:
    ended = harness("report", gate_json)
    assert ended.returncode == ExitCode.OK, ended.stderr
    assert ended.stdout.startswith("## Proven: all 18 promises.\n")
    assert "\n| masking | " in ended.stdout


def test_the_verb_writes_the_comment(
    gate_json: str, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_API_URL", github.address)
    monkeypatch.setenv("GITHUB_REPOSITORY", "a/b")
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    ended = harness("report", gate_json, "--pull-request", "7", "--json")
    assert ended.returncode == ExitCode.OK, ended.stderr
    assert json.loads(ended.stdout)["comment"] == github.comments[0]["html_url"]
    assert "## Proven: all 18 promises." in github.bodies[0]


@pytest.mark.parametrize("content", ["", "[]", '{"counts": {}}'])
def test_what_is_no_report_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "gate.json"
    file.write_text(content)
    with pytest.raises(WrongInputError, match="expected the gate"):
        pull_request.read(file)


def test_a_comment_without_a_token_is_refused(
    gate_json: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    monkeypatch.setenv("GITHUB_REPOSITORY", "a/b")
    ended = harness("report", gate_json, "--pull-request", "7")
    Answer(ended.returncode, ended.stderr).refuses(ExitCode.WRONG_INPUT, "no GITHUB_TOKEN")
