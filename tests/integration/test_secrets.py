"""No secret of the configuration is shown, whatever fails: log, output, report, status, tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site

TOKEN = "t0ken-in-the-path"
PASSWORD = "s3cret-passw0rd"
QUERY = "signature-0f-a-file"

FAILURES: dict[str, Callable[[IndexServer], object]] = {
    "missing": lambda server: server.fault("/", faults.status(404)),
    "broken": lambda server: server.fault("/", faults.status(500)),
    "unauthorized": lambda server: server.fault("/", faults.status(401)),
    "forbidden": lambda server: server.fault("/", faults.status(403)),
    "redirect": lambda server: server.fault("/", faults.redirect(f"ftp://x.example.org/?{QUERY}")),
    "redirect with a login": lambda server: server.fault(
        "/", faults.redirect(f"http://{QUERY}@127.0.0.1:1/x?{QUERY}")
    ),
    "no page": lambda server: server.fault("/", faults.edit(lambda _: b"nonsense")),
    "files missing": lambda server: server.fault("file", faults.status(404)),
    "files broken": lambda server: server.fault("file", faults.status(500)),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("option", ["master", "index-url"])
def test_no_failure_shows_a_secret(
    index: Index, server: IndexServer, site: Site, failure: str, option: str
) -> None:
    index.release("foo", "1.0")
    url = server.url.replace("://", f"://user:{PASSWORD}@")
    site.options.pop("master")
    site.configure(**{option: f"{url}/{TOKEN}", "download-mirror": f"{url}/{TOKEN}/files"})
    site.allow("foo")
    FAILURES[failure](server)

    shown = []
    for command in (("mirror", "--debug"), ("status",), ("status", "--json"), ("config", "check")):
        ran = site.run(*command) if command[0] == "mirror" else site.ask(*command)
        shown += [ran.log, ran.out, str(ran.report)]
    stored = [path.read_bytes() for path in site.root.rglob("*") if path.is_file()]

    for secret in (TOKEN, PASSWORD, QUERY):
        for text in shown:
            assert secret not in text
        assert not any(secret.encode() in content for content in stored)
