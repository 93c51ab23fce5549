"""What checks look through: test traffic, accounts, the leak scan, a browser, PHP."""
