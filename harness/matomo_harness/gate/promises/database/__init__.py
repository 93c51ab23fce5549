"""Database: it is whole, fits this code, and does nothing of its own."""
