"""One running, installed Matomo with all its capabilities, whatever it runs in."""

from dataclasses import dataclass, field
from pathlib import Path

from matomo_harness.matomo.api import Api
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.twofactor import Account
from matomo_harness.matomo.web import Exchanges, Web
from matomo_harness.runtime.shell import MatomoShell


@dataclass(frozen=True)
class Instance:
    """An installed Matomo with the capabilities that the harness itself has.

    Args:
        url: its address, without a slash at the end.
        shell: its console and its files.
        database: its schema, as Matomo's own user sees it.
        account: the superuser, with an enrolled second factor.
        token: a token_auth of the superuser.
        exchanges: remembers the last exchange of all conversations with it.
        authority: file of the authority that signed its certificate, where it is reached by TLS.
    """

    url: str
    shell: MatomoShell
    database: Database
    account: Account
    token: str = field(repr=False)
    exchanges: Exchanges = field(default_factory=Exchanges, repr=False)
    authority: Path | None = None

    @property
    def web(self) -> Web:
        """A new conversation with it, without cookies."""
        return self.conversation(self.exchanges)

    def conversation(self, exchanges: Exchanges) -> Web:
        """Return a new conversation with it that is noted in `exchanges` alone."""
        is_direct, profile = self.authority is None, self.shell.profile
        return Web(
            self.url,
            exchanges=exchanges,
            authority=self.authority,
            forwarded=is_direct and profile.redirects,
            self_signed=is_direct and profile.speaks_tls,
        )

    @property
    def api(self) -> Api:
        """The API with the superuser's token."""
        return Api(self.web, self.token)
