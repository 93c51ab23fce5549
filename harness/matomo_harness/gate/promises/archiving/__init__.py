"""Archiving: reports are made by schedule only, and count to the last visit."""
