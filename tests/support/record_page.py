"""Record a project's JSON page for the tests.

``python tests/support/record_page.py PAGE tests/data/pages/NAME.json.xz``, where PAGE is a page as
an index sent it (PEP 691). Of each file the fields that filters use are recorded: name, sha256,
size, upload time, requires-python and yanked. Its URL is derived from the sha256, below
``files.example.org``: no page names a real host. The same page always gives the same bytes.
"""

from __future__ import annotations

import json
import lzma
import sys
from pathlib import Path
from typing import Any

_KEPT = ("filename", "size", "upload-time", "requires-python", "yanked")


def recorded(page: dict[str, Any]) -> bytes:
    """Return the recorded fields of a page, compressed."""
    kept = {
        "meta": {"api-version": "1.1", "_last-serial": int(page["meta"]["_last-serial"])},
        "name": page["name"],
        "files": [_file(file) for file in sorted(page["files"], key=lambda f: f["filename"])],
        "versions": sorted(page["versions"]),
    }
    text = json.dumps(kept, separators=(",", ":"), sort_keys=True)
    return lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)


def _file(file: dict[str, Any]) -> dict[str, Any]:
    digest, name = file["hashes"]["sha256"], file["filename"]
    path = f"packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{name}"
    told = {key: file[key] for key in _KEPT if file.get(key) is not None}
    return told | {"hashes": {"sha256": digest}, "url": f"https://files.example.org/{path}"}


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.write_bytes(recorded(json.loads(source.read_text(encoding="utf-8"))))
