"""Headless installation through Matomo's own wizard, over HTTP.

A deployed image brings its config.ini.php, so the wizard's first steps (system check, database)
must not run: the system check deletes that file, the database step writes the password into it.
With `installation_in_progress` in the file the wizard starts at the tables. An image of ours has it
closed, and `enable_installer` opens it for as long as the installation lasts.
"""

from dataclasses import dataclass, field
from typing import Final

import requests

from matomo_harness.errors import WrongInputError
from matomo_harness.matomo import ini
from matomo_harness.matomo.web import Page, Parameters, Web

IN_PROGRESS: Final = "installation_in_progress"
OPEN: Final = "enable_installer"
FIRST_ACCESS: Final = "installation_first_accessed"
"""When somebody first came to the wizard, which refuses three days later
(Installation/Controller.php, checkInstallationIsNotExpired)."""
PLUGINS_INSTALLED: Final = "PluginsInstalled"
"""Plugins whose tables and columns are there, as Matomo believes: it makes them for no plugin that
this section lists (Plugin/Manager.php, installPluginIfNecessary). One that an earlier database left
would cost a new one all but the core tables, and every hit."""

CLOSED: Final = (requests.codes.unauthorized, requests.codes.forbidden)
"""What a web server says that lets in some people or addresses only."""
FIRST_SITE: Final[Parameters] = {
    "siteName": "Discovery",
    "url": "https://discovery.example",
    "timezone": "America/New_York",
    "ecommerce": 0,
}
"""The site that the wizard makes."""


@dataclass(frozen=True)
class Superuser:
    """The first account, which may do everything.

    Args:
        login: name to log in with.
        password: at least 6 characters, or the wizard refuses.
        email: the wizard wants one that looks real.
    """

    login: str
    password: str = field(repr=False)
    email: str = "superuser@matomo.example"


def with_installation_in_progress(text: str) -> str:
    """Return the text of a config.ini.php with the keys that open the wizard on an empty schema."""
    text = ini.without_section(text, PLUGINS_INSTALLED)
    text = ini.without_key(text, "General", FIRST_ACCESS)
    for key in (IN_PROGRESS, OPEN):
        text = ini.with_key(text, "General", key, 1)
    return text


def with_installer_closed(text: str) -> str:
    """Return the text of a config.ini.php of an installed Matomo, without keys of the wizard."""
    for key in (IN_PROGRESS, OPEN):
        text = ini.without_key(text, "General", key)
    return text


def is_in_progress(text: str) -> bool:
    """Whether the text of a config.ini.php says that an installation has begun and not ended."""
    return ini.read(text).text("General", IN_PROGRESS) == "1"


def install(web: Web, superuser: Superuser, *, restart: bool = False) -> None:
    """Go through the wizard from the tables to its end.

    Args:
        web: the instance, whose config.ini.php has the keys that open the wizard.
        superuser: the first account.
        restart: drop the tables of an installation that broke off before; Matomo answers 500
            where there are none.

    Raises:
        WrongInputError: the wizard refused a step; it does so with HTTP 200 and the form again,
            while success is a redirect.
    """
    # The GET itself creates the tables.
    answer = web.get(_wizard("tablesCreation") | ({"deleteTables": "1"} if restart else {}))
    if answer.status_code in CLOSED and "Matomo" not in answer.text:
        raise closed_server("index.php", answer.status_code)
    if "action=setupSuperUser" not in answer.text:
        raise _refusal("tablesCreation", answer)
    account = {
        "login": superuser.login,
        "password": superuser.password,
        "password_bis": superuser.password,
        "email": superuser.email,
    }
    _step(web, "setupSuperUser", account)
    _step(web, "firstWebsiteSetup", FIRST_SITE)
    # Without anonymise_ip the wizard switches the masking off
    # (PrivacyManager::installationFormSubmit).
    _step(web, "finished", {"anonymise_ip": 1})


def closed_server(path: str, status: int) -> WrongInputError:
    """Return the error about a web server that lets in some people or addresses only.

    Args:
        path: what was asked for.
        status: of its answer, 401 or 403.
    """
    asks = (
        "it asks for a password" if status == requests.codes.unauthorized else "it lets in others"
    )
    return WrongInputError(
        expected="the image's web server to let in whoever its load balancer lets in",
        seen=f"HTTP {status} for {path}: {asks}, by its own configuration",
        next_command="leave that to the load balancer; or judge an image without it, as by a build"
        " argument",
    )


def _wizard(action: str) -> dict[str, str]:
    return {"module": "Installation", "action": action}


def _step(web: Web, action: str, form: Parameters) -> None:
    answer = web.post(_wizard(action), form)
    if answer.status_code != requests.codes.found:
        raise _refusal(action, answer)


def _refusal(action: str, answer: requests.Response) -> WrongInputError:
    page = Page(answer)
    complaints = page.document.select(".alert-danger, .alert-error, .error, #formErrors li")
    said = " ".join(dict.fromkeys(" ".join(tag.get_text(" ").split()) for tag in complaints))
    return WrongInputError(
        expected=f"Matomo's installer to take the step {action}",
        seen=f"HTTP {answer.status_code}: {said or page.excerpt}",
        next_command="mend what it names, then make up",
    )
