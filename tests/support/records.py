"""Factories and strategies of catalogue records."""

from __future__ import annotations

import string
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import strategies as st
from msgspec import structs

from bandersnatch.catalogue.records import (
    ALWAYS,
    Cause,
    Deferral,
    Deferred,
    Exclusion,
    FileRecord,
    ProjectRecord,
    Standing,
    TrashEntry,
)
from bandersnatch.layout import StorageKey
from bandersnatch.model.content import Validators
from bandersnatch.model.digests import HEX_DIGITS, Digest, Hashes
from bandersnatch.model.files import ReleaseFile
from bandersnatch.model.names import project_name
from bandersnatch.model.project import ProjectDetail, ProjectStatus, Rejection, UnknownStatus
from bandersnatch.model.serials import Serial
from tests.support.factories import make_detail, make_file

if TYPE_CHECKING:
    from collections.abc import Callable

_Record = TypeVar("_Record")

# ---------------------------------------------------------------- by hand


def make_record(name: str = "foo", *filenames: str, serial: int = 7) -> ProjectRecord:
    """Return the record of a project with all its files stored."""
    files = tuple(make_file(f"{name}-{each}") for each in sorted(filenames))
    return ProjectRecord(
        detail=replace(make_detail(name=name), files=files, serial=Serial(serial)),
        display=name.title(),
        reflects=Serial(serial + 1),
        fingerprint="fingerprint",
        validators=Validators(etag='"1"'),
        files=tuple(FileRecord(file, 5_000 + number, 9) for number, file in enumerate(files)),
    )


def make_unfinished(
    name: str = "foo", deferral: Deferral = Deferral.PENDING, **numbers: int
) -> Deferred:
    """Return a deferred project."""
    told = {"need": 9, "lo": 8, "since": 100, "tried": 200, "attempts": 2} | numbers
    return Deferred(
        name=project_name(name),
        deferral=deferral,
        target_serial=Serial(told["need"]),
        first_serial=Serial(told["lo"]),
        since=told["since"],
        tried=told["tried"],
        attempts=told["attempts"],
        cause=Cause.PAGE_STALE,
        reason="it is old",
        display=name.title(),
    )


def make_removed(key: str, at: int = 100) -> TrashEntry:
    """Return an object in the trash."""
    return TrashEntry(StorageKey(f"removed/{key}"), len(key), "0f" * 32, at)


def as_kept(record: ProjectRecord) -> ProjectRecord:
    """Return the record as a catalogue returns it: without URLs."""
    detail = replace(
        record.detail,
        files=tuple(replace(file, url="") for file in record.detail.files),
    )
    files = tuple(structs.replace(each, file=replace(each.file, url="")) for each in record.files)
    return structs.replace(record, detail=detail, files=files)


# ---------------------------------------------------------------- drawn

names = st.lists(
    st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=3), min_size=1, max_size=3
).map(lambda parts: project_name("-".join(parts)))
serials = st.integers(0, 2**53 - 1).map(Serial)
seconds = st.integers(0, 2**40)
exclusions = st.builds(
    Exclusion, st.sampled_from(["latest_release", "mine"]), st.integers(1, 999), st.just("1.0rc1")
)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
"""Free text that passes validation: no control characters, no surrogates."""


@st.composite
def hashes(draw: st.DrawFn, *, sha256: bool) -> Hashes:
    """Draw digests of different algorithms in any order."""
    names = draw(st.lists(st.sampled_from(sorted(HEX_DIGITS)), max_size=3, unique=True))
    if sha256 and "sha256" not in names:
        names.insert(draw(st.integers(0, len(names))), "sha256")
    values = (draw(st.text("0123456789abcdef", min_size=1, max_size=1)) for _ in names)
    return Hashes(tuple(Digest(n, v * HEX_DIGITS[n]) for n, v in zip(names, values, strict=True)))


@st.composite
def release_files(draw: st.DrawFn, filename: str) -> ReleaseFile:
    """Draw a file with every field in every state."""
    folder = draw(st.sampled_from(["packages/x", "packages/aa/bb", "packages/source/f/foo"]))
    naive = st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001 - as it wants
    return ReleaseFile(
        filename=filename,
        url=f"https://files.example.org/{folder}/{filename}",
        path=f"{folder}/{filename}",
        hashes=draw(hashes(sha256=True)),
        size=draw(st.none() | st.integers(0, 2**31)),
        upload_time=draw(st.none() | naive.map(lambda time: time.replace(tzinfo=UTC))),
        requires_python=draw(st.none() | texts),
        yanked=draw(st.none() | texts),
        core_metadata=draw(st.none() | st.just(value=False) | hashes(sha256=False)),
        provenance=draw(st.none() | texts),
    )


@st.composite
def project_records(draw: st.DrawFn) -> ProjectRecord:
    """Draw a project of which some files are stored."""
    stems = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._+!-]{0,8}\Z")
    filenames = [f"{stem}.zip" for stem in draw(st.sets(stems, max_size=4))]
    files = tuple(draw(release_files(filename)) for filename in sorted(filenames))
    detail = ProjectDetail(
        name=draw(names),
        files=files,
        versions=tuple(draw(st.lists(st.text(string.printable[:95], min_size=1), max_size=3))),
        serial=draw(st.none() | serials),
        status=draw(st.sampled_from([*ProjectStatus, UnknownStatus("new")])),
        status_reason=draw(texts),
        rejected=draw(st.just(()) | st.just((Rejection("x", "is odd"),))),
    )
    stored = [file for file in files if draw(st.booleans())]
    return ProjectRecord(
        detail=detail,
        display=draw(texts),
        reflects=draw(serials),
        fingerprint=draw(texts),
        validators=Validators(draw(texts), draw(texts), draw(texts)),
        files=tuple(
            FileRecord(
                file,
                draw(st.integers(0, 2**62)),
                draw(st.none() | seconds),
                draw(
                    st.none() | st.builds(Validators, st.just('W/"1"'), st.sampled_from(["", "x"]))
                ),
            )
            for file in stored
        ),
        standing=draw(st.sampled_from(Standing)),
        due=draw(st.none() | seconds),
        exclusions=tuple(draw(st.lists(exclusions, max_size=3))),
        asked=draw(seconds),
        watched=draw(st.just(ALWAYS) | seconds),
    )


def _made(record: Callable[..., _Record]) -> Callable[[dict[str, Any]], _Record]:
    """Return a constructor: hypothesis cannot resolve the annotations of a Struct."""
    return lambda values: record(**values)


unfinished = st.fixed_dictionaries(
    {
        "name": names,
        "deferral": st.sampled_from(Deferral),
        "target_serial": serials,
        "first_serial": st.none() | serials,
        "since": seconds,
        "tried": seconds,
        "attempts": st.integers(0, 1000),
        "cause": st.sampled_from(Cause),
        "reason": texts,
        "display": texts,
    }
).map(_made(Deferred))
removed = st.fixed_dictionaries(
    {
        "key": texts.filter(lambda text: {"", ".", ".."}.isdisjoint(text.split("/"))).map(
            lambda text: StorageKey(f"removed/{text}")
        ),
        "size": st.integers(0, 2**40),
        "sha256": texts,
        "at": seconds,
    }
).map(_made(TrashEntry))
