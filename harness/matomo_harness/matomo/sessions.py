"""Count the database's sessions by the server's own figures: all of them, and those by TLS.

A session of Matomo lasts for one request, too short to be inspected while it is open; MariaDB
counts them (`userstat`, information_schema.USER_STATISTICS). `init_connect` cannot do it: there a
session does not know its cipher.
"""

from dataclasses import dataclass

from matomo_harness.matomo.database import Database


@dataclass(frozen=True)
class Sessions:
    """Sessions of one user.

    Args:
        all: how many there were, of any kind.
        by_tls: how many of these used TLS.
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
    """Return the sessions of `user` since the server began to count.

    Args:
        root: an administrator of the server, whose counting is switched on if it was off.
        user: a user of the database.
    """
    root.query("SET GLOBAL userstat = 1")
    rows = root.query(
        "SELECT TOTAL_CONNECTIONS AS connections, TOTAL_SSL_CONNECTIONS AS by_tls"
        " FROM information_schema.USER_STATISTICS WHERE USER = %s",
        user,
    )
    return Sessions(int(rows[0]["connections"]), int(rows[0]["by_tls"])) if rows else Sessions(0, 0)
