"""`make up` over somebody else's database: it takes over prefix and people, and changes none."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from matomo_harness.errors import ExitCode
from matomo_harness.matomo.traffic import USER_AGENTS
from matomo_harness.matomo.web import Parameters
from matomo_harness.operate import stack_image
from matomo_harness.operate.stack import Stack
from tests.checkout import Checkout, copied
from tests.programs import Answer


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A local stack that is up; each test puts back what it changed."""
    with copied(tmp_path_factory.mktemp("adopting")) as copy:
        assert (answer := copy.harness("up")).code == 0, answer.text
        yield copy
        assert copy.harness("down").code == 0


@contextmanager
def with_secret(stack: Checkout, name: str, value: str) -> Iterator[None]:
    """Have a person write another value into .local/stack.env."""
    file, before = stack.root / ".local/stack.env", stack.secret(name)

    def write(old: str, new: str) -> None:
        file.write_text(file.read_text().replace(f"{name}={old}\n", f"{name}={new}\n"))

    write(before, value)
    try:
        yield
    finally:
        write(value, before)


def people(stack: Checkout) -> dict[str, dict[str, Any]]:
    rows = stack.database.query("SELECT * FROM {prefix}user ORDER BY login")
    return {row["login"]: row for row in rows}


def hit(stack: Checkout) -> requests.Response:
    web = stack.web
    web.session.headers["User-Agent"] = USER_AGENTS[0]
    page: Parameters = {"idsite": 1, "rec": 1, "new_visit": 1, "url": "https://a.example/"}
    return web.get(page, path="matomo.php")


def logged_in(answer: Answer) -> str:
    """Return the login that `up` prints."""
    assert answer.code == 0, answer.text
    found = re.search(r"^ *login +(\S+)", answer.text, re.MULTILINE)
    assert found, answer.text
    return found[1]


@contextmanager
def renamed(stack: Checkout, old: str, new: str) -> Iterator[None]:
    """Have another login for a user."""
    change = "UPDATE {prefix}user SET login = %s WHERE login = %s"
    stack.database.query(change, new, old)
    try:
        yield
    finally:
        stack.database.query(change, old, new)


@contextmanager
def tables_renamed(stack: Checkout, old: str, new: str) -> Iterator[None]:
    """Have tables as a dump of another installation has them."""
    names = sorted(name.removeprefix(old) for name in stack.database.all_tables())

    def rename(old: str, new: str) -> None:
        pairs = ", ".join(f"`{old}{name}` TO `{new}{name}`" for name in names)
        stack.database.query(f"RENAME TABLE {pairs}")

    rename(old, new)
    try:
        yield
    finally:
        rename(new, old)


@pytest.mark.nightly(reason="make up, with another web container, and once more")
@pytest.mark.slow(reason="make up, with another web container, and once more")
@pytest.mark.parametrize("prefix", ["", "piwik_"])
def test_tables_of_another_prefix_are_adopted(stack: Checkout, prefix: str) -> None:
    before = stack.database.all_tables()
    with tables_renamed(stack, "matomo_", prefix):
        answer = stack.harness("up")
        assert logged_in(answer) == "admin"
        assert "Matomo 5" in answer.text
        assert stack.secret("TABLES_PREFIX") == prefix
        assert len(stack.database.all_tables()) == len(before)
        assert hit(stack).ok
        assert stack.database.query(f"SELECT 1 FROM `{prefix}log_visit`")  # noqa: S608
    assert logged_in(stack.harness("up")) == "admin"
    # Matomo makes the table of its sessions at any page, as a health check's.
    assert stack.database.all_tables() - {f"{prefix}session"} == before - {f"{prefix}session"}


def test_two_installations_are_refused_and_none_is_touched(stack: Checkout) -> None:
    for name in ("log_visit", "option", "site", "user"):
        stack.database.query(f"CREATE TABLE piwik_{name} SELECT * FROM matomo_{name}")  # noqa: S608
    before = stack.database.all_tables()
    try:
        stack.harness("up").refuses(ExitCode.WRONG_INPUT, "`matomo_`", "`piwik_`", "admin")
        assert stack.database.all_tables() == before
    finally:
        for name in ("log_visit", "option", "site", "user"):
            stack.database.query(f"DROP TABLE piwik_{name}")


@pytest.mark.nightly(reason="one more installation")
@pytest.mark.slow(reason="make up")
def test_a_superuser_of_its_own_is_made_beside_the_others(stack: Checkout) -> None:
    with renamed(stack, "admin", "director"):
        before = people(stack)
        try:
            answer = stack.harness("up")
            assert logged_in(answer) == "admin"
            assert "superusers director" in answer.text
            after = people(stack)
            made = after.pop("admin")
            assert after == before
            assert made["superuser_access"] == 1
            assert made["twofactor_secret"]
            assert stack.harness("token").code == 0
        finally:
            for table in ("user", "twofactor_recovery_code", "user_token_auth"):
                stack.database.query(f"DELETE FROM {{prefix}}{table} WHERE login = 'admin'")  # noqa: S608


@pytest.mark.slow(reason="make up")
def test_a_superuser_of_another_name_is_adopted_where_its_password_is_known(
    stack: Checkout,
) -> None:
    with renamed(stack, "admin", "director"), with_secret(stack, "SUPERUSER_LOGIN", "director"):
        before = people(stack)
        assert logged_in(stack.harness("up")) == "director"
        assert set(people(stack)) == set(before)


@pytest.mark.slow(reason="make up")
@pytest.mark.nightly(reason="make up once more")
def test_another_password_is_said_to_be_one(stack: Checkout) -> None:
    with with_secret(stack, "SUPERUSER_PASSWORD", "another-one"):
        answer = stack.harness("up")
    answer.refuses(ExitCode.WRONG_INPUT, "admin to have the password", "SUPERUSER_PASSWORD")
    assert "another-one" not in answer.text


@pytest.mark.slow(reason="make up")
@pytest.mark.nightly(reason="make up once more")
def test_a_user_of_that_name_who_is_no_superuser_is_left_so(stack: Checkout) -> None:
    change = "UPDATE {prefix}user SET superuser_access = %s WHERE login = 'admin'"
    stack.database.query(change, 0)
    try:
        answer = stack.harness("up")
    finally:
        stack.database.query(change, 1)
    answer.refuses(ExitCode.WRONG_INPUT, "admin to be a superuser", "SUPERUSER_LOGIN")


@pytest.mark.slow(reason="make up")
@pytest.mark.nightly(reason="make up once more")
def test_tables_of_another_server_are_spoken_to_as_they_are(stack: Checkout) -> None:
    """As a dump of MariaDB 10.11 leaves them on 11.8, where an archiver ends with error 1267."""
    (row,) = stack.database.query(
        "SELECT table_collation AS name FROM information_schema.tables"
        " WHERE table_schema = DATABASE() AND table_name = 'matomo_option'"
    )
    shell = stack_image.shell_of(Stack(stack.root))
    before, convert = shell.read(shell.config), "ALTER TABLE {prefix}option CONVERT TO"
    stack.database.query(f"{convert} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
    try:
        answer = stack.harness("up")
        assert "As the tables are: [database] collation = utf8mb4_general_ci" in answer.text
        assert logged_in(answer) == "admin"
        assert "collation" in shell.read(shell.config)
        assert "As the tables are" not in stack.harness("up").text
    finally:
        stack.database.query(f"{convert} CHARACTER SET utf8mb4 COLLATE {row['name']}")
        shell.write(shell.config, before)


@pytest.mark.slow(reason="make up")
def test_up_is_not_said_over_a_tracker_that_refuses_every_hit(stack: Checkout) -> None:
    change = "ALTER TABLE {prefix}log_visit RENAME COLUMN "
    stack.database.query(f"{change} user_id TO gone")
    try:
        answer = stack.harness("up")
    finally:
        stack.database.query(f"{change} gone TO user_id")
    answer.refuses(ExitCode.BROKEN_PROMISE, "log_visit.user_id")
    assert "is up" not in answer.text


@pytest.mark.nightly(reason="one more installation")
@pytest.mark.slow(reason="make up, twice, and an installation")
def test_an_empty_database_under_an_old_configuration_is_installed_whole(stack: Checkout) -> None:
    columns = stack.database.query("SHOW COLUMNS FROM {prefix}log_visit")
    names = ", ".join(f"`{name}`" for name in sorted(stack.database.all_tables()))
    stack.database.query(f"DROP TABLE {names}")
    assert logged_in(stack.harness("up")) == "admin"
    assert stack.database.query("SHOW COLUMNS FROM {prefix}log_visit") == columns
    assert hit(stack).ok
    assert stack.database.query("SELECT 1 FROM {prefix}log_visit")
