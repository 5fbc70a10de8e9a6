"""The oracle detects each violation that a test makes by hand."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.figures import NOT_COUNTED, Figures
from tests.chaos.oracle import Granted

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.case import Case
    from tests.chaos.oracle import Complaint
    from tests.support.site import Ran, Site


@pytest.fixture
def ran(case: Case) -> Ran:
    """Mirror two projects, change one of them, and return the run that syncs it."""
    case.mirrored("foo", "bar")
    case.index.release("foo", "2.0")
    case.site.mirror()
    return case.mirror()


def complaints(case: Case, ran: Ran, spoil: Callable[[], object]) -> set[str]:
    """Return the rules that are violated when ``spoil`` changes something during a run."""
    before = case.snapshot()
    spoil()
    found: list[Complaint] = case.oracle.judge(before, case.snapshot(), ran, Granted())
    return {each.rule for each in found}


def edited(path: Path, old: str, new: str) -> None:
    """Replace text in a file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def a_file(site: Site) -> Path:
    """Return a release file."""
    return next(site.web.rglob("bar-1.0*.whl"))


def page(site: Site, form: str, name: str = "bar") -> Path:
    """Return a page."""
    return site.web / f"simple/{name}/index.{form}"


def at_serial(site: Site, old: int, new: int) -> None:
    """Put another serial into all pages of a project."""
    for form in ("html", "v1_html"):
        edited(page(site, form), f"SERIAL {old}", f"SERIAL {new}")
    edited(page(site, "v1_json"), f'"_last-serial": {old}', f'"_last-serial": {new}')


def unpublished(site: Site) -> None:
    """Remove a project from the root page, and its own pages."""
    shutil.rmtree(page(site, "html").parent)
    edited(site.web / "simple/index.html", '    <a href="bar/">bar</a><br/>\n', "")
    edited(site.web / "simple/index.v1_html", '    <a href="bar/">bar</a><br/>\n', "")
    root = site.web / "simple/index.v1_json"
    listed = json.loads(root.read_text())
    listed["projects"] = [each for each in listed["projects"] if each["name"] != "bar"]
    root.write_text(json.dumps(listed))


SPOILT: list[tuple[set[str], Callable[[Site], object]]] = [
    ({"I1", "K2"}, lambda s: a_file(s).unlink()),
    ({"I1", "K2", "I10"}, lambda s: a_file(s).write_bytes(b"x" * 300)),
    ({"I5", "K2", "I10"}, lambda s: next(s.web.rglob("bar*.metadata")).write_bytes(b"x")),
    ({"I1", "I23"}, lambda s: edited(page(s, "v1_json"), '"size": 300', '"size": 299')),
    ({"I2", "I23"}, lambda s: edited(page(s, "v1_json"), '"yanked": false', '"yanked": true')),
    ({"I2"}, lambda s: edited(page(s, "html"), "<a ", '<a data-yanked="" ')),
    ({"I2", "I23", "I7"}, lambda s: page(s, "v1_json").write_text("{")),
    ({"I4", "K2"}, lambda s: page(s, "v1_html").unlink()),
    ({"I4", "K2", "I7", "I23"}, lambda s: shutil.rmtree(page(s, "html").parent)),
    ({"K2", "I7", "I23"}, unpublished),
    ({"I4"}, lambda s: edited(s.web / "simple/index.v1_json", '{"name": "bar"', '{"name": "ba"')),
    ({"I6", "I7", "I23"}, lambda s: at_serial(s, 104, 103)),
    ({"I6", "I23"}, lambda s: at_serial(s, 104, 1040)),
    ({"I6", "I24"}, lambda s: (s.root / "status").write_text("1040")),
    ({"I6", "I24"}, lambda s: (s.root / "status").write_text("100")),
    ({"K2", "I6", "I24"}, lambda s: (s.root / "status").unlink()),
    ({"I24"}, lambda s: (s.root / "todo").write_text("104\nbar 102\n")),
    ({"I10"}, lambda s: (s.web / "status.tmp").write_text("1")),
    ({"I10"}, lambda s: (page(s, "html").parent / ".index.html.x").write_text("1")),
    ({"I10"}, lambda s: (a_file(s).parent / "x").symlink_to("/etc/passwd")),
    ({"I10"}, lambda s: a_file(s).chmod(0o600)),
    ({"I10"}, lambda s: a_file(s).parent.chmod(0o777)),
    ({"K6"}, lambda s: (s.root / ".partial" / ("a" * 64)).write_text("1")),
    ({"K8"}, lambda s: (s.home / "neighbour/precious.txt").write_text("mine")),
    ({"K8"}, lambda s: (s.home / "mirror.tmp").write_text("mine")),
    ({"K8"}, lambda s: (s.home / "mirror-of-another/precious.txt").unlink()),
]


@pytest.mark.parametrize("number", range(len(SPOILT)))
def test_damage_of_the_tree_is_detected(case: Case, ran: Ran, number: int) -> None:
    rules, spoil = SPOILT[number]

    assert complaints(case, ran, lambda: None) == set()
    assert complaints(case, ran, lambda: spoil(case.site)) == rules


FAILED = {"name": "bar", "class": "retry", "error": "X", "reason": "why", "will_retry": True}


def failing(ran: Ran, log: str, **changed: Any) -> Ran:
    """Return the run as one in which bar failed."""
    projects = {**ran.report["projects"], "failed": [FAILED], **changed}
    report = {**ran.report, "projects": projects, "exit_code": 4}
    return replace(ran, code=4, report=report, log=log)


LINE = "2026-01-01 00:00:00 ERROR: bar failed: why; the next run tries again (logs.py:1)\n"

SAID: list[tuple[set[str], Callable[[Ran], Ran]]] = [
    ({"I24"}, lambda r: replace(r, code=0, report={**r.report, "exit_code": 4})),
    ({"I23", "I24"}, lambda r: replace(r, code=4)),
    ({"I23"}, lambda r: failing(r, LINE)),
    ({"I23", "K1"}, lambda r: failing(r, "")),
    ({"I23", "K1"}, lambda r: failing(r, LINE * 2)),
    ({"I23", "K1"}, lambda r: failing(r, LINE.replace("why", ""))),
    ({"K1"}, lambda r: replace(r, log=r.log + "2026-01-01 00:00:00 ERROR: odd (a.py:1)\n")),
    ({"K1"}, lambda r: replace(r, log="Traceback (most recent call last):")),
    ({"I25"}, lambda r: replace(r, out="the password is hunter2")),
    ({"I23", "I24"}, lambda r: failing(r, LINE, synced=["bar"])),
    ({"I24"}, lambda r: replace(r, report={**r.report, "serial": {"after": 1}})),
]


@pytest.mark.parametrize("number", range(len(SAID)))
def test_output_that_contradicts_the_tree_is_detected(case: Case, ran: Ran, number: int) -> None:
    case.oracle.secrets.append("hunter2")
    rules, change = SAID[number]

    assert complaints(case, change(ran), lambda: None) == rules


def test_a_missing_project_is_detected_with_exit_status_0_and_4(case: Case, ran: Ran) -> None:
    case.index.release("foo", "3.0")
    assert complaints(case, ran, lambda: None) == {"I23"}
    assert complaints(case, failing(ran, LINE), lambda: None) == {"I23", "K5"}


def test_a_false_status_is_detected(case: Case, ran: Ran) -> None:
    case.index.release("foo", "3.0")

    def claim() -> None:
        (case.site.root / "status").write_text(str(case.index.serial))

    reached = replace(ran, report={**ran.report, "serial": {"after": case.index.serial}})
    assert complaints(case, reached, claim) == {"I7", "I23"}


def test_a_removed_project_that_is_shown_is_detected(case: Case, ran: Ran) -> None:
    case.index.remove_project("foo")

    assert complaints(case, ran, lambda: None) == {"I23"}


def test_a_change_with_exit_status_3_is_detected(case: Case, ran: Ran) -> None:
    told = {**ran.report, "exit_code": 3, "halted": [{"error": "X", "reason": "no index"}]}
    line = "2026-01-01 00:00:00 ERROR: no index (commands.py:1)\n"
    stopped = replace(ran, code=3, log=line, report=told)

    assert complaints(case, stopped, lambda: None) == set()
    case.index.release("foo", "3.0")
    assert complaints(case, stopped, lambda: None) == set()
    assert complaints(case, stopped, case.site.mirror) == {"K2", "I24"}


def test_removals_beyond_the_limit_are_detected(case: Case) -> None:
    for number in range(12):
        case.index.release(f"p{number}", "1.0")
    case.mirror()
    case.site.configure(max_removals=6)
    before = case.snapshot()
    for number in range(6):
        case.index.remove_project(f"p{number}")

    ran = case.site.mirror()

    after = case.snapshot()
    assert {c.rule for c in case.oracle.judge(before, after, ran, Granted())} == {"G13"}
    assert case.oracle.judge(before, after, ran, Granted(removals=6)) == []


def test_only_permitted_deviations_are_accepted(case: Case) -> None:
    (file,) = case.index.release("foo", "1.0")
    case.mirror()
    tree = case.snapshot()
    digest = hashlib.sha256(file.metadata or b"").hexdigest()

    assert case.oracle.shown(tree, "foo", Granted()) == ""
    assert case.oracle.shown(tree, "foo", Granted(excluded=frozenset({file.filename})))
    assert digest in case.oracle.shown(tree, "foo", Granted(bare=frozenset({file.filename})))


def test_the_reader_detects_a_project_without_a_page(case: Case) -> None:
    """A page is deleted during a run."""
    case.mirrored("foo", "bar")
    case.index.release("foo", "2.0")
    taken = case.snapshot().files("web/simple/bar/")

    def spoil(*_: object) -> None:
        for path in taken:
            (case.site.root / path).unlink(missing_ok=True)

    async def act(*_: object) -> None:
        spoil()

    case.figures = Figures()  # a separate one: this violation is not the program's
    case.fault("xmlrpc", act, times=1)
    with pytest.raises(AssertionError, match="bar"):
        case.mirror()
    assert case.figures.violated["G14"] == 1


def test_every_rule_that_a_test_cites_is_documented() -> None:
    """The numbers in ``docs/development/oracle.md`` are those in the code, and no others."""
    here = Path(__file__).parent
    page = (here.parents[1] / "docs/development/oracle.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"\b[KIG]\d+\b", page))
    sources = [path.read_text(encoding="utf-8") for path in here.glob("*.py")]
    cited = set(re.findall(r"\b[KIG]\d+\b", "\n".join(sources))) - set(NOT_COUNTED)

    assert cited == documented
