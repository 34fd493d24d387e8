"""Pulls from a Hub that misbehaves: every byte is checked, and what is damaged is named and fetched again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hub_server import HubServer, run_client
from medslm.hub import bundle


def pull_all(orders: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Pull each order with the real client, without its pauses; repository -> what each pull said."""
    import logging
    import time
    from dataclasses import asdict
    from pathlib import Path
    from types import SimpleNamespace

    import huggingface_hub.file_download as download
    import huggingface_hub.utils._http as http

    http.time = download.time = SimpleNamespace(sleep=lambda seconds: None, time=time.time)
    from medslm.errors import MedslmError
    from medslm.hub import client, pull

    client.PAUSE, client.OVERLOADS = 0.01, 3
    said: dict[str, list[dict[str, Any]]] = {}
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger("medslm").addHandler(handler)
    for order in orders:
        lines.clear()
        try:
            outcome = asdict(pull.pull(**order))
            folder = Path(outcome.pop("path"))
            held = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
            outcome |= {"folder": str(folder), "held": sorted(held)}
        except MedslmError as error:
            outcome = {"error": str(error)}
        said.setdefault(order["repo_id"], []).append({**outcome, "log": "\n".join(lines)})
    return said


@dataclass
class Outcome:
    """A server after pulls, the folder with the client's cache, and what each pull said."""

    hub: HubServer
    home: Path
    said: dict[str, list[dict[str, Any]]]

    def last(self, name: str) -> dict[str, Any]:
        """What the last pull of alice/`name` said."""
        return self.said[f"alice/{name}"][-1]

    def error(self, name: str) -> str:
        """The sentence with which the first pull of alice/`name` ended."""
        return str(self.said[f"alice/{name}"][0]["error"])


def published(hub: HubServer, run: Path, name: str, **changes: bytes | None) -> str:
    """A repository as a push leaves it, after `changes` by hand (`None` deletes); the commit's id."""
    made = bundle.collect(run)
    content = {path: source.read_bytes() for path, source in made.files.items()} | {"SHA256SUMS": made.sums}
    changed = {path.replace("__", "."): data for path, data in changes.items()}
    content = {path: data for path, data in {**content, **changed}.items() if data is not None}
    hub.create(f"alice/{name}")
    return hub.commit(f"alice/{name}", content).oid


def _upper(line: bytes) -> bytes:
    """A line of checksums as Windows' programs write it."""
    return line[:64].upper() + line[64:]


@pytest.fixture(scope="module")
def pulled(tmp_path_factory: pytest.TempPathFactory, make_run: Callable[..., Path]) -> Iterator[Outcome]:
    """One process that pulls many repositories, each with a trouble of its own."""
    folder = tmp_path_factory.mktemp("pull")
    runs = [make_run(folder / "runs" / f"toy{seed}", seed=seed) for seed in range(4)]
    large = [hashlib.sha256((run / "adapter" / bundle.WEIGHTS).read_bytes()).hexdigest() for run in runs]
    junk: dict[str, bytes | None] = {"training_args__bin": b"\x80", "modeling__py": b"import os", "state__pt": b"\x80"}
    with HubServer(folder / "hub", page=3) as hub:
        first = published(hub, runs[0], "toy", **junk)
        hub.commit("alice/toy", {"notes.md": b"added on the Hub\n"})
        for number, name in enumerate(("damaged-large", "busy"), start=1):
            published(hub, runs[number], name)
        published(hub, runs[3], "damaged-small")
        hub.faults.add(f"GET /storage/{large[1]}", corrupt=True)
        hub.faults.add(f"GET /storage/{large[2]}", status=503)
        hub.faults.add("GET /alice/damaged-small/resolve/.*/adapter_config.json", corrupt=True)
        published(hub, runs[0], "edited", README__md=b"---\nbase_model: alice/base\n---\nanother card\n")
        published(hub, runs[0], "lacking", scores__json=None)
        published(hub, runs[0], "unsummed", SHA256SUMS=None)
        published(hub, runs[0], "garbled", SHA256SUMS=b"\xff\xfe and no sums\n")
        sums = bundle.collect(runs[0]).sums
        published(hub, runs[0], "shouting", SHA256SUMS=b"\r\n".join(_upper(line) for line in sums.splitlines()))
        published(hub, runs[0], "outage")
        hub.faults.add("GET /api/models/alice/outage", status=503, times=99)
        published(hub, runs[0], "secret")
        hub.repo("alice/secret").private = True
        published(hub, runs[0], "gated")
        pickled: dict[str, bytes | None] = {"adapter_model__safetensors": None, "SHA256SUMS": None}
        published(hub, runs[0], "weightless", **pickled)
        published(hub, runs[0], "pickled", **pickled, adapter_model__bin=b"\x80")
        hub.repo("alice/gated").gated = "manual"
        for name, files in (("base", {"config.json": b"{}"}), ("odd", {"a.txt": b""})):
            hub.create(f"alice/{name}")
            hub.commit(f"alice/{name}", files)
        hub.create("alice/notes", "datasets")
        names = ["toy", "damaged-large", "damaged-large", "damaged-small", "damaged-small", "busy", "edited", "lacking"]
        names += ["garbled", "shouting", "unsummed", "outage", "secret", "gated", "base", "odd", "notes", "nothing"]
        names += ["weightless", "pickled"]
        orders: list[dict[str, Any]] = [{"repo_id": f"alice/{name}"} for name in names]
        orders += [{"repo_id": "alice/toy", "revision": first}, {"repo_id": "alice/busy", "revision": "v9"}]
        said = run_client(hub, folder, pull_all, token=hub.token("bob"), orders=orders)
        yield Outcome(hub, folder, said)


def test_a_pull_checks_every_file_and_fetches_nothing_that_runs(pulled: Outcome) -> None:
    newest, first = pulled.said["alice/toy"]
    assert newest["commit"] == pulled.hub.repo("alice/toy").branches["main"]
    assert {"adapter_model.safetensors", "SHA256SUMS", ".eval_results/medqa.yaml"} <= set(newest["held"])
    assert not [path for path in newest["held"] if path.endswith((".bin", ".pt", ".py"))]
    assert newest["files"] == len(newest["held"]) == 11
    assert first["files"] == 10
    assert first["folder"].endswith(first["commit"])


def test_files_the_author_did_not_list_are_named(pulled: Outcome) -> None:
    newest, first = pulled.said["alice/toy"]
    assert newest["unlisted"] == ["notes.md"]
    assert "notes.md" in newest["log"]
    assert first["unlisted"] == []


@pytest.mark.parametrize(
    ("name", "path"), [("damaged-large", "adapter_model.safetensors"), ("damaged-small", "adapter_config.json")]
)
def test_a_damaged_body_of_the_right_size_is_named_and_fetched_again(pulled: Outcome, name: str, path: str) -> None:
    assert f"{path} of alice/{name} arrived damaged" in pulled.error(name)
    assert pulled.last(name)["files"] == 10
    whole = (Path(pulled.last(name)["folder"]) / path).read_bytes()
    assert whole == pulled.hub.read(f"alice/{name}", path)


def test_a_download_that_the_hub_refuses_for_a_moment_is_tried_again(pulled: Outcome) -> None:
    assert pulled.said["alice/busy"][0]["files"] == 10


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("edited", "changed: README.md"),
        ("lacking", "missing: scores.json"),
        ("garbled", "line 1 of SHA256SUMS of alice/garbled"),
        ("outage", "the Hub is out of order (503"),
        ("secret", "no such repository, or it is private"),
        ("nothing", "no such repository, or it is private"),
        ("gated", "it is gated; ask for access"),
        ("weightless", "is an adapter without its weights: it has no adapter_model.safetensors; ask"),
        ("pickled", "and pickled weights (adapter_model.bin) are not loaded"),
        ("base", "a whole model (it has a config.json) without a run.json; use it as a base"),
        ("odd", "it holds .gitattributes, a.txt"),
        ("notes", "is a data set, not an adapter or a model"),
    ],
)
def test_what_cannot_be_pulled_is_said_in_a_sentence(pulled: Outcome, name: str, sentence: str) -> None:
    assert sentence in pulled.error(name)


def test_a_revision_that_is_not_there_is_named(pulled: Outcome) -> None:
    assert "no revision 'v9'" in pulled.last("busy")["error"]


def test_a_repository_without_checksums_of_its_own_is_checked_against_the_hub(pulled: Outcome) -> None:
    assert pulled.last("unsummed")["files"] == 9


def test_checksums_in_capitals_are_checksums(pulled: Outcome) -> None:
    assert (pulled.last("shouting")["files"], pulled.last("shouting")["unlisted"]) == (10, [])


@pytest.mark.parametrize("how", ["HF_HUB_OFFLINE", "HF_ENDPOINT"])
def test_without_the_hub_a_complete_snapshot_is_checked_and_used(pulled: Outcome, how: str) -> None:
    names = ["busy", "unsummed", "nothing", "damaged-large"]
    folder = Path(pulled.last("damaged-large")["folder"])
    blob = (folder / "scores.json").resolve()
    kept = blob.read_bytes()
    blob.write_bytes(b"[" + kept[1:])
    try:
        variables = {how: "1" if how == "HF_HUB_OFFLINE" else "http://127.0.0.1:9"}  # port 9 answers nobody
        orders = [{"repo_id": f"alice/{name}"} for name in names]
        said = run_client(pulled.hub, pulled.home, pull_all, variables=variables, orders=orders)
    finally:
        blob.write_bytes(kept)
    busy, unsummed, nothing, damaged = (said[f"alice/{name}"][0] for name in names)
    assert busy["files"] == 10
    assert "using the snapshot in the cache" in busy["log"]
    assert "has no SHA256SUMS" in unsummed["error"]
    assert "the cache holds no complete snapshot" in nothing["error"]
    assert ("HF_HUB_OFFLINE is set" if how == "HF_HUB_OFFLINE" else "cannot be reached") in nothing["error"]
    assert "changed: scores.json" in damaged["error"]


def push_and_pull(run: str) -> dict[str, Any]:
    """Push over Xet, then pull into an empty cache."""
    from pathlib import Path

    from medslm.hub import pull, push

    pushed = push.push(Path(run), "alice/toy")
    pulled = pull.pull("alice/toy")
    same = (pulled.path / "adapter_model.safetensors").read_bytes() == (
        Path(run) / "adapter" / "adapter_model.safetensors"
    ).read_bytes()
    return {"same": same, "files": pulled.files == len(pushed.files), "commit": pulled.commit == pushed.commit}


def test_what_was_pushed_over_xet_is_pulled_over_xet(run: Path, tmp_path: Path) -> None:
    with HubServer(tmp_path / "hub") as hub:
        saw = run_client(hub, tmp_path, push_and_pull, token=hub.token("alice"), xet=True, run=str(run))
        assert hub.asked("GET", "xet-read-token")
        assert not hub.asked("GET", "/storage/")
    assert saw == {"same": True, "files": True, "commit": True}


def load_by_name() -> dict[str, Any]:
    """Load base and adapter with plain transformers and peft."""
    import sys

    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("alice/base"), "alice/toy")
    weights = model.base_model.model.model.layers[0].self_attn.q_proj.lora_B["default"].weight
    ids = AutoTokenizer.from_pretrained("alice/base")("the patient")["input_ids"]
    logits = model(AutoTokenizer.from_pretrained("alice/base")("the patient", return_tensors="pt")["input_ids"]).logits
    finite = bool(logits.isfinite().all())
    return {"medslm": "medslm" in sys.modules, "ids": ids, "sum": float(weights.sum()), "finite": finite}


def test_a_published_adapter_loads_without_medslm(
    run: Path, tmp_path: Path, write_base: Callable[[], dict[str, bytes]]
) -> None:
    from safetensors.numpy import load_file

    with HubServer(tmp_path / "hub") as hub:
        hub.create("alice/base")
        hub.commit("alice/base", write_base())
        token = hub.token("alice")
        assert run_client(hub, tmp_path / "author", push_and_pull, token=token, run=str(run))["same"]
        saw = run_client(hub, tmp_path / "user", load_by_name, token=token)
    tensors = load_file(run / "adapter" / bundle.WEIGHTS)
    expected = float(next(tensor for name, tensor in tensors.items() if "lora_B" in name).sum())
    assert saw == {"medslm": False, "ids": [3, 4], "sum": pytest.approx(expected, abs=1e-4), "finite": True}
    assert json.loads((run / "adapter" / bundle.CONFIG).read_text())["base_model_name_or_path"] == "alice/base"
