"""Say a gate's verdict where it is decided about: in one comment on the pull request."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import requests

from matomo_harness.errors import HarnessError, UnsupportedEnvironmentError, WrongInputError
from matomo_harness.gate import report

MARK: Final = "<!-- matomo-harness gate -->"
"""The first line of our comment, by which the next run finds it."""
LONGEST: Final = 60_000
"""Characters of a comment; GitHub takes 65,536."""
TIMEOUT: Final = 30
BOT: Final = "Bot"


@dataclass(frozen=True)
class PullRequest:
    """A pull request, and what opens it.

    Args:
        api: address of GitHub's API.
        repository: owner and name.
        number: of the pull request.
        token: that may write to pull requests.
        run: address of the run that says it; empty outside CI.
    """

    api: str
    repository: str
    number: int
    token: str
    run: str = ""

    def __repr__(self) -> str:
        return f"PullRequest({self.repository}#{self.number})"

    @classmethod
    def from_environment(cls, number: int, environment: Mapping[str, str]) -> "PullRequest":
        """Return a pull request of the repository that a run on GitHub is of.

        Raises:
            WrongInputError: a variable is missing.
        """
        needed = ("GITHUB_REPOSITORY", "GITHUB_TOKEN")
        if missing := [name for name in needed if not environment.get(name)]:
            raise WrongInputError(
                expected="the repository and a token in the environment, as on GitHub",
                seen=f"no {' and no '.join(missing)}",
                next_command="matomo-harness report   (prints what the comment would say)",
            )
        repository = environment["GITHUB_REPOSITORY"]
        server = environment.get("GITHUB_SERVER_URL", "https://github.com")
        run = environment.get("GITHUB_RUN_ID", "")
        return cls(
            environment.get("GITHUB_API_URL", "https://api.github.com"),
            repository,
            number,
            environment["GITHUB_TOKEN"],
            f"{server}/{repository}/actions/runs/{run}" if run else "",
        )


def read(file: Path) -> dict[str, Any]:
    """Return what a gate left.

    Args:
        file: its gate.json.

    Raises:
        WrongInputError: there is none, or it is something else.
    """
    try:
        document = json.loads(file.read_text())
        report.markdown(document)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WrongInputError(
            expected=f"the gate.json of a gate in {file}",
            seen=str(error),
            next_command="make gate",
        ) from error
    found: dict[str, Any] = document
    return found


def comment(where: PullRequest, text: str) -> str:
    """Write `text` as our one comment, over the one of an earlier run; return its address.

    Raises:
        WrongInputError: there is no such pull request.
        UnsupportedEnvironmentError: GitHub cannot be reached, or the token may not write.
    """
    body = _body(where, text)
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {where.token}"
        session.headers["Accept"] = "application/vnd.github+json"
        issues = f"{where.api}/repos/{where.repository}/issues"
        comments = f"{issues}/{where.number}/comments"
        earlier = [each for each in _all(session, where, comments) if _is_ours(each)]
        if earlier:
            address = f"{issues}/comments/{earlier[0]['id']}"
            answer = _asked(session, where, "PATCH", address, body)
        else:
            answer = _asked(session, where, "POST", comments, body)
    return str(answer.json()["html_url"])


def _body(where: PullRequest, text: str) -> str:
    if len(text) > LONGEST:
        text = text[:LONGEST].rpartition("\n")[0] + "\n\n… and more: see the report.\n"
    found_in = f"\nThe whole report is in [this run]({where.run}), if it keeps artifacts.\n"
    return f"{MARK}\n{text}" + (found_in if where.run else "")


def _is_ours(found: Mapping[str, Any]) -> bool:
    # A person who copies the mark gets no comment of theirs replaced.
    return bool(found["body"].startswith(MARK) and found["user"]["type"] == BOT)


def _all(session: requests.Session, where: PullRequest, address: str) -> Iterator[dict[str, Any]]:
    page = f"{address}?per_page=100"
    while page:
        answer = _asked(session, where, "GET", page)
        yield from answer.json()
        page = answer.links.get("next", {}).get("url", "")


def _asked(
    session: requests.Session, where: PullRequest, method: str, address: str, body: str = ""
) -> requests.Response:
    given = {"body": body} if body else None
    try:
        answer = session.request(method, address, json=given, timeout=TIMEOUT)
    except requests.RequestException as error:
        raise _unreachable(where, str(error)) from error
    if answer.status_code == requests.codes.not_found:
        raise WrongInputError(
            expected=f"a pull request {where.number} in {where.repository}",
            seen=f"{answer.status_code} {answer.reason}",
            next_command="matomo-harness report --pull-request NUMBER",
        )
    if not answer.ok:
        raise _unreachable(where, f"{answer.status_code} {answer.reason}")
    return answer


def _unreachable(where: PullRequest, seen: str) -> HarnessError:
    return UnsupportedEnvironmentError(
        expected=f"GitHub to take a comment on {where.repository}#{where.number}",
        seen=seen.replace(where.token, "(redacted)"),
        next_command="permissions: pull-requests: write   (a run for a fork never has it: the"
        " summary of the run has the same)",
    )


def from_environment(number: int) -> PullRequest:
    """Return a pull request by the variables of this process."""
    return PullRequest.from_environment(number, os.environ)
