"""What checks observe a Matomo with: test traffic, accounts, the leak scan, a browser, PHP."""
