"""Settings: nothing is set but what the policy says, in the file, the database and each site."""
