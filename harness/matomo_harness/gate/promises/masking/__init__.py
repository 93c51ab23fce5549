"""Masking: no more of a visitor's address is stored than the policy allows, however a hit came."""
