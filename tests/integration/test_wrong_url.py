"""A wrong ``master`` or ``index-url``: it is no success, and nothing is removed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support import faults
from tests.support.static_site import CONTENTS, LAYOUTS, Reply, publish, static_site

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Ran, Site


def refused(site: Site, option: str, likely: str) -> None:
    """Check that every command that needs the index says that an option may be wrong."""
    first, *_ = site.allowlist or ["foo"]
    online = ("config", "check", "--online")
    for command in (("mirror",), ("mirror", "--dry-run"), ("plan",), ("sync", first), online):
        refuses(site, command, option, likely)


def refuses(site: Site, command: tuple[str, ...], option: str, likely: str) -> None:
    """Check that a command says that an option may be wrong, and changes nothing."""
    before = site.tree() if site.root.exists() else {}
    ran = site.ask(*command)
    assert ran.code == 3, (command, ran.out, ran.log)
    assert f"{option} may be wrong: " in ran.log
    assert "max-removals" not in ran.log
    if likely and command[0] != "sync":
        assert f"{option} may be wrong: try {likely} (main.py" in ran.log
    assert (site.tree() if site.root.exists() else {}) == before


def mirrored(make_site: Callable[..., Site], **options: object) -> Site:
    """Return a site that was mirrored with the right options, and then gets others."""
    site = make_site()
    assert site.mirror().code == 0
    site.clock.advance(hours=25)
    site.configure(**options)
    return site


ENDS = ["simple", "simple/", "pypi", "web", "pypi/simple", "Simple"]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    ("names", "changelog"),
    [
        (None, True),
        (None, False),
        (["foo"], True),
        (["foo", "bar", "baz"], False),
        pytest.param(["foo"], False, marks=pytest.mark.nightly),
        pytest.param(["foo", "bar", "baz"], True, marks=pytest.mark.nightly),
    ],
)
def test_the_end_of_a_master_that_does_not_belong_to_it_is_found(
    index: Index,
    server: IndexServer,
    make_site: Callable[..., Site],
    end: str,
    names: list[str] | None,
    *,
    changelog: bool,
) -> None:
    index.release("foo", "1.0")
    server.has_changelog = changelog
    wrong = f"{server.url}/{end}"
    new = make_site(master=wrong)
    if names:
        new.allow(*names)
    refused(new, "master", f"master = {server.url}")

    old = mirrored(make_site, master=wrong)
    if names:
        old.allow(*names)
    refused(old, "master", f"master = {server.url}")
    for _ in range(3):
        old.clock.advance(minutes=20)
        refuses(old, ("mirror",), "master", f"master = {server.url}")

    old.configure(master=server.url)
    assert old.mirror().code == 0
    assert "foo" in old.names()


@pytest.mark.parametrize("end", ["/simple", "/pypi", "/web", "/pypi/web"])
def test_some_right_masters_end_like_the_wrong_ones(
    index: Index, make_site: Callable[..., Site], end: str
) -> None:
    index.release("foo", "1.0")
    with static_site() as upstream:
        first = make_site()
        first.mirror()
        page = first.web / "simple/foo/index.html"
        upstream.replies[f"{end}/simple/"] = Reply((first.web / "simple/index.html").read_bytes())
        upstream.replies[f"{end}/simple/foo/"] = Reply(page.read_bytes())
        for file in first.web.rglob("packages/**/*"):
            if file.is_file():
                path = f"{end}/{file.relative_to(first.web)}"
                upstream.replies[path] = Reply(file.read_bytes(), "application/octet-stream")
        site = make_site(master=f"{upstream.url}{end}")
        online = site.ask("config", "check", "--online")
        assert online.code == 0, online.log
        assert "The index: it has a project list" in online.out
        assert site.mirror().code == 0
        assert site.names() == ["foo"]

        for missing in {"", "/pypi", "/nothing"} - {end}:
            wrong = make_site(master=upstream.url + missing)
            ran = wrong.mirror()
            assert ran.code == 3
            assert "master may be wrong: " in ran.log


def test_the_root_of_a_simple_index_is_no_master(make_site: Callable[..., Site]) -> None:
    for layout in LAYOUTS.values():
        with static_site() as upstream:
            publish(upstream, layout)
            for names in (None, sorted(CONTENTS)):
                if not (layout.listed or names):
                    continue
                site = make_site(master=upstream.url + layout.root.rstrip("/"))
                if names:
                    site.allow(*names)
                ran = site.mirror()
                assert ran.code == 3
                likely = f"index-url = {upstream.url}{layout.root}"
                if layout.root.endswith("/simple/"):
                    likely = f"master = {upstream.url}{layout.root.removesuffix('/simple/')}"
                assert f"master may be wrong: try {likely} (main.py" in ran.log


def test_the_page_of_a_project_is_no_master(make_site: Callable[..., Site]) -> None:
    with static_site() as upstream:
        publish(upstream, LAYOUTS["nexus"])
        for end in ("/simple/torch", "/simple/torch/", "/pypi/torch/json"):
            site = make_site(master=f"{upstream.url}/repository/pypi{end}")
            ran = site.mirror()
            assert ran.code == 3
            likely = f"master = {upstream.url}/repository/pypi"
            assert f"master may be wrong: try {likely} (main.py" in ran.log


def test_a_wrong_index_url_is_found(make_site: Callable[..., Site]) -> None:
    with static_site() as upstream:
        publish(upstream, LAYOUTS["nexus"])
        right = f"{upstream.url}/repository/pypi/simple/"
        for wrong in (f"{upstream.url}/repository/pypi", f"{right}torch/"):
            for names in (None, ["torch"]):
                site = make_site()
                del site.options["master"]
                site.configure(index_url=wrong)
                if names:
                    site.allow(*names)
                refused(site, "index-url", f"index-url = {right}")


def test_an_index_with_none_of_the_named_projects_is_no_success(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    site.allow("misspelt", "other")

    for _ in range(3):
        ran = site.mirror()
        assert ran.code == 3
        assert (
            "the index has no page of misspelt, other; "
            "master may be wrong: or the names of the projects are"
        ) in ran.log
        site.clock.advance(hours=1)
    assert site.ask("config", "check", "--online").code == 3

    site.allow("misspelt", "foo")
    ran = site.ask("config", "check", "--online")
    assert ran.code == 0
    assert "The index: it has a page of foo" in ran.out
    assert site.mirror().code == 0


def test_a_project_that_the_index_had_is_removed_as_before(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.allow("foo")
    site.mirror()
    index.remove_project("foo")

    site.clock.advance(hours=25)
    ran = site.mirror()

    assert ran.code in {0, 5}
    assert "may be wrong" not in ran.log


@pytest.mark.parametrize(
    ("status", "is_wrong"), [(404, True), (403, True), (400, True), (401, False), (500, False)]
)
def test_only_some_answers_mean_that_the_url_is_wrong(
    index: Index, server: IndexServer, site: Site, status: int, *, is_wrong: bool
) -> None:
    index.release("foo", "1.0")
    for where in ("list", "detail", "xmlrpc"):
        server.fault(where, faults.status(status))
    for names in (None, ["foo"]):
        if names:
            site.allow(*names)
        ran = site.mirror()
        assert ran.code == (4 if status == 401 and names else 3)
        assert ("may be wrong" in ran.log) == is_wrong


def test_a_site_that_answers_every_request_with_a_page_is_no_index(
    make_site: Callable[..., Site],
) -> None:
    for body in (b"<html>welcome</html>", b'<a href="/about/">About</a>', b"", b"ok", b"{}"):
        with static_site() as upstream:
            upstream.choose = partial(_always, Reply(body))
            for names in (None, ["foo", "bar"]):
                site = make_site(master=upstream.url)
                if names:
                    site.allow(*names)
                ran = site.mirror()
                assert ran.code == 3, ran.log
                assert "master may be wrong" in ran.log


def _always(reply: Reply, _: str, __: object) -> Reply:
    return reply


def test_a_plan_for_an_unknown_project_says_nothing_about_the_url(index: Index, site: Site) -> None:
    index.release("foo", "1.0")

    ran: Ran = site.ask("plan", "misspelt")

    assert ran.code == 0
    assert "may be wrong" not in ran.log
