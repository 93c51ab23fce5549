"""Evidence of a failed test in files, and the errors that a test left in the servers' logs."""

import json
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pymysql
import requests
from docker.errors import DockerException
from docker.models.containers import Container
from requests import RequestException
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from matomo_harness.errors import HarnessError
from matomo_harness.matomo.image import PROCESS_MANAGER
from matomo_harness.matomo.web import Exchanges
from matomo_harness.redaction import redact, setting
from matomo_harness.runtime.instance import Instance

NOT_HAD: Final = (HarnessError, DockerException, RequestException, pymysql.Error, ValueError)
"""What goes wrong where a log or a setting cannot be read, which may be the failure itself."""
SERVER_ERROR: Final = re.compile(r'" 5\d\d( \d| -|$)')
"""The status in a line of the access log; php-fpm's ends with it."""
NAMED: Final = re.compile(r"\[m[0-9a-f]{10}\.localhost[:\]]")
"""How a line begins that names an instance (shared.LOG_BY_HOST): of an Apache that the harness
gives its arguments to."""
WEB_ERRORS: Final = re.compile(
    r"PHP (Warning|Notice|Deprecated|Parse error|Fatal error|Recoverable fatal error)"
    rf"|{SERVER_ERROR.pattern}"
    r"|exit signal"
)
DATABASE_ERRORS: Final = re.compile(r"\[ERROR\]|InnoDB: (Error|Assertion)")
EFFECTIVE: Final = r"""
define("PIWIK_ENABLE_DISPATCH", false);
require "index.php";
if (!empty($argv[1])) { \Piwik\Url::setHost($argv[1]); }
$environment = new \Piwik\Application\Environment("cli");
$environment->init();
$provider = \Piwik\Application\Kernel\GlobalSettingsProvider::class;
$settings = $environment->getContainer()->get($provider);
echo json_encode($settings->getIniFileChain()->getAll(), JSON_PRETTY_PRINT);
"""
"""Prints the merged configuration as Matomo sees it, including what the environment sets."""


@dataclass(frozen=True)
class WatchedInstance:
    """An instance while a test uses it.

    Args:
        instance: the instance.
        web: the container of its web server.
        database: the container of its database.
        mark: text of a line in the web server's log, where the test began.
        since: when the test began, in seconds since 1970.
        server_errors: how many of the instance's answers were errors of the server until then.
    """

    instance: Instance
    web: Container
    database: Container
    mark: str
    since: float
    server_errors: int

    def web_log(self) -> list[str]:
        """Return what the web server has logged for this instance since the test began.

        Each worker of a web server writes its line after it sent its answer: the line of an
        answer that a test has may come after the mark, which another worker wrote. So the errors
        that were answered are waited for as well.
        """
        answered = len(self.instance.exchanges.server_errors) - self.server_errors
        end = _leave_mark(self.instance)
        is_marked = self.instance.shell.profile.web_server != PROCESS_MANAGER

        def is_partial(lines: list[str]) -> bool:
            errors = sum(bool(SERVER_ERROR.search(line)) for line in lines)
            return errors < answered or (is_marked and not any(end in line for line in lines))

        log = Retrying(
            retry=retry_if_result(is_partial),
            wait=wait_fixed(0.005),
            stop=stop_after_delay(2),
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )
        lines: list[str] = log(self._lines) if end else self._lines()
        return [line for line in lines if MARK not in line]

    def _lines(self) -> list[str]:
        lines = _log(self.web)
        start = next((number for number, line in enumerate(lines) if self.mark in line), -1)
        # php-fpm is asked for no file, and has no mark: by the clock, as the database's log.
        after = lines[start + 1 :] if start >= 0 else _log(self.web, since=self.since)
        host = f"[{urlsplit(self.instance.url).netloc}]"
        shared = self.instance.shell.instance is not None
        if shared and not any(NAMED.match(line) for line in lines):
            # A 500 is this test's if it had one; a warning is everybody's who ran then.
            had = len(self.instance.exchanges.server_errors) > self.server_errors
            return [line for line in after if had or not SERVER_ERROR.search(line)]
        return [line for line in after if not shared or line.startswith(host)]

    def database_log(self) -> list[str]:
        """Return what the database has logged since the test began, for any instance."""
        return _log(self.database, since=self.since)

    def unexpected(self, expected: Iterable[re.Pattern[str]] = ()) -> list[str]:
        """Return the errors of both logs that no pattern of `expected` matches."""
        found = [f"web: {line}" for line in self.web_log() if WEB_ERRORS.search(line)]
        database_errors = filter(DATABASE_ERRORS.search, self.database_log())
        found += [f"database: {line}" for line in database_errors]
        patterns = list(expected)
        return [line for line in found if not any(pattern.search(line) for pattern in patterns)]


MARK: Final = "harness-mark-"


def watch(instance: Instance, web: Container, database: Container) -> WatchedInstance:
    """Start to watch `instance`, whose servers run in these containers."""
    since = time.time()
    errors = len(instance.exchanges.server_errors)
    return WatchedInstance(instance, web, database, _leave_mark(instance), since, errors)


def _leave_mark(instance: Instance) -> str:
    """Write a mark into the web server's log and return it; empty where nothing answers."""
    mark = MARK + secrets.token_hex(8)
    try:
        # The log has no query of an address that is not a page of Matomo's: the mark is the path.
        instance.conversation(Exchanges()).get(path=mark)
    except HarnessError:
        return ""
    return mark


def _log(container: Container, *, since: float | None = None) -> list[str]:
    try:
        output = container.logs(since=since)
    except (DockerException, RequestException):
        return []
    return output.decode(errors="replace").splitlines()


# -- the files of a failed test -------------------------------------------------------------------


def write(watched: WatchedInstance, directory: Path) -> None:
    """Write files that explain a failure into `directory`, without any secret."""
    directory.mkdir(parents=True, exist_ok=True)
    texts: dict[str, Callable[[], str]] = {
        "web.log": lambda: "\n".join(watched.web_log()),
        "database.log": lambda: "\n".join(watched.database_log()),
        "config.json": lambda: effective_settings(watched.instance),
        "options.txt": lambda: _options(watched.instance),
        "last-exchange.txt": lambda: _exchange(watched.instance.exchanges.last),
    }
    known = _secrets(watched.instance)
    for name, text in texts.items():
        try:
            content = text()
        except NOT_HAD as error:
            content = f"could not be had: {error}"
        (directory / name).write_text(redact(content, known) + "\n")


def effective_settings(instance: Instance) -> str:
    """Return the merged configuration as JSON, with every secret redacted."""
    host = urlsplit(instance.url).hostname or ""
    settings = json.loads(instance.shell.run("php", "-r", EFFECTIVE, "--", host))
    for section in filter(None, settings.values()):  # an empty section is a list to PHP
        for key, value in section.items():
            section[key] = _shown(key, value)
    return json.dumps(settings, indent=2)


def _shown(key: str, value: object) -> object:
    if isinstance(value, dict):
        return {name: _shown(key, each) for name, each in value.items()}
    if isinstance(value, list):
        return [_shown(key, each) for each in value]
    return setting(key, value) if isinstance(value, str) else value


def _secrets(instance: Instance) -> list[str]:
    account, database = instance.account, instance.database
    return list(filter(None, (account.password, account.secret, instance.token, database.password)))


def _options(instance: Instance) -> str:
    rows = instance.database.query(
        "SELECT option_name, option_value FROM {prefix}option ORDER BY 1"
    )
    pairs = [(str(row["option_name"]), str(row["option_value"])) for row in rows]
    # A login in the name may have dots: the whole of it says what is behind.
    return "\n".join(
        f"{name} = {setting(name.replace('.', '_'), value)[:2000]}" for name, value in pairs
    )


def _exchange(answer: requests.Response | None) -> str:
    if answer is None:
        return "none"
    request = answer.request
    sent = (
        request.body if isinstance(request.body, str) else (request.body or b"").decode("latin-1")
    )
    headers = (f"{name}: {value}" for name, value in answer.headers.items())
    return "\n".join(
        [
            f"{request.method} {request.url}",
            sent,
            "",
            f"{answer.status_code}",
            *headers,
            "",
            answer.text[:100_000],
        ]
    )
