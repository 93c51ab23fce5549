"""Small functions of which mutants and controls are made: each returns a change."""

import shlex
from collections.abc import Callable

from matomo_harness.gate.mutants import Change, Deployment
from matomo_harness.matomo import ini
from matomo_harness.matomo.container import SEED
from matomo_harness.runtime.engine import execute
from matomo_harness.runtime.shell import OWN_CONFIG

OPTION = "REPLACE INTO {prefix}option (option_name, option_value, autoload) VALUES (%s, %s, 1)"
VISIT = (
    "INSERT INTO {prefix}log_visit (idsite, idvisitor, visit_first_action_time,"
    " visit_last_action_time, visit_total_time, config_id, location_ip, user_id)"
    " VALUES (1, UNHEX('00112233445566aa'), NOW() - INTERVAL 90 DAY, NOW() - INTERVAL 90 DAY,"
    " 10, UNHEX('aa66554433221100'), INET6_ATON(%s), %s)"
)

Edit = Callable[[str], str]


def every(*changes: Change) -> Change:
    """Do all of `changes`, in their order."""

    def change(deployment: Deployment) -> None:
        for part in changes:
            part(deployment)

    return change


# -- config.ini.php -------------------------------------------------------------------------------


def file(edit: Edit) -> Change:
    """Edit the config.ini.php that runs, and not the image's: drift, as on a volume."""

    def change(deployment: Deployment) -> None:
        shell = deployment.instance.shell
        shell.write(shell.config, edit(shell.read(shell.config)))

    return change


def image_file(edit: Edit) -> Change:
    """Edit the image's own config.ini.php and the one that runs: as after a pull request."""

    def change(deployment: Deployment) -> None:
        shell = deployment.instance.shell
        for path in (SEED, OWN_CONFIG):
            shell.write(path, edit(shell.read(path)), user="root")

    return change


def with_key(section: str, name: str, value: str | int) -> Edit:
    """Set a key; `name[]` adds to a list."""
    return lambda text: ini.with_key(text, section, name, value)


def without_key(section: str, name: str) -> Edit:
    """Take a key out; `name[]` takes out the whole list."""
    return lambda text: ini.without_key(text, section, name)


def without_line(line: str) -> Edit:
    """Take out one line, which must be there."""

    def edit(text: str) -> str:
        if f"{line}\n" not in text:
            raise LookupError(f"no line {line} in config.ini.php")
        return text.replace(f"{line}\n", "", 1)

    return edit


def renamed(old: str, new: str) -> Edit:
    """Misspell a word of the file, which must be there."""

    def edit(text: str) -> str:
        if old not in text:
            raise LookupError(f"no {old} in config.ini.php")
        return text.replace(old, new)

    return edit


def key(section: str, name: str, value: str | int) -> Change:
    """Set a key of the file that runs."""
    return file(with_key(section, name, value))


def no_key(section: str, name: str) -> Change:
    """Take a key out of the file that runs."""
    return file(without_key(section, name))


def no_plugin(name: str) -> Change:
    """Take a plugin out of the list."""
    return file(without_line(f'Plugins[] = "{name}"'))


def plugin(name: str) -> Change:
    """Add a plugin to the list."""
    return key("Plugins", "Plugins[]", name)


# -- database -------------------------------------------------------------------------------------


def sql(*statements: str) -> Change:
    """Change the database behind Matomo's back."""

    def change(deployment: Deployment) -> None:
        for statement in statements:
            deployment.instance.database.query(statement)
        _forget(deployment)

    return change


def plugin_setting(plugin: str, name: str, value: str) -> Change:
    """Set a plugin's setting for everybody, in the database."""
    columns = "plugin_name, setting_name, setting_value, user_login"
    values = f"'{plugin}', '{name}', '{value}', ''"
    return sql(f"INSERT INTO {{prefix}}plugin_setting ({columns}) VALUES ({values})")  # noqa: S608


def visit_of_before(address: str, user_id: str | None = None) -> Change:
    """Add a visit to the database, such as an older dump brings."""
    return lambda deployment: deployment.instance.database.query(VISIT, address, user_id)


def option(name: str, value: str | int) -> Change:
    """Set a row of the table option."""

    def change(deployment: Deployment) -> None:
        deployment.instance.database.query(OPTION, name, str(value))
        _forget(deployment)

    return change


def _forget(deployment: Deployment) -> None:
    """Remove the files of tmp/cache in which Matomo keeps options and settings."""
    cache = f"{deployment.instance.shell.tmp}/cache/tracker"
    deployment.instance.shell.run("sh", "-c", f"rm -rf {cache}", user="root")


def api(method: str, **parameters: str | int) -> Change:
    """Have the superuser do what a click in the GUI does."""
    return lambda deployment: deployment.instance.api.call(method, **parameters)


def user(login: str, password: str = "a-long-one-1") -> Change:  # noqa: S107  of nobody's
    """Have the superuser add somebody who may view site 1."""
    return lambda deployment: deployment.instance.api.call(
        "UsersManager.addUser",
        userLogin=login,
        password=password,
        email=f"{login}@people.example",
        initialIdSite=1,
        passwordConfirmation=deployment.instance.account.password,
    )


# -- containers -----------------------------------------------------------------------------------


def in_web(script: str) -> Change:
    """Run a script as root in the web container, in the web root."""
    return lambda deployment: deployment.instance.shell.run("sh", "-ec", script, user="root")


def program(name: str, edit: str) -> Change:
    """Edit one of the image's own programs by sed, which must change it."""
    path = f"/usr/local/bin/{name}"
    return in_web(f"cp {path} /tmp/was; sed -i '{edit}' {path}; ! cmp -s {path} /tmp/was")


def code(path: str, old: str, new: str) -> Change:
    """Change a piece of Matomo's or a plugin's code, which must be there."""

    def change(deployment: Deployment) -> None:
        text = deployment.instance.shell.read(path)
        if old not in text:
            raise LookupError(f"no {old!r} in {path}")
        deployment.instance.shell.write(path, text.replace(old, new), user="root")

    return change


def web_server(script: str) -> Change:
    """Run a script as root that changes the web server's configuration, and have that reloaded.

    USR1 is what `apachectl graceful` sends; not every image has that program (Apache's manual,
    "Stopping and Restarting"). The old workers may go on: on a busy machine they answered two of
    forty requests. (A worker that has ended has no command line.)
    """
    return in_web(
        f"""{script}
        . "${{APACHE_ENVVARS:-/etc/apache2/envvars}}"
        server=$(cat "${{APACHE_PID_FILE:-/var/run/apache2/apache2.pid}}")
        before=$(cat /proc/$server/task/$server/children)
        apache2 -t 2>&1  # a server that is sent the signal ends on a mistake
        kill -USR1 "$server"
        for worker in $before; do
            while grep -qs . /proc/$worker/cmdline; do sleep 0.02; done
        done"""
    )


def apache(*lines: str) -> Change:
    """Add lines to the web server's configuration, after all others, and have it reloaded."""
    quoted = " ".join(shlex.quote(line) for line in lines)
    return web_server(f"printf '%s\\n' {quoted} >> /etc/apache2/conf-enabled/zzz.conf")


def load_balancer(script: str) -> Change:
    """Run a script in the load balancer's container, and restart it with what that changed."""

    def change(deployment: Deployment) -> None:
        stack = deployment.full_stack
        container = stack.load_balancer.get_wrapped_container()
        execute(container, ["sh", "-ec", script], user="root")
        container.restart(timeout=1)
        stack.wait_for_a_target()

    return change


def at_the_load_balancer(rule: str) -> Change:
    """Have the load balancer do one more thing with what browsers send (a line of its frontend)."""
    path, added = "/etc/haproxy/haproxy.cfg", shlex.quote(f"    {rule}")
    return load_balancer(
        f"printf '%s\\n' {added} > /tmp/rule; sed -i '/ssl-min-ver/r /tmp/rule' {path};"
        f" grep -qxF -e {added} {path}"
    )
