"""Parsing changed documents gives a valid value or one documented error, in bounded steps."""

from __future__ import annotations

import base64
import os
import random
import subprocess
import sys

import pytest

from tests.chaos.fuzzing import TARGETS, changed

DOCUMENTS = 100
"""Documents for each target in the regular tests, always the same."""

MINUTES = float(os.environ.get("FUZZ_MINUTES", "10"))
"""Seconds for all targets in the nightly test."""

FOUND: dict[str, tuple[str, ...]] = {
    "xml-rpc list": ("PG1ldGhvZFJlc3BvbnNlPjxwYXJhbXM+PC9wYXJhbXM+PC9tZXRob2RSZXNwb25zZT4=",),
}
"""Documents that once failed, in base64, by target."""


@pytest.mark.parametrize("name", TARGETS)
def test_a_randomly_changed_document_is_parsed_or_refused(name: str) -> None:
    target, dice = TARGETS[name], random.Random(name)
    corpus = [*target.corpus(), *map(base64.b64decode, FOUND.get(name, ()))]

    for text in [*corpus, *(changed(dice, corpus) for _ in range(DOCUMENTS))]:
        try:
            target.try_out(text)
        except BaseException as error:
            error.add_note(f"the document in base64: {base64.b64encode(text).decode()}")
            raise


@pytest.mark.nightly
@pytest.mark.parametrize("name", TARGETS)
def test_documents_are_parsed_or_refused_for_minutes(name: str) -> None:
    seconds = MINUTES * 60 / len(TARGETS)
    command = [sys.executable, "-m", "tests.chaos.fuzz", name, str(seconds)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr[-10_000:]
