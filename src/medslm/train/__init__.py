"""From a recipe to an adapter: a recipe file calls `train.main(RECIPE)` and nothing else."""

from medslm.train.launch import main

__all__ = ["main"]
