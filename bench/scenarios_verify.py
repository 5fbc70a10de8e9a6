"""``verify``, compared with ``sha256sum`` of the same files; the first round fills the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from figures import Figure
from measure import measure, median

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rig import Rig

_SUM = "find {files} -type f -print0 | xargs -0 sha256sum"


def verify_quick(rig: Rig) -> Iterator[Figure]:
    """Check sizes and times only: ``verify --quick``."""
    directory = rig.few().directory
    count = sum(path.is_file() for path in (directory / "web/packages").rglob("*"))
    command = rig.command(None, directory, "verify", "--quick")
    measure(command, log=rig.fresh("verify.log"))
    costs = rig.rounds({"quick": lambda: measure(command, log=rig.fresh("verify.log"))})["quick"]
    rate = count / median(costs, "wall")
    note = f"{count} files and sidecars in {median(costs, 'wall'):.2f} s, start included"
    quantity = "files checked per second"
    yield Figure("verify-quick", quantity, rate, "", 50_000, at_least=True, note=note)


def verify(rig: Rig) -> Iterator[Figure]:
    """Read all files: ``verify``, with one worker and with two."""
    directory = rig.few().directory
    files = directory / "web/packages"
    size = sum(path.stat().st_size for path in files.rglob("*") if path.is_file()) / 1e6
    commands = {"sum": ["sh", "-c", _SUM.format(files=files)]}
    for workers in ("1", "2"):
        commands[workers] = rig.command(
            None, directory, "verify", "--workers", workers, "--budget", "1 d"
        )
    log = rig.fresh("verify.log")
    for command in commands.values():
        measure(command, log=log)
    costs = rig.rounds(
        {
            name: lambda command=command: measure(command, log=log)  # type: ignore[misc]
            for name, command in commands.items()
        }
    )
    rates = {name: size / median(some, "cpu") for name, some in costs.items()}
    for workers in ("1", "2"):
        note = f"{rates[workers]:.0f} MB, sha256sum {rates['sum']:.0f} MB per second of CPU time"
        quantity = f"bytes per CPU time, --workers {workers}"
        share = rates[workers] / rates["sum"]
        yield Figure("verify", quantity, share, "x sha256sum", 0.5, at_least=True, note=note)
    walls = {name: median(some, "wall") for name, some in costs.items()}
    note = f"{walls['1']:.2f} s with one worker, sha256sum {walls['sum']:.2f} s"
    yield Figure("verify", "wall time, --workers 2", walls["2"], "s", note=note)
