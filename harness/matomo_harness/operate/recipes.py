"""Recipes: rows of docs/failure-modes.md brought about on purpose in the running local stack.

Each is a value: what happens, by what one sees it, how to heal it by hand, and a fault with its way
back. What it changes is written down before it is changed, in .local/recipe.json, so that `heal`
works whatever has ended `run`.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from docker.models.containers import Container

from matomo_harness.errors import WrongInputError
from matomo_harness.gate.mutants import Change, Deployment
from matomo_harness.gate.mutants.changes import file, option, sql, web_server, with_key
from matomo_harness.gate.mutation import WRITTEN
from matomo_harness.gate.promises.database.mutants import AN_ARCHIVE, TABLE_OF_A_MONTH
from matomo_harness.matomo import ini
from matomo_harness.matomo.container import SEED, WEB_ROOT
from matomo_harness.matomo.database import DEFAULT_PREFIX, Database
from matomo_harness.matomo.twofactor import Account
from matomo_harness.matomo.web import Web
from matomo_harness.operate import compose, local, stack_files, stack_image
from matomo_harness.operate.alone import alone
from matomo_harness.operate.stack import LOCAL, Stack
from matomo_harness.policy import Policy, deployment
from matomo_harness.runtime import faults
from matomo_harness.runtime.containers import DATABASE_USER, SCHEMA, wait_for_database
from matomo_harness.runtime.engine import execute
from matomo_harness.runtime.instance import Instance
from matomo_harness.runtime.mail import RELAY_ANSWERS
from matomo_harness.runtime.shell import OWN_CONFIG, MatomoShell, wait_for_web
from matomo_harness.settings import RunSettings

Before = Mapping[str, Any]
"""What was before a change: JSON."""
SERVICES: Final = ("db", "mail", "matomo", "load-balancer")
STOP_SECONDS: Final = 10


# -- where ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scene:
    """The running stack, as recipes see and change it; a part is asked for when it is needed."""

    stack: Stack

    def container(self, service: str) -> Container:
        """Return the container of a service, which may have ended."""
        return compose.container(service, self.stack)

    @property
    def url(self) -> str:
        """Its address, as people call it."""
        return f"https://localhost:{compose.port('load-balancer', local.HTTPS, self.stack)}"

    @property
    def web(self) -> Web:
        """A new conversation with it."""
        return Web(self.url, authority=self.stack.authority_file)

    @property
    def shell(self) -> MatomoShell:
        """Its console and its files."""
        return stack_image.shell_of(self.stack)

    @property
    def deployment(self) -> Deployment:
        """The same as what mutants change."""
        secrets = stack_files.read(self.stack)
        instance = Instance(
            url=self.url,
            shell=self.shell,
            database=local.database_of(self.stack),
            account=Account(secrets.superuser_login, secrets.superuser_password, ""),
            token="",
            authority=self.stack.authority_file,
        )
        return Deployment(Policy(), alone=instance)


def names(stack: Stack, url: str) -> dict[str, str]:
    """Return what stands for the names in braces in what recipes say.

    Args:
        stack: which one; Compose names its containers so.
        url: its address.
    """
    prefix = stack_files.known(stack).get("TABLES_PREFIX", DEFAULT_PREFIX)
    return {
        "web": f"{stack.project}-matomo-1",
        "db": f"{stack.project}-db-1",
        "mail": f"{stack.project}-mail-1",
        "url": url,
        "host": url.partition("://")[2],
        "authority": os.path.relpath(stack.authority_file),
        "prefix": prefix,
        "cpus": deployment.read().variables["WEB_CPUS"],
    }


# -- by what one sees it --------------------------------------------------------------------------


@dataclass(frozen=True)
class Page:
    """A page that answers otherwise.

    Args:
        path: below Matomo's address.
        status: what it answers.
        says: a part of its text.
        slower_than: seconds that the answer takes at least.
    """

    path: str
    status: int
    says: str
    slower_than: float = 0.0

    @property
    def command(self) -> str:
        """The command that shows it."""
        return f"curl --cacert {{authority}} '{{url}}/{self.path}'"

    @property
    def answer(self) -> str:
        """What one sees then."""
        after = f", after more than {self.slower_than:.0f} s" if self.slower_than else ""
        return f"HTTP {self.status}{after}: {self.says}"


@dataclass(frozen=True)
class RedCheck:
    """A check of the gate that fails.

    Args:
        check: its id.
        hits: whether it stores hits, on a site of the gate's own, for which it needs a token.
    """

    check: str
    hits: bool = False

    @property
    def command(self) -> str:
        """The command that shows it."""
        gate = (
            "matomo-harness gate --container {web} --url {url} --authority {authority}"
            f" --only {self.check}"
        )
        return f"HARNESS_TOKEN=$(matomo-harness token) {gate} --allow-hits" if self.hits else gate

    @property
    def answer(self) -> str:
        """What one sees then."""
        return f"exit code 1: {self.check} fails"


@dataclass(frozen=True)
class Verb:
    """A verb of the harness that fails.

    Args:
        arguments: of matomo-harness.
        says: a part of what it prints.
    """

    arguments: tuple[str, ...]
    says: str

    @property
    def command(self) -> str:
        """The command that shows it."""
        return f"matomo-harness {' '.join(self.arguments)}"

    @property
    def answer(self) -> str:
        """What one sees then."""
        return f"exit code 1: {self.says}"


Sight = Page | RedCheck | Verb


# -- what is changed, and back --------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """A change with its way back.

    Args:
        begin: makes it.
        heal: takes it back, however far `begin` came, also where that is done already.
        look: returns what `heal` has to know of the state before.
    """

    begin: Callable[[Scene], object]
    heal: Callable[[Scene, Before], object]
    look: Callable[[Scene], Before] = lambda _: {}


def _of_mutant(name: str) -> Change:
    """Return what a mutant changes."""
    (found,) = (mutant for mutant in WRITTEN if mutant.id == name)
    return found.change


def _in_the_file(change: Change) -> Fault:
    """Change the config.ini.php that runs; the way back is its text of before."""

    def heal(scene: Scene, before: Before) -> None:
        scene.shell.write(OWN_CONFIG, before["text"])

    return Fault(
        begin=lambda scene: change(scene.deployment),
        heal=heal,
        look=lambda scene: {"text": scene.shell.read(OWN_CONFIG)},
    )


def _in_the_database(change: Change, back: Change) -> Fault:
    return Fault(
        begin=lambda scene: change(scene.deployment), heal=lambda scene, _: back(scene.deployment)
    )


def _wait_for_opcache(scene: Scene) -> None:
    """Wait until PHP looks again at a file that it has compiled, as the tracker's cache of options.

    Until then one that is gone has its effect: 2 s where the image says nothing else, and PHP
    counts in whole ones.
    """
    said = scene.shell.run("php", "-r", "echo (int) ini_get('opcache.revalidate_freq');")
    time.sleep(int(said) + 1)


def _option(change: Change, name: str) -> Fault:
    """Change a row of the table option, which may not be there before; hits see it at the end."""

    def rows(scene: Scene) -> Before:
        found = local.database_of(scene.stack).query(
            "SELECT option_value FROM {prefix}option WHERE option_name = %s", name
        )
        return {"value": str(found[0]["option_value"]) if found else None}

    def heal(scene: Scene, before: Before) -> None:
        gone = sql(f"DELETE FROM {{prefix}}option WHERE option_name = '{name}'")  # noqa: S608
        value = before["value"]
        (gone if value is None else option(name, value))(scene.deployment)
        _wait_for_opcache(scene)

    def begin(scene: Scene) -> None:
        change(scene.deployment)
        _wait_for_opcache(scene)

    return Fault(begin=begin, heal=heal, look=rows)


ARCHIVER_BEGAN: Final = "LastFullArchivingStartTime"
"""The option that every archiver writes first (core/CronArchive.php), even where nothing is due."""
ACCEPT: Final = (
    "DROP TRIGGER IF EXISTS full",
    # Where no archiver has written it yet.
    f"DELETE FROM {{prefix}}option WHERE option_name = '{ARCHIVER_BEGAN}' AND option_value = '0'",  # noqa: S608
)
REFUSE: Final = (
    f"INSERT IGNORE INTO {{prefix}}option VALUES ('{ARCHIVER_BEGAN}', '0', 0)",  # noqa: S608
    "CREATE TRIGGER full BEFORE UPDATE ON {prefix}option FOR EACH ROW"  # noqa: S608
    f" IF NEW.option_name = '{ARCHIVER_BEGAN}' THEN"
    " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'disk full'; END IF",
)


def _has_table(scene: Scene, name: str) -> bool:
    database = local.database_of(scene.stack)
    return f"{database.tables_prefix}{name}" in database.all_tables()


PUT_ASIDE: Final = "matomo_harness_recipe_segment"
"""What the table that a recipe takes away is called meanwhile."""


def _take_the_table_away(scene: Scene) -> None:
    sql(f"RENAME TABLE {{prefix}}segment TO {PUT_ASIDE}")(scene.deployment)


def _the_table_is_there(scene: Scene) -> Before:
    if not _has_table(scene, "segment"):
        raise LookupError("no table segment")
    return {}


def _put_the_table_back(scene: Scene, _: Before) -> None:
    database = local.database_of(scene.stack)
    if PUT_ASIDE in database.all_tables():
        if _has_table(scene, "segment"):
            _drop_the_new_one(database)
        sql(f"RENAME TABLE {PUT_ASIDE} TO {{prefix}}segment")(scene.deployment)


def _drop_the_new_one(database: Database) -> None:
    """Drop the table that somebody had Matomo make anew, such as by repair-plugin.

    Raises:
        WrongInputError: there is something in it.
    """
    if database.query("SELECT 1 FROM {prefix}segment LIMIT 1"):
        raise WrongInputError(
            expected=f"no segments in {database.tables_prefix}segment, whose rows of before are in"
            f" {PUT_ASIDE}",
            seen="some, saved since the table was made anew",
            next_command="delete them in Matomo; then matomo-harness recipe heal table-missing",
        )
    database.query("DROP TABLE {prefix}segment")


OF_LONG_AGO: Final = "2010_01"
"""A month in which no stack of ours has visits, so that no archiver comes by."""


def _month(statement: str) -> str:
    return statement.replace("2026_01", OF_LONG_AGO).replace("2026-01", "2010-01")


def _restore_archives_alone(scene: Scene) -> None:
    """Make a month's archive and a sequence behind it, as a partial restore does."""
    sql(_month(TABLE_OF_A_MONTH), _month(AN_ARCHIVE))(scene.deployment)
    database = local.database_of(scene.stack)
    database.query(
        "REPLACE INTO {prefix}sequence (name, value) VALUES (%s, 12)",
        f"{database.tables_prefix}archive_numeric_{OF_LONG_AGO}",
    )


def _no_archives_of_that_month(scene: Scene) -> Before:
    if _has_table(scene, f"archive_numeric_{OF_LONG_AGO}"):
        raise LookupError(f"a table archive_numeric_{OF_LONG_AGO} is there already")
    return {}


FORGET_THE_MONTH: Final = sql(
    f"DROP TABLE IF EXISTS {{prefix}}archive_numeric_{OF_LONG_AGO}",
    f"DELETE FROM {{prefix}}sequence WHERE name LIKE '%archive_numeric_{OF_LONG_AGO}'",  # noqa: S608
)


def _start_the_database(scene: Scene, _: Before) -> None:
    container = scene.container("db")
    container.start()
    wait_for_database(local.database_of(scene.stack), container)


def _restart_the_web_server(scene: Scene) -> None:
    container = scene.container("matomo")
    # Its connections to the load balancer would be waited for.
    container.restart(timeout=faults.RESTART_SECONDS)
    wait_for_web(scene.web, container)


def _as_root(scene: Scene, script: str) -> None:
    scene.shell.run("sh", "-ec", script, user="root")


def _archive_as_root(scene: Scene) -> None:
    # The directory first: a page that is asked for meanwhile would make it the web server's.
    _as_root(
        scene,
        "rm -rf tmp/cache/tracker; install -d -m 755 -o root tmp/cache/tracker;"
        " php console core:archive",
    )


COMPILED: Final = "tmp/templates_c"


def _fill_the_volume(scene: Scene) -> None:
    faults.fill(scene.container("matomo"), WEB_ROOT)
    # Only renamed, as to remove it would make room. A new task has none either.
    _as_root(scene, f"[ ! -e {COMPILED} ] || mv -T {COMPILED} {COMPILED}.aside")


def _empty_the_volume(scene: Scene, _: Before) -> None:
    faults.empty(scene.container("matomo"), WEB_ROOT)
    _as_root(scene, f"rm -rf {COMPILED}.aside")


RELAY: Final = "/etc/exim4/exim4.conf"
ROTATED: Final = "s/{env {MAIL_PASSWORD}}/&-rotated/"
ROTATED_BACK: Final = "s/-rotated//"


def _edit_the_relay(scene: Scene, edit: str) -> None:
    container = scene.container("mail")
    execute(container, ["sed", "-i", edit, RELAY], "root")
    container.restart(timeout=STOP_SECONDS)
    execute(container, ["bash", "-c", RELAY_ANSWERS])


def _limit(scene: Scene, cpus: float) -> None:
    faults.limit(scene.container("matomo"), cpus)


COPY: Final = "js/config.ini.php.save"
OPENED: Final = "/etc/apache2/conf-enabled/zzz.conf"
CLOSE: Final = f"rm -f {COPY} {OPENED}"


# -- the recipes ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """A failure on purpose.

    Args:
        name: what it is called by.
        failure_mode: its row in docs/failure-modes.md.
        happens: what happens, in a sentence.
        sights: how to see it. Names in braces are those of `names`.
        by_hand: commands of a shell that heal it as one would in production.
        fault: what is changed, and back.
    """

    name: str
    failure_mode: str
    happens: str
    sights: tuple[Sight, ...]
    by_hand: tuple[str, ...]
    fault: Fault = field(repr=False)


def _by_root(command: str) -> str:
    return f"docker exec --user root --workdir {WEB_ROOT} {{web}} {command}"


def _in_the_file_by_hand(edit: str) -> str:
    return f"docker exec --user www-data {{web}} sed -i '{edit}' {WEB_ROOT}/{OWN_CONFIG}"


def _by_sql(statement: str) -> str:
    client = f"MYSQL_PWD=$MARIADB_PASSWORD mariadb -u {DATABASE_USER} {SCHEMA}"
    return f"echo \"{statement}\" | docker exec -i {{db}} sh -c '{client}'"


def _cut(text: str) -> str:
    """Cut a file in the midst of its first section's name."""
    found = text.find("\n[")
    if found < 0:
        raise LookupError(f"no section in {OWN_CONFIG}")
    return text[: found + len("\n[x")]


def _another_name(text: str) -> str:
    alone = ini.without_key(text, "General", "trusted_hosts[]")
    return with_key("General", "trusted_hosts[]", "analytics.example")(alone)


LENGTH: Final = "PrivacyManager.ipAddressMaskLength"
LOGIN: Final = "index.php"

RECIPES: Final[tuple[Recipe, ...]] = (
    Recipe(
        name="database-gone",
        failure_mode="D5",
        happens="the database is stopped, as in a restart or a failover",
        sights=(Page(LOGIN, 500, "Could not connect to the database"),),
        by_hand=("docker start {db}",),
        fault=Fault(
            begin=lambda scene: scene.container("db").stop(timeout=STOP_SECONDS),
            heal=_start_the_database,
        ),
    ),
    Recipe(
        name="web-server-slow",
        failure_mode="O1",
        happens="the web server has two hundredths of a processor, and answers after seconds",
        sights=(Page(LOGIN, 200, "Sign in", slower_than=2.0),),
        by_hand=("docker update --cpus {cpus} {web}",),
        fault=Fault(
            begin=lambda scene: _limit(scene, 0.02),
            heal=lambda scene, before: _limit(scene, before["cpus"]),
            look=lambda scene: {"cpus": faults.cpus_of(scene.container("matomo"))},
        ),
    ),
    Recipe(
        name="tmp-full",
        failure_mode="F4",
        happens="the volume of tmp/ is full, and a template cannot be compiled",
        sights=(Page(LOGIN, 500, "Failed to write cache file"),),
        by_hand=(_by_root(f"sh -c 'rm {faults.BALLAST}*'"),),
        fault=Fault(begin=_fill_the_volume, heal=_empty_the_volume),
    ),
    Recipe(
        name="mail-refused",
        failure_mode="D9",
        happens="the password was rotated at the mail relay, and Matomo still has the old one",
        sights=(Verb(("console", "core:test-email", "somebody@people.example"), "535"),),
        by_hand=(
            f"docker exec {{mail}} sed -i '{ROTATED_BACK}' {RELAY}",
            "docker restart {mail}",
        ),
        fault=Fault(
            begin=lambda scene: _edit_the_relay(scene, ROTATED),
            heal=lambda scene, _: _edit_the_relay(scene, ROTATED_BACK),
        ),
    ),
    Recipe(
        name="archiver-fails",
        failure_mode="R8",
        happens="the database refuses what the archiver writes: reports stay as old as they are",
        sights=(Verb(("archive",), "ARCHIVING FAILED"),),
        by_hand=(_by_sql("DROP TRIGGER full"),),
        fault=_in_the_database(sql(*ACCEPT, *REFUSE), sql(*ACCEPT)),
    ),
    Recipe(
        name="archiver-as-root",
        failure_mode="R5",
        happens="the archiver ran as root, and what it left in tmp/ is root's",
        sights=(Page(LOGIN, 500, "is not writable"),),
        by_hand=(_by_root("chown -R www-data: tmp"),),
        fault=Fault(
            begin=_archive_as_root,
            heal=lambda scene, _: _as_root(scene, "chown -R www-data: tmp"),
        ),
    ),
    Recipe(
        name="sequence-behind",
        failure_mode="D10",
        happens="archives were restored without the table sequence, which gives their numbers anew",
        sights=(RedCheck("database.numbers_of_archives_are_new"),),
        by_hand=(
            _by_sql(
                "UPDATE {prefix}sequence SET value = 900"  # noqa: S608
                f" WHERE name = '{{prefix}}archive_numeric_{OF_LONG_AGO}'"
            ),
        ),
        fault=Fault(
            begin=_restore_archives_alone,
            heal=lambda scene, _: FORGET_THE_MONTH(scene.deployment),
            look=_no_archives_of_that_month,
        ),
    ),
    Recipe(
        name="table-missing",
        failure_mode="G1",
        happens="a plugin is installed, and its table is not there",
        sights=(RedCheck("plugins.have_their_tables"),),
        by_hand=(_by_sql(f"RENAME TABLE {PUT_ASIDE} TO {{prefix}}segment"),),
        fault=Fault(begin=_take_the_table_away, heal=_put_the_table_back, look=_the_table_is_there),
    ),
    Recipe(
        name="plugin-without-code",
        failure_mode="G7",
        happens="a plugin is listed, and its code was lost with the container's layer",
        sights=(RedCheck("plugins.have_their_code"),),
        by_hand=("docker restart -t 1 {web}",),
        fault=Fault(
            begin=lambda scene: _of_mutant("plugins.code_gone")(scene.deployment),
            heal=lambda scene, _: _restart_the_web_server(scene),
        ),
    ),
    Recipe(
        name="plugin-not-listed",
        failure_mode="C14",
        happens="the list of plugins lacks one that everybody takes for granted, and it is off",
        sights=(
            Page(
                "index.php?module=API&method=Live.getCounters&idSite=1&lastMinutes=3&format=json",
                200,
                "The plugin Live is not enabled",
            ),
        ),
        by_hand=("matomo-harness console plugin:activate Live",),
        fault=_in_the_file(_of_mutant("plugins.one_missing")),
    ),
    Recipe(
        name="guard-lost",
        failure_mode="S7",
        happens="config.ini.php lost its first line, which keeps it from whoever asks for it",
        sights=(RedCheck("exposure.configuration_guards_itself"),),
        by_hand=(_in_the_file_by_hand(f"1i {ini.HEADER.strip()}"),),
        fault=_in_the_file(_of_mutant("exposure.guard_lost")),
    ),
    Recipe(
        name="configuration-cut",
        failure_mode="C15",
        happens="config.ini.php was cut short while it was saved",
        sights=(Page(LOGIN, 500, "Unable to read INI file"),),
        by_hand=(
            f"docker exec --user www-data {{web}} cp {SEED} {WEB_ROOT}/{OWN_CONFIG}",
            _in_the_file_by_hand('/^\\[General\\]/a trusted_hosts[] = "{host}"'),
        ),
        fault=_in_the_file(file(_cut)),
    ),
    Recipe(
        name="broken-line",
        failure_mode="M2",
        happens="a comment of config.ini.php is broken over two lines",
        sights=(RedCheck("operation.configuration_is_well_formed"),),
        by_hand=(_in_the_file_by_hand("/^redefining them in this file[.]$/d"),),
        fault=_in_the_file(_of_mutant("operation.broken_line")),
    ),
    Recipe(
        name="maintenance-left-on",
        failure_mode="C13",
        happens="maintenance_mode is not what it was before an update: it stayed on",
        sights=(Page(LOGIN, 503, "undergoing maintenance"),),
        by_hand=(_in_the_file_by_hand("/^maintenance_mode/d"),),
        fault=_in_the_file(_of_mutant("operation.maintenance")),
    ),
    Recipe(
        name="another-name",
        failure_mode="X4",
        happens="Matomo knows itself by an old name only, and leads everybody there",
        sights=(Page(LOGIN, 200, "https://analytics.example/index.php"),),
        by_hand=(_in_the_file_by_hand("s/analytics.example/{host}/"),),
        fault=_in_the_file(file(_another_name)),
    ),
    Recipe(
        name="copy-in-the-web-root",
        failure_mode="S8",
        happens="an editor's copy of config.ini.php lies in js/, which is open",
        sights=(Page(COPY, 200, "[General]"),),
        by_hand=(_by_root(f"rm {COPY}"),),
        fault=Fault(
            begin=lambda scene: _of_mutant("exposure.editors_copy_beside_the_tracker")(
                scene.deployment
            ),
            heal=lambda scene, _: web_server(CLOSE)(scene.deployment),
        ),
    ),
    Recipe(
        name="mask-of-one-byte",
        failure_mode="P1",
        happens="rows of an older dump are back: one byte of an address is masked, and not two",
        sights=(RedCheck("masking.ipv4_of_a_new_visitor", hits=True),),
        by_hand=(
            _by_sql(f"DELETE FROM {{prefix}}option WHERE option_name = '{LENGTH}'"),  # noqa: S608
            _by_root("rm -rf tmp/cache/tracker"),
        ),
        fault=_option(_of_mutant("masking.one_byte"), LENGTH),
    ),
)


# -- run and heal ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Directions:
    """A recipe in the words of one stack.

    Args:
        name: of the recipe.
        failure_mode: its row in docs/failure-modes.md.
        happens: what happens.
        see: commands, each with what one sees.
        heal_by_hand: commands.
        heal: the command that brings the state back.
        is_under_way: whether it was begun, and not healed yet.
    """

    name: str
    failure_mode: str
    happens: str
    see: tuple[tuple[str, str], ...]
    heal_by_hand: tuple[str, ...]
    heal: str
    is_under_way: bool


def named(name: str) -> Recipe:
    """Return a recipe.

    Raises:
        WrongInputError: there is none of that name; `seen` has the nearest ones.
    """
    known = {recipe.name: recipe for recipe in RECIPES}
    if name not in known:
        nearest = get_close_matches(name, known, 3, 0.4)
        raise WrongInputError(
            expected="the name of a recipe",
            seen=f"{name}; the nearest: {', '.join(nearest) or 'none'}",
            next_command="matomo-harness recipe list",
        )
    return known[name]


def under_way(stack: Stack = LOCAL) -> str:
    """Return the name of the recipe that was begun, and not healed yet; empty where none was."""
    return str(_record(stack).get("recipe", ""))


def require_none(stack: Stack) -> None:
    """Require that the data is as it was before a recipe: a copy of it could not be healed.

    Raises:
        WrongInputError: a recipe is under way.
    """
    record = _record(stack)
    # After another state was restored, nothing of a recipe is left in the data.
    if record and record["generation"] == stack_files.known(stack).get("GENERATION", ""):
        raise WrongInputError(
            expected="no recipe to be under way, whose failure the snapshot would have for ever",
            seen=str(record["recipe"]),
            next_command=f"matomo-harness recipe heal {record['recipe']}",
        )


def directions(recipe: Recipe, settings: RunSettings, stack: Stack = LOCAL) -> Directions:
    """Return a recipe in the words of a stack, which need not be up."""
    return _directions(recipe, f"https://localhost:{settings.port}", stack)


def run(name: str, stack: Stack = LOCAL) -> Directions:
    """Bring a failure about; the record of what was before is written first.

    Raises:
        WrongInputError: there is no such recipe, the stack is not up, another recipe is under way,
            or the stack has not got what the recipe breaks.
    """
    recipe = named(name)
    with alone(stack, tidies=False):
        if other := under_way(stack):
            raise WrongInputError(
                expected="no recipe to be under way",
                seen=other,
                next_command=f"matomo-harness recipe heal {other}",
            )
        for service in SERVICES:
            compose.running(service, stack)
        scene = Scene(stack)
        try:
            before = recipe.fault.look(scene)
            generation = stack_files.read(stack).generation
            record = {"recipe": name, "generation": generation, "before": dict(before)}
            stack_files.write_closed(stack.recipe_file, json.dumps(record))
            recipe.fault.begin(scene)
        except LookupError as error:  # before anything was changed
            stack.recipe_file.unlink(missing_ok=True)
            raise WrongInputError(
                expected=f"a stack that has what {name} breaks",
                seen=str(error),
                next_command="matomo-harness recipe list",
            ) from error
        return _directions(recipe, scene.url, stack)


def heal(name: str, stack: Stack = LOCAL) -> None:
    """Bring back what was before a recipe, however far that came.

    Raises:
        WrongInputError: there is no such recipe, it is not under way, or the stack is not up.
        HarnessError: the way back failed; the record stays, and the same command tries it again.
    """
    recipe = named(name)
    with alone(stack, tidies=False):
        record = _record(stack)
        if record.get("recipe") != name:
            other = record.get("recipe", "")
            raise WrongInputError(
                expected=f"the recipe {name} to be under way",
                seen=other or "none is",
                next_command=f"matomo-harness recipe {f'heal {other}' if other else 'list'}",
            )
        # After another state was restored, data and containers are others: nothing is left of it.
        if record["generation"] == stack_files.read(stack).generation:
            _require_up(stack, name)
            recipe.fault.heal(Scene(stack), record["before"])
        stack.recipe_file.unlink()


def _require_up(stack: Stack, name: str) -> None:
    """Require what a recipe has not stopped itself; `make up` starts that as well."""
    for service in SERVICES:
        if not (service == "db" and name == "database-gone"):
            compose.running(service, stack)
        else:
            compose.container(service, stack)


def _record(stack: Stack) -> Mapping[str, Any]:
    if not stack.recipe_file.exists():
        return {}
    try:
        record: Mapping[str, Any] = json.loads(stack.recipe_file.read_text())
        if {"recipe", "generation", "before"} <= record.keys():
            return record
        raise ValueError("it lacks a part")
    except (ValueError, AttributeError) as error:
        raise WrongInputError(
            expected=f"{stack.recipe_file} to be the record of a recipe",
            seen=str(error),
            next_command=f"rm {os.path.relpath(stack.recipe_file)}; then {stack.begin}",
        ) from error


def _directions(recipe: Recipe, url: str, stack: Stack) -> Directions:
    words = names(stack, url)
    return Directions(
        name=recipe.name,
        failure_mode=recipe.failure_mode,
        happens=recipe.happens,
        see=tuple((sight.command.format(**words), sight.answer) for sight in recipe.sights),
        heal_by_hand=tuple(command.format(**words) for command in recipe.by_hand),
        heal=f"matomo-harness recipe heal {recipe.name}",
        is_under_way=under_way(stack) == recipe.name,
    )
