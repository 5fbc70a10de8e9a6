"""Cases 131 to 139: rejected files, digests, limits, names, credentials, other systems."""

from __future__ import annotations

import hashlib
import os
import signal
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.chaos.processes import PATIENCE, started
from tests.support import faults, hiding
from tests.support.folding_mount import CASE, folding_mount, why_impossible
from tests.support.server import serving
from tests.support.site import Site
from tests.support.tls import identity, refusing_clients, serving_tls

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.case import Case
    from tests.support.index import File

UNSAFE = [".foo-1.0.zip", "foo-1.0.html", "foo-1.0\u202e.zip", "foo-1.0\n.zip", "a/foo-1.0.zip"]


@pytest.mark.parametrize("filename", UNSAFE, ids=ascii)
def test_case_131_an_unsafe_name_fails_every_run_until_it_is_gone(
    case: Case, filename: str
) -> None:
    case.mirrored("foo", "bar")
    case.index.upload("foo", "1.0", filename, path=f"/packages/{'0' * 30}/bad.zip")
    for _ in range(2):
        ran = case.mirror(exits=4, excluded=[filename])
        assert ran.failed == {"foo": "RejectedFiles"}
        assert case.site.status == case.index.serial
    assert "Rejected" in case.site.ask("status", "--offline").out
    case.index.remove_file("foo", filename)
    case.heals()


def test_case_131_an_acknowledged_file_is_listed_and_no_failure(case: Case) -> None:
    case.mirrored("foo")
    case.index.upload("foo", "1.0", ".foo-1.0.zip")
    case.site.configure(ignore_rejected="foo:.foo-*")
    ran = case.mirror(excluded=[".foo-1.0.zip"])
    assert [each["file"] for each in ran.report["rejected"]] == [".foo-1.0.zip"]


def without_sha256(file: File, algorithm: str) -> None:
    """Make the index give one digest of a file."""
    file.hashes = {algorithm: hashlib.new(algorithm, file.content).hexdigest()}


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha384", "sha512", "blake2b"])
def test_case_132_the_given_digest_is_verified(case: Case, algorithm: str) -> None:
    for version in ("1.0", "2.0"):
        for file in case.index.release("foo", version):
            without_sha256(file, algorithm)
        damaged = case.fault("file", faults.wrong_bytes())
        case.mirror(exits=4)
        assert damaged.hits
        damaged.left = 0
        case.mirror()
        assert all("sha256" in file["hashes"] for file in case.site.page("foo")["files"])
    case.heals()


@pytest.mark.parametrize(
    "act", [faults.status(500), faults.wrong_bytes(), faults.reset(), faults.body(b"")]
)
def test_case_133_a_failing_download_mirror_is_not_asked_for_each_file(
    case: Case, act: faults.Act
) -> None:
    for number in range(30):
        case.index.release("foo", f"{number}.0", metadata=False)
    with serving(case.index) as other:
        other.fault("file", act)
        case.site.configure(download_mirror=other.url)
        case.mirror()
        assert 3 <= len(other.paths("file")) <= 20
        other.faults.clear()
        case.heals()


def test_case_134_missing_documents_are_not_requested_for_ever(case: Case) -> None:
    case.site.configure(json=True)
    names = [f"p{number:02}" for number in range(60)]
    case.fault("legacy", faults.status(404))
    case.mirrored(*names)
    assert len(case.asked("legacy")) < len(names)


def test_case_135_a_run_that_stops_at_an_error_loses_nothing(case: Case) -> None:
    names = [f"p{number:02}" for number in range(20)]
    case.site.configure(stop_on_error=True, workers=1)
    case.mirrored(*names)
    for name in names:
        case.index.release(name, "2.0")
    case.fault("/simple/p03/", faults.status(403))
    ran = case.mirror(exits=4, behind=names)
    assert len(ran.synced) < len(names) - 1
    case.heals()


@pytest.mark.skipif(bool(why_impossible()), reason=why_impossible() or "possible")
def test_case_136_names_that_collide_are_rejected(case: Case, tmp_path: Path) -> None:
    with folding_mount(tmp_path / "disk", (CASE,)) as mount:
        home = tmp_path / "home"
        home.mkdir()
        site = Site(home, case.server, directory=mount / "mirror")
        site.root = mount / "mirror"
        for name in ("Foo-1.0.tar.gz", "foo-1.0.tar.gz"):
            case.index.upload("foo", "1.0", name, path=f"/packages/shared/{name}")
        for _ in range(2):
            ran = site.mirror()
            assert (ran.code, ran.failed) == (4, {"foo": "RejectedFiles"})
            assert len(site.filenames("foo")) == 1
            site.check()


def test_case_137_a_refused_login_names_the_option(case: Case) -> None:
    case.mirrored("foo")
    case.index.release("foo", "2.0")
    before = case.site.tree()
    case.site.configure(api_method="simple")
    case.fault("list", faults.status(401))
    ran = case.mirror(exits=3)
    assert "netrc" in ran.log
    assert case.site.tree() == before
    case.site.configure()
    case.heals()


@pytest.mark.parametrize("where", ["detail", "file"])
@pytest.mark.parametrize("status", [401, 407])
def test_case_137_a_login_for_a_part_of_the_index_fails_the_projects(
    case: Case, where: str, status: int
) -> None:
    case.mirrored("foo", "bar")
    case.index.release("foo", "2.0")
    case.fault(where, faults.status(status), project="foo")
    ran = case.mirror(exits=4)
    assert list(ran.failed) == ["foo"]
    assert f"status {status}" in ran.log
    assert ("netrc" in ran.log) == (status == 401)
    case.heals()


def test_case_137_an_unknown_authority_names_the_option(case: Case, tmp_path: Path) -> None:
    case.mirrored("foo")
    case.index.release("foo", "2.0")
    before, authority = case.site.tree(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with serving_tls(case.index, authority) as server:
        case.site.configure(master=server.url)
        assert "set ca-file" in case.mirror(exits=3).log
        assert case.site.tree() == before
        case.site.configure(ca_file=tmp_path / "ca.pem")
        case.heals()


@pytest.mark.parametrize("has_one", [False, True], ids=["no certificate", "an unknown one"])
def test_case_137_a_required_client_certificate_names_the_options(
    case: Case, tmp_path: Path, *, has_one: bool
) -> None:
    case.mirrored("foo")
    case.index.release("foo", "2.0")
    before, authority, clients = case.site.tree(), trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    case.site.configure(ca_file=tmp_path / "ca.pem")
    if has_one:
        case.site.configure(client_cert=identity(tmp_path, trustme.CA())[2])
    with refusing_clients(authority, clients, ssl.TLSVersion.TLSv1_3) as url:
        case.site.configure(master=url)
        assert "set client-cert and client-key" in case.mirror(exits=3).log
    assert case.site.tree() == before
    with serving_tls(case.index, authority, clients=clients) as server:
        case.site.configure(master=server.url, client_cert=identity(tmp_path, clients)[2])
        case.heals()


def test_case_138_a_companion_is_fetched_again(case: Case) -> None:
    case.mirrored("foo")
    for content in (b"{}", b'{"variants": {"null": {}}}'):
        case.index.upload("foo", "1.0", "foo-1.0-variants.json", content=content)
        ran = case.mirror()
        assert ran.synced == ["foo"]
    case.heals()


def test_case_139_a_system_without_the_names_gives_the_same_tree(case: Case) -> None:
    for name in ("foo", "bar", "baz"):
        case.index.release(name, "1.0", sdist=True)
    case.process("mirror", environment=hiding.environment())
    case.index.release("foo", "2.0", size=200_000)
    case.index.remove_project("bar")
    case.index.remove_file("baz", "baz-1.0.tar.gz")
    case.process("mirror", environment=hiding.environment())
    assert case.process("verify", environment=hiding.environment()).code == 0
    case.heals()


@pytest.mark.parametrize("at", ["detail", "file"])
def test_case_139_a_kill_on_such_a_system_loses_nothing(case: Case, at: str) -> None:
    case.mirrored("foo", "bar")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0", size=200_000)
    served = case.site.tree()

    def kill(pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    with started(case, "mirror", at=at, do=kill, environment=hiding.environment()) as process:
        process.communicate(timeout=PATIENCE)
    assert served.items() <= case.site.tree().items()
    case.process("mirror", environment=hiding.environment())
    case.heals()
