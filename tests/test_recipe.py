"""A recipe that cannot be run is refused when it is written, and one that is run can be told from any other."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medslm.errors import MedslmError
from medslm.recipe import Fingerprint, Lesson, Pretrain, Run, Sft

GOOD: dict[str, Any] = {
    "name": "toy-run",
    "base": "toy",
    "lora": "r4",
    "mixture": {"notes": 1.0},
    "suite": "toy",
}
NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("field", "value", "bound"),
    [
        ("mixture", {"notes": "many"}, "mixture.notes=many; it must be a number above 0"),
        ("mixture", {"notes": None}, "mixture.notes=None; it must be a number above 0"),
        ("mixture", {"notes": 0}, "mixture.notes=0; it must be a number above 0"),
        ("mixture", {"notes": INFINITY}, "mixture.notes=inf; it must be a number above 0"),
        ("mixture", {"notes": 1, "other": -0.5}, "mixture.other=-0.5; it must be a number above 0"),
        *((name, 0, f"{name}=0; it must be at least 1") for name in ("max_length", "global_batch_size")),
        ("eval_steps", 0, "eval_steps=0; it must be at least 1"),
        ("tokens_per_pass", -1, "tokens_per_pass=-1; it must be at least 0"),
        ("optim", "sgd", "optim=sgd; it must be one of auto, adamw_torch_fused, paged_adamw_8bit"),
        ("gpu", "7gb", "gpu=7gb; it must be one of auto, 4gb, 8gb"),
        ("logging_steps", -1, "logging_steps=-1; it must be at least 1"),
        *(("seed", value, f"seed={value}; it must be 0 to 4294967295") for value in (-1, 2**32)),
        *(("learning_rate", value, f"learning_rate={value}") for value in (0, -1e-4, NAN, INFINITY)),
        *(("num_train_epochs", value, f"num_train_epochs={value}") for value in (0, NAN, INFINITY)),
        ("max_grad_norm", 0, "max_grad_norm=0; it must be above 0"),
        *(("warmup_steps", value, f"warmup_steps={value}; it must be at least 0") for value in (-1, NAN)),
        ("weight_decay", -0.1, "weight_decay=-0.1; it must be at least 0"),
        *(("max_steps", value, f"max_steps={value}; it must be -1 or at least 1") for value in (0, -2)),
        *(
            ("validation_fraction", value, f"validation_fraction={value}; it must be between 0 and 1")
            for value in (0, 1, 1.5, NAN)
        ),
    ],
)
def test_a_value_that_cannot_be_run_is_refused(field: str, value: object, bound: str) -> None:
    with pytest.raises(MedslmError) as refusal:
        Sft(**GOOD | {field: value})
    assert str(refusal.value).startswith(f"recipe 'toy-run' has {bound}")


@pytest.mark.parametrize(
    "name", ["", "Toy", "toy_run", "-toy", "toy-", "toy--run", "../toy", "toy/run", "toy run", "ö"]
)
def test_a_name_that_is_no_folder_and_no_hub_name_is_refused(name: str) -> None:
    with pytest.raises(MedslmError, match="use lower case words joined by hyphens"):
        Sft(**GOOD | {"name": name})


def test_an_empty_mixture_is_refused() -> None:
    with pytest.raises(MedslmError, match="empty mixture; name at least one corpus"):
        Sft(**GOOD | {"mixture": {}})


def test_a_changed_recipe_is_checked_again() -> None:
    with pytest.raises(MedslmError, match="max_length=0"):
        dataclasses.replace(Sft(**GOOD), max_length=0)


@given(processes=st.integers(1, 64), total=st.integers(1, 4096))
@settings(deadline=None, derandomize=True)
def test_a_global_batch_is_shared_equally_or_refused(processes: int, total: int) -> None:
    try:
        assert Sft(**GOOD, global_batch_size=total).share(processes) * processes == total
    except MedslmError:
        assert total % processes


def test_an_impossible_share_says_which_numbers_to_change() -> None:
    with pytest.raises(MedslmError) as refusal:
        Sft(**GOOD, global_batch_size=16).share(3)
    assert str(refusal.value) == (
        "global_batch_size=16 cannot be shared equally by 3 processes; make it a multiple of 3, or start another number "
        "of processes"
    )


def test_tokens_of_a_pass_and_no_packing_are_a_contradiction() -> None:
    with pytest.raises(MedslmError, match="tokens_per_pass=4096; it must be 0 with packing=False"):
        Sft(**GOOD, tokens_per_pass=4096, packing=False)


@pytest.mark.parametrize(
    "how",
    [
        {"packing": False},
        {"tokens_per_pass": 4096},
        {"recompute": "all"},
        {"optim": "adamw_torch_fused"},
        {"gpu": "8gb"},
    ],
)
def test_how_a_recipe_is_computed_is_no_part_of_what_is_learnt(how: dict[str, Any]) -> None:
    one, other = Sft(**GOOD), Sft(**GOOD, **how)
    assert one.learnt() == other.learnt()
    assert one.as_dict() != other.as_dict()
    assert set(how) <= set(other.as_dict())


def test_all_else_of_a_recipe_is_what_is_learnt() -> None:
    recipe = Sft(**GOOD)
    assert set(recipe.as_dict()) - set(recipe.learnt()) == {"packing", "tokens_per_pass", "recompute", "optim", "gpu"}


def test_a_recipe_as_json_has_every_field_and_makes_the_same_recipe() -> None:
    recipe = Sft(**GOOD, max_steps=3)
    written = json.loads(json.dumps(recipe.as_dict()))
    assert list(written) == [field.name for field in dataclasses.fields(Sft)]
    assert Sft(**written) == recipe


@pytest.mark.parametrize("kind", [Sft, Pretrain])
def test_every_field_of_a_recipe_says_what_it_is(kind: type[Sft] | type[Pretrain]) -> None:
    import ast
    import inspect

    told = []
    for record in (Lesson, Run, kind):
        body = ast.parse(inspect.getsource(record)).body[0].body  # type: ignore[attr-defined]
        for index in (index for index, node in enumerate(body) if isinstance(node, ast.AnnAssign)):
            following = body[index + 1]
            assert isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant), body[index].target.id
            told.append(body[index].target.id)
    assert list(dict.fromkeys(told)) == [field.name for field in dataclasses.fields(kind)]


@pytest.mark.parametrize(
    ("field", "value", "bound"),
    [
        ("gradient_accumulation_steps", 3, "gradient_accumulation_steps=3; it must be a divisor of 1024"),
        ("n_embd", 100, "n_embd=100; it must be a multiple of n_head=6"),
        ("vocab_size", 70_000, "vocab_size=70000; it must be 1 to 65536"),
        ("max_length", 1, "max_length=1; it must be at least 2"),
        *(("temperature", value, f"temperature={value}; it must be above 0") for value in (0, INFINITY)),
        *((name, 1.0, f"{name}=1.0; it must be at least 0 and below 1") for name in ("dropout", "adam_beta2")),
        ("min_lr_rate", 1.5, "min_lr_rate=1.5; it must be 0 to 1"),
    ],
)
def test_a_pretraining_that_cannot_be_run_is_refused(field: str, value: object, bound: str) -> None:
    given: dict[str, Any] = {"name": "toy-run", "mixture": {"notes": 1.0}, field: value}
    with pytest.raises(MedslmError) as refusal:
        Pretrain(**given)
    assert str(refusal.value).startswith(f"recipe 'toy-run' has {bound}")


def test_a_fingerprint_tells_recipes_apart_field_by_field() -> None:
    before, now = Sft(**GOOD).as_dict(), Sft(**GOOD | {"mixture": {"notes": 0.5}}, learning_rate=1e-4).as_dict()
    assert Fingerprint(before).digest != Fingerprint(now).digest
    assert Fingerprint(now).differences(before) == [
        'mixture {"notes": 1.0} -> {"notes": 0.5}',
        "learning_rate 0.0002 -> 0.0001",
    ]


def test_a_field_that_only_one_run_has_is_a_difference() -> None:
    assert Fingerprint({"a": 1, "new": 2}).differences({"a": 1, "old": 3}) == ["old 3 -> null", "new null -> 2"]


def test_the_same_values_have_the_same_fingerprint() -> None:
    one, same = Fingerprint({"a": 1, "b": {"c": 2.0}}), Fingerprint({"b": {"c": 2}, "a": 1.0})
    assert one.digest == same.digest  # the command line turns 1 into 1.0
    assert one.differences(same.fields) == []
