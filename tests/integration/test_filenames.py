"""Files with unusual names, such as PyPI has: mirrored, served, adopted, removed and restored."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING

import pytest

from tests.support.earlier import EarlierRelease
from tests.support.processes import run_process

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.index import File, Index
    from tests.support.server import IndexServer
    from tests.support.site import Site

UNUSUAL = [
    "foo-1.0 (copy).zip",
    "foo-1.0#a.zip",
    "foo~1.0.zip",
    "foo-1.0@x.zip",
    "foo=1.0.zip",
    "foo-1,0.zip",
    "foo[1.0].tar.gz",
    "_foo-1.0.tar.gz",
    " foo-1.0.zip",
    "-foo.zip",
    "foo-1.0&amp;.zip",
    "<b>foo.zip",
    "foo'\".zip",
    "foo%20bar.zip",
    "foo?x=1.zip",
    "foo;v=1:2*|$HOME`x`.zip",
    "caf\xe9-1.0.zip",
    unicodedata.normalize("NFD", "caf\xe9-1.0.zip"),
    "\u4e2d\u6587-1.0.zip",
    "\U0001f600.zip",
    "other-1.0.zip",
    "\u4e2d" * 83 + ".zip",
]


def upload(index: Index, *filenames: str) -> list[File]:
    """Upload files with these names."""
    return [
        index.upload("foo", "1.0", each, escaped=True, metadata=b"Metadata-Version: 2.1\n")
        for each in filenames
    ]


def stored(site: Site) -> set[str]:
    """Return the paths of the release files in the tree."""
    return {path for path in site.tree() if path.startswith("packages/")}


def paths(files: list[File]) -> set[str]:
    """Return the paths at which the index has files, and core metadata if their names allow."""
    found = {file.path.lstrip("/") for file in files}
    long = {path for path in found if len(path.rpartition("/")[2].encode()) > 246}
    return found | {f"{path}.metadata" for path in found - long}


@pytest.mark.parametrize("speaks_json", [True, False])
@pytest.mark.parametrize("legacy", [True, False])
def test_files_with_unusual_names_are_mirrored_at_their_paths(
    index: Index, server: IndexServer, site: Site, *, speaks_json: bool, legacy: bool
) -> None:
    files = upload(index, *UNUSUAL)
    server.speaks_json = speaks_json
    site.configure(json=legacy)

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert site.filenames("foo") == sorted(UNUSUAL)
    assert stored(site) == paths(files)
    site.check()
    assert site.mirror("--force-check").code == 0
    assert site.run("verify").report["damage"]["found"] == 0
    assert site.run("verify", "--delete").report["orphans"]["files"] == 0
    assert stored(site) == paths(files)


@pytest.mark.parametrize("form", ["ALL", "HTML", "JSON"])
def test_links_begin_with_root_uri(index: Index, site: Site, form: str) -> None:
    (file,) = upload(index, "foo-1.0 <\xe9#&>.zip")
    site.configure(root_uri="https://files.example.org/pypi", simple_format=form)

    assert site.mirror().code == 0

    quoted = f"{file.path.rpartition('/')[0]}/foo-1.0%20%3C%C3%A9%23%26%3E.zip"
    for page in site.root.glob("web/simple/foo/index.*"):
        text = page.read_text(encoding="utf-8")
        assert f'"https://files.example.org/pypi{quoted}' in text
        assert "<\xe9" not in text or page.suffix == ".v1_json"


def test_the_diff_file_has_the_names_as_they_are(index: Index, site: Site, tmp_path: Path) -> None:
    files = upload(index, "foo-1.0 (copy).zip", "caf\xe9-1.0.zip")
    site.configure(diff_file=tmp_path / "diff")

    site.mirror()

    lines = (tmp_path / "diff").read_text(encoding="utf-8").splitlines()
    assert {str(site.web / file.path.lstrip("/")) for file in files} <= set(lines)


@pytest.mark.parametrize("release", ["4.0", "6.0", "8.0"])
def test_a_tree_of_an_earlier_release_is_adopted_without_a_download(
    index: Index, server: IndexServer, site: Site, release: str
) -> None:
    names = [name for name in UNUSUAL[:-1] if "<" not in name]
    upload(index, *names)
    index.release("bar", "1.0")
    EarlierRelease(site, index, release).write()
    before = stored(site)

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert server.paths("file") == []
    assert stored(site) >= before
    assert site.filenames("foo") == sorted(names)
    site.check()


def test_removed_files_are_restored_from_the_trash(
    index: Index, server: IndexServer, site: Site
) -> None:
    files = upload(index, *UNUSUAL[:3], "caf\xe9-1.0.zip")
    index.release("bar", "1.0")
    site.mirror()
    index.remove_file("foo", UNUSUAL[0])
    assert site.mirror().code == 0
    assert stored(site) & paths(files[:1]) == set()
    index.project("foo").files[UNUSUAL[0]] = files[0]
    index.yank("foo", "1.0")
    server.forget()

    assert site.mirror().code == 0

    assert server.paths("file") == []
    assert stored(site) >= paths(files)
    site.check()


def test_a_project_is_deleted_and_restored(index: Index, site: Site) -> None:
    files = upload(index, *UNUSUAL)
    index.release("bar", "1.0")
    site.mirror()
    site.allow("bar")

    assert site.run("delete", "foo").code == 0
    assert stored(site) & paths(files) == set()
    ran = site.run("restore", "foo")

    assert ran.code == 0, ran.log
    assert stored(site) >= paths(files)
    assert site.filenames("foo") == sorted(UNUSUAL)
    site.check()


def test_both_normal_forms_of_a_name_are_kept(index: Index, site: Site) -> None:
    forms = [unicodedata.normalize(form, "foo-\xe9.zip") for form in ("NFC", "NFD")]
    upload(index, *forms)

    assert site.mirror().code == 0

    assert sorted(site.filenames("foo")) == sorted(forms)
    assert len(stored(site)) == 4


def test_damage_is_repaired(index: Index, site: Site) -> None:
    files = upload(index, *UNUSUAL)
    site.mirror()
    for file in files:
        (site.web / file.path.lstrip("/")).write_bytes(b"damaged")

    ran = site.run("verify")

    assert ran.report["damage"]["repaired"] == len(files)
    site.check()


def test_why_explains_a_file(index: Index, site: Site) -> None:
    upload(index, "foo-1.0 (copy).zip")
    site.mirror()

    assert (
        "foo-1.0 (copy).zip: kept, and in the mirror"
        in site.ask("why", "foo", "foo-1.0 (copy).zip").out
    )


# ---------------------------------------------------------------- whose a file is


def test_a_file_that_another_project_lists_too_stays_when_one_of_them_drops_it(
    index: Index, site: Site
) -> None:
    (file,) = upload(index, "foo-1.0.zip")
    same = index.upload("bar", "1.0", "foo-1.0.zip", content=file.content)
    index.release("bar", "2.0")
    assert same.path == file.path
    site.mirror()
    index.remove_file("bar", "foo-1.0.zip")

    assert site.mirror().code == 0

    assert file.path.lstrip("/") in stored(site)
    site.check()


@pytest.mark.parametrize("first", ["foo", "zoo"])
def test_a_file_without_a_digest_in_its_path_takes_no_other_projects_place(
    index: Index, site: Site, first: str
) -> None:
    """A page can name any path; the file of the project that it is named after is there."""
    path = f"/packages/source/f/{first}/{first}-1.0.tar.gz"
    index.upload(first, "1.0", f"{first}-1.0.tar.gz", path=path, content=b"right")
    site.mirror()
    file = index.files[path]
    evil = index.upload("m", "1.0", f"{first}-1.0.tar.gz", path=f"/x{path}", content=b"wrong")
    evil.path = path
    index.files[path] = file

    ran = site.mirror()

    assert ran.code == 4
    assert ran.failed == {"m": "MissingFiles"}
    assert (site.web / path.lstrip("/")).read_bytes() == b"right"
    site.check()


@pytest.mark.parametrize(
    "name", ["foo-1.0.html", "foo-1.0.svg", "foo-1.0\u202egpj.zip", ".foo.zip"]
)
def test_names_that_could_mislead_are_rejected(index: Index, site: Site, name: str) -> None:
    index.release("foo", "1.0")
    upload(index, name)

    ran = site.mirror()

    assert ran.code == 4
    (rejected,) = ran.report["rejected"]
    assert rejected["file"] == (
        name if name.isprintable() else name.encode("unicode_escape").decode()
    )
    assert site.filenames("foo") == ["foo-1.0-py3-none-any.whl"]
    json.dumps(rejected)


# ---------------------------------------------------------------- locales


@pytest.mark.parametrize("utf8", ["0", "1"])
def test_names_are_stored_in_utf_8_or_rejected(index: Index, site: Site, utf8: str) -> None:
    """In another encoding a file would not be where its URL leads to."""
    index.release("foo", "1.0")
    files = upload(index, "caf\xe9-1.0.zip", "\u4e2d\u6587-1.0.zip")
    environment = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": utf8}

    ended = run_process(["-c", str(site.config), "mirror"], site.home, environment=environment)

    assert ended.code == (0 if utf8 == "1" else 4), ended.log
    assert ("set PYTHONUTF8=1" in ended.log) == (utf8 == "0")
    assert len(site.filenames("foo")) == (3 if utf8 == "1" else 1)
    assert paths(files) <= stored(site) or utf8 == "0"
    site.check()
