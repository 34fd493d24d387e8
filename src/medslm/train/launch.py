"""What `accelerate launch recipes/<name>.py` does, from the command line to the line that says what to do next."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args

from medslm import environment
from medslm.errors import as_exit_code
from medslm.recipe import Pretrain, Run, Sft

if TYPE_CHECKING:
    import tyro


Recipe = TypeVar("Recipe", bound=Run)


@dataclass(frozen=True)
class Launch(Generic[Recipe]):
    """A recipe and where its run is kept."""

    recipe: Recipe
    """The recipe; each of its fields is an option."""

    runs: Path = Path("runs")
    """Folder in which the run gets a folder of its name."""


def parse(recipe: Recipe, arguments: list[str] | None = None) -> Launch[Recipe]:
    """The recipe with the command line's changes; unknown options and bad values end the program with a message."""
    import tyro

    kind: Any = Launch[type(recipe)]  # type: ignore[misc]  # the fields of this kind of recipe are the options
    launch: Launch[Recipe] = tyro.cli(
        kind,
        default=Launch(recipe),
        args=arguments,
        description=f"Train {recipe.name}. Every field of the recipe is an option; the defaults are the published run.",
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagConversionOff),
        registry=_constructors(),
    )
    return launch


def _constructors() -> tyro.constructors.ConstructorRegistry:
    """How a mapping is written on the command line: `--mixture icd10cm=0.5 medqa=2`, `--columns input=note`."""
    import tyro

    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def mapping(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
        if info.type_origin is not Mapping:
            return None
        passes = get_args(info.type)[1] is float
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs="*",
            metavar="CORPUS=PASSES ..." if passes else "NAME=VALUE ...",
            instance_from_str=_mixture if passes else pairs,
            is_instance=lambda value: isinstance(value, Mapping),
            str_from_instance=_words,
        )

    return registry


def _words(mapping: Mapping[str, float | str]) -> list[str]:
    return [f"{name}={value}" if isinstance(value, str) else f"{name}={value:g}" for name, value in mapping.items()]


def _mixture(words: list[str]) -> dict[str, float]:
    """`["icd10cm=0.5"]` -> `{"icd10cm": 0.5}`; tyro shows the `ValueError`."""
    pairs = [word.rpartition("=") for word in words]  # a path may hold an equals sign
    try:
        return {name: float(passes) for name, _, passes in pairs}
    except ValueError:
        raise ValueError(f"a mixture is written as corpus=passes, such as icd10cm=0.5, not {' '.join(words)}") from None


def pairs(words: Sequence[str]) -> dict[str, str]:
    """`["input=note", "instruction==Code it."]` -> `{"input": "note", "instruction": "=Code it."}`."""
    if bad := [word for word in words if "=" not in word]:
        raise ValueError(f"written as name=value, such as input=note, not {' '.join(bad)}")
    return {name: value for name, _, value in (word.partition("=") for word in words)}


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Turn Ctrl-C into a line on stderr and the exit status that a shell gives it."""
    try:
        yield
    except KeyboardInterrupt:
        print(
            "\nmedslm: interrupted; the same command goes on from the last checkpoint, if one was kept", file=sys.stderr
        )
        raise SystemExit(128 + signal.SIGINT) from None


def main(recipe: Sft | Pretrain) -> None:
    """Train `recipe` as the command line changes it; a `MedslmError` becomes a sentence and exit status 2."""
    environment.prepare()
    environment.quiet()
    with _interruptible(), as_exit_code():
        launch: Launch[Any] = parse(recipe)
        folder = launch.runs / launch.recipe.name
        if isinstance(launch.recipe, Pretrain):
            from medslm.train import pretrain  # imports torch

            pretrain.train(launch.recipe, folder)
        else:
            from medslm.train.trainers import early

            early.load(launch.recipe)  # Unsloth changes transformers, and has to come first
            from medslm.train import supervised  # imports torch

            supervised.train(launch.recipe, folder)
