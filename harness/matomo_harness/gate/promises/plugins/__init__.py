"""Plugins: exactly the promised ones are active, and they are complete and fit for this Matomo."""
