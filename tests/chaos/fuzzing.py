"""Randomly changed documents for each parser of documents and values.

``TARGETS`` has the parsers, each with the documents to change.
"""

from __future__ import annotations

import asyncio
import json
import lzma
import random
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from xmlrpc.client import Fault, dumps

from bandersnatch.app import load
from bandersnatch.errors import ConfigError, CorruptState, InvalidPage, InvalidRules, InvalidValue
from bandersnatch.filters.requirements import required
from bandersnatch.index.changelog import FaultAnswer, InvalidAnswer, XmlRpcCall
from bandersnatch.layout import GENERATION, STATUS, TODO, StorageKey
from bandersnatch.mirror.state import StateFiles
from bandersnatch.model.files import check_filename
from bandersnatch.model.names import project_name
from bandersnatch.model.project import ProjectStatus
from bandersnatch.model.urls import absolute_url, file_path
from bandersnatch.simple.html_page import (
    HtmlListRenderer,
    parse_detail_html,
    parse_list_html,
    render_detail_html,
)
from bandersnatch.simple.json_page import (
    JsonListRenderer,
    parse_detail_json,
    parse_list_json,
    render_detail_json,
)
from bandersnatch.simple.legacy import parse_legacy, render_legacy
from bandersnatch.simple.limits import PAGE
from tests.support.confinement import stays_below
from tests.support.factories import make_context
from tests.support.index import Index
from tests.support.memory_storage import MemoryStorage
from tests.support.option_files import make_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from bandersnatch.model.project import ProjectDetail, ProjectList

ROOT = Path(__file__).parents[2]
NAME = "numpy"
WHERE = "https://index.example.org/simple/"
CONTEXT = make_context(NAME, f"{WHERE}{NAME}/")
_MOST_FILES = 6
_HEX = re.compile(r"[0-9a-f]{64}")


# ---------------------------------------------------------------- properties of values


def _check_detail(page: ProjectDetail) -> None:
    """Assert that a page is valid, and that it can be rendered and parsed again."""
    for file in page.files:
        assert check_filename(file.filename) == file.filename
        assert file.path.startswith("packages/")
        assert stays_below(file.path)
        assert file.sha256 is None or _HEX.fullmatch(file.sha256.value)
        assert file.size is None or file.size >= 0
        assert urlsplit(file.url).scheme == "https"
    assert len({file.path for file in page.files}) == len(page.files)
    shown: dict[str, Any] = {"digest_name": "sha256", "file_url": lambda file: file.url}
    for again in (
        parse_detail_json(render_detail_json(page, **shown), CONTEXT),
        parse_detail_html(
            render_detail_html(page, display=NAME, **shown), CONTEXT, charset="utf-8"
        ),
    ):
        assert [_told(file) for file in again.files] == [_told(file) for file in page.files]
        assert (again.status, again.status_reason) in {
            (page.status, page.status_reason),
            (ProjectStatus.ACTIVE, ""),
        }


def _told(file: Any) -> tuple[object, ...]:
    return (file.filename, file.url, file.sha256, file.requires_python, file.yanked)


def _check_list(found: ProjectList) -> None:
    """Assert that all names of a list are valid, and that it can be rendered and parsed again."""
    for name in found.serials:
        assert project_name(name) == name
        assert stays_below(f"web/simple/{name}")
    if found.serials:
        json, html = JsonListRenderer(), HtmlListRenderer()
        json.add(found.serials.items())
        html.add(found.serials)
        again = parse_list_json(json.finish(), WHERE)
        assert again.serials == found.serials
        again = parse_list_html(html.finish(), WHERE, charset="utf-8")
        assert again.serials.keys() == found.serials.keys()


# ---------------------------------------------------------------- parsers


def _detail_json(text: bytes) -> None:
    _check_detail(parse_detail_json(text, CONTEXT))


def _detail_html(text: bytes) -> None:
    _check_detail(parse_detail_html(text, CONTEXT, charset=None))


def _list_json(text: bytes) -> None:
    _check_list(parse_list_json(text, WHERE))


def _list_html(text: bytes) -> None:
    _check_list(parse_list_html(text, WHERE, charset=None))


def _legacy(text: bytes) -> None:
    document = parse_legacy(text, CONTEXT)
    again = parse_legacy(render_legacy(document), CONTEXT)
    assert (again.content, again.serial) == (document.content, document.serial)
    assert set(again.versions) == set(document.versions)


def _answer(text: bytes) -> None:
    _decode(XmlRpcCall.decode, text)


def _list_answer(text: bytes) -> None:
    _decode(XmlRpcCall.decode_stream, text)


def _decode(decode: Callable[[XmlRpcCall, bytes, int], Any], text: bytes) -> None:
    leaves = [decode(XmlRpcCall("x"), text, PAGE.memory)]
    for each in leaves:
        assert isinstance(each, int | float | str | bytes | list | dict | datetime | Decimal | None)
        if isinstance(each, dict):
            assert all(isinstance(key, str | None) for key in each)
            leaves += each.values()
        elif isinstance(each, list):
            leaves += each


def _state(key: StorageKey) -> Callable[[bytes], None]:
    def read(text: bytes) -> None:
        storage = MemoryStorage()
        storage.put(key, text)
        state = asyncio.run(StateFiles(storage).load())
        assert state.status >= 0
        assert state.cursor >= state.status
        if state.todo is not None:
            for name, target_serial in state.todo.pending.items():
                assert project_name(name) == name
                assert target_serial >= 0

    return read


def _url(text: bytes) -> None:
    value = text.decode("utf-8", errors="surrogateescape")
    url = absolute_url(value, base=CONTEXT.url)
    assert urlsplit(url).scheme == "https"
    assert url.isascii()
    filename = unquote(urlsplit(url).path.rpartition("/")[2])
    path = file_path(url, filename=filename, sha256="d1" * 32)
    assert path.startswith("packages/")
    assert path.endswith(f"/{filename}")
    assert stays_below(path)


def _filename(text: bytes) -> None:
    name = check_filename(text.decode("utf-8", errors="surrogateescape"))
    assert stays_below(f"packages/{name}")
    assert len(name.encode()) <= 255


def _project(text: bytes) -> None:
    name = project_name(text.decode("utf-8", errors="surrogateescape"))
    assert project_name(name) == name
    assert stays_below(f"web/simple/{name}/index.html")


def _listed(filename: str) -> Callable[[bytes], None]:
    def read(text: bytes) -> None:
        options = make_options({filename: text}, allowlist={"requirements": filename})
        for entry in required(options).entries:
            assert project_name(entry.name) == entry.name

    return read


def _configuration(text: bytes) -> None:
    with NamedTemporaryFile(suffix=".conf") as file:
        file.write(text)
        file.flush()
        configuration = load(Path(file.name))
    assert configuration.settings.storage.directory
    assert configuration.settings.index.workers > 0


# ---------------------------------------------------------------- documents


def _pages() -> list[bytes]:
    """Return pages of the project: as recorded, with a few files, and with every field."""
    recorded = ROOT / "tests" / "data" / "pages" / f"{NAME}.json.xz"
    page = json.loads(lzma.decompress(recorded.read_bytes()))
    some = random.Random(0).sample(page["files"], _MOST_FILES)
    index = _index()
    return [
        json.dumps({**page, "files": some, "versions": page["versions"][:3]}).encode(),
        json.dumps(index.detail_json(NAME, files_at="https://files.example.org")).encode(),
    ]


def _index() -> Index:
    index = Index()
    index.release(NAME, "1.0", sdist=True, requires_python=">=3.9,<4")
    index.release(NAME, "2.0rc1", wheel=False, sdist=True, provenance="https://example.org/p")
    index.yank(NAME, "1.0", 'it is "broken" & <b>old</b>')
    index.release("Other.Project", "1.0")
    return index


def _answers() -> list[bytes]:
    """Return XML-RPC answers: events, a list, a fault, and a value of every type."""
    some: Any = [1, -1, 1.5, True, None, "a & b", b"bytes", datetime(2024, 1, 1), {"a": [{}]}]  # noqa: DTZ001 - XML-RPC has no time zones
    values = ([["foo", "1.0", 1_700_000_000, "new release", 5]], {"foo": 5, "Bar": 6}, some)
    dumped = [dumps((value,), methodresponse=True, allow_none=True) for value in values]
    return [text.encode() for text in (*dumped, dumps(Fault(-32500, "too many requests")))]


def _golden(kind: str) -> list[bytes]:
    """Return the pages of the golden files."""
    data = ROOT / "tests" / "data"
    return [path.read_bytes() for path in sorted(data.glob(f"*.{kind}"))]


_REQUIREMENTS = b"""\
# what we need
-c limits.txt
--hash-less foo==1.0  --hash=sha256:00
Foo_Bar[extra]>=1.0,<2; python_version < "3.13"
baz @ https://example.org/baz-1.0.zip#sha256=00
six==1.16.0 \\
    --hash=sha256:8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254
-e git+https://example.org/x.git@main#egg=x
"""
_PYLOCK = b"""\
lock-version = "1.0"
created-by = "someone"
[[packages]]
name = "Foo_Bar"
version = "1.0"
wheels = [{name = "foo_bar-1.0-py3-none-any.whl", hashes = {sha256 = "00"}}]
[[packages]]
name = "by-vcs"
[packages.vcs]
type = "git"
url = "https://example.org/x"
"""
_UV_LOCK = b"""\
version = 1
[[package]]
name = "own"
version = "0.1.0"
source = { editable = "." }
[[package]]
name = "foo"
version = "1.0"
source = { registry = "https://example.org/simple" }
"""
_POETRY_LOCK = b"""\
[[package]]
name = "foo"
version = "1.0"
[package.source]
type = "legacy"
url = "https://example.org/simple"
[metadata]
lock-version = "2.0"
"""
_CONFIGURATION = b"""\
[mirror]
directory = /srv/mirror
master = https://index.example.org
timeout = 10
diff-file = {{ mirror_directory }}/diff
simple-format = ALL
[plugins]
enabled = blocklist_project
    latest_release
    size_project_metadata
    regex_release
    exclude_platform
[blocklist]
packages = foo>=1
platforms = windows py2
[latest_release]
keep = 3
[size_project_metadata]
max_package_size = 1 GB
[filter_regex]
releases = .+rc\\d$
"""
_URLS = [
    b"https://files.example.org/packages/aa/bb/" + b"c" * 60 + b"/numpy-1.0.tar.gz",
    b"../../packages/aa/bb/" + b"c" * 60 + b"/numpy-1.0-py3-none-any.whl#sha256=00",
    b"https://example.org:8443/packages/some/where/numpy-1.0%2Blocal.zip",
    b"http://[2001:db8::1]/packages/numpy-1.0.zip",
]
_NAMES = [b"Foo.Bar_baz--qux", b"a", b"0-9", b"zope.interface"]
_FILENAMES = [
    b"numpy-1.0-cp313-cp313-win_amd64.whl",
    b"numpy-1.0+local.tar.gz",
    "größe-1.0.zip".encode(),
    b"Numpy-1!1.0.win32-py2.7.exe",
]


@dataclass(frozen=True)
class Target:
    """A parser, the errors that it may raise, and the documents to change."""

    name: str
    read: Callable[[bytes], None]
    errors: tuple[type[Exception], ...]
    corpus: Callable[[], list[bytes]]

    def try_out(self, text: bytes) -> None:
        """Parse a document: the result must be a value, or one of the errors.

        The number of function calls is limited by the length of the document.
        """
        with bounded(_FEWEST_STEPS + _STEPS_A_BYTE * len(text)), suppress(*self.errors):
            self.read(text)


def _same(*texts: bytes) -> Callable[[], list[bytes]]:
    return lambda: list(texts)


TARGETS = {
    target.name: target
    for target in (
        Target("detail-json", _detail_json, (InvalidPage,), lambda: _pages() + _golden("json")),
        Target(
            "detail-html",
            _detail_html,
            (InvalidPage,),
            lambda: [_index().detail_html(NAME).encode(), *_golden("html")],
        ),
        Target(
            "list-json",
            _list_json,
            (InvalidPage,),
            lambda: [json.dumps(_index().list_json()).encode(), *_golden("json")],
        ),
        Target(
            "list-html",
            _list_html,
            (InvalidPage,),
            lambda: [_index().list_html().encode(), *_golden("html")],
        ),
        Target("legacy", _legacy, (InvalidPage,), lambda: [_index().legacy(NAME).encode()]),
        Target("xml-rpc", _answer, (InvalidAnswer, FaultAnswer), _answers),
        Target("xml-rpc list", _list_answer, (InvalidAnswer, FaultAnswer), _answers),
        Target("status", _state(STATUS), (), _same(b"12345", b"12345\n")),
        Target("todo", _state(TODO), (), _same(b"12345\nfoo 12\nFoo.Bar 13\n", b"12345\n")),
        Target("generation", _state(GENERATION), (CorruptState,), _same(b"5", b"4\n", b"6")),
        Target("url", _url, (InvalidValue,), _same(*_URLS)),
        Target("filename", _filename, (InvalidValue,), _same(*_FILENAMES)),
        Target("project", _project, (InvalidValue,), _same(*_NAMES)),
        Target("requirements", _listed("requirements.txt"), (InvalidRules,), _same(_REQUIREMENTS)),
        Target("pylock", _listed("pylock.toml"), (InvalidRules,), _same(_PYLOCK)),
        Target("uv-lock", _listed("uv.lock"), (InvalidRules,), _same(_UV_LOCK)),
        Target("poetry-lock", _listed("poetry.lock"), (InvalidRules,), _same(_POETRY_LOCK)),
        Target("configuration", _configuration, (ConfigError,), _same(_CONFIGURATION)),
    )
}


# ---------------------------------------------------------------- steps

_FEWEST_STEPS = 60_000
_STEPS_A_BYTE = 400


class TooManySteps(AssertionError):
    """Parsing takes more steps than the length of the document justifies."""


class bounded:  # noqa: N801 - used like a function
    """A context that limits the number of function calls."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.steps = 0

    def __enter__(self) -> None:
        """Start counting."""
        sys.setprofile(self._count)

    def __exit__(self, *exc_info: object) -> None:
        """Stop counting."""
        sys.setprofile(None)

    def _count(self, _: FrameType, event: str, __: object) -> None:
        if event.endswith("call"):
            self.steps += 1
            if self.steps > self.most:
                sys.setprofile(None)
                raise TooManySteps(f"more than {self.most} steps")


# ---------------------------------------------------------------- changes

_TELLING = (
    *(b"\0", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\r\n", b"\x1b[2J", b"\xed\xa0\x80"),
    *(b"..", b"../", b"%2e%2e%2f", b"%252e", b"\\", b"//", b"?", b"#", b"@", b":0", b"[", b"%"),
    *(b"null", b"true", b"-1", b"1e999", b"9" * 25, b"NaN", b'""', b"{}", b"[]", b'"\\ud800"'),
    *(b"<", b">", b"&", b'"', b"'", b"<!--", b"<base href=//x>", b"</a>", b"&#0;", b"&lt;"),
    *(b"\n[", b"\n =", b"\n#", b"{{ ", b"-r x", b"\\\n", b"==", b"; ", b"'''", b'"""'),
)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**20,
    1.5,
    "",
    "x" * 300,
    "\0",
    "\ud800",
    "../x",
    [],
    {},
    [[]],
)


def changed(dice: random.Random, corpus: Sequence[bytes]) -> bytes:
    """Return a document with a few random changes of bytes, parts, keys and values."""
    text = dice.choice(corpus)
    if text[:1] == b"{" and dice.random() < 0.5:
        text = _changed_value(dice, text)
    for _ in range(dice.randint(0, 4)):
        text = _changed_bytes(dice, text, corpus)
    return text


def _changed_bytes(dice: random.Random, text: bytes, corpus: Sequence[bytes]) -> bytes:
    begin, end = sorted(dice.randint(0, len(text)) for _ in range(2))
    small = min(end, begin + dice.randint(0, 8))
    other = dice.choice(corpus)
    return dice.choice(
        (
            text[:begin],
            text[:begin] + text[end:],
            text[:begin] + text[small:],
            text[:begin] + dice.randbytes(1) + text[begin + 1 :],
            text[:begin] + dice.choice(_TELLING) + text[begin:],
            text[:begin] + dice.choice(_TELLING) + text[small:],
            text[:begin] + text[begin:end] * 2 + text[end:],
            text[:begin] + text[begin:small] * dice.choice((3, 70, 500)) + text[small:],
            text[:begin] + other[dice.randint(0, len(other)) :],
        )
    )


def _changed_value(dice: random.Random, text: bytes) -> bytes:
    """Return a JSON document with one value replaced or one key removed."""
    try:
        document = json.loads(text)
    except ValueError:
        return text
    places = list(_places(document))
    if places:
        holder, key = dice.choice(places)
        if dice.random() < 0.3:
            del holder[key]
        else:
            holder[key] = dice.choice(_VALUES)
    return json.dumps(document).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the location of every value in a document."""
    keys: Any = ()
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = range(len(value))
    for key in keys:
        yield value, key
        yield from _places(value[key])
