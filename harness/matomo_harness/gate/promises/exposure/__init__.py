"""Exposure: the web server tells and shows nothing that is not meant for whoever asks."""
