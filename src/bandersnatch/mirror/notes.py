"""Names of notes in the catalogue that one command writes and another reads."""

from __future__ import annotations

GOOD_RUN = "good run"
"""When the last run of ``mirror`` began that left nothing undone, in seconds since 1970."""

STATE = "state"
"""What ``status`` and ``todo`` were when the last run ended; see ``bandersnatch.mirror.seal``."""

VERIFIED = "verified"
"""When ``verify`` had last looked through the whole mirror, in seconds since 1970."""
