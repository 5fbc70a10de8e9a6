"""The choice of the proxy: the option, then the environment; and connections through SOCKS.

See ``docs/reference/configuration.md``, option ``proxy``.
"""

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
"""The variables by priority, each with the default scheme of its value."""


def choose_proxy(configured: str, master: str, environment: Mapping[str, str]) -> str:
    """Return the URL of the proxy for ``master``, "" for none.

    ``configured`` has priority. Then the first variable that is set applies, in upper or lower
    case, unless ``NO_PROXY`` names the host of ``master``.

    :raises ConfigError: if the value of that variable is not the URL of a proxy.
    """
    if configured:
        return configured
    variables = ((name, scheme) for base, scheme in _VARIABLES.items() for name in _cases(base))
    for variable, scheme in variables:
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
    """Return a connector through a SOCKS proxy, which resolves all host names itself."""
    from aiohttp_socks import ProxyConnector  # noqa: PLC0415 - slow, rarely needed

    # ``rdns`` has the meaning of the schemes socks5h and socks4a, which the library does not know.
    url = f"{url[: len('socks5')]}://{url.partition('://')[2]}"
    connector: TCPConnector = ProxyConnector.from_url(
        url, rdns=True, limit=limit, resolver=resolver
    )
    return connector
