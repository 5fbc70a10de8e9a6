"""pip and uv install from a mirrored tree: hashes checked, sidecars used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import zipfile
from contextlib import ExitStack, contextmanager
from html import unescape
from io import BytesIO
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import pytest

from tests.support.processes import start
from tests.support.web_server import web_server
from tests.support.wheels import wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.index import Index
    from tests.support.site import Site


@pytest.fixture(params=["a web server", "serve"])
def served(
    index: Index, site: Site, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[str, Callable[[], list[str]]]]:
    """Mirror two projects, the first of which needs the second, and serve the tree.

    Yields the address, and what returns the paths that were asked for.
    """
    for name, version, requires in (
        ("ham", "1.0", ["spam>=1"]),
        ("spam", "1.0", []),
        ("spam", "2.0", []),
        ("spam", "3.0", []),
    ):
        content, metadata = wheel(name, version, *requires)
        index.upload(
            name,
            version,
            f"{name}-{version}-py3-none-any.whl",
            content=content,
            metadata=metadata,
            requires_python=">=3.8",
        )
    index.yank("spam", "3.0", "broken")
    ran = site.mirror()
    assert ran.code == 0, ran.log
    if request.param == "serve":
        log = tmp_path / "access.log"
        with own_server(site, "--access-log", str(log)) as url:
            yield url, lambda: [line.split()[6] for line in settled(log).splitlines()]
    else:
        with web_server(site.web) as (url, asked):
            yield url, lambda: asked


def settled(log: Path) -> str:
    """Return a log after the lines were written that are written every second."""
    time.sleep(1.5)
    return log.read_text()


def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which nothing but the command line says where to install from."""
    kept = {key: value for key, value in os.environ.items() if key in {"PATH", "SystemRoot"}}
    return {**kept, "HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1"}


INSTALLERS = {
    "pip": [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--no-input"],
    "uv": [sys.executable, "-m", "uv", "pip", "install", "--no-cache", "--python", sys.executable],
}


@pytest.mark.parametrize("installer", INSTALLERS)
def test_installing_from_the_json_pages_uses_the_sidecars(
    served: tuple[str, Callable[[], list[str]]], tmp_path: Path, installer: str
) -> None:
    url, asked = served
    target = tmp_path / "installed"
    command = [*INSTALLERS[installer], "--index-url", f"{url}/simple/", "--target", str(target)]

    subprocess.run([*command, "ham"], check=True, env=environment(tmp_path), timeout=120)

    assert (target / "ham.py").exists()
    assert (target / "spam.py").read_text() == "VERSION = '2.0'\n", "3.0 is yanked"
    paths = asked()
    wheels = [path for path in paths if path.endswith(".whl")]
    sidecars = [path for path in paths if path.endswith(".metadata")]
    assert len(wheels) == 2
    assert len(sidecars) == 2


@pytest.mark.parametrize("installer", INSTALLERS)
def test_installing_checks_the_hashes(
    index: Index, served: tuple[str, Callable[[], list[str]]], tmp_path: Path, installer: str
) -> None:
    url, _ = served
    lines = [
        f"{name}=={version} --hash=sha256:{file.sha256}\n"
        for name, version in (("ham", "1.0"), ("spam", "2.0"))
        for file in index.projects[name].files.values()
        if file.version == version
    ]
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("".join(lines))
    command = [*INSTALLERS[installer], "--index-url", f"{url}/simple/", "--require-hashes"]
    command += ["-r", str(requirements), "--target"]

    right = [*command, str(tmp_path / "installed")]
    subprocess.run(right, check=True, env=environment(tmp_path), timeout=120)

    requirements.write_text(re.sub("sha256:.*", "sha256:" + "0" * 64, "".join(lines)))
    wrong = [*command, str(tmp_path / "refused")]
    failed = subprocess.run(wrong, check=False, env=environment(tmp_path), timeout=120)
    assert failed.returncode != 0


@pytest.mark.parametrize("installer", INSTALLERS)
def test_installing_from_the_html_pages(
    site: Site, index: Index, tmp_path: Path, installer: str
) -> None:
    """As from a web server without a configuration."""
    content, metadata = wheel("spam", "1.0")
    index.upload("spam", "1.0", "spam-1.0-py3-none-any.whl", content=content, metadata=metadata)
    site.configure(simple_format="HTML")
    site.mirror()
    target = tmp_path / "installed"
    with plain_server(site) as url:
        command = [*INSTALLERS[installer], "--target", str(target)]
        command += ["--index-url", f"{url}/simple/", "spam"]
        subprocess.run(command, check=True, env=environment(tmp_path), timeout=120)

    assert (target / "spam.py").exists()


@contextmanager
def plain_server(site: Site) -> Iterator[str]:
    """Serve a mirror by Python's own server, and yield the address."""
    module = [sys.executable, "-m", "http.server", "--directory", str(site.web), "--bind"]
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    serving = [*module, "127.0.0.1", "0"]
    with start(serving, stderr=subprocess.DEVNULL, env=environ) as running:
        assert running.stdout is not None
        port = running.stdout.readline().split(" port ")[1].split()[0]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            running.terminate()


@contextmanager
def own_server(site: Site, *flags: str) -> Iterator[str]:
    """Serve a mirror as the README says, and yield the address."""
    command = [sys.executable, "-m", "bandersnatch", "-c", str(site.config), "serve"]
    serving = [*command, "--listen", "127.0.0.1:0", *flags]
    log = site.config.with_name("serve.log")
    with log.open("w") as errors, start(serving, stderr=errors.fileno()) as running:
        for _ in range(600):
            if found := re.search(r"serving on (\S+)/simple/", log.read_text()):
                break
            time.sleep(0.1)
        else:
            raise AssertionError(log.read_text())
        try:
            yield found[1]
        finally:
            running.terminate()
            running.wait(60)


BACKEND = """
import zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "spam-4.0-py3-none-any.whl"
    info = "spam-4.0.dist-info"
    with zipfile.ZipFile(f"{directory}/{name}", "w") as archive:
        archive.writestr("spam.py", "VERSION = '4.0'")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: spam\\nVersion: 4.0\\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n")
        archive.writestr(f"{info}/RECORD", "")
    return name
"""
"""A build backend that needs nothing else."""


def sdist() -> bytes:
    """Return a source distribution that builds without other packages."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        archive.writestr("spam-4.0/pyproject.toml", system)
        archive.writestr("spam-4.0/backend.py", BACKEND)
    return content.getvalue()


UNUSUAL = ["spam-4.0 (copy) #1~@=,[x].zip", "caf\xe9-4.0.zip", "_spam-4.0.zip", "spam&<b>.zip"]


@pytest.mark.parametrize("installer", INSTALLERS)
@pytest.mark.parametrize("form", ["HTML", "ALL", "serve"])
def test_installing_from_a_page_with_unusual_file_names(
    index: Index, site: Site, tmp_path: Path, installer: str, form: str
) -> None:
    """Neither program refuses the page, and a file of such a name installs by its URL."""
    content, metadata = wheel("spam", "1.0")
    index.upload("spam", "1.0", "spam-1.0-py3-none-any.whl", content=content, metadata=metadata)
    for filename in UNUSUAL:
        index.upload("spam", "4.0", filename, content=sdist(), escaped=True)
    site.configure(simple_format="ALL" if form == "serve" else form)
    assert site.mirror().code == 0
    with ExitStack() as stack:
        if form == "HTML":
            url = stack.enter_context(plain_server(site))
        elif form == "serve":
            url = stack.enter_context(own_server(site))
        else:
            url, _ = stack.enter_context(web_server(site.web))
        links = re.findall(r'href="([^"#]*\.zip)', site.text("web/simple/spam/index.html"))
        assert len(links) == len(UNUSUAL)
        wanted = [f"spam @ {urljoin(f'{url}/simple/spam/', unescape(link))}" for link in links]
        for number, requirement in enumerate(["spam==1.0", *wanted]):
            target = tmp_path / f"installed{number}"
            command = [*INSTALLERS[installer], "--index-url", f"{url}/simple/", "--target"]
            command += [str(target), requirement]
            subprocess.run(command, check=True, env=environment(tmp_path), timeout=120)
            version = "4.0" if number else "1.0"
            assert (target / "spam.py").read_text().strip() == f"VERSION = {version!r}"
