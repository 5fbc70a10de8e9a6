"""Checks a sample of the files that a page names: content, core metadata, ranges."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from bandersnatch.doctor.caching import directives, lifetime
from bandersnatch.doctor.findings import Check
from bandersnatch.model.digests import new_hasher

if TYPE_CHECKING:
    from bandersnatch.doctor.examination import Examination
    from bandersnatch.doctor.port import Answer
    from bandersnatch.model.digests import Hashes
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.project import ProjectDetail

_LARGEST = 32 * 1024**2
"""Bytes; larger files are not read."""

_METADATA_LIMIT = 8 * 1024**2
_USEFUL_LIFETIME = 86_400
_RANGE = (2, 9)
"""The first and the last byte that a range asks for."""


async def check_files(examination: Examination, page: ProjectDetail) -> None:
    """Check a small wheel with core metadata, one without, and a small file of another kind."""
    findings = examination.findings
    findings.begin(Check.FILES)
    wheels = [each for each in page.files if each.filename.endswith(".whl")]
    if wheels and not any(each.core_metadata for each in wheels):
        sentence = f"no wheel of {page.name} has core metadata: clients download them to resolve"
        findings.advise(Check.METADATA, "no metadata", sentence)
    sample = _sample(page)
    for file in sample:
        answer = await _check_file(examination, file)
        if answer is not None and file is sample[0]:
            await _check_ranges(examination, file, answer)
        if file.core_metadata:
            await _check_metadata(examination, file)


def _sample(page: ProjectDetail) -> list[ReleaseFile]:
    """Return the smallest file of each kind."""
    by_size = sorted(page.files, key=lambda each: each.size or 0)
    found: dict[str, ReleaseFile] = {}
    for each in by_size:
        is_wheel = each.filename.endswith(".whl")
        kind = f"wheel {bool(each.core_metadata)}" if is_wheel else "other"
        if (each.size or 0) <= _LARGEST:
            found.setdefault(kind, each)
    return list(found.values())


async def _check_file(examination: Examination, file: ReleaseFile) -> Answer | None:
    """Read a file as an old client does, which would accept compression; None if it is wrong."""
    findings = examination.findings
    answer = await examination.try_ask(Check.FILES, file.url, encoding="gzip", limit=_LARGEST)
    if answer is None:
        return None
    if not answer.is_ok:
        sentence = f"{file.filename} is on the page, and is answered with status {answer.status}"
        findings.fault(Check.FILES, "files", sentence)
        return None
    findings.begin(Check.COMPRESSION, Check.CACHE_HEADERS)
    if answer.header("content-encoding"):
        encoding = ascii(answer.header("content-encoding"))[1:-1][:40]
        sentence = f"{file.filename} is sent with the encoding {encoding}, and clients unpack it"
        findings.fault(Check.COMPRESSION, "file encoding", sentence)
        return None
    if not ("immutable" in directives(answer) or (lifetime(answer) or 0) >= _USEFUL_LIFETIME):
        sentence = "files have no long Cache-Control, though they never change"
        findings.advise(Check.CACHE_HEADERS, "file age", sentence)
    if not answer.is_whole:
        return answer
    if file.size is not None and len(answer.body) != file.size:
        sentence = f"{file.filename} has {len(answer.body)} bytes, the page says {file.size}"
        findings.fault(Check.SIZES, "files", sentence)
    if not _has_digest(answer.body, file.hashes):
        sentence = f"{file.filename} does not have the digest that the page states"
        findings.fault(Check.FILES, "files", sentence)
    return answer


def _has_digest(content: bytes, hashes: Hashes) -> bool:
    """Whether content has the strongest of some digests, if there are any."""
    digest = hashes.strongest
    if digest is None:
        return True
    hasher = new_hasher(digest.algorithm)
    hasher.update(content)
    return hasher.hexdigest() == digest.value


async def _check_ranges(examination: Examination, file: ReleaseFile, whole: Answer) -> None:
    findings = examination.findings
    findings.begin(Check.RANGES)
    first, last = _RANGE
    if len(whole.body) <= last:
        return
    answer = await examination.try_ask(
        Check.RANGES, file.url, limit=_LARGEST, headers={"Range": f"bytes={first}-{last}"}
    )
    if answer is None:
        return
    begin = f"bytes {first}-{last}/"
    if answer.status != HTTPStatus.PARTIAL_CONTENT:
        sentence = (
            f"a part of {file.filename} is answered with status {answer.status}: interrupted "
            "downloads begin again, and uv fetches whole wheels for their metadata"
        )
        findings.fault(Check.RANGES, "ranges", sentence)
    elif answer.body != whole.body[first : last + 1] or not answer.header(
        "content-range"
    ).startswith(begin):
        sentence = f"a part of {file.filename} is answered with other bytes than those"
        findings.fault(Check.RANGES, "ranges", sentence)
    head = await examination.try_ask(Check.RANGES, file.url, method="HEAD")
    if head is not None and not head.is_ok:
        sentence = f"HEAD of a file is answered with status {head.status}; uv asks so for sizes"
        findings.advise(Check.RANGES, "head", sentence)


async def _check_metadata(examination: Examination, file: ReleaseFile) -> None:
    findings = examination.findings
    findings.begin(Check.METADATA)
    url = f"{file.url}.metadata"
    answer = await examination.try_ask(Check.METADATA, url, limit=_METADATA_LIMIT)
    if answer is None:
        return
    if not answer.is_ok:
        sentence = (
            f"{file.filename} has core metadata by the page, and that is answered with status "
            f"{answer.status}: pip and uv fail"
        )
        findings.fault(Check.METADATA, "metadata", sentence)
    elif not isinstance(file.core_metadata, bool | None) and not _has_digest(
        answer.body, file.core_metadata
    ):
        sentence = f"the core metadata of {file.filename} does not have the digest of the page"
        findings.fault(Check.METADATA, "metadata", sentence)
