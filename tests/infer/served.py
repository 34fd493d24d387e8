"""A real model behind the scripted server: what is asked is computed, under as many names as the model has sides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch

from infer.completing import CompletionServer


class Served(CompletionServer):
    """`with Served(model, tokenizer, {"tuned": nullcontext}) as server:` greedy replies, and echoes as vLLM gives them."""

    def __init__(
        self, model: Any, tokenizer: Any, sides: Mapping[str, Callable[[], AbstractContextManager[Any]]]
    ) -> None:
        super().__init__()
        self.model, self.tokenizer, self.sides = model, tokenizer, sides
        self.dies_after: int | None = None
        """Requests after which every further one finds the connection closed."""
        self.fingerprint = "build-1"
        self._alone = threading.Lock()  # an adapter is switched for the whole model

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes] | None:
        with self._alone:
            if self.dies_after is not None and len(self.asked) >= self.dies_after:
                return None
            if body["model"] not in self.sides:
                return 404, {}, b'{"error": {"message": "no such model"}}'
            return super().answer(body)

    def _choice(self, body: dict[str, Any]) -> dict[str, Any]:
        with self.sides[body["model"]](), torch.no_grad():
            return self._echoed(body["prompt"]) if body.get("echo") else self._written(body)

    def _echoed(self, ids: list[int]) -> dict[str, Any]:
        told = self._logits(ids).log_softmax(-1)
        chosen = [*ids[1:], int(told[-1].argmax())]
        each = [None, *told[torch.arange(len(ids)), torch.tensor(chosen)].tolist()]
        tops = [None, *({"best": one} for one in told.max(-1).values.tolist())]
        return {"index": 0, "text": "", "finish_reason": "length", "tokens": 1} | {
            "logprobs": {"token_logprobs": each, "top_logprobs": tops}
        }

    def _written(self, body: dict[str, Any]) -> dict[str, Any]:
        ids, finish = list(body["prompt"]), "length"
        for _ in range(body["max_tokens"]):
            token = int(self._logits(ids)[-1].argmax())
            if token in body["stop_token_ids"]:
                finish = "stop"
                break
            ids.append(token)
        written = ids[len(body["prompt"]) :]
        text = self.tokenizer.decode(written, skip_special_tokens=False)
        return {"index": 0, "text": text, "finish_reason": finish, "logprobs": None, "tokens": len(written)}

    def _logits(self, ids: list[int]) -> torch.Tensor:
        logits: torch.Tensor = self.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float()
        return logits

    def _whole(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        count = sum(choice.pop("tokens") for choice in choices)
        told = super()._whole(choices)
        usage = {"prompt_tokens": 9, "completion_tokens": count, "total_tokens": 9 + count}
        return {**told, "usage": usage, "system_fingerprint": self.fingerprint}
