"""A recipe's command line: every field is an option, and a slip is answered with the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from medslm.errors import MedslmError
from medslm.recipe import Sft
from medslm.train import supervised
from medslm.train.launch import main, parse

RECIPE = Sft(name="toy", base="base", lora="lora", mixture={"one": 1.0}, suite="suite")


def test_without_options_the_recipe_is_as_it_stands() -> None:
    assert parse(RECIPE, []).recipe == RECIPE


def test_fields_are_options_under_their_own_names() -> None:
    launched = parse(RECIPE, ["--learning-rate", "1e-4", "--packing", "False", "--runs", "elsewhere"])
    assert launched.recipe.learning_rate == 1e-4
    assert launched.recipe.packing is False
    assert launched.runs.name == "elsewhere"


def test_a_mixture_is_given_as_corpus_and_passes() -> None:
    assert parse(RECIPE, ["--mixture", "one=0.5", "two=2"]).recipe.mixture == {"one": 0.5, "two": 2.0}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--learning-rat", "1"], "--learning-rate"),
        (["--mixture", "one=many"], "corpus=passes"),
        (["--mixture", "one"], "corpus=passes"),
        (["--quantization", "int3"], "nf4"),
        (["--recompute", "some"], "attention-kept"),
        (["--gpu", "7gb"], "8gb"),
        (["--max-steps", "two"], "--max-steps"),
    ],
)
def test_a_slip_ends_with_a_message_and_no_zero(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(RECIPE, options)
    assert stopped.value.code == 2
    shown = capsys.readouterr()
    assert said in shown.out + shown.err


def test_a_value_that_cannot_be_run_is_a_sentence() -> None:
    with pytest.raises(MedslmError, match="global_batch_size=0"):
        parse(RECIPE, ["--global-batch-size", "0"])


def test_a_path_in_a_mixture_may_hold_an_equals_sign() -> None:
    launched = parse(RECIPE, ["--mixture", "local:a=b.csv=1", "org/name:config:train=0.5"])
    assert launched.recipe.mixture == {"local:a=b.csv": 1.0, "org/name:config:train": 0.5}


def test_columns_formats_and_licences_are_given_as_name_and_value() -> None:
    asked = ["--mixture", "local:x.csv=1", "--columns", "input=note+question", "local:x.csv:instruction==Code = sign."]
    launched = parse(RECIPE, [*asked, "--licenses", "local:x.csv=cc-by-4.0", "--formats", "local:x.csv=toon"])
    assert launched.recipe.columns == {"input": "note+question", "local:x.csv:instruction": "=Code = sign."}
    assert launched.recipe.licenses == {"local:x.csv": "cc-by-4.0"}
    assert launched.recipe.formats == {"local:x.csv": "toon"}


def test_mappings_of_the_recipe_stay_where_the_command_line_says_nothing() -> None:
    mapped = Sft(**{**vars(RECIPE), "columns": {"input": "=a b"}, "licenses": {"one": "mit"}, "mixture": {"one": 0.5}})
    assert parse(mapped, []).recipe == mapped
    assert parse(mapped, ["--seed", "7"]).recipe.columns == {"input": "=a b"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--columns", "note"], "name=value"),
        (["--licenses", "mit"], "name=value"),
        (["--deidentify", "masked"], "surrogate"),
        (["--contamination", "none"], "report"),
    ],
)
def test_a_gate_cannot_be_misspelt(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(RECIPE, options)
    assert stopped.value.code == 2
    shown = capsys.readouterr()
    assert said in shown.out + shown.err


def test_a_licence_for_what_is_not_in_the_mixture_is_a_sentence() -> None:
    with pytest.raises(MedslmError, match="licenses=two; it must be one of the mixture: one"):
        parse(RECIPE, ["--licenses", "two=mit"])


def test_an_interrupt_is_a_line_and_the_status_that_a_shell_gives_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(recipe: Sft, folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(supervised, "train", interrupted)
    monkeypatch.setattr("sys.argv", ["recipe.py"])
    with pytest.raises(SystemExit) as stopped:
        main(RECIPE)
    assert stopped.value.code == 130
    assert "interrupted; the same command goes on from the last checkpoint" in capsys.readouterr().err
