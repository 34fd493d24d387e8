"""The engine `unsloth`: this process, with Unsloth's kernels for one token at a time.

Written against Unsloth 2026.10.7 and 2026.10.9. Its forward pass for decoding takes one token at a time and its forward
pass for training reads no padding, so batches are its own `generate`'s, and scores one row each. Without a GPU it refuses.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from threading import Thread
from typing import Any

from medslm.errors import MedslmError
from medslm.infer.adapters import arithmetic, halves
from medslm.infer.arithmetic import follow
from medslm.infer.engine import About, Limits, Reply, Score, Wanted
from medslm.infer.engines.texts import Texts, until
from medslm.infer.engines.transformers import Transformers
from medslm.infer.reading import require_room
from medslm.models import load, source, unsloth

INSTALL = "make env-unsloth (unsloth==2026.10.7 wants transformers <= 5.17: an environment of its own)"


class Unsloth(Transformers):
    """A base, and perhaps an adapter on it. Raises `MedslmError` where Unsloth is not installed or there is no GPU."""

    def __init__(self, wanted: Wanted) -> None:
        package = _package()
        from transformers import AutoConfig  # after Unsloth, which changes it as it is imported

        if wanted.quantization not in ("none", "nf4"):
            raise MedslmError(f"the engine 'unsloth' runs weights as they are or in nf4, not in {wanted.quantization}")
        self._wanted, self._texts, self._version = wanted, Texts(wanted), package.__version__
        config = AutoConfig.from_pretrained(source.find(wanted.base).folder)
        room = config.get_text_config(decoder=True).max_position_embeddings
        loaded = unsloth.loaded(wanted.base, wanted.dtype, wanted.quantization, room, use_gradient_checkpointing=False)
        self.model: Any = loaded if wanted.adapter is None else load.with_adapter(loaded, wanted.adapter)
        package.FastLanguageModel.for_inference(self.model)

    @property
    def about(self) -> About:
        """What answers."""
        told = super().about
        return replace(told, engine="unsloth", versions={**told.versions, "unsloth": self._version})

    def generate(self, prompts: Sequence[str], limits: Limits) -> list[Reply]:
        """As `Engine`, in batches that wait for their longest reply."""
        rows = [self._texts.ids(prompt) for prompt in prompts]
        replies: list[Reply] = []
        for start in range(0, len(rows), self._wanted.rows):
            replies += self._batch(rows[start : start + self._wanted.rows], limits)
        return replies

    def _batch(self, rows: Sequence[list[int]], limits: Limits) -> Iterator[Reply]:
        inputs = self._inputs(rows, limits)
        width = inputs["input_ids"].shape[1]
        for ids in self.model.generate(**inputs)[:, width:].tolist():
            tokens = list(until(ids, self._texts.stops))
            yield self._texts.reply(tokens, len(tokens) < len(ids))

    def _inputs(self, rows: Sequence[list[int]], limits: Limits) -> dict[str, Any]:
        """Padded in front; nothing of the base's own generation_config.json bends the choice."""
        import torch
        from transformers import GenerationConfig

        width = max(map(len, rows))
        require_room(self.model, width + limits.max_new_tokens)
        torch.manual_seed(limits.seed)
        pad = self._texts.stops[0]
        drawn = {"temperature": limits.temperature, "top_k": 0, "top_p": 1.0} if limits.temperature else {}
        config = GenerationConfig(  # type: ignore[no-untyped-call]
            do_sample=bool(drawn),
            max_new_tokens=limits.max_new_tokens,
            eos_token_id=self._texts.stops,
            pad_token_id=pad,
            **drawn,
        )
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows], device=self.model.device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=self.model.device)
        return {"input_ids": ids, "attention_mask": mask, "generation_config": config}

    def stream(self, prompt: str, limits: Limits) -> Iterator[str]:
        """As `Engine`, from a thread that generates."""
        from transformers import TextIteratorStreamer

        streamer = TextIteratorStreamer(
            self._texts.tokenizer, skip_prompt=True, skip_special_tokens=True, timeout=300.0
        )
        inputs = self._inputs([self._texts.ids(prompt)], limits)
        Thread(target=self.model.generate, kwargs={**inputs, "streamer": streamer}, daemon=True).start()
        yield from (part for part in streamer if part)

    def loglikelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[Score]:
        """As `Engine`, one row at a time."""
        return [self._score(*self._texts.pair(*pair)) for pair in pairs]

    def _score(self, prompt: list[int], after: list[int]) -> Score:
        """From one pass of its forward for training, with logits behind the places asked about only."""
        import torch

        ids = [*prompt, *after[:-1]]  # the last token is asked about and never read
        require_room(self.model, len(ids) + 1)
        device = self.model.device
        inputs = {
            "input_ids": torch.tensor([ids], device=device),
            "attention_mask": torch.ones(1, len(ids), dtype=torch.long, device=device),
            "position_ids": torch.arange(len(ids), device=device)[None],
        }
        with arithmetic(self.model, halves(self.model)):
            logits = self.model(**inputs, use_cache=False, logits_to_keep=len(after)).logits[0]  # (C, V)
        rows, targets = torch.arange(len(after), device=device), torch.tensor(after, device=device)
        chosen, greedy = follow(logits[-len(after) :], rows, targets)
        return chosen.double().sum().item(), bool(greedy.all())

    def close(self) -> None:
        """As `Engine`."""
        del self.model


def _package() -> Any:
    """Unsloth, which looks for a device when it is imported. Raises `MedslmError`."""
    try:
        with contextlib.redirect_stdout(sys.stderr):  # its greeting
            import unsloth as package
    except ImportError:
        raise MedslmError(f"Unsloth is not installed: {INSTALL}; or --engine transformers") from None
    except NotImplementedError as error:  # its word for a device that it does not know
        raise MedslmError(f"Unsloth does not run here ({error}); --engine transformers does") from error
    return package
