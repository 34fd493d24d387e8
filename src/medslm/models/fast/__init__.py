"""Fast paths: a PEFT model made to train faster, with the same parameters and the same results."""

from medslm.models.fast.paths import LEVELS, quicken, recompute, require_fp8, total_loss

__all__ = ["LEVELS", "quicken", "recompute", "require_fp8", "total_loss"]
