"""On a GPU, in the environment of `make env-vllm`: vLLM says what our engine says, in process and behind its server.

make test-vllm
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from infer.apart import BASE, answered, asked, free
from infer.asked import begins
from medslm.infer.engine import Wanted
from medslm.infer.engines.address import Address
from medslm.infer.engines.openai import Server
from medslm.models import load
from medslm.models.base import resolve

pytestmark = pytest.mark.vllm

NATS = 0.1
"""A token, at most: both compute in bfloat16."""


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PEFT adapter of rank 12, a rank that vLLM reserves no memory for as it is, which changes what is said."""
    import torch
    from peft import LoraConfig, get_peft_model

    folder = tmp_path_factory.mktemp("adapter")
    torch.manual_seed(0)
    shape = LoraConfig(r=12, lora_alpha=24, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(load.model(resolve(BASE), wanted="float32"), shape)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.01)
    model.save_pretrained(folder)
    config = folder / "adapter_config.json"
    told = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps(told | {"base_model_name_or_path": resolve(BASE).hub_id}), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def ours(adapter: Path) -> dict[str, Any]:
    """What our own engine says."""
    return answered("transformers", adapter)


def require_alike(theirs: dict[str, Any], ours: dict[str, Any], lengths: Sequence[int]) -> None:
    """Greedy replies begin alike, and no continuation is further off than `NATS` a token."""
    assert begins(theirs["ids"], ours["ids"]), (theirs["replies"], ours["replies"])
    for one, two, tokens in zip(theirs["scores"], ours["scores"], lengths, strict=True):
        assert one == pytest.approx(two, abs=NATS * tokens), (theirs["scores"], ours["scores"])


def test_vllm_in_process_answers_streams_and_scores_as_ours_with_the_adapter_and_without(
    adapter: Path, ours: dict[str, Any]
) -> None:
    theirs = answered("vllm", adapter)
    for side in (theirs, theirs["base"]):
        assert side["streamed"][:10] == side["replies"][0][:10]
    require_alike(theirs, ours, ours["lengths"])
    require_alike(theirs["base"], ours["base"], ours["lengths"])
    assert theirs["scores"] != pytest.approx(theirs["base"]["scores"], abs=0.2), "the adapter made no difference"


@pytest.fixture(scope="module")
def server(adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`medslm serve` of the adapter, with vLLM, asked by the engine `openai`."""
    port, log = free(), tmp_path_factory.mktemp("server") / "log"
    command = [sys.executable, "-m", "medslm", "serve", str(adapter), "--server", "vllm", "--port", str(port)]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            wait(process, f"http://127.0.0.1:{port}/health", log)
            address = Address(f"http://127.0.0.1:{port}/v1", adapter.name, base=resolve(BASE).hub_id)
            with closing(Server(Wanted(resolve(BASE), "chat", adapter, rows=2), address)) as engine:
                yield engine
        finally:
            process.terminate()
            process.wait(60)


def wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Until the server answers."""
    for _ in range(300):
        assert process.poll() is None, log.read_text(encoding="utf-8")[-4000:]
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    raise AssertionError(log.read_text(encoding="utf-8")[-4000:])


def test_vllms_server_answers_streams_and_scores_as_ours_with_the_adapter_and_without(
    server: Server, ours: dict[str, Any]
) -> None:
    tuned = asked(server)
    with server.without_adapter():
        base = asked(server)
    assert tuned["streamed"][:10] == tuned["replies"][0][:10]
    require_alike(tuned, ours, ours["lengths"])
    require_alike(base, ours["base"], ours["lengths"])
