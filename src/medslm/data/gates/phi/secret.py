"""The key of the surrogates, which is all that leads from a stand-in back to the patient."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from medslm import environment, files
from medslm.errors import MedslmError


def secret() -> bytes:
    """The key of the surrogates: drawn once on this machine and kept there, since who has it can undo the shift of dates.

    `MEDSLM_PHI_KEY` (hexadecimal, 32 digits at least) gives several machines the same surrogates.
    """
    if given := os.environ.get("MEDSLM_PHI_KEY"):
        try:
            return bytes.fromhex(given)
        except ValueError:
            raise MedslmError("MEDSLM_PHI_KEY is not hexadecimal; `openssl rand -hex 32` makes one") from None
    path = environment.cache() / "phi.key"
    if not path.exists():
        _draw_secret(path)
    return path.read_bytes()


def _draw_secret(path: Path) -> None:
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):  # the processes of a training run ask at once
        if not path.exists():
            with files.beside(path) as temporary:
                temporary.touch(mode=0o600)
                temporary.write_bytes(secrets.token_bytes(32))
