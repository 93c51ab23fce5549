"""Database: it is whole, is this code's, and does nothing of its own."""
