"""What a run publishes: an allow-list of files, checked before the network is touched."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
import yaml
from huggingface_hub.repocard import metadata_load
from safetensors import SafetensorError, safe_open

from medslm import files
from medslm.errors import MedslmError
from medslm.hub import learnt
from medslm.hub.learnt import MODEL, PUBLISHED, Learnt

WEIGHTS, CONFIG, CARD, SUMS = learnt.ADAPTER, "adapter_config.json", "README.md", "SHA256SUMS"
MODEL_CONFIG, RUN = "config.json", "run.json"
TOKENIZER = (
    "chat_template.jinja",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
)
FROM_ADAPTER = (WEIGHTS, CONFIG, *TOKENIZER)
FROM_MODEL = (MODEL, MODEL_CONFIG, "generation_config.json", *TOKENIZER)
OTHER_SCORES = "scores.*.json"
"""Of suites other than the recipe's, and of trials, which are not published."""
FROM_RUN = (CARD, RUN, "scores.json", OTHER_SCORES, "loss.png", "samples.json", ".eval_results/*.yaml")
TOKEN = re.compile(rb"hf_[A-Za-z0-9]{20,}")
BINARY = (".safetensors", ".png", ".model", ".parquet")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
INFINITE = {
    "F64": ("<u8", 0x7FF << 52),
    "F32": ("<u4", 0xFF << 23),
    "F16": ("<u2", 0x1F << 10),
    "BF16": ("<u2", 0xFF << 7),
}
"""Float type -> unsigned type of its size, and the exponent bits: all set in NaN and infinity, and only there."""


@dataclass(frozen=True)
class Bundle:
    """The files of one run, or of one dataset, as they will lie in the repository."""

    files: dict[str, Path]
    """Path in the repository -> path on this disk."""
    left_out: tuple[str, ...]
    """What else lies in the folder."""
    sha256: dict[str, str] = field(default_factory=dict)
    """Path in the repository -> SHA-256."""

    @property
    def sums(self) -> bytes:
        """The content of `SHA256SUMS`, for `sha256sum -c`."""
        return "".join(f"{digest}  {path}\n" for path, digest in sorted(self.sha256.items())).encode()


def is_ours(path: str) -> bool:
    """Whether a push of an adapter may have put this path into a repository."""
    return path == SUMS or any(fnmatch.fnmatchcase(path, pattern) for pattern in FROM_ADAPTER + FROM_RUN)


def is_ours_or_of_a_model(path: str) -> bool:
    """The same for a whole model. An adapter's files are among them: beside a model, they would be loaded in its place."""
    return path in FROM_MODEL or is_ours(path)


def collect(run: Path) -> Bundle:
    """The bundle of a run folder, or `MedslmError` with what is wrong with it."""
    if not run.is_dir():
        raise MedslmError(f"there is no run at {run}; train one first, then `make eval card push NAME={run.name}`")
    record: dict[str, Any] = {}
    if (run / RUN).is_file():
        check_for_tokens(RUN, run / RUN)  # before a sentence about it could quote one
        record = files.read_json(run / RUN, "accelerate launch")
    kind = learnt.of(record)
    folder = (run / kind.weights).parent
    listed = FROM_MODEL if kind.whole else FROM_ADAPTER
    chosen = {name: folder / name for name in listed if (folder / name).is_file()}
    for pattern in FROM_RUN:
        chosen |= {path.relative_to(run).as_posix(): path for path in sorted(run.glob(pattern)) if path.is_file()}
    for name in [name for name in chosen if fnmatch.fnmatchcase(name, OTHER_SCORES)]:
        if not _current(chosen[name], run / kind.weights):
            del chosen[name]
    _check_there(run, kind, chosen)
    _check_base(run, kind, record, chosen)
    _check_weights(chosen[kind.file])
    for name, path in chosen.items():
        check_for_tokens(name, path)
    taken = {*chosen.values(), run / PUBLISHED}
    rest = (path for path in sorted(run.rglob("*")) if path.is_file() and path not in taken)
    sums = {name: files.sha256(path) for name, path in chosen.items()}
    if kind.whole and sums[kind.file] != record.get(kind.digest):
        raise MedslmError(
            f"{chosen[kind.file]} is not what run.json measured (SHA-256 {str(record.get(kind.digest))[:12]}...); restore "
            "the weights of the run or train again"
        )
    return Bundle(chosen, tuple(path.relative_to(run).as_posix() for path in rest), sums)


def _current(scores: Path, weights: Path) -> bool:
    """Whether scores speak of these weights and of every item."""
    told = files.read_json(scores, made_by=f"medslm eval {scores.parent.name}")
    return told["limit"] is None and weights.is_file() and told["adapter_sha256"] == files.sha256(weights)


def _check_there(run: Path, kind: Learnt, chosen: dict[str, Path]) -> None:
    """Card, weights and configuration are there."""
    if CARD not in chosen:
        raise MedslmError(
            f"{run} has no model card; `make card NAME={run.name}` writes {run / CARD} from what was measured"
        )
    config, writer = (MODEL_CONFIG, "transformers") if kind.whole else (CONFIG, "peft")
    for name, reason in ((kind.file, "pickled weights (.bin) are not published"), (config, f"{writer} writes it")):
        if name not in chosen:
            raise MedslmError(f"{(run / kind.weights).parent} has no {name} ({reason}); train the run again")


def _check_base(run: Path, kind: Learnt, record: dict[str, Any], chosen: dict[str, Path]) -> None:
    """Configuration, run and card name one base model, or none."""
    if kind.whole:
        _check_config(chosen[MODEL_CONFIG])
        base = learnt.base_on_hub(run, record)
    else:
        base = base_model(chosen[CONFIG])
    named = _card_base(chosen[CARD])
    if named != ([base] if base else []):
        began = f"trained on {base}" if base else "trained on none that is on the Hub"
        raise MedslmError(
            f"{chosen[CARD]} names {', '.join(map(str, named)) or 'no base model'} under base_model, but the {kind.word} "
            f"was {began}; `make card NAME={run.name}` writes it from the run"
        )


def _check_config(path: Path) -> None:
    """Refuse a model that needs code beside it, which is not published, or names a place on this disk."""
    config = files.read_json(path, "save_pretrained")
    if not isinstance(config, dict) or "model_type" not in config:
        raise MedslmError(f"{path} names no model_type, so nobody could load the model; train the run again")
    if "auto_map" in config:
        raise MedslmError(
            f"{path} has an auto_map: the model needs Python code of its own, which is neither published nor run here"
        )
    named = config.get("_name_or_path") or ""
    if named and (not HUB_ID.fullmatch(str(named)) or Path(named).exists()):
        raise MedslmError(f"{path} names {named!r}, a place on this disk; take _name_or_path out of it")


def base_model(config: Path) -> str:
    """The Hub id of the base that `adapter_config.json` names; a path on this disk means nothing to anybody else."""
    found = files.read_json(config, "save_pretrained")
    base = found.get("base_model_name_or_path") if isinstance(found, dict) else None
    if not isinstance(base, str) or not HUB_ID.fullmatch(base) or Path(base).exists():
        raise MedslmError(
            f"{config} names the base model {base!r}, which is not an id on the Hub (org/name); "
            "nobody else could load the adapter, so set base_model_name_or_path to the id the base came from"
        )
    return base


def _card_base(card: Path) -> list[Any]:
    """The base models that the card's metadata names."""
    try:
        metadata = metadata_load(card) or {}
    except (ValueError, yaml.YAMLError) as error:
        raise MedslmError(f"the metadata between the --- lines of {card} is not valid YAML: {error}") from error
    named = metadata.get("base_model") or []
    return named if isinstance(named, list) else [named]


def check_for_tokens(name: str, path: Path) -> None:
    """Refuse a text file that holds what looks like a Hub token; the token itself is not repeated."""
    if not name.endswith(BINARY) and TOKEN.search(path.read_bytes()):
        raise MedslmError(
            f"{path} holds something that looks like a Hub token (hf_...), so nothing was sent; remove it, and revoke "
            "the token at https://huggingface.co/settings/tokens if it is real"
        )


def _check_weights(path: Path) -> None:
    """Refuse weights that are empty, broken, or hold NaN or infinity."""
    try:
        with safe_open(path, framework="numpy") as weights:  # the library checks the header and the size
            names = list(weights.keys())
    except (SafetensorError, OSError) as error:
        raise MedslmError(
            f"{path} ({path.stat().st_size} bytes) is not a readable safetensors file: {error}"
        ) from error
    if not names:
        raise MedslmError(f"{path} holds no tensor; train the run again")
    broken = _infinite(path)
    if broken:
        raise MedslmError(
            f"{path} holds NaN or infinity in {len(broken)} of {len(names)} tensors ({broken[0]} first): the training "
            "diverged; train again with a lower learning rate"
        )


def _infinite(path: Path) -> list[str]:
    """Names of the tensors with a value that is not finite, read from the bytes, since numpy knows no bfloat16."""
    with path.open("rb") as stream:
        size = struct.unpack("<Q", stream.read(8))[0]
        header = json.loads(stream.read(size))
    found = []
    data = numpy.memmap(path, mode="r", offset=8 + size) if path.stat().st_size > 8 + size else numpy.empty(0, "u1")
    for name, tensor in header.items():
        if name == "__metadata__" or tensor["dtype"] not in INFINITE:
            continue
        kind, exponent = INFINITE[tensor["dtype"]]
        first, last = tensor["data_offsets"]
        bits = numpy.frombuffer(data[first:last], dtype=kind)
        if bool(((bits & exponent) == exponent).any()):
            found.append(name)
    return found


def git_id(content: bytes) -> str:
    """The id that git gives a small file, by which the Hub lists it."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
