"""Trees as earlier releases wrote them, laid out byte for byte, are taken over and kept current."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.index import File, Index
    from tests.support.server import IndexServer
    from tests.support.site import Site


def _sidecar(file: File) -> str:
    """Return the digest of a file's core metadata, "" if it has none."""
    return "" if file.metadata is None else hashlib.sha256(file.metadata).hexdigest()


def _attributes(file: File) -> str:
    digest = _sidecar(file)
    names = ("data-core-metadata", "data-dist-info-metadata") if digest else ()
    return "".join(f' {name}="sha256={digest}"' for name in names)


class EarlierRelease:
    """Writes a tree as release 8 does (contract, section 3)."""

    def __init__(self, site: Site, index: Index) -> None:
        self.root, self.index = site.root, index
        self.hashed = False

    def write(self, *, legacy: bool = False, versions: bool = False) -> None:
        """Write everything that the index has now."""
        names = sorted(self.index.projects)
        for name in names:
            for file in self.index.projects[name].files.values():
                self._file(file)
            self._pages(name, versions=versions)
            if legacy:
                self._legacy(name)
        self._root(names)
        self._put("status", str(self.index.serial))
        self._put("generation", "5")
        self._put(".lock", "")
        self._put("web/last-modified", "20240501T00:00:00\n")
        (self.root / "web/local-stats/days").mkdir(parents=True)

    def _put(self, path: str, content: str | bytes) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target

    def _file(self, file: File) -> None:
        modified = datetime.fromisoformat(file.upload_time).timestamp()
        for suffix, content in (("", file.content), (".metadata", file.metadata)):
            if content is not None:
                os.utime(self._put(f"web{file.path}{suffix}", content), (modified, modified))

    def directory(self, name: str) -> str:
        """Return where a project's pages lie."""
        return f"web/simple/{name[0]}/{name}" if self.hashed else f"web/simple/{name}"

    def _pages(self, name: str, *, versions: bool) -> None:
        project = self.index.projects[name]
        files = sorted(project.files.values(), key=lambda file: file.filename)
        pages = {
            "html": self._html(project.display, files, project.serial),
            "v1_html": self._html(project.display, files, project.serial),
            "v1_json": json.dumps(self._json(name, files, project.serial)),
        }
        for suffix, text in pages.items():
            page = f"{self.directory(name)}/index.{suffix}"
            if not versions:
                self._put(page, text)
                continue
            stamp = "2024-05-01T000000Z"
            kept = self._put(
                f"{self.directory(name)}/versions/index_{project.serial}_{stamp}.{suffix}", text
            )
            (self.root / page).symlink_to(kept.absolute())

    def _html(self, display: str, files: list[File], serial: int) -> str:
        links = "\n".join(
            f'    <a href="../..{f.path}#sha256={f.sha256}"{_attributes(f)}>{f.filename}</a><br/>'
            for f in files
        )
        return (
            "<!DOCTYPE html>\n<html>\n  <head>\n"
            '    <meta name="pypi:repository-version" content="1.0">\n'
            f"    <title>Links for {display}</title>\n  </head>\n  <body>\n"
            f"    <h1>Links for {display}</h1>\n{links}\n  </body>\n</html>\n<!--SERIAL {serial}-->"
        )

    def _json(self, name: str, files: list[File], serial: int) -> dict[str, Any]:
        return {
            "files": [
                {
                    "filename": file.filename,
                    "hashes": {"sha256": file.sha256},
                    "requires-python": None,
                    "size": len(file.content),
                    "upload-time": file.upload_time,
                    "url": f"../..{file.path}",
                    "yanked": bool(file.yanked),
                    **({"core-metadata": {"sha256": digest}} if (digest := _sidecar(file)) else {}),
                }
                for file in files
            ],
            "meta": {"api-version": "1.1", "_last-serial": str(serial)},
            "name": name,
            "versions": sorted({file.version for file in files}),
        }

    def _legacy(self, name: str) -> None:
        text = json.dumps(json.loads(self.index.legacy(name)), indent=4, sort_keys=True)
        self._put(f"web/json/{name}", text)
        self._put(f"web/pypi/{name}/json", text)

    def _root(self, names: list[str]) -> None:
        links = "".join(f'    <a href="{name}/">{name}</a><br/>\n' for name in names)
        html = f"<!DOCTYPE html>\n<html>\n  <body>\n{links}  </body>\n</html>"
        self._put("web/simple/index.html", html)
        self._put("web/simple/index.v1_html", html)
        projects = [{"name": name} for name in names]
        meta = {"_last-serial": 0, "api-version": "1.1"}
        self._put("web/simple/index.v1_json", json.dumps({"meta": meta, "projects": projects}))


@pytest.fixture
def earlier(index: Index, site: Site) -> EarlierRelease:
    """Return a writer of trees, and an index with a few projects."""
    index.release("Foo_Bar", "1.0", sdist=True)
    index.release("baz", "1.0")
    index.release("baz", "2.0")
    index.release("qux", "1.0")
    return EarlierRelease(site, index)


@pytest.mark.parametrize("compare", ["hash", "stat"])
@pytest.mark.parametrize(
    "options",
    [{}, {"versions": True}, {"legacy": True}],
    ids=["plain", "versions", "legacy"],
)
def test_a_tree_is_taken_over_without_a_download(
    earlier: EarlierRelease,
    server: IndexServer,
    site: Site,
    compare: str,
    options: dict[str, bool],
) -> None:
    earlier.write(**options)
    site.configure(
        compare_method=compare,
        json=str(options.get("legacy", False)).lower(),
        keep_index_versions=3 if options.get("versions") else 0,
    )

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert "took over 3 projects" in ran.log
    assert server.paths("detail", "file", "sidecar") == []
    assert site.names() == ["baz", "foo-bar", "qux"]
    assert site.status == earlier.index.serial
    site.check()

    earlier.index.release("baz", "3.0")
    server.forget()
    ran = site.mirror()
    assert ran.synced == ["baz"]
    new = earlier.index.projects["baz"].files["baz-3.0-py3-none-any.whl"].path
    assert server.paths("file") == [new]
    site.check()


def test_a_tree_with_hashed_directories_is_taken_over(
    earlier: EarlierRelease, server: IndexServer, site: Site
) -> None:
    earlier.hashed = True
    earlier.write()
    site.configure(hash_index="true")

    ran = site.mirror()

    assert ran.code == 0
    assert server.paths("detail", "file") == []
    site.check()


def test_a_tree_of_html_only_is_taken_over(
    earlier: EarlierRelease, server: IndexServer, site: Site
) -> None:
    earlier.write()
    for page in (site.web / "simple").rglob("index.v1_json"):
        page.unlink()
    site.configure(simple_format="HTML")

    ran = site.mirror()

    assert ran.code == 0
    assert server.paths("detail", "file") == []
    site.check()


def test_what_is_missing_or_wrong_is_repaired_and_nothing_else_touched(
    earlier: EarlierRelease, server: IndexServer, site: Site
) -> None:
    earlier.write()
    lost = earlier.index.projects["qux"].files["qux-1.0-py3-none-any.whl"]
    (site.web / lost.path.lstrip("/")).unlink()
    (site.web / "simple/baz/index.v1_json").write_text("{ this is not JSON")
    before = {k: v for k, v in site.times().items() if "qux" not in k and "simple" not in k}

    ran = site.mirror()

    assert ran.code == 0
    assert ran.synced == ["baz", "qux"]
    assert server.paths("file") == [lost.path]
    assert {k: v for k, v in site.times().items() if k in before} == before
    site.check()


def test_an_interrupted_run_of_an_earlier_release_is_gone_on_with(
    earlier: EarlierRelease, server: IndexServer, site: Site
) -> None:
    """``status`` from before, ``todo`` with the target and what was left, raw names."""
    before = earlier.index.serial
    earlier.write()
    earlier.index.release("Foo_Bar", "2.0")
    earlier.index.release("New", "1.0")
    target = earlier.index.serial
    (site.root / "status").write_text(str(before))
    (site.root / "todo").write_text(
        f"{target}\nFoo_Bar {earlier.index.projects['foo-bar'].serial}\nNew {target}"
    )

    ran = site.mirror()

    assert ran.code == 0
    assert ran.synced == ["foo-bar", "new"]
    assert site.status == target
    assert site.todo() == []
    assert "foo_bar-2.0-py3-none-any.whl" in site.filenames("foo-bar")
    site.check()


def test_leftovers_of_an_earlier_release_do_no_harm(
    earlier: EarlierRelease, server: IndexServer, site: Site
) -> None:
    earlier.write()
    web = site.web
    (web / "simple/baz/.index.html.abc123").write_text("temporary")
    (web / "simple/Foo_Bar").mkdir()
    (web / "simple/Foo_Bar/index.html").write_text("before 4.0")
    (web / "simple/not a name").mkdir()
    (web / "simple/not a name/index.html").write_text("?")
    (web / "serversig").write_text("from before 1.7")
    (site.root / "todo.xyz").write_text("temporary")

    ran = site.mirror()

    assert ran.code == 0
    assert site.names() == ["baz", "foo-bar", "qux"]
    assert (web / "simple/Foo_Bar/index.html").exists()
    assert (web / "serversig").exists()


def test_an_interrupted_takeover_goes_on_where_it_was(
    earlier: EarlierRelease, server: IndexServer, site: Site
) -> None:
    earlier.write()
    site.configure(master="http://127.0.0.1:9")
    assert site.mirror().code == 3
    site.configure(master=server.url)

    ran = site.mirror()

    assert ran.code == 0
    assert server.paths("detail", "file") == []
    assert "took over" not in ran.log, "that was done before the index was asked"


def test_many_projects_are_taken_over(index: Index, server: IndexServer, site: Site) -> None:
    for number in range(520):
        index.release(f"p{number:03}", "1.0", metadata=False)
    EarlierRelease(site, index).write()

    ran = site.mirror()

    assert ran.code == 0
    assert "took over 520 projects" in ran.log
    assert server.paths("detail", "file") == []
    assert len(site.names()) == 520


def test_a_lost_sidecar_is_fetched_and_nothing_else(
    earlier: EarlierRelease, server: IndexServer, site: Site
) -> None:
    earlier.write()
    lost = earlier.index.projects["qux"].files["qux-1.0-py3-none-any.whl"].path + ".metadata"
    (site.web / lost.lstrip("/")).unlink()

    ran = site.mirror()

    assert ran.code == 0
    assert ran.synced == ["qux"]
    assert server.paths("file", "sidecar") == [lost]
    site.check()


def test_a_tree_without_json_pages_gets_them_without_a_download(
    earlier: EarlierRelease, server: IndexServer, site: Site
) -> None:
    """Releases before 6 wrote HTML only."""
    earlier.write()
    for page in (site.web / "simple").rglob("index.v1_*"):
        page.unlink()
    (site.web / "simple/baz/notes.txt").write_text("an operator's own")

    ran = site.mirror()

    assert ran.code == 0
    assert server.paths("file") == []
    assert (site.web / "simple/baz/notes.txt").exists()
    site.check()
