"""The engines by name; what each needs is imported when it is started."""

from __future__ import annotations

from collections.abc import Callable

from medslm.errors import MedslmError
from medslm.infer.engine import Engine, Wanted
from medslm.registry import Registry

engines: Registry[Callable[[Wanted], Engine]] = Registry("engine")

WEIGHTS = {
    "transformers": ("none", "nf4", "fp8"),
    "unsloth": ("none", "nf4"),
    "vllm": ("none",),
    "openai": (),
}
"""Engine -> the quantisations in which it loads a base; nothing where a server has loaded it already."""


def _transformers(wanted: Wanted) -> Engine:
    """This process, on the decoder of this package."""
    from medslm.infer.engines.transformers import Transformers

    return Transformers(wanted)


def _unsloth(wanted: Wanted) -> Engine:
    """This process, with Unsloth's kernels."""
    from medslm.infer.engines.unsloth import Unsloth

    return Unsloth(wanted)


def _vllm(wanted: Wanted) -> Engine:
    """This process, with vLLM's scheduler."""
    from medslm.infer.engines.vllm import Vllm

    return Vllm(wanted)


def _openai(wanted: Wanted) -> Engine:
    """Any server that speaks OpenAI's protocol."""
    from medslm.infer.engines import address, openai

    there = address.from_environment()
    if there.model == there.base and wanted.adapter is not None:
        raise MedslmError(
            f"{address.PREFIX}_MODEL and {address.PREFIX}_BASE are both '{there.base}', so that base and adapter would be "
            f"one; set {address.PREFIX}_MODEL to what the server calls the base with its adapter"
        )
    return openai.Server(wanted, there)


engines.add("transformers", _transformers)
engines.add("unsloth", _unsloth)
engines.add("vllm", _vllm)
engines.add("openai", _openai)
