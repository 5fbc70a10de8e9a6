"""User names and passwords from a netrc file, for the hosts that the configuration names.

The file is the one that ``NETRC`` names, or ``.netrc`` in the home directory, as for curl. An
entry ``default`` counts for configured hosts only, like every other one.
"""

from __future__ import annotations

import netrc
import stat
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bandersnatch.config.schema import Login
from bandersnatch.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def netrc_path(environment: Mapping[str, str]) -> Path:
    """Return the path of the file; ``environment`` has the variables of the process.

    :raises OptionError: if there is no home directory.
    """
    if named := environment.get("NETRC", ""):
        return Path(named)
    try:
        return Path.home() / ".netrc"
    except RuntimeError:
        raise OptionError("there is no home directory; set the variable NETRC") from None


def read_logins(path: Path, origins: Iterable[str]) -> list[Login]:
    """Return the logins of the origins (scheme, host and port) whose hosts the file has.

    :raises OptionError: if the file cannot be used; no value of it is repeated.
    """
    try:
        mode = path.stat().st_mode
        entries = netrc.netrc(str(path))
    except netrc.NetrcParseError as error:
        raise OptionError(f"{path}, line {error.lineno} is not an entry of a netrc file") from None
    except UnicodeDecodeError:
        raise OptionError(f"{path} is not UTF-8") from None
    except OSError as error:
        raise OptionError(f"{path} cannot be read: {error.strerror}") from None
    if stat.S_ISREG(mode) and mode & stat.S_IROTH:
        raise OptionError(f"every user can read {path}, which has passwords; run: chmod o= {path}")
    logins = []
    for origin in dict.fromkeys(origins):
        found = entries.authenticators(urlsplit(origin).hostname or "")
        if found is not None:
            user, account, password = found
            logins.append(Login(origin, user or account or "", password or ""))
    return logins
