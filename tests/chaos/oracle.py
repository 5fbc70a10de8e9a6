"""The oracle: what may be said of a mirror by somebody who knows the index and can read a tree.

It imports nothing of the program (``tests/test_architecture.py`` holds that), so it cannot share
its mistakes. Each complaint names the rule of ``docs/reference/faults.md`` that was broken.
"""

from __future__ import annotations

import hashlib
import re
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from packaging.utils import canonicalize_name

from tests.chaos.tree import FORMS, Link, Page, Unreadable, read_page, read_root

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from tests.chaos.tree import Snapshot, Tree
    from tests.support.index import Index, Project

SERVED = {"simple", "packages", "json", "pypi", "last-modified"}
"""All that may lie in ``web/``."""

RETAINED = 1_000_000
"""Bytes of a broken download from which on it may wait to be gone on with."""

_ERROR = re.compile(r"^\S+ \S+ ERROR: (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Complaint:
    """Something that is not as it must be."""

    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


class Said(Protocol):
    """What a run said of itself."""

    @property
    def code(self) -> int: ...
    @property
    def out(self) -> str: ...
    @property
    def log(self) -> str: ...
    @property
    def report(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Granted:
    """What a case lets a run leave otherwise than the index has it.

    ``left_out`` are file names that a gate keeps out, ``bare`` those whose core metadata could
    not be had, ``behind`` the projects of which the index shows no more than was shown before.
    ``removals`` is the operator's own limit. ``expires`` says that what waited is deleted.
    """

    excluded: frozenset[str] = frozenset()
    bare: frozenset[str] = frozenset()
    behind: frozenset[str] = frozenset()
    removals: int | None = None
    expires: bool = False


@dataclass
class Oracle:
    """Knows what an index has, which of its projects are wanted, and what must stay secret.

    ``highest`` is the highest serial that the index ever showed, rightly or not.
    """

    index: Index
    selects: Callable[[str], bool] = lambda _: True
    secrets: list[str] = field(default_factory=list)
    highest: int = 0

    def judge(
        self, before: Snapshot, after: Snapshot, said: Said, granted: Granted
    ) -> list[Complaint]:
        """Return everything that is wrong with a run: with what it left, and what it said."""
        return [
            *self.pages(after),
            *self.strays(after),
            *self.leftovers(after, said),
            *self.state(before, after, said, granted),
            *self.losses(before, after, granted),
            *self.surroundings(before, after),
            *self.exit_status(before, after, said, granted),
            *self.words(after, said),
            *self.removals(before, after, granted),
        ]

    # ------------------------------------------------------------ the tree by itself

    def pages(self, tree: Tree, *, at_rest: bool = True) -> Iterator[Complaint]:
        """Pages name what is there and right, and the root names what has a page (K3, I1-I5)."""
        listings = list(roots(tree))
        for form, listed in listings:
            for name in listed:
                here = page_forms(tree, name)
                if not here or (at_rest and len(here) != len(FORMS)):
                    yield Complaint("I4", f"the root page ({form}) names {name}: {sorted(here)}")
        for name in project_names(tree):
            forms: dict[str, Page] = {}
            for form, content in page_forms(tree, name).items():
                try:
                    forms[form] = read_page(name, FORMS[form], content)
                except Unreadable as error:
                    yield Complaint("I2", str(error))
                    continue
                for link in forms[form].links:
                    yield from self._link(tree, name, link)
            if at_rest:
                yield from _agreement(name, forms)
                yield from _listed_in_all(name, listings)

    def _link(self, tree: Tree, name: str, link: Link) -> Iterator[Complaint]:
        if link.path is None:
            return
        content = tree.read(f"web/{link.path}")
        if content is None:
            yield Complaint("I1", f"{name} names {link.path}, and it is not there")
            return
        for algorithm, digest in link.digests.items():
            if hashlib.new(algorithm, content).hexdigest() != digest:
                yield Complaint("I1", f"{name} names {link.path}, and its {algorithm} is another")
        if link.size not in {None, len(content)}:
            yield Complaint("I1", f"{name} says {link.path} has {link.size} bytes")
        if link.sidecar is not None:
            metadata = tree.read(f"web/{link.path}.metadata")
            if metadata is None or hashlib.sha256(metadata).hexdigest() != link.sidecar:
                yield Complaint("I5", f"{name} advertises wrong core metadata of {link.path}")

    def strays(self, after: Snapshot) -> Iterator[Complaint]:
        """Nothing is served that is not the index's, and the modes are right (I10)."""
        for name in after.names("web"):
            if name not in SERVED:
                yield Complaint("I10", f"web/{name} is served")
        for path, mode in after.kinds.items():
            if path == "web" or path.startswith("web/"):
                yield from _mode(path, mode)
        for path, content in after.files("web/packages/").items():
            if content != self._content(path.removeprefix("web")):
                yield Complaint("I10", f"{path} is not what the index has there")
        for path in after.files("web/simple/"):
            if path.rpartition("/")[2] not in FORMS:
                yield Complaint("I10", f"{path} is no page")

    def leftovers(self, after: Snapshot, said: Said) -> Iterator[Complaint]:
        """Only a large part of a download, after a run that failed, is left for the next (K6)."""
        for path, content in after.files(".partial/").items():
            if said.code == 0 or len(content) < RETAINED or len(path) != len(".partial/") + 64:
                yield Complaint("K6", f"{path} is left over, {len(content)} bytes")

    def _content(self, path: str) -> bytes | None:
        """Return what the index has ever had at a path of a file or of its core metadata."""
        file = self.index.files.get(path.removesuffix(".metadata"))
        if file is None:
            return None
        return file.metadata if path.endswith(".metadata") else file.content

    # ------------------------------------------------------------ what it claims

    def state(
        self, before: Snapshot, after: Snapshot, said: Said, granted: Granted
    ) -> Iterator[Complaint]:
        """``status`` and pages claim no more than is so, and never go back (K4, I6, I7)."""
        status, was = _number(after.read("status")), _number(before.read("status"))
        told = [self.index.serial, *(each.serial for each in self.index.journal)]
        highest = self.highest = max(self.highest, *told)
        if not was <= status <= highest:
            yield Complaint("I6", f"status went from {was} to {status}, the index is at {highest}")
        named = _failed(said).keys() | granted.behind
        for name, project in self.index.projects.items():
            page = json_page(after, name)
            serial = None if page is None else page.serial
            if serial is not None and serial > highest:
                yield Complaint("I6", f"{name} claims serial {serial}")
            old = json_page(before, name)
            if serial is not None and old is not None and (old.serial or 0) > serial:
                yield Complaint("I6", f"{name} went back from {old.serial} to {serial}")
            if not 0 < project.serial <= status or name in named or not self.selects(name):
                continue
            shows = self.shown(after, name, granted) == ""
            if project.status != "quarantined" and not shows and (serial or 0) < project.serial:
                yield Complaint("I7", f"status is {status}, {name} at {serial}: {project.serial}")
        for name, serial in self._removed().items():
            if serial <= status and name not in named and page_forms(after, name):
                yield Complaint("I7", f"status is {status}, and {name} is still there")

    def _removed(self) -> dict[str, int]:
        """Return the projects whose last event is their removal, and its serial."""
        last = {canonicalize_name(each.name): each for each in self.index.journal}
        return {
            name: event.serial
            for name, event in last.items()
            if event.action == "remove project" and name not in self.index.projects
        }

    def shown(self, tree: Tree, name: str, granted: Granted) -> str:
        """Return in which way a project is not shown as the index has it, "" if it is."""
        project = self.index.projects[name]
        page = json_page(tree, name)
        if page is None:
            return "" if project.status == "quarantined" else "it has no page"
        if page.status != project.status:
            return f"it is {page.status}, not {project.status}"
        if page.serial not in {None, project.serial}:
            return f"it is at {page.serial}, not {project.serial}"
        wanted, links = true_links(project, granted), {each.filename: each for each in page.links}
        if links.keys() != wanted.keys():
            return f"it has {sorted(links)}, not {sorted(wanted)}"
        for filename, link in links.items():
            sized = link.size is not None
            told, true = (each.comparable(sized=sized) for each in (link, wanted[filename]))
            if told != true:
                return f"{filename} is told of as {told}, not {true}"
        return ""

    # ------------------------------------------------------------ what was there

    def losses(self, before: Snapshot, after: Snapshot, granted: Granted) -> Iterator[Complaint]:
        """All that was right is there, or waits, or was replaced by newer (K2, I8, I12)."""
        for path, content in before.files().items():
            served = path.removeprefix("web/")
            if path.startswith("web/packages/") and content == self._content(f"/{served}"):
                if content not in {after.read(path), after.read(f"removed/{served}")}:
                    yield Complaint("K2", f"{path} was right and is gone")
            elif path.startswith("removed/packages/") and not granted.expires:
                waiting = path.removeprefix("removed/")
                right = content == self._content(f"/{waiting}")
                if right and content not in {after.read(path), after.read(f"web/{waiting}")}:
                    yield Complaint("K2", f"{path} waited and is gone")
            elif path in {"status", "generation"} and after.read(path) is None:
                yield Complaint("K2", f"{path} is gone")
        for name in project_names(before):
            for form in page_forms(before, name):
                place = f"simple/{name}/{form}"
                if after.read(f"web/{place}") is None and after.read(f"removed/{place}") is None:
                    yield Complaint("K2", f"the page {place} is gone")

    def surroundings(self, before: Snapshot, after: Snapshot) -> Iterator[Complaint]:
        """Nothing outside the mirror is made, changed or taken away (K8, I9)."""
        for path in before.around.keys() | after.around.keys():
            if before.around.get(path) != after.around.get(path):
                yield Complaint("K8", f"{path} is outside the mirror and changed")

    def removals(self, before: Snapshot, after: Snapshot, granted: Granted) -> Iterator[Complaint]:
        """No run removes more projects than it may (G13)."""
        excess = excess_of_removals(before, after, granted)
        if excess > 0:
            yield Complaint("G13", f"{excess} projects more than may be were removed")

    # ------------------------------------------------------------ what it said

    def exit_status(
        self, before: Snapshot, after: Snapshot, said: Said, granted: Granted
    ) -> Iterator[Complaint]:
        """Exit status 0 says that all that is wanted is shown, another that it is not (I23)."""
        failed, stopped = _failed(said), _stopped(said)
        held = [name for name, each in failed.items() if each["class"] == "held"]
        if (said.code == 0) != (not failed and not stopped):
            yield Complaint("I23", f"status {said.code}, failed {list(failed)}, stopped {stopped}")
        if said.code == 5 and not stopped and not held:
            yield Complaint("I23", "status 5, and nothing was held")
        if said.code == 3 and not said.report["projects"]["synced"]:
            changed = _changed(before, after)
            if changed:
                yield Complaint("K2", f"status 3, and this changed: {changed}")
        if said.code in {0, 4, 5}:
            yield from self._reflected(before, after, said, granted)

    def _reflected(
        self, before: Snapshot, after: Snapshot, said: Said, granted: Granted
    ) -> Iterator[Complaint]:
        failed = _failed(said)
        for name in filter(self.selects, self.index.projects):
            wrong = self.shown(after, name, granted)
            if name in failed:
                yield from self._failed_in_order(before, after, name)
                if not wrong and name not in granted.behind:
                    yield Complaint("I23", f"{name} is said to have failed and is as it should be")
            elif wrong and name not in granted.behind:
                yield Complaint("I23" if said.code == 0 else "K5", f"{name}: {wrong}")
        for name in project_names(after):
            wanted = name in self.index.projects and self.selects(name)
            excused = name in granted.behind or name in failed or said.code == 5
            if not wanted and not excused:
                yield Complaint("I23", f"{name} is shown and should not be")

    def _failed_in_order(self, before: Snapshot, after: Snapshot, name: str) -> Iterator[Complaint]:
        """Failure leaves a project as it was, or with a part of what the index has (I2)."""
        as_it_was = page_forms(before, name) == page_forms(after, name)
        page = json_page(after, name)
        if as_it_was or page is None:
            return
        wanted = true_links(self.index.projects[name], Granted())
        for link in page.links:
            if link.filename not in wanted:
                yield Complaint("I2", f"{name} shows {link.filename}, which it has not")

    def words(self, after: Snapshot, said: Said) -> Iterator[Complaint]:
        """One line for each failure, the same in the report, and nothing secret (K1, I24, I25)."""
        errors = _ERROR.findall(said.log)
        failed, stopped = _failed(said), _stopped(said)
        if "Traceback" in said.log:
            yield Complaint("K1", f"a traceback: {said.log}")
        if said.report.get("exit_code") != said.code:
            yield Complaint("I24", f"status {said.code}, report {said.report.get('exit_code')}")
        for name, each in failed.items():
            lines = [line for line in errors if line.startswith(f"{name} failed: ")]
            reason = _shown(each["reason"])
            if len(lines) != 1 or not reason or reason not in lines[0]:
                yield Complaint("K1", f"{name} failed ({each['reason']}), and the log says {lines}")
        for reason in stopped:
            if not any(line.startswith(_shown(reason)) for line in errors):
                yield Complaint("K1", f"the log does not say {reason!r}")
        if len(errors) != len(failed) + len(stopped):
            yield Complaint("K1", f"{len(failed)} failed, {stopped}, and the log says {errors}")
        yield from self._report(after, said)
        everything = said.log + said.out + str(said.report)
        kept = b"\0".join(after.files().values())
        for secret in self.secrets:
            if secret in everything or secret.encode() in kept:
                yield Complaint("I25", f"{secret} was told or kept")

    def _report(self, after: Snapshot, said: Said) -> Iterator[Complaint]:
        projects = said.report["projects"]
        names = [*projects["synced"], *projects["absent"], *projects["removed"]]
        names += [each["name"] for each in projects["failed"]]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            yield Complaint("I24", f"the report names {twice} more than once")
        reached = said.report["serial"]["after"]
        if reached is not None and reached != _number(after.read("status")):
            yield Complaint("I24", f"the report says {reached}, status {after.read('status')!r}")
        todo = (after.read("todo") or b"").decode().splitlines()[1:]
        if reached is not None and projects["pending"] != len(todo):
            yield Complaint("I24", f"{projects['pending']} pending in the report, todo is {todo}")


# ---------------------------------------------------------------- reading


def roots(tree: Tree) -> Iterator[tuple[str, dict[str, int | None]]]:
    """Yield each form of the root page that is there, with the projects it names."""
    for form, kind in FORMS.items():
        content = tree.read(f"web/simple/{form}")
        if content is not None:
            yield form, read_root(kind, content)


def project_names(tree: Tree) -> list[str]:
    """Return the projects that have a page."""
    return [name for name in tree.names("web/simple") if page_forms(tree, name)]


def page_forms(tree: Tree, name: str) -> dict[str, bytes]:
    """Return a project's pages by their form."""
    found = {form: tree.read(f"web/simple/{name}/{form}") for form in FORMS}
    return {form: content for form, content in found.items() if content is not None}


def json_page(tree: Tree, name: str) -> Page | None:
    """Return a project's JSON page, None if it has none that can be read."""
    content = tree.read(f"web/simple/{name}/index.v1_json")
    try:
        return None if content is None else read_page(name, "json", content)
    except Unreadable:
        return None


def true_links(project: Project, granted: Granted) -> dict[str, Link]:
    """Return the links that a project's page is to have."""
    links = {}
    for file in project.files.values():
        if project.status == "quarantined" or file.filename in granted.excluded:
            continue
        bare = file.metadata is None or file.filename in granted.bare
        links[file.filename] = Link(
            filename=file.filename,
            path=file.path.lstrip("/"),
            digests={"sha256": file.sha256},
            size=len(file.content),
            yanked="" if file.yanked is True else file.yanked or None,
            requires_python=file.requires_python,
            sidecar=None if bare else hashlib.sha256(file.metadata or b"").hexdigest(),
        )
    return links


def excess_of_removals(before: Snapshot, after: Snapshot, granted: Granted) -> int:
    """Return how many projects more were removed than may be in one run."""
    had = project_names(before)
    gone = set(had) - set(project_names(after))
    limit = max(5, len(had) // 200) if granted.removals is None else granted.removals
    if had and granted.removals is None:
        limit = min(limit, len(had) - 1)
    return len(gone) - limit


def _listed_in_all(
    name: str, listings: Sequence[tuple[str, Collection[str]]]
) -> Iterator[Complaint]:
    for form, listed in listings:
        if name not in listed:
            yield Complaint("I4", f"{name} has a page and the root page ({form}) lacks it")


def _mode(path: str, mode: int) -> Iterator[Complaint]:
    if stat.S_ISLNK(mode):
        yield Complaint("I10", f"{path} is a link")
    elif stat.S_IMODE(mode) != (0o755 if stat.S_ISDIR(mode) else 0o644):
        yield Complaint("I10", f"{path} has mode {stat.S_IMODE(mode):o}")


def _agreement(name: str, forms: Mapping[str, Page]) -> Iterator[Complaint]:
    told = {
        form: (page.status, page.serial, [link.comparable(sized=False) for link in page.links])
        for form, page in forms.items()
    }
    if len({repr(each) for each in told.values()}) > 1:
        yield Complaint("I2", f"the pages of {name} differ: {told}")


def _number(content: bytes | None) -> int:
    return int(content or 0)


def _shown(text: str) -> str:
    """Return text as a log shows it: without control characters."""
    return text.replace("\n", "\\n")


def _failed(said: Said) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in said.report["projects"]["failed"]}


def _stopped(said: Said) -> list[str]:
    return [each["reason"] for each in said.report["halted"]]


def _changed(before: Snapshot, after: Snapshot) -> list[str]:
    """Return what of the served tree, and of the state, is not as it was."""
    were, are = ({**tree.files("web/"), "status": tree.read("status")} for tree in (before, after))
    return sorted(path for path in were.keys() | are.keys() if were.get(path) != are.get(path))
