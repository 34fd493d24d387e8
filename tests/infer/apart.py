"""An engine in a process of its own, on the embedded base, asked what `infer.asked` holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from infer.asked import CONTINUATIONS, QUESTIONS, TOKENS

BASE = "smollm2-135m-instruct"

PROGRAM = """
import json, sys
from pathlib import Path
from medslm import environment
environment.prepare()
from medslm.infer.engines import engines
from medslm.data.example import Example
from medslm.infer.engine import Limits, Wanted
from medslm.models.base import resolve

name, base, tokens, questions, continuations, *adapter = json.loads(sys.argv[1])
wanted = Wanted(resolve(base), "chat", Path(adapter[0]) if adapter else None, dtype="bfloat16", rows=2)
engine = engines[name](wanted)
prompts = [engine.renderer.prompt(Example("q", "", question, "", family="")) for question in questions]
pairs = list(zip(prompts, continuations))

def asked():
    replies = [reply.text for reply in engine.generate(prompts, Limits(tokens))]
    streamed = engine.renderer.reply("".join(engine.stream(prompts[0], Limits(tokens))))
    ids = [engine.renderer.ids(reply) for reply in replies]
    scores = [score for score, _ in engine.loglikelihoods(pairs)]
    return {"replies": replies, "ids": ids, "streamed": streamed, "scores": scores}

told = asked()
if adapter:
    with engine.without_adapter():
        told["base"] = asked()
told["lengths"] = [len(engine.renderer.ids(one)) for one in continuations]
engine.close()
print(json.dumps(told))
"""


def answered(engine: str, adapter: Path | None = None) -> dict[str, Any]:
    """What an engine says, in bfloat16, and nothing else on stdout; with an adapter, under `base`, without it too."""
    asked = json.dumps([engine, BASE, TOKENS, QUESTIONS, CONTINUATIONS, *([str(adapter)] if adapter else [])])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, asked], check=True, stdout=subprocess.PIPE, text=True, timeout=600
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
