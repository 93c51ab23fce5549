"""What only a browser shows, and what a person would look at before a promotion."""
