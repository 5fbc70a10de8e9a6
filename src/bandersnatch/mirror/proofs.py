"""The results of proofs, and what ``status`` remembers of the last one."""

from __future__ import annotations

import json
from enum import StrEnum

from msgspec import Struct


class ProofResult(StrEnum):
    """The results of a proof."""

    PASSED = "passed"
    FAILED = "failed"
    UNPROVED = "cannot be proved"


class RememberedProof(Struct, frozen=True):
    """The result of the last proof of the whole selection, and its time in seconds since 1970."""

    at: int
    passed: int
    failed: int
    unproved: int

    @property
    def result(self) -> ProofResult:
        """The result in one word: that of the worst answer."""
        if self.failed:
            return ProofResult.FAILED
        return ProofResult.UNPROVED if self.unproved else ProofResult.PASSED

    def as_text(self) -> str:
        """Return the text that the catalogue stores."""
        return json.dumps([self.at, self.passed, self.failed, self.unproved])

    @classmethod
    def parse(cls, text: str) -> RememberedProof | None:
        """Return what a stored text stands for; None for none, and for one that is damaged."""
        try:
            at, passed, failed, unproved = json.loads(text)
            return cls(int(at), int(passed), int(failed), int(unproved))
        except (ValueError, TypeError):
            return None
