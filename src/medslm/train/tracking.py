"""Weights & Biases: online where there is a key, else offline, and never a question."""

from __future__ import annotations

import importlib.util
import netrc
import os
from pathlib import Path
from urllib.parse import urlparse


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
    """Decide before the first import of wandb; returns the Trainer's `report_to` and a line for the user.

    Only metrics are logged: no console output (it could quote a record), no code, no checkpoints. A resumed run goes on
    under the same `identity`.
    """
    if importlib.util.find_spec("wandb") is None:
        return [], "W&B: not installed; `pip install wandb` to log the curves"
    if os.environ.get("WANDB_MODE") == "disabled":
        return [], "W&B: disabled by WANDB_MODE"
    os.environ.setdefault("WANDB_MODE", "online" if has_key() else "offline")
    mode = os.environ["WANDB_MODE"]
    defaults = {
        "WANDB_DIR": str(run),
        "WANDB_PROJECT": "medslm",
        "WANDB_RUN_ID": identity,
        "WANDB_RESUME": "allow",
        "WANDB_CONSOLE": "off",
        "WANDB_LOG_MODEL": "false",
        "WANDB_WATCH": "false",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    where = f"offline, in {run / 'wandb'}; `wandb sync` uploads it" if mode == "offline" else mode
    return ["wandb"], f"W&B: {where}"
