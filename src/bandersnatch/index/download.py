"""The download of one file, which resumes, measures its rate, and is retried."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bandersnatch.errors import (
    InvalidResponse,
    OversizedContent,
    RefusedRequest,
    SlowResponse,
    UnavailableHost,
)
from bandersnatch.index.answers import NOT_MODIFIED, PARTIAL, UNCACHED
from bandersnatch.index.headers import storable
from bandersnatch.index.missing import Kind
from bandersnatch.index.transport import Response, Transport, mapped_errors
from bandersnatch.index.watchdog import PATIENT, Patience, Watchdog
from bandersnatch.layout import SIDECAR_SUFFIX
from bandersnatch.model.content import Validators

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from bandersnatch.index.port import FailureBudget
    from bandersnatch.index.rate_limit import RateLimiter
    from bandersnatch.model.content import Content
    from bandersnatch.storage.port import Sink

_UNSATISFIABLE = 416


async def download(
    transport: Transport,
    budget: asyncio.Semaphore,
    url: str,
    sink: Sink,
    *,
    failures: FailureBudget | None = None,
) -> Content:
    """Stream the file at ``url`` into ``sink``, finish the sink, and return the content.

    There is no limit on the whole time, only on silence and on a low rate. ``failures`` counts
    the tries that fail, and ends them.

    :raises MissingResource: if the server does not have the file.
    :raises IntegrityError: if the content is wrong in every attempt.
    """
    more: dict[str, str] = {}

    async def attempt() -> Content:
        try:
            return await download_once(transport, budget, url, sink, PATIENT, more)
        except InvalidResponse:
            more.update(UNCACHED)
            raise
        except SlowResponse as error:  # another try continues where this one stopped
            raise UnavailableHost(error.url, error.why) from error

    return await transport.retry(attempt, failures=failures)


async def download_once(
    transport: Transport,
    budget: asyncio.Semaphore,
    url: str,
    sink: Sink,
    patience: Patience,
    more: Mapping[str, str] | None = None,
) -> Content:
    """Do what ``download`` does, without another try after an error; ``more`` are headers to send.

    :raises UpstreamError: if the server does not provide the file.
    :raises IntegrityError: if the content is wrong.
    """
    validators = Validators()
    if sink.held and not sink.verifiable:
        await sink.restart()  # this response can be of another file than an earlier one
    if not sink.complete:
        async with budget:
            held = sink.held
            try:
                validators = await _request(transport, url, sink, patience, more or {})
            except (InvalidResponse, RefusedRequest) as error:
                if isinstance(error, RefusedRequest) and error.status != _UNSATISFIABLE:
                    raise
                await sink.restart()  # the next request has no range
                if not held:
                    raise
                # The partial file is longer than the file, or the server's ranges are wrong.
                whole = {**(more or {}), **UNCACHED}
                validators = await _request(transport, url, sink, patience, whole)
    content = await sink.finish()
    return content if sink.verifiable else replace(content, validators=validators)


async def fetch_validators(
    transport: Transport, budget: asyncio.Semaphore, url: str, known: Validators
) -> Validators:
    """Return the validators of the file at ``url``, ``known`` if it still matches these.

    The request is a GET, because some servers refuse HEAD; no body is read. It has no
    If-Modified-Since: servers answer 304 for a file that is older than that, too.

    :raises UpstreamError: if the server does not provide the file.
    """
    headers = {"Accept-Encoding": "identity"}
    if known.etag:
        headers["If-None-Match"] = known.etag

    async def attempt() -> Validators:
        async with budget:
            try:
                with (
                    mapped_errors(url),
                    await transport.request(
                        url, headers=headers, decompress=False, is_file=True
                    ) as response,
                ):
                    return known if response.status == NOT_MODIFIED else _validators(response)
            except InvalidResponse:
                headers.update(UNCACHED)
                raise

    return await transport.retry(attempt)


def _validators(response: Response) -> Validators:
    headers = response.headers
    return Validators(storable(headers.get("ETag", "")), storable(headers.get("Last-Modified", "")))


async def _request(
    transport: Transport, url: str, sink: Sink, patience: Patience, more: Mapping[str, str]
) -> Validators:
    """Write the body of the response into ``sink``; return the validators of the response."""
    # A server must not compress an archive: it would be decompressed on the way, and an archive
    # that was uploaded with a Content-Encoding of its own would then fail its digest.
    headers = {"Accept-Encoding": "identity", **more}
    if sink.held:
        headers["Range"] = f"bytes={sink.held}-"
    with (
        mapped_errors(url),
        await _send(transport, url, headers, patience) as response,
    ):
        if sink.held and response.status != PARTIAL:
            await sink.restart()
        await _write(response, sink, transport.watchdog(url, patience), transport.limiter)
        return _validators(response)


async def _send(
    transport: Transport, url: str, headers: Mapping[str, str], patience: Patience
) -> Response:
    async def send() -> Response:
        return await transport.request(
            url,
            headers=headers,
            decompress=False,
            is_file=True,
            answer_timeout=patience.answer,
        )

    if patience.answer is not None:
        return await send()  # another host, whose missing files say nothing about the index
    kind = Kind.SIDECAR if url.endswith(SIDECAR_SUFFIX) else Kind.FILE
    async with transport.missing.counted(url, kind):
        return await send()


async def _write(response: Response, sink: Sink, watchdog: Watchdog, limiter: RateLimiter) -> None:
    try:
        while piece := await watchdog.read(response):
            await sink.write(piece)
            watchdog.excuse(await limiter.take(len(piece)))
    except OversizedContent:
        await sink.restart()
        raise
