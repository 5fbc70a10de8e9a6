"""``python -m bandersnatch``."""

import sys

from bandersnatch.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
