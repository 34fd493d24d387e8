"""Which files of a dataset repository hold the rows of one split, by its card or by the names of its files."""

from __future__ import annotations

import os
import re
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from medslm.errors import MedslmError

READERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    ".parquet": ("parquet", {}),
    ".arrow": ("arrow", {}),
    ".jsonl": ("json", {}),
    ".ndjson": ("json", {}),
    ".json": ("json", {}),
    ".csv": ("csv", {}),
    ".tsv": ("csv", {"sep": "\t"}),
    ".txt": ("text", {}),
}
"""Ending -> reader of `datasets` and its options; compressed files (`.jsonl.gz`) are read as well."""
SCHEMA_INSIDE = ("parquet", "arrow")
CONVERTED_FILE = re.compile(r"(?P<config>[^/]+)/(?P<split>[^/]+)/\d{4}\.parquet")
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "csv": ("sep", "delimiter", "header", "names", "column_names", "skiprows", "quotechar", "quoting", "escapechar"),
    "json": ("field", "encoding", "encoding_errors"),
    "text": ("encoding", "encoding_errors", "keep_linebreaks", "sample_by"),
}
"""What a card may say about the reading of its files."""
DEFAULT = "default"


@dataclass(frozen=True)
class Chosen:
    """The files of one split and how they are read."""

    files: tuple[str, ...]
    """Paths in the repository."""
    reader: str
    """A packaged reader of `datasets`."""
    options: Mapping[str, Any] = field(default_factory=dict)


def choose(what: str, listed: Collection[str], card: Path | None, config: str | None, split: str) -> Chosen:
    """The files of a split (`train`, `train+validation`) among the files `listed` of the repository that `what` names.

    The rules are those of `datasets`: https://huggingface.co/docs/hub/datasets-manual-configuration. Raises `MedslmError`
    for a card that cannot be read, and for a configuration or split that is not there, with those that are.
    """
    configs, features = _configs(what, listed, card)
    name = _config(what, configs, config)
    with _outline(listed) as root:
        patterns = _patterns(what, root, configs[name])
        base = root / str(configs[name].get("data_dir") or "")
        files: list[str] = []
        for part in split.split("+"):
            if part not in patterns:
                raise MedslmError(f"{what} has no split '{part}' in '{name}'; it has {', '.join(patterns)}")
            found = _found(base, part, patterns[part])
            if not found:
                raise MedslmError(
                    f"{what} has no file for split '{part}' of '{name}' that is read here ({' '.join(READERS)}); its card "
                    f"or layout asks for {', '.join(patterns[part])}"
                )
            files += [path.relative_to(root).as_posix() for path in found]
    return _read_by(files, configs[name], features.get(name))


def _found(base: Path, split: str, patterns: list[str]) -> list[Path]:
    """The files in `base` that the patterns of a split name, as `datasets` understands them."""
    from datasets.data_files import DataFilesDict

    try:
        found = DataFilesDict.from_patterns({split: patterns}, str(base), allowed_extensions=list(READERS))
    except FileNotFoundError:
        return []
    return [Path(path) for path in found[split]]


def _configs(what: str, listed: Collection[str], card: Path | None) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Configurations as the card (or the Hub's conversion) declares them, one without a word otherwise; their features."""
    from datasets.info import DatasetInfosDict
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCard

    if card is None:
        return _converted(listed) or {DEFAULT: {}}, {}
    try:
        data = DatasetCard.load(card, ignore_metadata_errors=True).data
        configs = MetadataConfigs.from_dataset_card_data(data)
        infos = DatasetInfosDict.from_dataset_card_data(data)
    except Exception as error:  # yaml and datasets each raise their own
        said = str(error).strip().splitlines()[0]
        raise MedslmError(f"the card of {what} does not say which files hold its rows: {said}") from error
    features = {name: info.features for name, info in infos.items() if info.features}
    features |= {name: config["features"] for name, config in configs.items() if config.get("features")}
    return dict(configs) or {DEFAULT: {}}, features


def _converted(listed: Collection[str]) -> dict[str, dict[str, Any]]:
    """The layout of the Hub's Parquet conversion, if it is that: `<config>/<split>/0000.parquet`."""
    found = [CONVERTED_FILE.fullmatch(name) for name in sorted(listed) if not name.startswith(".")]
    if not found or None in found:
        return {}
    configs: dict[str, dict[str, list[str]]] = {}
    for match in filter(None, found):
        configs.setdefault(match["config"], {}).setdefault(match["split"], []).append(match[0])
    return {
        name: {"data_files": [{"split": split, "path": paths} for split, paths in splits.items()]}
        for name, splits in configs.items()
    }


def _config(what: str, configs: Mapping[str, Mapping[str, Any]], asked: str | None) -> str:
    if asked is not None and asked in configs:
        return asked
    defaults = [name for name in configs if len(configs) == 1 or name == DEFAULT or configs[name].get("default")]
    if asked is None and defaults:
        return defaults[0]
    there = ", ".join(configs)
    if asked is None:
        raise MedslmError(f"{what} has several configurations and no default; name one of {there}")
    raise MedslmError(f"{what} has no configuration '{asked}'; it has {there}")


def _patterns(what: str, root: Path, config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Split -> patterns of its files, all of them inside the repository."""
    from datasets.data_files import EmptyDatasetError, get_data_patterns, sanitize_patterns

    folder = str(config.get("data_dir") or "")
    _check_inside(what, [folder])
    if config.get("data_files") is None:
        try:
            return {str(split): found for split, found in get_data_patterns(str(root / folder)).items()}
        except EmptyDatasetError:
            raise MedslmError(f"{what} holds no data files; it may be gated, empty or kept elsewhere") from None
    patterns = {str(split): list(found) for split, found in sanitize_patterns(config["data_files"]).items()}
    _check_inside(what, [pattern for found in patterns.values() for pattern in found])
    return patterns


def _check_inside(what: str, patterns: Collection[str]) -> None:
    """A card may name files of its own repository only: `datasets` would also read this disk, or any address."""
    for pattern in patterns:
        if "::" in pattern or "://" in pattern or pattern.startswith(("/", "~")) or ".." in pattern.split("/"):
            raise MedslmError(f"the card of {what} asks for {pattern}, which is outside its repository: not read")


@contextmanager
def _outline(listed: Collection[str]) -> Iterator[Path]:
    """The repository as a folder of empty files, since `datasets` looks for patterns in a folder."""
    with tempfile.TemporaryDirectory(prefix="medslm-") as temporary:
        root = Path(temporary).resolve()
        for name in listed:
            path = root / name
            if root in Path(os.path.normpath(path)).parents:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        yield root


def _read_by(files: list[str], config: Mapping[str, Any], features: Any) -> Chosen:
    """The most frequent format among the files, the first of the table in a draw; files of others are not data."""
    formats = [_format(file) for file in files]
    frequent = Counter(formats)
    ending = max(READERS, key=lambda known: frequent[known])
    reader, options = READERS[ending]
    options = {**options, **{name: config[name] for name in OPTIONS.get(reader, ()) if name in config}}
    if features is not None and reader not in SCHEMA_INSIDE:
        options["features"] = features
    kept = tuple(file for file, found in zip(files, formats) if READERS.get(found, (None,))[0] == reader)
    return Chosen(kept, reader, options)


def _format(file: str) -> str:
    """The ending that says the format: `.jsonl` of `train.jsonl.gz`."""
    return next((ending for ending in reversed(PurePosixPath(file).suffixes) if ending in READERS), "")
