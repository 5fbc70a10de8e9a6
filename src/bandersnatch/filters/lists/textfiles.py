"""Text files that options name: their encoding, and their lines with where each stands."""

from __future__ import annotations

import re

from bandersnatch.errors import OptionError
from bandersnatch.filters.options import Line, Origin, without_comment

_BYTE_ORDER_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),  # begins as that of UTF-16 does
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_CODING_COMMENT = re.compile(rb"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_LINE_END = re.compile(r"\r\n|\r|\n")


def file_lines(path: str, content: bytes) -> list[Line]:
    """Return the lines of a list file that say something.

    :raises OptionError: if it is no text.
    """
    lines = []
    for number, text in text_lines(decoded(path, content)):
        said = without_comment(text)
        if said:
            lines.append(Line(said, Origin(path, number, text.strip())))
    return lines


def decoded(path: str, content: bytes) -> str:
    """Return a text file's text: by its byte order mark, its coding comment, or as UTF-8.

    :raises OptionError: if it is no such text.
    """
    coding = next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), "")
    if not coding:
        comments = map(_CODING_COMMENT.match, content.split(b"\n", 2)[:2])
        coding = next((found[1].decode() for found in comments if found), "utf-8")
    try:
        return content.decode(coding)
    except LookupError:
        raise OptionError(f"{path} says that its encoding is {coding}; nobody knows that") from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise OptionError(f"{path}, line {line} is not {coding}; save it as UTF-8") from None
    except UnicodeError:
        raise OptionError(f"{path} is not {coding}; save it as UTF-8") from None


def text_lines(text: str) -> list[tuple[int, str]]:
    """Return the lines of a text with their numbers, which are those that editors show."""
    return list(enumerate(_LINE_END.split(text), start=1))
