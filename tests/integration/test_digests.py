"""Indexes whose pages give any digests of files, in any spelling, or none."""

from __future__ import annotations

import hashlib
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.support.index import File, Index
    from tests.support.server import IndexServer
    from tests.support.site import Site

ALGORITHMS = ("md5", "sha1", "sha256", "sha384", "sha512", "blake2b")
SUBSETS = [
    subset for count in range(len(ALGORITHMS) + 1) for subset in combinations(ALGORITHMS, count)
]
HAS_LENGTH_OF_ITS_OWN = frozenset(ALGORITHMS) - {"blake2b"}
"""The algorithms that a digest without a name is taken for."""
LARGE = 3_000_000


def digests(content: bytes, algorithms: Iterable[str]) -> dict[str, str]:
    """Return the digests of ``content``."""
    return {name: hashlib.new(name, content).hexdigest() for name in algorithms}


def upper(told: Mapping[str, str]) -> dict[str, str]:
    """Return the digests in upper case."""
    return {name.upper(): value.upper() for name, value in told.items()}


FRAGMENTS: dict[str, Callable[[dict[str, str]], str]] = {
    "plain": lambda told: "&".join(f"{name}={value}" for name, value in told.items()),
    "upper": lambda told: "&".join(f"{name}={value}" for name, value in upper(told).items()),
    "egg": lambda told: "&".join([*(f"{name}={value}" for name, value in told.items()), "egg=foo"]),
    "bare": lambda told: "&".join(told.values()),
}
HASHES: dict[str, Callable[[dict[str, str]], Any]] = {
    "plain": lambda told: told,
    "upper": upper,
    "hyphen": lambda told: {name.replace("sha", "sha-"): value for name, value in told.items()},
    "text": FRAGMENTS["plain"],
}
CASES = [
    *(("json", spelling) for spelling in HASHES),
    *(("html", spelling) for spelling in FRAGMENTS),
    *(("legacy", spelling) for spelling in ("plain", "upper")),
]


def give(file: File, form: str, spelling: str, algorithms: Iterable[str]) -> None:
    """Make the index give these digests of a file, and an ETag of its content."""
    told = digests(file.content, algorithms)
    file.hashes, file.fragment, file.digests = {}, "", {}
    file.headers["ETag"] = f'"{file.sha256}"'
    if form == "json":
        file.hashes = HASHES[spelling](told)
    elif form == "html":
        file.fragment = FRAGMENTS[spelling](told)
    else:
        file.digests = HASHES[spelling](told)


def bare_page_of(server: IndexServer, form: str) -> None:
    """Make the server answer in one form."""
    server.speaks_json = form == "json"


def shown(site: Site, name: str) -> dict[str, str]:
    """Return the digests of the only file on a project's page."""
    (file,) = site.page(name)["files"]
    hashes: dict[str, str] = file["hashes"]
    return hashes


# ---------------------------------------------------------------- all subsets, spellings, forms


CHANGES = ("content", "algorithm", "sha256")


@pytest.mark.parametrize(("form", "spelling"), CASES, ids=str)
def test_every_set_of_digests_is_mirrored_and_compared_later(
    index: Index, server: IndexServer, site: Site, *, form: str, spelling: str
) -> None:
    site.configure(accept_unhashed="true")
    bare_page_of(server, form)
    subsets = [s for s in SUBSETS if spelling != "bare" or HAS_LENGTH_OF_ITS_OWN.issuperset(s)]
    projects = {
        f"p{number}-{change}": (subset, change)
        for number, subset in enumerate(subsets)
        for change in CHANGES
    }
    for name, (subset, _) in projects.items():
        give(index.upload(name, "1.0", f"{name}-1.0.zip"), form, spelling, subset)

    ran = site.mirror()

    assert (ran.code, ran.failed) == (0, {})
    for name, case in projects.items():
        (file,) = index.projects[name].files.values()
        assert shown(site, name) == {"sha256": file.sha256}, case
    site.check()
    before = site.tree()

    for name, (subset, change) in projects.items():
        (old,) = index.projects[name].files.values()
        content = None if change == "content" else old.content
        file = index.upload(name, "1.0", old.filename, content=content, yanked="other page")
        later = {"content": subset, "algorithm": ("sha3_256",), "sha256": ("sha256",)}[change]
        give(file, form, spelling if change == "content" else "plain", later)
    server.forget()

    again = site.mirror()

    changed = {name for name, (_, change) in projects.items() if change == "content"}
    assert again.failed == dict.fromkeys(changed, "ChangedFile")
    assert again.code == 5
    (unhashed,) = index.projects["p0-content"].files.values()
    assert set(server.paths("file")) == {unhashed.path}
    assert {path: text for path, text in site.tree().items() if "packages" in path} == {
        path: text for path, text in before.items() if "packages" in path
    }
    site.check()


@pytest.mark.parametrize("form", ["json", "html"])
def test_the_strongest_digest_is_checked(
    index: Index, server: IndexServer, site: Site, form: str
) -> None:
    """A wrong digest that is stronger fails the download; a weaker one is not used."""
    bare_page_of(server, form)
    wrong = b"other bytes"
    for strong, weak in combinations(("sha256", "sha512", "sha1", "md5"), 2):
        for name, bad in ((f"{strong}-{weak}-1", strong), (f"{strong}-{weak}-2", weak)):
            file = index.upload(name, "1.0", f"{name}-1.0.zip")
            told = digests(file.content, (weak, strong)) | digests(wrong, (bad,))
            file.hashes, file.fragment = told, FRAGMENTS["plain"](told)
            file.digests = {}

    ran = site.mirror()

    assert ran.code == 4
    assert set(ran.failed) == {name for name in index.projects if name.endswith("-1")}
    site.check()
    for name in index.projects:
        if name.endswith("-2"):
            (file,) = index.projects[name].files.values()
            assert shown(site, name) == {"sha256": file.sha256}


@pytest.mark.parametrize(
    "told", [{"sha256": "0" * 63}, {"md5": "x" * 32}, {"sha512": "0"}], ids=str
)
def test_a_malformed_digest_is_not_none(index: Index, site: Site, told: dict[str, str]) -> None:
    site.configure(accept_unhashed="true")
    index.release("foo", "1.0")
    index.upload("foo", "2.0", "foo-2.0.zip", hashes=told)

    ran = site.mirror()

    assert ran.code == 4
    assert "hexadecimal digits" in str(ran.report["rejected"])
    assert len(site.filenames("foo")) == 1


# ---------------------------------------------------------------- files without a digest


def test_a_file_without_a_digest_fails_and_names_the_option(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    index.upload("foo", "2.0", "foo-2.0.zip", hashes={}, digests={})
    index.upload("bare", "1.0", "bare-1.0.zip", hashes={}, digests={})

    ran = site.mirror()

    assert ran.code == 4
    assert ran.failed.keys() == {"foo", "bare"}
    assert [line.count("accept-unhashed = true") for line in ran.errors()] == [1, 1]
    assert site.filenames("foo") == ["foo-1.0-py3-none-any.whl"]
    site.check()

    site.configure(accept_unhashed="true")
    accepted = site.mirror()

    assert (accepted.code, accepted.failed) == (0, {})
    assert len(site.filenames("foo")) == 2
    assert site.filenames("bare") == ["bare-1.0.zip"]
    site.check()


def test_a_digest_that_disappears_keeps_the_file_and_fails(index: Index, site: Site) -> None:
    (file,) = index.release("foo", "1.0")
    site.mirror()
    file.hashes, file.digests = {}, {}
    index.release("foo", "2.0")

    ran = site.mirror()

    assert ran.code == 4
    assert len(site.filenames("foo")) == 2
    site.check()


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
@pytest.mark.parametrize("is_asked", [True, False], ids=["page changed", "page unchanged"])
def test_an_unhashed_file_has_changed_if_its_validators_have(
    index: Index, server: IndexServer, site: Site, header: str, *, is_asked: bool
) -> None:
    values = {"ETag": ['"1"', '"2"'], "Last-Modified": ["Mon, 02 Nov 2026 10:00:00 GMT"] * 2}[
        header
    ]
    values[1] = values[1].replace("10:00", "09:00")  # an older file is another one, too
    site.configure(accept_unhashed="true")
    site.allow("foo")
    server.has_changelog = server.has_serials = False
    path = "/packages/own/foo-1.0.zip"
    file = index.upload("foo", "1.0", "foo-1.0.zip", path=path, hashes={}, digests={})
    file.headers[header] = values[0]
    old = file.content
    assert site.mirror().code == 0
    server.forget()

    assert site.mirror().code == 0
    assert len(server.paths("file")) == 1
    assert ("If-None-Match" in server.asked[-1].headers) == (header == "ETag")

    file.content, file.headers[header] = old[::-1], values[1]
    if is_asked:
        index.release("foo", "2.0")
    refused = site.mirror()
    assert (refused.code, refused.failed) == (5, {"foo": "ChangedFile"})
    assert f"with {header} " in refused.log
    assert (site.web / file.path[1:]).read_bytes() == old

    accepted = site.mirror("--accept-change", "foo")
    assert (accepted.code, accepted.failed) == (0, {})
    assert (site.web / file.path[1:]).read_bytes() == old[::-1]
    site.check()
    assert site.mirror().code == 0


def test_an_unhashed_file_that_gets_its_sha256_is_not_downloaded_again(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(accept_unhashed="true")
    file = index.upload("foo", "1.0", "foo-1.0.zip", hashes={}, digests={})
    site.mirror()
    server.forget()
    file.hashes = None
    index.release("foo", "2.0")

    assert site.mirror().code == 0
    assert file.path not in server.paths("file")
    site.check()


def test_an_unhashed_file_is_known_from_the_page_when_the_catalogue_is_lost(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(accept_unhashed="true")
    file = index.upload("foo", "1.0", "foo-1.0.zip", hashes={}, digests={})
    site.mirror()
    (site.root / "catalogue.sqlite").unlink()
    (site.root / "status").unlink()
    content = (site.web / file.path[1:]).stat()

    assert site.mirror().code == 0
    assert (site.web / file.path[1:]).stat().st_ino == content.st_ino
    site.check()


# ---------------------------------------------------------------- without release files


def test_pages_without_release_files_carry_the_given_digest(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(release_files="false", accept_unhashed="true", root_uri="https://example.org")
    server.has_legacy = False
    for name, algorithms in (("weak", ("md5", "sha1")), ("none", ()), ("usual", ("sha256", "md5"))):
        give(index.upload(name, "1.0", f"{name}-1.0.zip"), "json", "plain", algorithms)

    assert site.mirror().code == 0

    assert list(shown(site, "weak")) == ["sha1"]
    assert shown(site, "none") == {}
    assert list(shown(site, "usual")) == ["sha256"]
    assert "#" not in site.text("web/simple/none/index.html")
    assert "#sha1=" in site.text("web/simple/weak/index.html")
    before = site.tree()
    assert site.mirror("--force-check").code == 0
    assert site.tree() == before


# ---------------------------------------------------------------- paths


def test_a_file_keeps_its_path_when_the_index_begins_to_give_sha256(
    index: Index, server: IndexServer, site: Site
) -> None:
    file = index.upload("foo", "1.0", "foo-1.0.zip", path="/data/foo-1.0.zip", digests={})
    give(file, "json", "plain", ["md5"])
    server.has_legacy = False
    assert site.mirror().code == 0
    (url,) = [each["url"] for each in site.page("foo")["files"]]
    assert url.startswith("../../packages/url/")
    site.check()
    server.forget()

    file.hashes = None
    index.release("foo", "2.0")
    assert site.mirror().code == 0

    assert url in [each["url"] for each in site.page("foo")["files"]]
    assert file.path not in server.paths("file")
    (site.root / "catalogue.sqlite").unlink()
    assert site.mirror("--force-check").code == 0
    assert url in [each["url"] for each in site.page("foo")["files"]]
    site.check()


# ---------------------------------------------------------------- other commands


@pytest.mark.parametrize("algorithms", [("md5",), ("blake2b",), ()], ids=str)
def test_verify_repairs_a_damaged_file(
    index: Index, site: Site, algorithms: tuple[str, ...]
) -> None:
    site.configure(accept_unhashed="true")
    file = index.upload("foo", "1.0", "foo-1.0.zip")
    give(file, "json", "plain", algorithms)
    file.digests = {}
    site.mirror()
    path = site.web / file.path[1:]
    path.write_bytes(b"x" * len(file.content))

    assert site.run("verify").code == 0

    assert path.read_bytes() == file.content
    assert site.run("verify").code == 0
    assert site.mirror().code == 0


@pytest.mark.parametrize("algorithms", [("md5",), ()], ids=str)
def test_a_removed_project_is_restored(
    index: Index, server: IndexServer, site: Site, algorithms: tuple[str, ...]
) -> None:
    site.configure(accept_unhashed="true")
    file = index.upload("foo", "1.0", "foo-1.0.zip")
    give(file, "json", "plain", algorithms)
    index.release("bar", "1.0")
    site.mirror()
    assert site.run("delete", "foo", "--until-next-change").code == 0
    server.forget()

    assert site.run("restore", "foo").code == 0

    assert server.paths("file") == []
    site.check()


def test_plan_and_a_dry_run_change_nothing(index: Index, site: Site) -> None:
    site.configure(accept_unhashed="true")
    for number, algorithms in enumerate([("md5",), ("blake2b",), ()]):
        give(index.upload(f"p{number}", "1.0", f"p{number}-1.0.zip"), "json", "plain", algorithms)

    assert site.mirror("--dry-run").code == 0
    assert not site.web.exists() or not any(site.web.rglob("*.zip"))
    assert site.ask("plan").code == 0


@pytest.mark.parametrize("algorithms", [("md5",), ()], ids=str)
def test_a_partial_download_is_resumed_only_with_a_digest(
    index: Index, server: IndexServer, site: Site, algorithms: tuple[str, ...]
) -> None:
    site.configure(accept_unhashed="true")
    server.has_legacy = False
    file = index.upload("foo", "1.0", "foo-1.0.zip", size=LARGE)
    give(file, "json", "plain", algorithms)
    server.fault("file", faults.cut(2_000_000), times=1)
    server.fault("file", faults.status(404))
    site.mirror()
    named = [f"{server.url}{file.path} {name}={value}" for name, value in file.hashes.items()]
    assert site.leftovers() == [hashlib.sha256(each.encode()).hexdigest() for each in named]
    server.faults.clear()
    server.forget()

    site.mirror()

    ranges = [asked.headers.get("Range") for asked in server.asked if asked.kind == "file"]
    assert bool(ranges[0]) == bool(algorithms)
    site.check()
