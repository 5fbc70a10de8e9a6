"""Fuzzes a parser for a given time.

Run as ``python -m tests.chaos.fuzz <target> <seconds>``; the targets are those of ``fuzzing``. With
atheris installed coverage guides the changes, otherwise they are random.
"""

from __future__ import annotations

import base64
import random
import sys
import time
from contextlib import nullcontext
from typing import Any

try:
    import atheris
except ImportError:
    atheris = None

# Coverage is instrumented at import.
with atheris.instrument_imports(include=["bandersnatch"]) if atheris else nullcontext():
    from tests.chaos.fuzzing import TARGETS, Target, changed


def play(target: Target, seconds: float) -> int:
    """Parse changed documents until the time is over; return their number."""
    dice, corpus, count = random.Random(), target.corpus(), 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        text = changed(dice, corpus)
        try:
            target.try_out(text)
        except BaseException as error:
            error.add_note(f"{target.name}: the document in base64: {base64.b64encode(text)!r}")
            raise
        count += 1
    return count


def play_led(guide: Any, target: Target, seconds: float) -> None:
    """Do the same with atheris, which ends the process itself."""
    corpus, dice = target.corpus(), random.Random()

    def mutate(text: bytes, longest: int, number: int) -> bytes:
        dice.seed(number)
        if dice.random() < 0.5:
            return bytes(guide.Mutate(text, longest))
        return changed(dice, [text, dice.choice(corpus)])[:longest]

    limits = [f"-max_total_time={int(seconds)}", "-timeout=20", "-rss_limit_mb=2048"]
    options = [*limits, "-max_len=65536", "-verbosity=0", "-print_final_stats=1"]
    guide.Setup([sys.argv[0], *options], target.try_out, custom_mutator=mutate)
    guide.Fuzz()


def main() -> None:
    """Fuzz the target of the command line."""
    target, seconds = TARGETS[sys.argv[1]], float(sys.argv[2])
    if atheris:
        play_led(atheris, target, seconds)
    else:
        print(f"{play(target, seconds)} documents")  # noqa: T201 - a script prints


if __name__ == "__main__":
    main()
