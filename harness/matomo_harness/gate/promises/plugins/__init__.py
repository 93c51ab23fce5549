"""Plugins: exactly those that are promised are active, whole, and fit for this Matomo."""
