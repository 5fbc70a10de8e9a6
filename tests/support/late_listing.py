"""Listings that are late: they lack new objects, and still have deleted ones."""

from __future__ import annotations

import random
import re
from html import escape, unescape
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from obstore.store import S3Store

_ENTRY = re.compile(r"<Contents>.*?</Contents>", re.DOTALL)
_KEY = re.compile(r"<Key>(.*?)</Key>", re.DOTALL)
_END = "</ListBucketResult>"


def listed(store: S3Store, prefix: str) -> dict[str, str]:
    """Return the entry of each object of a store in a listing, by the key in the bucket."""
    found = {}
    for each in (each for page in store.list() for each in page):
        key, tag = f"{prefix}/{each['path']}", escape((each["e_tag"] or "").strip('"'))
        found[key] = (
            f"<Contents><Key>{escape(key)}</Key>"
            f"<LastModified>{each['last_modified']:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
            f"<ETag>&quot;{tag}&quot;</ETag><Size>{each['size']}</Size>"
            f"<StorageClass>STANDARD</StorageClass></Contents>"
        )
    return found


def late_listing(
    earlier: Mapping[str, str], share: float, seed: int
) -> Callable[[str, bytes], bytes]:
    """Return what makes answers to listings late, from a query and the true answer.

    A ``share`` of the keys, drawn from ``seed``, has the state that it has in ``earlier``.
    """

    def is_late(key: str) -> bool:
        return random.Random(f"{seed} {key}").random() < share

    def rewrite(query: str, answer: bytes) -> bytes:
        text = answer.decode()
        if "<IsTruncated>true" in text:
            raise RuntimeError("a listing of several pages")
        asked = parse_qs(query)
        prefix, after = (asked.get(name, [""])[0] for name in ("prefix", "start-after"))
        entries = {unescape(_KEY.findall(each)[0]): each for each in _ENTRY.findall(text)}
        shown = {key: each for key, each in entries.items() if not is_late(key)}
        shown |= {
            key: each
            for key, each in earlier.items()
            if key.startswith(prefix) and key > after and is_late(key)
        }
        content = "".join(shown[key] for key in sorted(shown))
        return _ENTRY.sub("", text).replace(_END, f"{content}{_END}").encode()

    return rewrite
