"""What every check is made of: capabilities, steps, findings, and the runner."""
