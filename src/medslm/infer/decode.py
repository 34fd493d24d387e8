"""Greedy decoding on static memory: on a GPU the one-token step is recorded once as a CUDA graph and then replayed.

A token of a 1B model with an adapter is about 1,500 kernels of a few microseconds each, which the host launches more
slowly than the GPU runs them: plain `generate` waits for the host. A replayed graph is one launch, and the recording
takes as long as one token. transformers' own way to it, `generate(cache_implementation="static")`, compiles the model
before its first reply, which takes tens of seconds and again for other shapes: longer than most replies of
`medslm generate`. `benchmarks/inference.py` measures all three.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from medslm.errors import MedslmError
from medslm.infer import grouped
from medslm.infer.reading import begin, read, require_room, until_stop

if TYPE_CHECKING:  # importing this module imports no torch
    import torch

SLOTS = 64  # the cache's length is a multiple of it: attention kernels copy masks of odd lengths
WARM = 2  # steps before the recording, in which libraries choose kernels and reserve memory
LOOK = 8  # tokens between two looks for ends of turn; each look waits for the GPU


def refusal(model: Any) -> str:
    """Why this model cannot be decoded on static memory; empty if it can."""
    from transformers.cache_utils import StaticCache, StaticLayer, StaticSlidingWindowLayer

    text, name = model.config.get_text_config(decoder=True), type(_bare(model)).__name__
    if model.training:
        return "it is in training mode; call eval()"
    if model.config.is_encoder_decoder or not getattr(_bare(model), "_can_compile_fullgraph", False):
        return f"transformers keeps no static cache for {name}"
    if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        return "its adapter is a learned prompt"
    kinds = set(getattr(text, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
    if kinds or {type(layer) for layer in StaticCache(text, SLOTS).layers} - {StaticLayer, StaticSlidingWindowLayer}:
        return f"{name} has other layers than full and sliding attention: {', '.join(sorted(kinds))}"
    if text._attn_implementation not in ("sdpa", "eager"):
        return f"its attention is '{text._attn_implementation}', not 'sdpa' or 'eager'"
    moving = {kind for part in model.modules() for kind in _rope(part) if "dynamic" in kind or "longrope" in kind}
    if moving:  # transformers computes these frequencies anew from the positions, on the host
        return f"its rotary frequencies change with the length ({', '.join(sorted(moving))})"
    devices = {parameter.device for parameter in model.parameters()}
    return f"its weights are on {len(devices)} devices" if len(devices) > 1 else ""


class Decoder:
    """Decodes up to `rows` prompts at a time, each of up to `room` tokens with its reply.

    Reads an adapter's matrices in the base's 16-bit type, as training and evaluation multiply them; the matrices are
    those at construction. Raises `MedslmError` for a model that cannot be decoded so, and for more room than it reads.
    """

    def __init__(self, model: Any, rows: int, room: int) -> None:
        import torch
        from transformers.cache_utils import Cache, StaticCache, StaticLayer

        why = refusal(model)
        if why:
            raise MedslmError(f"this model cannot be decoded on static memory: {why}; use its generate()")
        require_room(model, room)
        self.rows, self.room = rows, room
        self._model, self._device = model, model.device
        self._text = model.config.get_text_config(decoder=True)
        slots = -(-room // SLOTS) * SLOTS
        # A sliding layer of transformers branches on lengths that the host counts: a recorded branch would be wrong from
        # the window's end on. Here all layers keep all keys, and the masks, counted on the device, slide.
        layers = len(StaticCache(self._text, slots).layers)
        self._cache = Cache(layers=[StaticLayer(slots) for _ in range(layers)])
        self._token = torch.zeros(rows, 1, dtype=torch.long, device=self._device)
        self._position = torch.zeros_like(self._token)
        self._mask = torch.ones(rows, slots, dtype=torch.long, device=self._device)
        self._written = torch.zeros(rows, room, dtype=torch.long, device=self._device)
        self._count = torch.zeros(1, dtype=torch.long, device=self._device)
        self._halves = _halves(model)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._side = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._recorded_with = _switches(model)
        self._warm = 0

    def reply(self, prompts: Sequence[Sequence[int]], max_new_tokens: int, stops: Collection[int]) -> list[list[int]]:
        """The likeliest token after each prompt, and so on, up to the first of `stops`, which is left out.

        Raises `MedslmError` for prompts that do not fit, and if the step cannot be recorded.
        """
        self._require(prompts, max_new_tokens)
        self.start(prompts)
        going, seen, made = set(range(len(prompts))), 0, 1
        while made < max_new_tokens and going:
            self.step()
            made += 1
            if made - seen == LOOK:
                recent = self._written[:, seen:made].tolist()
                going = {row for row in going if not any(token in stops for token in recent[row])}
                seen = made
        whole: list[list[int]] = self._written[: len(prompts), :made].tolist()
        return [until_stop(row, stops) for row in whole]

    def start(self, prompts: Sequence[Sequence[int]]) -> None:
        """Read the prompts (at most `rows`) and choose the first token of each reply."""
        import torch

        if _switches(self._model) != self._recorded_with:
            self._graph, self._warm = None, 0  # it would go on with the adapter that is now switched off
        prompts = [*prompts, *[min(prompts, key=len)] * (self.rows - len(prompts))]  # the graph has as many rows always
        with _arithmetic(self._model, self._halves), grouped.use(self._text):
            logits, mask, cache = read(self._model, prompts)
            self._cache.reset()
            for index, layer in enumerate(cache.layers):
                self._cache.update(layer.keys, layer.values, index)
                layer.keys = layer.values = None  # the prompts' keys are never there twice, but one layer's
            self._token.copy_(logits[:, -1].argmax(-1, keepdim=True))
        self._mask.fill_(1)  # what is not written yet lies in the future, which the causal mask hides
        self._mask[:, : mask.shape[1]] = mask
        self._position.copy_(mask.sum(1, keepdim=True))
        self._written[:, :1] = self._token
        self._count.copy_(torch.ones_like(self._count))

    def step(self) -> None:
        """One more token of each reply; on a GPU the host does not wait for it."""
        import torch

        if self._graph is not None:
            self._graph.replay()
            return
        with _arithmetic(self._model, self._halves), grouped.use(self._text):
            if self._side is None:
                self._advance()
            elif self._warm == WARM:
                self._graph, self._recorded_with = self._recorded(), _switches(self._model)
                self._graph.replay()
            else:
                self._warm += 1
                self._side.wait_stream(torch.cuda.current_stream(self._device))
                with torch.cuda.stream(self._side):
                    self._advance()
                torch.cuda.current_stream(self._device).wait_stream(self._side)

    def _advance(self) -> None:
        """Read `_token`, write the likeliest next one; all that changes lies in tensors of fixed addresses."""
        logits = self._model(
            input_ids=self._token,
            attention_mask=self._mask,
            position_ids=self._position,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits  # (rows, 1, V)
        self._token.copy_(logits[:, -1].argmax(-1, keepdim=True))
        self._written.index_copy_(1, self._count, self._token)
        self._position.add_(1)
        self._count.add_(1)

    def _recorded(self) -> torch.cuda.CUDAGraph:
        import torch

        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self._side):
                self._advance()
        except torch.OutOfMemoryError:
            raise  # the caller knows what to make smaller
        except RuntimeError as error:
            raise MedslmError(
                f"the decoding step of {type(_bare(self._model)).__name__} could not be recorded as a CUDA graph "
                f"({str(error).splitlines()[0]}); use the model's generate()"
            ) from error
        return graph

    def _require(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> None:
        longest = max(map(len, prompts), default=0)
        if not prompts or not all(prompts) or max_new_tokens < 1:
            raise MedslmError("decoding needs prompts of one token or more, and a reply of one token or more")
        if len(prompts) > self.rows:
            raise MedslmError(f"{len(prompts)} prompts were given at once to a decoder of {self.rows}; give it fewer")
        if longest + max_new_tokens > self.room:
            raise MedslmError(
                f"a prompt of {longest} tokens and a reply of up to {max_new_tokens} do not fit into a decoder with "
                f"room for {self.room}; shorten one, or make the decoder with more room"
            )


class Greedy:
    """Greedy replies of one model by the fastest way that is right: a `Decoder` on a GPU, `generate` on a CPU.

    Without a graph to record, static memory gains nothing: with two cores SmolLM2-135M took 9 s where `generate`, which
    attends to what is written only, took 6 (8 prompts, 48 tokens, bfloat16), with the same tokens.
    """

    def __init__(self, model: Any) -> None:
        self._model, self._halves = model, _halves(model)
        self._decoder: Decoder | None = None
        why = refusal(model) if model.device.type == "cuda" else ""
        self._records = model.device.type == "cuda" and not why
        if why:
            print(
                f"note: each token is launched kernel by kernel, which is several times slower: {why}", file=sys.stderr
            )

    def reply(self, prompts: Sequence[Sequence[int]], max_new_tokens: int, stops: Collection[int]) -> list[list[int]]:
        """The likeliest token after each prompt, and so on, up to the first of `stops`, which is left out.

        Raises `MedslmError` for a prompt that leaves no room for `max_new_tokens` in what the model reads.
        """
        room = max(map(len, prompts)) + max_new_tokens
        require_room(self._model, room)
        if self._records:
            return self._fitting(len(prompts), room).reply(prompts, max_new_tokens, stops)
        with _arithmetic(self._model, self._halves):
            whole = self._generated(prompts, max_new_tokens, stops)
        return [until_stop(row, stops) for row in whole]

    def _fitting(self, rows: int, room: int) -> Decoder:
        """The decoder of the last reply where it has the room, and not so much that masked keys cost more than a graph."""
        held = self._decoder
        if held is not None and held.rows >= rows and room <= held.room <= 2 * room:
            return held
        self._decoder = held = None  # its memory is free before the next one's is taken
        self._decoder = Decoder(self._model, rows, room)
        return self._decoder

    def _generated(
        self, prompts: Sequence[Sequence[int]], max_new_tokens: int, stops: Collection[int]
    ) -> list[list[int]]:
        from transformers import GenerationConfig

        greedy = GenerationConfig(  # type: ignore[no-untyped-call]
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,  # or the base's own generation_config.json would bend the arg max
            max_new_tokens=max_new_tokens,
            eos_token_id=sorted(stops) or None,
            pad_token_id=min(stops, default=0),  # after a stop, where nothing is read
        )
        ids, mask, _, cache = begin(self._model, prompts)
        known = {} if cache is None else {"past_key_values": cache}
        whole = self._model.generate(input_ids=ids, attention_mask=mask, generation_config=greedy, **known)
        rows: list[list[int]] = whole[:, ids.shape[1] :].tolist()
        return rows


@contextlib.contextmanager
def _arithmetic(model: Any, halves: list[tuple[torch.nn.Parameter, torch.Tensor]]) -> Iterator[None]:
    """The evaluation's arithmetic: autocast, but with each matrix of the adapter cast once and not once a token."""
    import torch

    half = model.dtype in (torch.bfloat16, torch.float16)
    kept = [held.data for held, _ in halves]
    with (
        torch.no_grad(),
        # Weights that autocast keeps cast are freed when it ends, and a graph would read what comes after them.
        torch.autocast(model.device.type, dtype=model.dtype if half else None, enabled=half, cache_enabled=False),
    ):
        for held, copy in halves:
            held.data = copy
        try:
            yield
        finally:
            for (held, _), data in zip(halves, kept):
                held.data = data


def _bare(model: Any) -> Any:
    """The model without PEFT's wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _rope(part: Any) -> list[str]:
    """Names of the rotary frequencies of one module; one for each kind of layer where these differ."""
    kind = getattr(part, "rope_type", None)
    return [] if kind is None else [str(value) for value in kind.values()] if isinstance(kind, dict) else [str(kind)]


def _switches(model: Any) -> list[tuple[bool, bool, list[str]]]:
    """Which adapters are on, layer by layer; PEFT keeps that in attributes, which a recorded graph does not read."""
    tuned = [part for part in model.modules() if hasattr(part, "merged_adapters")]
    return [(part.disable_adapters, part.merged, list(part.active_adapters)) for part in tuned]


def _halves(model: Any) -> list[tuple[torch.nn.Parameter, torch.Tensor]]:
    """Each float32 matrix of an adapter on a 16-bit base, with its copy in the base's type."""
    import torch

    if model.dtype not in (torch.bfloat16, torch.float16):
        return []
    named = [held for name, held in model.named_parameters() if "lora_" in name and held.dtype == torch.float32]
    return [(held, held.detach().to(model.dtype)) for held in named]
