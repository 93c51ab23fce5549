"""Archiving: by schedule only, and to the last visit."""
