"""``python -m bandersnatch.main``, as the containers of earlier releases start the program."""

import sys

from bandersnatch.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
