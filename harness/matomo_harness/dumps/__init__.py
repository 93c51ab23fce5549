"""Reads dumps of a database as a stream; knows no Docker and no server."""
