"""Strategies for whole filter chains: configurations of all filters, and pages for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from bandersnatch.filters.registry import BUILT_IN
from bandersnatch.model.project import ProjectStatus
from tests.support.chains import chain_of
from tests.support.factories import NOW, make_detail, make_file

if TYPE_CHECKING:
    from random import Random
    from typing import TypeAlias

    from bandersnatch.filters.chain import FilterChain
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.project import ProjectDetail

    Lines: TypeAlias = st.SearchStrategy[list[str]]
    Files: TypeAlias = st.SearchStrategy[ReleaseFile]

PROJECT_FILTERS = (
    "allowlist_project", "blocklist_project", "project_requirements", "regex_project",
)  # fmt: skip
PAGE_FILTERS = tuple(sorted(BUILT_IN.keys() - set(PROJECT_FILTERS)))

# ---------------------------------------------------------------- configurations


@dataclass
class Configuration:
    """A configuration whose lines can be reordered.

    ``sections`` map sections to options to their lines, ``files`` list files to their lines.
    """

    enabled: list[str]
    sections: dict[str, dict[str, list[str]]]
    files: dict[str, list[str]] = field(default_factory=dict)

    def chain(self, order: Random | None = None) -> FilterChain:
        """Return the filter chain of the configuration with its lines in this order."""

        def arranged(values: Any) -> list[Any]:
            listed = list(values)
            if order is not None:
                order.shuffle(listed)
            return listed

        sections = {"plugins": {"enabled": self.enabled}, **self.sections}
        text = []
        for section, options in arranged(sections.items()):
            text.append(f"[{section}]")
            for option, lines in arranged(options.items()):
                text += [f"{option} =", *(f"    {line}" for line in arranged(lines))]
        files = {path: "\n".join(arranged(lines)) for path, lines in self.files.items()}
        return chain_of("\n".join(text), files)


_REQUIREMENTS = (
    "foo", "Foo == 1.0", "foo>=1.1,<2", "foo===old_1", "foo==2.0rc1", "f*>=1", "foo~=1.0",
    "foo!=1.1  # not that one", "other==1.0", "other", "?oo<2", "FOO>1",
)  # fmt: skip
_PIP_LINES = ("foo==1.0", "Foo>=1.1", "foo<=2; python_version < '3'", "foo==2.0.post1", "foo")
_PATTERNS = (r".+rc\d$", r"1\.[01]", "old", r".*dev\d+$", "[a-z]", "2$")


def _lines(*pool: str, least: int = 1) -> Lines:
    return st.lists(st.sampled_from(pool), min_size=least, max_size=4, unique=True)


def _one(*pool: str) -> Lines:
    return st.sampled_from(pool).map(lambda text: [text])


def _options(
    required: dict[str, Lines], optional: dict[str, Lines] | None = None
) -> st.SearchStrategy[dict[str, list[str]]]:
    return st.fixed_dictionaries(required, optional=optional or {})


_SECTIONS = st.fixed_dictionaries(
    {
        "allowlist": _options(
            {"packages": _lines(*_REQUIREMENTS), "requirements": st.just(["requirements.txt"])}
        ),
        "blocklist": _options(
            {
                "packages": _lines(*_REQUIREMENTS),
                "platforms": _lines(
                    "windows", "macos", "linux", "py2", "py3.11", "win_amd64", "freebsd"
                ),
            }
        ),
        "filter_regex": _options(
            {"packages": _lines("fo", "x", "bar$"), "releases": _lines(*_PATTERNS)}
        ),
        "filter_prerelease": _options({}, {"packages": _lines("foo", "other", "f*")}),
        "latest_release": _options(
            {"keep": _one("0", "1", "2", "3")},
            {"sort_by": _one("version", "time"), "keep-per": _one("project", "major", "minor")},
        ),
        "size_project_metadata": _options({"max_package_size": _one("10", "1 KB", "1 GB")}),
        "versions_count_project_metadata": _options(
            {"max_versions": _one("0", "3", "9"), "min_versions": _one("1", "2")}
        ),
        "project_status": _options({"drop": _lines("archived", "deprecated", "quarantined")}),
        "release_age": _options(
            {"min-age": _one("0 days", "3 days", "30 days")},
            {
                "freeze-at": _one("2026-11-01", "2026-11-18"),
                "exceptions": _lines("foo==1.0", "foo==2.0rc1", "other"),
                "prefetch": _one("yes", "no"),
            },
        ),
        "environments": _options(
            {"here": _one("python >=3.11; linux x86_64 glibc 2.28", "python 3.12; tag any")},
            {
                "there": st.just(["windows amd64", "python 3.11 3.13t"]),
                "old": st.just(["linux x86_64 i686 glibc 2.12", "python 2.7"]),
            },
        ),
        "target_environments": _options({"sdists": _one("keep", "drop", "when-no-wheel")}),
        "regex_project_metadata": _options(
            {"any:info.name": _lines("foo", "o")},
            {"none:info.classifiers": _lines("Typed", "Private")},
        ),
        "version_range_project_metadata": _options(
            {"any:info.requires_python": _lines("3.8", "3.12")}
        ),
        "regex_release_file_metadata": _options(
            {
                "any:release_file.packagetype": _lines("sdist", "bdist_wheel", "bdist_egg"),
            },
            {
                "none:release_file.filename": _lines(".*win", ".*egg", ".*-py2"),
                "not-null:release_file.requires_python": _lines(">", "<"),
                "none:release": _lines(*_PATTERNS),
            },
        ),
        "version_range_release_file_metadata": _options(
            {"any:release_file.requires_python": _lines("3.8", "2.7", "3.13")}
        ),
        "yanked_release": st.just({}),
    }
)  # fmt: skip


@st.composite
def configurations(
    draw: st.DrawFn, filters: tuple[str, ...] = (*PAGE_FILTERS, *PROJECT_FILTERS)
) -> Configuration:
    """Draw a valid configuration of some of the filters."""
    required = draw(_lines(*_PIP_LINES, "other>=1"))
    files = {
        "requirements.txt": [*required, *draw(_lines("-c late.txt", least=0))],
        "late.txt": draw(_lines("foo<2", "foo==1.1", "other<9", "third", least=0)),
    }
    enabled = draw(st.lists(st.sampled_from(filters), min_size=1, max_size=5, unique=True))
    return Configuration(enabled, draw(_SECTIONS), files)


# ---------------------------------------------------------------- pages

VERSIONS = (
    "1.0", "1.0.0", "1.1", "1.1.post1", "2.0.dev3", "2.0rc1", "2.0b1", "2.0", "2.0.0", "2.0.post1",
    "1!0.5", "1.0+local.1", "2004d", "old_1", "1.0.x", "latest", "3.0a1",
)  # fmt: skip

_ENDINGS = (
    "-py3-none-any.whl", "-py2.py3-none-any.whl", "-py2-none-any.whl", "-cp311-abi3-win_amd64.whl",
    "-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "-cp27-cp27mu-manylinux1_i686.whl", "-cp311-cp311-macosx_10_9_universal2.whl",
    "-cp313-cp313t-musllinux_1_2_aarch64.whl", "-pp310-pypy310_pp73-win32.whl",
    "-1build-py3-none-any.whl", "-nonsense.whl", ".tar.gz", ".zip", ".tgz", ".tar.bz2",
    ".win32-py2.7.exe", ".win-amd64-py3.4.exe", ".exe", "-py2.7.egg",
    "-py2.6-macosx-10.5-i386.egg", ".linux-x86_64.tar.gz", "-1.noarch.rpm", ".win32.msi",
    ".macosx-10.9-x86_64.dmg", ".deb",
)  # fmt: skip

_REQUIRED = st.sampled_from([None, None, ">=3.8", ">=2.7, !=3.0.*", "<3.12", "~=3.11", "three"])
_FILENAMES = st.builds(
    "{}-{}{}".format,
    st.sampled_from(["foo", "Foo"]),
    st.sampled_from(VERSIONS),
    st.sampled_from([*_ENDINGS, ".tar.gz", "-py3-none-any.whl", "-py3-none-any.whl"]),
)
_DOCUMENTS = st.fixed_dictionaries(
    {
        "info": st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from(["foo", "Foo"]),
                "classifiers": st.lists(st.sampled_from(["Typed", "Private :: Do Not Upload"])),
                "requires_python": _REQUIRED,
                "version": st.sampled_from(VERSIONS),
            },
        )
    }
)


def _files(sizes: tuple[int | None, ...], days: st.SearchStrategy[float | None]) -> Files:
    return st.builds(
        lambda filename, age, **told: make_file(
            filename, upload_time=None if age is None else NOW - timedelta(days=age), **told
        ),
        _FILENAMES,
        days,
        size=st.sampled_from(sizes),
        requires_python=_REQUIRED,
        yanked=st.sampled_from([None, None, None, "", "it is broken"]),
    )


_AGES = st.integers(0, 40).map(float)
_TOLD = _files((0, 5, 300, 2**20), _AGES)
_NOT_ALL_TOLD = _files((None, 300), st.none() | _AGES)


@st.composite
def varied_pages(draw: st.DrawFn) -> ProjectDetail:
    """Draw a page of ``foo`` with files of all kinds; optional fields may be missing."""
    file = draw(st.sampled_from([_TOLD, _TOLD, _NOT_ALL_TOLD]))
    least = draw(st.sampled_from([6, 9, 0]))
    files = draw(st.lists(file, min_size=least, max_size=14, unique_by=lambda f: f.filename))
    statuses = [*[ProjectStatus.ACTIVE] * 4, *ProjectStatus]
    return make_detail(
        files=tuple(files),
        versions=tuple(draw(st.lists(st.sampled_from(VERSIONS), unique=True, max_size=8))),
        status=draw(st.sampled_from(statuses)),
        document=draw(
            st.sampled_from([_DOCUMENTS, _DOCUMENTS, _DOCUMENTS, st.none()]).flatmap(
                lambda documents: documents
            )
        ),
    )
