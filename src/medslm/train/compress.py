"""`medslm compress NAME --scheme w4a16`: a trained model in fewer bits, or with half of its weights zero, and what it lost.

LLM Compressor does it after training, on the merged model, calibrated on rows that the run learnt from. It asks for
transformers up to 5.17, so it lives in an environment of its own (`make env-compress`); from any other, the same command
is run there.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medslm import environment, files
from medslm.errors import MedslmError, as_exit_code
from medslm.recipe import Sft

if TYPE_CHECKING:
    import datasets

SCHEMES = {
    "w4a16": "weights in 4 bits with a scale to each group, by GPTQ (arXiv:2210.17323)",
    "w8a8": "weights in 8 bits by GPTQ, activations in 8 bits with a scale to each token",
    "sparse24": "two of four neighbouring weights zero, by SparseGPT (arXiv:2301.00774); kept dense",
}

SAMPLES = 256
"""Training rows to calibrate on; GPTQ's authors take 128 of 2,048 tokens."""

GROUPS = (128, 64, 32)
"""Weights to one scale, of which the largest is taken that divides every layer's inputs; kernels know these."""

HERE = "MEDSLM_COMPRESS"
"""Environment variable: the Python that has LLM Compressor, if not `.venv-compress/bin/python`."""

PACKAGES = ("medslm", "torch", "transformers", "llmcompressor", "compressed-tensors")


def compress(run: Path, scheme: str, samples: int = SAMPLES, recipe: Sft | None = None) -> dict[str, Any]:
    """Compress what a finished run learnt into `run/compressed/<scheme>/`; returns the record, `<scheme>.json` beside it.

    The record has the SHA-256 of each file, and the mean loss in nats per completion token of the validation rows before
    and after, the latter of the model as it is loaded from the disk. `recipe` is the run's own, which is needed where its
    data are files of one's own. Raises `MedslmError` for an unknown scheme, a run that is not finished or of another
    recipe, and without LLM Compressor.
    """
    _require(run, scheme, samples)
    if importlib.util.find_spec("llmcompressor") is None:
        _elsewhere(run, scheme, samples, recipe)
    else:
        _compress(run, scheme, samples, recipe)
    found: dict[str, Any] = files.read_json(run / "compressed" / f"{scheme}.json", "medslm compress")
    return found


def _require(run: Path, scheme: str, samples: int) -> None:
    if scheme not in SCHEMES:
        known = "; ".join(f"{name}: {what}" for name, what in SCHEMES.items())
        raise MedslmError(f"no compression is called '{scheme}'; known: {known}")
    if samples < 1:
        raise MedslmError(f"samples={samples} leaves nothing to calibrate on; take at least 1")
    record = files.read_json(run / "run.json", "accelerate launch")
    if record["status"] != "finished":
        raise MedslmError(f"the run in {run} is not finished; start its recipe again, it goes on where it stopped")


def _elsewhere(run: Path, scheme: str, samples: int, recipe: Sft | None) -> None:
    """The same in the environment that has LLM Compressor; what it prints is shown."""
    python = Path(os.environ.get(HERE) or ".venv-compress/bin/python")
    if not python.is_file():
        raise MedslmError(
            "medslm compress needs LLM Compressor, which is not installed here: it asks for an older transformers than "
            f"ours. `make env-compress` makes an environment for it, and {python} is then found; or name its Python in "
            f"{HERE}"
        )
    asked = {"run": str(run), "scheme": scheme, "samples": samples}
    asked["recipe"] = json.dumps(_paths_kept(recipe)) if recipe else ""
    done = subprocess.run([str(python), "-m", "medslm.train.compress", json.dumps(asked)], check=False)
    if done.returncode:
        raise MedslmError(f"compressing in {python} failed with exit status {done.returncode}; its own words are above")


def _paths_kept(recipe: Sft) -> dict[str, Any]:
    """A recipe's fields as they are: `as_dict` leaves out the folders of one's own files."""
    import dataclasses

    return dataclasses.asdict(recipe)


def _compress(run: Path, scheme: str, samples: int, recipe: Sft | None) -> None:
    from medslm.train import planning
    from medslm.train import record as records

    record = files.read_json(run / "run.json", "accelerate launch")
    if "adapter_sha256" not in record:
        raise MedslmError(f"{run} holds no fine-tuned model; what was pretrained from random weights is not compressed")
    planned = planning.plan(recipe or Sft(**record["recipe"]), run)
    records.refuse_another(run, record, planned.fingerprint)
    model = merged(run, record)
    folder = run / "compressed" / scheme
    before = mean_loss(model, planned.rows.validation)
    rows = _calibration(planned.rows.train, samples, planned.recipe.seed)
    how = _oneshot(model, rows, scheme)
    with files.beside(folder) as temporary:
        model.save_pretrained(str(temporary), save_compressed=True)
        planned.tokenizer.save_pretrained(str(temporary))
        del model
        after = mean_loss(_loaded(temporary), planned.rows.validation)
        if not math.isfinite(after):
            raise MedslmError(
                f"the model of {run} tells no probabilities after {scheme} (validation loss {after}), and nothing of it is "
                "kept; calibrate on more rows with --samples, or choose another scheme"
            )
    told = {
        "scheme": scheme,
        "how": how,
        "fingerprint": record["fingerprint"],
        "adapter_sha256": record["adapter_sha256"],
        "calibration": {"rows": len(rows), "tokens": sum(map(len, rows["input_ids"]))},
        "validation": {"rows": len(planned.rows.validation), "before": before, "after": after, "drift": after - before},
        "files": {path.name: files.sha256(path) for path in sorted(folder.iterdir())},
        "bytes": sum(path.stat().st_size for path in folder.glob("*.safetensors")),
        "packages": environment.versions(PACKAGES),
    }
    files.write_json(run / "compressed" / f"{scheme}.json", told)
    print(
        f"{folder}: {told['bytes'] / 2**20:,.0f} MiB; validation loss {before:.4f} -> {after:.4f} "
        f"({len(rows)} training rows to calibrate)",
        flush=True,
    )


def merged(run: Path, record: Mapping[str, Any]) -> Any:
    """What the run learnt as one model: an adapter is added to the full-precision base, in float32."""
    from medslm.models import load, whole
    from medslm.models.base import resolve

    wanted = load.dtype(record["recipe"]["dtype"])
    if record["recipe"].get("trainer") == "full":
        return whole.trained(run / whole.FOLDER, record["recipe"]["dtype"])
    base = load.model(resolve(record["recipe"]["base"]), wanted="float32")
    return load.with_adapter(base, run / "adapter").merge_and_unload().to(wanted).eval()


def _loaded(folder: Path) -> Any:
    """As anybody loads it."""
    from transformers import AutoModelForCausalLM

    from medslm.models import load

    return AutoModelForCausalLM.from_pretrained(folder, dtype="auto").to(load.device()).eval()


def mean_loss(model: Any, rows: datasets.Dataset) -> float:
    """Mean negative log-likelihood of the completion tokens of all rows, each by itself, in nats."""
    import torch

    from medslm.models.passes import lay
    from medslm.train.batches import Documents

    total, tokens = 0.0, 0
    with torch.inference_mode():
        for document in Documents(rows).__getitems__(range(len(rows))):
            one = lay([document]).to(model.device)
            logits = model(input_ids=one.input_ids, use_cache=False).logits[0, one.predicts].float()
            total += float(torch.nn.functional.cross_entropy(logits, one.targets, reduction="sum"))
            tokens += len(one.targets)
    return total / tokens


def _calibration(rows: datasets.Dataset, samples: int, seed: int) -> datasets.Dataset:
    """Up to `samples` training rows, drawn; whole, and with their prompts, as the model will see them."""
    drawn = rows.shuffle(seed=seed).select(range(min(samples, len(rows)))).select_columns(["input_ids"])
    return drawn.map(lambda row: {"attention_mask": [1] * len(row["input_ids"])}, load_from_cache_file=False)


def _oneshot(model: Any, rows: datasets.Dataset, scheme: str) -> dict[str, Any]:
    """Compress the model in place, and say how."""
    from llmcompressor import oneshot  # type: ignore[import-not-found]

    modifier, how = _sparse() if scheme == "sparse24" else _quantised(model, scheme)
    longest = max(map(len, rows["input_ids"]))
    oneshot(
        model=model,
        dataset=rows,
        recipe=[modifier],
        num_calibration_samples=len(rows),
        max_seq_length=longest,
        shuffle_calibration_samples=False,
        log_dir=None,
    )
    return how


def _sparse() -> tuple[Any, dict[str, Any]]:
    from llmcompressor.modifiers.pruning import SparseGPTModifier  # type: ignore[import-not-found]

    how = {"sparsity": 0.5, "mask_structure": "2:4"}
    return SparseGPTModifier(**how, targets=["Linear"], ignore=["re:.*lm_head"]), {
        **how,
        "targets": "Linear but lm_head",
    }


def _quantised(model: Any, scheme: str) -> tuple[Any, dict[str, Any]]:
    from compressed_tensors.quantization import QuantizationScheme  # type: ignore[import-not-found]
    from llmcompressor.modifiers.gptq import GPTQModifier  # type: ignore[import-not-found]

    weights: dict[str, Any] = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"}
    inputs: dict[str, Any] | None = {**weights, "strategy": "token", "dynamic": True}
    if scheme == "w4a16":
        weights = {**weights, "num_bits": 4, "strategy": "group", "group_size": _group(model)}
        inputs = None
    group = QuantizationScheme(targets=["Linear"], weights=weights, input_activations=inputs)
    how = {"weights": weights, "input_activations": inputs, "targets": "Linear but lm_head"}
    return GPTQModifier(config_groups={"group_0": group}, ignore=["lm_head"]), how


def _group(model: Any) -> int:
    """How many weights share a scale. Raises `MedslmError` where no known size divides each layer's inputs."""
    import torch

    head = model.get_output_embeddings()
    inputs = {part.in_features for part in model.modules() if isinstance(part, torch.nn.Linear) and part is not head}
    found = next((size for size in GROUPS if all(width % size == 0 for width in inputs)), None)
    if found is None:
        raise MedslmError(
            f"w4a16 shares a scale among {', '.join(map(str, GROUPS))} weights, and no such number divides the inputs of "
            f"all layers ({', '.join(map(str, sorted(inputs)))}); choose --scheme w8a8"
        )
    return found


def _main() -> None:
    environment.prepare()
    with as_exit_code():
        asked = json.loads(sys.argv[1])
        recipe = Sft(**json.loads(asked["recipe"])) if asked["recipe"] else None
        _compress(Path(asked["run"]), asked["scheme"], asked["samples"], recipe)


if __name__ == "__main__":
    _main()
