"""Operation: it starts with its configuration, people get in, and what is wrong is noticed."""
