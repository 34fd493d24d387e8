"""An export is the adapter, or it is not there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it has no stubs
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

import toy
from medslm import files
from medslm.errors import MedslmError
from medslm.export import merge, place
from medslm.export.drift import readings
from medslm.export.run import Exported, export
from medslm.export.subject import Item, Passage
from medslm.export.torch_reader import TorchReader
from medslm.models import load
from medslm.models.base import Base


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(run, "safetensors", tmp_path_factory.mktemp("out") / "merged", items=9)


def hidden(folder: Path) -> list[str]:
    """What a failed export might have left."""
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def test_the_merged_model_predicts_what_base_and_adapter_predict(exported: Exported, run: Path, toy_base: Base) -> None:
    beside = load.with_adapter(load.model(toy_base, wanted="float32"), run / "adapter")
    alone = AutoModelForCausalLM.from_pretrained(exported.folder)
    ids = torch.arange(40)[None]
    torch.testing.assert_close(alone(ids).logits, beside(ids).logits, atol=1e-4, rtol=1e-4)
    with beside.disable_adapter():
        assert (beside(ids).logits - alone(ids).logits).abs().max() > 1


def test_the_figures_are_those_of_at_least_sixteen_prompts_of_the_exam(exported: Exported) -> None:
    drift = exported.record["drift"]
    assert drift["prompts"] >= 16
    assert drift["divergence"] < 1e-6
    assert drift["top1"] == 1
    assert {task: score["agree"] for task, score in drift["scores"].items()} == {"icd10cm_coding": 1, "icd10cm_mcq": 1}


def test_every_file_is_named_with_its_checksum(exported: Exported) -> None:
    listed = json.loads((exported.folder / "export.json").read_text(encoding="utf-8"))["files"]
    there = {path.name for path in exported.folder.iterdir()} - {"export.json"}
    assert listed == {name: files.sha256(exported.folder / name) for name in there}
    assert {"model.safetensors", "tokenizer.json", "chat_template.jinja", "README.md"} <= there


def test_whoever_may_read_one_file_may_read_all(exported: Exported) -> None:
    rights = {path.name: path.stat().st_mode for path in exported.folder.iterdir()}
    assert len(set(rights.values())) == 1, rights  # safetensors writes for its owner alone


def test_tokenizer_template_and_end_of_turn_travel_with_it(exported: Exported, toy_base: Base) -> None:
    tokenizer = AutoTokenizer.from_pretrained(exported.folder)
    settings = GenerationConfig.from_pretrained(exported.folder)
    assert tokenizer.chat_template == toy.CHATML
    assert (settings.eos_token_id, settings.do_sample) == (tokenizer.convert_tokens_to_ids("<|im_end|>"), False)


def test_no_path_of_this_machine_is_in_it(exported: Exported, run: Path) -> None:
    texts = [path for path in exported.folder.iterdir() if path.suffix != ".safetensors"]
    assert not [path.name for path in texts if str(run) in path.read_text(encoding="utf-8")]


def test_a_converter_that_writes_where_it_read_is_refused(run: Path, tmp_path: Path, monkeypatch: Any) -> None:
    kept = merge.save

    def telling(subject: Any, merged: Any, folder: Path) -> None:
        kept(subject, merged, folder)
        (folder / "log.txt").write_text(f"read {run}", encoding="utf-8")

    monkeypatch.setattr(merge, "save", telling)
    with pytest.raises(MedslmError, match=r"log\.txt of the export holds .*a path of this machine"):
        export(run, "safetensors", tmp_path / "out", items=9)
    assert hidden(tmp_path) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"use_dora": True},
        {"use_rslora": True},
        {"target_modules": ["q_proj", "embed_tokens"]},
    ],
    ids=["dora", "rslora", "embeddings"],
)
def test_other_kinds_of_adapter_are_merged_as_exactly(changes: Any, make_run: Any, tmp_path: Path) -> None:
    made = export(make_run(tmp_path / "toy-run", **changes), "safetensors", tmp_path / "out", items=9)
    assert made.record["drift"]["divergence"] < 1e-6


# PEFT advises against it, and such adapters exist: https://github.com/huggingface/peft/issues/2777
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning")
@pytest.mark.parametrize("shape", ["tied", "conv1d"])
def test_tied_embeddings_and_gpt2_layers_are_merged_exactly(shape: str, tmp_path: Path) -> None:
    from export.conftest import adapt
    from models.toy_bases import build

    base = build("gpt2") if shape == "conv1d" else build("llama", tie_word_embeddings=True)
    targets = ["c_attn", "c_fc"] if shape == "conv1d" else ["q_proj", "lm_head"]
    base.save_pretrained(tmp_path / "base")
    adapt(base, tmp_path / "adapter", target_modules=targets, fan_in_fan_out=shape == "conv1d")
    fresh = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    model, ids = PeftModel.from_pretrained(fresh, str(tmp_path / "adapter")).eval(), torch.arange(20)[None]
    before = model(ids).logits
    item = Item("task", "1", "prompt", (Passage(tuple(range(20)), 10),), None)
    merged, _ = merge.merge(model, [item], list(readings(TorchReader(model), [item])))
    merged.save_pretrained(tmp_path / "merged")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32).eval()
    torch.testing.assert_close(again(ids).logits, before, atol=1e-4, rtol=1e-4)


def corrupted(model: Any) -> None:
    """One matrix of one layer is another one."""
    model.model.layers[1].mlp.down_proj.weight.data *= 0.9


def test_one_wrong_matrix_of_a_merge_is_caught(run: Path, tmp_path: Path, monkeypatch: Any) -> None:
    right = PeftModel.merge_and_unload if "merge_and_unload" in vars(PeftModel) else None
    from peft.tuners.lora import LoraModel

    kept = right or LoraModel.merge_and_unload

    def wrong(self: Any, *args: Any, **options: Any) -> Any:
        merged = kept(self, *args, **options)
        corrupted(merged)
        return merged

    monkeypatch.setattr(LoraModel, "merge_and_unload", wrong)
    with pytest.raises(MedslmError, match="the merged model in float32 is not the adapter any more") as said:
        export(run, "safetensors", tmp_path / "out", items=9, max_drift=100.0)
    assert "--max" not in str(said.value) and "medslm serve" in str(said.value)  # no bound of an option is this one
    assert hidden(tmp_path) == []


def test_one_wrong_matrix_in_the_files_is_caught_and_nothing_is_left(
    run: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    kept = merge.save

    def wrong(subject: Any, merged: Any, folder: Path) -> None:
        corrupted(merged)
        kept(subject, merged, folder)

    monkeypatch.setattr(merge, "save", wrong)
    with pytest.raises(MedslmError, match=r"toy-run as safetensors is not the adapter any more.*--max-drift"):
        export(run, "safetensors", tmp_path / "out", items=9, max_drift=1e-6)
    assert hidden(tmp_path) == []


def test_an_adapter_is_not_merged_into_four_bits(run: Path, toy_base: Base) -> None:
    model = load.with_adapter(load.model(toy_base, "nf4", "float32"), run / "adapter")
    with pytest.raises(MedslmError, match="the base was loaded in 4 bits"):
        merge.merge(model, [], [])


def test_an_adapter_is_not_merged_in_sixteen_bits(run: Path, toy_base: Base) -> None:
    model = load.with_adapter(load.model(toy_base, wanted="bfloat16"), run / "adapter")
    with pytest.raises(MedslmError, match="loaded in bfloat16; merge in float32"):
        merge.merge(model, [], [])


def test_a_base_that_is_stored_in_four_bits_is_refused(tmp_path: Path, toy_base: Base) -> None:
    from medslm.export.subject import refuse_quantized

    files.write_json(tmp_path / "config.json", {"quantization_config": {"quant_method": "mxfp4"}})
    with pytest.raises(MedslmError, match="stored as mxfp4"):
        refuse_quantized(tmp_path, toy_base)


def test_that_it_was_trained_on_four_bits_is_said(make_run: Any, tmp_path: Path) -> None:
    made = export(make_run(tmp_path / "toy-run", quantization="nf4"), "safetensors", tmp_path / "out", items=9)
    assert "compare with the run's 'full-precision' scores" in made.record["notes"][0]
    assert "trained on weights in nf4" in (made.folder / "README.md").read_text(encoding="utf-8")


def test_too_few_prompts_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(MedslmError, match="compared on at least 16 prompts, but 4 items"):
        export(run, "safetensors", tmp_path / "out", items=4)


def test_a_folder_that_holds_something_is_left_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(MedslmError, match="exists already"):
        export(run, "safetensors", tmp_path, items=9)
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "years of work"


def test_a_link_to_a_new_place_is_followed(run: Path, tmp_path: Path) -> None:
    (tmp_path / "large disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "large disk")
    made = export(run, "safetensors", tmp_path / "out", items=9)
    assert (made.folder / "model.safetensors").is_file()
    assert (tmp_path / "out").is_symlink() and (tmp_path / "large disk" / "export.json").is_file()


def test_a_folder_that_cannot_be_replaced_is_refused_before_anything_is_read(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "learnt", lambda subject: pytest.fail("the weights were loaded"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MedslmError, match=r"^\. is the folder in which you are"):
        export(run, "safetensors", Path(), items=9)
    monkeypatch.setattr("os.path.ismount", lambda path: Path(path).name == "volume")
    with pytest.raises(MedslmError, match=r"is where a disk is mounted.*such as .*volume/out$"):
        export(run, "safetensors", tmp_path / "volume", items=9)


def test_weights_that_are_not_those_of_the_run_are_refused(make_run: Any, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "toy-run")
    weights, told = folder / "adapter" / "adapter_model.safetensors", folder / "run.json"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(MedslmError, match=r"adapter_model\.safetensors is no whole file of weights"):
        export(folder, "safetensors", tmp_path / "out", items=9)
    known = json.loads(told.read_text(encoding="utf-8"))
    files.write_json(told, known | {"adapter_sha256": "0" * 64})
    with pytest.raises(MedslmError, match=r"adapter_model\.safetensors is damaged or another one"):
        export(folder, "safetensors", tmp_path / "out", items=9)
    assert hidden(tmp_path) == ["toy-run"]


def test_an_adapter_of_a_kind_that_peft_does_not_know_is_a_sentence(make_run: Any, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "toy-run")
    path = folder / "adapter" / "adapter_config.json"
    files.write_json(path, json.loads(path.read_text(encoding="utf-8")) | {"peft_type": "TOMORROW"})
    with pytest.raises(MedslmError, match=r"none that PEFT .* reads .*TOMORROW.*upgrade peft"):
        export(folder, "safetensors", tmp_path / "out", items=9)


@pytest.mark.filterwarnings("ignore:`lora_bias=True` was passed:UserWarning")
@pytest.mark.filterwarnings("ignore:Adapter 'default':UserWarning")
def test_an_adapter_that_peft_cannot_merge_is_a_sentence(make_run: Any, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "toy-run", lora_bias=True, target_modules=["q_proj"])
    with pytest.raises(MedslmError, match=r"cannot be merged: .*base layer has no bias; export another run, or serve"):
        export(folder, "safetensors", tmp_path / "out", items=9)
    assert hidden(tmp_path) == ["toy-run"]


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ("---\nlicense: [mit\n---\n", r"README\.md, the run's card, cannot be read \(while parsing"),
        ("---\nbase_model: org/other\n---\n", r"README\.md is not the card of this run: it names org/other"),
    ],
)
def test_a_card_that_cannot_be_taken_over_is_refused_before_the_weights_are_read(
    card: str, said: str, make_run: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    folder = make_run(tmp_path / "toy-run")
    (folder / "README.md").write_text(card, encoding="utf-8")
    monkeypatch.setattr(merge, "learnt", lambda subject: pytest.fail("the weights were loaded"))
    with pytest.raises(MedslmError, match=said):
        export(folder, "safetensors", tmp_path / "out", items=9)


def test_what_is_longer_than_the_base_reads_is_left_out_and_counted(
    run: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    from medslm.export import subject

    lengths = [len(item.passages[0].ids) for item in subject.items(subject.find(run), 20)[0]]
    config = load.config(subject.find(run).base)
    config.max_position_embeddings = sorted(lengths)[-4]
    monkeypatch.setattr(load, "config", lambda base: config)
    made = export(run, "safetensors", tmp_path / "out", items=20)
    too_long = made.record["items"]["too_long"]
    assert 0 < too_long == 40 - sum(score["items"] for score in made.record["drift"]["scores"].values())
    assert f"{too_long} items of the sample are longer than the positions" in made.record["notes"][0]
    config.max_position_embeddings = 30
    with pytest.raises(MedslmError, match=r"make 0, 40 being longer than the positions of toy/tiny-chat \(30\)"):
        export(run, "safetensors", tmp_path / "other", items=20)


def test_a_run_of_all_weights_is_exported_as_it_is(whole_run: Path, tmp_path: Path, toy_base: Base) -> None:
    made = export(whole_run, "safetensors", tmp_path / "out", items=9)
    learnt = AutoModelForCausalLM.from_pretrained(whole_run / "model", dtype=torch.float32)
    alone = AutoModelForCausalLM.from_pretrained(made.folder, dtype="auto")
    ids = torch.arange(40)[None]
    assert alone.dtype == torch.bfloat16
    torch.testing.assert_close(alone.float()(ids).logits, learnt(ids).logits)
    assert (learnt(ids).logits - load.model(toy_base, wanted="float32")(ids).logits).abs().max() > 0.1
    assert made.record["merge"] is None and made.record["drift"]["divergence"] == 0
    assert made.record["adapter_sha256"] == files.sha256(whole_run / "model" / "model.safetensors")
    assert "with all of its weights trained" in (made.folder / "README.md").read_text(encoding="utf-8")


def test_one_wrong_matrix_of_a_whole_model_is_caught(whole_run: Path, tmp_path: Path, monkeypatch: Any) -> None:
    kept = merge.save

    def wrong(subject: Any, merged: Any, folder: Path) -> None:
        corrupted(merged)
        kept(subject, merged, folder)

    monkeypatch.setattr(merge, "save", wrong)
    with pytest.raises(MedslmError, match="toy-run as safetensors is not the model any more"):
        export(whole_run, "safetensors", tmp_path / "new" / "out", items=9, max_drift=0)
    assert hidden(tmp_path / "new") == []


@pytest.mark.parametrize(
    ("recipe", "said"),
    [({"start": ""}, "was pretrained, and no exam tells"), ({"suite": ""}, r"has no suite.*train it with --suite")],
)
def test_a_run_that_no_exam_judges_is_refused(recipe: Any, said: str, whole_run: Path, tmp_path: Path) -> None:
    told = json.loads((whole_run / "run.json").read_text(encoding="utf-8"))
    files.write_json(whole_run / "run.json", told | {"recipe": told["recipe"] | recipe})
    with pytest.raises(MedslmError, match=said):
        export(whole_run, "safetensors", tmp_path / "out", items=9)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"items": 0}, "--items 0"),
        ({"items": 9, "max_drift": float("nan")}, "--max-drift nan is no bound"),
        ({"items": 9, "max_fall": -0.1}, r"--max-fall -0\.1 is no bound"),
    ],
)
def test_a_bound_that_is_none_is_refused_before_anything_is_read(
    options: Any, said: str, run: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(merge, "learnt", lambda subject: pytest.fail("the weights were loaded"))
    with pytest.raises(MedslmError, match=said):
        export(run, "safetensors", tmp_path / "out", **options)


SLOW = """
import os, pathlib, sys, time
pathlib.Path(sys.argv[sys.argv.index("--outfile") + 1]).write_bytes(b"GGUF")
pathlib.Path({marker!r}).write_text(str(os.getpid()))
time.sleep(600)
"""
EXPORT = """
from medslm import environment
environment.prepare()
from pathlib import Path
from medslm.errors import as_exit_code
from medslm.export_cli import export
with as_exit_code():
    export({name!r}, to="gguf", out=Path({out!r}), converter=Path({script!r}), items=9, runs=Path({runs!r}))
"""


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_an_export_that_is_ended_leaves_nothing_and_ends_the_converter(sent: int, run: Path, tmp_path: Path) -> None:
    marker, script, out = tmp_path / "marker", tmp_path / "convert.py", tmp_path / "new" / "out"
    script.write_text(SLOW.format(marker=str(marker)), encoding="utf-8")
    code = EXPORT.format(name=run.name, out=str(out), script=str(script), runs=str(run.parent))
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=said,
            stderr=said,
            preexec_fn=lambda: signal.signal(
                sent, signal.SIG_DFL
            ),  # a suite in the background, or under nohup, ignores some
        )
        try:
            deadline = time.monotonic() + 120
            while not (marker.is_file() and marker.read_text()):
                assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "said").read_text()
                time.sleep(0.05)
            assert hidden(tmp_path / "new")  # half an export
            process.send_signal(sent)
            assert process.wait(30) != 0
        finally:
            process.kill()
            process.wait()
    assert hidden(tmp_path / "new") == []
    assert not psutil.pid_exists(int(marker.read_text()))


def test_what_a_killed_export_left_goes_with_the_next_one_and_nothing_else_does(
    run: Path, tmp_path: Path, capsys: Any
) -> None:
    marker, script, out = tmp_path / "marker", tmp_path / "convert.py", tmp_path / "new" / "out"
    script.write_text(SLOW.format(marker=str(marker)), encoding="utf-8")
    code = EXPORT.format(name=run.name, out=str(out), script=str(script), runs=str(run.parent))
    others = [out.with_name(f".out.{number}-0123abcd") for number in (1, 2)]
    others += [out.with_name(name) for name in (".out-2.1-0123abcd", ".out.backup")]
    for folder in others:
        folder.mkdir(parents=True)
        if folder is not others[0]:
            (folder / place.LOCK).touch()
    there = {folder.name for folder in others}
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not (marker.is_file() and marker.read_text()):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        half = set(hidden(out.parent)) - there
        place.clear(out)
        assert set(hidden(out.parent)) == (there | half) - {others[1].name}  # which nobody held; the other is alive
    finally:
        process.kill()
        process.wait()
        psutil.Process(int(marker.read_text())).kill()
    assert half <= set(hidden(out.parent))
    export(run, "safetensors", out, items=9)
    assert set(hidden(out.parent)) == {"out", *(folder.name for folder in others if folder is not others[1])}
    assert f"removed {out.with_name(half.pop())}, which an export that was killed had left" in capsys.readouterr().err
    assert place.LOCK not in hidden(out)


def test_an_unknown_format_names_those_there_are(run: Path, tmp_path: Path) -> None:
    with pytest.raises(MedslmError, match=r"no export format is called 'gguff'; did you mean 'gguf'"):
        export(run, "gguff", tmp_path / "out", items=9)
