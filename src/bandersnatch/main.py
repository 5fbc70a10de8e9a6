"""``python -m bandersnatch.main``: the entry point of the containers of earlier releases."""

import sys

from bandersnatch.__main__ import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
