"""Exposure: what the web server tells and shows to whoever asks."""
