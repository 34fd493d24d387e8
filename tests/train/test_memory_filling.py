"""What a plan says that passes hold: what packing makes of these rows, no less and no more."""

from __future__ import annotations

import itertools
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medslm.data.packing import pack
from medslm.errors import MedslmError
from medslm.models import shapes
from medslm.models.lora import loras
from medslm.train import memory
from medslm.train.batches import side_by_side
from medslm.train.memory import card, choice, filling
from medslm.train.memory.need import GIB, Job, peak
from medslm.train.memory.speed import Batch
from medslm.train.trainers.full_memory import Whole

QWEN = memory.Shape.of(shapes.published("Qwen/Qwen3-1.7B"))
LLAMA = memory.Shape.of(shapes.published("meta-llama/Llama-3.2-3B-Instruct"))
LORA = loras["all-linear-r16"]

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=9).map(numpy.array)
HISTOGRAMS = {
    "lognormal": lambda draw: numpy.clip(draw.lognormal(numpy.log(420), 0.75, 3000), 32, 2048).astype("i8"),
    "all alike": lambda draw: numpy.full(3000, 1024),
    "two kinds": lambda draw: numpy.where(draw.random(3000) < 0.9, 1200, 800),
    "any": lambda draw: draw.integers(1, 2048, 3000),
    "all long": lambda draw: draw.integers(1100, 2048, 3000),
    "one long": lambda draw: numpy.append(numpy.full(2999, 40), 2048),
}


def passes(step: Any, room: int) -> list[int]:
    """Tokens of the passes that a step of rows of these lengths is laid out in."""
    return [one.tokens for one in side_by_side([(numpy.zeros(length, "i8"),) * 2 for length in step], room)]


def plan(shape: memory.Shape, lengths: Any, rows: int, gib: float, **wishes: Any) -> memory.MemoryPlan:
    return memory.plan(shape, LORA, lengths, rows, "none", int(gib * GIB), wishes=memory.Wishes(**wishes))


@settings(deadline=None)
@given(lengths=LENGTHS, rows=st.integers(1, 9), room=st.integers(1, 300))
def test_the_fullest_pass_is_the_fullest_that_any_rows_make(lengths: Any, rows: int, room: int) -> None:
    steps = [step for number in range(1, rows + 1) for step in itertools.combinations(lengths.tolist(), number)]
    made = max((sum(step) for step in steps if sum(step) <= room), default=0)
    assert filling.fullest(lengths, rows, [room]) == [made]


@settings(deadline=None)
@given(lengths=LENGTHS, rows=st.integers(1, 9), more=st.integers(0, 100))
def test_some_step_makes_that_pass_and_none_a_fuller_one(lengths: Any, rows: int, more: int) -> None:
    room = int(lengths.max()) + more
    steps = [step for number in range(1, rows + 1) for step in itertools.combinations(lengths.tolist(), number)]
    assert max(max(passes(step, room)) for step in steps) == Batch.of(lengths, rows).fullest([room])[0]


@pytest.mark.parametrize("rows", [4, 16, 33])
@pytest.mark.parametrize("kind", HISTOGRAMS)
def test_no_thief_of_a_step_fills_a_pass_beyond_its_plan(kind: str, rows: int) -> None:
    draw = numpy.random.default_rng(1)
    lengths = HISTOGRAMS[kind](draw)
    longest_first = numpy.sort(lengths)[::-1]
    thieves = [longest_first[:rows], longest_first[: rows // 2], longest_first[-rows:]]
    thieves += [draw.choice(lengths, rows) for _ in range(20)]
    for wish in (0, 2048, 3000, 3840, 9216, 25_600):
        made = plan(QWEN, lengths, rows, 60, tokens_per_pass=wish)
        assert made.tokens_per_pass == (wish or made.fullest)
        assert max(max(passes(step, made.tokens_per_pass)) for step in thieves) <= made.fullest
        assert made.fullest <= min(made.tokens_per_pass, longest_first[:rows].sum())
        predicted = peak(Job(QWEN, LORA, "none"), choice.Choice(made.fullest, made.levels, made.offload, made.optim))
        assert made.predicted == sum(predicted[1].values())


@pytest.mark.parametrize("rows", [8, 16, 64])
@pytest.mark.parametrize("kind", HISTOGRAMS)
def test_passes_are_counted_as_packing_makes_them(kind: str, rows: int) -> None:
    batch = Batch.of(HISTOGRAMS[kind](numpy.random.default_rng(2)), rows)
    steps = filling.steps(batch.lengths, rows)
    for room in (2048, 3000, 4096, 8192, 16_384, 32_768):
        made = numpy.mean([len(pack(step, room)) for step in steps])
        assert 0.88 * made <= batch.passes(batch.fullest([room])[0]) <= made + 1e-9


@pytest.mark.parametrize("kind", HISTOGRAMS)
def test_a_plan_follows_from_the_lengths_and_not_from_their_order(kind: str) -> None:
    draw = numpy.random.default_rng(3)
    lengths = HISTOGRAMS[kind](draw)
    first = plan(LLAMA, lengths, 16, 40)
    assert plan(LLAMA, lengths, 16, 40) == first == plan(LLAMA, draw.permutation(lengths), 16, 40)


@pytest.mark.parametrize("gib", [9, 11, 14, 20, 60])
@pytest.mark.parametrize(("rows", "length"), [(32, 1024), (16, 1000), (30, 1536), (7, 500)])
def test_rows_all_alike_share_passes_that_are_all_filled(rows: int, length: int, gib: float) -> None:
    made = plan(QWEN, numpy.full(960, length), rows, gib)
    each, rest = divmod(made.tokens_per_pass, length)
    assert rest == 0
    assert made.passes == -(-rows // each)
    assert made.fullest == made.tokens_per_pass <= rows * length


@settings(deadline=None, max_examples=30)
@given(length=st.integers(600, 2048), wish=st.integers(2048, 30_000), gib=st.floats(6, 60))
def test_memory_that_passes_cannot_fill_goes_into_less_recomputing(length: int, wish: int, gib: float) -> None:
    alike = numpy.full(320, length)
    any_length = numpy.append(numpy.arange(1, length + 1), alike)  # whose rows fill every pass
    try:
        full = plan(QWEN, any_length, 16, gib, tokens_per_pass=wish)
    except MedslmError:
        return
    part = plan(QWEN, alike, 16, gib, tokens_per_pass=wish)
    assert part.fullest == min(wish // length, 16) * length <= full.fullest
    assert all(mine <= others for mine, others in zip(part.levels, full.levels))
    assert (part.optim, part.offload) <= (full.optim, full.offload)


def test_a_pass_that_is_not_filled_is_said_to_be_so() -> None:
    made = plan(QWEN, numpy.full(320, 1024), 16, 60, tokens_per_pass=3840)
    assert made.lines()[0].startswith("3,840 tokens a pass (3,072 at most, of whole rows), 6.0 passes a step")
    assert "at most" not in plan(QWEN, numpy.full(320, 1024), 16, 60).lines()[0]


@pytest.mark.parametrize("quantization", ["nf4", "fp8", "none"])
def test_the_least_is_what_a_plan_is_found_for(quantization: str) -> None:
    needs = memory.least(Job(LLAMA, LORA, quantization), 1024)
    memory.plan(LLAMA, LORA, numpy.full(16, 1024), 16, quantization, needs + 1)
    with pytest.raises(MedslmError, match="takes at least"):
        memory.plan(LLAMA, LORA, numpy.full(16, 1024), 16, quantization, needs - 1)


def test_the_least_of_all_weights_recomputes_everything_with_moments_in_8_bits() -> None:
    job = Whole.of(LLAMA, 2)
    everything = choice.Choice(1024, (3,) * LLAMA.layers, False, "paged_adamw_8bit")
    needs = memory.least(job, 1024) * (1 - choice.MARGIN)
    assert needs == pytest.approx(sum(peak(job, everything)[1].values()), abs=1)


def test_the_doctors_table_is_made_of_the_planners_passes() -> None:
    from medslm.doctor import fits

    found, unknown = fits.table(["qwen3-1.7b"], LORA, 1000)
    assert unknown == []
    assert {fit.tokens_per_pass % 1000 for fit in found if fit.tokens_per_pass} == {0}
    assert all(fit.needs > card.preset(fit.gpu) for fit in found if not fit.tokens_per_pass)
