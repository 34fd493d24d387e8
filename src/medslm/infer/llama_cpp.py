"""llama.cpp's own server, as its program or out of the package `xllamacpp`: found, and started for a user or for a block.

As a module it is the program of those who have only the package: FILE HOST PORT [NAME CONTEXT THREADS UNTIL]. The key is
read from LLAMA_API_KEY, as llama.cpp's own does. https://github.com/ggml-org/llama.cpp/tree/master/tools/server
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, NoReturn

from medslm import environment
from medslm.errors import MedslmError, as_exit_code

SERVER, PACKAGE, VARIABLE = "llama-server", "xllamacpp", "MEDSLM_LLAMA_CPP"
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""To this machine past any proxy, which can neither reach it nor is to see what is asked."""

INSTALL = "pip install xllamacpp (or llama.cpp itself, with llama-server on the PATH)"
PATIENCE = 300.0  # seconds in which a server must have read its file
SHOWN = 10  # lines of one that does not start


def program(name: str) -> str:
    """A program of llama.cpp: in the folder that MEDSLM_LLAMA_CPP names, beside Python, or on the PATH; empty if none."""
    folder = os.environ.get(VARIABLE)
    built = [Path(folder).expanduser() / inside / name for inside in ("", "build/bin")] if folder else []
    places = [*built, Path(sys.executable).with_name(name)]
    return next((str(place) for place in places if place.is_file()), None) or shutil.which(name) or ""


def installed() -> str:
    """The server that is here, with the package's version; empty if there is none."""
    if program(SERVER):
        return f"llama.cpp's {SERVER}"
    return f"llama.cpp in {PACKAGE} {importlib.metadata.version(PACKAGE)}" if find_spec(PACKAGE) else ""


def command(file: str, host: str, port: int, name: str = "", context: int = 0, threads: int = 0) -> list[str]:
    """What starts the server that is `installed`.

    It calls the model `name`. With `context` it answers one request at a time, of so many tokens; else it decides itself.
    """
    threads = threads or environment.cpus()
    if own := program(SERVER):
        words = [own, "--model", file, "--host", host, "--port", str(port), "--threads", str(threads)]
        words += ["--alias", name] if name else []
        return words + (["--ctx-size", str(context), "--parallel", "1"] if context else [])
    return [sys.executable, "-m", "medslm.infer.llama_cpp", file, host, str(port), name, str(context), str(threads)]


@contextlib.contextmanager
def serving(file: Path, context: int, threads: int = 0) -> Iterator[str]:
    """The address of a server over the file, which ends with the block: `http://127.0.0.1:PORT`.

    Raises `MedslmError` if none is installed, or it does not start.
    """
    if not (loader := installed()):
        raise MedslmError(f"llama.cpp is not installed: {INSTALL}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = command(str(file), "127.0.0.1", port, "", context, threads)
    words += [] if program(SERVER) else ["input"]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=said, stderr=said)
        try:
            _wait(process, url := f"http://127.0.0.1:{port}", f"{loader} cannot read {file.name}", said)
            yield url
        finally:
            process.terminate()
            process.communicate()


def _wait(process: subprocess.Popen[bytes], url: str, told: str, said: IO[bytes]) -> None:
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), DIRECT.open(f"{url}/health", timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.1)
    said.seek(0)
    last = "\n".join(f"  {line}" for line in said.read().decode(errors="replace").splitlines()[-SHOWN:])
    raise MedslmError(
        f"{told}: its server did not start; use another version of llama.cpp. The end of what it said:\n{last}"
    )


def main(
    file: str, host: str, port: str, name: str = "", context: str = "0", threads: str = "0", until: str = ""
) -> None:
    """Serve one GGUF file until Ctrl-C or SIGTERM, or with `until="input"` until its standard input ends.

    Raises `MedslmError` for a file that llama.cpp does not read.
    """
    import xllamacpp

    params: Any = xllamacpp.CommonParams()
    params.model.path = file
    params.hostnames, params.port = [host], int(port)
    if name:
        params.model_alias = {name}
    if int(context):
        params.n_ctx, params.n_parallel = int(context), 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(threads) or environment.cpus()
    key = os.environ.get("LLAMA_API_KEY")
    params.api_keys = [key] if key else []
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        raise MedslmError(
            f"llama.cpp cannot serve {file} ({error}); its own lines above say why: a file that is cut off, of another "
            f"version, or too large for the memory, or {host}:{port} is taken"
        ) from None
    print(f"llama.cpp listens at {server.listening_address}", flush=True)
    if until == "input":  # whoever started it may be killed
        sys.stdin.read()
        _end(0)
    threading.Event().wait()


def _end(number: int, frame: Any = None) -> NoReturn:
    os._exit(128 + number if number else 0)  # as a shell tells it; the server's threads do not end by themselves


if __name__ == "__main__":
    with as_exit_code():
        main(*sys.argv[1:])
