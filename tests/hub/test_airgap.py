"""A lock and a bundle are made beside a Hub; on a machine without any socket the bundle is all that is needed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import toy
from hub_server import HubServer, run_client
from launching import ROOT, launch, record
from medslm.data.builders.joined import Joined
from medslm.data.sources.hub import Dataset
from medslm.errors import MedslmError
from medslm.hub import airgap, gather
from toy_data import Rows

ALPACA = [
    {"instruction": f"Name the chapter of diagnosis {number}.", "input": "fever", "output": f"chapter {number}"}
    for number in range(40)
]
"""Rows in the schema of yahma/alpaca-cleaned, written for this test."""
RECIPE = '''"""A recipe of a test."""

from medslm import recipe, train

RECIPE = recipe.Sft(
    name="carried",
    base="toy/tiny-chat",
    lora="all-linear-r16",
    mixture={"icd10cm": 0.02, "org/alpaca": 1.0},
    licenses={"org/alpaca": "mit"},
    suite="icd10cm",
    format="toon",
    dtype="float32",
    max_length=640,
    global_batch_size=4,
    max_steps=2,
    deidentify="off",
    validation_fraction=0.01,
)

if __name__ == "__main__":
    train.main(RECIPE)
'''


def make(recipes: list[str], out: str, lock: bool = True) -> dict[str, Any]:
    """Lock and bundle on the machine that has a network."""
    from pathlib import Path

    from medslm import environment

    environment.prepare()
    from medslm.errors import MedslmError
    from medslm.hub import airgap, locking

    said: dict[str, Any] = {}
    try:
        if lock:
            locked = locking.write(map(Path, recipes))
            said |= {"lock": str(locked.path), "changed": sorted(locked.changed), "left": locked.left}
        made = airgap.bundle(map(Path, recipes), Path(out))
    except MedslmError as error:
        return {**said, "error": str(error)}
    left_out = dict(made.left_out)
    return {**said, "models": made.models, "datasets": made.datasets, "files": made.files, "left_out": left_out}


def read(base: str, dataset: str) -> dict[str, Any]:
    """Load the base and read the rows, as training does."""
    from medslm import environment

    environment.prepare()
    from medslm.data.sources.hub import Dataset
    from medslm.errors import MedslmError
    from medslm.models import load, source
    from medslm.models.base import resolve

    try:
        found, data = source.find(resolve(base)), Dataset(dataset)
        said = {"folder": str(found.folder), "model": found.revision, "license": found.license}
        said |= {"rows": list(data.rows()), "dataset": data.version()}
        return said | {"parameters": load.model(resolve(base)).num_parameters()}
    except MedslmError as error:
        return {"error": str(error)}


@dataclass
class Made:
    hub: HubServer
    home: Path
    recipe: Path
    bundle: Path
    said: dict[str, Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A Hub with a base and a dataset, and the bundle that was made of a recipe there."""
    home = tmp_path_factory.mktemp("airgap")
    toy.save(home / "base")
    recipe = home / "carried.py"
    recipe.write_text(RECIPE, encoding="utf-8")
    with HubServer(home / "server") as hub:
        hub.create(toy.HUB_ID)
        hub.commit(toy.HUB_ID, {path.name: path.read_bytes() for path in (home / "base").iterdir()})
        hub.create("org/alpaca", "datasets")
        rows = "".join(json.dumps(row) + "\n" for row in ALPACA).encode()
        hub.commit("org/alpaca", {"README.md": b"---\nlicense: mit\n---\n", "train.jsonl": rows}, "datasets")
        bundle = home / "usb" / "bundle"
        variables = {"MEDSLM_CACHE": str(home / "cache")}
        said = run_client(hub, home, make, variables=variables, recipes=[str(recipe)], out=str(bundle))
        yield Made(hub, home, recipe, bundle, said)


def without_network(made: Made, bundle: Path, home: Path, snippet: Any, **arguments: Any) -> Any:
    """Run on a machine that has the bundle, an empty home and no socket at all."""
    home.mkdir(exist_ok=True)
    variables = {"NO_SOCKETS": "1", "MEDSLM_BUNDLE": str(bundle), "MEDSLM_CACHE": str(home / "cache")}
    return run_client(made.hub, home, snippet, variables=variables, **arguments)


def state(folder: Path) -> dict[str, int]:
    """Every file of a folder and the time of its last change."""
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_the_lock_names_the_commits_of_the_hub_and_what_could_not_be_learnt(made: Made) -> None:
    text = (made.home / "hub.lock.toml").read_text(encoding="utf-8")
    model, dataset = made.hub.repo(toy.HUB_ID), made.hub.repo("org/alpaca", "datasets")
    assert f'"{toy.HUB_ID}" = "{model.branches["main"]}"' in text
    assert f'"org/alpaca" = "{dataset.branches["main"]}"' in text
    assert made.said["changed"] == ["org/alpaca", toy.HUB_ID]
    assert "is not on the Hub" in made.said["left"]["qiaojin/PubMedQA"]
    assert "PubMedQA" not in text


def test_a_bundle_holds_what_the_recipe_needs_and_says_what_it_does_not(made: Made) -> None:
    assert (made.said["models"], made.said["datasets"]) == ([toy.HUB_ID], ["org/alpaca"])
    left_out = made.said["left_out"]
    assert "install the package there" in left_out["pypi:simple-icd-10-cm"]
    assert "is not on the Hub" in left_out["qiaojin/PubMedQA (pubmedqa)"]
    assert not [name for name in left_out if name.startswith("medslm:")]  # what this package carries is there already
    assert not [path for path in made.bundle.rglob("*") if path.is_symlink()]
    assert [path.name for path in made.bundle.parent.iterdir()] == ["bundle"]
    commits = json.loads((made.bundle / "bundle.json").read_text(encoding="utf-8"))["datasets"]
    assert commits == {"org/alpaca": made.hub.repo("org/alpaca", "datasets").branches["main"]}
    assert (made.bundle / "hub.lock.toml").read_text().count('" = "') == 2
    checked = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"], cwd=made.bundle, capture_output=True, text=True, check=True
    )
    assert checked.stdout.count(": OK") == made.said["files"] + 2


def test_the_bundle_is_read_where_there_is_no_socket_and_nothing_in_it_is_touched(made: Made, tmp_path: Path) -> None:
    before = state(made.bundle)
    said = without_network(made, made.bundle, tmp_path / "there", read, base=toy.HUB_ID, dataset="org/alpaca")
    assert said["rows"] == ALPACA
    assert said["model"] == made.hub.repo(toy.HUB_ID).branches["main"]
    assert said["dataset"] == made.hub.repo("org/alpaca", "datasets").branches["main"]
    assert said["license"] == "mit"
    assert said["parameters"] > 100_000
    assert Path(said["folder"]).is_relative_to(made.bundle)
    assert state(made.bundle) == before


@pytest.mark.parametrize("thief", ["changes a row", "removes a file", "adds a file", "moves the lock"])
def test_a_bundle_that_was_tampered_with_is_not_read(made: Made, tmp_path: Path, thief: str) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(made.bundle, copy)
    [rows] = copy.rglob("train.jsonl")
    if thief == "changes a row":
        rows.write_bytes(rows.read_bytes().replace(b"fever", b"cough"))
    elif thief == "removes a file":
        rows.unlink()
    elif thief == "adds a file":
        (rows.parent / "train-2.jsonl").write_bytes(rows.read_bytes())
    else:
        lock = copy / "hub.lock.toml"
        lock.write_text(lock.read_text().replace(made.hub.repo("org/alpaca", "datasets").branches["main"], "f" * 40))
    said = without_network(made, copy, tmp_path / "there", read, base=toy.HUB_ID, dataset="org/alpaca")
    assert {
        "changes a row": "train.jsonl of org/alpaca (dataset) is damaged",
        "removes a file": "train.jsonl of org/alpaca is not in the bundle",
        "adds a file": "holds train-2.jsonl, which bundle.json does not list",
        "moves the lock": "does not hold org/alpaca at ffff",
    }[thief] in said["error"]


def test_what_is_not_in_the_bundle_is_said_and_not_looked_for_elsewhere(made: Made, tmp_path: Path) -> None:
    said = without_network(made, made.bundle, tmp_path / "there", read, base=toy.HUB_ID, dataset="org/other")
    assert "does not hold org/other" in said["error"]
    said = without_network(made, tmp_path / "nowhere", tmp_path / "there", read, base=toy.HUB_ID, dataset="org/alpaca")
    assert "nowhere does not hold toy/tiny-chat" in said["error"]


def test_a_bundle_takes_the_locked_commits_and_replaces_an_older_bundle_only(made: Made, tmp_path: Path) -> None:
    head = made.hub.repo("org/alpaca", "datasets").branches["main"]
    made.hub.commit("org/alpaca", {"train.jsonl": b'{"instruction": "new"}\n'}, "datasets")
    arguments: dict[str, Any] = {"recipes": [str(made.recipe)], "lock": False}
    variables = {"MEDSLM_CACHE": str(made.home / "cache"), "MEDSLM_LOCK": str(made.home / "hub.lock.toml")}
    old = tmp_path / "old"
    shutil.copytree(made.bundle, old)
    (old / "hub" / "stale.txt").write_text("of an older bundle")
    said = run_client(made.hub, made.home, make, variables=variables, out=str(old), **arguments)
    assert json.loads((old / "bundle.json").read_text())["datasets"] == {"org/alpaca": head}
    assert not (old / "hub" / "stale.txt").exists()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"dear")
    said = run_client(made.hub, made.home, make, variables=variables, out=str(tmp_path / "photos"), **arguments)
    assert "exists and is not a bundle" in said["error"]
    assert (tmp_path / "photos" / "a.jpg").read_bytes() == b"dear"


def test_a_corpus_that_cannot_be_had_stops_the_bundle_before_it_is_written(made: Made, tmp_path: Path) -> None:
    recipe = tmp_path / "other.py"
    recipe.write_text(RECIPE.replace('"org/alpaca": 1.0', '"org/nothing": 1.0').replace("org/alpaca", "org/nothing"))
    said = run_client(made.hub, made.home, make, recipes=[str(recipe)], out=str(tmp_path / "out"), lock=False)
    assert "org/nothing cannot be bundled: org/nothing is not on the Hub" in said["error"]
    assert not (tmp_path / "out").exists()


def test_a_recipe_is_trained_and_judged_from_the_bundle_alone(made: Made, tmp_path: Path) -> None:
    """The recipe is launched as a user launches it, on a machine with no socket but Unix ones."""
    variables = {"NO_SOCKETS": "1", "MEDSLM_BUNDLE": str(made.bundle), "MEDSLM_CACHE": str(tmp_path / "cache")}
    variables |= {"HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hf")}
    runs = ("--runs", str(tmp_path / "runs"))
    done = launch("--eval-steps", "2", *runs, recipe=str(made.recipe), **variables)
    assert done.returncode == 0, done.stderr
    run = record(tmp_path / "runs", "carried")
    assert run["base"]["revision"] == made.hub.repo(toy.HUB_ID).branches["main"]
    assert run["corpora"]["org/alpaca"]["source"] == "org/alpaca"
    judged = subprocess.run(
        [sys.executable, "-m", "medslm", "eval", "carried", "--limit", "4", *runs],
        check=False, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert judged.returncode == 0, judged.stderr
    assert "chapter_accuracy" in judged.stdout


def test_a_bundle_of_no_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MedslmError, match="name at least one recipe"):
        airgap.bundle([], tmp_path / "out")


def test_a_file_that_is_no_recipe_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text("x = 1")
    (tmp_path / "broken.py").write_text("import nothing_of_that_name")
    (tmp_path / "leaving.py").write_text("raise SystemExit(0)")
    for name, sentence in {
        "plain.py": "defines no RECIPE",
        "broken.py": "cannot be imported: ModuleNotFoundError",
        "leaving.py": "cannot be imported: SystemExit",
        "absent.py": "is not a recipe",
    }.items():
        with pytest.raises(MedslmError, match=sentence):
            gather.recipe(tmp_path / name)


def test_datasets_are_found_inside_of_sources_that_join_them() -> None:
    parts = (Dataset("org/a", "x"), Dataset("org/a", "y", "test"))
    assert list(gather.hub_datasets(Joined(parts))) == list(parts)
    assert list(gather.hub_datasets(Rows(()))) == []


def test_all_that_is_registered_is_known() -> None:
    needs = gather.everything()
    assert "HuggingFaceTB/SmolLM2-135M-Instruct" in needs.bases
    assert {one.hub_id for one in needs.datasets} >= {"qiaojin/PubMedQA", "openai/gsm8k"}


PRETRAIN = '''"""A recipe of a test."""

from medslm import recipe

RECIPE = recipe.Pretrain(name="{name}", base="toy/tiny-chat", start="{start}", mixture={{"local:stories.jsonl": 1.0}}, max_length=16)
'''


def test_of_a_pretraining_the_tokenizer_is_bundled_and_of_one_that_goes_on_nothing(made: Made, tmp_path: Path) -> None:
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text(PRETRAIN.format(name="first", start=""), encoding="utf-8")
    second.write_text(PRETRAIN.format(name="second", start="first"), encoding="utf-8")
    (made.home / "stories.jsonl").write_text('{"text": "The old fox."}\n', encoding="utf-8")
    arguments: dict[str, Any] = {"recipes": [str(first), str(second)], "lock": False}
    said = run_client(made.hub, made.home, make, out=str(tmp_path / "both"), **arguments)
    assert said["models"] == [toy.HUB_ID]
    names = {path.name for path in (tmp_path / "both").rglob("*") if path.is_file()}
    assert {"tokenizer.json", "config.json", "README.md"} <= names and "model.safetensors" not in names
    assert said["left_out"]["run:first"] == "second begins with its weights: train it there first"
    arguments["recipes"] = [str(second)]
    said = run_client(made.hub, made.home, make, out=str(tmp_path / "second"), **arguments)
    assert said["models"] == [] and said["left_out"]["run:first"].endswith("take its folder there")


def carry(published: list[str], out: str) -> dict[str, Any]:
    """Bundle published runs on the machine that has a network."""
    from pathlib import Path

    from medslm import environment

    environment.prepare()
    from medslm.errors import MedslmError
    from medslm.hub import airgap

    try:
        made = airgap.bundle([], Path(out), published)
    except MedslmError as error:
        return {"error": str(error)}
    return {"models": made.models, "datasets": made.datasets, "left_out": dict(made.left_out)}


def pull(repo_id: str) -> dict[str, Any]:
    """Pull as `medslm pull` does."""
    from medslm import environment

    environment.prepare()
    from medslm.errors import MedslmError
    from medslm.hub import pull as room

    try:
        pulled = room.pull(repo_id)
    except MedslmError as error:
        return {"error": str(error)}
    return {"folder": str(pulled.path), "whole": pulled.whole, "files": pulled.files}


def test_published_runs_are_carried_over_and_checked_where_there_is_no_socket(made: Made, tmp_path: Path) -> None:
    model = {path.name: path.read_bytes() for path in (made.home / "base").iterdir()} | {"run.json": b"{}"}
    adapter = {"adapter_config.json": json.dumps({"base_model_name_or_path": toy.HUB_ID}).encode(), "run.json": b"{}"}
    adapter["adapter_model.safetensors"] = model["model.safetensors"]  # is carried, and not loaded
    for name, files in (("alice/whole", model), ("alice/adapter", adapter), ("alice/unsummed", {})):
        sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in files.items())
        made.hub.create(name)
        made.hub.commit(
            name, {**files, "SHA256SUMS": sums.encode(), "pytorch_model.bin": b"\x80"} if files else adapter
        )
    variables, out = {"MEDSLM_CACHE": str(made.home / "cache")}, tmp_path / "carried"
    refused = run_client(made.hub, made.home, carry, variables=variables, published=["alice/unsummed"], out=str(out))
    assert "alice/unsummed has no SHA256SUMS" in refused["error"] and not out.exists()
    ids = ["alice/whole", "alice/adapter"]
    said = run_client(made.hub, made.home, carry, variables=variables, published=ids, out=str(out))
    assert said == {"models": ["alice/adapter", "alice/whole", toy.HUB_ID], "datasets": [], "left_out": {}}
    assert not list(out.rglob("*.bin"))
    there = without_network(made, out, tmp_path / "there", pull, repo_id="alice/whole")
    assert there["whole"] and Path(there["folder"]).is_relative_to(out)
    assert not without_network(made, out, tmp_path / "there", pull, repo_id="alice/adapter")["whole"]
    weights = next(path for path in out.rglob("model.safetensors") if "alice" in str(path))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    said = without_network(made, out, tmp_path / "there", pull, repo_id="alice/whole")
    assert "is not what its SHA256SUMS lists (changed: model.safetensors)" in said["error"]
