"""How much memory the control groups of this process leave it: of a container, or of a job that a cluster has started.

https://docs.kernel.org/admin-guide/cgroup-v2.html#memory, https://docs.kernel.org/admin-guide/cgroup-v1/memory.html
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
NAMES = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""Controller, as version 2 (which names none) and version 1 call it -> the limit, what is used, and what of that is a
cache of files, which the kernel gives back when it is asked for memory."""


def limits(root: Path = ROOT, own: Path = OWN) -> Iterator[tuple[int, int]]:
    """Of each control group that bounds this process: the bytes that it may take, and those of them that are free."""
    for controller, folder in _groups(root, own):
        limit, used, cache = NAMES[controller]
        if (most := _number(folder / limit)) is not None:
            taken = (_number(folder / used) or 0) - _cache(folder / "memory.stat", cache)
            yield most, max(0, most - max(0, taken))


def _groups(root: Path, own: Path) -> Iterator[tuple[str, Path]]:
    """Controller and folder of the process's own groups and of those above them; inside a container only these are seen."""
    told = _text(own).splitlines() or ["0::/"]
    for _, controllers, path in (line.split(":", 2) for line in told if line.count(":") >= 2):
        for controller in {"", "memory"} & set(controllers.split(",")):
            top = root / controller
            inside = top / path.lstrip("/")
            for folder in (inside, *inside.parents):
                yield controller, folder
                if folder == top:
                    break


def _number(file: Path) -> int | None:
    """The number in a file; none where there is no such file, or it says `max`."""
    told = _text(file).strip()
    return int(told) if told.isdigit() else None


def _cache(file: Path, name: str) -> int:
    found = dict(line.split(" ", 1) for line in _text(file).splitlines() if " " in line)
    return int(found.get(name, 0))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
