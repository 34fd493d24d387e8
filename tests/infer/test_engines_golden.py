"""Two engines on the same file: llama.cpp's own server beside the decoder of this package, both greedy.

They do not multiply alike: llama.cpp rounds activations to eight bits beside weights of four, and keeps keys in 16 bits.
What differs by so much is measured in docs/engines.md; the limits here are above it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from infer.asked import CONTINUATIONS, NATS, QUESTIONS, TOKENS, begins
from judge_server import Llama
from medslm.data.example import Example
from medslm.infer.engine import Limits, Wanted
from medslm.infer.engines import engines
from medslm.infer.engines.address import Address
from medslm.infer.engines.openai import Server
from medslm.infer.engines.transformers import Transformers
from medslm.models.base import Base

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def both(real_base: Base) -> Iterator[tuple[Server, Transformers]]:
    """llama.cpp and this package, on the embedded SmolLM2."""
    with (
        Llama() as llama,
        closing(Server(Wanted(real_base, "chat", rows=1), Address(llama.url, "smollm2"))) as server,
        closing(engines["transformers"](Wanted(real_base, "chat", dtype="float32"))) as here,
    ):
        assert isinstance(here, Transformers)
        yield server, here


def prompts(engine: Server) -> list[str]:
    return [engine.renderer.prompt(Example("q", "", question, "", family="")) for question in QUESTIONS]


def test_replies_begin_with_the_same_tokens(both: tuple[Server, Transformers]) -> None:
    server, _ = both
    asked = prompts(server)
    ours, theirs = ([reply.text for reply in engine.generate(asked, Limits(TOKENS))] for engine in both)
    ids = ([server.renderer.ids(reply) for reply in side] for side in (ours, theirs))
    assert begins(*ids), (ours, theirs)


def test_what_llama_cpp_streams_is_what_it_generates(both: tuple[Server, Transformers]) -> None:
    server, _ = both
    prompt = prompts(server)[0]
    (reply,) = server.generate([prompt], Limits(TOKENS))
    assert server.renderer.reply("".join(server.stream(prompt, Limits(TOKENS)))) == reply.text
    assert reply.tokens == TOKENS and not reply.ended


def test_log_likelihoods_differ_by_little(both: tuple[Server, Transformers]) -> None:
    server, here = both
    pairs = list(zip(prompts(server), CONTINUATIONS))
    for (_, after), (theirs, _), (ours, _) in zip(pairs, server.loglikelihoods(pairs), here.loglikelihoods(pairs)):
        assert theirs == pytest.approx(ours, abs=NATS * len(server.renderer.ids(after)))
        assert theirs < 0
