"""Accounts: a new account may do only what it was granted, and nobody can sign up."""
