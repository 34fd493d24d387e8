"""Fast paths: a model made to train and to read faster, with the same parameters and the same results."""

from medslm.models.fast.paths import LEVELS, layered, quicken, reading, recompute, require_fp8, total_loss

__all__ = ["LEVELS", "layered", "quicken", "reading", "recompute", "require_fp8", "total_loss"]
