"""Weights & Biases: online where there is a key, else offline, and never a question."""

from __future__ import annotations

import importlib.util
import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlparse

_ours: dict[str, str] = {}
"""Variables that an earlier run of this process has set: another run may set them anew, the user's own stay."""


def has_key() -> bool:
    """True if WANDB_API_KEY is set or `wandb login` has left a key in ~/.netrc."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def configure(run: Path, identity: str) -> tuple[list[str], str]:
    """Decide before the first import of wandb; returns what the curve is told to, and a line for the user.

    Only metrics are logged: no console output (it could quote a record), no code, no checkpoints. A resumed run goes on
    under the same `identity`.
    """
    if importlib.util.find_spec("wandb") is None:
        return [], "W&B: not installed; `pip install wandb` to log the curves"
    if os.environ.get("WANDB_MODE") == "disabled":
        return [], "W&B: disabled by WANDB_MODE"
    mode = _default("WANDB_MODE", "online" if has_key() else "offline")
    defaults = {
        "WANDB_DIR": str(run),
        "WANDB_PROJECT": "medslm",
        "WANDB_RUN_ID": identity,
        "WANDB_RESUME": "allow",
        "WANDB_CONSOLE": "off",
        "WANDB_LOG_MODEL": "false",
        "WANDB_WATCH": "false",
        "WANDB_DISABLE_GIT": "true",
        "WANDB_X_DISABLE_META": "true",  # the command line, the host and the user
    }
    for name, value in defaults.items():
        _default(name, value)
    where = f"offline, in {run / 'wandb'}; `wandb sync` uploads it" if mode == "offline" else mode
    return ["wandb"], f"W&B: {where}"


def _default(name: str, value: str) -> str:
    """Set a variable that the user has not set; returns what holds."""
    if os.environ.get(name) in (None, _ours.get(name)):
        os.environ[name] = _ours[name] = value
    return os.environ[name]


def told(report_to: list[str]) -> dict[str, str]:
    """What `run.json` keeps of it: whether the curves are logged, and under which id."""
    if not report_to:
        return {"wandb": "off"}
    return {"wandb": os.environ["WANDB_MODE"], "id": os.environ["WANDB_RUN_ID"]}


class Curves:
    """The points of a run in W&B under the names that transformers gives them, or nowhere; numbers only, never text.

    transformers' own callback is not used: it tells the folder of the run and of the base, which name who works here.
    """

    def __init__(self, report_to: list[str], name: str, settings: Mapping[str, Any], log: bool = True) -> None:
        self._run: Any = None
        self.told = told(report_to)
        """What `run.json` keeps of it."""
        if not (report_to and log):
            return
        import wandb

        from medslm.train.planning import say  # which imports transformers

        numbers = {key: value for key, value in settings.items() if isinstance(value, (bool, int, float))}
        try:
            self._run = wandb.init(name=name, config=numbers, **_anew())
        except wandb.Error as error:
            self.told = {"wandb": f"failed: {type(error).__name__}"}
            say(f"W&B: not logged ({error}); the curve is kept in run.json all the same")
            return
        self._run.define_metric("train/global_step")
        self._run.define_metric("*", step_metric="train/global_step")

    def __enter__(self) -> Curves:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._run is not None:
            self._run.finish(exit_code=0 if kind is None else 1)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a step; `eval_loss` becomes `eval/loss`, anything else `train/<name>`."""
        if self._run is not None:
            named = {_named(name): value for name, value in values.items()}
            self._run.log({"train/global_step": step, **named})


def _anew() -> dict[str, Any]:
    """What differs from run to run; wandb reads the environment once in a process."""
    names = {"mode": "WANDB_MODE", "dir": "WANDB_DIR", "id": "WANDB_RUN_ID", "project": "WANDB_PROJECT"}
    return {argument: os.environ[variable] for argument, variable in names.items()}


def _named(name: str) -> str:
    return f"eval/{name.removeprefix('eval_')}" if name.startswith("eval_") else f"train/{name}"
