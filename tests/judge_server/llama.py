"""A real judge: llama.cpp's own server over the embedded SmolLM2, in a process of its own."""

from __future__ import annotations

from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from medslm.infer import llama_cpp
from medslm.models.base import bases


class Llama:
    """`with Llama() as server:` llama.cpp at `server.url`, gone with the block."""

    def __enter__(self) -> Llama:  # typing.Self came with Python 3.11
        embedded = bases["smollm2-135m-instruct"].embedded
        assert embedded is not None
        spec = find_spec(embedded.module)
        assert spec is not None and spec.origin, f"{embedded.package} is not installed"
        file = Path(spec.origin).parent / embedded.file
        self._open = ExitStack()
        # one thread: several that wait for each other spin, which is slow on shared cores
        self.url = self._open.enter_context(llama_cpp.serving(file, 8192, 1)) + "/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
