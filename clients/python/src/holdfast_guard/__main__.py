"""`python -m holdfast_guard` is the command `holdfast-guard`."""

import sys

from holdfast_guard.cli import main

if __name__ == "__main__":
    sys.exit(main())
