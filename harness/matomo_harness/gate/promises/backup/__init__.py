"""Backup: all that an image cannot bring back is saved whole and can be restored."""
