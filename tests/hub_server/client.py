"""One way to run the client's side: a function of a test, in a process of its own, with the Hub's variables set."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hub_server.server import HubServer

MARK = "RESULT "
KEPT = ("PATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "TMPDIR", "OMP_NUM_THREADS", "OMP_WAIT_POLICY")


class ClientFailed(AssertionError):
    """The client's process did not end well; carries what it wrote, without tokens."""


def environment(hub: HubServer, home: Path, token: str, xet: bool) -> dict[str, str]:
    """The variables of a client: they are read at import, hence a process of its own."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path if path),  # what the test can import
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "HF_ENDPOINT": hub.endpoint,
        "HF_HUB_DISABLE_XET": "0" if xet else "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "no_proxy": "*",
        **({"HF_TOKEN": token} if token else {}),
    }


def run_client(
    hub: HubServer,
    home: Path,
    snippet: Callable[..., Any],
    *,
    token: str = "",
    xet: bool = False,
    variables: dict[str, str] | None = None,
    timeout: float = 120,
    **arguments: Any,
) -> Any:
    """What `snippet(**arguments)` returns in a fresh process, in the folder `home`; both must be plain JSON.

    `snippet` is moved as source: it imports what it needs and sees nothing of its module.
    """
    source = textwrap.dedent(inspect.getsource(snippet))
    call = f"json.loads({json.dumps(json.dumps(arguments))})"
    program = f"from __future__ import annotations\nimport json\n{source}\nprint({MARK!r} + json.dumps({snippet.__name__}(**{call})))\n"
    env = {**environment(hub, home, token, xet), **(variables or {})}
    home.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, cwd=home, env=env, capture_output=True, text=True, timeout=timeout
    )
    wrote = done.stdout + done.stderr
    for secret in hub.users:
        if secret in wrote:
            raise ClientFailed("the client's output holds a token")
    results = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode or not results:
        raise ClientFailed(f"{snippet.__name__} ended with status {done.returncode}:\n{wrote}")
    return json.loads(results[-1][len(MARK) :])
