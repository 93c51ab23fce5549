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
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from docker.models.containers import Container
from filelock import FileLock

from matomo_harness.errors import UnsupportedEnvironmentError, WrongInputError
from matomo_harness.matomo import ini, twofactor
from matomo_harness.matomo.api import create_token
from matomo_harness.matomo.container import WEB_ROOT
from matomo_harness.matomo.install import FirstSite, Superuser
from matomo_harness.matomo.twofactor import Account
from matomo_harness.progress import step
from matomo_harness.runtime import images
from matomo_harness.runtime.containers import (
    DATA_DIRECTORY,
    DATABASE_ALIAS,
    DATABASE_USER,
    SCHEMA,
    SMALL_DATABASE,
    MariaDBContainer,
    Passwords,
    WebContainer,
    network,
)
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.inspection import inspected
from matomo_harness.runtime.installation import ensure_installed
from matomo_harness.runtime.instance import Instance
from matomo_harness.runtime.servers import WARM_FILES, Installation, Servers
from matomo_harness.runtime.shell import MatomoShell
from matomo_harness.settings import COMPOSE_FILE

FILES: Final = Path(__file__).parent / "golden_image"
GOLDEN_LABEL: Final = "org.matomo-harness.golden"
"""Label with the key, on both images of a pair."""
MADE_FROM_LABEL: Final = "org.matomo-harness.made-from"
"""Label with the ids of the image under test and the database's, for `matomo-harness images`."""
FACTS: Final = "/golden/facts.json"
COMPILED: Final = "/golden/opcache"
"""Compiled scripts of the command line (cli.ini)."""
CACHE_AT_ONCE: Final = ("-c", "php_admin_value opcache.file_update_protection 0")
"""Caches scripts at once: while the golden state is made, every file is seconds old, and none
changes twice."""
WARM: Final = ("assets", "cache", "templates_c")
PHP_SETTINGS: Final = {"PHP_INI_SCAN_DIR": ":/golden:/golden/cli"}
"""Reads the image's own settings, then golden_image/php.ini, then cli.ini for the command line
(PHP's manual, "scan directories"); start-matomo takes cli.ini away from the web server."""


@dataclass(frozen=True)
class Golden:
    """A pair of images that start installed.

    Args:
        web: the image under test, with the installed state.
        database: MariaDB, with the installed schema.
        installed: account, token, settings and passwords.
        salt: the salt of the installation, without which no token is valid.
    """

    web: Image
    database: Image
    installed: Installation
    salt: str = field(repr=False)

    @property
    def reads_environment(self) -> bool:
        """Whether the database connection is set by the environment, and not by the file."""
        return ini.read(self.installed.settings).text("database", "host") is None

    @property
    def environment(self) -> dict[str, str]:
        """The variables that every container of `web` needs, besides those of the database."""
        return {"MATOMO_GENERAL_SALT": self.salt, **PHP_SETTINGS}


@functools.cache
def golden(image: Image, database_image: Image) -> Golden:
    """Return the golden pair of these two images; build it if it is missing.

    Of several processes that need it at once, one builds it and the others wait.

    Raises:
        WrongInputError: there is no Matomo in `image`, or it cannot be installed.
        UnsupportedEnvironmentError: there is no disk space, or no engine.
    """
    key = key_of(image.id, database_image.id)
    if not _is_built(key):
        with golden_lock(key):
            if not _is_built(key):
                _require_matomo(image)
                with step(f"Installing {image.reference} once, for all tests to start from"):
                    _build(image, database_image, key)
    return _load(key)


def key_of(image_id: str, database_id: str) -> str:
    """Return the tag of the golden pair that this harness's code makes of these two images."""
    return images.content_hash(_code_hash(), image_id, database_id)


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
def _code_hash() -> str:
    """Return a hash of the code that decides what is in the golden images."""
    package = Path(__file__).parents[1]
    runtime = ("golden.py", "installation.py", "containers.py", "servers.py", "description.py")
    files = [
        *sorted((package / "matomo").glob("*.py")),
        *(package / "runtime" / name for name in runtime),
    ]
    files.append(COMPOSE_FILE)
    return images.content_hash(images.tree(FILES), *(file.read_text() for file in files))


def _is_built(key: str) -> bool:
    return all(images.local(tag, "local") for tag in (web_tag(key), database_tag(key)))


def _require_matomo(image: Image) -> None:
    try:
        images.code_version(image.reference)
    except UnsupportedEnvironmentError as error:
        raise WrongInputError(
            expected=f"{image.reference} to have Matomo's code in /usr/src/matomo",
            seen=error.seen,
            next_command="give an image that is built on the official matomo image",
        ) from error


# -- building -------------------------------------------------------------------------------------


def _build(image: Image, database_image: Image, key: str) -> None:
    labels = {GOLDEN_LABEL: key, MADE_FROM_LABEL: f"{image.id} {database_image.id}"}
    with tempfile.TemporaryDirectory() as directory:
        context = Path(directory)
        shutil.copytree(FILES, context, dirs_exist_ok=True)
        stage = f"{images.REPOSITORY}/golden-stage:{key}"
        settings = inspected(engine().images.get(image.id), "Config") or {}
        entrypoint = ["/golden/start-matomo", *(settings.get("Entrypoint") or [])]
        (context / "web-command").write_text(" ".join(settings.get("Cmd") or []))
        _dockerfile(
            context,
            f"FROM {image.reference}",
            "COPY start-matomo php.ini added.ini web-command /golden/",
            "COPY cli.ini /golden/cli/",
            f"RUN mkdir {COMPILED} && chown www-data:www-data {COMPILED}",
            f"ENTRYPOINT {json.dumps(entrypoint)}",
            f"CMD {json.dumps(settings.get('Cmd') or [])}",
        )
        images.build(context, stage, {}, labels)
        facts = _install(stage, database_image, context)
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


def _dockerfile(context: Path, *lines: str) -> None:
    (context / "Dockerfile").write_text("\n".join(lines) + "\n")


def _install(stage: str, database_image: Image, context: Path) -> dict[str, Any]:
    """Install with `stage`, put the files to bake into `context`, and return facts about them."""
    plugins = images.run_once(stage, ["ls", "/usr/src/matomo/plugins"]).split()
    # Where no plugin reads the environment, the password is in config.ini.php, which cannot hold
    # every character.
    plain = Passwords(secrets.token_urlsafe(18), secrets.token_urlsafe(18))
    passwords = Passwords.new() if "EnvironmentVariables" in plugins else plain
    salt = secrets.token_hex(16)
    superuser = Superuser("admin", secrets.token_urlsafe(12))
    with network() as own_network:
        mariadb = MariaDBContainer(
            database_image.reference, own_network, passwords=passwords, arguments=SMALL_DATABASE
        )
        mariadb.tmpfs.clear()  # data in memory would be lost with the container before the copy
        environment = {**mariadb.server_environment(), "MATOMO_GENERAL_SALT": salt, **PHP_SETTINGS}
        matomo = WebContainer(stage, own_network, environment, arguments=CACHE_AT_ONCE)
        with mariadb, matomo:
            shell, web, database = matomo.shell, matomo.web, mariadb.database
            shell.write(shell.config, _first_settings(shell, passwords, salt))
            ensure_installed(shell, web, database, superuser, FirstSite())
            account = twofactor.first_login(web, superuser.login, superuser.password)
            token = create_token(web, account).token
            settings = _settings(shell)
            shell.write(shell.config, settings)
            root = dataclasses.replace(database, user="root", password=passwords.root)
            # The name in a grant is a pattern, where a bare _ would match any letter.
            root.query(f"GRANT ALL ON `{SCHEMA}\\_%`.* TO {DATABASE_USER}@'%'")
            servers = Servers(
                matomo.get_wrapped_container(),
                matomo.published_port,
                mariadb.get_wrapped_container(),
                root,
                Installation(account, token, settings, passwords),
            )
            _warm_up(servers, matomo)
            shell.run("tar", "cf", "/golden/html.tar", "-C", WEB_ROOT, ".", user="root")
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
    }


def _first_settings(shell: MatomoShell, passwords: Passwords, salt: str) -> str:
    """Return the config.ini.php to install with.

    An image without such a file, or with one that ignores the environment, gets all settings by
    the file. The schema's name is always in the file: a variable would apply to every instance.
    """
    text = shell.run("sh", "-c", f"cat {shell.config} 2>/dev/null || true") or ini.HEADER
    text = ini.with_key(text, "database", "dbname", SCHEMA)
    if ini.read(text).text("General", "password_hash_algorithm") is None:
        for entry in ini.read((FILES / "added.ini").read_text()).entries:
            text = ini.with_key(text, entry.section, entry.name, entry.text)
    if _reads_environment(text):
        return text
    connection = {
        "host": DATABASE_ALIAS,
        "username": DATABASE_USER,
        "password": passwords.matomo,
        "tables_prefix": "matomo_",
        "schema": "Mariadb",
    }
    for key, value in connection.items():
        text = ini.with_key(text, "database", key, value)
    return ini.with_key(text, "General", "salt", salt)


def _settings(shell: MatomoShell) -> str:
    """Return the installed config.ini.php without the settings of this one installation."""
    text = ini.without_key(shell.read(shell.config), "General", "trusted_hosts[]")
    return ini.without_key(text, "database", "dbname") if _reads_environment(text) else text


def _reads_environment(text: str) -> bool:
    return "EnvironmentVariables" in ini.read(text).texts("Plugins", "Plugins")


def _warm_up(servers: Servers, matomo: WebContainer) -> None:
    """Render the first pages, for instances and for a pair, which has a tmp/ of its own."""
    shell = matomo.shell
    own = shell.read(shell.config)
    # The web server's user could not write to what the health check has compiled as root.
    shell.run("sh", "-c", f"mkdir {WARM_FILES} && rm -rf {COMPILED}/*", user="root")
    # Both use the schema of an instance, so that the installed one stays unchanged.
    instance = servers.fresh()
    _visit_pages(instance, steps=2)
    shell.write(shell.config, ini.with_key(own, "database", "dbname", instance.database.name))
    _visit_pages(dataclasses.replace(instance, url=matomo.web.url, shell=shell), steps=-1)
    shell.write(shell.config, own)
    tmp = instance.shell.tmp
    # Root owns them: an instance has links to these files, and may replace a link but not a file.
    copy = f"cp -rp {' '.join(f'{tmp}/{directory}' for directory in WARM)} {WARM_FILES}/"
    tidy = f"rm -rf tmp/sessions/sess_* {COMPILED}/*{WEB_ROOT}/{tmp}"
    own = f"chown -R root:root {WARM_FILES} && chmod -R a+rX {WARM_FILES}"
    shell.run("sh", "-c", f"{copy} && {own} && {tidy}", user="root")
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
    instance.shell.console("core:archive")


def _copy_out(container: Container, path: str, context: Path) -> None:
    """Write `path` of `container` to a tar in `context`, named after the last part of the path."""
    chunks, _ = container.get_archive(path)
    with (context / f"{Path(path).name}.tar").open("wb") as file:
        file.writelines(chunks)


# -- loading --------------------------------------------------------------------------------------


def _load(key: str) -> Golden:
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
        ),
        salt=facts["salt"],
    )
