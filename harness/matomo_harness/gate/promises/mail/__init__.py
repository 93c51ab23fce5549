"""Mail: Matomo's mail arrives, and its links lead back to this Matomo."""
