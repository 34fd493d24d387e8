"""A base as Unsloth loads it, for its trainer and for its engine."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from medslm.errors import MedslmError
from medslm.models import load, source
from medslm.models.base import Base


def loaded(base: Base, dtype: str, quantization: str, positions: int, **options: Any) -> Any:
    """Unsloth's model of a base, ready for up to `positions` tokens; `options` are `FastLanguageModel.from_pretrained`'s.

    Raises `MedslmError` for a base that Unsloth refuses: it pads with a token of the vocabulary that is not the end of a
    turn, for example, and adds none to a base whose embedding has no spare row.
    """
    from unsloth import FastLanguageModel

    try:
        with contextlib.redirect_stdout(sys.stderr):  # its banner; stdout is for what was asked
            model, _ = FastLanguageModel.from_pretrained(
                model_name=str(source.find(base).folder),
                max_seq_length=positions,
                dtype=load.dtype(dtype),
                load_in_4bit=quantization == "nf4",
                **options,
            )
    except RuntimeError as error:
        if not str(error).startswith("Unsloth: "):
            raise
        raise MedslmError(
            f"Unsloth does not load {base.hub_id} ({str(error).removeprefix('Unsloth: ')}); trainer=peft and "
            "--engine transformers do"
        ) from error
    return model
