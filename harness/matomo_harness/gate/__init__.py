"""Is it as promised? Checks that prove each promise of image/policy.toml by what happens."""
