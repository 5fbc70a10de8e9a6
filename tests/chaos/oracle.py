"""The oracle: judges a mirror by what the index has and by what the tree shows.

It imports nothing of the program (``tests/test_architecture.py`` checks that), so that it cannot
share its mistakes. Each complaint cites a rule of ``docs/development/oracle.md``.
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

SERVED = {"simple", "packages", "json", "pypi", "last-modified", ".mirror"}
"""The only entries that ``web/`` may have."""

PARTIAL = ".partial"
"""The name of the directories of temporary files, one on each file system."""

_DIGITS = 64

RETAINED = 1_000_000
"""Smallest size in bytes of a partial download that may stay for the next run to resume."""

REJECTED = "RejectedFiles"
"""The failure of a project of which files are rejected and the rest is published."""

_ERROR = re.compile(r"^\S+ \S+ ERROR: (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Complaint:
    """The violation of a rule."""

    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


class Output(Protocol):
    """What a run returned, printed, logged and reported."""

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
    """The deviations from the index that a test permits.

    ``excluded`` are the names of files that validation drops, or "PROJECT/NAME", where another
    project has a file of that name; ``bare`` are the names of those whose core
    metadata could not be fetched, ``behind`` the projects that stay at an earlier page.
    ``removals`` is the operator's limit of removals. ``expires`` permits to purge the trash,
    ``expired`` some of its files, by their paths.
    """

    excluded: frozenset[str] = frozenset()
    bare: frozenset[str] = frozenset()
    behind: frozenset[str] = frozenset()
    removals: int | None = None
    expires: bool = False
    expired: frozenset[str] = frozenset()


@dataclass
class Oracle:
    """Knows what an index has, which projects are selected, and which texts are secret.

    ``highest`` is the highest serial that the index ever showed, correct or not. ``is_hidden`` says
    of a project, its serial and the shown one whether the index itself stated too low a serial.
    """

    index: Index
    selects: Callable[[str], bool] = lambda _: True
    secrets: list[str] = field(default_factory=list)
    highest: int = 0
    is_hidden: Callable[[str, int, int], bool] = lambda *_: False

    def judge(
        self, before: Snapshot, after: Snapshot, output: Output, granted: Granted
    ) -> list[Complaint]:
        """Return all violations of a run, in the tree that it left and in its output."""
        return [
            *self.pages(after),
            *self.unexpected(after),
            *self.leftovers(after, output),
            *self.state(before, after, output, granted),
            *self.losses(before, after, granted),
            *self.surroundings(before, after),
            *self.exit_status(before, after, output, granted),
            *self.output(after, output),
            *self.removals(before, after, granted),
        ]

    # ------------------------------------------------------------ the tree by itself

    def pages(self, tree: Tree, *, at_rest: bool = True) -> Iterator[Complaint]:
        """Check that pages are valid and the root page is complete (I1, I2, I4, I5)."""
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
            yield Complaint("I1", f"{name} names {link.path}, which does not exist")
            return
        for algorithm, digest in link.digests.items():
            if hashlib.new(algorithm, content).hexdigest() != digest:
                yield Complaint("I1", f"{name} names {link.path} with a wrong {algorithm}")
        if link.size not in {None, len(content)}:
            yield Complaint("I1", f"{name} names {link.path} with a wrong size, {link.size}")
        if link.sidecar is not None:
            metadata = tree.read(f"web/{link.path}.metadata")
            if metadata is None or hashlib.sha256(metadata).hexdigest() != link.sidecar:
                yield Complaint("I5", f"{name} advertises wrong core metadata of {link.path}")

    def unexpected(self, after: Snapshot) -> Iterator[Complaint]:
        """Check that only content of the index is served, with the right modes (I10)."""
        for name in after.names("web"):
            if name not in {*SERVED, PARTIAL}:
                yield Complaint("I10", f"web/{name} is served")
        for path, mode in after.kinds.items():
            if f"{path}/".startswith("web/") and not is_temporary(path):
                yield from _mode(path, mode)
            elif path.startswith("web/") and path.endswith(PARTIAL) and stat.S_IMODE(mode) != 0o700:
                yield Complaint("I10", f"{path} can be served")
        for path, content in after.files("web/packages/").items():
            if not is_temporary(path) and content != self._content(path.removeprefix("web")):
                yield Complaint("I10", f"{path} differs from the file of the index")
        for path in after.files("web/simple/"):
            if not is_temporary(path) and path.rpartition("/")[2] not in FORMS:
                yield Complaint("I10", f"{path} is not a page")

    def leftovers(self, after: Snapshot, output: Output) -> Iterator[Complaint]:
        """Check that only large partial downloads of a failed run are left (K6)."""
        for path, content in after.files().items():
            if not is_temporary(path):
                continue
            name = path.rpartition(f"{PARTIAL}/")[2]
            if output.code == 0 or len(content) < RETAINED or len(name) != _DIGITS:
                yield Complaint("K6", f"{path} is left over, {len(content)} bytes")

    def _content(self, path: str) -> bytes | None:
        """Return the content of a file or of its core metadata, even of one that is removed now."""
        file = self.index.files.get(path.removesuffix(".metadata"))
        if file is None:
            return None
        return file.metadata if path.endswith(".metadata") else file.content

    # ------------------------------------------------------------ serials

    def state(
        self, before: Snapshot, after: Snapshot, output: Output, granted: Granted
    ) -> Iterator[Complaint]:
        """Check that ``status`` and pages never go back and claim nothing false (I6, I7)."""
        status, was = _number(after.read("status")), _number(before.read("status"))
        shown = [self.index.serial, *(each.serial for each in self.index.journal)]
        highest = self.highest = max(self.highest, *shown)
        if not was <= status <= highest:
            yield Complaint("I6", f"status went from {was} to {status}, the index is at {highest}")
        named = _failed(output).keys() | granted.behind
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
            is_behind = (serial or 0) < project.serial and project.status != "quarantined"
            if self.is_hidden(name, project.serial, serial or 0) or not is_behind:
                continue
            if self.shown(after, name, granted):
                yield Complaint("I7", f"status is {status}, {name} at {serial}: {project.serial}")
        for name, serial in self._removed().items():
            if serial <= status and name not in named and page_forms(after, name):
                yield Complaint("I7", f"status is {status}, and {name} still has a page")

    def _removed(self) -> dict[str, int]:
        """Return the projects whose last event is their removal, and its serial."""
        last = {canonicalize_name(each.name): each for each in self.index.journal}
        return {
            name: event.serial
            for name, event in last.items()
            if event.action == "remove project" and name not in self.index.projects
        }

    def shown(self, tree: Tree, name: str, granted: Granted) -> str:
        """Return how a project differs from the index, "" if it does not."""
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
            shown, true = (each.comparable(sized=sized) for each in (link, wanted[filename]))
            if shown != true:
                return f"{filename} is shown as {shown}, not {true}"
        return ""

    # ------------------------------------------------------------ losses

    def losses(self, before: Snapshot, after: Snapshot, granted: Granted) -> Iterator[Complaint]:
        """Check that valid content is still served, in the trash, or replaced (K2)."""
        for path, content in before.files().items():
            served = path.removeprefix("web/")
            if path.startswith("web/packages/") and content == self._content(f"/{served}"):
                if content not in {after.read(path), after.read(f"removed/{served}")}:
                    yield Complaint("K2", f"{path} was valid and is gone")
            elif is_trashed(path) and not (granted.expires or path in granted.expired):
                trashed = path.removeprefix("removed/")
                valid = content == self._content(f"/{trashed}")
                if valid and content not in {after.read(path), after.read(f"web/{trashed}")}:
                    yield Complaint("K2", f"{path} was in the trash and is gone")
            elif path in {"status", "generation"} and after.read(path) is None:
                yield Complaint("K2", f"{path} is gone")
        for name in project_names(before):
            for form in page_forms(before, name):
                place = f"simple/{name}/{form}"
                if after.read(f"web/{place}") is None and after.read(f"removed/{place}") is None:
                    yield Complaint("K2", f"the page {place} is gone")

    def surroundings(self, before: Snapshot, after: Snapshot) -> Iterator[Complaint]:
        """Check that nothing outside the mirror is created, changed or removed (K8)."""
        for path in before.around.keys() | after.around.keys():
            if before.around.get(path) != after.around.get(path):
                yield Complaint("K8", f"{path} is outside the mirror and changed")

    def removals(self, before: Snapshot, after: Snapshot, granted: Granted) -> Iterator[Complaint]:
        """Check the limit of removals (G13)."""
        excess = excess_of_removals(before, after, granted)
        if excess > 0:
            yield Complaint("G13", f"{excess} projects beyond the limit were removed")

    # ------------------------------------------------------------ output

    def exit_status(
        self, before: Snapshot, after: Snapshot, output: Output, granted: Granted
    ) -> Iterator[Complaint]:
        """Check the exit status against the tree and the report (I2, I23, K2, K5)."""
        failed, stopped = _failed(output), [*_stopped(output), *_unrepaired(output)]
        held = [name for name, each in failed.items() if each["class"] == "held"]
        if (output.code == 0) != (not failed and not stopped):
            yield Complaint(
                "I23", f"status {output.code}, failed {list(failed)}, stopped {stopped}"
            )
        if output.code == 5 and not stopped and not held:
            yield Complaint("I23", "status 5, and nothing is held")
        if output.code == 3 and not output.report["projects"]["synced"]:
            changed = _changed(before, after)
            if changed:
                yield Complaint("K2", f"status 3, and this changed: {changed}")
        if output.code in {0, 4, 5}:
            yield from self._reflected(before, after, output, granted)

    def _reflected(
        self, before: Snapshot, after: Snapshot, output: Output, granted: Granted
    ) -> Iterator[Complaint]:
        failed = _failed(output)
        for name in filter(self.selects, self.index.projects):
            wrong = self.shown(after, name, granted)
            if name in failed and failed[name]["error"] == REJECTED:
                yield from self._rejected(after, name, wrong, output, granted)
            elif name in failed:
                yield from self._failed_in_order(before, after, name)
                if not wrong and name not in granted.behind:
                    yield Complaint("I23", f"{name} is reported as failed and is up to date")
            elif wrong and name not in granted.behind:
                yield Complaint("I23" if output.code == 0 else "K5", f"{name}: {wrong}")
        for name in project_names(after):
            wanted = name in self.index.projects and self.selects(name)
            excused = name in granted.behind or name in failed or output.code == 5
            if not wanted and not excused:
                yield Complaint("I23", f"{name} is shown and should not be")

    def _rejected(
        self, after: Snapshot, name: str, wrong: str, output: Output, granted: Granted
    ) -> Iterator[Complaint]:
        """Check that a project lacks rejected files and nothing else (I23)."""
        is_published = json_page(after, name) is not None and name not in granted.behind
        if wrong and is_published:
            yield Complaint("I23", f"{name} has rejected files, and {wrong}")
        if name not in _with_rejections(output):
            yield Complaint("I23", f"{name} has rejected files, and the report names none")

    def _failed_in_order(self, before: Snapshot, after: Snapshot, name: str) -> Iterator[Complaint]:
        """Check that a failed project has its old page, or one with a part of its files (I2)."""
        as_it_was = page_forms(before, name) == page_forms(after, name)
        page = json_page(after, name)
        if as_it_was or page is None:
            return
        wanted = true_links(self.index.projects[name], Granted())
        for link in page.links:
            if link.filename not in wanted:
                yield Complaint(
                    "I2", f"{name} shows {link.filename}, which the index does not have"
                )

    def output(self, after: Snapshot, output: Output) -> Iterator[Complaint]:
        """Check the log and the report, and that they have no secrets (K1, I24, I25)."""
        errors = _ERROR.findall(output.log)
        failed, stopped = _failed(output), _stopped(output)
        if "Traceback" in output.log:
            yield Complaint("K1", f"a traceback: {output.log}")
        if output.report.get("exit_code") != output.code:
            yield Complaint("I24", f"status {output.code}, report {output.report.get('exit_code')}")
        for name, each in failed.items():
            lines = [line for line in errors if line.startswith(f"{name} failed: ")]
            reason = _shown(each["reason"])
            if not reason or sum(reason in line for line in lines) != 1:
                yield Complaint("K1", f"{name} failed ({each['reason']}), the log has {lines}")
        for reason in stopped:
            if not any(line.startswith(_shown(reason)) for line in errors):
                yield Complaint("K1", f"the log lacks {reason!r}")
        repairs = _unrepaired(output)
        yield from _not_once(repairs, errors)
        # A project that failed otherwise and has rejected files has a line about each.
        both = [n for n in _with_rejections(output) if failed.get(n, {}).get("error") != REJECTED]
        if len(errors) != len(failed) + len(both) + len(stopped) + len(repairs):
            text = f"{len(failed)} failed, {stopped}, {len(repairs)} repairs, the log has {errors}"
            yield Complaint("K1", text)
        yield from self._report(after, output)
        everything = output.log + output.out + str(output.report)
        stored = b"\0".join(after.files().values())
        for secret in self.secrets:
            if secret in everything or secret.encode() in stored:
                yield Complaint("I25", f"{secret} was shown or stored")

    def _report(self, after: Snapshot, output: Output) -> Iterator[Complaint]:
        projects = output.report["projects"]
        names = [*projects["synced"], *projects["absent"], *projects["removed"]]
        # A project with rejected files is synced with the others.
        names += [each["name"] for each in projects["failed"] if each["error"] != REJECTED]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            yield Complaint("I24", f"the report names {twice} more than once")
        reached = output.report["serial"]["after"]
        if reached is not None and reached != _number(after.read("status")):
            yield Complaint("I24", f"the report has {reached}, status {after.read('status')!r}")
        todo = (after.read("todo") or b"").decode().splitlines()[1:]
        if reached is not None and projects["pending"] != len(todo):
            yield Complaint("I24", f"{projects['pending']} pending in the report, todo is {todo}")


# ---------------------------------------------------------------- reading


def roots(tree: Tree) -> Iterator[tuple[str, dict[str, int | None]]]:
    """Yield the name of each format of the root page that exists, and the projects it names."""
    for form, kind in FORMS.items():
        content = tree.read(f"web/simple/{form}")
        if content is not None:
            yield form, read_root(kind, content)


def project_names(tree: Tree) -> list[str]:
    """Return the projects that have a page."""
    return [name for name in tree.names("web/simple") if page_forms(tree, name)]


def page_forms(tree: Tree, name: str) -> dict[str, bytes]:
    """Return a project's pages by the names of their files."""
    found = {form: tree.read(f"web/simple/{name}/{form}") for form in FORMS}
    return {form: content for form, content in found.items() if content is not None}


def json_page(tree: Tree, name: str) -> Page | None:
    """Return a project's JSON page, None if there is no valid one."""
    content = tree.read(f"web/simple/{name}/index.v1_json")
    try:
        return None if content is None else read_page(name, "json", content)
    except Unreadable:
        return None


def true_links(project: Project, granted: Granted) -> dict[str, Link]:
    """Return the links that a project's page must have."""
    links = {}
    for file in project.files.values():
        names = {file.filename, f"{canonicalize_name(project.display)}/{file.filename}"}
        if project.status == "quarantined" or names & granted.excluded:
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
    """Return how many removed projects exceed the limit; negative below it."""
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


def is_trashed(path: str) -> bool:
    """Whether a file is a release file in the trash, or belongs to one."""
    return path.startswith("removed/packages/")


def is_temporary(path: str) -> bool:
    """Whether a file is below a directory of temporary files, or is that directory."""
    return PARTIAL in path.split("/")


def _mode(path: str, mode: int) -> Iterator[Complaint]:
    if stat.S_ISLNK(mode):
        yield Complaint("I10", f"{path} is a link")
    elif stat.S_IMODE(mode) != (0o755 if stat.S_ISDIR(mode) else 0o644):
        yield Complaint("I10", f"{path} has mode {stat.S_IMODE(mode):o}")


def _agreement(name: str, forms: Mapping[str, Page]) -> Iterator[Complaint]:
    shown = {
        form: (page.status, page.serial, [link.comparable(sized=False) for link in page.links])
        for form, page in forms.items()
    }
    if len({repr(each) for each in shown.values()}) > 1:
        yield Complaint("I2", f"the formats of {name} differ: {shown}")


def _number(content: bytes | None) -> int:
    return int(content or 0)


def _shown(text: str) -> str:
    """Return text as a log shows it, with line feeds escaped."""
    return text.replace("\n", "\\n")


def _failed(output: Output) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in output.report["projects"]["failed"]}


def _with_rejections(output: Output) -> set[str]:
    """Return the projects with rejected files that the operator does not acknowledge."""
    return {each["project"] for each in output.report["rejected"] if not each["ignored"]}


def _stopped(output: Output) -> list[str]:
    return [each["reason"] for each in output.report["halted"]]


def _not_once(beginnings: Sequence[str], errors: Sequence[str]) -> Iterator[Complaint]:
    for text in beginnings:
        if sum(each.startswith(text) for each in errors) != 1:
            yield Complaint("K1", f"the log does not have exactly once: {text!r}")


def _unrepaired(output: Output) -> list[str]:
    """Return how the lines begin about what ``verify`` could not repair or read."""
    details = output.report.get("damage", {"details": ()})["details"]
    return [
        *(_shown(f"{each['key']}: {each['what']}; it could not be repaired: ") for each in details),
        *(f"{name} has pages or documents here" for name in output.report.get("unreadable", ())),
    ]


def _changed(before: Snapshot, after: Snapshot) -> list[str]:
    """Return the paths of the served tree, and ``status``, whose content changed."""
    were, are = ({**tree.files("web/"), "status": tree.read("status")} for tree in (before, after))
    return sorted(path for path in were.keys() | are.keys() if were.get(path) != are.get(path))
