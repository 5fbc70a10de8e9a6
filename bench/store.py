"""An object store for the benchmark: the Ceph of the tests, which keeps everything in memory."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).parents[1]))  # the tests are not installed

from tests.support.ceph import ACCESS_KEY, BUCKET, PACKAGES, SECRET_KEY, Ceph

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROGRAMS = ("radosgw", "ceph-mon", "ceph-osd")


@contextmanager
def store() -> Iterator[tuple[str, str]]:
    """Start a store, yield its URL and the name of a bucket, and put its keys in the environment.

    :raises RuntimeError: if Ceph is not installed, or does not start.
    """
    if not all(map(shutil.which, _PROGRAMS)):
        raise RuntimeError(f"Ceph is not installed: apt-get install {PACKAGES}")
    home = Path(tempfile.mkdtemp(prefix="bandersnatch-bench-"))
    os.environ |= {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    try:
        with Ceph(home) as ceph:
            yield ceph.url, BUCKET
    finally:
        shutil.rmtree(home)
