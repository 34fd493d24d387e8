"""Batches of prompts through one model: greedy replies, and log-probabilities of continuations in float32."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from medslm.data.formats.render import Renderer
from medslm.errors import MedslmError

if TYPE_CHECKING:  # importing this module imports no torch
    import torch

ROWS = 16_384  # of the vocabulary that are widened to float32 at a time


class Engine:
    """One model and the renderer whose prompts it reads."""

    def __init__(self, model: Any, tokenizer: Any, renderer: Renderer, batch_size: int) -> None:
        self.model, self.renderer, self.batch_size = model, renderer, batch_size
        self._tokenizer = tokenizer
        end = tokenizer.convert_tokens_to_ids(renderer.end_of_turn)
        self._stops = sorted({end, tokenizer.eos_token_id} - {None})
        self._pad = end if tokenizer.pad_token_id is None else tokenizer.pad_token_id  # masked, so any token does

    @property
    def room(self) -> int | None:
        """Tokens that the model can read, prompt and reply together, if its configuration says so."""
        room: int | None = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return room

    def reply(self, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        """Greedy replies up to the end of turn, in the order of the prompts."""
        rows = [self.renderer.ids(prompt) for prompt in prompts]
        replies = [""] * len(rows)
        with tqdm(total=len(rows), desc="replies", unit="item") as bar:
            for batch in self._batches(rows):
                for index, ids in zip(batch, self._generate([rows[index] for index in batch], max_new_tokens)):
                    replies[index] = self._tokenizer.decode(ids, skip_special_tokens=True)
                bar.update(len(batch))
        return replies

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """For each (prompt, continuation): its log-probability, and whether greedy decoding would write it."""
        split = [self._split(prompt, continuation) for prompt, continuation in pairs]
        same: dict[tuple[int, ...], list[int]] = defaultdict(list)  # `A` to `D` behind one prompt are one forward pass
        for index, (before, after) in enumerate(split):
            same[*before, *after[:-1]].append(index)
        rows, members = [list(row) for row in same], list(same.values())
        scores = [(0.0, False)] * len(pairs)
        with tqdm(total=len(rows), desc="log-likelihoods", unit="item") as bar:
            for batch in self._batches(rows):
                keep = max(len(split[index][1]) for row in batch for index in members[row])
                for row, logprobs in zip(batch, self._logprobs([rows[row] for row in batch], keep)):
                    for index in members[row]:
                        scores[index] = _likelihood(logprobs, split[index][1])
                bar.update(len(batch))
        return scores

    def _split(self, prompt: str, continuation: str) -> tuple[list[int], list[int]]:
        before, whole = self.renderer.ids(prompt), self.renderer.ids(prompt + continuation)
        if whole[: len(before)] != before or len(whole) == len(before):
            raise MedslmError(
                f"the tokens of a prompt change when {continuation!r} follows, so that its likelihood is not defined; "
                "end the prompt on a token boundary (a newline does it)"
            )
        return before, whole[len(before) :]

    def _batches(self, rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        """Indices of rows of like length; the longest first, so that too little memory shows at once."""
        order = sorted(range(len(rows)), key=lambda index: -len(rows[index]))
        return (order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size))

    def _padded(self, rows: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
        """Rows padded on the left, so that all end together. (B, T)"""
        import torch

        width = max(map(len, rows))
        ids = torch.tensor([[self._pad] * (width - len(row)) + list(row) for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        return {"input_ids": ids.to(self.model.device), "attention_mask": mask.to(self.model.device)}

    def _logprobs(self, rows: Sequence[Sequence[int]], keep: int) -> torch.Tensor:
        """Log-probabilities of what follows the last `keep` tokens of each row. (B, keep, V)"""
        import torch

        padded = self._padded(rows)
        positions = (padded["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        with torch.no_grad(), _head(self.model, exact=True), _memory(len(rows)):
            logits = self.model(**padded, position_ids=positions, logits_to_keep=keep, use_cache=False).logits
            return torch.log_softmax(logits.float(), dim=-1)

    def _generate(self, rows: Sequence[Sequence[int]], max_new_tokens: int) -> list[list[int]]:
        import torch
        from transformers import GenerationConfig

        padded = self._padded(rows)
        greedy = GenerationConfig(
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,  # or the base's own generation_config.json would bend the arg max
            max_new_tokens=max_new_tokens,
            eos_token_id=self._stops,
            pad_token_id=self._pad,
        )
        with torch.no_grad(), _head(self.model, exact=False), _memory(len(rows)):
            whole = self.model.generate(**padded, generation_config=greedy)
        return [self._until_stop(row) for row in whole[:, padded["input_ids"].shape[1] :].tolist()]

    def _until_stop(self, ids: list[int]) -> list[int]:
        return ids[: next((place for place, token in enumerate(ids) if token in self._stops), len(ids))]


def _likelihood(logprobs: torch.Tensor, continuation: list[int]) -> tuple[float, bool]:
    tail = logprobs[-len(continuation) :]  # (len(continuation), V)
    total = sum(float(tail[place, token]) for place, token in enumerate(continuation))
    return total, tail.argmax(-1).tolist() == continuation


@contextlib.contextmanager
def _head(model: Any, exact: bool) -> Iterator[None]:
    """Let the output layer multiply in float32 (`exact`), and in any case see contiguous rows.

    In bfloat16 two logits near 16 differ by 0.125 or not at all: of 160 questions put to SmolLM2-135M, 35 had two likeliest
    letters and the first would have won. And torch multiplies a slice of hidden states with a *frozen* weight by copying
    the weight once a row (`should_fold` in aten/src/ATen/native/LinearAlgebra.cpp): 5 s of 6 for a batch of 32 on a CPU.
    """
    import torch
    from torch.nn.functional import linear

    head = model.get_output_embeddings()

    def contiguous(module: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (inputs[0].contiguous(),)

    def widened(module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        parts = [linear(inputs[0].float(), rows.float()) for rows in module.weight.split(ROWS)]
        logits = torch.cat(parts, dim=-1)
        return logits if module.bias is None else logits + module.bias.float()

    hooks = [head.register_forward_pre_hook(contiguous)]
    if exact and isinstance(head, torch.nn.Linear) and head.weight.is_floating_point():
        hooks.append(head.register_forward_hook(widened))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextlib.contextmanager
def _memory(batch_size: int) -> Iterator[None]:
    """Say what to do when the device's memory is full."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MedslmError(
            f"a batch of {batch_size} prompts does not fit into the device's memory; evaluate with a smaller --batch-size"
        ) from error
