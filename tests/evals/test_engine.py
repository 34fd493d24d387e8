"""The model in this process before an evaluation's prompts: replies, samples and scores, and no trace of them after it."""

from __future__ import annotations

from typing import Any

import pytest

from evals import world
from infer.test_likelihoods import PROMPTS, TEXTS
from medslm.data.formats.render import Renderer
from medslm.errors import MedslmError
from medslm.evals.engine import Engine
from medslm.infer import scoring
from medslm.infer.reading import Asked


def engine(model: Any, batch_size: int = 3) -> Engine:
    tokenizer = world.tokenizer()
    return Engine(model, tokenizer, Renderer(tokenizer, "toon"), batch_size)


def test_the_models_own_attention_is_back_after_scores_and_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = engine(world.adapted())
    inner = asked.model.get_base_model()
    replies = asked.reply(PROMPTS, 4)
    asked.score(TEXTS)
    assert inner.config._attn_implementation == inner.model.config._attn_implementation == "sdpa"
    assert asked.reply(PROMPTS, 4) == replies
    monkeypatch.setattr(scoring, "followed", lambda *parts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        asked.score(TEXTS)
    assert inner.config._attn_implementation == "sdpa"


def test_replies_say_how_many_tokens_were_written_and_whether_they_ended() -> None:
    asked = engine(world.adapted())
    replies = asked.replies(PROMPTS, 4)
    assert [reply.text for reply in replies] == asked.reply(PROMPTS, 4)
    assert {(reply.tokens, reply.ended) for reply in replies} == {(4, False)}
    third = next(asked._writer.write([Asked(asked.renderer.ids(PROMPTS[0]))], 4, set()))[1].tokens[2]
    asked._stops = [third]
    first = asked.replies(PROMPTS[:1], 4)[0]
    assert first.ended and first.tokens <= 2


def test_samples_are_the_same_for_a_seed_in_any_order_and_number() -> None:
    asked = engine(world.adapted(), batch_size=4)
    drawn = asked.sample(PROMPTS, 6, n=3, temperature=1.0, seed=7)
    assert [len(replies) for replies in drawn] == [3] * len(PROMPTS)
    assert asked.sample(PROMPTS[::-1], 6, 2, 1.0, 7) == [replies[:2] for replies in drawn[::-1]]
    assert asked.sample(PROMPTS, 6, 3, 1.0, 8) != drawn
    assert len({reply for replies in drawn for reply in replies}) > len(PROMPTS)
    with pytest.raises(MedslmError, match="cannot be drawn at temperature 0"):
        asked.sample(PROMPTS, 6, 3, 0, 7)
