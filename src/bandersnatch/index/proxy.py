"""Which proxy is used: the option's, else the environment's (contract, sections 1.5 and 2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bandersnatch.config.readers import proxy as read_proxy
from bandersnatch.errors import ConfigError, OptionError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import TCPConnector
    from aiohttp.abc import AbstractResolver

_VARIABLES = {
    "SOCKS5_PROXY": "socks5",
    "SOCKS4_PROXY": "socks4",
    "SOCKS_PROXY": "socks5",
    "HTTPS_PROXY": "http",
    "HTTP_PROXY": "http",
    "ALL_PROXY": "http",
}
"""The variables in the order of their rank, each with what a value without a scheme means."""


def choose_proxy(configured: str, master: str, environment: Mapping[str, str]) -> str:
    """Return the URL of the proxy to use for ``master``, "" for none.

    The first variable that is set wins, in either case of letters; a master that ``NO_PROXY``
    names is asked directly.

    :raises ConfigError: if a variable's value is no proxy's URL.
    """
    if configured:
        return configured
    spellings = ((name, scheme) for base, scheme in _VARIABLES.items() for name in _cases(base))
    for variable, scheme in spellings:
        value = environment.get(variable, "").strip()
        if value:
            if _is_exempt(urlsplit(master).hostname or "", environment):
                return ""
            try:
                return read_proxy(value if "://" in value else f"{scheme}://{value}")
            except OptionError as error:
                problem = Problem("", "", str(error))
                raise ConfigError(f"environment variable {variable}", [problem]) from error
    return ""


def _cases(variable: str) -> tuple[str, str]:
    return variable, variable.lower()


def _is_exempt(host: str, environment: Mapping[str, str]) -> bool:
    exempt = next(filter(None, map(environment.get, _cases("NO_PROXY"))), "")
    if not exempt:
        return False
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # noqa: PLC0415 - undocumented; slow

    return bool(proxy_bypass_environment(host, {"no": exempt}))


def socks_connector(url: str, *, limit: int, resolver: AbstractResolver) -> TCPConnector:
    """Return a connector through a SOCKS proxy, which resolves all names at its own end."""
    from aiohttp_socks import ProxyConnector  # noqa: PLC0415 - a tenth of a second, rarely needed

    plain = f"{url[: len('socks5')]}://{url.partition('://')[2]}"  # socks5h, socks4a: as below
    connector: TCPConnector = ProxyConnector.from_url(
        plain, rdns=True, limit=limit, resolver=resolver
    )
    return connector
