"""Do one operation: each module is a verb of the command line."""
