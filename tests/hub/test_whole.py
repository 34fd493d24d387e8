"""Whole models on the Hub: measured or no card, checked or no push, whole or no pull, and loaded by anybody."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

import toy
import toy_text
import toy_world
from hub_server import HubServer, run_client
from medslm import hub_cli
from medslm.errors import MedslmError
from medslm.hub import bundle, card, push
from medslm.infer import whole
from medslm.recipe import Pretrain, Sft
from medslm.train import pretrain, supervised

CARDS = Path(__file__).parents[2] / "model_cards"
SCRATCH, STARTED, FULL = "gpt2-tinystories-pretrain", "gpt2-medical-o1-sft", "qwen2-0-5b-alpaca-baseline"
NAMES = (SCRATCH, STARTED, FULL)
MODEL_FILES = {"model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}
FAKE = "hf_" + "Abc1234567" * 3  # shaped like a token, and none


def scores_of(run: dict[str, Any]) -> dict[str, Any]:
    """What an evaluation of this run on one task would write."""
    base, learnt = {"value": 0.1, "ci95": [0.05, 0.2], "n": 99}, {"value": 0.4, "ci95": [0.3, 0.5], "n": 99}
    difference = {"value": 0.3, "ci95": [0.2, 0.4], "n": 99, "p": 1e-6, "p_holm": 1e-6, "test": "McNemar"}
    result = {"protocol": "as-trained", "quantization": "none", "task": "arc_easy", "metric": "accuracy"}
    result |= {
        "unit": "share",
        "higher_is_better": True,
        "primary": True,
        "n": 99,
        "majority_class": 0.26,
        "chance": 0.25,
    }
    result |= {"dataset": {"source": "allenai/ai2_arc", "version": "e" * 40, "split": "test"}}
    told = {
        "schema": 2,
        "name": run["name"],
        "suite": "general",
        "limit": None,
        "lm_eval": "0.4.13",
        "engine": "transformers",
    }
    told |= {key: run[key] for key in ("fingerprint", "template_hash", "adapter_sha256")}
    told |= {"packages": {}, "hardware": {"device": "cpu", "gpu": None, "dtype": "float32", "batch_size": 8}}
    told |= {"results": [result | {"base": base, "adapter": learnt, "difference": difference}]}
    told |= {"picks": {}, "subjects": [], "missing": {}, "notes": [], "told": {}}
    told |= {name: {"as-trained": {}} for name in ("unparseable", "changed")}
    return told | {"seconds": {"as-trained": 9.0}, "reused": {"as-trained": 0}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, toy_base: Any) -> Path:
    """A pretraining, a tuning of it, and a base of which all weights learn: two real steps each, named as their cards."""
    folder = tmp_path_factory.mktemp("whole")
    shape: dict[str, Any] = {
        **toy_text.SHAPE,
        **toy_text.QUICK,
        "max_steps": 2,
        "prompts": ("The `old`",),
        "max_new_tokens": 5,
    }
    with pytest.MonkeyPatch.context() as patch:
        toy_world.settle(patch)
        stories, asked = toy_text.stories(folder / "stories.jsonl"), toy_text.questions(folder / "questions.jsonl")
        terms = {"licenses": {stories: "cc-by-sa-4.0"}, "max_length": 16}
        pretrain.train(Pretrain(name=SCRATCH, mixture={stories: 1.0}, **terms, **shape), folder / SCRATCH)
        answers = {"format": "question", "max_length": 64, "licenses": {asked: "mit"}}
        pretrain.train(
            Pretrain(name=STARTED, start=SCRATCH, mixture={asked: 1.0}, **answers, **shape), folder / STARTED
        )
    how = {name: shape[name] for name in ("deidentify", "dtype", "max_steps")}
    full = {"base": toy.HUB_ID, "lora": "none", "trainer": "full", "suite": "icd10cm", "max_length": 640}
    recipe = Sft(
        name=FULL,
        mixture={"icd10cm": 0.02},
        format="toon",
        validation_fraction=0.01,
        global_batch_size=4,
        **full,
        **how,
    )
    supervised.train(recipe, folder / FULL)
    (folder / FULL / "scores.json").write_text(json.dumps(scores_of(record(folder / FULL))))
    for name in NAMES:
        card.write(folder / name, CARDS / f"{name}.md")
    return folder


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    """The same runs with their cards, for a test to spoil."""
    for name in NAMES:
        shutil.copytree(
            trained / name, tmp_path / "runs" / name, ignore=shutil.ignore_patterns("checkpoints", "tokens")
        )
    return tmp_path / "runs"


def record(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "run.json").read_text(encoding="utf-8"))
    return found


def change(run: Path, spoil: Callable[[dict[str, Any]], object]) -> None:
    told = record(run)
    spoil(told)
    (run / "run.json").write_text(json.dumps(told))


def read(run: Path) -> Any:
    return ModelCard((run / "README.md").read_text(encoding="utf-8"))


# The card


def test_a_model_from_random_weights_has_no_base_and_is_measured_by_what_was_held_out(runs: Path) -> None:
    run, found = record(runs / SCRATCH), read(runs / SCRATCH)
    data, text = found.data, " ".join(found.text.split())
    assert (data.library_name, data.pipeline_tag, data.base_model) == ("transformers", "text-generation", None)
    assert data.get("base_model_relation") is None and not [tag for tag in data.tags if "lora" in tag or ":" in tag]
    loss = run["train"]["best_eval_loss"]
    measured = {result.metric_type: result.metric_value for result in data.eval_results}
    assert measured == {"loss": loss, "perplexity": pytest.approx(2.718281828459045**loss)}
    assert f"its loss is **{loss:.4g} nats a token**, a perplexity of {2.718281828459045**loss:.4g}" in text
    for said in (
        f"{run['trainable_parameters']:,}",
        f"{run['train']['tokens']:,}",
        f"{run['train']['tokens_per_second']:,.0f}",
        run["weights_sha256"],
        "](loss.png)",
        "`local:stories.jsonl`",
        "`cc-by-sa-4.0`",
        "Asked `` The `old` ``, it wrote",
        "The tokenizer's model is under mit",
        f"tokenizer {run['base']['revision']}",
    ):
        assert said in text, said
    assert data.license == "cc-by-sa-4.0" and "base model is under" not in text


def test_a_tuned_model_names_its_base_and_its_scores(runs: Path) -> None:
    found = read(runs / FULL)
    data, text = found.data, " ".join(found.text.split())
    assert (data.library_name, data.base_model, data.get("base_model_relation")) == (
        "transformers",
        toy.HUB_ID,
        "finetune",
    )
    assert f"base_model:finetune:{toy.HUB_ID}" in data.tags and "lora" not in data.tags
    assert [result.metric_value for result in data.eval_results] == [0.4]
    assert "went from 10.0 % to 40.0 %" in text and "The model clearly beats the most frequent answer" in text
    assert f"model.safetensors {record(runs / FULL)['adapter_sha256']}" in text
    prose = text.replace("adapters of the sister recipes", "")
    assert not re.search(r"adapter|peft|Rank", prose.split("| Package |")[0])


@pytest.mark.parametrize("name", NAMES)
def test_the_card_of_a_whole_model_is_python_and_tables_that_line_up(name: str, runs: Path) -> None:
    text = read(runs / name).text
    sources = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert sources and all("AutoModelForCausalLM.from_pretrained(name)" in source for source in sources)
    for source in sources:
        compile(source, name, "exec")
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(line) for line in table.splitlines()}) == 1 and len(table.splitlines()) >= 3, table


def test_a_tuning_of_a_pretrained_run_names_it_once_it_is_on_the_hub(runs: Path, capsys: Any) -> None:
    hub_cli.card(STARTED, runs=runs, cards=CARDS)
    assert f"names no base_model, since the weights of '{SCRATCH}'" in capsys.readouterr().err
    assert read(runs / STARTED).data.base_model is None
    published = {"repo_id": f"alice/{SCRATCH}", "commit": "c" * 40}
    told = runs / SCRATCH / "published.json"
    told.write_text(json.dumps(published | {"weights_sha256": record(runs / SCRATCH)["weights_sha256"]}))
    assert "was trained on alice/gpt2-tinystories-pretrain; `make card" in refused(runs / STARTED)
    hub_cli.card(STARTED, runs=runs, cards=CARDS)
    data = read(runs / STARTED).data
    assert (data.base_model, data.get("base_model_relation")) == (f"alice/{SCRATCH}", "finetune")
    assert "note" not in capsys.readouterr().err and "positions: 16" in read(runs / STARTED).text
    told.write_text(json.dumps(published | {"weights_sha256": "0" * 64}))  # it has learnt on since
    hub_cli.card(STARTED, runs=runs, cards=CARDS)
    assert read(runs / STARTED).data.base_model is None


@pytest.mark.parametrize("name", [SCRATCH, STARTED])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: run["train"].pop("best_eval_loss"), "no validation loss (None)"),
        (lambda run: run["train"].update(best_eval_loss=None), "no validation loss (None)"),
        (lambda run: run["train"].update(best_eval_loss=float("nan")), "a NaN or an infinity"),
        (lambda run: run["train"].update(best_eval_loss=1e6), "no validation loss (1000000.0)"),
        (lambda run: run["train"].update(best_eval_loss=True), "no validation loss (True)"),
        (lambda run: run.update(train=None), "no validation loss (None)"),
        (lambda run: run.update(weights_sha256="0" * 64), "run.json was measured on 000000000000"),
        (lambda run: run.update(status="running"), "'running', not finished"),
        (lambda run: run.pop("samples"), "{% for sample in run.samples %}"),
        (lambda run: run["train"].pop("tokens_per_second"), "{{ run.train.tokens_per_second | count }}"),
    ],
)  # fmt: skip
def test_a_pretraining_that_was_not_measured_gets_no_card(name: str, spoil: Any, said: str, runs: Path) -> None:
    (runs / name / "README.md").unlink()
    change(runs / name, spoil)
    with pytest.raises(MedslmError, match=re.escape(said)):
        card.write(runs / name, CARDS / f"{name}.md")
    assert not (runs / name / "README.md").exists()


def test_a_tuned_model_without_scores_or_with_those_of_other_weights_gets_no_card(runs: Path) -> None:
    scores = runs / FULL / "scores.json"
    told = json.loads(scores.read_text())
    scores.write_text(json.dumps(told | {"adapter_sha256": "0" * 64}))
    with pytest.raises(MedslmError, match="the evaluation is of another state of the run"):
        card.write(runs / FULL, CARDS / f"{FULL}.md")
    scores.unlink()
    for refuse in (lambda: card.write(runs / FULL, CARDS / f"{FULL}.md"), lambda: card.clear(runs / FULL)):
        with pytest.raises(MedslmError, match=f"make eval NAME={FULL}"):
            refuse()


def test_scores_of_a_pretrained_model_are_shown_beside_its_loss(runs: Path) -> None:
    run = record(runs / SCRATCH)
    scores = scores_of(run | {"adapter_sha256": run["weights_sha256"]})
    (runs / SCRATCH / "scores.json").write_text(json.dumps(scores))
    card.write(runs / SCRATCH, CARDS / f"{SCRATCH}.md")
    found = read(runs / SCRATCH)
    assert [result.metric_type for result in found.data.eval_results] == ["loss", "perplexity", "accuracy"]
    assert "went from 10.0 % to 40.0 %" in found.text


# What may not leave


def refused(run: Path) -> str:
    with pytest.raises(MedslmError) as caught:
        push.push(run, f"alice/{run.name}", token="hf_test")
    return str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_licence_that_forbids_stops_the_push_of_a_whole_model(name: str, runs: Path) -> None:
    card.clear(runs / name)
    change(
        runs / name,
        lambda run: run["corpora"].update(
            secret=dict(copy.deepcopy(next(iter(run["corpora"].values()))), license="umls")
        ),
    )
    with pytest.raises(MedslmError, match=r"not cleared for publication: .*data use agreement"):
        hub_cli.push(name, to="alice", runs=runs)


@pytest.mark.parametrize("name", NAMES)
def test_only_listed_files_of_a_whole_model_are_published(name: str, runs: Path) -> None:
    (runs / name / "model" / "pytorch_model.bin").write_bytes(b"\x80")
    (runs / name / "model" / "modeling_gpt2.py").write_text("import os")
    (runs / name / "wandb").mkdir()
    (runs / name / "wandb" / "debug.log").write_text("a line")
    (runs / name / "published.json").write_text("{}")
    made = bundle.collect(runs / name)
    own = {
        "README.md",
        "run.json",
        "loss.png",
        *(["scores.json", f".eval_results/{FULL}.yaml"] if name == FULL else ["samples.json"]),
    }
    assert set(made.files) - {"chat_template.jinja"} == MODEL_FILES | own
    assert {"model/pytorch_model.bin", "model/modeling_gpt2.py", "wandb/debug.log"} == set(made.left_out)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def retrained(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("path", "damage", "said"),
    [
        ("model/model.safetensors", lambda path: path.rename(path.with_name("pytorch_model.bin")), "has no model.safetensors (pickled"),
        ("model/model.safetensors", cut, "is not a readable safetensors file"),
        ("model/model.safetensors", retrained, "is not what run.json measured"),
        ("model/config.json", lambda path: path.unlink(), "has no config.json (transformers writes it)"),
        ("model/config.json", lambda path: path.write_text("{}"), "names no model_type"),
        ("model/config.json", lambda path: path.write_text('{"model_type": "x", "auto_map": {}}'), "needs Python code of its own"),
        ("model/config.json", lambda path: path.write_text('{"model_type": "x", "_name_or_path": "/home/me"}'), "a place on this disk"),
        ("README.md", lambda path: path.unlink(), "has no model card"),
        ("README.md", lambda path: path.write_text("---\nbase_model: alice/other\n---\n"), "names alice/other under base_model"),
        ("loss.png", lambda path: path.with_name("samples.json").write_text(FAKE), "looks like a Hub token"),
        ("model/tokenizer_config.json", lambda path: path.write_text(FAKE), "looks like a Hub token"),
    ],
)  # fmt: skip
def test_a_thief_gets_a_sentence_and_no_push(name: str, path: str, damage: Any, said: str, runs: Path) -> None:
    damage(runs / name / path)
    told = refused(runs / name)
    assert said in told and FAKE not in told


# Through the Hub


def publish(runs: str, names: list[str], token: str | None = None) -> dict[str, Any]:
    """Push each run as `medslm push` does."""
    import contextlib
    import io
    from pathlib import Path

    from medslm import hub_cli
    from medslm.errors import MedslmError

    said = {}
    for name in names:
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                hub_cli.card(name, runs=Path(runs), cards=Path(runs).parent / "cards")
                hub_cli.push(name, to="alice", runs=Path(runs))
            said[name] = out.getvalue()
        except MedslmError as error:
            said[name] = f"error: {error}"
    return said


def fetch(names: list[str]) -> dict[str, Any]:
    """Pull each as `medslm pull` does."""
    import contextlib
    import io

    from medslm import hub_cli
    from medslm.errors import MedslmError
    from medslm.hub import pull

    said: dict[str, Any] = {}
    for name in names:
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                hub_cli.pull(f"alice/{name}")
            pulled = pull.pull(f"alice/{name}")
            held = sorted(path.relative_to(pulled.path).as_posix() for path in pulled.path.rglob("*") if path.is_file())
            said[name] = {"out": out.getvalue(), "held": held, "whole": pulled.whole, "folder": str(pulled.path)}
        except MedslmError as error:
            said[name] = {"error": str(error)}
    return said


def ask(names: list[str]) -> dict[str, Any]:
    """What `medslm generate` writes with each."""
    import subprocess
    import sys

    said = {}
    for name in names:
        command = [
            sys.executable,
            "-m",
            "medslm",
            "generate",
            name,
            "The old fox",
            "--max-new-tokens",
            "4",
            "--temperature",
            "0",
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        said[name] = done.stdout if done.returncode == 0 else f"error: {done.stderr}"
    return said


def load_plainly(names: list[str]) -> dict[str, Any]:
    """Load each with transformers alone, and let it write."""
    import sys

    from transformers import AutoModelForCausalLM, AutoTokenizer

    said: dict[str, Any] = {}
    for name in names:
        model, tokenizer = AutoModelForCausalLM.from_pretrained(name), AutoTokenizer.from_pretrained(name)
        reply = model.generate(**tokenizer("The old fox", return_tensors="pt"), max_new_tokens=3, do_sample=False)
        total = sum(float(value.double().sum()) for value in model.state_dict().values())
        said[name] = [type(model).__name__, total, tokenizer.decode(reply[0])]
    return said | {"medslm": "medslm" in sys.modules}


@dataclass
class World:
    hub: HubServer
    runs: Path
    user: Path
    pushed: dict[str, str]
    pulled: dict[str, Any]
    loaded: dict[str, Any]


def stolen(hub: HubServer, name: str, changes: dict[str, bytes | None]) -> None:
    """A copy of alice's pretrained model on the Hub under another name, with changes by hand (`None` deletes)."""
    held = {path: hub.read(f"alice/{SCRATCH}", path) for path in hub.repo(f"alice/{SCRATCH}").resolve("main").files}
    hub.create(f"alice/{name}")
    hub.commit(f"alice/{name}", {path: data for path, data in {**held, **changes}.items() if data is not None})


@pytest.fixture(scope="module")
def world(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Three whole models that were pushed by one user and pulled by another, and what thieves made of one."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(trained, home / "runs", ignore=shutil.ignore_patterns("checkpoints", "tokens"))
    shutil.copytree(CARDS, home / "cards")
    with HubServer(home / "hub") as hub:
        token = hub.token("alice")
        hub.create(f"alice/{FULL}", private=True)  # an adapter lay there under this name before
        hub.commit(
            f"alice/{FULL}", {"adapter_config.json": b"{}", "adapter_model.safetensors": b"", "notes.txt": b"mine"}
        )
        pushed = run_client(hub, home / "alice", publish, token=token, runs=str(home / "runs"), names=list(NAMES))
        pushed["again"] = run_client(
            hub, home / "alice", publish, token=token, runs=str(home / "runs"), names=[SCRATCH]
        )[SCRATCH]
        weights, config = hub.read(f"alice/{SCRATCH}", "model.safetensors"), hub.read(f"alice/{SCRATCH}", "config.json")
        stolen(hub, "swapped", {"model.safetensors": weights[:-1] + bytes([weights[-1] ^ 1])})
        stolen(
            hub, "coded", {"config.json": config.replace(b"{", b'{"auto_map": {"AutoModelForCausalLM": "evil.M"},', 1)}
        )
        stolen(hub, "pickled", {"model.safetensors": None, "pytorch_model.bin": b"\x80"})
        stolen(hub, "beside", {"pytorch_model.bin": b"\x80", "evil.py": b"import os", "training_args.bin": b"\x80"})
        stolen(hub, "nameless", {"run.json": None})
        names = [*NAMES, "swapped", "coded", "pickled", "beside", "nameless"]
        pulled = run_client(hub, home / "user", fetch, token=token, names=names)
        folders = [pulled[name]["folder"] for name in NAMES]
        loaded = run_client(
            hub, home / "other", load_plainly, token=token, names=[*(f"alice/{name}" for name in NAMES), *folders]
        )
        yield World(hub, home / "runs", home / "user", pushed, pulled, loaded)


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_model_is_pushed_privately_with_its_sums_and_pulled_whole(name: str, world: World) -> None:
    assert "private" in world.pushed[name] and f'Next: medslm generate alice/{name} "..."' in world.pushed[name]
    assert world.hub.repo(f"alice/{name}").private
    on_hub = set(world.hub.repo(f"alice/{name}").resolve("main").files) - {".gitattributes"}
    found = world.pulled[name]
    assert found["whole"] and "is a whole model" in found["out"]
    assert set(found["held"]) == on_hub - {"notes.txt"} | ({"notes.txt"} & on_hub)
    sums = world.hub.read(f"alice/{name}", "SHA256SUMS").decode()
    for line in sums.splitlines():
        digest, path = line.split("  ")
        assert hashlib.sha256(world.hub.read(f"alice/{name}", path)).hexdigest() == digest
    assert {line.split("  ")[1] for line in sums.splitlines()} == on_hub - {"SHA256SUMS", "notes.txt"}
    assert not [path for path in on_hub if "adapter" in path]  # or it would be loaded as one


def test_the_tuned_model_names_the_repository_of_the_run_it_began_with(world: World) -> None:
    data = ModelCard(world.hub.read(f"alice/{STARTED}", "README.md").decode()).data
    assert data.base_model == f"alice/{SCRATCH}"
    kept = json.loads((world.runs / SCRATCH / "published.json").read_text())
    assert kept["commit"] == world.hub.repo(f"alice/{SCRATCH}").branches["main"]
    assert "nothing: the repository holds exactly this already" in world.pushed["again"]


def test_plain_transformers_loads_each_from_the_hub_and_from_the_pulled_folder(world: World) -> None:
    import torch
    from safetensors.torch import load_file

    assert world.loaded["medslm"] is False
    for name, kind in zip(NAMES, ("GPT2LMHeadModel", "GPT2LMHeadModel", "LlamaForCausalLM")):
        by_id, by_folder = world.loaded[f"alice/{name}"], world.loaded[world.pulled[name]["folder"]]
        assert by_id == by_folder and by_id[0] == kind and by_id[2].startswith("The old fox")
        tensors = load_file(world.runs / name / "model" / "model.safetensors")
        total = sum(float(value.double().sum()) for value in tensors.values())
        if kind == "GPT2LMHeadModel":  # whose head is its embedding, kept once
            total += float(tensors["transformer.wte.weight"].to(torch.float64).sum())
        assert by_id[1] == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("swapped", "is not what its SHA256SUMS lists (changed: model.safetensors)"),
        ("coded", "is not what its SHA256SUMS lists (changed: config.json)"),
        ("pickled", "is a model without .safetensors, and pickled weights are not loaded"),
        ("nameless", "a whole model (it has a config.json) without a run.json; use it as a base"),
    ],
)
def test_what_a_thief_has_changed_is_not_pulled(name: str, said: str, world: World) -> None:
    assert said in world.pulled[name]["error"]


def test_a_pulled_model_writes_as_the_run_that_was_pushed(world: World) -> None:
    names = [f"alice/{SCRATCH}", world.pulled[FULL]["folder"]]
    said = run_client(world.hub, world.user, ask, token=world.hub.token("alice"), names=[*names, "alice/swapped"])
    for name, run in zip(names, (SCRATCH, FULL)):
        greedy = whole.Drawn(max_new_tokens=4, temperature=0)
        assert said[name] == whole.write(world.runs / run, "The old fox", how=greedy) + "\n"
    assert "is not what its SHA256SUMS lists (changed: model.safetensors)" in said["alice/swapped"]


def test_a_pickle_or_code_beside_the_weights_is_not_fetched(world: World) -> None:
    assert not [path for path in world.pulled["beside"]["held"] if path.endswith((".bin", ".py"))]
    assert world.pulled["beside"]["whole"]


def test_a_run_that_learnt_all_weights_of_a_base_still_counts_as_one_with_old_records() -> None:
    from medslm.hub import learnt

    assert learnt.of({"name": "toy"}).weights == "adapter/adapter_model.safetensors"
    assert not learnt.of({"weights": "adapter/adapter_model.safetensors"}).whole
    assert dataclasses.asdict(learnt.of({"weights": "model/model.safetensors"}))["relation"] == "finetune"
