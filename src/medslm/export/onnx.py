"""ONNX for ONNX Runtime, through Optimum's exporter in an environment of its own.

optimum-onnx 0.1 needs transformers < 4.58 and MedSLM needs 5.17 or later (https://pypi.org/project/optimum-onnx/), so
that its program `optimum-cli` is started as a process; what it wrote is read back here, by ONNX Runtime.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medslm import files
from medslm.errors import MedslmError
from medslm.export import outside
from medslm.export.drift import Bound
from medslm.export.subject import Passage

if TYPE_CHECKING:
    import numpy

PROGRAM, VARIABLE, MODEL = "optimum-cli", "MEDSLM_OPTIMUM", "model.onnx"
BOUND = Bound(0.01, 0.1)
MADE = (
    "`make env-onnx` makes an environment for it; name its program with --converter .venv-onnx/bin/optimum-cli or in "
    "MEDSLM_OPTIMUM"
)


def converter(named: Path | None) -> Path:
    """Optimum's program: the one that is named, in MEDSLM_OPTIMUM, or on the PATH. Raises `MedslmError`."""
    told = named or os.environ.get(VARIABLE) or shutil.which(PROGRAM)
    if told is None:
        raise MedslmError(f"ONNX is written by Optimum's {PROGRAM}, which is not there: {MADE}")
    if not Path(told).is_file():
        raise MedslmError(f"there is no {PROGRAM} at {told}: {MADE}")
    return Path(told).absolute()  # not resolved: a link into an environment is what makes it that environment's


def require(named: Path | None) -> None:
    """Raise `MedslmError` for what writing and reading needs and is not there."""
    converter(named)
    if importlib.util.find_spec("onnxruntime") is None:
        raise MedslmError(
            'an ONNX export is read back by ONNX Runtime, which is not installed; `pip install "medslm[onnx]"`'
        )


def write(merged: Path, folder: Path, named: Path | None) -> Path:
    """The merged model as `folder/model.onnx` in float32, with keys and values as inputs. Returns the model's file."""
    _tell_older_versions(merged / "config.json")
    made = folder / MODEL
    words: list[str | Path] = [
        "export",
        "onnx",
        "--model",
        merged,
        "--task",
        "text-generation-with-past",
        "--no-post-process",
        folder,
    ]
    outside.run([converter(named), *words], made, f"Optimum's {PROGRAM}")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        if (merged / name).is_file():
            shutil.copyfile(merged / name, folder / name)
    return made


def _tell_older_versions(config: Path) -> None:
    """transformers 4 looks for the rotary frequencies where it kept them itself, and would take its default unasked."""
    told = files.read_json(config, "save_pretrained")
    rotary = dict(told.get("rope_parameters") or {})
    if "rope_theta" in rotary:
        told["rope_theta"] = rotary.pop("rope_theta")
        scaled = rotary.get("rope_type", "default") != "default"
        files.write_json(config, told | ({"rope_scaling": rotary} if scaled else {}))


class OnnxReader:
    """`medslm.export.drift.Reader` over ONNX Runtime, on the CPU."""

    def __init__(self, made: Path) -> None:
        import onnxruntime

        self.loader = f"onnxruntime {importlib.metadata.version('onnxruntime')}"
        try:
            self._session = onnxruntime.InferenceSession(str(made), providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no common class of their own
            raise MedslmError(
                f"ONNX Runtime cannot read {made.name}: {error}; use another version of optimum"
            ) from error

    def read(self, passage: Passage) -> numpy.ndarray[Any, Any]:
        """(P, V) float32."""
        import numpy

        length = len(passage.ids)
        known = {
            "input_ids": numpy.array([passage.ids], dtype="i8"),
            "attention_mask": numpy.ones((1, length), dtype="i8"),
            "position_ids": numpy.arange(length, dtype="i8")[None],
        }
        fed = {one.name: known[one.name] if one.name in known else _nothing(one) for one in self._session.get_inputs()}
        logits = self._session.run(["logits"], fed)[0][0, passage.start - 1 : -1].astype("f4")
        logits -= logits.max(axis=1, keepdims=True)
        found: numpy.ndarray[Any, Any] = logits - numpy.log(numpy.exp(logits).sum(axis=1, keepdims=True))
        return found


def _nothing(wanted: Any) -> numpy.ndarray[Any, Any]:
    """Keys or values of no token yet: (1, heads, 0, width)."""
    import numpy

    shape = [size if isinstance(size, int) else (1 if place == 0 else 0) for place, size in enumerate(wanted.shape)]
    return numpy.zeros(shape, dtype="f2" if "float16" in wanted.type else "f4")


def read(made: Path) -> OnnxReader:
    """The model through ONNX Runtime."""
    return OnnxReader(made)
