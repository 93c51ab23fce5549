"""Environment: what the task definition sets takes effect everywhere; the policy names it all."""
