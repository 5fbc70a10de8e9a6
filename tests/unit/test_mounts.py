"""A mirror's disk that is not there: what ``fstab`` and systemd name, and what is mounted."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import StorageError
from bandersnatch.storage.mounts import (
    ExpectedMount,
    MountTables,
    expected_mounts,
    mount_point_of,
    mount_points,
    require_disk,
)
from tests.support.disks import mounted
from tests.support.system import needs_posix

LINE = "36 35 98:0 /sub {} rw,noatime master:1 - {} /dev/sda1 rw"


@pytest.fixture
def tables(tmp_path: Path) -> MountTables:
    """Return tables of a system on which nothing is mounted, and nothing should be."""
    (tmp_path / "units").mkdir()
    for name in ("fstab", "mountinfo"):
        (tmp_path / name).touch()
    return MountTables(*(str(tmp_path / name) for name in ("fstab", "units", "mountinfo")))


def fstab(tables: MountTables, *lines: str) -> None:
    Path(tables.fstab).write_text("\n".join(["# a comment", "", *lines, ""]), encoding="utf-8")


def is_mounted(tables: MountTables, *paths: object, kind: str = "ext4") -> None:
    """Let the system list these mount points."""
    lines = [LINE.format(str(path).replace(" ", r"\040"), kind) for path in paths]
    Path(tables.mounted).write_text("\n".join([*lines, ""]), encoding="utf-8")


def unit(tables: MountTables, name: str, where: object, *, enabled: bool = True) -> None:
    """Create a unit of systemd."""
    home = Path(tables.units)
    (home / name).write_text(f"[Unit]\nDescription=x\n[Mount]\nWhat=/dev/sdb\n Where = {where} \n")
    if enabled:
        (home / "multi-user.target.wants").mkdir(exist_ok=True)
        (home / "multi-user.target.wants" / name).symlink_to(f"../{name}")


def refused(root: Path, tables: MountTables, *, must_exist: bool = False) -> str:
    """Return the key of the error, "" if there is none."""
    try:
        require_disk(str(root), must_exist=must_exist, tables=tables)
    except StorageError as error:
        return error.key
    return ""


# ---------------------------------------------------------------- fstab


def test_fstab_is_read_as_the_system_reads_it(tables: MountTables) -> None:
    fstab(
        tables,
        "UUID=1 / ext4 defaults 0 1",
        "UUID=2 none swap sw 0 0",
        r"UUID=3 /srv/my\040mirror/ ext4 defaults 0 2",
        "UUID=4 /mnt/usb vfat noauto,user 0 0",
        "nas:/x\t/srv/nas\tnfs\tnoauto,x-systemd.automount\t0\t0",
        "UUID=5 /short ext4",
        "# UUID=6 /commented ext4 defaults 0 0",
        "broken",
    )

    assert list(expected_mounts(tables)) == [
        ExpectedMount("/srv/my mirror", tables.fstab, is_automatic=False),
        ExpectedMount("/srv/nas", tables.fstab, is_automatic=True),
        ExpectedMount("/short", tables.fstab, is_automatic=False),
    ]


@given(st.text())
def test_no_content_of_a_table_is_an_error(text: str) -> None:
    content = text.encode("utf-8", "surrogatepass")
    with NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        tables = MountTables(file.name, file.name, file.name)
        list(expected_mounts(tables))
        list(mount_points(tables))


@pytest.mark.parametrize("where", ["", "web", "web/packages", "removed", ".."])
@pytest.mark.parametrize("exists", [False, True])
def test_a_disk_that_is_not_mounted_is_named(
    tmp_path: Path, tables: MountTables, where: str, *, exists: bool
) -> None:
    """With a mirror in the directory, the directory is on the right disk, its areas need not be."""
    root = tmp_path / "srv" / "a mirror"
    root.mkdir(parents=True)
    if exists:
        (root / "status").write_text("1")
    expected = Path(os.path.normpath(root / where))
    fstab(tables, f"UUID=1 {str(expected).replace(' ', chr(92) + '040')} ext4 defaults 0 2")

    is_fine = exists and where in {"", ".."}
    assert refused(root, tables) == ("" if is_fine else str(expected))
    is_mounted(tables, "/", expected)
    assert refused(root, tables) == ""


def test_the_message_says_who_names_it(tmp_path: Path, tables: MountTables) -> None:
    fstab(tables, f"UUID=1 {tmp_path}/mirror ext4 defaults 0 2")

    with pytest.raises(StorageError) as caught:
        require_disk(str(tmp_path / "mirror"), must_exist=False, tables=tables)

    assert str(caught.value) == (
        f"storage failed at {tmp_path}/mirror: it is a mount point by {tables.fstab}, and nothing "
        "is mounted on it; is the disk mounted? To use the directory below it, remove it there"
    )


@pytest.mark.parametrize("path", ["/", "/elsewhere", "{root}2", "{root}/other", "{root}/web/x"])
def test_other_disks_do_not_matter(tmp_path: Path, tables: MountTables, path: str) -> None:
    root = tmp_path / "mirror"
    fstab(tables, f"UUID=1 {path.format(root=root)} ext4 defaults 0 2")

    assert refused(root, tables) == ""


def test_a_link_to_the_directory_is_resolved(tmp_path: Path, tables: MountTables) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    fstab(tables, f"UUID=1 {tmp_path}/disk ext4 defaults 0 2")

    assert refused(tmp_path / "link/mirror", tables) == f"{tmp_path}/disk"


# ---------------------------------------------------------------- units, automounts


@pytest.mark.parametrize("enabled", [False, True])
def test_only_enabled_units_count(tmp_path: Path, tables: MountTables, *, enabled: bool) -> None:
    unit(tables, "srv-pypi.mount", tmp_path / "pypi", enabled=enabled)
    unit(tables, "other.service", tmp_path / "pypi")

    assert refused(tmp_path / "pypi", tables) == (str(tmp_path / "pypi") if enabled else "")


def test_a_unit_that_cannot_be_read_is_skipped(tmp_path: Path, tables: MountTables) -> None:
    wants = Path(tables.units) / "local-fs.target.requires"
    wants.mkdir()
    (wants / "a.mount").symlink_to("nowhere")
    (wants / "b.mount").mkdir()
    (wants / "c.mount").write_bytes(b"\xff")
    (wants / "d.mount").write_text("[Mount]\n")
    (wants / "e.mount").write_text(f"[Mount]\nWhere={tmp_path}/pypi\n")

    assert [each.named_by for each in expected_mounts(tables)] == ["e.mount"]


@pytest.mark.parametrize("kind", ["fstab", "unit"])
def test_the_mount_of_an_automounter_itself_does_not_count(
    tmp_path: Path, tables: MountTables, kind: str
) -> None:
    root = tmp_path / "pypi"
    root.mkdir()
    if kind == "fstab":
        fstab(tables, f"UUID=1 {root} ext4 noauto,x-systemd.automount 0 2")
    else:
        unit(tables, "pypi.automount", root)

    is_mounted(tables, root, kind="autofs")
    assert refused(root, tables) == str(root)
    with Path(tables.mounted).open("a", encoding="utf-8") as more:
        more.write(LINE.format(root, "nfs4") + "\n")
    assert refused(root, tables) == ""


# ---------------------------------------------------------------- must-exist


@pytest.mark.parametrize("name", ["", "status", "web/.mirror", "todo"])
def test_a_mirror_that_must_exist(tmp_path: Path, tables: MountTables, name: str) -> None:
    root = tmp_path / "mirror"
    if name:
        (root / name).parent.mkdir(parents=True)
        (root / name).touch()

    exists = name in {"status", "web/.mirror"}
    assert refused(root, tables, must_exist=True) == ("" if exists else str(root))
    assert refused(root, tables) == ""


# ---------------------------------------------------------------- the real system


@needs_posix
@pytest.mark.parametrize("below", ["", "web", "web/packages"])
def test_real_mounts_are_recognised(tmp_path: Path, tables: MountTables, below: str) -> None:
    at = tmp_path / "a mirror" / below
    at.mkdir(parents=True)
    real = MountTables(tables.fstab, tables.units)
    fstab(tables, f"UUID=1 {str(at).replace(' ', chr(92) + '040')} ext4 defaults 0 2")

    assert refused(tmp_path / "a mirror", real) == str(at)
    assert mount_point_of(str(tmp_path / "a mirror")) is None
    with mounted(at):
        assert refused(tmp_path / "a mirror", real) == ""
        assert mount_point_of(str(tmp_path / "a mirror")) == str(at)
        assert str(at) in set(mount_points())
