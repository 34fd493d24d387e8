"""Batches of prompts through one model: greedy replies, and log-probabilities of continuations in float32."""

from __future__ import annotations

import contextlib
import functools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from medslm.data.formats.render import Renderer
from medslm.errors import MedslmError
from medslm.infer.decode import Greedy
from medslm.infer.reading import until_stop

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
        """Greedy replies up to the end of turn, as the renderer cleans them, in the order of the prompts."""
        rows = [self.renderer.ids(prompt) for prompt in prompts]
        replies = [""] * len(rows)
        with tqdm(total=len(rows), desc="replies", unit="item") as bar:
            for batch in self._batches(rows):
                for index, ids in zip(batch, self._generate([rows[index] for index in batch], max_new_tokens)):
                    replies[index] = self.renderer.reply(self._tokenizer.decode(ids, skip_special_tokens=False))
                bar.update(len(batch))
        return replies

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """For each (prompt, continuation): its log-probability, and whether greedy decoding would write it."""
        split = [self._split(prompt, continuation) for prompt, continuation in pairs]
        rivals: dict[tuple[int, ...], list[int]] = defaultdict(list)  # continuations of one prompt: it is read once
        for index, (before, _) in enumerate(split):
            rivals[tuple(before)].append(index)
        prompts, members = list(rivals), list(rivals.values())
        scores = [(0.0, False)] * len(pairs)
        with tqdm(total=len(prompts), desc="log-likelihoods", unit="item") as bar:
            for batch in self._batches(prompts, share=max(map(len, members))):
                indices = [(row, index) for row, prompt in enumerate(batch) for index in members[prompt]]
                after = [(row, split[index][1]) for row, index in indices]
                for (_, index), score in zip(indices, self._score([prompts[prompt] for prompt in batch], after)):
                    scores[index] = score
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

    def _batches(self, rows: Sequence[Sequence[int]], share: int = 1) -> Iterator[list[int]]:
        """Indices of rows of like length; the longest first, so that too little memory shows at once."""
        order = sorted(range(len(rows)), key=lambda index: -len(rows[index]))
        size = max(1, self.batch_size // share)
        return (order[start : start + size] for start in range(0, len(order), size))

    def _padded(self, rows: Sequence[Sequence[int]], left: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and mask (B, T); padded on the left, all rows end together, else they begin together."""
        import torch

        width = max(map(len, rows))
        ids, mask = [], []
        for row in rows:
            padding, zeros = [self._pad] * (width - len(row)), [0] * (width - len(row))
            ids.append([*padding, *row] if left else [*row, *padding])
            mask.append([*zeros, *[1] * len(row)] if left else [*[1] * len(row), *zeros])
        return torch.tensor(ids, device=self.model.device), torch.tensor(mask, device=self.model.device)

    def _score(
        self, prompts: Sequence[Sequence[int]], after: Sequence[tuple[int, list[int]]]
    ) -> list[tuple[float, bool]]:
        """For each (row of `prompts`, continuation): its log-probability, and whether it is the greedy one."""
        import torch

        rows = torch.tensor([row for row, _ in after], device=self.model.device)
        targets, wanted = self._padded([continuation for _, continuation in after], left=False)  # (N, C)
        with self._forward(len(after), exact=targets.shape[1] == 1):
            first, mask, cache = self._read(prompts)
            parts = [_follow(first[rows], targets[:, :1])]
            if targets.shape[1] > 1:
                cache.batch_select_indices(rows)
                seen = torch.cat([mask[rows], wanted[:, :-1]], dim=1)
                parts.append(_follow(self._continue(targets[:, :-1], seen, cache), targets[:, 1:]))
        logprobs, greedy = (torch.cat(part, dim=1) for part in zip(*parts))
        totals = (logprobs * wanted).sum(1).tolist()
        return list(zip(totals, (greedy | (wanted == 0)).all(1).tolist()))

    def _read(self, prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor, Any]:
        """Logits behind the last token (B, 1, V), mask (B, T), keys and values of prompts."""
        shared, cache = self._start(prompts)
        ids, mask = self._joined(prompts, shared)
        output = self._pass(ids[:, shared:], mask, cache, keep=1)
        return output.logits, mask, output.past_key_values

    def _start(self, prompts: Sequence[Sequence[int]]) -> tuple[int, Any]:
        """Length, keys and values of the start that all prompts share (system turn, instruction); it is read once."""
        import torch

        shortest = min(prompts, key=len)
        differs = (place for place, token in enumerate(shortest) if any(row[place] != token for row in prompts))
        shared = min(next(differs, len(shortest)), len(shortest) - 1)  # each row has a token of its own to go on from
        if shared == 0:
            return 0, None
        start = torch.tensor([list(shortest[:shared])], device=self.model.device)
        cache = self.model(input_ids=start, use_cache=True, logits_to_keep=1).past_key_values
        cache.batch_select_indices(torch.zeros(len(prompts), dtype=torch.long, device=self.model.device))
        return shared, cache

    def _joined(self, prompts: Sequence[Sequence[int]], shared: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and mask (B, T) with the shared start first, then the padding, then what is each prompt's own."""
        import torch

        ids, mask = self._padded([prompt[shared:] for prompt in prompts])
        start = ids.new_tensor(list(prompts[0][:shared])).expand(len(prompts), -1)
        return torch.cat([start, ids], dim=1), torch.cat([torch.ones_like(start), mask], dim=1)

    def _continue(self, ids: torch.Tensor, mask: torch.Tensor, cache: Any) -> torch.Tensor:
        """Logits behind each of `ids`, which follow what `cache` holds. (N, T, V)"""
        logits: torch.Tensor = self._pass(ids, mask, cache, keep=0).logits
        return logits

    def _pass(self, ids: torch.Tensor, mask: torch.Tensor, cache: Any, keep: int) -> Any:
        """One forward pass; positions count only what is not padding. `keep` last positions get logits, 0 means all."""
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        return self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=keep,
        )

    @functools.cached_property
    def _greedy(self) -> Greedy:
        return Greedy(self.model)

    def _generate(self, rows: Sequence[Sequence[int]], max_new_tokens: int) -> list[list[int]]:
        with self._forward(len(rows), exact=False):
            return self._greedy.reply(rows, max_new_tokens, self._stops)

    def _until_stop(self, ids: list[int]) -> list[int]:
        return until_stop(ids, self._stops)

    @contextlib.contextmanager
    def _forward(self, batch_size: int, exact: bool) -> Iterator[None]:
        """No gradients, and the arithmetic of training: an adapter in float32 multiplies in the base's 16-bit type."""
        import torch

        half = self.model.dtype in (torch.bfloat16, torch.float16)
        with (
            torch.no_grad(),
            torch.autocast(self.model.device.type, dtype=self.model.dtype if half else None, enabled=half),
            _head(self.model, exact),
            _memory(batch_size),
        ):
            yield


def _follow(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of each target, and whether it is the likeliest. (N, T, V), (N, T) -> (N, T), (N, T)"""
    wide = logits.float()
    chosen = wide.gather(-1, targets[..., None])[..., 0] - wide.logsumexp(-1)
    return chosen, wide.argmax(-1) == targets


@contextlib.contextmanager
def _head(model: Any, exact: bool) -> Iterator[None]:
    """Let the output layer multiply in float32 (`exact`), and in any case see contiguous rows.

    In bfloat16 two logits near 16 differ by 0.125 or not at all: of 160 questions put to SmolLM2-135M, 35 had two
    likeliest letters, and the first would have won. Sums over several tokens have no ties, and gain nothing.
    And torch multiplies a slice of hidden states with a *frozen* weight by copying the weight once a row (`should_fold`
    in aten/src/ATen/native/LinearAlgebra.cpp): on a CPU 5 of 6 seconds for a batch of 32.
    """
    import torch
    from torch.nn.functional import linear

    head = model.get_output_embeddings()

    def contiguous(module: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (inputs[0].contiguous(),)

    def widened(module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        with torch.autocast(inputs[0].device.type, enabled=False):
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
            f"a batch of {batch_size} rows does not fit into the device's memory; evaluate with a smaller --batch-size"
        ) from error
