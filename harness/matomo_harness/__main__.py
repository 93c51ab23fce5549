"""`python -m matomo_harness` is the command."""

from matomo_harness.cli import main

if __name__ == "__main__":
    main()
