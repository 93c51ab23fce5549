"""Mail: what Matomo sends arrives, and its links lead back here."""
