"""Environment: what the task definition sets holds everywhere, and the policy names all of it."""
