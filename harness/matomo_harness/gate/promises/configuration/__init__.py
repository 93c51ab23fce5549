"""Configuration: what the environment says holds everywhere, and no secret is written down."""
