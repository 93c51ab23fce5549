"""Exposure: the web server reveals nothing that is not meant for the client that asks."""
