"""Backup: what an image cannot bring back is saved whole, and comes back."""
