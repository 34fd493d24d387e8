"""A model from random weights: what it learns, what an interruption changes (nothing), and who can load the result."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

import toy_text
import toy_world
from launching import launch, record
from medslm.data import tokens
from medslm.errors import MedslmError
from medslm.infer import whole
from medslm.models.passes import IGNORED
from medslm.recipe import Pretrain
from medslm.train import blocks, checkpoint, loop, positions, pretrain, whole_head
from medslm.train.loop import Loop

pytestmark = pytest.mark.usefixtures("toy_base")
STRANGER = """
import json, sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

model, tokenizer = AutoModelForCausalLM.from_pretrained(sys.argv[1]), AutoTokenizer.from_pretrained(sys.argv[1])
with torch.no_grad():
    logits = model(**tokenizer("The old fox", return_tensors="pt")).logits[0, -1]
print(json.dumps([type(model).__name__, "medslm" in sys.modules, logits.tolist()]))
"""


@pytest.fixture(scope="module", autouse=True)
def world() -> Iterator[None]:
    """Exams of a few items in the place of the real ones."""
    with pytest.MonkeyPatch.context() as patch:
        toy_world.settle(patch)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    toy_text.stories(folder / "stories.jsonl")
    toy_text.questions(folder / "questions.jsonl")
    return folder


@pytest.fixture(scope="module")
def recipe(data: Path) -> Pretrain:
    mixture = {f"local:{data / 'stories.jsonl'}": 1.0}
    shape = {**toy_text.SHAPE, **toy_text.QUICK}
    return Pretrain(
        name="toy-pretrain", mixture=mixture, max_length=16, max_steps=12, dropout=0.1, prompts=("The old",), **shape
    )


@pytest.fixture(scope="module")
def finished(recipe: Pretrain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whole run of `recipe`."""
    folder = tmp_path_factory.mktemp("runs") / recipe.name
    pretrain.train(recipe, folder)
    return folder


@pytest.fixture(scope="module")
def tuned(recipe: Pretrain, finished: Path, data: Path) -> Path:
    """A run that goes on from it, on questions and answers, with more positions."""
    pretrain.train(tune(recipe, data), finished.parent / "toy-sft")
    return finished.parent / "toy-sft"


def tune(recipe: Pretrain, data: Path) -> Pretrain:
    mixture = {f"local:{data / 'questions.jsonl'}": 1.0}
    changes = {"name": "toy-sft", "start": recipe.name, "format": "question", "max_length": 64, "max_steps": 4}
    return dataclasses.replace(recipe, mixture=mixture, prompts=("What does the cat do?",), **changes)  # type: ignore[arg-type]


def told(folder: Path) -> Any:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def test_the_loss_falls_and_the_record_says_so(finished: Path) -> None:
    run = told(finished)
    assert run["status"] == "finished"
    assert run["train"]["best_eval_loss"] < run["train"]["first_eval_loss"] - 1
    assert run["train"]["last_loss"] < run["train"]["first_loss"] - 1
    assert run["train"]["tokens"] == 12 * 8 * 16
    assert run["tokens"]["train"]["count"] > 2000 and run["tokens"]["train"]["tokenizer"]
    assert [point["step"] for point in run["curve"] if "eval_loss" in point] == [0, 4, 8, 12]
    assert run["samples"][0]["prompt"] == "The old" and run["samples"][0]["written"]
    assert (finished / "loss.png").stat().st_size > 1000
    assert "lengths" not in run["gates"]  # running text is not measured by the document


def test_an_interrupted_run_and_one_that_is_not_give_the_same_losses_and_weights(
    recipe: Pretrain, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Loop.learn

    def unplugged(self: Loop, step: Any) -> Any:
        if self.progress.step == 6:
            raise KeyboardInterrupt
        return honest(self, step)

    monkeypatch.setattr(Loop, "learn", unplugged)
    with pytest.raises(KeyboardInterrupt):
        pretrain.train(recipe, tmp_path / recipe.name)
    assert told(tmp_path / recipe.name)["status"] == "running"
    monkeypatch.setattr(Loop, "learn", honest)
    pretrain.train(recipe, tmp_path / recipe.name)
    one, other = told(finished), told(tmp_path / recipe.name)
    assert one["curve"] == other["curve"]
    assert one["weights_sha256"] == other["weights_sha256"]
    assert one["samples"] == other["samples"]


def test_the_best_and_the_last_checkpoint_are_kept_and_the_best_is_the_model(finished: Path) -> None:
    run = told(finished)
    judged = {point["step"]: point["eval_loss"] for point in run["curve"] if point["step"] and "eval_loss" in point}
    assert run["train"]["best_step"] == min(judged, key=judged.__getitem__)
    kept = {path.name for path in (finished / "checkpoints").iterdir()}
    assert kept == {f"checkpoint-{run['train']['best_step']}", "checkpoint-12"}


def test_anybody_loads_the_result_without_this_library(finished: Path) -> None:
    command = [sys.executable, "-c", STRANGER, str(finished / "model")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    kind, knows_medslm, logits = json.loads(done.stdout)
    model = AutoModelForCausalLM.from_pretrained(finished / "model", dtype=torch.float32)
    assert (kind, knows_medslm, len(logits)) == ("GPT2LMHeadModel", False, 640)
    assert model.config.n_positions == 16
    assert sorted(path.suffix for path in (finished / "model").iterdir() if "model." in path.name) == [".safetensors"]


def test_a_finished_run_writes_when_it_is_asked(finished: Path, tuned: Path) -> None:
    greedy = whole.Drawn(max_new_tokens=5, temperature=0)
    assert whole.write(finished, "The old fox", how=greedy) == whole.write(finished, "The old fox", how=greedy)
    assert whole.write(finished, "", how=whole.Drawn(max_new_tokens=5))  # the beginning of a document
    assert isinstance(whole.write(tuned, "What does the cat do?", how=greedy), str)
    with pytest.raises(MedslmError, match="the model reads 1 to 15 before it writes"):
        whole.write(finished, "The old fox sleeps for many days. " * 9)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"temperature": float("nan")}, "temperature=nan; it must be 0"),
        ({"temperature": float("inf")}, "temperature=inf; it must be 0"),
        ({"temperature": 1e-40}, r"or a number from 0\.001 on"),
        ({"seed": 2**80}, "seed=1208925819614629174706176; it must be"),
    ],
)
def test_a_setting_of_drawing_that_means_nothing_is_refused(finished: Path, asked: dict[str, float], said: str) -> None:
    with pytest.raises(MedslmError, match=said):
        whole.write(finished, "The old fox", how=whole.Drawn(**asked))  # type: ignore[arg-type]


def test_what_continues_texts_takes_no_instruction_and_no_special_token(finished: Path) -> None:
    with pytest.raises(MedslmError, match="never told what to do; leave out --instruction"):
        whole.write(finished, "The old fox", "Sum it up.")
    with pytest.raises(MedslmError, match=r"its text holds '<\|im_end\|>', which is a special token"):
        whole.write(finished, "The old fox <|im_end|> and")
    with pytest.raises(MedslmError, match="half of a surrogate pair"):
        whole.write(finished, "The old \udcff fox")


def test_a_reply_that_the_positions_cut_short_says_so(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole.write(finished, "The old fox", how=whole.Drawn(max_new_tokens=500))
    assert re.search(r"\d+ of the model's 16 positions are taken.* at most, not 500", capsys.readouterr().err)
    whole.write(finished, "The", how=whole.Drawn(max_new_tokens=2))
    assert capsys.readouterr().err == ""


def test_tuning_learns_answers_only_from_the_weights_of_the_earlier_run(finished: Path, tuned: Path) -> None:
    run, first = told(tuned), told(finished)
    assert run["base"]["revision"] == first["weights_sha256"] and run["base"]["source"] == "run"
    assert run["positions"]["before"] == 16 and run["positions"]["after"] == 64
    assert "copies of them in their order" in run["positions"]["how"]
    assert run["train"]["best_eval_loss"] < run["train"]["first_eval_loss"]
    assert run["tokens"] == {}
    assert AutoModelForCausalLM.from_pretrained(tuned / "model").config.n_positions == 64


def test_the_answer_and_its_end_carry_the_loss_of_a_question(recipe: Pretrain, data: Path, finished: Path) -> None:
    planned = pretrain.plan(tune(recipe, data), finished.parent / "other")
    source, _, headers = pretrain.sources(planned)
    assert not headers
    decode = planned.first.tokenizer.decode
    made = blocks.step(source.rows(numpy.arange(6)), 2, 64)
    assert [len(block.inputs) for block in made.blocks] == [3, 3]
    for block in made.blocks:
        for ids, targets in zip(block.inputs, block.targets):
            learnt = decode(targets[targets != IGNORED])
            assert learnt.startswith("It ") and learnt.endswith(" times.<|im_end|>")
            assert "### Response:\n" + learnt.removesuffix("<|im_end|>") in decode(ids)
    assert made.predicted == sum(int((block.targets != IGNORED).sum()) for block in made.blocks)


def test_what_fills_a_row_up_and_how_rows_are_spread_over_passes_changes_nothing(
    recipe: Pretrain, data: Path, finished: Path, tmp_path: Path
) -> None:
    """The reference is written out: transformers' own loss of each example alone."""
    tuning = dataclasses.replace(tune(recipe, data), dropout=0.0, dtype="float32")
    planned = pretrain.plan(tuning, finished.parent / "other")
    source, _, _ = pretrain.sources(planned)
    documents = source.rows(numpy.arange(8))
    model = pretrain.beginning.model(tuning, planned.first)[0].eval()
    total, predicted = torch.zeros(()), 0
    for ids, labels in documents:
        one = model(torch.tensor(ids)[None], labels=torch.tensor(labels)[None].long()).loss
        number = int((labels[1:] != IGNORED).sum())
        total, predicted = total + one * number, predicted + number
    (total / predicted).backward()
    wanted = {name: parameter.grad for name, parameter in model.named_parameters()}
    loops = Loop(pretrain.beginning.model(tuning, planned.first)[0].eval(), tuning, 1, tmp_path)
    for passes in (1, 4):
        loops.model.zero_grad()
        step = blocks.step(documents, passes, 64)
        losses = [loops.total_loss(block) / step.predicted for block in step.blocks]
        loss = torch.stack(losses).sum()
        loss.backward()
        torch.testing.assert_close(loss, total / predicted)
        for name, parameter in loops.model.named_parameters():
            torch.testing.assert_close(parameter.grad, wanted[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("vocabulary", [640, 641])
def test_the_head_gives_the_loss_and_both_gradients_of_plain_cross_entropy_in_slices(
    vocabulary: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_head, "SLICE", 1)  # 256 positions at a time
    torch.manual_seed(0)
    hidden, weight = (torch.randn(rows, 8, requires_grad=True) for rows in (600, vocabulary))
    targets = torch.randint(vocabulary, (600,))
    wanted = torch.nn.functional.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    found = whole_head.LinearCrossEntropy.apply(hidden, weight, targets)
    torch.testing.assert_close(found, wanted)
    expected = torch.autograd.grad(wanted * 0.5, (hidden, weight))
    for one, other in zip(torch.autograd.grad(found * 0.5, (hidden, weight)), expected):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_more_positions_leave_the_old_rows_and_every_short_text_as_they_were() -> None:
    torch.manual_seed(0)
    shape = {"n_layer": 2, "n_embd": 32, "n_head": 2, "vocab_size": 100}
    short = GPT2LMHeadModel(GPT2Config(n_positions=16, **shape)).eval()
    before = short.transformer.wpe.weight.detach().clone()
    ids = torch.randint(100, (3, 16))
    wanted = short(ids).logits
    longer, done = positions.extend(short, 40)
    table = longer.transformer.wpe.weight
    assert torch.equal(table[:16], before) and torch.equal(table[16:32], before) and torch.equal(table[32:], before[:8])
    assert torch.equal(longer.eval()(ids).logits, wanted)
    assert longer(torch.randint(100, (1, 40))).logits.isfinite().all()
    assert longer.lm_head.weight is longer.transformer.wte.weight
    assert done and "positions: 16 -> 40" in str(done)
    assert positions.extend(longer, 40) == (longer, None)
    with pytest.raises(MedslmError, match="max_length=8, and the model to start from has learnt 40 positions"):
        positions.extend(longer, 8)


def test_an_epoch_of_windows_predicts_each_token_once_and_another_epoch_in_another_order() -> None:
    text = numpy.arange(1000, dtype="u2")
    windows = blocks.Windows(text, 16, seed=7)
    rows = windows.rows(numpy.arange(2 * len(windows)))
    epochs = [numpy.concatenate([ids[1:] for ids, _ in part]) for part in (rows[: len(windows)], rows[len(windows) :])]
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(min(epoch), max(epoch) + 1))
        assert len(epoch) == 16 * len(windows) >= 1000 - 2 * 16
    assert epochs[0].tolist() != epochs[1].tolist()
    alone = blocks.Windows(text, 16, seed=7).rows(numpy.array([70]))[0][0]
    assert alone.tolist() == rows[70][0].tolist()  # a row is known from its number


def test_the_same_windows_are_judged_each_time_spread_over_all_text() -> None:
    windows = blocks.Windows(numpy.arange(1000, dtype="u2"), 16, None)
    chosen = windows.fixed(5)
    assert chosen.tolist() == windows.fixed(5).tolist() and (chosen[0], chosen[-1]) == (0, len(windows) - 1)
    assert windows.fixed(10**6).tolist() == list(range(len(windows)))
    assert [ids[0] for ids, _ in windows.rows(chosen)] == (16 * chosen).tolist()


def test_two_processes_share_the_rows_of_one() -> None:
    documents = blocks.Windows(numpy.arange(1000, dtype="u2"), 16, seed=7).rows(numpy.arange(8))
    shares = [blocks.step(documents, 2, 16, rank, 2) for rank in (0, 1)]
    together = torch.cat([block.inputs for share in shares for block in share.blocks])
    assert sorted(together[:, 0].tolist()) == sorted(int(ids[0]) for ids, _ in documents)
    assert {(share.tokens, share.predicted) for share in shares} == {(128, 128)}


def test_the_rate_rises_to_its_peak_and_falls_to_a_tenth_of_it(recipe: Pretrain) -> None:
    long = dataclasses.replace(recipe, warmup_steps=1000, learning_rate=1e-3)
    rates = [loop.rate(long, step, 20_000) for step in range(20_000)]
    assert rates[0] == pytest.approx(1e-6) and rates[999] == pytest.approx(1e-3) == max(rates)
    assert rates[10_499] == pytest.approx(0.55e-3, rel=1e-3) and rates[-1] == pytest.approx(1e-4)
    assert rates[1000:] == sorted(rates[1000:], reverse=True)
    assert loop.warmup(dataclasses.replace(recipe, warmup_steps=0.05), 200) == 10


def test_only_matrices_decay(recipe: Pretrain) -> None:
    model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=32, n_head=2, vocab_size=100))
    decayed, left = loop.optimiser(model, recipe).param_groups
    assert decayed["weight_decay"] == 0.1 and left["weight_decay"] == 0
    assert decayed["betas"] == (0.9, 0.95)
    assert {parameter.dim() for parameter in decayed["params"]} == {2}
    assert {parameter.dim() for parameter in left["params"]} == {1}


def test_a_finished_run_is_left_alone_and_another_recipe_is_refused(
    recipe: Pretrain, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrain.train(recipe, finished)
    assert "is finished already" in capsys.readouterr().out
    with pytest.raises(MedslmError, match=r"holds a run of another recipe \(learning_rate 0\.01 -> 0\.02\)"):
        pretrain.train(dataclasses.replace(recipe, learning_rate=0.02), finished)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vocab_size": 300}, "vocab_size=300, and the tokenizer of toy/tiny-chat has 602 tokens"),
        ({"start": "nothing"}, "nothing/run.json is not there; `accelerate launch recipes/nothing.py` writes it"),
        ({"start": "toy-pretrain", "n_layer": 3}, "start=toy-pretrain has n_layer 1, and the recipe says n_layer 3"),
        ({"prompts": ("old " * 20,)}, "tokens of max_length=16: there is no room to write; shorten it"),
        ({"max_length": 4000}, "too few for windows of max_length=4000"),
    ],
)
def test_what_does_not_fit_is_a_sentence(changes: dict[str, Any], said: str, recipe: Pretrain, finished: Path) -> None:
    with pytest.raises(MedslmError, match=said):
        pretrain.train(dataclasses.replace(recipe, name="bad-run", **changes), finished.parent / "bad-run")


def test_a_loss_that_is_no_number_ends_the_run(recipe: Pretrain, tmp_path: Path) -> None:
    with pytest.raises(MedslmError, match="loss is not a number at step"):
        pretrain.train(dataclasses.replace(recipe, learning_rate=1e30, max_grad_norm=1e30), tmp_path / recipe.name)


def test_a_step_whose_gradient_float16_could_not_hold_is_recorded_without_its_norm(
    recipe: Pretrain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `GradScaler` begins, gradients overflow as a rule: it skips the step, and tries the next with smaller ones."""
    honest = torch.amp.GradScaler
    monkeypatch.setattr(torch.amp, "GradScaler", lambda *given, **named: honest(*given, init_scale=2.0**40, **named))
    half = dataclasses.replace(recipe, dtype="float16", max_steps=4)
    pretrain.train(half, tmp_path / recipe.name)
    first = next(point for point in told(tmp_path / recipe.name)["curve"] if "loss" in point)
    assert "grad_norm" not in first


@pytest.mark.parametrize(
    "error",
    [
        SafetensorError("Error while serializing: I/O error: File too large (os error 27)"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 3220608 vs 3220560"),
    ],
    ids=["safetensors", "torch"],
)
def test_a_disk_that_is_full_in_the_middle_is_a_sentence_and_the_run_goes_on_when_there_is_room(
    error: Exception, recipe: Pretrain, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, honest, saved = tmp_path / recipe.name, torch.save, []

    def full(*given: Any) -> None:
        saved.append(given)
        if len(saved) == 2:
            raise error
        honest(*given)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(MedslmError, match=r"cannot write .*checkpoint-8: .*free space, then start again"):
            pretrain.train(recipe, folder)
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["checkpoint-4"]
    pretrain.train(recipe, folder)
    assert told(folder)["weights_sha256"] == told(finished)["weights_sha256"]


def test_a_place_where_no_folder_can_be_made_is_a_sentence(recipe: Pretrain, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(MedslmError, match=r"cannot make .*choose another place with --runs"):
        pretrain.train(recipe, tmp_path / "file" / "runs" / recipe.name)


@pytest.fixture
def unfinished(recipe: Pretrain, finished: Path, tmp_path: Path) -> Path:
    """The whole run, as if it had ended with its last checkpoint."""
    folder = tmp_path / recipe.name
    shutil.copytree(finished, folder)
    (folder / "run.json").write_text(json.dumps(told(finished) | {"status": "running"}), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"best_step": 8}, "checkpoint-8, whose weights have the lowest validation loss of this run, is not there"),
        (None, r"state\.json is not the state of a run; put it back, or remove .*checkpoint-12"),
    ],
)
def test_a_run_whose_best_weights_or_state_are_lost_is_not_gone_on_with(
    state: dict[str, Any] | None, said: str, recipe: Pretrain, unfinished: Path
) -> None:
    shutil.rmtree(unfinished / "checkpoints" / "checkpoint-8", ignore_errors=True)
    path = unfinished / "checkpoints" / "checkpoint-12" / "state.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({} if state is None else kept | state), encoding="utf-8")
    with pytest.raises(MedslmError, match=said):
        pretrain.train(recipe, unfinished)
    assert told(unfinished)["status"] == "running"


@pytest.mark.parametrize("name", ["model.safetensors", "moments.pt", "state.json"])
def test_a_checkpoint_that_lacks_a_file_is_not_gone_on_from(name: str, unfinished: Path) -> None:
    (unfinished / "checkpoints" / "checkpoint-12" / name).unlink()
    assert checkpoint.last(unfinished / "checkpoints") != unfinished / "checkpoints" / "checkpoint-12"


def test_a_bin_that_was_changed_ends_the_next_start(recipe: Pretrain, tmp_path: Path) -> None:
    planned = pretrain.plan(recipe, tmp_path / recipe.name)
    pretrain.sources(planned)
    path = tmp_path / recipe.name / "tokens" / "train.bin"
    content = bytearray(path.read_bytes())
    content[tokens.ROOM] ^= 1
    path.write_bytes(content)
    with pytest.raises(MedslmError, match="has changed since it was made"):
        pretrain.train(recipe, tmp_path / recipe.name)


def test_both_recipes_are_launched_as_they_stand_in_the_readme(data: Path, tmp_path: Path) -> None:
    small = [
        word
        for name, value in {**toy_text.SHAPE, **toy_text.QUICK}.items()
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    small += ["--max-steps", "2", "--max-new-tokens", "3", "--runs", str(tmp_path)]
    for name, corpus in (("gpt2-tinystories-pretrain", "stories"), ("gpt2-medical-o1-sft", "questions")):
        mixture = ("--mixture", f"local:{data / corpus}.jsonl=1")
        done = launch(*small, *mixture, recipe=f"recipes/{name.replace('-', '_')}.py")
        assert done.returncode == 0, done.stderr
        assert "2 steps of 8 rows, torch.float32" in done.stdout
        run = record(tmp_path, name)
        assert run["train"]["steps"] == 2 and run["status"] == "finished"
    assert "positions: 128 -> 512; the first 128 rows are as they were" in done.stdout
