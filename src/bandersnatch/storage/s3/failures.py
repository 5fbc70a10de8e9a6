"""Translates the errors of the store: what concerns one object, the bucket, or the credentials."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from obstore import exceptions

from bandersnatch import errors

if TYPE_CHECKING:
    from types import TracebackType

_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_STATUS = re.compile(r"status code: (\d{3}[ \w]{0,40})")
_REASON = re.compile(r" - (?:HTTP error: )?(.{1,200})")
_METHOD = re.compile(r"Error performing ([A-Z]+) ")
_INSTANCE_METADATA = "/latest/"
"""In the URL that is asked for the credentials of a machine, when there are no others."""

_DETAILS = "\n\nDebug source:"

_WRONG_CREDENTIALS = (
    "the store refuses the credentials ({code}); check aws_access_key_id and "
    "aws_secret_access_key in [s3], or those of the environment"
)
_EXPIRED = "the credentials have expired ({code}); renew them, and run the command again"
_WRONG_REGION = "the store refuses the region of the request ({code}); check region_name in [s3]"
_CLOCK = "the clocks of this machine and of the store differ too much ({code}); set them"
_OF_CREDENTIALS = {
    **dict.fromkeys(("InvalidAccessKeyId", "SignatureDoesNotMatch"), _WRONG_CREDENTIALS),
    **dict.fromkeys(("ExpiredToken", "InvalidToken", "TokenRefreshRequired"), _EXPIRED),
    **dict.fromkeys(("AuthorizationHeaderMalformed", "PermanentRedirect"), _WRONG_REGION),
    "RequestTimeTooSkewed": _CLOCK,
}
"""What is wrong with every request, by the code of the answer."""

_NO_CREDENTIALS = (
    "there are no credentials: neither in [s3] nor in the environment, in the shared credentials "
    "file, or of this machine"
)
_NO_BUCKET = "there is no such bucket; create it, or correct directory in [mirror]"
_TOO_LONG = "its key is longer than the store permits"


class mapped_failures:  # noqa: N801 - used like a function
    """A context that raises a ``StorageError`` about ``key`` for every error of the store."""

    __slots__ = ("_bucket", "_key")

    def __init__(self, bucket: str, key: str) -> None:
        self._bucket = bucket
        self._key = key

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        """Raise the error that one of the store is mapped to."""
        if isinstance(error, exceptions.BaseError | OSError):
            raise storage_error(self._bucket, self._key, error) from error


def storage_error(bucket: str, key: str, error: Exception) -> errors.StorageError:
    """Return what an error of the store is for the mirror."""
    text = str(error).partition(_DETAILS)[0]
    code = found[1] if (found := _CODE.search(text)) else ""
    if code == "NoSuchBucket":
        return errors.StorageError(f"/{bucket}", _NO_BUCKET)
    if isinstance(error, FileNotFoundError):
        return errors.MissingObject(key)
    if code == "KeyTooLongError":
        return errors.UnstorableName(key, _TOO_LONG)
    if why := _of_credentials(error, code, text):
        return errors.StorageError(f"/{bucket}", why)
    if isinstance(error, exceptions.PermissionDeniedError):
        method = found[1] if (found := _METHOD.search(text)) else "the request"
        return errors.UnusablePlace(key, f"the store does not permit {method} there")
    return errors.StorageError(key, _unavailable(code, text))


def _of_credentials(error: Exception, code: str, text: str) -> str:
    """Return why the credentials or the way they are used are refused; "" if they are not."""
    if _INSTANCE_METADATA in text:
        return _NO_CREDENTIALS
    if isinstance(error, exceptions.UnauthenticatedError):
        return _OF_CREDENTIALS.get(code, _WRONG_CREDENTIALS).format(code=code or "401")
    return _OF_CREDENTIALS.get(code, "").format(code=code)


def _unavailable(code: str, text: str) -> str:
    """Return why a request failed in the end, after all attempts."""
    status = found[1].strip() if (found := _STATUS.search(text)) else ""
    if status:
        return f"the store answered {status}{f' ({code})' if code else ''}"
    reason = found[1] if (found := _REASON.search(text)) else text.splitlines()[0][:200]
    return f"the store does not answer: {reason.strip()}"
