"""Hints for unknown names: the known name of an option, section or filter that was meant.

A name is compared by its words. A word with a typing error is recognised; another word is not:
``compare-mirrors`` is not ``compare-method``.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

_SEPARATORS = re.compile(r"[-_. ]+")
_SAME_WORD = {"whitelist": "allowlist", "blacklist": "blocklist", "package": "project"}
_TYPING_ERROR = 0.75
"""The least similarity of a word and the same word with a typing error, from 0 to 1."""

_MEANINGS: Mapping[str, str] = {
    **dict.fromkeys(("url", "index", "index-url", "upstream", "source", "remote"), "master"),
    **dict.fromkeys(("path", "root", "dir", "target", "destination", "base-dir"), "directory"),
    **dict.fromkeys(("threads", "concurrency", "jobs", "max-workers", "processes"), "workers"),
    **dict.fromkeys(("http-proxy", "https-proxy", "socks-proxy", "proxies"), "proxy"),
    **dict.fromkeys(("cert", "ca-cert", "ca-bundle", "cacert", "ssl-ca", "cafile"), "ca-file"),
    **dict.fromkeys(("ssl-cert", "client-certificate"), "client-cert"),
    **dict.fromkeys(("log", "log-file", "logging", "logfile"), "log-config"),
    **dict.fromkeys(("file-mirror", "files-mirror", "packages-mirror"), "download-mirror"),
    **dict.fromkeys(("delete", "keep-removed", "delete-removed"), "removed-projects"),
    **dict.fromkeys(("free-space", "disk-space", "max-size", "quota"), "min-free-space"),
    **dict.fromkeys(("plugins", "filters", "enable-plugins"), "enabled"),
    **dict.fromkeys(("max-package-size", "package-size"), "max_package_size"),
    **dict.fromkeys(("hash", "digest", "checksum"), "digest_name"),
    **dict.fromkeys(("user-agent", "contact"), "user-agent-comment"),
    **dict.fromkeys(("filter", "filters", "plugin"), "plugins"),
}
"""Names that are used for something whose name here has other words."""


def hint(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` with the known name that ``word`` means, or ""."""
    return question(meant_by(word, sorted(known)))


def question(names: Iterable[str]) -> str:
    """Return the question whether one of some names was meant, "" if there are none."""
    shown = " or ".join(map(repr, names))
    return f"; did you mean {shown}?" if shown else ""


def meant_by(word: str, known: Collection[str]) -> list[str]:
    """Return the name of ``known`` that ``word`` means, as a list of one, or of none."""
    words = _words(word)
    for name in known:
        if sorted(_words(name)) == sorted(words):
            return [name]
    similar = {name: _similarity(_plain_words(word), _plain_words(name)) for name in known}
    best = max(known, key=lambda name: similar[name], default="")
    if best and similar[best] >= _TYPING_ERROR:
        return [best]
    for other, name in _MEANINGS.items():
        if name in known and _words(other) == words:
            return [name]
    longer = [name for name in known if set(words) < set(_words(name))]
    return longer if len(longer) == 1 and words else []


def sharing_words(word: str, known: Iterable[str]) -> list[str]:
    """Return the known names that share a word with ``word``."""
    words = set(_words(word))
    return [name for name in known if words & set(_words(name))]


def _words(name: str) -> list[str]:
    """Return the words of a name, in lower case, singular, and with their present names."""
    return [_SAME_WORD.get(word, word) for word in _plain_words(name)]


def _plain_words(name: str) -> list[str]:
    words = (word.removesuffix("s") for word in _SEPARATORS.split(name.strip("\"' ").lower()))
    return [word for word in words if word]


def _similarity(words: list[str], others: list[str]) -> float:
    """Return how similar two names are: as the least similar of their words, or written as one."""
    joined = SequenceMatcher(None, "".join(words), "".join(others)).ratio()
    if len(words) != len(others) or not words:
        return joined if joined > 1 - (1 - _TYPING_ERROR) / 2 else 0.0
    return min(SequenceMatcher(None, *pair).ratio() for pair in zip(words, others, strict=True))
