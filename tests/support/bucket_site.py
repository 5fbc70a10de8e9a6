"""A mirror in a bucket: its configuration, its runs, and a local copy of what is stored."""

from __future__ import annotations

import shutil
import uuid
from typing import TYPE_CHECKING, Any

from obstore.store import S3Store

from tests.support.ceph import ACCESS_KEY, BUCKET, SECRET_KEY
from tests.support.site import Site

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.ceph import Store
    from tests.support.server import IndexServer


class BucketSite(Site):
    """A mirror at a prefix of a bucket that no other test has.

    ``url`` is where the program finds the store: a proxy in front of it, maybe. ``fetch`` makes a
    local copy of all objects in ``root``, where a mirror on a disk has its files.
    """

    def __init__(
        self, home: Path, server: IndexServer, ceph: Store, *, url: str = "", **options: object
    ) -> None:
        self.prefix = f"pypi/{uuid.uuid4().hex}"
        self.bucket: dict[str, object] = {
            "endpoint_url": url or ceph.url,
            "aws_access_key_id": ACCESS_KEY,
            "aws_secret_access_key": SECRET_KEY,
            "region_name": "us-east-1",
            "max_attempts": 3,
            "state-directory": home / "state",
        }
        self.store = S3Store(
            BUCKET,
            prefix=self.prefix,
            config={
                "endpoint": ceph.url,
                "access_key_id": ACCESS_KEY,
                "secret_access_key": SECRET_KEY,
                "region": "us-east-1",
            },
            client_options={"allow_http": True},
        )
        directory = f"/{BUCKET}/{self.prefix}"
        super().__init__(home, server, storage_backend="s3", directory=directory, **options)

    def configure(self, **options: object) -> None:
        """Change options of ``[mirror]``."""
        super().configure(**options)
        lines = ["[s3]", *(f"{name} = {value}" for name, value in self.bucket.items())]
        with self.config.open("a", encoding="utf-8") as file:
            file.write("\n".join([*lines, ""]))

    def configure_bucket(self, **options: object) -> None:
        """Change options of ``[s3]``."""
        self.bucket |= options
        self.configure()

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.home / "state"

    def fetch(self) -> None:
        """Replace the local copy by what is stored now."""
        shutil.rmtree(self.root, ignore_errors=True)
        for key in self.stored():
            path = self.root / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.read(key))

    def stored(self, prefix: str = "") -> list[str]:
        """Return the keys of all objects, or of those below ``prefix``."""
        pages = self.store.list(prefix or None, chunk_size=1000)
        return [each["path"] for page in pages for each in page]

    def read(self, key: str) -> bytes:
        """Return the content of an object."""
        return bytes(self.store.get(key).bytes())

    def attributes(self, key: str) -> dict[str, Any]:
        """Return the attributes of an object."""
        return dict(self.store.get(key, options={"head": True}).attributes)
