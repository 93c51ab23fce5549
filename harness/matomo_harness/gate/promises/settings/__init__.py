"""Settings: what is set is what the policy says, in the file, in the database and of each site."""
