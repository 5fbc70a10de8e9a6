"""The one HTTP session: its connections, its proxy, its limits and its name."""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING

import aiohttp

from bandersnatch import __version__
from bandersnatch.master.hosts import GuardedResolver, HostGuard
from bandersnatch.master.proxy import socks_connector

if TYPE_CHECKING:
    from bandersnatch.config.settings import IndexSettings

_SPARE_CONNECTIONS = 2
_RECEIVE_BUFFER = 256 * 1024


def user_agent(comment: str) -> str:
    """Return the name that the index's operators see (contract, section 4.1)."""
    version = sys.version_info
    python = (
        f"{version.major}.{version.minor}.{version.micro}-{version.releaselevel}{version.serial}"
    )
    agent = (
        f"bandersnatch/{__version__} ({sys.implementation.name} {python}, "
        f"{platform.system()} {platform.machine()}) (aiohttp {aiohttp.__version__})"
    )
    return f"{agent} ({comment})" if comment else agent


def open_session(settings: IndexSettings, guard: HostGuard, proxy: str) -> aiohttp.ClientSession:
    """Return the session; it is to be used as a context.

    Cookies and netrc are off, redirects are followed elsewhere, one hop at a time, and bodies
    have no total timeout, only one for silence.
    """
    limit = settings.workers + settings.download_workers + _SPARE_CONNECTIONS
    resolver = GuardedResolver(guard)
    if proxy.startswith("socks"):
        connector = socks_connector(proxy, limit=limit, resolver=resolver)
        proxy = ""
    else:
        connector = aiohttp.TCPConnector(limit=limit, resolver=resolver, ttl_dns_cache=300)
    return aiohttp.ClientSession(
        connector=connector,
        headers={"User-Agent": user_agent(settings.user_agent_comment)},
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=settings.timeout, sock_read=settings.timeout
        ),
        proxy=proxy or None,
        trust_env=False,
        read_bufsize=_RECEIVE_BUFFER,
    )
