"""The house stands: imports go down, heavy neighbours have one door each, and nothing grows too long."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "medslm"
FLOORS = (
    {
        "errors",
        "files",
        "registry",
        "recipe",
        "environment",
        "lock",
        "checksums",
        "asking",
        "snapshot",
        "figures",
        "ending",
    },
    {"data", "models"},
    {"train", "infer"},
    {"evals", "hub"},
    {"export", "doctor", "sweep"},
    {"cli", "catalogue", "places", "__main__"}
    | {f"{name}_cli" for name in ("data", "doctor", "export", "hub", "judge", "serve", "sweep")},
)
HALLS = (FLOORS[0], FLOORS[-1])  # floors of single files, which may know each other; elsewhere a name is a room
DOORS = {
    "lm_eval": "evals/harness.py",
    "trl": "train/supervised.py",
    "bitsandbytes": "models/nf4.py",
}
FILES = [path.relative_to(SOURCE).as_posix() for path in sorted(SOURCE.rglob("*.py"))]


def imported(source: str) -> Iterator[str]:
    """Every module that a source names in an import, wherever it stands: `medslm.data.corpus`, `trl`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, "imports name their module in full"
            whole = node.module == "medslm"  # `from medslm import files` names a module
            yield from (f"{node.module}.{alias.name}" for alias in node.names) if whole else [node.module]


def breaches(file: str, source: str) -> list[str]:
    """The imports of medslm/<file> that go up, or sideways into another room."""
    floor = {name: level for level, names in enumerate(FLOORS) for name in names}
    own = file.split("/")[0].removesuffix(".py")
    rooms = {name: name.split(".")[1] for name in imported(source) if name.startswith("medslm.")}
    return [
        name
        for name, room in rooms.items()
        if room != own
        and (floor[room] > floor[own] or (floor[room] == floor[own] and not any(own in hall for hall in HALLS)))
    ]


@pytest.mark.parametrize("file", [file for file in FILES if file != "__init__.py"])
def test_imports_go_down_only(file: str) -> None:
    assert breaches(file, (SOURCE / file).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("registry.py", "from medslm.data import corpus"),
        ("data/mixture.py", "from medslm.models.base import bases"),
        ("train/rows.py", "def late():\n    import medslm.evals.run"),
        ("evals/run.py", "from medslm import hub, files"),
        ("hub/card.py", "if TYPE_CHECKING:\n    from medslm.cli import main"),
    ],
)
def test_an_import_that_goes_up_or_sideways_is_found(file: str, source: str) -> None:
    assert len(breaches(file, source)) == 1


def test_the_package_itself_imports_nothing() -> None:
    assert list(imported((SOURCE / "__init__.py").read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("neighbour", DOORS)
def test_each_heavy_neighbour_has_one_door(neighbour: str) -> None:
    knows = {
        file
        for file in FILES
        for name in imported((SOURCE / file).read_text(encoding="utf-8"))
        if name.split(".")[0] == neighbour
    }
    assert knows == {DOORS[neighbour]}


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.py")), ids=lambda path: path.stem)
def test_a_recipe_knows_only_recipe_and_train(path: Path) -> None:
    assert set(imported(path.read_text(encoding="utf-8"))) <= {"medslm.recipe", "medslm.train"}


@pytest.mark.parametrize(
    "module",
    ["medslm", "medslm.recipe", "medslm.train", "medslm.cli", "medslm.catalogue", "medslm.models.load", "medslm.infer"],
)
def test_importing_is_light(module: str) -> None:
    heavy = "{'torch', 'transformers', 'datasets', 'peft', 'trl', 'lm_eval', 'numpy', 'huggingface_hub'}"
    look = f"import sys, {module}; sys.exit(', '.join(sorted({heavy} & set(sys.modules))) or 0)"
    done = subprocess.run([sys.executable, "-c", look], check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_files_and_functions_stay_short() -> None:
    too_long = []
    for path in sorted([*SOURCE.rglob("*.py"), *(ROOT / "recipes").glob("*.py")]):
        source, limit = path.read_text(encoding="utf-8"), 70 if path.parent.name == "recipes" else 300
        spans = [(path.name, len(source.splitlines()), limit)]
        spans += [
            (f"{path.name}: {node.name}", (node.end_lineno or 0) - node.lineno + 1, 60)
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        too_long += [f"{name} has {lines} lines, of {most}" for name, lines, most in spans if lines > most]
    assert too_long == []
