"""TLS: the authorities that are trusted, and the certificate that identifies this client.

The authorities are those of the system, or of the environment variables ``SSL_CERT_FILE`` and
``SSL_CERT_DIR`` (OpenSSL), and in addition those of ``ca-file``. The client's certificate is
offered to the hosts that the configuration names, and to no other host.
"""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, NoReturn

from msgspec import Struct

from bandersnatch.errors import ConfigError, OptionError, Problem, UnauthorizedClient, UnsafeUrl

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bandersnatch.config.schema import TlsSettings

_FILE = "SSL_CERT_FILE"
_EVERYBODY = 0o004


class TlsContexts(Struct, frozen=True):
    """The contexts for TLS: ``configured`` for hosts that the configuration names."""

    configured: ssl.SSLContext
    other: ssl.SSLContext


def make_contexts(settings: TlsSettings) -> TlsContexts | None:
    """Return the contexts, or None if no option sets anything.

    :raises ConfigError: if a file cannot be used.
    """
    if not settings.is_set:
        return None
    contexts = TlsContexts(_context(), _context())
    for option, why in _loaded(settings, contexts):
        raise ConfigError(f"option {option}", [Problem("", "", why)])
    return contexts


def certificate_problems(settings: TlsSettings) -> list[Problem]:
    """Return a problem for each option whose file cannot be used."""
    if not settings.is_set:
        return []
    found = _loaded(settings, TlsContexts(_context(), _context()))
    return [Problem("mirror", option, why) for option, why in found]


def check_environment(environment: Mapping[str, str]) -> None:
    """Refuse an ``SSL_CERT_FILE`` that has no certificates: OpenSSL would then trust no server.

    :raises ConfigError: if it cannot be used.
    """
    path = environment.get(_FILE, "")
    if not path:
        return
    try:
        _load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), path)
    except OptionError as error:
        raise ConfigError(f"environment variable {_FILE}", [Problem("", "", str(error))]) from error


# ---------------------------------------------------------------- files


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _loaded(settings: TlsSettings, contexts: TlsContexts) -> Iterator[tuple[str, str]]:
    """Load the files into the contexts; yields each option that fails, with the reason."""
    if settings.ca_file:
        try:
            _load_authorities(contexts.configured, settings.ca_file)
            _load_authorities(contexts.other, settings.ca_file)
        except OptionError as error:
            yield "ca-file", str(error)
    if settings.client_cert:
        option = "client-cert"
        try:
            _check_readable(settings.client_cert)
            if settings.client_key:
                option = "client-key"
                _check_readable(settings.client_key)
            _check_private(settings.client_key or settings.client_cert)
            _load_identity(contexts.configured, settings)
        except OptionError as error:
            yield option, str(error)


def _load_authorities(context: ssl.SSLContext, path: str) -> None:
    _check_readable(path)
    try:
        context.load_verify_locations(path)
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        raise OptionError(f"{path} has no certificates in PEM format") from None


def _load_identity(context: ssl.SSLContext, settings: TlsSettings) -> None:
    key = settings.client_key or settings.client_cert

    def ask() -> NoReturn:
        """Refuse a passphrase; OpenSSL would ask for it on the terminal."""
        raise OptionError(
            f"the key in {key} has a passphrase; store it without one, readable for its owner only"
        )

    try:
        context.load_cert_chain(settings.client_cert, settings.client_key or None, password=ask)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            why = f"the key in {key} does not belong to the certificate in {settings.client_cert}"
        elif settings.client_key:
            why = f"{settings.client_cert} or {key} is not a certificate and its key in PEM format"
        else:
            why = f"{key} has no certificate with its key in PEM format; client-key names the key"
        raise OptionError(why) from None


def _check_readable(path: str) -> None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a text of the configuration
            file.read(1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise OptionError(f"{path} cannot be read: {why}") from None


def _check_private(path: str) -> None:
    """Refuse a key that every user of the machine can read.

    :raises OptionError: if it is so.
    """
    if os.name == "posix" and os.stat(path).st_mode & _EVERYBODY:  # noqa: PTH116 - as above
        raise OptionError(f"every user can read the key in {path}; run: chmod o= {path}")


# ---------------------------------------------------------------- failed handshakes

WRONG_TIME = frozenset({9, 10})
OTHER_HOST = frozenset({62, 64})
UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21})
"""Results of a verification, as OpenSSL's x509_vfy.h numbers them."""

_CLIENT_REFUSED = (
    "ALERT_CERTIFICATE_REQUIRED",
    "ALERT_HANDSHAKE_FAILURE",
    "ALERT_UNKNOWN_CA",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_UNSUPPORTED_CERTIFICATE",
    "ALERT_CERTIFICATE_",
    "ALERT_ACCESS_DENIED",
)
"""Parts of the names of alerts (RFC 8446, section 6.2) with which a server refuses a client."""


def handshake_error(url: str, error: BaseException) -> Exception | None:
    """Return the error for a request that TLS made fail, None if the reason is another one.

    The reason is the first error of the standard library's ssl among ``error`` and its causes.
    """
    found = _ssl_error(error)
    if found is None:
        return None
    if isinstance(found, ssl.SSLCertVerificationError):
        return UnsafeUrl(url, _why_untrusted(found))
    reason = found.reason
    if any(part in reason for part in _CLIENT_REFUSED):
        alert = reason.partition("ALERT_")[2].lower().replace("_", " ")
        return UnauthorizedClient(url, alert)
    if reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST"}:
        return UnsafeUrl(url, "the server does not use TLS at this port; is it http?")
    return None


def _ssl_error(error: BaseException | None) -> ssl.SSLError | None:
    """Return the first error that OpenSSL gave a reason for; aiohttp's subclasses have none."""
    for _ in range(8):  # more causes than there are; they could be circular
        if isinstance(error, ssl.SSLError) and getattr(error, "reason", None):
            return error
        if error is None:
            return None
        error = getattr(error, "certificate_error", None) or error.__cause__ or error.__context__
    return None


def _why_untrusted(error: ssl.SSLCertVerificationError) -> str:
    message = error.verify_message.rstrip(".")
    if error.verify_code in WRONG_TIME:
        why = f"{message}; if the certificate is right, the clock of this machine is wrong"
    elif error.verify_code in OTHER_HOST:
        why = f"{message}; use the name of the host that its certificate states"
    elif error.verify_code in UNKNOWN_AUTHORITY:
        why = (
            f"{message}; if its authority is your own, set ca-file to a file with the "
            "certificate of that authority"
        )
    else:
        why = f"{message}; ca-file names the certificates of more authorities"
    return f"its certificate is not valid ({why})"
