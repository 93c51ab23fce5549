"""Each module does the work of one verb of the command line."""
