"""What the doctor finds: faults and advice, each with its remedy."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from bandersnatch.doctor.remedies import REMEDIES

if TYPE_CHECKING:
    from bandersnatch.doctor.remedies import Remedy


class Check(StrEnum):
    """What is checked."""

    TLS = "TLS"
    NEGOTIATION = "negotiation"
    TYPES = "types"
    CACHES = "mixed caches"
    PAGES = "pages"
    YANKS = "yank marks"
    SIZES = "sizes"
    UPLOAD_TIMES = "upload times"
    STATUS = "project status"
    CACHE_HEADERS = "cache headers"
    ETAGS = "ETags"
    COMPRESSION = "compression"
    REDIRECTS = "redirects"
    MISSING = "missing projects"
    FILES = "files"
    METADATA = "core metadata"
    RANGES = "ranges"
    CLOCK = "clock"


class Severity(StrEnum):
    """A fault breaks a client or a promise; advice is what would be better."""

    FAULT = "fault"
    ADVICE = "advice"


class Finding(Struct, frozen=True):
    """One finding: a sentence about what was seen, and what to do about it."""

    check: Check
    severity: Severity
    sentence: str
    remedy: Remedy

    def as_dict(self) -> dict[str, Any]:
        """Return the finding for JSON."""
        return {
            "check": self.check.value,
            "severity": self.severity.value,
            "sentence": self.sentence,
            "remedy": self.remedy.advice,
            "lines": dict(self.remedy.lines),
        }


class Diagnosis(Struct, frozen=True):
    """The result of an examination.

    ``url`` is that of the root page, ``server`` is what the server calls itself, "" if it does
    not say. ``done`` are the checks that could be made.
    """

    url: str
    project: str
    server: str
    requests: int
    done: tuple[Check, ...]
    findings: tuple[Finding, ...]

    @property
    def faults(self) -> int:
        """The number of faults."""
        return sum(each.severity is Severity.FAULT for each in self.findings)

    @property
    def advice(self) -> int:
        """The number of pieces of advice."""
        return len(self.findings) - self.faults

    def as_dict(self) -> dict[str, Any]:
        """Return the result for JSON."""
        return {
            "url": self.url,
            "project": self.project or None,
            "server": self.server or None,
            "requests": self.requests,
            "checks": [each.value for each in self.done],
            "faults": self.faults,
            "advice": self.advice,
            "findings": [each.as_dict() for each in self.findings],
        }


class Findings:
    """Collects findings, each sentence once."""

    def __init__(self) -> None:
        self._found: dict[str, Finding] = {}
        self._done: dict[Check, None] = {}

    def begin(self, *checks: Check) -> None:
        """Note that checks are made."""
        self._done.update(dict.fromkeys(checks))

    def fault(self, check: Check, remedy: str, sentence: str) -> None:
        """Add a fault; ``remedy`` is a key of ``REMEDIES``."""
        self._add(Finding(check, Severity.FAULT, sentence, REMEDIES[remedy]))

    def advise(self, check: Check, remedy: str, sentence: str) -> None:
        """Add advice; ``remedy`` is a key of ``REMEDIES``."""
        self._add(Finding(check, Severity.ADVICE, sentence, REMEDIES[remedy]))

    def _add(self, finding: Finding) -> None:
        self.begin(finding.check)
        self._found.setdefault(finding.sentence, finding)

    @property
    def done(self) -> tuple[Check, ...]:
        """The checks that were made, in their usual order."""
        return tuple(each for each in Check if each in self._done)

    def sorted(self) -> tuple[Finding, ...]:
        """Return the findings, the faults first."""
        order = list(Check)
        by_check = sorted(self._found.values(), key=lambda each: order.index(each.check))
        return tuple(sorted(by_check, key=lambda each: each.severity is Severity.ADVICE))
