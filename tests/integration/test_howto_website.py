"""The how-tos about websites and users: their code is served, and their commands are run."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from matomo_harness.gate.catalogue import read_policy
from matomo_harness.gate.promises.accounts.checks import Accounts
from matomo_harness.operate import gate, site
from matomo_harness.operate.site.faults import SEVERITIES
from matomo_harness.pytest_plugin import MatomoByTls
from matomo_harness.runtime.instance import Instance
from matomo_harness.settings import ROOT
from tests.checkout import Checkout
from tests.site_pages import served

WEBSITE: Final = (ROOT / "docs/howto/add-a-website.md").read_text()
USERS: Final = (ROOT / "docs/howto/users-roles-second-factors.md").read_text()
MATOMO: Final = "https://analytics.example.org"
PAGE: Final = "https://www.example.org"
COMMAND: Final = re.compile(r"(?m)^    ((?:printf|make|matomo-harness) .+)$")
PLAIN, SINGLE_PAGE, STRICT = "/", "/application", "/strict"
RAILS: Final = """<!doctype html>
<title>Rails</title>
<script>{code}</script>
<script src="{matomo}/matomo.js" async></script>
<h1>Rails</h1>
<script>document.dispatchEvent(new Event('turbo:load'));</script>
"""


def blocks(language: str, text: str = WEBSITE) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", text)


def pages(matomo: str) -> dict[str, str]:
    """Return the code of the page as files of a website, with the address of a real Matomo."""
    plain, single_page, strict = blocks("html")
    tracking, rails = blocks("js")
    (policy,) = blocks("text")
    files = {
        PLAIN: f'{plain}<button id="accept">Accept</button>\n<a href="/next">Next</a>\n',
        "/next": plain,
        "/account": plain.replace(", ['email',", ", ["),
        SINGLE_PAGE: single_page,
        STRICT: f"<!-- {policy.strip()} -->\n{strict}",
        "/tracking.js": tracking,
        "/rails": RAILS.format(code=rails, matomo=MATOMO),
    }
    return {path: text.replace(MATOMO, matomo) for path, text in files.items()}


def look(urls: Iterable[str], **choices: Any) -> dict[str, Any]:
    # In another thread: pytest-playwright may run a browser's loop in this one.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(site.site, tuple(urls), site.Choices(**choices), None).result()


@pytest.mark.slow(reason="four websites, one after the other")
def test_the_code_of_the_page_is_green(fresh_matomo: Instance) -> None:
    number = fresh_matomo.api.add_site("Library", PAGE, "UTC", since="2026-01-01")
    with served(fresh_matomo.url, number, more=pages(fresh_matomo.url)) as url:
        paths = (PLAIN, SINGLE_PAGE, STRICT, "/rails")
        said = look((f"{url}{path}" for path in paths), pages=2, site=number)
    assert said["verdict"]["clean"], said["faults"]
    seen = {page["address"].removeprefix(url): page["arrived"] for page in said["pages"]}
    assert seen == {PLAIN: 1, "/next": 1, SINGLE_PAGE: 1, "/application#/record/1": 1} | {
        STRICT: 1,
        "/rails": 1,
    }


@pytest.mark.slow(reason="five browsers, one after the other")
@pytest.mark.nightly(reason="five browsers, one after the other")
def test_every_command_about_a_website_runs(fresh_matomo: Instance, checkout: Checkout) -> None:
    commands = COMMAND.findall(WEBSITE)
    assert len(commands) == 5
    with served(fresh_matomo.url, 2, more=pages(fresh_matomo.url)) as url:
        for command in commands:
            line = command.replace(MATOMO, fresh_matomo.url).replace(PAGE, url)
            ended = run(checkout, line, fresh_matomo.token)
            said = ended.stdout + ended.stderr
            has_mail = "email=" in command
            assert ended.returncode == (1 if has_mail else 0), said
            assert ("mail-address" in said) is has_mail, said
            assert "reader@people.example" not in said
    # The first of them has made the site that the others expect.
    assert fresh_matomo.api.call("SitesManager.getSiteFromId", idSite=2)["name"] == "Library"


def test_every_command_about_users_runs(matomo_by_tls: MatomoByTls, checkout: Checkout) -> None:
    instance = matomo_by_tls.instance
    invite, access, console, remove, *gates = COMMAND.findall(USERS)
    # curl takes no certificate for *.localhost; other tests prove that it is good.
    trusting = "curl --insecure"
    for command in (invite, access):
        line = command.replace(MATOMO, instance.url).replace("curl", trusting)
        ended = run(checkout, line, instance.token)
        assert ended.returncode == 0, ended.stderr
        assert '"result":"error"' not in ended.stdout, ended.stdout
    (granted,) = instance.api.call("UsersManager.getSitesAccessFromUser", userLogin="reader")
    assert granted["access"] == "write"
    assert [
        mail for mail in matomo_by_tls.mailbox.mails() if "reader@people.example" in mail.recipients
    ]

    (words,) = re.findall(r'CMD="(.+)"', console)
    instance.shell.console(*shlex.split(words))
    ended = run(
        checkout, remove.replace(MATOMO, instance.url).replace("curl", trusting), instance.token
    )
    assert '"result":"success"' in ended.stdout, ended.stdout
    assert "reader" not in instance.api.call("UsersManager.getUsersLogin")

    for command in gates:
        (promises,) = re.findall(r'ONLY="(.+)"', command)
        assert {check.promise for check in gate.chosen(promises)} == set(promises.split())


def test_the_policy_about_users_is_valid_and_its_checks_exist(tmp_path: Path) -> None:
    (text,) = blocks("toml", USERS)
    (tmp_path / "policy.toml").write_text(text)
    assert read_policy(tmp_path / "policy.toml").section(Accounts).superusers == ("admin",)
    named = re.findall(r"`((?:accounts|second_factors)\.\w+)`", USERS)
    assert len(named) == 3
    assert all(gate.chosen(name) for name in named)


def test_the_table_of_faults_has_each_with_its_severity() -> None:
    rows = re.findall(r"(?m)^\| (`[\w-]+`(?:, `[\w-]+`)*) \| (\w+) \|", WEBSITE)
    documented = {
        name: severity for names, severity in rows for name in re.findall(r"[\w-]+", names)
    }
    assert documented == {name: cost.name.lower() for name, cost in SEVERITIES.items()}


def run(checkout: Checkout, line: str, token: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a page as a shell does."""
    harness = f"{shlex.quote(sys.executable)} -m matomo_harness"
    return subprocess.run(
        ["bash", "-c", re.sub(r"^matomo-harness\b", harness, line)],
        cwd=checkout.root,
        env=checkout.environment(HARNESS_TOKEN=token),
        capture_output=True,
        text=True,
        check=False,
    )
