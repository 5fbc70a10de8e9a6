"""Which proxy is used: the option's, else the environment's (contract, sections 1.5 and 2.2)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

from bandersnatch.config.values import proxy as read_proxy
from bandersnatch.errors import ConfigError, OptionError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import TCPConnector
    from aiohttp.abc import AbstractResolver

_VARIABLES = (
    "SOCKS5_PROXY", "SOCKS4_PROXY", "SOCKS_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY",
)  # fmt: skip


def choose_proxy(configured: str, master: str, environment: Mapping[str, str]) -> str:
    """Return the URL of the proxy to use for ``master``, "" for none.

    The first variable that is set wins, in either case of letters; a value without a scheme is
    taken as http, and a master that ``NO_PROXY`` names is asked directly.

    :raises ConfigError: if a variable's value is no proxy's URL.
    """
    if configured:
        return configured
    for variable in _VARIABLES:
        value = environment.get(variable, "") or environment.get(variable.lower(), "")
        if value:
            host = urlsplit(master).hostname or ""
            if environment is os.environ and proxy_bypass(host):
                return ""
            try:
                return read_proxy(value if "://" in value else f"http://{value}")
            except OptionError as error:
                raise ConfigError(f"environment variable {variable}", [_problem(error)]) from error
    return ""


def _problem(error: OptionError) -> Problem:
    return Problem("", "", str(error))


def socks_connector(url: str, *, limit: int, resolver: AbstractResolver) -> TCPConnector:
    """Return a connector through a SOCKS proxy, which resolves all names at its own end."""
    from aiohttp_socks import ProxyConnector  # noqa: PLC0415 - a tenth of a second, rarely needed

    plain = url.replace("socks5h:", "socks5:").replace("socks4h:", "socks4:")
    plain = plain.replace("socks4a:", "socks4:")
    connector: TCPConnector = ProxyConnector.from_url(
        plain, rdns=True, limit=limit, resolver=resolver
    )
    return connector
