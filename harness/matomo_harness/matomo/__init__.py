"""Talk to one Matomo. Knows nothing of Docker."""
