"""Transport: what passes between browsers, Matomo and its database is encrypted, and stays so."""
