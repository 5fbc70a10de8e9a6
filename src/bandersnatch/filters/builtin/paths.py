"""Rules about what is at a dotted path of the legacy JSON API's dictionaries (contract, 5.5)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from bandersnatch.errors import OptionError
from bandersnatch.filters.chain import Needs
from bandersnatch.filters.options import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bandersnatch.filters.options import Origin


class Mode(Enum):
    """How the values at a path are judged."""

    ANY = "any"
    ALL = "all"
    NONE = "none"


_NULLS = {"match-null": True, "not-null": False}
_TAGS = (*(mode.value for mode in Mode), *_NULLS)

_INFO = (
    "author", "author_email", "bugtrack_url", "classifiers", "description",
    "description_content_type", "docs_url", "download_url", "downloads", "dynamic", "home_page",
    "keywords", "license", "license_expression", "license_files", "maintainer",
    "maintainer_email", "name", "package_url", "platform", "project_url", "project_urls",
    "provides_extra", "release_url", "requires_dist", "requires_python", "summary", "version",
    "yanked", "yanked_reason",
)  # fmt: skip
_FILE = (
    "comment_text", "digests", "downloads", "filename", "has_sig", "md5_digest", "packagetype",
    "python_version", "requires_python", "size", "upload_time", "upload_time_iso_8601", "url",
    "yanked", "yanked_reason",
)  # fmt: skip
_INNER = {"info": _INFO, "release_file": _FILE}
"""The keys that there are usually; an index may have others."""

PROJECT_KEYS = ("info", "releases", "last_serial", "urls", "vulnerabilities", "ownership")
FILE_KEYS = ("release_file", "info", "release")

_TOLD = {
    ("release",): Needs.NOTHING,
    ("last_serial",): Needs.NOTHING,
    ("info", "name"): Needs.NOTHING,
    ("release_file", "filename"): Needs.NOTHING,
    ("release_file", "packagetype"): Needs.NOTHING,
    ("release_file", "python_version"): Needs.NOTHING,
    ("release_file", "requires_python"): Needs.NOTHING,
    ("release_file", "size"): Needs.SIZES,
    ("release_file", "upload_time"): Needs.TIMES,
    ("release_file", "upload_time_iso_8601"): Needs.TIMES,
    ("release_file", "url"): Needs.NOTHING,
    ("release_file", "yanked"): Needs.NOTHING,
    ("release_file", "yanked_reason"): Needs.NOTHING,
    ("release_file", "digests", "sha256"): Needs.NOTHING,
}
"""The paths that no document is needed for, with what is."""


@dataclass(frozen=True, slots=True)
class Path:
    """Where to look, and how to judge what is there.

    ``keeps_null`` is whether nothing there is as good as the right values.
    """

    option: str
    keys: tuple[str, ...]
    mode: Mode = Mode.ANY
    keeps_null: bool = True

    @property
    def reads(self) -> Needs:
        """What it takes to know the values."""
        return _TOLD.get(self.keys, Needs.DOCUMENT)

    def __str__(self) -> str:
        return ".".join(self.keys)


def parse_path(option: str, roots: Sequence[str]) -> Path:
    """Read the name of an option: tags, each followed by ``:``, then a path.

    :raises OptionError: if a tag, or the path's beginning, is none that there is.
    """
    *tags, dotted = (part.strip() for part in option.split(":"))
    mode, keeps_null = Mode.ANY, True
    for tag in tags:
        if tag not in _TAGS:
            raise OptionError(f"{tag!r} is no tag{_nearest(tag, _TAGS)}")
        if tag in _NULLS:
            keeps_null = _NULLS[tag]
        else:
            mode = Mode(tag)
    keys = tuple(dotted.split("."))
    if not all(keys):
        raise OptionError(
            "its path is empty, or has an empty part; write one like info.classifiers"
        )
    _check_keys(keys, roots)
    return Path(option, keys, mode, keeps_null)


def _check_keys(keys: tuple[str, ...], roots: Sequence[str]) -> None:
    """Refuse a path that leads nowhere: what is not there would count as right.

    :raises OptionError: if it does.
    """
    first, *rest = keys
    if first not in roots:
        raise OptionError(f"no path begins with {first!r} here{_nearest(first, roots)}")
    inner = _INNER.get(first, ())
    if inner and not rest:
        raise OptionError(
            f"{first!r} holds many values; name one of them, as in {first}.{inner[0]}"
        )
    if first in {"release", "last_serial"} and rest:
        raise OptionError(f"{first!r} is a single value; nothing is within it")
    if inner and rest[0] not in inner:
        meant = suggestion(rest[0], inner, cutoff=0.75)
        if meant:
            raise OptionError(f"{first} has no {rest[0]!r}{meant}")


def _nearest(word: str, words: Sequence[str]) -> str:
    return suggestion(word, words) or f"; there are {', '.join(words)}"


def values_at(data: object, keys: Iterable[str]) -> list[str]:
    """Return the values at a path as texts: the items of a list, or one; none for null.

    What is no text is written as in JSON.
    """
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    found: Iterable[object] = data if isinstance(data, list) else (data,)
    return [_text(value) for value in found if value is not None]


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Demand:
    """One line of an option's value: what it asks of a value."""

    text: str
    origin: Origin
    passes: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """An option: a path, and what is asked of its values.

    ``verb`` says in ``words`` what the values do. What is not ``valid`` counts as no value.
    """

    path: Path
    demands: tuple[Demand, ...]
    verb: str
    valid: Callable[[str], bool]

    def failed(self, values: Iterable[str]) -> str | None:
        """Return why the values are not right, or None if they are."""
        known = list(filter(self.valid, values))
        if not known:
            return None if self.path.keeps_null else f"nothing usable is at {self.path}"
        passed = [any(map(demand.passes, known)) for demand in self.demands]
        if self.path.mode is Mode.ANY:
            return None if any(passed) else str(self.demands[0].origin)
        wrong = self.path.mode is Mode.NONE
        found = zip(self.demands, passed, strict=True)
        return next((str(demand.origin) for demand, right in found if right is wrong), None)

    @property
    def terms(self) -> tuple[str, str, bool, list[str]]:
        """What changes whenever the answer may."""
        texts = sorted({demand.text for demand in self.demands})
        return str(self.path), self.path.mode.value, self.path.keeps_null, texts

    @property
    def words(self) -> str:
        """What the values must be, to follow "whose"."""
        count = {Mode.ANY: "one", Mode.ALL: "each", Mode.NONE: "none"}[self.path.mode]
        texts = ", ".join(dict.fromkeys(demand.text for demand in self.demands))
        null = "also" if self.path.keeps_null else "not"
        return f"{self.path} {self.verb} {count} of: {texts}; {null} those without it"
