"""An engine in a process of its own, on the embedded base, asked what `infer.asked` holds."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infer.asked import CONTINUATIONS, QUESTIONS, TOKENS

if TYPE_CHECKING:
    from medslm.infer.engine import Engine

BASE = "smollm2-135m-instruct"
PROGRAM = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r}); from infer.apart import main; main()"


def answered(engine: str, adapter: Path | None = None) -> dict[str, Any]:
    """What an engine says, in bfloat16, and nothing else on stdout; with an adapter, under `base`, without it too."""
    words = [engine, *([str(adapter)] if adapter else [])]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], check=True, stdout=subprocess.PIPE, text=True, timeout=600
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """The program of that process: the name of an engine, and perhaps the folder of an adapter."""
    from medslm import environment

    environment.prepare()
    from medslm.infer.engine import Wanted
    from medslm.infer.engines import engines
    from medslm.models.base import resolve

    name, *adapter = sys.argv[1:]
    wanted = Wanted(resolve(BASE), "chat", Path(adapter[0]) if adapter else None, dtype="bfloat16", rows=2)
    engine = engines[name](wanted)
    told = asked(engine)
    if adapter:
        with engine.without_adapter():
            told["base"] = asked(engine)
    told["lengths"] = [len(engine.renderer.ids(one)) for one in CONTINUATIONS]
    engine.close()
    print(json.dumps(told))


def asked(engine: Engine) -> dict[str, Any]:
    """Replies as texts and as tokens, the first of them streamed, and how likely the continuations are."""
    from medslm.data.example import Example
    from medslm.infer.engine import Limits

    prompts = [engine.renderer.prompt(Example("q", "", question, "", family="")) for question in QUESTIONS]
    replies = [reply.text for reply in engine.generate(prompts, Limits(TOKENS))]
    streamed = engine.renderer.reply("".join(engine.stream(prompts[0], Limits(TOKENS))))
    ids = [engine.renderer.ids(reply) for reply in replies]
    scores = [score for score, _ in engine.loglikelihoods(list(zip(prompts, CONTINUATIONS)))]
    return {"replies": replies, "ids": ids, "streamed": streamed, "scores": scores}


def free() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
