"""A path belongs to one content: projects share files, and never replace each other's.

The generated indexes have projects that name the same paths, with the same content or another one.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from bandersnatch.config.schema import ApiMethod
from bandersnatch.layout import StorageKey
from bandersnatch.mirror.adopt import Adoption
from bandersnatch.mirror.verify.budget import VerifyOptions
from bandersnatch.mirror.verify.run import Verification
from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.model.names import is_named_after, project_name
from tests.support.clock import QuickClock
from tests.support.index import Index
from tests.support.world import KillableCatalogue, World

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from tests.support.site import Site


PROJECTS = ("alpha", "foo", "foo-bar", "foo-bar-baz", "zeta")
FILENAMES = (
    *("foo-1.0.tar.gz", "foo-bar-1.0.tar.gz", "foo-bar-baz-1.0.zip", "alpha-1.0.tar.gz"),
    *("other-1.0.zip", "foo_bar-1.0-py3-none-any.whl"),
)


class Claim(NamedTuple):
    """A project names a path with some content."""

    project: str
    filename: str
    directory: int
    content: int

    @property
    def local(self) -> str:
        """The path in the mirror: a file that is not named after its project has its digest."""
        if is_named_after(self.filename, project_name(self.project)):
            return self.path
        digest = hashlib.sha256(self.body).hexdigest()
        return f"packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{self.filename}"

    @property
    def path(self) -> str:
        """The path of the URL."""
        return f"packages/{self.directory}/{self.filename}"

    @property
    def body(self) -> bytes:
        """The content."""
        return f"{self.filename} {self.content}".encode()


def is_possible(claim: Claim) -> bool:
    """Whether a project's page may have the file: a wheel is of one project only."""
    is_wheel = claim.filename.endswith(".whl")
    return not is_wheel or is_named_after(claim.filename, project_name(claim.project))


claims = st.builds(
    Claim,
    st.sampled_from(PROJECTS),
    st.sampled_from(FILENAMES),
    st.integers(0, 1),
    st.integers(0, 2),
).filter(is_possible)

universes = st.lists(
    claims, min_size=1, max_size=9, unique_by=lambda each: (each.project, each.filename)
)
histories = universes.flatmap(
    lambda some: st.lists(st.sets(st.sampled_from(some), min_size=1), max_size=3)
)


def publish(index: Index, some: Iterable[Claim]) -> None:
    """Make the index have exactly these files; each content has a URL of its own."""
    wanted = {(each.project, each.filename): each for each in some}
    for name, project in list(index.projects.items()):
        for filename, file in list(project.files.items()):
            claim = wanted.get((name, filename))
            if claim is None or file.content != claim.body or not file.path.endswith(claim.path):
                index.remove_file(name, filename)
        if not any(each == name for each, _ in wanted):
            index.remove_project(name)
    for claim in wanted.values():
        has = index.projects.get(claim.project)
        if has is None or claim.filename not in has.files:
            version = "1.0"
            path = f"https://files{claim.content}.example.org/{claim.path}"
            index.upload(claim.project, version, claim.filename, content=claim.body, path=path)


def rank(claim: Claim) -> tuple[int, str]:
    """Return a key by which the claim with the best right comes first."""
    return -len(claim.project), claim.project


def expected(some: Collection[Claim]) -> dict[str, list[str]]:
    """Return the file names on each project's page after one run."""
    winners = {path: min((c for c in some if c.local == path), key=rank) for path in paths(some)}
    pages: dict[str, list[str]] = {}
    for claim in some:
        if winners[claim.local].content == claim.content:
            pages.setdefault(claim.project, []).append(claim.filename)
    return {name: sorted(filenames) for name, filenames in pages.items()}


def paths(some: Iterable[Claim]) -> set[str]:
    """Return the paths that are claimed."""
    return {each.local for each in some}


def pages(world: World) -> dict[str, list[str]]:
    """Return the file names on each project's page, after checking that the files are right."""
    found = {}
    for name in PROJECTS:
        page = world.page(name)
        if page is None:
            continue
        for file in page["files"]:
            local = f"web/{file['url'].removeprefix('../../')}"
            content = world.tree()[local]
            assert hashlib.sha256(content).hexdigest() == file["hashes"]["sha256"], (name, file)
        found[name] = sorted(file["filename"] for file in page["files"])
    root = json.loads(world.text("web/simple/index.v1_json") or "{}")
    assert [each["name"] for each in root["projects"]] == sorted(found)
    return found


def new_world() -> World:
    """Return an empty index with a mirror."""
    return World(Index(), QuickClock(), ApiMethod.XMLRPC)


@settings(max_examples=40)
@given(universes, st.randoms())
def test_the_tree_does_not_depend_on_the_order(some: list[Claim], dice: object) -> None:
    trees = []
    for _ in range(2):
        dice.shuffle(some)  # type: ignore[attr-defined] # an instance of Random
        world = new_world()
        publish(world.index, some)
        world.run()
        assert pages(world) == expected(some)
        trees.append({k: v for k, v in world.tree().items() if k.startswith("web/packages/")})
    assert trees[0] == trees[1]
    assert set(trees[0]) == {f"web/{path}" for path in paths(some)}


@settings(max_examples=40)
@given(histories)
def test_no_file_is_replaced_and_none_is_missing(history: list[set[Claim]]) -> None:
    """A project that had a path before a run keeps it as long as its page names it."""
    world = new_world()
    before: dict[str, list[Claim]] = {}
    for some in history:
        publish(world.index, some)
        world.run()
        found = pages(world)
        holders = {
            path: [c for c in some if c.local == path and c.filename in found.get(c.project, [])]
            for path in paths(some)
        }
        for path, had in before.items():
            still = [claim for claim in had if claim in some]
            for claim in still:
                assert claim in holders[path], "a published file was lost to another project"
        for path, have in holders.items():
            assert have, f"nobody has {path}"
            assert len({claim.content for claim in have}) == 1
        before = holders


@settings(max_examples=20)
@given(universes)
def test_a_tree_that_is_adopted_has_the_same_owners(some: list[Claim]) -> None:
    world = new_world()
    publish(world.index, some)
    world.run()
    before = world.tree()
    world.catalogue = KillableCatalogue(world.storage)

    world.run()

    assert pages(world) == expected(some)
    files = [key for key in before if key.startswith("web/packages/")]
    assert {key: world.tree().get(key) for key in files} == {key: before[key] for key in files}


@pytest.mark.parametrize("content", [0, 1])
def test_an_adopted_path_of_two_contents_belongs_to_the_better_name(content: int) -> None:
    """Releases before 9.0 overwrote a file of another project."""
    shared = [
        Claim("foo", "foo-bar-1.0.tar.gz", 0, 0),
        Claim("foo-bar", "foo-bar-1.0.tar.gz", 0, 1),
    ]
    both = [*shared, Claim("foo", "foo-1.0.tar.gz", 0, 0)]
    trees: dict[str, bytes] = {}
    for name in ("foo", "foo-bar"):
        world = new_world()
        publish(world.index, [claim for claim in both if claim.project == name])
        world.run()
        trees |= world.tree()
    trees[f"web/{shared[0].path}"] = shared[content].body
    world = new_world()
    publish(world.index, both)
    for key, body in trees.items():
        world.storage.put(StorageKey(key), body)

    asyncio.run(Adoption.of(world.mirror(), datetime(2026, 11, 30, tzinfo=UTC)).run())
    assert list(world.catalogue.records) == ["foo-bar"], "foo is to be synced"
    world.run()

    found = pages(world)
    assert found == {"foo": ["foo-1.0.tar.gz"], "foo-bar": ["foo-bar-1.0.tar.gz"]}


def test_a_path_has_the_core_metadata_of_one_project() -> None:
    world, path = new_world(), "packages/0/foo-bar-1.0.tar.gz"
    for name in ("foo", "foo-bar"):
        url = f"https://{name}.example.org/{path}"
        world.index.upload(
            name, "1.0", "foo-bar-1.0.tar.gz", content=b"1", path=url, metadata=name.encode()
        )
        world.index.upload(name, "1.0", f"{name}-2.0.zip")

    for _ in range(2):
        world.run()

        assert world.tree()[f"web/{path}.metadata"] == b"foo-bar"
        assert pages(world) == {
            "foo": ["foo-2.0.zip"],
            "foo-bar": ["foo-bar-1.0.tar.gz", "foo-bar-2.0.zip"],
        }


def test_core_metadata_leaves_with_the_last_project_that_advertises_it() -> None:
    world, path = new_world(), "packages/0/foo-bar-1.0.tar.gz"
    for name, metadata in (("foo", b"metadata"), ("foo-bar", None)):
        url = f"https://{name}.example.org/{path}"
        world.index.upload(
            name, "1.0", "foo-bar-1.0.tar.gz", content=b"1", path=url, metadata=metadata
        )
        world.index.upload(name, "1.0", f"{name}-2.0.zip")
    world.run()
    assert f"web/{path}.metadata" in world.tree()

    world.index.remove_file("foo", "foo-bar-1.0.tar.gz")
    world.run()

    assert f"web/{path}.metadata" not in world.tree()
    assert world.tree()[f"web/{path}"] == b"1"
    assert f"removed/{path}.metadata" in world.storage.objects


def test_verify_repairs_no_file_over_that_of_its_owner() -> None:
    """Records may disagree, as those of releases before 9.0; the better name keeps the path."""
    world = new_world()
    path = "packages/0/foo-bar-1.0.tar.gz"
    mine, theirs = (
        Claim("foo-bar", "foo-bar-1.0.tar.gz", 0, 0),
        Claim("foo", "foo-bar-1.0.tar.gz", 0, 1),
    )
    publish(world.index, [mine, theirs, Claim("foo", "foo-1.0.tar.gz", 0, 0)])
    world.run()
    records = world.catalogue.records
    (found,) = records[project_name("foo-bar")].files
    hashes = Hashes((Digest("sha256", hashlib.sha256(theirs.body).hexdigest()),))
    other = replace(found.file, hashes=hashes)
    foo = records[project_name("foo")]
    records[foo.name] = structs.replace(
        foo,
        detail=replace(foo.detail, files=(*foo.detail.files, other)),
        files=(*foo.files, structs.replace(found, file=other)),
    )

    downloads = world.upstream.downloads

    asyncio.run(Verification(world.mirror(), VerifyOptions()).run())

    assert world.upstream.downloads == downloads
    assert world.tree()[f"web/{path}"] == mine.body
    assert any("belongs to foo-bar, with other content" in str(each) for each in world.report)


def test_a_restored_project_takes_no_path_of_another_one(index: Index, site: Site) -> None:
    path = "/packages/shared/foo-bar-1.0.tar.gz"
    index.upload("foo", "1.0", "foo-bar-1.0.tar.gz", content=b"one", path=path)
    index.release("other", "1.0")
    assert site.mirror().code == 0
    index.remove_project("foo")
    assert site.mirror().code == 0
    index.upload("foo-bar", "1.0", "foo-bar-1.0.tar.gz", content=b"two", path=path)
    assert site.mirror().code == 0
    before = site.tree()

    ran = site.run("restore", "foo")

    assert ran.failed == {"foo": "UnrestorableProject"}
    assert site.tree() == before
    assert before[path[1:]] == b"two"


def test_a_file_stays_that_another_project_has_named_in_the_same_run() -> None:
    """The catalogue need not know of it yet."""
    world, path = new_world(), "packages/0/foo-bar-1.0.tar.gz"
    alpha = Claim("foo", "foo-bar-1.0.tar.gz", 0, 0)
    publish(world.index, [alpha, Claim("foo", "foo-1.0.tar.gz", 0, 0)])
    world.run()

    for step in range(4):
        name = ("foo-bar", "foo")[step % 2]
        publish(world.index, [alpha._replace(project=name), Claim("foo", "foo-1.0.tar.gz", 0, 0)])
        world.run()
        assert world.tree()[f"web/{path}"] == alpha.body
        assert f"removed/{path}" not in world.storage.objects


def test_a_file_stays_that_another_losing_project_has_named_in_the_same_run() -> None:
    """Pages that lose files are published last, together: the catalogue has neither of them yet."""
    world, path = new_world(), "packages/0/foo-bar-1.0.tar.gz"
    shared = Claim("foo", "foo-bar-1.0.tar.gz", 0, 0)
    own = [
        Claim(name, f"{name}-{number}.0.tar.gz", 0, 0)
        for name in ("foo", "foo-bar")
        for number in range(2, 7)
    ]
    publish(world.index, [shared, *own])
    world.run()

    kept = [each for each in own if each.filename.endswith("-2.0.tar.gz")]
    publish(world.index, [shared._replace(project="foo-bar"), *kept])
    world.run()

    assert world.tree()[f"web/{path}"] == shared.body
    assert f"removed/{path}" not in world.storage.objects
