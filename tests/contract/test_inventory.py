"""The contract of ``Inventory``, for every adapter."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from bandersnatch.catalogue.records import (
    NEVER,
    CatalogueUpdate,
    FileStat,
    PathOwner,
    Standing,
    Totals,
    TrashTotals,
    Verified,
    VerifyEntry,
)
from bandersnatch.catalogue.sqlite import SqliteCatalogue
from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.model.folding import ANY_FOLDING
from bandersnatch.model.names import project_name
from tests.support.catalogues import ADAPTERS, BASE_A, BASE_B, FOO, open_adapter
from tests.support.factories import make_file
from tests.support.memory_catalogue import MemoryCatalogue
from tests.support.records import make_record, make_removed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bandersnatch.catalogue.port import MirrorCatalogue
    from bandersnatch.catalogue.records import ProjectRecord
    from tests.support.postgres import SharedPostgres

SIDE = Hashes((Digest("sha256", "0e" * 32),))


@pytest.fixture(params=ADAPTERS)
async def catalogue(
    request: pytest.FixtureRequest, tmp_path: Path, shared_postgres: SharedPostgres
) -> AsyncIterator[MirrorCatalogue]:
    async with open_adapter(request.param, tmp_path, shared_postgres) as opened:
        yield opened


def verified_at(record: ProjectRecord, *times: int | None) -> ProjectRecord:
    """Return the record with its files verified at these times."""
    pairs = zip(record.files, times, strict=True)
    return structs.replace(
        record, files=tuple(structs.replace(each, verified=at) for each, at in pairs)
    )


async def all_listed(catalogue: MirrorCatalogue) -> list[str]:
    names: list[str] = []
    while piece := await catalogue.list_entries(names[-1] if names else ""):
        names += [each.name for each in piece]
    return names


async def all_stale(catalogue: MirrorCatalogue, before: int) -> list[tuple[str, int]]:
    found: list[VerifyEntry] = []
    while piece := await catalogue.verify_queue(before, found[-1] if found else None):
        found += piece
    return [(each.name, each.verified) for each in found]


# ---------------------------------------------------------------- list entries


async def test_list_entries_are_in_the_order_of_names(catalogue: MirrorCatalogue) -> None:
    await catalogue.commit(
        CatalogueUpdate(records=[make_record("base-ab", serial=7), make_record("zoo")])
    )
    assert await all_listed(catalogue) == [BASE_A, "base-ab", BASE_B, "zoo"]
    assert [each.serial for each in await catalogue.list_entries("")][:3] == [10, 7, 20]
    assert await catalogue.list_entries("zoo") == []


async def test_excluded_and_forgotten_projects_have_no_list_entry(
    catalogue: MirrorCatalogue,
) -> None:
    out = structs.replace(make_record("foo"), standing=Standing.EXCLUDED)
    await catalogue.commit(CatalogueUpdate(records=[out], forgotten=[BASE_B]))
    assert await all_listed(catalogue) == [BASE_A]
    await catalogue.commit(CatalogueUpdate(forgotten=[BASE_A]))
    assert await all_listed(catalogue) == []


async def test_a_large_mirror_is_listed_in_pages_without_duplicates(tmp_path: Path) -> None:
    names = [project_name(f"p{number:05}") for number in range(12_000)]
    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        await catalogue.commit(CatalogueUpdate(records=[make_record(name) for name in names]))
        assert len(await catalogue.list_entries("")) < len(names)
        assert await all_listed(catalogue) == names
        assert [name for name, _ in await all_stale(catalogue, 1)] == names


# ---------------------------------------------------------------- the verify queue


async def test_a_project_was_verified_when_its_oldest_file_was(
    catalogue: MirrorCatalogue,
) -> None:
    record = make_record("foo", "1.zip", "2.zip")
    await catalogue.commit(
        CatalogueUpdate(records=[verified_at(record, 40, 30)], forgotten=[BASE_B])
    )
    assert await all_stale(catalogue, 100) == [(BASE_A, NEVER), (FOO, 30)]
    assert await all_stale(catalogue, 30) == [(BASE_A, NEVER)]


async def test_a_project_with_an_unverified_file_is_first_in_the_queue(
    catalogue: MirrorCatalogue,
) -> None:
    first, last = make_record("foo", "1.zip", "2.zip"), make_record("bar", "1.zip")
    records = [verified_at(first, 40, None), verified_at(last, 50)]
    await catalogue.commit(CatalogueUpdate(records=records, forgotten=[BASE_A, BASE_B]))
    assert await all_stale(catalogue, 100) == [(FOO, NEVER), ("bar", 50)]


async def test_verification_is_recorded_per_file(
    catalogue: MirrorCatalogue,
) -> None:
    record = verified_at(make_record("foo", "1.zip", "2.zip"), 10, 20)
    await catalogue.commit(CatalogueUpdate(records=[record], forgotten=[BASE_A, BASE_B]))
    one, two = (found.file.path for found in record.files)
    await catalogue.commit(CatalogueUpdate(verified=[Verified(FOO, 60, frozenset({one}))]))
    assert await all_stale(catalogue, 100) == [(FOO, 20)]
    await catalogue.commit(CatalogueUpdate(verified=[Verified(FOO, 70, frozenset({two}))]))
    assert await all_stale(catalogue, 100) == [(FOO, 60)]
    found = await catalogue.project(FOO)
    assert found is not None
    assert {each.file.path: each.verified for each in found.files} == {one: 60, two: 70}


async def test_verification_of_a_whole_project_is_recorded(catalogue: MirrorCatalogue) -> None:
    record = verified_at(make_record("foo", "1.zip", "2.zip"), 10, None)
    await catalogue.commit(CatalogueUpdate(records=[record]))
    await catalogue.commit(CatalogueUpdate(verified=[Verified(FOO, 60), Verified(BASE_A, 50)]))
    assert [each for each in await all_stale(catalogue, 100) if each[0] != BASE_B] == [
        (BASE_A, 50),
        (FOO, 60),
    ]
    found = await catalogue.project(FOO)
    assert found is not None
    assert found.verified == 60


async def test_projects_recorded_by_a_dry_run_are_in_the_verify_queue(
    catalogue: MirrorCatalogue,
) -> None:
    new = verified_at(make_record("foo", "1.zip"), 5)
    await catalogue.commit(CatalogueUpdate(records=[new], forgotten=[BASE_B]))
    assert await all_stale(catalogue, 100) == [(BASE_A, NEVER), (FOO, 5)]
    await catalogue.commit(CatalogueUpdate(forgotten=[BASE_A]))
    assert await all_stale(catalogue, 100) == [(FOO, 5)]


async def test_a_new_record_replaces_the_time_of_verification(
    catalogue: MirrorCatalogue,
) -> None:
    await catalogue.commit(CatalogueUpdate(verified=[Verified(BASE_A, 50), Verified(FOO, 50)]))
    await catalogue.commit(CatalogueUpdate(records=[make_record("base-a")]))
    assert (BASE_A, NEVER) in await all_stale(catalogue, 100)


# ---------------------------------------------------------------- owners of paths


async def test_a_path_is_owned_by_the_project_with_that_file(
    catalogue: MirrorCatalogue,
) -> None:
    record = make_record("foo", "1.zip", "2.zip")
    await catalogue.commit(CatalogueUpdate(records=[record]))
    one, two = (found.file.path for found in record.files)
    claims = [(FOO, one), (BASE_A, two), (FOO, "packages/none")]
    assert await catalogue.paths_owned(claims) == {one}
    assert await catalogue.paths_known({one, two, "packages/none"}) == {one, two}
    assert await catalogue.paths_known([]) == frozenset()
    assert await catalogue.paths_owned([]) == frozenset()


async def test_a_path_of_a_dropped_file_is_not_owned(catalogue: MirrorCatalogue) -> None:
    record = make_record("foo", "1.zip", "2.zip")
    await catalogue.commit(CatalogueUpdate(records=[record]))
    await catalogue.commit(CatalogueUpdate(records=[make_record("foo", "2.zip")]))
    paths = {found.file.path for found in record.files}
    (left,) = await catalogue.paths_owned([(FOO, path) for path in paths])
    assert left.endswith("2.zip")


async def test_advertised_core_metadata_is_owned_by_the_project_of_its_file(
    catalogue: MirrorCatalogue,
) -> None:
    plain, sided = make_file("foo-1.zip"), make_file("foo-2.zip", core_metadata=SIDE)
    record = make_record("foo", "1.zip", "2.zip")
    files = tuple(
        structs.replace(each, file=f) for each, f in zip(record.files, (plain, sided), strict=True)
    )
    detail = replace(record.detail, files=(plain, sided))
    await catalogue.commit(
        CatalogueUpdate(records=[structs.replace(record, detail=detail, files=files)])
    )
    sides = {f"{plain.path}.metadata", f"{sided.path}.metadata"}
    assert await catalogue.paths_owned([(FOO, path) for path in sides]) == {
        f"{sided.path}.metadata"
    }
    assert await catalogue.paths_known(sides) == {f"{sided.path}.metadata"}


@pytest.mark.parametrize("filename", ["foo-1.zip", "other.zip", "\u212aelvin-1.zip", "bar-1.zip"])
async def test_the_owners_of_a_path_are_found_by_any_name(
    catalogue: MirrorCatalogue, filename: str
) -> None:
    """Also if the name is not that of the project that has the file."""
    file = make_file(filename, core_metadata=SIDE)
    record = make_record("foo", "1.zip")
    stored = structs.replace(record.files[0], file=file)
    detail = replace(record.detail, files=(file,))
    record = structs.replace(record, detail=detail, files=(stored,))
    await catalogue.commit(CatalogueUpdate(records=[record]))
    owner = PathOwner.of(FOO, file)

    assert await catalogue.path_owners(BASE_A, [file.path, "packages/none.zip"]) == [owner]
    assert await catalogue.path_owners(FOO, [file.path]) == []
    assert await catalogue.path_owners(BASE_A, []) == []
    assert await catalogue.path_owners(BASE_A, [file.path.upper()]) == []
    for twin in (file.path.upper(), file.path.lower(), ANY_FOLDING.fold(file.path)):
        assert await catalogue.path_owners(BASE_A, [twin], ANY_FOLDING) == [owner]

    await catalogue.commit(CatalogueUpdate(forgotten=[FOO]))
    assert await catalogue.path_owners(BASE_A, [file.path], ANY_FOLDING) == []


async def test_a_file_that_is_not_stored_has_no_owner(catalogue: MirrorCatalogue) -> None:
    """An excluded project has the rows of its page, and no files."""
    for name in ("1.zip", "other.zip"):
        record = structs.replace(make_record("foo", name), files=(), standing=Standing.EXCLUDED)
        await catalogue.commit(CatalogueUpdate(records=[record]))
        (file,) = record.detail.files
        assert await catalogue.path_owners(BASE_A, [file.path]) == []


async def test_file_stats_are_returned_as_recorded(catalogue: MirrorCatalogue) -> None:
    record = verified_at(make_record("foo", "1.zip", "2.zip"), 17, None)
    await catalogue.commit(CatalogueUpdate(records=[record]))
    found = await catalogue.file_stats([FOO, BASE_A, project_name("nobody")])
    assert found == {
        FOO: [
            FileStat(f.file.path, f.file.size, f.modified, sidecar=False, verified=f.verified)
            for f in record.files
        ]
    }


async def test_a_file_that_is_not_stored_has_no_file_stat(catalogue: MirrorCatalogue) -> None:
    record = structs.replace(make_record("foo", "1.zip"), files=())
    await catalogue.commit(CatalogueUpdate(records=[record], forgotten=[BASE_B]))
    assert await catalogue.file_stats([FOO]) == {}
    (path,) = (file.path for file in record.detail.files)
    assert await catalogue.paths_owned([(FOO, path)]) == {path}


# ---------------------------------------------------------------- totals


async def test_totals_count_published_projects_and_their_files(catalogue: MirrorCatalogue) -> None:
    before = await catalogue.totals()
    out = structs.replace(make_record("out", "9.zip"), standing=Standing.EXCLUDED)
    new = verified_at(make_record("foo", "1.zip", "2.zip"), 30, 40)
    await catalogue.commit(CatalogueUpdate(records=[out, new]))
    after = await catalogue.totals()
    assert after == Totals(
        before.projects + 1,
        before.files + 2,
        before.size + new.size,
        before.unverified,
        min(filter(None, (before.verified, 30))),
    )


async def test_listed_files_are_counted_whether_they_are_stored_or_not(
    catalogue: MirrorCatalogue,
) -> None:
    before = await catalogue.listed_files()
    new = make_record("foo", "1.zip", "2.zip")
    await catalogue.commit(CatalogueUpdate(records=[structs.replace(new, files=new.files[:1])]))
    assert await catalogue.listed_files() == before + 2


async def test_totals_of_an_empty_mirror_are_zero(catalogue: MirrorCatalogue) -> None:
    await catalogue.commit(CatalogueUpdate(forgotten=[BASE_A, BASE_B]))
    assert await catalogue.totals() == Totals(0, 0, 0, 0, NEVER)
    assert await catalogue.largest(3) == []


async def test_the_largest_projects_are_first(catalogue: MirrorCatalogue) -> None:
    await catalogue.commit(CatalogueUpdate(records=[make_record("foo", "1.zip", "2.zip", "3.zip")]))
    first, second = await catalogue.largest(2)
    assert (first.name, first.files, second.name) == (FOO, 3, BASE_B)
    assert first.size > second.size


async def test_trash_totals_count_the_trash(catalogue: MirrorCatalogue) -> None:
    before = await catalogue.trash_totals()
    new, back = make_removed("new"), (await catalogue.trash())[0]
    await catalogue.commit(CatalogueUpdate(trashed=[new], restored=[back.key]))
    after = await catalogue.trash_totals()
    assert after == TrashTotals(before.files, before.size + new.size - back.size)


# ---------------------------------------------------------------- all adapters

changes = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["record", "forget", "some", "whole"]),
        st.frozensets(st.sampled_from(["1.zip", "2.zip"])),
        st.integers(1, 50),
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes)
async def test_a_database_returns_the_same_verify_queue_as_the_memory_catalogue(
    tmp_path_factory: pytest.TempPathFactory,
    made: list[tuple[str, str, frozenset[str], int]],
) -> None:
    home = str(tmp_path_factory.mktemp("catalogue"))
    plain = MemoryCatalogue()
    async with SqliteCatalogue(home) as database:
        for name, what, files, at in made:
            record = verified_at(make_record(name, *sorted(files)), *[at] * len(files))
            paths = frozenset(found.file.path for found in record.files)
            batch = {
                "record": CatalogueUpdate(records=[record]),
                "forget": CatalogueUpdate(forgotten=[project_name(name)]),
                "some": CatalogueUpdate(verified=[Verified(project_name(name), at, paths)]),
                "whole": CatalogueUpdate(verified=[Verified(project_name(name), at)]),
            }[what]
            for each in (plain, database):
                await each.commit(batch)
        for before in (1, 25, 100):
            assert await all_stale(database, before) == await all_stale(plain, before)
        assert await database.totals() == await plain.totals()
        assert await database.list_entries("") == await plain.list_entries("")
