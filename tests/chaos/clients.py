"""Clients of a served mirror that changes while they ask, and what their answers have to be."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import random
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TYPES = {
    "index.v1_json": "application/vnd.pypi.simple.v1+json",
    "index.v1_html": "application/vnd.pypi.simple.v1+html",
    "index.html": "text/html",
}
"""The files of a page, each with the media type that it must be sent with."""

TASKS = 8

PAUSE = 0.01
"""Seconds between two pages of a task, so that the runs in this process make progress."""


class Seen(NamedTuple):
    """A page that a client got; ``digest`` is the sha256 of its content without the encoding."""

    path: str
    form: str
    encoding: str
    etag: str
    digest: str


def digest_of(content: bytes) -> str:
    """Return the sha256 of some content."""
    return hashlib.sha256(content).hexdigest()


class States:
    """What was published at any time, as far as it is known between runs."""

    def __init__(self, web: Path, names: list[str]) -> None:
        self._web = web
        self._paths = {"/simple/": "simple", **{f"/simple/{n}/": f"simple/{n}" for n in names}}
        self.published: dict[tuple[str, str], set[str | None]] = {}
        """The sha256 of each page in each form; None for a time when there was none."""

    def record(self) -> None:
        """Add the pages that are published now."""
        for path, directory in self._paths.items():
            for form in TYPES:
                page = self._web / directory / form
                found = digest_of(page.read_bytes()) if page.exists() else None
                self.published.setdefault((path, form), set()).add(found)


class Clients:
    """Clients that ask for pages and the files that these name, and collect what is wrong."""

    def __init__(self, url: str, names: list[str], seed: int) -> None:
        self._url = url
        self._paths = ["/simple/", *(f"/simple/{name}/" for name in names)]
        self._seed = seed
        self.seen: set[Seen] = set()
        self.missing: set[str] = set()
        self.wrong: list[str] = []
        self.pages = self.files = self.unchanged = 0
        self._tags: dict[tuple[str, str, str], str] = {}

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask in a thread until the block ends."""
        stop = threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(self._ask_all(stop)))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    async def _ask_all(self, stop: threading.Event) -> None:
        opened = aiohttp.ClientSession(auto_decompress=False)
        async with opened as session, asyncio.TaskGroup() as group:
            for number in range(TASKS):
                generate = random.Random(self._seed + number)
                group.create_task(self._ask(session, generate, stop))

    async def _ask(
        self, session: aiohttp.ClientSession, generate: random.Random, stop: threading.Event
    ) -> None:
        while not stop.is_set():
            await asyncio.sleep(PAUSE)
            try:
                await self._ask_page(session, generate)
            except (aiohttp.ClientError, TimeoutError) as error:
                self.wrong.append(f"no complete answer: {error!r}")

    async def _ask_page(self, session: aiohttp.ClientSession, generate: random.Random) -> None:
        path = generate.choice(self._paths)
        form = generate.choice(list(TYPES))
        encoding = generate.choice(["identity", "gzip"])
        headers = {"Accept": TYPES[form], "Accept-Encoding": encoding}
        known = self._tags.get((path, form, encoding), "")
        if known and generate.random() < 0.3:
            headers["If-None-Match"] = known
        async with session.get(self._url + path, headers=headers) as answer:
            body = await answer.read()
            if answer.status == 404:
                self.missing.add(path)
            elif answer.status == 304:
                self.unchanged += 1
                if answer.headers.get("ETag") != headers.get("If-None-Match"):
                    self.wrong.append(f"304 with another ETag: {path} {dict(answer.headers)}")
            elif answer.status == 200:
                self._take(path, form, encoding, answer, body)
            else:
                self.wrong.append(f"status {answer.status}: {path}")
        if answer.status == 200 and form == "index.v1_json" and path != "/simple/":
            await self._ask_files(session, generate, path, body, answer)

    def _take(
        self, path: str, form: str, encoding: str, answer: aiohttp.ClientResponse, body: bytes
    ) -> None:
        self.pages += 1
        if answer.content_type != TYPES[form]:
            self.wrong.append(f"{path} has the type {answer.content_type} for {TYPES[form]}")
        if int(answer.headers["Content-Length"]) != len(body):
            self.wrong.append(f"{path} has {len(body)} bytes and another Content-Length")
        sent = answer.headers.get("Content-Encoding", "identity")
        etag = answer.headers["ETag"]
        self._tags[(path, form, encoding)] = etag
        self.seen.add(Seen(path, form, sent, etag, digest_of(plain(answer, body))))

    async def _ask_files(
        self,
        session: aiohttp.ClientSession,
        generate: random.Random,
        path: str,
        body: bytes,
        page: aiohttp.ClientResponse,
    ) -> None:
        files = json.loads(plain(page, body))["files"]
        for file in generate.sample(files, min(2, len(files))):
            url = urljoin(self._url + path, file["url"])
            expected = {url: file["hashes"]["sha256"]}
            if file.get("core-metadata"):
                expected[f"{url}.metadata"] = file["core-metadata"]["sha256"]
            for each, digest in expected.items():
                async with session.get(each, headers={"Accept-Encoding": "identity"}) as answer:
                    content = await answer.read()
                self.files += 1
                if answer.status == 404 and not await self._is_named(session, path, each):
                    continue  # the page that named it is not there any more
                if answer.status != 200 or digest_of(content) != digest:
                    self.wrong.append(f"{each} is wrong (status {answer.status})")

    async def _is_named(self, session: aiohttp.ClientSession, path: str, url: str) -> bool:
        """Whether the present page of a project names a file, or its core metadata."""
        headers = {"Accept": TYPES["index.v1_json"], "Accept-Encoding": "identity"}
        async with session.get(self._url + path, headers=headers) as answer:
            text = await answer.text()
        return answer.status == 200 and url.rpartition("/")[2].removesuffix(".metadata") in text

    def judge(self, states: States) -> list[str]:
        """Return what is wrong in all answers, given all states that were published."""
        wrong = [
            f"never published: {each}"
            for each in self.seen
            if each.digest not in states.published[(each.path, each.form)]
        ]
        of_tag: dict[tuple[str, str], Seen] = {}
        of_page: dict[tuple[str, str, str, str], str] = {}
        for each in self.seen:
            other = of_tag.setdefault((each.path, each.etag), each)
            if (other.digest, other.encoding) != (each.digest, each.encoding):
                wrong.append(f"one ETag of two pages: {other} {each}")
            tag = of_page.setdefault((each.path, each.form, each.encoding, each.digest), each.etag)
            if tag != each.etag:
                wrong.append(f"two ETags of one page: {tag} {each}")
        wrong += [
            f"missing, though it was always published: {path}"
            for path in self.missing
            if None not in states.published[(path, "index.html")]
        ]
        return [*self.wrong, *wrong]


def plain(answer: aiohttp.ClientResponse, body: bytes) -> bytes:
    """Return a body without its encoding."""
    return gzip.decompress(body) if answer.headers.get("Content-Encoding") == "gzip" else body
