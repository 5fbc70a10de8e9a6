"""Strategies of hypothesis: values of the model, documents with them, and garbage."""

from __future__ import annotations

import json
import string
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from bandersnatch.model.digests import HEX_DIGITS
from bandersnatch.model.files import FILE_ENDINGS

# ---------------------------------------------------------------- garbage

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
json_values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
"""Any value that a JSON document may have."""

hostile_text = st.lists(
    st.sampled_from(
        [
            *[*"aZ09._-+!/\\%:@?#*<>&\"' ~[]", "\0", "\n", "\r", "\t", "\x1b", "\x7f", "\x85"],
            *[
                "\xe9",
                "\u0130",
                "\u212a",
                "\u200b",
                "\u202e",
                "\ufeff",
                "\ud800",
                "..",
                "%2e",
                "%2F",
            ],
            *[
                "%252e",
                "%5c",
                "packages/",
                "foo-1.0.tar.gz",
                "https://",
                "//",
                "example.org",
                ":443",
            ],
        ]
    ),
    max_size=12,
).map("".join)
"""Texts that attacks consist of."""


def absent_or(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw mostly a valid value, and sometimes any value."""
    return strategy | strategy | json_values


# ---------------------------------------------------------------- documents

names = st.lists(
    st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=4), min_size=1, max_size=3
).map("-".join)
"""Normalised project names."""

digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
versions = st.from_regex(
    r"([0-9]!)?[0-9]{1,2}(\.[0-9]{1,2}|[abr][0-9]){0,3}(\+[a-z]{1,3})?", fullmatch=True
).filter(str.isascii)
times = st.datetimes(
    min_value=datetime(1980, 1, 1),  # noqa: DTZ001 - hypothesis wants naive bounds
    max_value=datetime(2026, 11, 21),  # noqa: DTZ001 - as above
    timezones=st.just(UTC),
).map(lambda time: time.isoformat().replace("+00:00", "Z"))
hashes = st.dictionaries(st.sampled_from([*HEX_DIGITS, "crc32"]), st.text("0af", max_size=8))


@st.composite
def file_entries(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """Draw a valid file entry, with optional fields that may be invalid."""
    stem = f"{name.replace('-', draw(st.sampled_from('-_.')))}-{draw(versions)}"
    if draw(st.booleans()):
        stem = f"{name.replace('-', '_')}-{draw(versions)}-py3-none-any"
        filename = f"{stem}.whl"
    else:
        filename = stem + draw(
            st.sampled_from(
                [
                    *[e for e in FILE_ENDINGS if e != ".whl"],
                    *[" (copy).zip", "~1.tar.gz", "\xe9#[1].zip", "-variants.json"],
                ]
            )
        )
    digest = draw(digests)
    place = draw(
        st.sampled_from(
            [
                f"packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}",
                f"packages/source/{name[0]}/{name}",
                "packages",
                "elsewhere/with%20space",
            ]
        )
    )
    optional = {
        "size": st.none() | st.integers(0, 2**31),
        "upload-time": absent_or(times),
        "requires-python": absent_or(st.text(max_size=20)),
        "yanked": st.booleans() | st.text(max_size=20),
        "core-metadata": absent_or(
            st.booleans() | st.builds(lambda rest, sha: {**rest, "sha256": sha}, hashes, digests)
        ),
        "provenance": absent_or(st.just(f"https://example.org/integrity/{name}/provenance")),
    }
    told = draw(st.fixed_dictionaries({}, optional=optional))
    own = {**draw(hashes), "sha256": digest}
    url = f"https://files.example.org/{place}/{quote(filename)}"
    return {"filename": filename, "url": url, "hashes": own, **told}


@st.composite
def pages(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw a project's name and a JSON page of it with valid files."""
    name = draw(names)
    files = draw(
        st.lists(file_entries(name), max_size=4, unique_by=lambda entry: entry["filename"])
    )
    status = st.fixed_dictionaries(
        {"status": st.sampled_from(["active", "archived", "quarantined", "deprecated", "new"])},
        optional={"reason": st.text(max_size=20)},
    )
    page = {
        "name": name,
        "files": files,
        "meta": {"api-version": "1.4", "_last-serial": draw(st.none() | st.integers(0, 2**40))},
        "versions": draw(st.lists(absent_or(versions), max_size=4)),
        "project-status": draw(status),
    }
    return name, json.dumps(page).encode()


broken_entries = st.fixed_dictionaries(
    {},
    optional={
        "filename": absent_or(st.just("foo-1.0.tar.gz") | hostile_text),
        "url": absent_or(st.just("https://example.org/packages/foo-1.0.tar.gz") | hostile_text),
        "hashes": absent_or(st.just({"sha256": "0" * 64})),
        "size": absent_or(st.integers(0, 100)),
        "upload-time": json_values,
        "requires-python": json_values,
        "yanked": json_values,
        "core-metadata": json_values,
        "dist-info-metadata": json_values,
        "data-dist-info-metadata": json_values,
        "provenance": absent_or(hostile_text),
    },
)
"""File entries whose fields may all be invalid or missing."""

broken_pages = st.fixed_dictionaries(
    {},
    optional={
        "name": absent_or(st.just("foo")),
        "files": absent_or(st.lists(absent_or(broken_entries), max_size=3)),
        "meta": absent_or(st.fixed_dictionaries({"api-version": absent_or(st.just("1.4"))})),
        "versions": absent_or(st.lists(json_values, max_size=3)),
        "project-status": absent_or(st.dictionaries(st.just("status"), json_values)),
        "projects": absent_or(
            st.lists(
                absent_or(
                    st.fixed_dictionaries(
                        {}, optional={"name": json_values, "_last-serial": json_values}
                    )
                ),
                max_size=4,
            )
        ),
    },
)
"""Pages whose keys may all be invalid or missing."""


def encoded(value: object) -> bytes:
    """Return a value as JSON; lone surrogates are encoded as they are."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
