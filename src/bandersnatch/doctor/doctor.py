"""The whole examination of a served mirror or index."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bandersnatch.doctor.caching import check_caching, check_clock
from bandersnatch.doctor.contents import judge_page, judge_pair, parse_page
from bandersnatch.doctor.examination import Examination
from bandersnatch.doctor.files import check_files
from bandersnatch.doctor.findings import Check, Diagnosis
from bandersnatch.doctor.formats import check_formats
from bandersnatch.doctor.locating import locate
from bandersnatch.doctor.paths import check_missing, check_redirects
from bandersnatch.doctor.port import CertificateFault

if TYPE_CHECKING:
    from bandersnatch.clock import Clock
    from bandersnatch.doctor.formats import Formats
    from bandersnatch.doctor.locating import Located
    from bandersnatch.doctor.port import SingleRequests
    from bandersnatch.model.names import ProjectName

_EXPIRES_SOON = timedelta(days=14)
_HTTPS_PORT = 443
_CERTIFICATE_FAULTS = {
    CertificateFault.SINGLE: (
        "chain",
        "the server sends its certificate without the intermediate ones to a trusted authority",
    ),
    CertificateFault.AUTHORITY: (
        "authority",
        "the authority of the certificate is not trusted here",
    ),
    CertificateFault.TIME: ("renew", "the certificate is not valid at this time"),
    CertificateFault.HOST: ("certificate", "the certificate is for another host"),
    CertificateFault.OTHER: ("certificate", "the certificate is not valid"),
}


async def examine(
    requests: SingleRequests, clock: Clock, url: str, name: ProjectName | None = None
) -> Diagnosis:
    """Examine the index at a URL by one project: the given one, or one of its root page.

    :raises UpstreamError: if nothing answers there, or what answers is not an index.
    """
    examination = Examination(requests, clock)
    located = None
    if await _check_tls(examination, url):
        located = await locate(examination, url, name)
    if located is not None:
        await _check_all(examination, located)
    findings = examination.findings
    return Diagnosis(
        url=examination.root or url,
        project="" if located is None else located.name,
        server=examination.server,
        requests=examination.count,
        done=findings.done,
        findings=findings.sorted(),
    )


async def _check_all(examination: Examination, located: Located) -> None:
    formats = await check_formats(examination, located.url)
    if formats.usual is not None:
        await check_caching(examination, formats.usual)
    await _check_contents(examination, located, formats)
    await check_redirects(examination, located)
    await check_missing(examination)
    check_clock(examination)


async def _check_contents(examination: Examination, located: Located, formats: Formats) -> None:
    """Judge the pages of the project, and check files that they name."""
    now, findings = examination.clock.now(), examination.findings
    answers = [each for each in (formats.json, formats.html) if each is not None]
    for answer in answers:
        judge_page(findings, answer, located.name, now)
    pages = [parse_page(each, located.name, now) for each in answers]
    valid = [each for each in pages if each is not None]
    for first, second in pairwise(valid):
        judge_pair(findings, first, second)
    if valid:
        await check_files(examination, valid[0])


# ---------------------------------------------------------------- TLS


async def _check_tls(examination: Examination, url: str) -> bool:
    """Check scheme and certificate; False if no request can be trusted."""
    findings, parts = examination.findings, urlsplit(url)
    host = parts.hostname or ""
    findings.begin(Check.TLS)
    if parts.scheme == "http":
        if _is_loopback(host):
            sentence = "it is served over plain http, though on this machine only"
            findings.advise(Check.TLS, "https", sentence)
        else:
            sentence = "it is served over plain http, which pip refuses and anybody can change"
            findings.fault(Check.TLS, "https", sentence)
        return True
    certificate = await examination.port.certificate(host, parts.port or _HTTPS_PORT)
    if certificate is None:
        return True
    if certificate.fault is not None:
        remedy, sentence = _CERTIFICATE_FAULTS[certificate.fault]
        findings.fault(Check.TLS, remedy, f"{sentence} ({certificate.reason})")
        return False
    expires, now = certificate.expires, examination.clock.now()
    if expires is not None and (left := expires - now) < _EXPIRES_SOON:
        findings.advise(Check.TLS, "renew", f"the certificate expires in {left.days} days")
    return True


def _is_loopback(host: str) -> bool:
    """Whether a host is this machine, as pip decides it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
