"""Accounts: a new one sees and does nothing more, and nobody makes one for himself."""
