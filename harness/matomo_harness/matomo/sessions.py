"""The database's sessions in the server's own words: how many, and how many of them by TLS.

Matomo's sessions last for one request, too short to be looked at while they are open; MariaDB
counts them (`userstat`, information_schema.USER_STATISTICS). Not by `init_connect`: there a session
does not know its cipher.
"""

from dataclasses import dataclass

from matomo_harness.matomo.database import Database


@dataclass(frozen=True)
class Sessions:
    """Sessions of one user.

    Args:
        all: of any kind.
        by_tls: of these.
    """

    all: int
    by_tls: int

    @property
    def in_clear_text(self) -> int:
        """How many were not encrypted."""
        return self.all - self.by_tls

    def since(self, before: "Sessions") -> "Sessions":
        """Return those that came after `before`."""
        return Sessions(self.all - before.all, self.by_tls - before.by_tls)


def count(root: Database, user: str) -> Sessions:
    """Count the sessions of `user` since the server counts.

    Args:
        root: an administrator of the server; its counting is switched on where it was not.
        user: of the database.
    """
    root.query("SET GLOBAL userstat = 1")
    rows = root.query(
        "SELECT TOTAL_CONNECTIONS AS connections, TOTAL_SSL_CONNECTIONS AS by_tls"
        " FROM information_schema.USER_STATISTICS WHERE USER = %s",
        user,
    )
    return Sessions(int(rows[0]["connections"]), int(rows[0]["by_tls"])) if rows else Sessions(0, 0)
