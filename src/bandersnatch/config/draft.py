"""The text of a first configuration, as ``init`` writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Draft(Struct, frozen=True):
    """What a first configuration says.

    ``directory`` and ``requirements`` are absolute paths, ``projects`` normalised names. Without
    ``projects`` and ``requirements`` the mirror is complete. ``environments`` are written as the
    section ``[environments]`` takes them. ``master`` is the URL of the index, "" for PyPI.
    """

    directory: str
    projects: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    master: str = ""

    @property
    def is_full(self) -> bool:
        """Whether the mirror has all projects of the index."""
        return not (self.projects or self.requirements)


def render_draft(draft: Draft) -> str:
    """Return the text of the configuration file."""
    return "\n".join([*_mirror(draft), *_filters(draft)]) + "\n"


def _mirror(draft: Draft) -> Iterator[str]:
    yield "; The configuration of bandersnatch. docs/reference/configuration.md has every option."
    yield "; Write comments on lines of their own."
    yield ""
    yield "[mirror]"
    yield '; A web server serves the directory "web" inside it.'
    yield f"directory = {_escaped(draft.directory)}"
    if draft.master:
        yield f"master = {_escaped(draft.master)}"
        if draft.master.startswith("http:"):
            yield "allow-non-https = true"


def _filters(draft: Draft) -> Iterator[str]:
    enabled = []
    if draft.requirements:
        enabled += ["project_requirements", "project_requirements_pinned"]
    elif draft.projects:
        enabled.append("allowlist_project")
    if draft.environments:
        enabled.append("target_environments")
    if not enabled:
        yield ""
        yield "; Without filters this is a mirror of all projects of the index."
        return
    yield ""
    yield "[plugins]"
    yield from _list("enabled", enabled)
    if not draft.is_full:
        yield ""
        yield "[allowlist]"
        if draft.requirements:
            yield "; They are read at the beginning of each run."
            yield from _list("requirements", draft.requirements)
        else:
            yield from _list("packages", draft.projects)
    if draft.environments:
        yield ""
        yield "[environments]"
        for number, each in enumerate(draft.environments, start=1):
            yield f"environment-{number} = {_escaped(each)}"


def _list(option: str, values: Sequence[str]) -> Iterator[str]:
    yield f"{option} ="
    yield from (f"    {_escaped(value)}" for value in values)


def _escaped(text: str) -> str:
    """Return a text with the characters escaped that begin references in a configuration."""
    return text.replace("%", "%%").replace("${", "$${")
