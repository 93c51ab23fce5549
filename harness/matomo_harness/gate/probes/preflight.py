"""What must hold before any check can say something: tested once, after the first check has failed.

One refused database connection makes a hundred checks fail. They are then errors with one cause,
and not broken promises.
"""

import re
from typing import Final
from urllib.parse import urljoin

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.gate.core.check import CannotTellError, Capability
from matomo_harness.gate.core.context import Preflight
from matomo_harness.gate.core.target import Http, Services
from matomo_harness.gate.probes.php import Php
from matomo_harness.gate.probes.queue import Queue
from matomo_harness.gate.probes.reports import Scheduler
from matomo_harness.gate.probes.traffic import NONE_STORED
from matomo_harness.gate.probes.waiting import WaitingHit
from matomo_harness.matomo import ini
from matomo_harness.matomo.api import Api
from matomo_harness.matomo.container import MatomoContainer, plugin_folders
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.twofactor import Account
from matomo_harness.matomo.web import Page

BY_WEB: Final = (Http, Api, Account)
"""The parameters that ask Matomo by HTTP."""
NEW_HANDLER: Final = "Tracker.newHandler"
"""The event by which a plugin takes hits over (core/Tracker/Handler/Factory.php)."""
MOST_REDIRECTS: Final = 10
"""A browser gives up after 20; a Matomo behind a load balancer needs two."""
DATABASE_ERROR: Final = re.compile(
    r"SQLSTATE|\[(1044|1045|1049|2002|2006)\]|connect to the database|database server",
    re.IGNORECASE,
)
"""Matches Matomo's error page and MariaDB's messages in it."""
NOT_LOADED: Final = re.compile(
    r"(has|have) not been loaded|not loaded|(plugin|module).{0,60}(not found|not be found|does not"
    r" exist|not activated)",
    re.IGNORECASE,
)
"""Matomo's messages about a plugin that [Plugins] lists and that is missing
(core/Plugin/Manager.php)."""


PRIVATE_FOR_ANOTHER: Final = re.compile(
    r"\b(10\.\d+|172\.(1[6-9]|2\d|3[01])|192\.168)\.\d+\.\d+ for "
)
"""Matches what is said of a hit that came by a load balancer, whose own address is private
(RFC 1918)."""


class MatomoAnswers(Preflight, blocks=BY_WEB):
    """Matomo's web server answers.

    Args:
        http: where Matomo is.
    """

    def __init__(self, http: Http) -> None:
        http.web.ask("index.php")


class NoRedirectLoop(Preflight, blocks=BY_WEB):
    """Matomo's address leads to a page, and not round in a circle of redirects.

    Args:
        http: where Matomo is.
        _answers: must have passed before.
    """

    def __init__(self, http: Http, _answers: MatomoAnswers) -> None:
        web, path, way = http.web, "index.php", [http.url]
        for _ in range(MOST_REDIRECTS):
            answer = web.ask(path)
            if not answer.is_redirect:
                return
            way.append(urljoin(f"{http.url}/{path}", answer.headers["Location"]))
            if not way[-1].startswith(http.url):
                return  # it leads elsewhere, which is for a check to judge
            path = way[-1].removeprefix(http.url).lstrip("/") or "index.php"
        raise BrokenPromiseError(
            expected=f"a page after at most {MOST_REDIRECTS} redirects",
            seen=f"a loop: {' → '.join(way[-3:])}",
            next_command="compare force_ssl, assume_secure_protocol and proxy_scheme_headers[] of"
            " config.ini.php with what the load balancer sends",
        )


class DatabaseAnswers(Preflight, blocks=(Database,)):
    """The database answers.

    Args:
        database: Matomo's schema.
    """

    def __init__(self, database: Database) -> None:
        database.query("SELECT 1")


class MatomoReachesDatabase(Preflight, blocks=BY_WEB):
    """Matomo reaches its database.

    Args:
        http: where Matomo is.
        _page: must have passed before.
    """

    def __init__(self, http: Http, _page: NoRedirectLoop) -> None:
        answer = http.web.get({"module": "Login"})
        excerpt = Page(answer).excerpt
        self.is_login = 'name="form_login"' in answer.text
        self.seen = f"HTTP {answer.status_code}: {excerpt[:240]}"
        if not self.is_login and DATABASE_ERROR.search(excerpt):
            raise BrokenPromiseError(
                expected="a page that Matomo made with its database",
                seen=self.seen,
                next_command="check host, user, password and certificate of the database",
            )


class LoginPageIsShown(Preflight, blocks=BY_WEB):
    """Matomo shows its login page.

    Args:
        asked: the page that Matomo made with its database.
    """

    def __init__(self, asked: MatomoReachesDatabase) -> None:
        if not asked.is_login:
            raise BrokenPromiseError(
                expected="the login page",
                seen=asked.seen,
                next_command="read the web server's log",
            )


class VisitorAddressArrives(Preflight, blocks=(*BY_WEB, Database), is_fatal=False):
    """Matomo is told by which header a proxy names the visitor's address.

    Args:
        container: its config.ini.php is read.
        _services: the load balancer is one of them, and without it there is no such header.
    """

    def __init__(self, container: MatomoContainer, _services: Services) -> None:
        settings = ini.read(container.read(container.config))
        if not settings.texts("General", "proxy_client_headers"):
            raise BrokenPromiseError(
                expected="proxy_client_headers[] in [General], for a Matomo behind a load balancer",
                seen="none: every visitor is stored with the load balancer's address",
                next_command="set proxy_client_headers[] = HTTP_X_FORWARDED_FOR where a proxy sets"
                " that header, and only there",
            )

    @classmethod
    def explains(cls, seen: str) -> bool:
        """Return whether `seen` has a private address, masked or not, in the place of another."""
        return bool(PRIVATE_FOR_ANOTHER.search(seen))


class ListedPluginsLoad(Preflight, blocks=(*BY_WEB, MatomoContainer), is_fatal=False):
    """Every plugin that config.ini.php lists is in the image.

    Args:
        container: its files are read.
    """

    def __init__(self, container: MatomoContainer) -> None:
        listed = ini.read(container.read(container.config)).texts("Plugins", "Plugins")
        if not listed:
            raise CannotTellError("config.ini.php lists no plugins")
        if missing := sorted(set(listed) - plugin_folders(container)):
            raise BrokenPromiseError(
                expected="a plugin's folder for each that [Plugins] lists",
                seen=f"listed and not there: {', '.join(missing)}",
                next_command="take them out of [Plugins], or put them into the image",
            )

    @classmethod
    def explains(cls, seen: str) -> bool:
        """Return whether `seen` is Matomo's message about such a plugin."""
        return bool(NOT_LOADED.search(seen))


class QueueRuns(Preflight, blocks=(Queue,), is_fatal=False, needs={Capability.HITS}):
    """Hits that wait in a queue are stored once the queue has run.

    Args:
        hit: was sent, and may wait.
        queue: of a plugin.
        php: where the target has one, Matomo says which plugins take hits over.
    """

    def __init__(self, hit: WaitingHit, queue: Queue, php: Php | None) -> None:
        takers = [
            name
            for name, events in (php.facts["hooks"] if php else {}).items()
            if NEW_HANDLER in events
        ]
        if hit.arrives or not hit.is_accepted or not (hit.tables or takers):
            return
        where = f"the table {', '.join(hit.tables)}" if hit.tables else "no table that is searched"
        by = f"; {', '.join(takers)} takes every hit over ({NEW_HANDLER})" if takers else ""
        ran = f"`{queue.command}` ran" if queue.command else "no command that runs the queue known"
        raise BrokenPromiseError(
            expected="a hit to be stored at once, or when its queue has run",
            seen=f"{hit.answer}, and it waits in {where}{by}; {queue.error or ran}",
            next_command="name the queue's command in deployment.toml, where the image is yours:"
            ' [queue] command = ["php", "console", "…:process"]',
        )

    @classmethod
    def explains(cls, seen: str) -> bool:
        """Return whether `seen` is that hits, or their visits, are nowhere."""
        return any(words in seen for words in (NONE_STORED, "nothing stored", "no visit in any"))


class ArchiverIsFound(Preflight, blocks=(Scheduler,)):
    """The archiver's command is in the image.

    Where there is no scheduled task, nobody runs it: the console archives.

    Args:
        container: the command is searched in its image.
        _services: the scheduled task is one of them.
    """

    def __init__(self, container: MatomoContainer, _services: Services) -> None:
        command = container.profile.archiver[0]
        if not container.run("sh", "-c", f"command -v {command} || true"):
            raise BrokenPromiseError(
                expected=f"the command {command} of [archiver] in deployment.toml",
                seen="no such command in the image",
                next_command="name the command that archives under [archiver] in deployment.toml",
            )


class ArchiverHasProcesses(Preflight, blocks=(Scheduler,), is_fatal=False):
    """Matomo archives in processes of its own.

    Where it cannot start and list any, as without `ps` (core/CliMulti/Process.php), it asks its
    public address for every archive: that is a port of this machine, unknown in a container.

    Args:
        php: what Matomo's own code says of its container.
    """

    def __init__(self, php: Php) -> None:
        if not php.facts["has_processes"]:
            raise BrokenPromiseError(
                expected="an image in which Matomo can start processes and list them",
                seen="none: it asks its public address for every archive, which is not reached from"
                " its container here",
                next_command="install ps (procps) in the image, and leave shell_exec out of PHP's"
                " disable_functions on the command line",
            )

    @classmethod
    def explains(cls, seen: str) -> bool:
        """Return whether `seen` is that the archiver failed, or was not seen at work."""
        return bool(re.fullmatch(r"(exit code )?\d+", seen)) or "no archiver was seen" in seen


PREFLIGHT: Final = (
    MatomoAnswers,
    NoRedirectLoop,
    MatomoReachesDatabase,
    LoginPageIsShown,
    DatabaseAnswers,
    ArchiverIsFound,
    ArchiverHasProcesses,
    ListedPluginsLoad,
    QueueRuns,
    VisitorAddressArrives,
)
"""In the order in which they run: the first that fails is the cause."""
