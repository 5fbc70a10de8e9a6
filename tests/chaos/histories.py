"""Random histories of an index: files that are rejected, digests that change, colliding names.

A history is a number of steps. Each makes a few events on the index, runs ``mirror``, and lets the
forecast and the oracle judge. A seed gives the same history each time.
"""

from __future__ import annotations

import hashlib
import random
import unicodedata
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from tests.chaos.forecast import (
    CONTESTANTS,
    VARIANTS,
    Forecast,
    is_contested,
    is_invalid,
    read_status,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.case import Case
    from tests.support.index import File, Project

NAMES = ("Alpha", "Beta.x", "gamma", "Gamma-Ray")
STEPS = 7
SHARED = "/packages/shared"
"""A directory for the files of which only the names differ."""

_LETTERS = "caf\N{LATIN SMALL LETTER E WITH ACUTE}"


class History:
    """Makes events on the index of a case, and runs its mirror.

    ``fold`` and ``has_events`` are as in ``Forecast``.
    """

    def __init__(
        self, case: Case, seed: int, fold: Callable[[str], str], *, has_events: bool = True
    ) -> None:
        self._case = case
        self._index = case.index
        self._dice = random.Random(seed)
        self._forecast = Forecast(case.index, fold, has_events=has_events)
        self._versions = iter(range(1, 10_000))
        self._originals: dict[tuple[str, str], File] = {}
        self._removed: dict[str, Project] = {}
        self.log: list[str] = []
        case.site.configure(
            max_removals=1000,
            max_file_removals=1000,
            workers=1,  # so that the order is known in which projects claim places
            api_method="auto" if has_events else "simple",
        )
        self._index.release("anchor", "1.0", size=20)

    def play(self, steps: int = STEPS) -> None:
        """Play the whole history, and let the mirror recover at the end."""
        for _ in range(steps):
            for _ in range(self._dice.randint(1, 3)):
                self._event()
            self.run()
        self._mend()
        self.run()
        self._case.clock.advance(minutes=11)
        self.run()
        self._case.heals()

    def run(self) -> None:
        """Run ``mirror``, and assert that it does what the forecast says."""
        case, forecast = self._case, self._forecast
        forecast.run(case.clock.passed)
        self._offer_winners()
        case.about = "\n".join(self.log)
        granted = forecast.granted
        ran = case.mirror(
            exits=forecast.exit_status, excluded=granted.excluded, behind=granted.behind
        )
        told = read_status(case.site.ask("status", "--json", "--offline").out)
        wrong = list(forecast.judge(case.snapshot(), ran, told))
        assert not wrong, "\n".join([case.about, *map(str, wrong), ran.log])
        self.log.append(f"run: {ran.code}")

    def _offer_winners(self) -> None:
        """Let each URL that several projects name have the content that must be mirrored.

        An index has these files at several hosts, and this one has a single host.
        """
        for standing in self._forecast.standings.values():
            for file in (standing.page or {}).values():
                if SHARED in file.path:
                    self._index.files[file.path] = file

    # ------------------------------------------------------------ events

    def _event(self) -> None:
        """Make an event that is possible now."""
        made, name = None, ""
        while not made:
            event, name = self._dice.choice(self._events), self._dice.choice(NAMES)
            made = event(self, name)
        self.log.append(f"{name}: {made}")

    def _project(self, display: str) -> Project | None:
        return self._index.projects.get(canonicalize_name(display))

    def _files(self, display: str, wanted: Callable[[File], bool] = lambda _: True) -> list[File]:
        project = self._project(display)
        return [] if project is None else [f for f in project.files.values() if wanted(f)]

    def _pick(self, display: str, wanted: Callable[[File], bool]) -> File | None:
        found = self._files(display, wanted)
        return self._dice.choice(found) if found else None

    def _stem(self, display: str) -> str:
        return canonicalize_name(display).replace("-", "_")

    def _upload(self, display: str, filename: str, version: str, how: str = "") -> File:
        """Publish a file whose digests are given as ``how`` says; see ``give``."""
        file = self._index.upload(display, version, filename, size=40)
        give(file, how)
        return file

    def _publish(self, name: str) -> str:
        version = f"{next(self._versions)}.0"
        self._index.release(name, version, size=40, metadata=self._dice.random() < 0.5)
        return f"release {version}"

    def _publish_rejected(self, name: str) -> str:
        version = f"{next(self._versions)}.0"
        how = self._dice.choice(["hidden", "none"])
        dot = "." if how == "hidden" else ""
        filename = f"{dot}{self._stem(name)}-{version}.tar.gz"
        self._upload(name, filename, version, how if how == "none" else "")
        return f"publish {filename}, digest {how}"

    def _publish_md5(self, name: str) -> str:
        version = f"{next(self._versions)}.0"
        self._upload(name, f"{self._stem(name)}-{version}.tar.gz", version, "md5")
        return f"publish {version} with md5"

    def _change_digest(self, name: str) -> str | None:
        """Give other digests of the same content; perhaps none, or some for the first time."""
        file = self._pick(name, lambda file: not file.filename.startswith("."))
        if file is None or file.filename.endswith(VARIANTS):
            return None
        how = self._dice.choice(["", "md5", "none"])
        give(file, how)
        self._index._happens(name, "new digests")
        return f"{file.filename} has digests {how or 'sha256'}"

    def _remove_rejected(self, name: str) -> str | None:
        file = self._pick(name, is_invalid)
        if file is None:
            return None
        self._index.remove_file(name, file.filename)
        return f"remove {file.filename}"

    def _change_content(self, name: str) -> str | None:
        """Replace a file by another one of the same name, as no index should."""
        file = self._pick(name, lambda file: not is_invalid(file) and SHARED not in file.path)
        if file is None or file.filename.endswith(VARIANTS):
            return None
        how = "md5" if file.hashes else ""
        self._originals.setdefault((name, file.filename), file)
        self._upload(name, file.filename, file.version, how)
        return f"replace {file.filename}"

    def _revert_content(self, name: str) -> str | None:
        """Let the index offer the first content again."""
        file = self._pick(name, lambda file: (name, file.filename) in self._originals)
        if file is None:
            return None
        project = self._index.project(name)
        project.files[file.filename] = self._originals[name, file.filename]
        self._index._happens(name, "content reverted")
        return f"revert {file.filename}"

    def _publish_twins(self, name: str) -> str:
        """Publish files whose names differ in case, or in normal form."""
        version = f"{next(self._versions)}.0"
        first = f"{self._stem(name)}-{version}.tar.gz"
        second = first.capitalize()
        if self._dice.random() < 0.3:
            first = f"{self._stem(name)}-{version}-{_LETTERS}.tar.gz"
            second = unicodedata.normalize("NFD", first)
        twins = [first, second]
        self._dice.shuffle(twins)
        for filename in twins[: self._dice.randint(1, 2)]:
            path = f"{SHARED}/{filename}"
            self._index.upload(name, version, filename, size=40, path=path)
        return f"publish twins {twins!a}"

    def _publish_other_twin(self, name: str) -> str | None:
        """Publish the second of two files later."""
        file = self._pick(name, lambda file: SHARED in file.path and file.filename.isascii())
        if file is None:
            return None
        filename = file.filename.swapcase()
        if filename in self._index.project(name).files:
            return None
        filename = filename.replace(".TAR.GZ", ".tar.gz")
        if filename in self._index.project(name).files:
            return None
        path = f"{SHARED}/{filename}"
        self._index.upload(name, file.version, filename, size=40, path=path)
        return f"publish {filename}"

    def _remove_twin(self, name: str) -> str | None:
        """Remove one of several colliding files."""
        file = self._pick(name, lambda file: SHARED in file.path)
        if file is None:
            return None
        self._index.remove_file(name, file.filename)
        return f"remove {file.filename!a}"

    def _publish_companion(self, name: str) -> str:
        """Publish the variants of a version, or other ones instead."""
        filename = f"{self._stem(name)}-1.0{VARIANTS}"
        content = f'{{"variants": {{"{self._index.serial}": {{}}}}}}'.encode()
        self._index.upload(name, "1.0", filename, content=content)
        return f"publish {filename}"

    def _empty(self, name: str) -> str | None:
        """Take all files off a page, with an event that says so or another one."""
        if not self._files(name):
            return None
        action = self._dice.choice(["remove release", "yank release"])
        self._index.lose_files(name, action=action)
        return f"all files are gone, event {action}"

    def _remove_project(self, name: str) -> str | None:
        project = self._project(name)
        if project is None:
            return None
        self._removed[name] = project
        self._index.remove_project(name)
        return "remove the project"

    def _return_project(self, name: str) -> str | None:
        """Let a removed project come back with its files, or with a new one only."""
        if name not in self._removed or self._project(name) is not None:
            return None
        project = self._removed.pop(name)
        if self._dice.random() < 0.3:
            return f"create the project again, {self._publish(name)}"
        self._index.restore(project)
        return "restore the project"

    def _contest(self, name: str) -> str | None:
        """Publish a file that is named after two projects, where the other one has its file.

        Two new files at one path are not published: the URL has only one content.
        """
        if canonicalize_name(name) not in CONTESTANTS:
            return None
        (other,) = CONTESTANTS - {canonicalize_name(name)}
        standing = self._forecast.standings.get(other)
        shown = (standing and standing.page) or {}
        version = f"{next(self._versions)}.0"
        ways: list[tuple[str, bytes | None]] = [(f"gamma-ray-{version}.tar.gz", None)]
        for file in self._files(other, lambda file: is_contested(file.filename)):
            ways.append((file.filename.capitalize(), None))
            if file.filename in shown:
                same = shown[file.filename].content
                ways += [(file.filename, None), (file.filename, same)]
        filename, content = self._dice.choice(ways)
        own = self._project(name)
        if own is not None and filename in own.files:
            return None
        path = f"{SHARED}/{filename}"
        self._index.upload(name, version, filename, size=40, content=content, path=path)
        return f"publish {filename}{' with the same content' if content else ''}"

    def _acknowledge(self, name: str) -> str:
        """Let the operator acknowledge the rejected files of a project, or no longer."""
        self._forecast.ignored ^= {canonicalize_name(name)}
        patterns = [f"{each}:*" for each in sorted(self._forecast.ignored)]
        self._case.site.configure(ignore_rejected="\n    ".join(["", *patterns]))
        return f"acknowledged: {patterns}"

    def _wait(self, _: str) -> str:
        """Let time pass, for a second look or not."""
        minutes = self._dice.choice([1, 9, 11])
        self._case.clock.advance(minutes=minutes)
        return f"{minutes} minutes pass"

    _events = (
        _publish,
        _publish,
        _publish_rejected,
        _publish_rejected,
        _publish_md5,
        _change_digest,
        _change_digest,
        _remove_rejected,
        _change_content,
        _revert_content,
        _publish_twins,
        _publish_other_twin,
        _remove_twin,
        _publish_companion,
        _empty,
        _remove_project,
        _return_project,
        _return_project,
        _contest,
        _contest,
        _acknowledge,
        _wait,
    )

    # ------------------------------------------------------------ the end

    def _mend(self) -> None:
        """Let the index offer again what is shown, and remove what is rejected."""
        for name in NAMES:
            project = self._project(name)
            if project is None:
                continue
            standing = self._forecast.standings.get(canonicalize_name(name))
            shown = (standing and standing.page) or {}
            for filename, file in list(project.files.items()):
                if filename in shown:
                    give(shown[filename], "")
                    project.files[filename] = shown[filename]
                elif is_invalid(file) or SHARED in file.path:
                    self._index.remove_file(name, filename)
            self._publish(name)
        self.log.append("mend")


def give(file: File, how: str) -> None:
    """Give digests of a file: sha256 and others for "", ``md5`` alone, or ``none``."""
    md5 = {"md5": hashlib.md5(file.content).hexdigest()}
    given = {"": None, "md5": md5, "none": {}}[how]
    file.hashes = file.digests = given


def folds(kinds: frozenset[str]) -> Callable[[str], str]:
    """Return the function that folds what a file system of these kinds ignores."""

    def fold(path: str) -> str:
        if "normal_form" in kinds:
            path = unicodedata.normalize("NFD", path)
        return path.casefold() if "case" in kinds else path

    return fold
