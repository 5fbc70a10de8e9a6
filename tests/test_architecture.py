"""Which module may import which; a new arrow is a decision, not an accident."""

from __future__ import annotations

import ast
import itertools
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).parent.parent / "src" / "bandersnatch"
MODULES = sorted(SOURCE.rglob("*.py"))

VALUES = {"errors", "model"}
PORTS = {
    "clock",
    "events",
    "layout",
    "catalogue.port",
    "catalogue.records",
    "doctor.port",
    "index.port",
    "storage.port",
}
EDGE = VALUES | PORTS | {"simple", "config.schema", "concurrency"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "model": VALUES,
    "layout": VALUES,
    "clock": set(),
    "events": VALUES | {"layout"},
    "catalogue.port": VALUES | PORTS,
    "catalogue.records": VALUES | {"layout"},
    "doctor.port": set(),
    "index.port": VALUES | PORTS,
    "storage.port": VALUES | {"layout"},
    "storage.wrapper": VALUES | {"layout", "storage.port"},
    "concurrency": {"clock"},
    "state_word": {"catalogue.port", "catalogue.records"},
    "fleet_counts": set(),
    "metrics": {"catalogue.port", "catalogue.records", "state_word", "fleet_counts"},
    "simple": VALUES | {"simple"},
    "filter": set(),
    "filters": VALUES | {"filters", "config.readers", "config.hints"},
    "filters.plugins.legacy": VALUES | {"filters", "filter"},
    "config": VALUES | {"layout", "config"},
    "config.catalogue": VALUES | {"config.readers"},
    "config.readers": VALUES,
    "config.hints": VALUES,
    "config.hours": VALUES | {"config.readers"},
    "config.rates": VALUES | {"config.readers", "config.hours"},
    "config.schema": VALUES | {"layout", "config.catalogue", "config.readers", "config.rates"},
    "closure": VALUES | {"config.schema", "closure"},
    "index": EDGE | {"index", "config.readers", "config.rates"},
    "storage": EDGE | {"storage"},
    "catalogue": EDGE | {"catalogue", "config.catalogue"},
    "mirror": VALUES
    | PORTS
    | {"concurrency", "simple", "filters.chain", "filters.interface", "config.schema", "mirror"}
    | {"filters.following", "closure", "state_word"},
    "doctor": VALUES | PORTS | {"simple", "doctor"},
    "transfer": VALUES | PORTS | {"concurrency", "config.schema", "mirror.mark", "transfer"},
    "cluster": VALUES
    | PORTS
    | {"concurrency", "filters.chain", "config.schema", "mirror", "cluster", "fleet_counts"}
    | {"closure.state", "storage.wrapper"},
    "cluster.postgres": VALUES
    | PORTS
    | {"config.catalogue", "catalogue.postgres.failures", "catalogue.postgres.lock", "cluster"}
    | {"concurrency", "fleet_counts"},
    "serve": VALUES
    | PORTS
    | {"concurrency", "simple", "filters.chain", "config.schema", "serve", "state_word", "metrics"}
    | {"fleet_counts"},
}
"""The layers, each with what it may import of this package; app and cli may import all."""

HOMES: dict[str, set[str]] = {
    "aiohttp": {"index.aiohttp_client", "index.proxy", "serve.connections", "serve.server"},
    "yarl": {"index", "serve.connections"},
    "multidict": {"index"},
    "aiohttp_socks": {"index.proxy"},
    "aiohttp_xmlrpc": {"index.changelog"},
    "distlib": {"app", "config.load"},
    "lxml": {"index.changelog"},
    "filelock": {"storage.lock"},
    "obstore": {"storage.s3"},
    "uvloop": {"cli"},
    "humanfriendly": {"cli", "config.readers"},
    "packaging": {"model", "filters", "closure"},
    "resolvelib": {"closure"},
    "regex": {"filters.builtin.regex"},
    # And plain values everywhere but in the model, which has the simplest tools.
    "msgspec": {"simple", "events", "config", "index", "storage", "catalogue", "mirror", "filters"}
    | {
        "app",
        "cli",
        "concurrency",
        "serve",
        "state_word",
        "fleet_counts",
        "metrics",
        "closure",
        "doctor",
        "transfer",
        "cluster",
    },
    "sqlite3": {"catalogue.sqlite", "catalogue.sqlite_file"},
    "psycopg": {"catalogue.postgres", "cluster.postgres"},
    "psycopg_pool": {"cluster.postgres"},
    "procrastinate": {"cluster.postgres"},
    "jinja2": {"serve.pages"},
    "prometheus_client": {"metrics"},
    # Filters of the older interface are given the configuration as a parser.
    "configparser": {"config.ini", "filters.plugins.legacy"},
    "argparse": {"cli"},
    "rich": {"cli"},
}
"""The places that a library may be imported in."""

NEVER: dict[str, set[str]] = {
    "errors": {"asyncio", "logging", "os", "pathlib"},
    "model": {"asyncio", "logging", "os", "pathlib"},
    "simple": {"asyncio", "logging", "os", "pathlib"},
    "filters": {"asyncio", "logging"},
    "closure": {"asyncio", "logging", "os", "pathlib"},
    "layout": {"asyncio", "logging", "os", "pathlib"},
    "catalogue.records": {"asyncio", "logging", "os", "pathlib"},
    "clock": {"asyncio", "logging", "os", "pathlib"},
    "events": {"asyncio", "logging", "os", "pathlib"},
    "catalogue.port": {"asyncio", "logging", "os", "pathlib"},
    "index.port": {"asyncio", "logging", "os", "pathlib"},
    "storage.port": {"asyncio", "logging", "os", "pathlib"},
    "storage.wrapper": {"asyncio", "logging", "os", "pathlib"},
    "mirror": {"logging", "os", "pathlib", "time", "random", "tempfile", "shutil"},
    "serve": {"logging", "os", "pathlib", "time", "random", "tempfile", "shutil"},
    "cluster": {"os", "pathlib", "random", "tempfile", "shutil"},
    "doctor": {"logging", "os", "pathlib", "time", "random", "tempfile", "shutil"},
    "transfer": {"logging", "os", "pathlib", "time", "random", "tempfile", "shutil"},
}
"""What would let the world into a layer that is to know nothing of it."""


def name_of(path: Path) -> str:
    """Return a module's name within the package: ``model.names``, or "" for the package itself."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def layer_of(module: str) -> str:
    """Return the most particular layer that a module belongs to."""
    return module if module in MAY_IMPORT else module.partition(".")[0]


def is_within(module: str, places: set[str]) -> bool:
    """Whether a module is one of the places, or inside one."""
    return any(module == place or module.startswith(f"{place}.") for place in places)


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield what a file imports, and whether only the type checker does."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in for_types
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} has a relative import"
            for alias in node.names:
                inner = (
                    node.module == "bandersnatch"
                    or (SOURCE.parent / node.module.replace(".", "/")).is_dir()
                )
                yield f"{node.module}.{alias.name}" if inner else node.module, id(node) in for_types


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_inward(path: Path) -> None:
    module = name_of(path)
    layer = layer_of(module)
    if layer not in MAY_IMPORT:
        return
    for imported, _ in imports(path):
        if imported.startswith("bandersnatch.") and imported != "bandersnatch.__version__":
            inner = imported.removeprefix("bandersnatch.")
            assert is_within(inner, MAY_IMPORT[layer]), f"{module} must not import {inner}"


def test_every_imported_library_is_declared() -> None:
    project = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    texts = [*project["project"]["dependencies"], *itertools.chain.from_iterable(extras)]
    declared = {Requirement(each).name.replace("-", "_") for each in texts}
    found = {name for path in MODULES for name, only_types in imports(path) if not only_types}
    libraries = {name.partition(".")[0] for name in found} - sys.stdlib_module_names
    assert libraries - declared <= {"bandersnatch"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_each_library_has_one_home(path: Path) -> None:
    module = name_of(path)
    for imported, only_types in imports(path):
        homes = HOMES.get(imported.partition(".")[0])
        if homes is not None and not only_types:
            assert is_within(module, homes), f"{module} must not import {imported}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_inner_layers_know_nothing_of_the_world(path: Path) -> None:
    module = name_of(path)
    layer = layer_of(module)
    forbidden = NEVER.get(layer, NEVER.get(layer.partition(".")[0], set()))
    for imported, only_types in imports(path):
        assert only_types or imported.partition(".")[0] not in forbidden, f"{module}: {imported}"


def test_imports_have_no_cycles() -> None:
    """Not for its types either: what goes in a circle is one thing, or holds two."""
    names = set(map(name_of, MODULES))
    needs: dict[str, set[str]] = {}
    for path in MODULES:
        inner = {each.removeprefix("bandersnatch.") for each, _ in imports(path)}
        # What is imported from a package may be a module of it, or something in its face.
        needs[name_of(path)] = {
            each if each in names else each.rpartition(".")[0] for each in inner
        }
        needs[name_of(path)] &= names - {name_of(path)}
    assert tuple(TopologicalSorter(needs).static_order())


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_are_short(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            assert node.end_lineno - node.lineno < 45, f"{node.name} is too long"


def test_help_needs_none_of_the_heavy_libraries() -> None:
    """A library that is slow to import is imported by what needs it, when it needs it."""
    heavy = {
        "aiohttp",
        "aiohttp_xmlrpc",
        "distlib",
        "lxml",
        "rich",
        "sqlite3",
        "msgspec",
        "packaging",
        "procrastinate",
        "psycopg",
        "resolvelib",
        "uvloop",
    }
    program = (
        "import sys; before = set(sys.modules);"
        "from bandersnatch.cli.parser import parser; parser().format_help();"
        "import bandersnatch.cli.main; print(*set(sys.modules) - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not heavy & set(done.stdout.split())


def test_an_interval_of_0_is_read_without_the_library_of_units() -> None:
    """That library imports the parser of HTML as well."""
    program = (
        "import sys; from bandersnatch.config.readers import duration_with_unit;"
        "duration_with_unit('0'); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not {"humanfriendly", "html.parser"} & set(done.stdout.split())


def test_a_run_without_a_closure_imports_nothing_for_dependencies() -> None:
    """These modules read archives and parse markers: a tenth of all that a run imports."""
    program = (
        "import sys, bandersnatch.mirror.run, bandersnatch.mirror.sync;"
        "import bandersnatch.cli.commands.mirror; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "bandersnatch.mirror.run" in loaded
    assert [name for name in loaded if name.startswith("bandersnatch.closure")] == []
    assert not loaded & {"tarfile", "zipfile", "packaging.markers"}


def test_the_oracle_of_the_faults_knows_nothing_of_the_program() -> None:
    """It could share its mistakes otherwise: neither it nor what it imports may import ours."""
    program = "import sys, tests.chaos.oracle, tests.chaos.forecast; print(*sys.modules)"
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root
    )
    loaded = done.stdout.split()
    assert "tests.chaos.oracle" in loaded
    assert [name for name in loaded if name.partition(".")[0] == "bandersnatch"] == []


TESTS = Path(__file__).parent


@pytest.mark.parametrize(
    "path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS))
)
def test_modules_of_tests_share_code_through_support_only(path: Path) -> None:
    """No test module is imported, `tests/support` is self-contained, and so is `tests/chaos`."""
    place = path.relative_to(TESTS).parts[0]
    for imported, _ in imports(path):
        parts = imported.split(".")
        if parts[0] == "tests":
            assert not any(part.startswith("test_") for part in parts), imported
            assert parts[1] in {"support", "chaos"}, imported
            assert parts[1] == "support" or place in {"chaos", "test_architecture.py"}, imported


def test_importing_a_module_does_nothing() -> None:
    """No module has statements at its top that act, beyond making what it is made of."""
    for path in MODULES:
        if path.name == "__main__.py":
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            acts = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
            assert not acts, f"{name_of(path)}:{node.lineno}"


CHANGING = {
    *("chmod", "chown", "link", "makedirs", "mkdir", "mkfifo", "mknod", "open", "remove"),
    *("removedirs", "rename", "renames", "replace", "rmdir", "symlink", "truncate", "unlink"),
}
"""Functions of ``os`` that change something by its path, or may create it."""

PATH_METHODS = {"write_text", "write_bytes", "touch", "symlink_to", "hardlink_to", "lchmod"}

WRITERS = {
    "storage.descriptors": CHANGING,
    "storage.paths": CHANGING,
    "storage.output": CHANGING,
    "storage.filesystem": {"makedirs"},  # the mirror's directory itself
    "storage.s3.listing": {"tempfile"},  # a file without a name
    "storage.s3.storage": {"makedirs"},  # the state directory
    "catalogue.sqlite_file": {"replace"},  # SQLite knows its file by its path only
    "cli.stdio": {"open"},  # the null device
}
"""Which modules may open files for writing, or change a directory, and how."""


def _mode(call: ast.Call) -> str:
    """Return the mode of a call of ``open``, as a function or as a method."""
    place = 1 if isinstance(call.func, ast.Name) else 0
    modes = [each.value for each in call.keywords if each.arg == "mode"] + call.args[place:][:1]
    return next((str(m.value) for m in modes if isinstance(m, ast.Constant)), "")


def changes(tree: ast.AST) -> Iterator[str]:
    """Yield the calls that change a file by its path: ``os.rename``, ``path.open("w")``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None), *(alias.name for alias in node.names)]
            yield from {"shutil", "tempfile"}.intersection(filter(None, names))
        if not isinstance(node, ast.Call):
            continue
        function, writes = node.func, bool(set(_mode(node)) & set("wax+"))
        if isinstance(function, ast.Name) and function.id == "open" and writes:
            yield "open"
        elif isinstance(function, ast.Attribute):
            of_os = isinstance(function.value, ast.Name) and function.value.id == "os"
            if (
                (of_os and function.attr in CHANGING)
                or function.attr in PATH_METHODS
                or (function.attr == "open" and writes)
            ):
                yield function.attr


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_files_are_written_by_the_storage_alone(path: Path) -> None:
    """Links planted anywhere are not followed only where everybody goes through these modules.

    SQLite, filelock and logging open files themselves; their paths are checked before.
    """
    found = set(changes(ast.parse(path.read_text(encoding="utf-8"))))

    allowed = WRITERS.get(name_of(path), set())
    assert found <= allowed | ({"shutil"} if name_of(path) == "storage.paths" else set())


@pytest.mark.parametrize(
    "text",
    [
        *("os.open(path, flags)", "os.rename(a, b)", "open(path, 'w')", "open(path, mode='ab')"),
        *("path.open('x')", "path.open(mode='r+')", "path.write_text('')", "import shutil"),
        *("from tempfile import mkstemp", "path.touch()", "os.unlink(path)"),
    ],
)
def test_what_writes_is_recognised(text: str) -> None:
    assert list(changes(ast.parse(text)))


@pytest.mark.parametrize("text", ["open(path)", "path.open('rb')", "os.read(1, 2)", "a.open(b)"])
def test_what_only_reads_is_permitted(text: str) -> None:
    assert not list(changes(ast.parse(text)))
