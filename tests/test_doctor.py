"""The doctor says what fits, what is missing and what will not run, asks nothing unasked, and shows nobody's data."""

from __future__ import annotations

import io
import json
import math
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest

import toy
import toy_world
from medslm import doctor_cli
from medslm.doctor import (
    Finding,
    Report,
    examination,
    examine,
    fits,
    launching,
    lesson,
    limits,
    machine,
    network,
    packages,
)
from medslm.errors import MedslmError
from medslm.models import shapes
from medslm.models.base import bases, resolve
from medslm.models.lora import loras
from medslm.train import memory
from medslm.train.memory import card
from medslm.train.memory.need import Job

SMI = """Sat Nov 21 10:00:00 2026
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 580.95.05              Driver Version: 580.95.05      CUDA Version: 13.0     |
+-----------------------------------------+------------------------+----------------------+
"""

PUBLISHED = {
    "smollm2-135m-instruct": 134_515_008,
    "smollm2-1.7b-instruct": 1_711_376_384,
    "smollm3-3b": 3_075_098_624,
    "tinyllama-1.1b-chat": 1_100_048_384,
    "llama-3.2-1b-instruct": 1_235_814_400,
    "llama-3.2-3b-instruct": 3_212_749_824,
    "qwen2.5-0.5b-instruct": 494_032_768,
    "qwen3-4b": 4_022_468_096,
    "gemma-3-1b-it": 999_885_952,
    "phi-4-mini-instruct": 3_836_021_760,
    "gpt2": 124_439_808,
    "gpt-oss-20b": 20_914_757_184,
}
"""Parameters that the Hub shows for the safetensors of each repository."""

LORA = loras["all-linear-r16"]
HERE = machine.Machine(
    *("Linux x86_64, Python 3.11.7", 2, "AVX512", True, True, 8 * machine.GIB, 6 * machine.GIB),
    *("13.0", None, 0, None),
)


def shape_of(name: str) -> memory.Shape:
    config = shapes.config(resolve(name))
    assert config is not None
    return memory.Shape.of(config)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, toy_base: Any) -> None:
    """The toy base and small corpora; the exam of the toy's suite is one that is at hand."""
    toy_world.settle(monkeypatch)
    monkeypatch.setattr(lesson, "benchmarks", lambda suite: (["exam"], []))
    monkeypatch.setattr(fits, "table", lambda *_: ([], []))


def recipe(folder: Path, **changes: Any) -> Path:
    """A recipe file on the toy base."""
    fields = {"name": "toy-run", "base": toy.HUB_ID, "lora": "all-linear-r16", "mixture": {"codes": 1.0}}
    fields |= {"suite": "icd10cm", "format": "toon", "dtype": "float32", "max_length": 200, "validation_fraction": 0.2}
    told = ", ".join(f"{name}={value!r}" for name, value in (fields | changes).items())
    path = folder / "toy_run.py"
    path.write_text(f"from medslm import recipe\nRECIPE = recipe.Sft({told})\n", encoding="utf-8")
    return path


def pretraining(folder: Path, **changes: Any) -> Path:
    """A recipe of a small GPT-2 on the toy's tokenizer, which reads documents that are longer than a window."""
    stories = folder / "stories.jsonl"
    lines = (json.dumps({"text": f"{number} {'the chapter of codes ' * 40}"}) for number in range(40))
    stories.write_text("\n".join(lines), encoding="utf-8")
    fields = {"name": "toy-reader", "base": toy.HUB_ID, "mixture": {f"local:{stories}": 1.0}, "max_length": 16}
    fields |= {"n_layer": 1, "n_embd": 16, "n_head": 2, "vocab_size": 1000, "validation_fraction": 0.2}
    fields |= {"duplicates": "report", "max_steps": 100, "warmup_steps": 10, "global_batch_size": 32}
    told = ", ".join(f"{name}={value!r}" for name, value in (fields | changes).items())
    path = folder / "toy_reader.py"
    path.write_text(f"from medslm import recipe\nRECIPE = recipe.Pretrain({told})\n", encoding="utf-8")
    return path


def told(report: Report, what: str) -> list[Finding]:
    return [finding for section in report.sections.values() for finding in section if finding.what == what]


def test_every_base_has_its_sizes_without_a_network() -> None:
    assert [name for name, base in bases.items() if shapes.config(base) is None] == []


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_sizes_give_the_published_number_of_parameters(name: str) -> None:
    shape = shape_of(name)
    assert shape.linear_parameters + shape.embedding_parameters + shape.other_parameters == PUBLISHED[name]


def test_a_configuration_in_the_cache_goes_before_the_table(toy_base: Any) -> None:
    config = shapes.config(toy_base)
    assert config is not None and config.hidden_size == 64


@pytest.mark.parametrize("name", ["tinyllama-1.1b-chat", "qwen3-4b", "gemma-3-1b-it", "gpt2"])
@pytest.mark.parametrize("quantization", fits.QUANTIZATIONS)
def test_what_is_said_to_be_needed_suffices_and_a_hundredth_less_does_not(name: str, quantization: str) -> None:
    shape, lengths = shape_of(name), numpy.full(16, 1024)
    needs = fits.least(Job(shape, LORA, quantization, 2), 1024)
    memory.plan(shape, LORA, lengths, 16, quantization, needs + 1)
    with pytest.raises(MedslmError, match="takes at least"):
        memory.plan(shape, LORA, lengths, 16, quantization, int(0.99 * needs))


def test_the_table_has_a_cell_for_each_card_and_says_what_does_not_fit() -> None:
    found, unknown = fits.table(["qwen3-4b"], LORA, 1024)
    assert [(fit.quantization, fit.gpu) for fit in found[:7]] == [("nf4", gpu) for gpu in card.PRESETS]
    four, eight = found[:2]
    assert four.tokens_per_pass is None and four.needs > card.preset("4gb")
    assert four.told == f"needs {math.ceil(10 * four.needs / machine.GIB) / 10:.1f}"
    assert eight.predicted is not None and eight.predicted <= card.preset("8gb") and " in " in eight.told
    head, *rows = fits.lines(found)
    assert head.split()[:2] == ["base", "weights"] and [row.split()[1] for row in rows] == ["nf4", "fp8", "bf16"]
    assert unknown == []


def test_a_base_whose_sizes_are_unknown_is_named_and_not_guessed() -> None:
    assert fits.table(["nobody/knows-it"], LORA, 1024) == ([], ["nobody/knows-it"])


def test_a_driver_without_a_gpu_in_torch_is_explained() -> None:
    driver = machine.read_driver(SMI)
    assert driver == machine.Driver("580.95.05", "13.0")
    assert machine.read_driver("No devices were found") is None
    of = {
        "CPU build": replace(HERE, driver=driver, torch_cuda=None),
        "runs up to 12.4": replace(HERE, driver=machine.Driver("550.54", "12.4")),
    }
    for why, one in of.items():
        (finding,) = [finding for finding in machine.findings(one) if finding.what == "GPU"]
        assert finding.level == "warning" and (why in finding.told or "CUDA_VISIBLE_DEVICES" in finding.told)


def test_a_gpu_is_told_with_its_driver_and_torchs_build() -> None:
    gpu = machine.Gpu("NVIDIA H100", 80 * machine.GIB, 79 * machine.GIB, (9, 0))
    one = replace(HERE, gpu=gpu, gpus=2, driver=machine.Driver("580.95", "13.0"))
    text = " ".join(finding.told for finding in machine.findings(one))
    assert "NVIDIA H100, the first of 2: 80.0 GiB" in text and "capability 9.0" in text and "driver 580.95" in text


def test_a_folder_that_cannot_be_written_will_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "access", lambda *_: False)  # root may write everywhere
    (finding,) = machine.disks({"runs": tmp_path / "not" / "there"})
    assert finding.level == "failure" and finding.what == "runs"


def package(version: str | None, asked: str, fitting: bool, tested: str | None = None) -> packages.Package:
    return packages.Package("trl", version, asked, fitting, tested)


def test_versions_are_held_to_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "pytest>=9999",
        "numpy>=1",
        "no-such-package>=1",
        'hypothesis>=1; extra == "deep"',
        'numpy>=1; extra == "deep"',
    ]
    monkeypatch.setattr(packages.importlib.metadata, "requires", lambda name: lines)
    found = {one.name: one for one in packages.required()}
    assert (found["pytest"].fits, found["numpy"].fits, found["no-such-package"].installed) == (False, True, None)
    levels = {finding.what: finding.level for finding in packages.findings()}
    assert levels["pytest"] == levels["no-such-package"] == "failure" and levels["numpy"] == "fine"
    assert [one.name for one in packages.required("deep")] == ["hypothesis", "numpy"]


def test_a_missing_extra_comes_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.importlib.metadata, "requires", lambda name: ['no-such>=2; extra == "quant"'])
    monkeypatch.setattr(packages, "extras", lambda: ["quant"])
    *_, finding = packages.findings()
    assert (
        finding.told.startswith("lacks no-such>=2") and "[quant]" in finding.advice and "pip install" in finding.advice
    )
    monkeypatch.setattr(packages, "ROOT", Path("/nowhere"))
    assert packages.install("quant") == 'pip install "medslm[quant]"'


def test_without_online_no_socket_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def thief(*_: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", thief)
    monkeypatch.setattr(network.asking, "head", thief)
    assert any("not asked" in finding.told for finding in network.findings(False))


def test_online_a_silent_hub_is_a_warning_and_no_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: Any) -> str:
        raise MedslmError("it did not answer")

    monkeypatch.setattr(network.asking, "head", silent)
    hub = next(iter(network.findings(True, ["org/base"])))
    assert hub.level == "warning" and "it did not answer" in hub.told


def test_the_key_of_wandb_is_never_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "s3cr3t" * 6)
    monkeypatch.delenv("WANDB_MODE")
    lines = " ".join(finding.told for finding in network.findings(False))
    assert "online (a key is there)" in lines and "s3cr3t" not in lines


@pytest.mark.parametrize(
    ("level", "strict", "status"),
    [("fine", True, 0), ("warning", False, 0), ("warning", True, 1), ("failure", False, 2), ("failure", True, 2)],
)
def test_the_exit_status_follows_the_worst_finding(level: Any, strict: bool, status: int) -> None:
    report = Report({"A": [Finding("one", "told"), Finding("two", "told", level)]})
    assert report.status(strict) == report.as_json(strict)["status"] == status


@pytest.mark.usefixtures("world")
def test_a_recipe_is_told_with_its_rows_its_loss_and_its_memory(tmp_path: Path) -> None:
    report = examine(recipe(tmp_path), show_examples=True, runs=tmp_path / "runs")
    assert report.of("failure") == []
    assert "is learnt in" in told(report, "end of turn")[0].told and told(report, "end of turn")[0].level == "fine"
    assert 0 < report.facts["recipe"]["loss_share"] < 1
    assert told(report, "memory")[-1].told == "2,048 tokens a pass"
    assert "gpu=4gb is enough" in told(report, "GPU memory")[0].told
    assert "checkpoints and adapter" in told(report, "disk of the run")[0].told
    assert "gone" in report.facts["recipe"]["missing_benchmarks"]
    shown = "\n".join(next(iter(report.pages.values())))
    assert "⟦" in shown and shown.rstrip().endswith("<|im_end|>⟧") and "Code the rash." in shown.split("⟦")[0]
    json.dumps(report.as_json())


@pytest.mark.usefixtures("world")
def test_all_weights_are_planned_as_all_weights(tmp_path: Path) -> None:
    report = examine(recipe(tmp_path, trainer="full", lora="none"), runs=tmp_path / "runs")
    adapter = examine(recipe(tmp_path), runs=tmp_path / "runs")
    assert report.of("failure") == [] and report.facts["recipe"]["fits"][0]["tokens_per_pass"]
    assert report.facts["recipe"]["fits"][0]["predicted"] != adapter.facts["recipe"]["fits"][0]["predicted"]


@pytest.mark.usefixtures("world")
def test_no_example_of_data_that_is_not_public_is_shown_unasked(tmp_path: Path) -> None:
    report = examine(recipe(tmp_path, mixture={"patients": 1.0}), runs=tmp_path)
    assert report.pages == {} and "not shown" in told(report, "example")[0].told
    assert "Whitfield" not in report.text() and "4482913" not in json.dumps(report.as_json())
    assert told(report, "identifiers")[0].level == "warning"


@pytest.mark.usefixtures("world")
def test_what_is_too_long_is_counted_with_a_length_that_would_do(tmp_path: Path) -> None:
    report = examine(recipe(tmp_path, mixture={"lost": 1.0}, max_length=100), runs=tmp_path)
    (found,) = told(report, "length")
    assert "longer than max_length=100" in found.told


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base": "lama"}, "no base model is called 'lama'"),
        ({"mixture": {"rashes": 1.0}}, "no corpus is called 'rashes'"),
        ({"quantization": "fp8"}, "needs a GPU"),
        ({"gpu": "8gb"}, "needs a CUDA GPU"),
        ({"max_length": 5}, "nothing is left"),
        ({"tokens_per_pass": 8}, "no room for the longest example"),
    ],
)
def test_what_will_not_run_is_a_failure_and_the_rest_is_still_told(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    report = examine(recipe(tmp_path, **changes), runs=tmp_path)
    assert report.status() == 2 and any(said in finding.told for finding in report.of("failure"))
    assert "Machine" in report.text() and "X " in report.text()


@pytest.mark.usefixtures("world")
def test_a_base_that_is_not_here_is_not_fetched_and_its_rows_are_left_alone(tmp_path: Path) -> None:
    report = examine(recipe(tmp_path, base="qwen3-0.6b"), runs=tmp_path)
    assert [finding.level for finding in told(report, "base")] == ["warning"] and report.status() == 0
    assert "GiB for the weights of qwen3-0.6b" in told(report, "disk of the base")[0].told
    assert told(report, "rows")[0].told.startswith("not looked at")


def test_a_file_that_is_no_recipe_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("RECIPE = 1", encoding="utf-8")
    found = examination._read(tmp_path / "x.py")
    assert isinstance(found, Finding) and "defines no RECIPE" in found.told


def test_a_benchmark_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    readable, findings = lesson.benchmarks("medical-mcq")
    assert readable == [] and {finding.level for finding in findings} == {"failure"}
    assert any("medqa cannot be read" in finding.told for finding in findings)


@pytest.mark.usefixtures("world")
def test_a_pretraining_on_documents_longer_than_its_windows_runs(tmp_path: Path) -> None:
    report = examine(pretraining(tmp_path), runs=tmp_path / "runs")
    assert report.of("failure") == []
    facts = report.facts["recipe"]
    assert facts["windows"]["train"] == facts["tokens"]["train"] // 16 > 32
    assert "100 of 32 windows" in told(report, "steps")[0].told
    assert "train.bin" in told(report, "disk of the tokens")[0].told and told(report, "disk of the run")
    assert report.pages == {}  # the stories are the user's own
    shown = examine(pretraining(tmp_path), runs=tmp_path / "runs", show_examples=True).pages
    assert "the chapter of codes" in "\n".join(next(iter(shown.values())))


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"start": "earlier"}, r"earlier/run.json is not there"),
        ({"vocab_size": 10}, "set vocab_size to at least that"),
        ({"max_length": 100_000}, "0 windows of 100000"),
    ],
)
def test_a_pretraining_that_will_not_run_is_a_failure(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    report = examine(pretraining(tmp_path, **changes), runs=tmp_path / "runs")
    assert report.status() == 2 and any(said in finding.told for finding in report.of("failure"))


@pytest.mark.usefixtures("world")
def test_a_pretraining_asks_for_a_tokenizer_and_no_weights(tmp_path: Path) -> None:
    (found,) = told(examine(pretraining(tmp_path, base="gpt2", vocab_size=50_257), runs=tmp_path), "tokenizer")
    assert found.level == "warning" and "none of its weights" in found.told and "--include 'tokenizer*'" in found.advice


@pytest.mark.usefixtures("world")
def test_a_warm_up_that_outlasts_the_run_is_a_warning(tmp_path: Path) -> None:
    report = examine(pretraining(tmp_path, warmup_steps=1000), runs=tmp_path)
    assert told(report, "warm-up")[0].level == "warning"


@pytest.mark.parametrize(("options", "said"), [({"max_length": 0}, "at least 1"), ({"lora": "none"}, "adapters")])
def test_a_table_that_means_nothing_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(MedslmError, match=said):
        examine(None, names=[], **options)


def test_a_file_where_the_runs_should_be_will_not_run(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file", encoding="utf-8")
    for folder in (tmp_path / "runs", tmp_path / "runs" / "deeper"):
        (finding,) = machine.disks({"runs": folder})
        assert finding.level == "failure" and f"{tmp_path / 'runs'} is a file" in finding.told


def test_a_disk_without_room_for_checkpoints_will_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 2**20})())
    assert launching.room("disk of the run", tmp_path, 2**30, "checkpoints").level == "failure"


def test_a_lock_that_cannot_be_read_is_a_failure_and_the_rest_is_still_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDSLM_LOCK", str(tmp_path / "hub.lock.toml"))
    (tmp_path / "hub.lock.toml").write_text("<<<<<<< ours\n", encoding="utf-8")
    report = examine(names=["qwen3-4b"], runs=tmp_path)
    assert report.status() == 2 and "line 1: <<<<<<< ours" in told(report, "lock")[0].told
    assert "qwen3-4b (" in told(report, "sizes")[0].told and report.sections["Machine"]


def test_a_configuration_in_the_cache_that_is_cut_off_leaves_the_other_bases_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = tmp_path / "config.json"
    half.write_text('{"model_type": "qw', encoding="utf-8")
    cached = shapes.cached
    monkeypatch.setattr(shapes, "cached", lambda base: str(half) if "Qwen" in base.hub_id else cached(base))
    found, unknown = fits.table(["qwen3-4b", "smollm3-3b"], LORA, 1024)
    assert {fit.base for fit in found} == {"smollm3-3b"} and unknown[0].startswith("qwen3-4b (")


def test_a_bundle_and_a_home_that_are_no_folders_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    (tmp_path / "home").touch()
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "home" / "token"))
    assert "whether logged in is not known (Not a directory: " in next(network.findings(False)).told
    monkeypatch.setenv("MEDSLM_BUNDLE", str(tmp_path / "gone"))
    found = next(network.findings(False))
    assert found.level == "failure" and f"MEDSLM_BUNDLE names {tmp_path / 'gone'}" in found.told


def test_an_unknown_lora_of_a_recipe_is_a_failure_and_the_rest_is_still_told(tmp_path: Path, toy_base: Any) -> None:
    path = tmp_path / "odd.py"
    path.write_text(
        "from medslm import recipe\nRECIPE = recipe.Sft(name='odd', base='toy/tiny-chat', lora='r61', mixture={'icd10cm': 1.0}, suite='')\n",
        encoding="utf-8",
    )
    report = examine(path, names=["qwen3-4b"], runs=tmp_path)
    assert "no LoRA preset is called 'r61'" in told(report, "recipe")[0].told and report.status() == 2
    assert report.sections["Machine"] and told(report, "base")


@pytest.mark.parametrize("as_json", [False, True])
def test_a_terminal_without_unicode_gets_escapes(as_json: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", plain)
    found = Report({"Recipe": [Finding("example", "\u27e6Fi\u00e8vre\u27e7")]})
    monkeypatch.setattr("medslm.doctor.examine", lambda *args, **options: found)
    doctor_cli.doctor(as_json=as_json)
    plain.seek(0)
    said = plain.read()
    assert "\\u27e6Fi" in said
    if as_json:
        assert json.loads(said)["sections"]["Recipe"][0]["told"] == "\u27e6Fi\u00e8vre\u27e7"


def test_the_limits_of_a_container_and_of_a_clusters_job_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = tmp_path / "two" / "slurm" / "job_1"
    (job / "step_0").mkdir(parents=True)
    for name, text in (
        ("memory.max", "8000"),
        ("memory.current", "6000"),
        ("memory.stat", "anon 5\ninactive_file 1000"),
    ):
        (job / name).write_text(text, encoding="utf-8")
    (job / "step_0" / "memory.max").write_text("max\n", encoding="utf-8")
    own = tmp_path / "own"
    own.write_text("0::/slurm/job_1/step_0\n", encoding="utf-8")
    assert list(limits.limits(tmp_path / "two", own)) == [(8000, 3000)]  # files in the cache are given back
    old = tmp_path / "one" / "memory"
    old.mkdir(parents=True)
    (old / "memory.limit_in_bytes").write_text("500", encoding="utf-8")
    (old / "memory.usage_in_bytes").write_text("900", encoding="utf-8")
    own.write_text("4:memory:/docker/abc\n3:cpu,cpuacct:/\n", encoding="utf-8")  # as a container sees it
    assert list(limits.limits(tmp_path / "one", own)) == [(500, 0)]
    assert list(limits.limits(tmp_path / "none", tmp_path / "none")) == []
    monkeypatch.setattr(limits, "limits", lambda: [(8000, 3000)])
    assert (machine.look().memory, machine.look().memory_free) == (8000, 3000)


@pytest.mark.usefixtures("world")
def test_the_command_prints_json_and_ends_with_the_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        doctor_cli.doctor(recipe(tmp_path, gpu="8gb"), as_json=True, runs=tmp_path)
    assert ended.value.code == 2
    assert json.loads(capsys.readouterr().out)["status"] == 2
