"""Mail: Matomo's mail arrives, and its links lead back to this Matomo."""

import secrets
from collections.abc import Mapping
from typing import Final

from pydantic import Field

from matomo_harness.gate.core.check import Finding, Group, Severity, holds, nothing
from matomo_harness.gate.core.promise import ALWAYS, Promise
from matomo_harness.gate.core.target import Http, Services
from matomo_harness.gate.probes.accounts import TestAccounts
from matomo_harness.gate.probes.php import Php
from matomo_harness.matomo import twofactor
from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.matomo.web import Page, Parameters
from matomo_harness.policy import Section


class Mail(Section, table="mail"):
    """What Matomo sends."""

    arrives: bool | None = Field(
        default=None,
        description="Matomo's mails come to the relay, those for a lost password too.",
    )


PROMISE: Final = Promise(
    "mail", "Matomo's mail arrives at the relay, and its links lead back to this Matomo.", Mail
)

KNOWN_VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "transport": ("smtp",),
    "type": ("plain", "login", "cram-md5"),
    "encryption": ("tls", "ssl", "none"),
}
"""Values that Matomo offers for [mail] (generalSettings in plugins/CoreAdminHome/Controller.php).
With any other encryption PHPMailer uses TLS where the relay offers it and clear text where not; with
any other type it chooses one itself."""
ELSEWHERE: Final = "elsewhere.example"


@PROMISE.check(
    "settings_are_known_words",
    formerly="configuration.mail_settings_are_words_of_matomo_s",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Set MATOMO_MAIL_TRANSPORT to smtp, MATOMO_MAIL_TYPE to plain, login or cram-md5, and"
    " MATOMO_MAIL_ENCRYPTION to tls, ssl or none.",
    failure_mode="E1",
)
def settings_are_known_words(php: Php) -> Finding:
    """Transport, type and encryption of mail are values that Matomo offers: it silently ignores others."""
    mail = php.settings["mail"]
    values = {key: str(mail.get(key, "")) for key in KNOWN_VALUES}
    unknown = [
        f"{key} = {value}: not one of {', '.join(KNOWN_VALUES[key])}"
        for key, value in values.items()
        if value and value.lower() not in KNOWN_VALUES[key]
    ]
    return nothing("unknown value", unknown)


@PROMISE.check(
    "arrives",
    formerly="configuration.mail_comes",
    proves="arrives",
    severity=Severity.MEDIUM,
    remedy="Set the MATOMO_MAIL_ variables to what the relay requires, and try them with console"
    " core:test-email.",
    failure_mode="E1",
    costly=True,
)
def arrives(container: MatomoContainer, services: Services) -> Finding:
    """A mail that Matomo sends with the environment's settings arrives at the relay."""
    address = f"{secrets.token_hex(4)}@people.example"
    container.console("core:test-email", address)
    mail = services.mail.wait_for(address, "", seconds=15)
    return holds(True, "a mail", f"'{mail.subject}' from {mail.sender}")


@PROMISE.check(
    "password_reset_arrives",
    formerly="accounts.password_reset_comes_by_mail",
    proves="arrives",
    severity=Severity.HIGH,
    remedy="Have the load balancer send X-Forwarded-Proto, and remove every header that a browser can"
    " send from proxy_host_headers[] in [General].",
    failure_mode="X4",
    costly=True,
    group=Group.ACCOUNTS,
)
def password_reset_arrives(http: Http, services: Services, accounts: TestAccounts) -> Finding:
    """A lost password is reset by a mail whose link leads back to this Matomo, and the new one works."""
    person, web = accounts.new("view"), http.web
    web.session.headers["Host"] = "localhost"
    web.session.headers["X-Forwarded-Host"] = ELSEWHERE
    page = Page(web.get({"module": "Login"}))
    new = person.password[::-1]
    form: Parameters = {
        **{"form_login": person.login, "form_password": new, "form_password_bis": new},
        **{"form_nonce": page.form_value("form_nonce")},
        **{"module": "Login", "action": "resetPassword"},
    }
    web.post({"module": "Login", "action": "resetPassword"}, form)
    mail = services.mail.wait_for(person.email, "", seconds=15)
    links = [link for link in mail.links if "confirmResetPassword" in link]
    if not links:
        return holds(False, "a link to a new password", mail.subject)
    del web.session.headers["X-Forwarded-Host"]
    opened = web.ask(links[0].split("/", 3)[3])
    confirm = Page(opened)
    confirmation: Parameters = {
        "nonce": confirm.form_value("nonce"),
        "mtmpasswordconfirm": new,
    }
    query = dict(part.split("=", 1) for part in links[0].partition("?")[2].split("&"))
    web.post(query, confirmation)
    try:
        twofactor.log_in(http.web, person.login, new)
    except Exception as error:  # noqa: BLE001  whatever the error, the password does not work
        return holds(False, "a login with the new password", error)
    where = links[0].split("?")[0]
    return holds(where.startswith("https://localhost/"), "a link by https to this Matomo", where)
