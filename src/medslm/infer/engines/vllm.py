"""The engine `vllm`: vLLM in this process, with the adapter as a LoRA request.

Written against the signatures of vLLM 0.33.0. It wants torch and transformers of its own, so it lives in an environment
of its own (docs/engines.md).
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from medslm import files
from medslm.data.formats.render import Renderer
from medslm.errors import MedslmError
from medslm.infer.engine import About, Limits, Reply, Score, Wanted
from medslm.infer.engines.texts import Texts, until
from medslm.models import source

INSTALL = "make env-vllm (python -m venv .venv-vllm && .venv-vllm/bin/pip install vllm==0.26.0 .)"
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM reserves memory for (`MaxLoRARanks` in vllm/config/lora.py)."""


class Vllm:
    """A base, and perhaps an adapter on it, in vLLM's memory.

    Raises `MedslmError` if vLLM is not installed or does not start, and for weights that it would quantise otherwise than
    training did.
    """

    def __init__(self, wanted: Wanted) -> None:
        try:
            import vllm
            from vllm.lora.request import LoRARequest
        except ImportError:
            raise MedslmError(f"vLLM is not installed; it wants an environment of its own: {INSTALL}") from None
        if wanted.quantization != "none":
            raise MedslmError(
                f"the engine 'vllm' runs weights as they are stored, and {wanted.quantization} was asked for; leave it "
                "out, or --engine transformers"
            )
        self._wanted, self._texts, self._vllm = wanted, Texts(wanted), vllm
        options: dict[str, Any] = {"model": str(source.find(wanted.base).folder), "dtype": wanted.dtype}
        self._adapter = self._asked = None
        if wanted.adapter is not None:
            options |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": reserved(rank(wanted))}
            self._adapter = self._asked = LoRARequest("adapter", 1, str(wanted.adapter.absolute()))
        self._llm = _started(vllm, options, wanted)
        self._requests = itertools.count()

    @property
    def renderer(self) -> Renderer:
        """Writes the prompts."""
        return self._texts.renderer

    @property
    def about(self) -> About:
        """What answers."""
        import torch

        versions = {"vllm": self._vllm.__version__, "torch": torch.__version__}
        adapter = None if self._wanted.adapter is None else self._wanted.adapter.as_posix()
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
        dtype = str(self._llm.model_config.dtype).removeprefix("torch.")
        return About("vllm", versions, self._wanted.base.hub_id, adapter, device, dtype)

    def generate(self, prompts: Sequence[str], limits: Limits) -> list[Reply]:
        """As `Engine`; vLLM itself chooses how many run at a time."""
        outputs = self._run([self._texts.ids(prompt) for prompt in prompts], self._parameters(limits))
        return [self._reply(output.outputs[0]) for output in outputs]

    def _reply(self, written: Any) -> Reply:
        tokens = list(until(written.token_ids, self._texts.stops))  # vLLM's hold the one that ended it
        return self._texts.reply(tokens, written.finish_reason == "stop")

    def _parameters(self, limits: Limits, **more: Any) -> Any:
        """Of nothing but what is asked: no settings of the base's own generation_config.json."""
        return self._vllm.SamplingParams(
            temperature=limits.temperature,
            max_tokens=limits.max_new_tokens,
            seed=limits.seed,
            stop_token_ids=self._texts.stops,
            skip_special_tokens=False,
            **more,
        )

    def _run(self, rows: Sequence[list[int]], parameters: Any) -> list[Any]:
        room = self._llm.model_config.max_model_len
        longest = max(map(len, rows), default=0) + parameters.max_tokens
        if longest > room:
            raise MedslmError(f"prompt and reply make up to {longest} tokens, but vLLM reads {room}; shorten them")
        prompts = [self._vllm.TokensPrompt(prompt_token_ids=ids) for ids in rows]
        found: list[Any] = self._llm.generate(prompts, parameters, use_tqdm=False, lora_request=self._asked)
        return found

    def stream(self, prompt: str, limits: Limits) -> Iterator[str]:
        """As `Engine`."""
        return self._texts.growing(until(self._tokens(self._texts.ids(prompt), limits), self._texts.stops))

    def _tokens(self, ids: list[int], limits: Limits) -> Iterator[int]:
        """Step by step; a reply that nobody reads to its end is given up."""
        engine, name, done = self._llm.llm_engine, f"medslm-{next(self._requests)}", 0
        prompt = self._vllm.TokensPrompt(prompt_token_ids=ids)
        engine.add_request(name, prompt, self._parameters(limits), lora_request=self._asked)
        try:
            while engine.has_unfinished_requests():
                for output in engine.step():
                    tokens = output.outputs[0].token_ids  # all so far
                    yield from tokens[done:]
                    done = len(tokens)
        finally:
            engine.abort_request([name])

    def loglikelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[Score]:
        """As `Engine`, from the log-probabilities of a prompt that holds the continuation."""
        rows = [self._texts.pair(*pair) for pair in pairs]
        parameters = self._parameters(Limits(1), prompt_logprobs=1)
        outputs = self._run([[*prompt, *after] for prompt, after in rows], parameters)
        return [_score(output.prompt_logprobs, *row) for output, row in zip(outputs, rows)]

    @contextlib.contextmanager
    def without_adapter(self) -> Iterator[None]:
        """As `Engine`: requests go out without the adapter."""
        self._asked = None
        try:
            yield
        finally:
            self._asked = self._adapter

    def close(self) -> None:
        """As `Engine`."""
        del self._llm


def _started(vllm: Any, options: dict[str, Any], wanted: Wanted) -> Any:
    from vllm.platforms import current_platform

    otherwise = "--engine transformers runs without it"
    if not current_platform.device_type:
        raise MedslmError(f"vLLM finds no device here that it knows, which is a GPU as a rule; {otherwise}")
    try:
        return vllm.LLM(**options)
    except (RuntimeError, ValueError) as error:  # of too little memory too: its own process has said what, and is gone
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise MedslmError(
            f"vLLM did not start with {wanted.base.hub_id} ({said[0]}); what it wrote above says why; {otherwise}"
        ) from error


def _score(places: Sequence[Any], prompt: Sequence[int], after: Sequence[int]) -> Score:
    told = [place[token] for place, token in zip(places[len(prompt) :], after)]
    return sum(one.logprob for one in told), all(one.rank == 1 for one in told)


def rank(wanted: Wanted) -> int:
    """The largest rank in the adapter. Raises `MedslmError` if there is no adapter in its folder."""
    assert wanted.adapter is not None
    config = files.read_json(wanted.adapter / "adapter_config.json", "medslm pull")
    largest: int = max([config["r"], *config.get("rank_pattern", {}).values()])
    return largest


def reserved(rank: int) -> int:
    """The rank that vLLM has to reserve memory for. Raises `MedslmError` for one beyond its largest."""
    fitting = [one for one in RANKS if one >= rank]
    if not fitting:
        raise MedslmError(f"the adapter has rank {rank}, and vLLM serves up to {RANKS[-1]}; merge it into its base")
    return fitting[0]
