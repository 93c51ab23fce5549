"""The gate: checks that prove each promise of a policy by behaviour."""
