"""Secrets: passwords and the salt are in the environment alone, and are written down nowhere."""
