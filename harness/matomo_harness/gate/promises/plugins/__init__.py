"""Plugins: exactly those that are promised, whole, and fit for this Matomo."""
