"""Drift: what runs against what the repository says, file and database."""
