"""The training benchmark runs on a CPU, counts what it says it counts, and shows what fails."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy
import pytest
import torch

import toy

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def on_the_path() -> Iterator[None]:
    """`benchmarks/` is no package of ours: its scripts import each other from their own folder."""
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def training() -> ModuleType:
    import importlib

    return importlib.import_module("training")


def test_medslm_is_measured_and_a_rival_that_cannot_run_is_shown_as_failed(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "training.py"), "--shape", "toy", "--warmup", "1", "--steps", "1"]
    command += ["--variants", "medslm:tokens=512,documents=4", "fast=medslm:gpu=1", "--number", "8", "--longest", "128"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert refused.returncode == 1
    assert "medslm has no 'gpu'" in refused.stderr

    command[command.index("fast=medslm:gpu=1")] = "fast=medslm:tokens=64,documents=4"  # no room for the longest
    command += ["--json", str(tmp_path / "out.json"), "--plot", str(tmp_path / "out.png"), "--mode", "completion"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "failed after" in ran.stdout
    told = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    measured, failed = told["results"]
    assert measured["status"] == "measured"
    assert (measured["steps"], measured["label"]) == (1, "medslm:tokens=512,documents=4")
    assert measured["loss"] == pytest.approx(numpy.log(512), rel=0.01)  # random weights know nothing
    assert failed["status"] == "failed"
    assert "no room for the longest example" in failed["error"]
    assert told["machine"]["device"] == "cpu"
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")

    again = [sys.executable, str(BENCHMARKS / "training.py"), "--add", str(tmp_path / "out.json")]
    again += ["--plot", str(tmp_path / "again.png")]
    drawn = subprocess.run(again, capture_output=True, text=True, check=False, timeout=60)
    assert "failed after" in drawn.stdout
    assert (tmp_path / "again.png").is_file()


def test_measurements_of_two_machines_are_not_put_side_by_side(training: ModuleType, tmp_path: Path) -> None:
    for name in ("one", "two"):
        told = {"machine": {"device": name}, "versions": {}, "ceiling": None, "results": []}
        (tmp_path / name).write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(SystemExit, match="not comparable"):
        training.earlier([tmp_path / "one", tmp_path / "two"])


def test_a_variant_is_read_as_written(training: ModuleType) -> None:
    mine = training.parse("mine=medslm:quantization=nf4,tokens=16384,cap=6.5")
    assert (mine.label, mine.runner, mine.quantization, mine.tokens, mine.cap) == ("mine", "medslm", "nf4", 16384, 6.5)
    assert training.parse("unsloth-4gib").cap == 4
    assert training.parse("trl-liger").liger is True


@pytest.mark.parametrize("written", ["axolotl", "medslm:tokenz=1", "medslm:quantization=int4"])
def test_an_unknown_trainer_field_or_precision_is_refused(training: ModuleType, written: str) -> None:
    with pytest.raises(SystemExit):
        training.parse(written)


def test_rivals_that_patch_transformers_never_share_a_process_with_others(training: ModuleType) -> None:
    written = ["medslm-nf4", "trl", "unsloth-bf16", "medslm-bf16", "trl-liger", "unsloth-4gib", "trl-packed"]
    groups = training.grouped([{"shape": "toy", "variant": training.parse(one)} for one in written])
    assert [[run["variant"].label for run in group] for group in groups] == [
        ["medslm-nf4", "medslm-bf16"],
        ["trl", "trl-packed"],
        ["unsloth-bf16"],
        ["trl-liger"],
        ["unsloth-4gib"],
    ]


@pytest.mark.parametrize("shape", ["llama-3.2-3b", "llama-3.2-1b", "tinyllama-1.1b", "qwen3-0.6b"])
def test_a_shape_has_the_weights_of_the_base_that_it_is_called_after(training: ModuleType, shape: str) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    published = {"llama-3.2-3b": 3_212_749_824, "llama-3.2-1b": 1_235_814_400, "tinyllama-1.1b": 1_100_048_384}
    published["qwen3-0.6b"] = 596_049_920
    made = training.SHAPES[shape]
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(made.model_type, **made.fields()))
    assert model.num_parameters() == published[shape]
    linear = sum(part.weight.numel() for name, part in model.named_modules() if name.endswith("_proj"))
    assert (linear, model.get_output_embeddings().weight.numel()) == (made.linear_weights, made.head_weights)


def test_flop_are_two_products_for_every_weight_and_causal_attention_for_every_pair(training: ModuleType) -> None:
    shape = training.SHAPES["toy"]
    one = shape.flop(numpy.array([10]), 10)
    assert one == 4 * 10 * (shape.linear_weights + shape.head_weights) + 8 * shape.hidden_size * 2 * 55
    assert shape.flop(numpy.array([10]), 5) == one - 4 * 5 * shape.head_weights
    assert shape.flop(numpy.array([5, 5]), 10) < one  # packed documents do not see each other


def test_random_documents_have_the_lengths_of_the_published_measurements() -> None:
    from rivals import documents

    made = documents.read("random", "all", 32000, 4000, 2048)
    assert numpy.median(made.lengths) == pytest.approx(420, rel=0.05)
    assert (made.lengths.min(), made.lengths.max()) == (32, 2048)
    assert made.share == pytest.approx(1 - len(made.lengths) / made.lengths.sum())  # no token predicts a first one
    half = documents.read("random", "completion", 32000, 4000, 2048)
    assert half.share == pytest.approx(0.5, abs=0.01)


def test_documents_of_a_file_are_never_cut_and_must_fit_the_vocabulary(tmp_path: Path) -> None:
    from rivals import documents

    path = tmp_path / "documents.npz"
    tokens, mask = numpy.arange(12, dtype="u2"), numpy.array([0, 1] * 6, bool)
    numpy.savez(path, tokens=tokens, lengths=numpy.array([3, 7, 2]), completion=mask)
    made = documents.read(str(path), "completion", 100, 10, longest=3)
    assert [document.tolist() for document in made.tokens] == [[0, 1, 2], [10, 11]]
    assert made.labelled()[0] == {"input_ids": [0, 1, 2], "labels": [-100, 1, -100], "length": 3}
    assert made.masked()[1] == {"input_ids": [10, 11], "completion_mask": [0, 1]}
    with pytest.raises(SystemExit, match="holds token 11"):
        documents.read(str(path), "all", 11, 10, longest=7)


@pytest.mark.parametrize(
    ("inputs", "tokens"),
    [
        (SimpleNamespace(passes=(), tokens=7), 7),
        ({"input_ids": torch.zeros(2, 4), "attention_mask": torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])}, 5),
        ({"input_ids": torch.zeros(1, 8), "packed_seq_lengths": torch.tensor([3, 4])}, 7),
        ({"input_ids": torch.zeros(1, 8), "position_ids": torch.zeros(1, 8)}, 8),
    ],
)
def test_padding_is_no_token(inputs: Any, tokens: int) -> None:
    from rivals import measure

    assert int(measure.real_tokens(inputs)) == tokens


def test_warm_up_is_not_timed_and_the_clock_ends_the_run() -> None:
    from rivals.measure import Meter

    meter = Meter(warmup=1, seconds=0.0, steps=5)
    for step in range(3):
        meter.tokens += [10 * step, 10]
        meter.losses += [torch.tensor(1.0), torch.tensor(0.5)]
        assert meter.tick() is (step == 2)  # two timed steps at least
    result = meter.result()
    assert (result["tokens"], result["steps"], result["passes"], result["loss"]) == (50, 2, 4, 1.5)


def test_what_does_not_fit_is_halved_until_it_does() -> None:
    from rivals import runners
    from rivals.measure import Meter

    tried: list[int] = []

    class Trainer:
        training_step = None

        def add_callback(self, callback: Any) -> None:
            pass

        def train(self) -> None:
            if tried[-1] > 4:
                raise torch.OutOfMemoryError("CUDA out of memory")

    def build(batch: int, scratch: str) -> Any:
        tried.append(batch)
        return Trainer()

    assert runners._largest(16, build, Meter(1, 1.0, 1)) == 4
    assert tried == [16, 8, 4]


def test_a_process_that_takes_too_long_or_dies_costs_one_variant(training: ModuleType, tmp_path: Path) -> None:
    with training.Process([sys.executable, "-c", "print('loading', flush=True); input()"], {}, None) as process:
        assert process.line(20) == "loading\n"
    with training.Process([sys.executable, "-c", "import time; time.sleep(60)"], {}, None) as process:
        assert process.line(0.2) is None
        assert "took more than 5 s; last line: loading" in process.why_over(5, "loading")
    with training.Process([sys.executable, "-c", "raise SystemExit(9)"], {}, None) as process:
        assert process.line(20) is None
        assert "ended with code 9" in process.why_over(5, "")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("medslm:tokens=abc", "tokens=abc is no number"),
        ("medslm:batch=4", "medslm has no 'batch'"),
        ("unsloth:liger=1", "unsloth has no 'liger'"),
        ("trl:packing=2", "0 or 1"),
        ("trl:batch=0", "1 or more"),
        ("medslm:cap=-1", "0 or more"),
        ("trl:quantization=fp8", "none or nf4"),
    ],
)
def test_what_a_trainer_would_not_heed_is_refused(training: ModuleType, written: str, said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        training.parse(written)


def test_every_preset_says_only_what_its_trainer_heeds(training: ModuleType) -> None:
    from rivals.variant import PRESETS

    for name in PRESETS:
        assert training.parse(name).label == name


def test_documents_that_are_left_out_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from rivals import documents

    path = tmp_path / "documents.npz"
    ends = {"lengths": numpy.array([3, 7, 2]), "completion": numpy.ones(12, bool)}
    numpy.savez(path, tokens=numpy.arange(12), **ends)
    documents.read(str(path), "all", 100, 10, longest=3)
    assert "2 documents of documents.npz; 1 left out, longer than 3 tokens" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="holds no document of 1 tokens or less"):
        documents.read(str(path), "all", 100, 10, longest=1)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (["training.py"], "name a --shape and --variants"),
        (["training.py", "--shape", "toy"], "name a --shape and --variants"),
        (["training.py", "--shape", "toy", "--variants", "trl", "--documents", "nowhere.npz"], "there is no such file"),
        (["training.py", "--shape", "toy", "--variants", "trl", "--steps", "0"], "it is 1 or more"),
        (["fidelity.py", "--ways", "fast"], "add that to --ways"),
        (["fidelity.py", "--ways", "plain", "--steps", "5"], "means of 20 steps"),
        (["fidelity.py", "--ways", "plain", "fast-fp8"], "quantization=fp8 needs a GPU"),
        (["growth.py", "--sizes", "3"], "64 or more"),
        (["cpu_step.py", "--rounds", "1"], "nothing would be timed"),
    ],
)
def test_what_cannot_be_measured_is_a_sentence_before_anything_is_computed(
    written: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import runpy

    monkeypatch.setattr(sys, "argv", written)
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(BENCHMARKS / written[0]), run_name="__main__")
    assert stopped.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_growth_is_measured_in_processes_of_their_own() -> None:
    small = ("--sizes", "640", "1280", "--rounds", "1", "--steps", "60")
    command = [sys.executable, str(BENCHMARKS / "growth.py"), *small]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    assert [line.split(" examples")[0].strip() for line in done.stdout.splitlines()[:2]] == ["640", "1,280"]
    assert "between the fastest and the slowest" in done.stdout


def test_rows_of_ones_own_become_documents_that_the_rivals_read(tmp_path: Path) -> None:
    from rivals import documents

    folder, text, out = tmp_path / "base", tmp_path / "asked.jsonl", tmp_path / "asked.npz"
    toy.save(folder)
    asked = [{"question": f"What helps against pain number {n}?", "answer": f"Rest, for {n} days."} for n in range(30)]
    text.write_text("".join(json.dumps(row) + "\n" for row in asked), encoding="utf-8")
    command = [sys.executable, str(BENCHMARKS / "documents.py"), f"local:{text}", "--tokenizer", str(folder), "--out"]
    made = subprocess.run([*command, str(out)], capture_output=True, text=True, check=True, timeout=120)
    assert f"documents in {out}" in made.stdout
    found = documents.read(str(out), "completion", 1000, 100, 512)
    assert len(found.tokens) > 20
    spoken = toy.tokenizer().decode(found.tokens[0][found.learnt[0] == 1])
    assert spoken.startswith("Rest, for ") and "What helps" not in spoken
    for wrong, said in (([str(tmp_path / "x.txt")], "ends in .npz"), ([str(out), "--columns", "note"], "name=value")):
        refused = subprocess.run([*command, *wrong], capture_output=True, text=True, check=False, timeout=120)
        assert refused.returncode == 2 and said in refused.stderr and "Traceback" not in refused.stderr
