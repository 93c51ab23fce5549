"""Archiving: reports are made by schedule only, and are exact to the last visit."""
