"""What `accelerate launch recipes/<name>.py` does, from the command line to the line that says what to do next."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path

from medslm import environment
from medslm.errors import as_exit_code
from medslm.recipe import Sft


@dataclass(frozen=True)
class Launch:
    """A recipe and where its run is kept."""

    recipe: Sft
    """The recipe; each of its fields is an option."""

    runs: Path = Path("runs")
    """Folder in which the run gets a folder of its name."""


def parse(recipe: Sft, arguments: list[str] | None = None) -> Launch:
    """The recipe with the command line's changes; unknown options and bad values end the program with a message."""
    import tyro

    options = tyro.cli(
        tyro.conf.configure(tyro.conf.OmitArgPrefixes, tyro.conf.FlagConversionOff)(Launch),
        default=Launch(recipe),
        args=arguments,
        description=f"Train {recipe.name}. Every field of the recipe is an option; the defaults are the published run.",
    )
    return dataclasses.replace(options)


def main(recipe: Sft) -> None:
    """Train `recipe` as the command line changes it; a `MedslmError` becomes a sentence and exit status 2."""
    environment.prepare()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with as_exit_code():
        launch = parse(recipe)
        from medslm.train import supervised  # imports torch

        supervised.train(launch.recipe, launch.runs / launch.recipe.name)
