"""The progress bar of a training run, and the guards that look at every step."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from transformers import ProgressCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from medslm.errors import MedslmError
from medslm.train import checkpoint
from medslm.train.pace import Done
from medslm.train.tracking import Curves


class Bar(ProgressCallback):  # type: ignore[misc]
    """Steps, time left, loss and tokens per second in one line; values do not scroll by."""

    def __init__(self) -> None:
        super().__init__()
        self._since: tuple[float, int] | None = None
        self._shown: dict[str, str] = {}

    def on_log(
        self, args: Any, state: TrainerState, control: Any, logs: dict[str, float] | None = None, **_: Any
    ) -> None:
        """Show the newest losses, and the real (unpadded) tokens per second since the last log."""
        now, tokens = time.monotonic(), int(state.num_input_tokens_seen)
        if self._since and tokens > self._since[1]:
            self._shown["tok/s"] = f"{(tokens - self._since[1]) / (now - self._since[0]):,.0f}"
        self._since = (now, tokens)
        self._shown |= {name: f"{logs[name]:.3f}" for name in ("loss", "eval_loss") if logs and name in logs}
        if self.training_bar is not None:
            self.training_bar.set_postfix(self._shown)


class Logged(TrainerCallback):  # type: ignore[misc]
    """Tells W&B the points of the curve, and what was measured with them."""

    def __init__(self, curves: Curves) -> None:
        self._curves = curves

    def on_log(
        self, args: Any, state: TrainerState, control: Any, logs: dict[str, float] | None = None, **_: Any
    ) -> None:
        """Numbers of a training or validation point."""
        if logs and ("loss" in logs or "eval_loss" in logs):
            self._curves.log(state.global_step, logs)


class Guard(TrainerCallback):  # type: ignore[misc]
    """Judges and keeps the last step as well, stops at a loss that is no number, times the run across restarts, and finds
    the best weights again."""

    def __init__(self, seconds_before: float, done: Done) -> None:
        self._start = time.monotonic() - seconds_before
        self._done = done

    @property
    def seconds(self) -> float:
        """Wall time in training, with that of the sessions that this one resumes."""
        return time.monotonic() - self._start

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: Any, **_: Any) -> None:
        """Look for the best weights in this folder: the path that is kept of them is of the place before a move."""
        if state.best_global_step:
            state.best_model_checkpoint = str(Path(args.output_dir or ".") / f"checkpoint-{state.best_global_step}")

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Evaluate and save after the last step, whatever `eval_steps` divides."""
        if state.global_step >= state.max_steps:
            control.should_evaluate = control.should_save = control.should_log = True

    def on_log(
        self, args: Any, state: TrainerState, control: Any, logs: dict[str, float] | None = None, **_: Any
    ) -> None:
        """Raise `MedslmError` if the loss is no number: nothing after it would be learned."""
        bad = [name for name, value in (logs or {}).items() if name.endswith("loss") and not math.isfinite(value)]
        if bad:
            raise MedslmError(
                f"{bad[0]} is not a number at step {state.global_step}; lower learning_rate, or use dtype=bfloat16 or "
                "float32. The last checkpoint, if one was kept, stays"
            )

    def on_save(self, args: TrainingArguments, state: TrainerState, control: Any, **_: Any) -> None:
        """Seal the checkpoint, of which everything else is written."""
        if state.is_world_process_zero:
            folder = Path(args.output_dir or ".") / f"checkpoint-{state.global_step}"
            checkpoint.seal(folder, self._done, self.seconds)
