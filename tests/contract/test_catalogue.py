"""The contract of ``Catalogue``, for every adapter."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from bandersnatch.catalogue.overlay import DryRunCatalogue
from bandersnatch.catalogue.records import (
    CatalogueUpdate,
    Cause,
    Deferral,
    FileRecord,
    Marker,
    ProjectSummary,
    Standing,
)
from bandersnatch.catalogue.sqlite import SqliteCatalogue
from bandersnatch.errors import StorageError
from bandersnatch.model.content import Validators
from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.model.names import project_name
from bandersnatch.model.project import ProjectList, ProjectStatus, Rejection
from bandersnatch.model.serials import Serial
from tests.support import records as drawn
from tests.support.catalogues import (
    ADAPTERS,
    BASE,
    BASE_A,
    BASE_B,
    BASE_U,
    FOO,
    RARELY_SERVED,
    open_adapter,
    state,
)
from tests.support.factories import make_file
from tests.support.records import as_kept, make_record, make_removed, make_unfinished

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bandersnatch.catalogue.port import Catalogue, MirrorCatalogue
    from bandersnatch.catalogue.records import Deferred, ProjectRecord, TrashEntry
    from tests.support.postgres import SharedPostgres


@pytest.fixture(params=ADAPTERS)
async def catalogue(
    request: pytest.FixtureRequest, tmp_path: Path, shared_postgres: SharedPostgres
) -> AsyncIterator[Catalogue]:
    async with open_adapter(request.param, tmp_path, shared_postgres) as opened:
        yield opened


async def projects(catalogue: Catalogue) -> list[str]:
    """Return the names of all projects, after checking that every method agrees."""
    names = list(await catalogue.summaries(None))
    assert await catalogue.count() == len(names)
    for name in {*names, FOO, BASE_A, BASE_B}:
        assert (await catalogue.project(name) is not None) == (name in names)
        assert list(await catalogue.summaries([name])) == [name][: name in names]
    return [str(name) for name in names]


async def deferred_names(catalogue: Catalogue) -> list[str]:
    """Return the names of the deferred projects."""
    return [str(each.name) for each in await catalogue.deferred()]


async def trash_keys(catalogue: Catalogue, before: int | None = None) -> list[str]:
    """Return the keys in the trash."""
    return [str(each.key) for each in await catalogue.trash(before=before)]


def hashes(**values: str) -> Hashes:
    """Return digests."""
    return Hashes(tuple(Digest(name, value) for name, value in values.items()))


# ---------------------------------------------------------------- records


def full_record() -> ProjectRecord:
    """Return a record in which every field has a value of its own."""
    stored = make_file(
        "foo-1.0-py3-none-any.whl",
        hashes=hashes(blake2b="1" * 128, sha256="2" * 64, md5="3" * 32),
        size=12_345_678_901,
        requires_python=">=3.9, !=3.10",
        yanked="broken\N{EM DASH}on <ARM>",
        core_metadata=hashes(sha256="4" * 64),
        provenance="https://example.org/provenance",
    )
    plain = make_file("foo-1.0.tar.gz", yanked="", core_metadata=Hashes(), requires_python="")
    missing = make_file("foo-2.0.tar.gz", core_metadata=False, size=None, upload_time=None)
    record = make_record()
    return structs.replace(
        record,
        detail=replace(
            record.detail,
            files=(stored, plain, missing),
            versions=("2.0", "1.0", "0.1 alpha"),
            serial=Serial(2**53 - 1),
            status=ProjectStatus.DEPRECATED,
            status_reason="use bar",
        ),
        display="Foo",
        reflects=Serial(2**53 - 2),
        fingerprint="t\N{SNOWMAN}",
        validators=Validators('W/"etag"', "Sat, 21 Nov 2026 12:00:00 GMT", "5" * 64),
        files=(
            FileRecord(stored, 1_700_000_000_123_456_789, 1_800_000_000),
            FileRecord(plain, 0, None),
        ),
    )


async def test_a_record_is_returned_as_committed_without_urls(catalogue: Catalogue) -> None:
    record = full_record()

    await catalogue.commit(CatalogueUpdate(records=[record]))

    assert await catalogue.project(FOO) == as_kept(record)


async def test_a_record_with_unknown_values_is_returned_as_committed(catalogue: Catalogue) -> None:
    record = make_record()
    bare = structs.replace(
        record,
        detail=replace(record.detail, serial=None, versions=()),
        display="",
        reflects=Serial(0),
        fingerprint="",
        validators=Validators(),
    )

    await catalogue.commit(CatalogueUpdate(records=[bare]))

    assert await catalogue.project(FOO) == bare
    assert await catalogue.summaries([FOO]) == {FOO: ProjectSummary(Serial(0), None, "", "")}


async def test_unknown_projects_and_markers_return_nothing(catalogue: Catalogue) -> None:
    assert await catalogue.project(FOO) is None
    assert await catalogue.summaries([FOO]) == {}
    assert await catalogue.summaries([]) == {}
    assert await catalogue.marker(Marker.VERIFIED) == ""


async def test_summaries_have_the_values_of_records_in_the_order_of_names(
    catalogue: Catalogue,
) -> None:
    await catalogue.commit(
        CatalogueUpdate(records=[make_record("zoo", serial=3), make_record("a-z")])
    )

    had = await catalogue.summaries(None)

    assert list(had) == ["a-z", "base-a", "base-b", "zoo"]
    assert had[project_name("zoo")] == ProjectSummary(Serial(4), Serial(3), "Zoo", "fingerprint")
    some = await catalogue.summaries(project_name(name) for name in ("zoo", "foo", "a-z", "zoo"))
    assert list(some) == ["a-z", "zoo"]


async def test_summaries_of_thousands_of_projects_are_returned(catalogue: Catalogue) -> None:
    names = [project_name(f"p{number:04}") for number in range(1200)]
    await catalogue.commit(CatalogueUpdate(records=[make_record(name) for name in names[::2]]))

    assert list(await catalogue.summaries(reversed(names))) == names[::2]
    assert await catalogue.count() == 602


async def test_changed_since_returns_only_projects_that_differ_from_the_list(
    catalogue: Catalogue,
) -> None:
    """Unless it differs, a record reflects serial 4, has one fingerprint and a capital letter."""
    same = ("same", "older", "out")
    records = {name: make_record(name, serial=3) for name in same}
    records["out"] = structs.replace(records["out"], standing=Standing.EXCLUDED, files=())
    changed = {name: make_record(name, serial=3) for name in ("newer", "other", "kept", "unlisted")}
    changed["other"] = structs.replace(changed["other"], fingerprint="other fingerprint")
    changed["kept"] = structs.replace(changed["kept"], standing=Standing.RETAINED)
    changed["titled"] = structs.replace(make_record("titled", serial=3), display="TITLED")
    changed["plain"] = structs.replace(make_record("plain", serial=3), display="plain")
    changed["gone"] = make_record("gone", serial=3)
    await catalogue.commit(CatalogueUpdate(records=[*records.values(), *changed.values()]))
    serials = dict.fromkeys((*records, *changed, "unknown"), 4) | {
        "older": 3,
        "newer": 5,
        "unlisted": None,
    }
    del serials["gone"]
    listing = ProjectList(
        {project_name(name): None if at is None else Serial(at) for name, at in serials.items()},
        {project_name(name): name.capitalize() for name in serials},
    )

    found = await catalogue.changed_since(listing, "fingerprint")

    assert found == {*changed, "unknown", "base-a", "base-b"}


async def test_an_excluded_project_has_a_record_and_is_not_counted(catalogue: Catalogue) -> None:
    out = structs.replace(make_record("out"), standing=Standing.EXCLUDED, files=())
    kept = structs.replace(make_record("kept", "1.zip", "2.zip"), standing=Standing.RETAINED)
    await catalogue.commit(CatalogueUpdate(records=[out, kept]))

    had = await catalogue.summaries([out.name, kept.name])

    assert await catalogue.count() == 3, "the two of before, and one of the new ones"
    assert [each.standing for each in had.values()] == [Standing.RETAINED, Standing.EXCLUDED]
    size = sum(found.file.size or 0 for found in kept.files)
    assert [each.size for each in had.values()] == [size, 0]
    assert size


async def test_a_project_is_due_from_its_time_on(catalogue: Catalogue) -> None:
    records = [structs.replace(make_record(name), due=due) for name, due in [("b", 20), ("a", 30)]]
    await catalogue.commit(CatalogueUpdate(records=[*records, make_record("never")]))

    assert await catalogue.due(19) == []
    assert await catalogue.due(20) == ["b"]
    assert await catalogue.due(31) == ["a", "b"]

    await catalogue.commit(
        CatalogueUpdate(records=[make_record("b")], forgotten=[project_name("a")])
    )
    assert await catalogue.due(31) == []


async def test_the_sweep_asks_first_for_what_was_not_asked_for_longest(
    catalogue: Catalogue,
) -> None:
    times = {"foo-a": 30, "foo-b": 10, "foo-c": 20, "foo-d": 900, "foo-e": 20, "foo-f": 5}
    records = [structs.replace(make_record(name), asked=at) for name, at in times.items()]
    records[-1] = structs.replace(records[-1], standing=Standing.RETAINED)
    records[2] = structs.replace(records[2], standing=Standing.EXCLUDED, watched=101)
    records[1] = structs.replace(records[1], watched=100)
    await catalogue.commit(CatalogueUpdate(forgotten=[BASE_A, BASE_B], records=records))

    async def queue(count: int, before: int, *, watched: bool = False) -> list[str]:
        return list(await catalogue.sweep_queue(100, count, before=before, watched=watched))

    assert await queue(9, 100) == ["foo-d", "foo-b", "foo-c", "foo-e", "foo-a"]
    assert await queue(3, 30) == ["foo-d", "foo-b", "foo-c"]
    assert await queue(9, 30, watched=True) == ["foo-c"]
    assert await queue(9, 20, watched=True) == []
    assert await catalogue.oldest_look() == 10

    await catalogue.commit(CatalogueUpdate(looked={project_name("foo-b"): 40, FOO: 1}))

    assert await catalogue.oldest_look() == 20
    assert await queue(2, 100) == ["foo-d", "foo-c"]
    found = await catalogue.project(project_name("foo-b"))
    assert found == structs.replace(as_kept(records[1]), asked=40)


async def test_a_catalogue_without_projects_has_no_oldest_look(catalogue: Catalogue) -> None:
    await catalogue.commit(CatalogueUpdate(reset=True))
    assert await catalogue.oldest_look() is None


async def test_a_record_replaces_the_earlier_one_with_all_its_files(
    catalogue: Catalogue,
) -> None:
    for name in ("foo", "base-b"):
        await catalogue.commit(
            CatalogueUpdate(records=[make_record(name, "1.zip", "2.zip", "3.zip")])
        )
        newer = make_record(name, "2.zip", "4.zip", serial=99)
        await catalogue.commit(CatalogueUpdate(records=[newer]))

        assert await catalogue.project(project_name(name)) == as_kept(newer)
    assert await projects(catalogue) == ["base-a", "base-b", "foo"]


async def test_the_last_of_two_records_of_a_project_is_stored(catalogue: Catalogue) -> None:
    last = make_record("foo", "2.zip")

    await catalogue.commit(CatalogueUpdate(records=[make_record("foo", "1.zip"), last]))

    assert await catalogue.project(FOO) == as_kept(last)


async def test_two_projects_may_have_the_same_file(catalogue: Catalogue) -> None:
    """An index may offer ``foo-bar-1.zip`` to ``foo`` and to ``foo-bar``."""
    first, second = make_record("foo", "bar-1.zip"), make_record("foo-bar", "1.zip")
    assert first.files[0].file == second.files[0].file

    await catalogue.commit(CatalogueUpdate(records=[first, second]))
    assert await catalogue.project(first.name) == as_kept(first)
    assert await catalogue.project(second.name) == as_kept(second)

    await catalogue.commit(CatalogueUpdate(forgotten=[second.name]))
    assert await catalogue.project(first.name) == as_kept(first)


async def test_a_forgotten_project_is_deleted_with_its_files(catalogue: Catalogue) -> None:
    await catalogue.commit(CatalogueUpdate(records=[make_record("foo", "1.zip")]))

    await catalogue.commit(CatalogueUpdate(forgotten=[FOO, BASE_B, project_name("never")]))

    assert await projects(catalogue) == ["base-a"]
    assert await deferred_names(catalogue) == ["base-u"]
    await catalogue.commit(CatalogueUpdate(records=[make_record("base-b", "3.zip")]))
    assert await catalogue.project(BASE_B) == as_kept(make_record("base-b", "3.zip"))
    assert await projects(catalogue) == ["base-a", "base-b"]


async def test_a_record_overrides_forgotten_in_one_update(catalogue: Catalogue) -> None:
    record = make_record("base-b", "9.zip")

    await catalogue.commit(CatalogueUpdate(records=[record], forgotten=[BASE_B]))

    assert await catalogue.project(BASE_B) == as_kept(record)


async def test_a_reset_deletes_everything_before_the_rest_is_stored(
    catalogue: Catalogue,
) -> None:
    await catalogue.commit(
        CatalogueUpdate(records=[make_record("foo", "1.zip")], markers={Marker.FILTERS: "text"})
    )

    await catalogue.commit(
        CatalogueUpdate(
            records=[make_record("base-b", "9.zip")],
            deferred=[make_unfinished("base-a")],
            markers={Marker.ROOT: "no more"},
            reset=True,
        )
    )

    assert await projects(catalogue) == ["base-b"]
    assert await catalogue.project(BASE_B) == as_kept(make_record("base-b", "9.zip"))
    assert await deferred_names(catalogue) == ["base-a"]
    assert await trash_keys(catalogue) == []
    assert [
        await catalogue.marker(key) for key in (Marker.LISTING, Marker.ROOT, Marker.FILTERS)
    ] == ["", "no more", ""]
    await catalogue.commit(CatalogueUpdate(reset=True))
    assert (await projects(catalogue), await deferred_names(catalogue)) == ([], [])


# ---------------------------------------------------------------- deferrals


async def test_deferred_projects_are_returned_in_the_order_of_names(catalogue: Catalogue) -> None:
    new = [
        make_unfinished("zoo", first_serial=0),
        make_unfinished("a-z", deferral=Deferral.MISSING_ONCE),
    ]
    without_lo = structs.replace(
        make_unfinished("foo"), first_serial=None, display="", cause=Cause.NONE, reason=""
    )

    await catalogue.commit(CatalogueUpdate(deferred=[*new, without_lo]))

    assert list(await catalogue.deferred()) == [
        new[1],
        BASE.deferred[1],
        BASE.deferred[0],
        without_lo,
        new[0],
    ]


async def test_a_later_deferral_replaces_the_earlier_one(catalogue: Catalogue) -> None:
    later = make_unfinished("base-u", deferral=Deferral.GONE, attempts=9)

    await catalogue.commit(CatalogueUpdate(deferred=[later]))

    assert list(await catalogue.deferred()) == [BASE.deferred[1], later]


@pytest.mark.parametrize("how", ["records", "resolved", "forgotten"])
async def test_a_deferral_is_resolved(catalogue: Catalogue, how: str) -> None:
    values: dict[str, Any] = {
        "records": [make_record("base-u"), make_record("base-b")],
        "resolved": [BASE_U, BASE_B, FOO],
        "forgotten": [BASE_U, BASE_B],
    }

    await catalogue.commit(CatalogueUpdate(**{how: values[how]}))

    assert await deferred_names(catalogue) == []
    await catalogue.commit(CatalogueUpdate(deferred=[make_unfinished("base-u")]))
    assert await deferred_names(catalogue) == ["base-u"]


@pytest.mark.parametrize("how", ["records", "resolved", "forgotten"])
async def test_a_deferral_in_the_same_update_is_not_resolved(
    catalogue: Catalogue, how: str
) -> None:
    """A project may be published and incomplete."""
    values: dict[str, Any] = {"records": [make_record("base-u")]}
    again = make_unfinished("base-u", deferral=Deferral.INCOMPLETE, attempts=3)

    await catalogue.commit(CatalogueUpdate(deferred=[again], **{how: values.get(how, [BASE_U])}))

    assert list(await catalogue.deferred()) == [BASE.deferred[1], again]


# ---------------------------------------------------------------- trash, markers


async def test_trash_entries_are_returned_by_key_and_by_time(catalogue: Catalogue) -> None:
    new = [make_removed("z", at=50), make_removed("a", at=59)]

    await catalogue.commit(CatalogueUpdate(trashed=new))

    assert list(await catalogue.trash()) == [new[1], BASE.trashed[1], BASE.trashed[0], new[0]]
    assert await trash_keys(catalogue, before=60) == ["removed/a", "removed/base-2", "removed/z"]
    assert await trash_keys(catalogue, before=59) == ["removed/base-2", "removed/z"]
    assert await trash_keys(catalogue, before=50) == await trash_keys(catalogue, before=0) == []


async def test_a_trash_entry_replaces_the_earlier_one(catalogue: Catalogue) -> None:
    await catalogue.commit(CatalogueUpdate(trashed=[make_removed("base-1", at=900)]))

    assert list(await catalogue.trash()) == [make_removed("base-1", at=900), BASE.trashed[0]]
    assert await trash_keys(catalogue, before=900) == ["removed/base-2"]


async def test_restored_keys_leave_the_trash(catalogue: Catalogue) -> None:
    new, never = make_removed("new"), make_removed("never")
    await catalogue.commit(CatalogueUpdate(trashed=[new]))

    await catalogue.commit(CatalogueUpdate(restored=[new.key, BASE.trashed[0].key, never.key]))

    assert await trash_keys(catalogue) == ["removed/base-1"]
    await catalogue.commit(CatalogueUpdate(trashed=[BASE.trashed[0]]))
    assert await trash_keys(catalogue) == ["removed/base-1", "removed/base-2"]


async def test_a_key_trashed_and_restored_in_one_update_is_not_in_the_trash(
    catalogue: Catalogue,
) -> None:
    new = make_removed("new")

    await catalogue.commit(CatalogueUpdate(trashed=[new, BASE.trashed[0]], restored=[new.key]))

    assert await trash_keys(catalogue) == ["removed/base-1", "removed/base-2"]


# ---------------------------------------------------------------- rejected files


async def rejected(catalogue: Catalogue) -> list[tuple[str, str]]:
    """Return the projects and names of the rejected files."""
    return [(str(each.project), each.rejection.entry) for each in await catalogue.rejected()]


def rejecting(name: str, *entries: str) -> ProjectRecord:
    """Return the record of a project from whose page files were left out."""
    record = make_record(name, "1.zip")
    rejections = tuple(Rejection.of(entry, "is odd") for entry in entries)
    return structs.replace(record, detail=replace(record.detail, rejected=rejections))


async def test_the_rejected_files_of_a_record_are_stored_with_it(catalogue: Catalogue) -> None:
    await catalogue.commit(CatalogueUpdate(records=[rejecting("foo", "b", "a", "\u202e\n")]))

    assert await rejected(catalogue) == [("foo", "\\u202e\\n"), ("foo", "a"), ("foo", "b")]
    record = await catalogue.project(FOO)
    assert record is not None
    assert [each.entry for each in record.detail.rejected] == ["\\u202e\\n", "a", "b"]
    assert {each.reason for each in record.detail.rejected} == {"is odd"}


async def test_a_record_replaces_the_rejected_files_of_its_project(catalogue: Catalogue) -> None:
    await catalogue.commit(CatalogueUpdate(records=[rejecting("foo", "a"), rejecting("bar", "x")]))
    await catalogue.commit(CatalogueUpdate(records=[rejecting("foo", "b")]))
    assert await rejected(catalogue) == [("bar", "x"), ("foo", "b")]

    await catalogue.commit(CatalogueUpdate(records=[rejecting("foo")]))
    await catalogue.commit(CatalogueUpdate(forgotten=[project_name("bar")]))
    assert await rejected(catalogue) == []


async def test_rejected_files_need_no_record(catalogue: Catalogue) -> None:
    """A page of which every file is rejected is not published."""
    for entry in "ab":
        await catalogue.commit(CatalogueUpdate(rejected={FOO: (Rejection(entry, "is odd"),)}))
    assert await rejected(catalogue) == [("foo", "b")]
    assert await catalogue.project(FOO) is None

    await catalogue.commit(CatalogueUpdate(resolved=[FOO]))
    assert await rejected(catalogue) == []


async def test_a_resolved_project_with_a_record_keeps_its_rejected_files(
    catalogue: Catalogue,
) -> None:
    await catalogue.commit(CatalogueUpdate(records=[rejecting("foo", "a")]))
    await catalogue.commit(CatalogueUpdate(resolved=[FOO]))
    assert await rejected(catalogue) == [("foo", "a")]


async def test_a_reset_deletes_the_rejected_files(catalogue: Catalogue) -> None:
    await catalogue.commit(CatalogueUpdate(records=[rejecting("foo", "a")]))
    await catalogue.commit(CatalogueUpdate(reset=True, records=[rejecting("bar", "x")]))
    assert await rejected(catalogue) == [("bar", "x")]


async def test_a_dry_run_shadows_the_rejected_files(tmp_path: Path) -> None:
    async with SqliteCatalogue(str(tmp_path)) as real:
        await real.commit(CatalogueUpdate(records=[rejecting("foo", "a"), rejecting("bar", "x")]))
        async with DryRunCatalogue(str(tmp_path)) as catalogue:
            await catalogue.commit(CatalogueUpdate(records=[rejecting("foo", "b")]))
            assert await rejected(catalogue) == [("bar", "x"), ("foo", "b")]
        assert await rejected(real) == [("bar", "x"), ("foo", "a")]


# ---------------------------------------------------------------- markers


async def test_markers_are_replaced_individually_and_may_be_empty(catalogue: Catalogue) -> None:
    await catalogue.commit(
        CatalogueUpdate(markers={Marker.FILTERS: "line\nline", Marker.ROOT: "no more"})
    )
    assert await catalogue.marker(Marker.FILTERS) == "line\nline"
    assert await catalogue.marker(Marker.ROOT) == "no more"
    assert await catalogue.marker(Marker.LISTING) == "note"

    await catalogue.commit(
        CatalogueUpdate(markers={Marker.LISTING: "", Marker.FILTERS: "\N{SNOWMAN}"})
    )
    assert await catalogue.marker(Marker.LISTING) == ""
    assert await catalogue.marker(Marker.FILTERS) == "\N{SNOWMAN}"


# ---------------------------------------------------------------- checking rows


async def test_a_check_of_intact_rows_visits_all_and_changes_none(
    catalogue: MirrorCatalogue,
) -> None:
    before = await state(catalogue)
    visited = [""]
    while after := await catalogue.check(visited[-1]):
        visited.append(after)

    assert visited[-1] == BASE_B
    assert await state(catalogue) == before


# ---------------------------------------------------------------- commits


async def test_an_empty_update_changes_nothing(catalogue: Catalogue) -> None:
    before = await state(catalogue)

    await catalogue.commit(CatalogueUpdate())

    assert await state(catalogue) == before


async def test_an_update_makes_every_kind_of_change(catalogue: Catalogue) -> None:
    await catalogue.commit(
        CatalogueUpdate(
            records=[make_record("foo", "1.zip")],
            forgotten=[BASE_A],
            deferred=[make_unfinished("foo")],
            resolved=[BASE_U],
            trashed=[make_removed("new")],
            restored=[BASE.trashed[0].key],
            markers={Marker.FILTERS: "1"},
        )
    )

    assert await projects(catalogue) == ["base-b", "foo"]
    assert await deferred_names(catalogue) == ["base-b", "foo"]
    assert await trash_keys(catalogue) == ["removed/base-1", "removed/new"]
    assert await catalogue.marker(Marker.FILTERS) == "1"


@pytest.mark.parametrize(
    "where", ["records", "forgotten", "deferred", "resolved", "trashed", "restored"]
)
async def test_an_update_that_fails_changes_nothing(catalogue: Catalogue, where: str) -> None:
    """No change before or after the one that fails is stored."""
    before = await state(catalogue)
    batch = CatalogueUpdate(
        records=[make_record("foo", "1.zip"), make_record("base-a", "1.zip")],
        forgotten=[BASE_B],
        deferred=[make_unfinished("foo")],
        resolved=[BASE_U],
        trashed=[make_removed("new")],
        restored=[BASE.trashed[0].key],
        markers={Marker.FILTERS: "1", Marker.LISTING: "2"},
    )
    getattr(batch, where).append([])

    with pytest.raises((AttributeError, TypeError, StorageError)):
        await catalogue.commit(batch)

    assert await state(catalogue) == before
    await catalogue.commit(CatalogueUpdate(markers={Marker.FILTERS: "usable"}))
    assert await catalogue.marker(Marker.FILTERS) == "usable"


async def test_an_update_is_not_stored_by_reference(catalogue: Catalogue) -> None:
    batch = CatalogueUpdate(records=[make_record("foo")], markers={Marker.FILTERS: "1"})
    await catalogue.commit(batch)
    batch.records.clear()
    batch.markers.clear()

    assert await projects(catalogue) == ["base-a", "base-b", "foo"]
    assert await catalogue.marker(Marker.FILTERS) == "1"


# ---------------------------------------------------------------- any value


@pytest.mark.parametrize("catalogue", RARELY_SERVED, indirect=True)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    record=drawn.project_records(),
    left=st.lists(drawn.unfinished, max_size=2, unique_by=lambda each: each.name),
    trashed=st.lists(drawn.removed, max_size=2, unique_by=lambda each: each.key),
    note=drawn.texts,
)
async def test_every_valid_value_is_returned_as_committed(
    catalogue: Catalogue,
    record: ProjectRecord,
    left: list[Deferred],
    trashed: list[TrashEntry],
    note: str,
) -> None:
    await catalogue.commit(
        CatalogueUpdate(
            records=[record], deferred=left, trashed=trashed, markers={Marker.LISTING: note}
        )
    )

    assert await catalogue.project(record.name) == as_kept(record)
    assert (await catalogue.summaries([record.name]))[record.name] == ProjectSummary(
        record.reflects,
        record.detail.serial,
        record.display,
        record.fingerprint,
        record.standing,
        sum(found.file.size or 0 for found in record.files),
    )
    assert (record.name in await catalogue.due(2**60)) == (record.due is not None)
    assert [each for each in await catalogue.deferred() if each in left] == sorted(
        left, key=lambda each: each.name
    )
    assert [each for each in await catalogue.trash() if each in trashed] == sorted(
        trashed, key=lambda each: each.key
    )
    assert await catalogue.marker(Marker.LISTING) == note
