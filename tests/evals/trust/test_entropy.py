"""Semantic entropy of replies whose meaning is known: all one, all unlike, and unlike where the model is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig, BertForSequenceClassification

from evals import answering, world
from evals.answering import Speaker
from medslm.data.builders.choice import choice
from medslm.errors import MedslmError
from medslm.evals.trust import entropy, equivalence
from medslm.evals.trust.equivalence import Entailment, by_words, holds, same_words


def measured(
    folder: Path, monkeypatch: pytest.MonkeyPatch, says: Callable[[str, str, int], str], n: int = 12, **more: Any
) -> tuple[dict, Speaker]:
    engine = Speaker(says=says, **more)
    items = answering.medqa(folder, n, monkeypatch)
    judged = {side: {"medqa": of} for side, of in answering.answered(engine, items).items()}
    told = entropy.measure(answering.case(folder, engine, judged))
    return json.loads(json.dumps(told, allow_nan=False)), engine


def test_replies_that_mean_the_same_have_no_entropy_and_unlike_ones_the_highest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def says(side: str, prompt: str, draw: int) -> str:
        return f"answer number {draw}" if side == "adapter" else "The answer is: a Finding."

    told, _ = measured(tmp_path, monkeypatch, says)
    base, adapter = (told["tasks"]["medqa"][side] for side in ("base", "adapter"))
    assert base["entropy"]["value"] == 0 and base["one_meaning"]["value"] == 1
    assert adapter["entropy"]["value"] == pytest.approx(math.log(entropy.SAMPLES)) and adapter["n"] == 12
    (row,) = told["differences"]
    assert row["value"] == pytest.approx(told["highest"]) and row["verdict"] == "worse" and row["n"] == 12
    assert "token F1" in told["equivalence"]


def test_entropy_by_hand() -> None:
    assert entropy.entropy([0, 0, 0]) == 0
    assert entropy.entropy([0, 0, 1, 1]) == pytest.approx(math.log(2))
    assert entropy.entropy(list(range(10))) == pytest.approx(math.log(10))
    assert entropy.clusters("", ["Gout.", "pseudogout", "gout", "the gout"], by_words) == [0, 1, 0, 0]
    assert entropy.clusters("", ["", "", "no"], by_words) == [0, 0, 1]


def test_a_reply_joins_the_first_cluster_whose_first_member_means_the_same() -> None:
    def near(question: str, pairs: list[tuple[str, str]]) -> list[bool]:
        return [abs(int(one) - int(other)) <= 1 for one, other in pairs]

    assert entropy.clusters("", ["1", "2", "3", "0"], near) == [0, 0, 1, 0]  # 3 is near 2, but 2 opened nothing


def test_entropy_foretells_errors_of_a_model_that_wavers_where_it_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def says(side: str, prompt: str, draw: int) -> str:
        k = int(prompt.partition("sign case ")[2].partition(".")[0])
        return f"finding {k} {k % 4}" if k % 2 else f"other thought {draw}"

    told, _ = measured(tmp_path, monkeypatch, says)
    side = told["tasks"]["medqa"]["base"]
    assert side["right"]["value"] == 0.5 and side["auroc_entropy"]["value"] == 1
    assert side["auroc_token_logprob"]["n"] == 12 and side["without_logprob"] == 0
    assert {row["verdict"] for row in told["differences"]} == {"no difference shown"}
    text = entropy.text(told)
    assert "synonyms count as wrong" in text and "1.000 [0.610, 1.000]" in text  # of six and six


def test_the_token_baseline_is_the_mean_over_the_reply_and_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Speaker(scores=lambda side, prompt, written: -float(len(written.replace("<|end|>", "."))))
    items = entropy.openly(answering.medqa(tmp_path, 2, monkeypatch))
    case = answering.case(tmp_path, engine, {})
    found = entropy.unlikely(case, tmp_path / "one.jsonl", items, {items[0].id: "finding", items[1].id: ""})
    assert found == [1.0, 1.0]  # of the byte tokenizer's tokens, one a byte, and one for the end
    assert entropy.unlikely(case, tmp_path / "two.jsonl", items, {items[0].id: "<|end|>", items[1].id: "x"}) == [
        None,
        1.0,
    ]


def test_what_was_drawn_is_kept_and_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, engine = measured(tmp_path, monkeypatch, lambda side, prompt, draw: f"{side} {draw}")
    assert engine.asked == 2 * (10 + 1 + 1) * 12
    again, other = measured(tmp_path, monkeypatch, lambda side, prompt, draw: "something else")
    assert again == told and other.asked == 0


def test_questions_that_need_their_options_are_left_out() -> None:
    good = choice("What is the diagnosis?", ["Gout", "Lupus"], 0)
    long = choice("What is true?", ["It " + "is " * 9 + "so", "No"], 0)
    (asked,) = entropy.openly(
        [
            good,
            long,
            choice("All of the following are causes except?", ["Gout", "Lupus"], 0),
            choice("Which of the following statements is true?", ["Gout", "Lupus"], 0),
            choice("Which is it?", ["None of the above", "Lupus"], 0),
            choice("Is it so?", ["yes", "no"], 0, instruction="Answer by the abstract."),
        ]
    )
    assert (asked.output, asked.options, asked.instruction) == ("Gout", (), entropy.OPENLY)


def test_a_model_without_room_leaves_the_task_out_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, engine = measured(tmp_path, monkeypatch, lambda *_: "x", room=40)
    assert told["tasks"]["medqa"] == {"left_out": "0 of 12 items can be asked without options; two are needed"}
    assert "0 of 12 items" in entropy.text(told) and engine.asked == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Acute gout", "acute gout.", True),
        ("The answer is: gout", "Gout", True),
        ("The most likely diagnosis is acute gouty arthritis", "acute gouty arthritis", True),
        ("intravenous isotonic saline", "Intravenous saline", True),
        ("pulmonary embolism", "no pulmonary embolism", False),
        ("give 5 mg morphine now", "give 50 mg morphine now", False),
        ("gout", "pseudogout", False),
        ("", "", True),
        ("", "gout", False),
    ],
)
def test_answers_are_compared_by_words_numbers_and_negations(one: str, other: str, same: bool) -> None:
    assert same_words(one, other) is same and same_words(other, one) is same


def test_a_reply_is_right_if_it_says_the_key() -> None:
    assert holds("It is most likely an acute gout, given the crystals.", "Acute gout")
    assert not holds("This is no acute gout.", "acute gout")
    assert not holds("Gouty arthritis", "Acute gout") and not holds("", "gout") and not holds("gout", "")
    assert not holds("pseudogout", "gout")


def nli(folder: Path, entails: float) -> Path:
    """A real model of sequence classification, tiny and random but for its bias towards one label."""
    labels = {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}
    config = BertConfig(
        vocab_size=300,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        id2label=labels,
        label2id={name: n for n, name in labels.items()},
    )
    model = BertForSequenceClassification(config)
    model.classifier.weight.data.zero_()
    model.classifier.bias.data = model.classifier.bias.data.new_tensor([0.0, 0.0, entails])
    model.save_pretrained(str(folder))
    tokenizer = world.tokenizer()
    tokenizer.save_pretrained(str(folder))
    return folder


def test_a_local_model_of_entailment_clusters_both_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    believer, sceptic = nli(tmp_path / "believer", 5.0), nli(tmp_path / "sceptic", -5.0)
    replies = ["gout", "an arthritis", "something " * 40]
    assert entropy.clusters("What is it?", replies, Entailment(believer)) == [0, 0, 0]
    assert entropy.clusters("What is it?", replies, Entailment(sceptic)) == [0, 1, 2]
    monkeypatch.setenv(equivalence.VARIABLE, str(believer))
    how, same = equivalence.chosen()
    assert how == "entailment both ways by the model in believer" and same("q", [("a", "b")]) == [True]


def test_a_folder_without_a_model_of_entailment_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(equivalence.VARIABLE, str(tmp_path / "nobody"))
    with pytest.raises(MedslmError, match="where no model lies; name a folder"):
        equivalence.chosen()
    folder = nli(tmp_path / "other", 0.0)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"id2label": {"0": "a", "1": "b", "2": "c"}, "label2id": {"a": 0, "b": 1, "c": 2}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(MedslmError, match="has the labels a, b, c"):
        Entailment(folder)
