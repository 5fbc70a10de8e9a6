"""``python -m bandersnatch``."""

import atexit
import sys

from bandersnatch.cli.signals import Signals


def main() -> int:
    """Run the program as a process of its own, and return its exit code."""
    signals = Signals()
    signals.__enter__()
    # Python would restore the default handlers while it ends, and the exit code would be lost.
    atexit.register(signals.ignore)
    from bandersnatch.cli.main import main as run  # noqa: PLC0415 - signals are handled by now

    return run(signals=signals)


if __name__ == "__main__":
    sys.exit(main())
