"""GGUF for llama.cpp and Ollama, through llama.cpp's own converter and quantiser.

The converter (`convert_hf_to_gguf.py`) is in no wheel of its authors, but in llama.cpp's repository and in the source
distributions that carry it: https://github.com/ggml-org/llama.cpp.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from medslm import files
from medslm.errors import MedslmError
from medslm.export import modelfile, outside
from medslm.export.drift import Bound, Reader
from medslm.export.subject import Subject
from medslm.export.torch_reader import TorchReader
from medslm.infer import llama_cpp
from medslm.models import load
from medslm.registry import nearest

SCRIPT, QUANTISER, VARIABLE = "convert_hf_to_gguf.py", "llama-quantize", llama_cpp.VARIABLE
CONVERTED = ("f32", "f16", "bf16", "q8_0")
"""Types that the converter writes by itself; all others are made by the quantiser from bf16."""

BOUNDS = {
    "f32": Bound(0.01, 0.1),
    "f16": Bound(0.01, 0.1),
    "bf16": Bound(0.01, 0.1),
    "q8_0": Bound(0.02, 0.15),
}
QUANTISED = Bound(0.2, 0.25)
"""Of the quantiser's types."""

GET = (
    "get llama.cpp's sources (git clone https://github.com/ggml-org/llama.cpp, or `pip download --no-deps --no-binary "
    "llama-cpp-python llama-cpp-python` and unpack it: vendor/llama.cpp) and name their folder in MEDSLM_LLAMA_CPP, or "
    "the script with --converter"
)


def bound(kind: str) -> Bound:
    """How far a file of this type may be from the adapter."""
    return BOUNDS.get(kind, QUANTISED)


def converter(named: Path | None) -> Path:
    """The converter: the one that is named, or in the folder that MEDSLM_LLAMA_CPP names. Raises `MedslmError`."""
    folder = os.environ.get(VARIABLE)
    found = named or (Path(folder).expanduser() / SCRIPT if folder else None)
    if found is None:
        raise MedslmError(f"GGUF is written by llama.cpp's own {SCRIPT}, which is not there: {GET}")
    if not found.is_file():
        raise MedslmError(f"there is no {SCRIPT} at {found}: {GET}")
    return found.resolve()


def quantiser(kind: str) -> Path | None:
    """The program that makes this type; none if the converter does. Raises `MedslmError` if it is not there."""
    if kind in CONVERTED:
        return None
    found = llama_cpp.program(QUANTISER)
    _refuse_unknown(kind, found)
    if found:
        return Path(found)
    raise MedslmError(
        f"type {kind} is made by llama.cpp's {QUANTISER}, which is neither in the folder of {VARIABLE} nor on the "
        f"PATH; build or install llama.cpp, or choose one of {', '.join(CONVERTED)}"
    )


def _refuse_unknown(kind: str, program: str) -> None:
    """Raise `MedslmError` for a type that neither the package gguf nor the quantiser names: one would tell it too late."""
    from gguf import LlamaFileType

    known = {kind.name.partition("_")[2].lower() for kind in LlamaFileType} - {""} | set(CONVERTED)
    if kind in known or (program and kind in outside.words(program, "--help")):
        return
    raise MedslmError(f"gguf has no type '{kind}'{nearest(kind, sorted(known))} known: {', '.join(sorted(known))}")


def write(subject: Subject, merged: Path, folder: Path, kind: str, script: Path) -> Path:
    """`folder/<name>-<kind>.gguf` and the `Modelfile` beside it, of the merged model in `merged`; returns the file.

    Raises `MedslmError` with the end of the converter's output where it fails.
    """
    _tell_beginning(subject, merged)
    program, made = quantiser(kind), folder / f"{subject.name}-{kind}.gguf"
    first = made if program is None else folder / ".wide.gguf"
    wide = kind if program is None else "bf16"
    command: list[str | Path] = [
        sys.executable,
        script,
        merged,
        "--outfile",
        first,
        "--outtype",
        wide,
        "--model-name",
        subject.name,
    ]
    outside.run(command, first, f"the converter {script.name}")
    if program is not None:
        outside.run([program, first, made, kind.upper()], made, f"the quantiser {program.name}")
        files.remove(first)
    _refuse_other_prompts(subject, made)
    files.write_text(folder / "Modelfile", modelfile.text(subject, made.name))
    return made


def _tell_beginning(subject: Subject, merged: Path) -> None:
    """Have the converter write whether a text begins with BOS: just where the run's prompts do.

    Without a word on it, llama.cpp and Ollama assume either, each for other tokenizers.
    """
    config = merged / "tokenizer_config.json"
    told = {"add_bos_token": bool(modelfile.begin(subject)), "add_eos_token": False}
    files.write_json(config, files.read_json(config, "save_pretrained") | told)


def _refuse_other_prompts(subject: Subject, made: Path) -> None:
    """Raise `MedslmError` for a file that cannot be read, or by which a prompt would differ from the run's."""
    from gguf import GGUFReader

    try:
        found = GGUFReader(made)
        fields = [found.get_field(f"tokenizer.{name}") for name in ("chat_template", "ggml.add_bos_token")]
    except (ValueError, IndexError, OSError) as error:
        raise MedslmError(
            f"the converter wrote {made.name}, which is no GGUF file: {error}; use another one"
        ) from error
    held, begins = (None if field is None else field.contents() for field in fields)
    if held != subject.tokenizer.chat_template:
        raise MedslmError(
            f"the converter wrote {'another' if held else 'no'} chat template into {made.name}, so that servers would ask "
            "otherwise than the run was trained; use another version of the converter"
        )
    if begins is not bool(modelfile.begin(subject)):
        raise MedslmError(
            f"the converter wrote add_bos_token={begins} into {made.name}, so that servers would begin prompts otherwise "
            "than the run's begin; use another version of the converter"
        )


def require(kind: str, named: Path | None) -> None:
    """Raise `MedslmError` for what writing and reading this type needs and is not there."""
    converter(named)
    if importlib.util.find_spec("gguf") is None:
        raise MedslmError('a GGUF file is read back with the package gguf; `pip install "medslm[quickstart]"`')
    quantiser(kind)


def read(made: Path) -> Reader:
    """The file through transformers, which takes each weight as it is stored, in float32."""
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    options: dict[str, Any] = {"quantization_config": GgufConfig(dequantize=True)}
    model = AutoModelForCausalLM.from_pretrained(made.parent, gguf_file=made.name, dtype=torch.float32, **options)
    versions = " and ".join(f"{name} {importlib.metadata.version(name)}" for name in ("transformers", "gguf"))
    return TorchReader(model.to(load.device()), versions)
