"""The installed state, baked into a pair of images: containers of them start installed and warm.

The images' tag is a hash of all that made them: the image under test, the database's image, and
the code here that installs. When one of these changes, they are built anew; `matomo-harness images`
lists and prunes them.
"""

import dataclasses
import functools
import html
import json
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from docker.models.containers import Container
from filelock import FileLock

from matomo_harness.errors import (
    BrokenPromiseError,
    HarnessError,
    UnsupportedEnvironmentError,
    WrongInputError,
)
from matomo_harness.matomo import ini, twofactor
from matomo_harness.matomo.api import create_token
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.image import ImageProfile, profile_of
from matomo_harness.matomo.install import Superuser
from matomo_harness.matomo.twofactor import Account
from matomo_harness.policy import deployment
from matomo_harness.policy.deployment import DeploymentFile
from matomo_harness.progress import step
from matomo_harness.runtime import images, reaper
from matomo_harness.runtime.archiver import START_MATOMO
from matomo_harness.runtime.containers import (
    DATA_DIRECTORY,
    DATABASE_USER,
    SCHEMA,
    SMALL_DATABASE,
    MariaDBContainer,
    Passwords,
    WebContainer,
    network,
)
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.fpm import web_container
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.installation import ensure_installed
from matomo_harness.runtime.instance import Instance
from matomo_harness.runtime.profiles import look, web_user_in
from matomo_harness.runtime.servers import (
    HTTPS_ONLY,
    WARM_FILES,
    Installation,
    Servers,
    without_https,
)
from matomo_harness.runtime.shell import LONGEST_START, MatomoShell, ask_web
from matomo_harness.settings import COMPOSE_FILE

FILES: Final = Path(__file__).parent / "golden_image"
GOLDEN_LABEL: Final = "org.matomo-harness.golden"
"""Label with the key, on both images of a pair."""
MADE_FROM_LABEL: Final = "org.matomo-harness.made-from"
"""Label with the ids of the image under test and the database's, and the digest of what is declared
of the image, for `matomo-harness images`."""
FACTS: Final = "/golden/facts.json"
COMPILED: Final = "/golden/opcache"
"""Compiled scripts of the command line (cli.ini)."""
SET_ASIDE: Final = "/golden/set-aside"
"""What the image has below its web root (start-matomo copies it into memory)."""
PACK: Final = """
for name in config config/config.ini.php misc misc/user js tmp plugins; do
    [ -L $name ] || continue
    if [ -d $name/ ]; then
        cp -a $name/. .real && rm $name && mv .real $name
    elif [ -e $name ]; then
        cp -pL $name .real && rm $name && mv .real $name
    fi
done
IFS='
'
tar cf /golden/html.tar $(ls -A)
"""
"""Packs the web root without an entry for itself, whose owner and mode are the mount's.

A directory that is a link, as to a volume of the image's, is packed with its content, and so is
config.ini.php: what is behind the link ends with the container.
"""
SETTINGS_SEEN: Final = """
define("PIWIK_ENABLE_DISPATCH", false);
require "index.php";
$environment = new \\Piwik\\Application\\Environment("cli");
$environment->init();
\\Piwik\\Plugin\\Manager::getInstance()->loadActivatedPlugins();
$config = \\Piwik\\Config::getInstance();
$names = array_flip(["salt", "force_ssl", "assume_secure_protocol"]);
$general = array_intersect_key($config->General, $names);
echo "SEEN", json_encode(["database" => $config->database, "General" => $general]);
"""
"""Prints what Matomo takes for its database connection and for https, whatever that comes from."""
CONNECTION: Final = {("database", "host"), ("database", "username"), ("database", "password")}
"""Without these Matomo reaches no database."""
WRITTEN: Final = """
SHOW GLOBAL STATUS WHERE Variable_name IN
('Com_create_table', 'Com_insert', 'Com_replace', 'Com_update', 'Com_delete')
"""
STEADY_SECONDS: Final = 15.0
USED_CODES: Final = "twofa\\_codes\\_used%"
"""Options that say which codes were used (plugins/TwoFactorAuth/TwoFactorAuthentication.php)."""
WARM: Final = ("assets", "cache", "templates_c")
CACHES_OF_CODE: Final = ("*DeviceDetector*", "*-all.php", "*Translations-*")
"""Caches that depend on the code alone: DeviceDetector's expressions, and the translations, whose
name has a hash of what they are made of. Instances share them. Whatever else Matomo caches is of
one state (`general` has the masking). When that was shared, another instance's request in the same
second made opcache hand it out although it was replaced: opcache knows a link by its target's name,
and looks at a file once a second at most."""
WHILE_BUILT: Final = {"HARNESS_PHP": "while-built"}
"""Makes the web server read golden_image/build.ini as well (start-matomo)."""
PHP_SETTINGS: Final = {"PHP_INI_SCAN_DIR": ":/golden:/golden/cli"}
"""Reads the image's own settings, then golden_image/php.ini, then cli.ini for the command line
(PHP's manual, "scan directories"); start-matomo takes cli.ini away from the web server."""


@dataclass(frozen=True)
class Golden:
    """A pair of images that start installed.

    Args:
        web: the image under test, with the installed state.
        database: MariaDB, with the installed schema.
        installed: account, token, settings, passwords, and what the image is.
        salt: the salt of the installation, without which no token is valid.
        reads_environment: whether the database connection is set by the environment, and not by
            config.ini.php.
        reads_variables: whether any MATOMO_SECTION_KEY is taken from the environment, as by a
            plugin of the reference image.
        deployment: what is declared of the image.
    """

    web: Image
    database: Image
    installed: Installation
    salt: str = field(repr=False)
    reads_environment: bool
    reads_variables: bool
    deployment: DeploymentFile

    @property
    def environment(self) -> dict[str, str]:
        """The variables that every container of `web` needs, besides those of the database."""
        return {"MATOMO_GENERAL_SALT": self.salt, **PHP_SETTINGS}


@functools.cache
def golden(image: Image, database_image: Image, declared: Path | None = None) -> Golden:
    """Return the golden pair of these two images; build it if it is missing.

    Of several processes that need it at once, one builds it and the others wait.

    Args:
        image: any image that runs Matomo.
        database_image: a MariaDB.
        declared: the deployment.toml that says what cannot be seen of `image`; by default that of
            the reference image, if it is one, else none.

    Raises:
        WrongInputError: there is no Matomo in `image`, or it cannot be installed.
        UnsupportedEnvironmentError: there is no disk space, or no engine.
    """
    said = declaration(image, declared)
    key = key_of(image.id, database_image.id, said.digest)
    if not _is_built(key):
        with golden_lock(key):
            if not _is_built(key):
                with step(f"Looking at {image.reference}"):
                    profile = look(image, said)
                with step(f"Installing {image.reference} once, for all tests to start from"):
                    made_from = f"{image.id} {database_image.id} {said.digest}"
                    labels = {GOLDEN_LABEL: key, MADE_FROM_LABEL: made_from}
                    _build(image, database_image, key, profile, labels)
    return _load(key, said)


def declaration(image: Image, declared: Path | None = None) -> DeploymentFile:
    """Return what is declared of `image`: in `declared`, or by the reference image's own file."""
    if declared:
        return deployment.read(declared)
    return deployment.read() if images.is_reference(image) else DeploymentFile()


def key_of(image_id: str, database_id: str, declared: str) -> str:
    """Return the tag of the golden pair that this harness's code makes of these two images.

    Args:
        image_id: of the image under test.
        database_id: of the database's image.
        declared: digest of what is declared of the image.
    """
    return images.content_hash(code_hash(), image_id, database_id, declared)


def golden_lock(key: str) -> FileLock:
    """Return the lock that a process holds while it builds the golden pair of `key`."""
    return images.build_lock(f"golden-{key}")


def web_tag(key: str) -> str:
    """Return the name of the web image of a golden pair."""
    return f"{images.REPOSITORY}/golden-matomo:{key}"


def database_tag(key: str) -> str:
    """Return the name of the database image of a golden pair."""
    return f"{images.REPOSITORY}/golden-mariadb:{key}"


@functools.cache
def code_hash() -> str:
    """Return a hash of the code that decides what is in the golden images."""
    package = Path(__file__).parents[1]
    runtime = (
        *("golden.py", "installation.py", "profiles.py", "containers.py", "servers.py"),
        "description.py",
    )
    files = [
        *sorted((package / "matomo").glob("*.*")),
        *(package / "runtime" / name for name in runtime),
    ]
    files.append(COMPOSE_FILE)
    return images.content_hash(images.tree(FILES), *(file.read_text() for file in files))


def _is_built(key: str) -> bool:
    return all(images.local(tag, "local") for tag in (web_tag(key), database_tag(key)))


# -- building -------------------------------------------------------------------------------------


def _build(
    image: Image,
    database_image: Image,
    key: str,
    profile: ImageProfile,
    labels: Mapping[str, str],
) -> None:
    with reaper.directory("golden") as context:
        shutil.copytree(FILES, context, dirs_exist_ok=True)
        profile = _seen_from_within(profile)
        stage = f"{images.REPOSITORY}/golden-stage:{key}"
        entrypoint = [START_MATOMO, *profile.entrypoint]
        (context / "web-command").write_text(" ".join((*profile.entrypoint, *profile.command)))
        (context / "web-root").write_text(profile.web_root)
        images.let_everybody_read(context)  # start-matomo runs as the user of the image
        _dockerfile(
            context,
            f"FROM {image.reference}",
            "USER root",
            "COPY start-matomo php.ini added.ini web-command web-root /golden/",
            "COPY cli.ini /golden/cli/",
            "COPY build.ini /golden/build/",
            f"RUN mkdir {COMPILED} && chown {profile.web_user} {COMPILED}",
            *_set_aside(profile),
            f"USER {profile.user or 'root'}",
            f"ENTRYPOINT {json.dumps(entrypoint)}",
            f"CMD {json.dumps(list(profile.command))}",
        )
        images.build(context, stage, {}, labels)
        facts = _install(stage, database_image, context, profile)
        (context / "facts.json").write_text(json.dumps(facts))
        (context / "facts.json").chmod(0o600)

        # The database comes first: once the web image is there too, the pair is complete and found.
        _dockerfile(
            context,
            f"FROM {database_image.reference}",
            "COPY start-mariadb mysql.tar /golden/",
            'ENTRYPOINT ["/golden/start-mariadb"]',
        )
        images.build(context, database_tag(key), {}, labels)
        _dockerfile(
            context,
            f"FROM {stage}",
            # ADD unpacks all three; the last one contains the tar that start-matomo unpacks.
            "ADD tmp.tar opcache.tar html.tar.tar /golden/",
            "COPY facts.json /golden/",
        )
        images.build(context, web_tag(key), {}, labels)
        engine().images.remove(stage, noprune=True)  # this removes only the name


def _seen_from_within(profile: ImageProfile) -> ImageProfile:
    """Return `profile` with the paths by which a container of the golden image has its files."""
    if not profile.has_web_root_files:
        return profile
    code = SET_ASIDE if profile.code == profile.web_root else profile.code
    below = f"{profile.web_root}/"
    seed = profile.seed
    if seed.startswith(below):
        seed = f"{SET_ASIDE}/{seed.removeprefix(below)}"
    return dataclasses.replace(profile, code=code, seed=seed, overlay=SET_ASIDE)


def _set_aside(profile: ImageProfile) -> list[str]:
    """Return the instructions that keep what the image has below the web root.

    A mount hides it there, and start-matomo copies it into memory, as the user of the image.
    """
    if not profile.has_web_root_files:
        return []
    set_aside = f"RUN mkdir {SET_ASIDE} && cp -a {profile.web_root}/. {SET_ASIDE}/"
    if not profile.user or not profile.web_root_owner.startswith("0:"):
        return [set_aside]
    # The engine gives a mount the mode of what it hides, and another than root copies into it.
    return [set_aside, f"RUN chmod 1777 {profile.web_root}"]


def _dockerfile(context: Path, *lines: str) -> None:
    (context / "Dockerfile").write_text("\n".join(lines) + "\n")


def _install(
    stage: str, database_image: Image, context: Path, profile: ImageProfile
) -> dict[str, Any]:
    """Install with `stage`, put the files to bake into `context`, and return facts about them."""
    # Where nothing reads the environment, the password is in config.ini.php, which cannot hold
    # every character.
    plain = Passwords(secrets.token_urlsafe(18), secrets.token_urlsafe(18))
    has_reader = "EnvironmentVariables" in profile.plugins and not profile.declared
    passwords = Passwords.new() if has_reader else plain
    salt = secrets.token_hex(16)
    superuser = Superuser("admin", secrets.token_urlsafe(12))
    with network() as own_network:
        mariadb = MariaDBContainer(
            database_image.reference, own_network, passwords=passwords, arguments=SMALL_DATABASE
        )
        mariadb.tmpfs.clear()  # data in memory would be lost with the container before the copy
        environment = {
            **mariadb.server_environment(),
            "MATOMO_GENERAL_SALT": salt,
            **PHP_SETTINGS,
            **WHILE_BUILT,
        }
        matomo = web_container(stage, own_network, environment, profile=profile)
        with mariadb, _started(matomo):
            profile = with_its_user(matomo)
            shell, web, database = matomo.shell, matomo.web, mariadb.database
            if not profile.starts_alone:
                wait_until_steady(lambda: ask_web(matomo.web), database)
            _drop_tables(database)
            connection = _connection(mariadb, environment, salt)
            own = shell.run("sh", "-c", f"cat {shell.config} 2>/dev/null || true", user="root")
            closed = open_configuration(shell)
            written, elsewhere = _write_first_settings(shell, own, connection)
            # A start that writes the file has a salt of its own, or takes ours.
            salt = as_matomo_sees(shell).get(("General", "salt")) or salt
            reads_variables = _reads_variables(shell)
            ensure_installed(shell, web, database, superuser)
            account = twofactor.first_login(web, superuser.login, superuser.password)
            token = create_token(web, account).token
            settings = _settings(shell.read(shell.config), own, written)
            shell.write(shell.config, settings, user="root")
            root = dataclasses.replace(database, user="root", password=passwords.root)
            # The name in a grant is a pattern, where a bare _ would match any letter.
            root.query(f"GRANT ALL ON `{SCHEMA}\\_%`.* TO {DATABASE_USER}@'%'")
            servers = Servers(
                matomo.get_wrapped_container(),
                matomo.published_port,
                mariadb.get_wrapped_container(),
                root,
                Installation(account, token, settings, passwords, profile, elsewhere),
            )
            _warm_up(servers, matomo, elsewhere)
            if closed:
                close_configuration(shell, *closed)
            shell.run("sh", "-c", PACK, user="root")
            for path in (WARM_FILES, COMPILED, "/golden/html.tar"):
                _copy_out(matomo.get_wrapped_container(), path, context)
            mariadb.get_wrapped_container().stop(timeout=60)
            _copy_out(mariadb.get_wrapped_container(), DATA_DIRECTORY, context)
    return {
        "salt": salt,
        "settings": settings,
        "token": token,
        "account": dataclasses.asdict(account),
        "passwords": dataclasses.asdict(passwords),
        "profile": dataclasses.asdict(profile),
        "https_elsewhere": elsewhere,
        "reads_environment": not written,
        "reads_variables": reads_variables,
    }


def with_its_user(matomo: WebContainer) -> ImageProfile:
    """Return its profile with the user that Matomo's code runs as, and have it work as that user.

    Of an image that waits for its database nobody had seen a web server before.
    """
    user = web_user_in(matomo.get_wrapped_container()) or matomo.profile.web_user
    if user != matomo.profile.web_user:
        matomo.profile = dataclasses.replace(matomo.profile, web_user=user)
        matomo.shell.run("chown", user, COMPILED, user="root")
    return matomo.profile


def _connection(
    mariadb: MariaDBContainer, environment: Mapping[str, str], salt: str
) -> dict[tuple[str, str], str]:
    """Return the settings that lead Matomo to its database, by section and key."""
    return {
        ("database", "host"): mariadb.alias,
        ("database", "username"): DATABASE_USER,
        ("database", "password"): mariadb.passwords.matomo,
        ("database", "tables_prefix"): environment["MATOMO_DATABASE_TABLES_PREFIX"],
        ("database", "schema"): "Mariadb",
        # As the installer's own step writes it where the server can (Installation/Controller.php).
        ("database", "charset"): "utf8mb4",
        ("General", "salt"): salt,
    }


@contextmanager
def _started(matomo: WebContainer) -> Iterator[WebContainer]:
    """Start the web container for the first time with a database.

    Raises:
        WrongInputError: it answers, and does not serve Matomo where a browser asks for it.
        UnsupportedEnvironmentError: it does not answer; what it may wait for is said.
    """
    with ExitStack() as running:
        try:
            running.enter_context(matomo)
        except UnsupportedEnvironmentError as error:
            if replaces(error.seen, matomo.profile.web_root):
                raise _in_the_way(error, matomo.profile.web_root) from error
            if matomo.profile.starts_alone:
                raise
            raise UnsupportedEnvironmentError(
                expected=f"the image to answer HTTP on port {matomo.profile.http_port} once it has"
                " a database, as it does not without one",
                seen=error.seen,
                next_command="say in deployment.toml where it listens, port under [web], and under"
                " [web.variables] by which of its variables it finds its database",
            ) from error
        yield matomo


def replaces(said: str, directory: str) -> bool:
    """Whether a start ended as it wanted to replace a directory that is a mount here.

    Args:
        said: the last lines of its log.
        directory: without anything behind it: what is in it can be replaced.
    """
    return bool(re.search(rf"{re.escape(directory)}(?![\w/.-]).*resource busy", said, re.I))


def _in_the_way(error: UnsupportedEnvironmentError, web_root: str) -> WrongInputError:
    return WrongInputError(
        expected=f"the image's start to leave {web_root} where it is: here it is in memory",
        seen=error.seen,
        next_command="have it replace only what is in it, as by a variable under [web.variables] of"
        " deployment.toml; or judge it in a project, where nothing of ours is mounted: COMPOSE= and"
        " SERVICE=",
    )


def wait_until_steady(ask: Callable[[], object], database: Database) -> None:
    """Wait until Matomo answers and has written nothing to its database for STEADY_SECONDS.

    A start that waits for its database may use it: some go through the wizard with a web server
    that they stop again. Where it does not come to rest, the installation says what is wrong.

    Args:
        ask: asks its web server; raises as long as there is no answer.
        database: its database.
    """
    begun = since = time.monotonic()
    seen: list[dict[str, Any]] | None = None
    while time.monotonic() - begun < LONGEST_START:
        written = database.query(WRITTEN) if _answers(ask) else None
        if written is None or written != seen:
            seen, since = written, time.monotonic()
        elif time.monotonic() - since >= STEADY_SECONDS:
            return
        time.sleep(0.5)


def _answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except (HarnessError, OSError):
        return False
    return True


def _drop_tables(database: Database) -> None:
    """Drop what an image that installs itself has made: its account would be nobody's we know."""
    if tables := database.all_tables():
        names = ", ".join(f"`{table}`" for table in sorted(tables))
        database.query(f"DROP TABLE IF EXISTS {names}")


def open_configuration(shell: MatomoShell) -> tuple[str, str] | None:
    """Make config.ini.php writable for Matomo; return its owner and mode where it was not."""
    said = shell.run(
        "sh", "-c", f"stat -L -c '%u:%g %a' {shell.config} 2>/dev/null || true", user="root"
    )
    may_write = shell.run("sh", "-c", f"test -w {shell.config} && echo yes || true")
    if not said or may_write:
        return None
    user = shell.profile.web_user
    shell.run("sh", "-c", f"chown {user} {shell.config}; chmod u+rw {shell.config}", user="root")
    owner, mode = said.split()
    return owner, mode


def close_configuration(shell: MatomoShell, owner: str, mode: str) -> None:
    """Give config.ini.php back the owner and mode that open_configuration took from it."""
    change = f"chown {owner} $1; chmod {mode} $1"
    shell.run("sh", "-c", change, "sh", shell.config, user="root")


def _write_first_settings(
    shell: MatomoShell, own: str, connection: Mapping[tuple[str, str], str]
) -> tuple[bool, tuple[str, ...]]:
    """Write the config.ini.php to install with.

    Returns:
        Whether it holds the database connection, and those of HTTPS_ONLY that another file of the
        image switches on, and this one off.

    An image without such a file, or with one whose Matomo does not take the connection from the
    environment, gets it by the file. The schema's name is always in the file: a variable would
    apply to every instance.
    """
    text = ini.with_key(own or ini.HEADER, "database", "dbname", SCHEMA)
    # The installer would take the plugins for installed, and make none of their tables.
    text = ini.without_section(text, "PluginsInstalled")
    text = without_https(text)
    # None of these is the address at which it is installed.
    text = ini.without_key(text, "General", "trusted_hosts[]")
    if ini.read(text).text("General", "password_hash_algorithm") is None:
        for entry in ini.read((FILES / "added.ini").read_text()).entries:
            text = ini.with_key(text, entry.section, entry.name, entry.text)
    shell.write(shell.config, text, user="root")
    shell.run("chown", shell.profile.web_user, shell.config, user="root")
    seen = as_matomo_sees(shell)
    elsewhere = https_elsewhere(seen)
    text = without_https(text, elsewhere)
    missing = {key: value for key, value in connection.items() if seen.get(key) != value}
    if not missing.keys() & CONNECTION:
        if elsewhere:
            shell.write(shell.config, text, user="root")
        return False, elsewhere
    is_rendered = shell.profile.configuration == "rendered"
    for (section, name), value in connection.items():
        # Each start would write its own salt again, and no token would be valid any more.
        if is_rendered and name == "salt" and seen.get((section, name)):
            continue
        text = ini.with_key(text, section, name, value)
    shell.write(shell.config, text, user="root")
    return True, elsewhere


def https_elsewhere(seen: Mapping[tuple[str, str], str]) -> tuple[str, ...]:
    """Return those of HTTPS_ONLY that are on though config.ini.php does not say so.

    Args:
        seen: settings as Matomo reads them, with a config.ini.php that has them off.
    """
    return tuple(key for key in HTTPS_ONLY if seen.get(("General", key), "0") not in ("", "0"))


def _reads_variables(shell: MatomoShell) -> bool:
    """Whether a variable of which config.ini.php says nothing has an effect in Matomo."""
    probe = {"MATOMO_DATABASE_ENABLE_SSL": "1"}
    return as_matomo_sees(shell, probe).get(("database", "enable_ssl")) == "1"


def as_matomo_sees(
    shell: MatomoShell, environment: Mapping[str, str] = MappingProxyType({})
) -> dict[tuple[str, str], str]:
    """Return what Matomo's own code reads of its database connection, its salt and HTTPS_ONLY.

    Raises:
        WrongInputError: Matomo cannot be started in the image.
    """
    try:
        said = shell.run("php", "-r", SETTINGS_SEEN, environment=environment)
        found = json.loads(said.partition("SEEN")[2])
    except (BrokenPromiseError, ValueError) as error:
        raise WrongInputError(
            expected="Matomo's code to start in the image",
            seen=error.seen if isinstance(error, HarnessError) else said[:300],
            next_command="docker run --rm -it of the image, then php console core:version",
        ) from error
    return {
        (section, name): str(value)
        for section, values in found.items()
        for name, value in (values or {}).items()
    }


def _settings(installed: str, own: str, written: bool) -> str:
    """Return the installed config.ini.php without the settings of this one installation.

    What had to be otherwise while it was installed is as in the image again.
    """
    text = ini.without_key(installed, "General", "trusted_hosts[]")
    before = ini.read(own).settings
    for key in HTTPS_ONLY:
        value = before.get("General", {}).get(key)
        text = (
            ini.with_key(text, "General", key, value)
            if isinstance(value, ini.Entry)
            else ini.without_key(text, "General", key)
        )
    if written:
        return text
    name = before.get("database", {}).get("dbname")
    if isinstance(name, ini.Entry) and name.variables:
        return ini.with_key(text, "database", "dbname", name)
    # A name that is written out may be another than that of this schema.
    return text if name else ini.without_key(text, "database", "dbname")


def _warm_up(servers: Servers, matomo: WebContainer, elsewhere: tuple[str, ...]) -> None:
    """Render the first pages, for instances and for a pair, which has a tmp/ of its own."""
    shell = matomo.shell
    own = shell.run("cat", shell.config, user="root")
    # The web server's user could not write to what the health check has compiled as root.
    shell.run("sh", "-c", f"mkdir -p {WARM_FILES} && rm -rf {COMPILED}/*", user="root")
    # Both use the schema of an instance, so that the installed one stays unchanged.
    instance = servers.fresh()
    _visit_pages(instance, steps=2)
    text = ini.with_key(own, "database", "dbname", instance.database.name)
    shell.write(shell.config, without_https(text, elsewhere), user="root")
    # On a slow machine, the code of then and that of now may be the same, which is accepted once.
    instance.database.query("DELETE FROM {prefix}option WHERE option_name LIKE %s", USED_CODES)
    _visit_pages(dataclasses.replace(instance, url=matomo.web.url, shell=shell), steps=-1)
    shell.write(shell.config, own, user="root")
    tmp = instance.shell.tmp
    # Root owns them: an instance has links to these files, and may replace a link but not a file.
    copy = f"cp -rp {' '.join(f'{tmp}/{directory}' for directory in WARM)} {WARM_FILES}/"
    others = " ".join(f"! -name '{name}'" for name in CACHES_OF_CODE)
    state = f"find {WARM_FILES}/cache/tracker -type f {others} -delete"
    tidy = f"rm -rf tmp/sessions/sess_* {COMPILED}/*{shell.profile.web_root}/{tmp}"
    own = f"chown -R root:root {WARM_FILES} && chmod -R a+rX {WARM_FILES}"
    shell.run("sh", "-c", f"{copy} && {state} && {own} && {tidy}", user="root")
    servers.drop(instance)


def _visit_pages(instance: Instance, *, steps: int) -> None:
    web = instance.web
    twofactor.sign_in(web, instance.account, steps=steps)
    day = {"idSite": "1", "period": "day", "date": "yesterday"}
    page = web.get({"module": "CoreHome", "action": "index", **day}).text
    for address in set(re.findall(r'"(index\.php\?module=Proxy[^"]+)"', page)):
        web.get(path=html.unescape(address))
    web.get({"idsite": 1, "rec": 1}, path="matomo.php")
    instance.api.call("VisitsSummary.get", **day)
    # An image without `ps` archives by its public address, which nobody reaches from within: it is
    # the gate's to say so, and here this only costs warmth.
    with suppress(BrokenPromiseError):
        instance.shell.console("core:archive")


def _copy_out(container: Container, path: str, context: Path) -> None:
    """Write `path` of `container` to a tar in `context`, named after the last part of the path."""
    chunks, _ = container.get_archive(path)
    with (context / f"{Path(path).name}.tar").open("wb") as file:
        file.writelines(chunks)


# -- loading --------------------------------------------------------------------------------------


def _load(key: str, declared: DeploymentFile) -> Golden:
    web, database = (images.local(tag, "local") for tag in (web_tag(key), database_tag(key)))
    assert web is not None  # noqa: S101  it was built or found just now
    assert database is not None  # noqa: S101
    facts = json.loads(images.file_in(web.reference, FACTS))
    return Golden(
        web=web,
        database=database,
        installed=Installation(
            account=Account(**facts["account"]),
            token=facts["token"],
            settings=facts["settings"],
            passwords=Passwords(**facts["passwords"]),
            profile=profile_of(facts["profile"]),
            https_elsewhere=tuple(facts["https_elsewhere"]),
        ),
        salt=facts["salt"],
        reads_environment=facts["reads_environment"],
        reads_variables=facts["reads_variables"],
        deployment=declared,
    )
