"""Operation: Matomo starts with its configuration, people get in, and faults are noticed."""
