"""What a mirror needs of the world: small protocols, shaped like the weakest that may stand behind.

Each says in its words what an adapter promises; ``tests/contract`` holds every adapter to it.
"""

from __future__ import annotations

from bandersnatch.ports.around import Clock, EventSink
from bandersnatch.ports.index import PackageIndex, Sink
from bandersnatch.ports.memory import Catalogue, Inventory, MirrorCatalogue
from bandersnatch.ports.storage import FileStore, MirrorStorage, Storage

__all__ = [
    "Catalogue",
    "Clock",
    "EventSink",
    "FileStore",
    "Inventory",
    "MirrorCatalogue",
    "MirrorStorage",
    "PackageIndex",
    "Sink",
    "Storage",
]
