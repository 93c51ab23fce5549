"""Mail: what Matomo sends arrives, and its links lead back here."""

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
    "mail", "What Matomo sends arrives at the relay, and its links lead back here.", Mail
)

MAIL_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "transport": ("smtp",),
    "type": ("plain", "login", "cram-md5"),
    "encryption": ("tls", "ssl", "none"),
}
"""Of [mail] (generalSettings in plugins/CoreAdminHome/Controller.php). With another encryption
PHPMailer takes TLS where the relay offers it and clear text where not; another type it chooses
itself."""
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
    """How mail is sent is one of the ways that Matomo offers: another word is passed over in silence."""
    mail = php.settings["mail"]
    said = {key: str(mail.get(key, "")) for key in MAIL_WORDS}
    unknown = [
        f"{key} = {word}: not one of {', '.join(MAIL_WORDS[key])}"
        for key, word in said.items()
        if word and word.lower() not in MAIL_WORDS[key]
    ]
    return nothing("unknown word", unknown)


@PROMISE.check(
    "arrives",
    formerly="configuration.mail_comes",
    proves="arrives",
    severity=Severity.MEDIUM,
    remedy="Set the MATOMO_MAIL_ variables to what the relay wants, and try them by the console's"
    " core:test-email.",
    failure_mode="E1",
    costly=True,
)
def arrives(container: MatomoContainer, services: Services) -> Finding:
    """A mail of Matomo's comes to the relay, by what the environment says."""
    address = f"{secrets.token_hex(4)}@people.example"
    container.console("core:test-email", address)
    mail = services.mail.wait_for(address, "", seconds=15)
    return holds(True, "a mail", f"'{mail.subject}' from {mail.sender}")


@PROMISE.check(
    "password_reset_arrives",
    formerly="accounts.password_reset_comes_by_mail",
    proves="arrives",
    severity=Severity.HIGH,
    remedy="Have the load balancer say X-Forwarded-Proto, and take every header that a browser can"
    " send out of proxy_host_headers[] of [General].",
    failure_mode="X4",
    costly=True,
    group=Group.ACCOUNTS,
)
def password_reset_arrives(http: Http, services: Services, accounts: TestAccounts) -> Finding:
    """Who lost his password gets a mail whose link leads back here, and the new one opens."""
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
    more: Parameters = {
        "nonce": confirm.form_value("nonce"),
        "mtmpasswordconfirm": new,
    }
    query = dict(part.split("=", 1) for part in links[0].partition("?")[2].split("&"))
    web.post(query, more)
    try:
        twofactor.log_in(http.web, person.login, new)
    except Exception as error:  # noqa: BLE001  whatever it is, the password does not open
        return holds(False, "the new password to open", error)
    where = links[0].split("?")[0]
    return holds(where.startswith("https://localhost/"), "a link by https, and here", where)
