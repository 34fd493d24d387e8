"""The command `medslm serve`: an endpoint that speaks OpenAI's protocol, from a server that is installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from medslm.errors import MedslmError

if TYPE_CHECKING:
    from medslm.infer.serving import Subject


def serve(
    name: Annotated[str, tyro.conf.Positional],
    *,
    export: Path | None = None,
    server: str = "",
    host: str | None = None,
    port: int = 8000,
    runs: Path = Path("runs"),
) -> None:
    """Serve a run's adapter on its base, its whole model, an export, or a base, with vLLM, llama.cpp or transformers.

    MEDSLM_ENGINE_KEY, if set, is the key that the server asks for.

    Args:
        name: The run, by its name or folder, an adapter's folder, or a base (`medslm list bases`).
        export: Folder that `medslm export` has written; llama.cpp and transformers take no adapter beside a base.
        server: vllm, llama.cpp or transformers; by default the first that is installed and can.
        host: Address to listen on; by default this machine alone.
        port: Port to listen on.
        runs: Folder of the runs.
    """
    from medslm.infer import serving

    if not 0 < port < 65536:  # 0 would be any port, and nobody could be told which
        raise MedslmError(f"--port {port} is no port that can be told to others; choose one of 1 to 65535")
    serving.start(_subject(name, export, runs), server=server, host=host, port=port)


def _subject(name: str, export: Path | None, runs: Path) -> Subject:
    from medslm.infer.serving import Subject
    from medslm.models.base import bases

    if export is not None:
        _refuse_other_files(name, export)
        return Subject(name, export=export)
    if name in bases:
        return Subject(name, bases[name])
    for folder in (runs / name, Path(name)):
        if found := _in(folder):
            return found
    raise MedslmError(
        f"nothing is called '{name}': neither a run in {runs}, nor the folder of one or of an adapter, nor a base; what is "
        "on the Hub is fetched with `medslm pull`"
    )


def _in(folder: Path) -> Subject | None:
    """What a run's folder holds, or an adapter's; none if it is neither. Raises `MedslmError` for an unfinished run."""
    from medslm import files
    from medslm.infer.serving import Subject
    from medslm.infer.whole import weights
    from medslm.models.base import resolve

    name = folder.resolve().name
    for place in (folder / "adapter", folder):
        path = place / "adapter_config.json"
        if path.is_file():
            base = files.read_json(path, "medslm pull").get("base_model_name_or_path")
            if not base:
                raise MedslmError(
                    f"{path} names no base_model_name_or_path, so that its base is not known; pull it again"
                )
            return Subject(name, resolve(base), place)
    if (whole := weights(folder)) is not None:
        return Subject(name, export=whole)
    if (folder / "run.json").is_file():
        raise MedslmError(f"the run in {folder} has left nothing to serve yet; start its recipe again, it goes on")
    return None


def _refuse_other_files(name: str, export: Path) -> None:
    """Raise `MedslmError` for a folder without weights that a server reads."""
    if not export.is_dir():
        raise MedslmError(f"{export} is no folder; `medslm export {name} --to gguf --out {export}` writes it")
    if not {path.suffix for path in export.iterdir()} & {".gguf", ".safetensors"}:
        there = ", ".join(sorted(path.name for path in export.iterdir())[:5]) or "nothing"
        raise MedslmError(
            f"{export} holds neither GGUF nor safetensors (but {there}), and no server here reads anything else; "
            f"`medslm export {name} --to gguf --out FOLDER`, then --export FOLDER"
        )
