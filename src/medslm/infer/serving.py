"""Starts a server of others for a base with its adapter, or for an export: vLLM, llama.cpp or `transformers serve`."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from medslm.errors import MedslmError
from medslm.infer import llama_cpp
from medslm.infer.engine import Wanted
from medslm.infer.engines import vllm
from medslm.infer.engines.address import PREFIX, is_loopback
from medslm.models import source
from medslm.models.base import Base
from medslm.registry import Registry


@dataclass(frozen=True)
class Subject:
    """What is to be served: an export, or a base, perhaps with an adapter."""

    name: str
    base: Base | None = None
    adapter: Path | None = None

    export: Path | None = None
    """A folder that `medslm export` has written: whole weights, or a GGUF file."""

    @property
    def gguf(self) -> Path | None:
        """The GGUF file: of the export, or of a base that a package carries. Raises `MedslmError` for several."""
        if self.export is None:
            carried = self.base is not None and self.base.embedded is not None and self.adapter is None
            return source.gguf(self.base.embedded) if carried and self.base and self.base.embedded else None
        found = sorted(self.export.glob("*.gguf"))
        if len(found) > 1:
            raise MedslmError(f"{self.export} holds {len(found)} GGUF files; keep one in a folder")
        return found[0] if found else None

    @property
    def weights(self) -> Path | None:
        """The folder of whole weights; of a base, where it lies on this machine."""
        if self.export is None:
            return source.find(self.base).folder if self.base is not None else None
        return self.export if (self.export / "config.json").is_file() else None


@dataclass(frozen=True)
class Plan:
    """What is run."""

    command: list[str]
    model: str
    """As the server calls what was asked for."""

    base: str = ""
    """As it calls the base without the adapter."""

    key: str = ""
    """The environment variable from which it reads the key; empty if it takes none."""

    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """One kind of server."""

    install: str
    installed: Callable[[], bool]
    refusal: Callable[[Subject], str]
    """Why it cannot serve this; empty if it can."""

    plan: Callable[[Subject, str, int], Plan]
    """(what, host, port)"""


servers: Registry[Program] = Registry("server")


def choose(subject: Subject, server: str = "") -> tuple[str, Program]:
    """The server called so, or the first that is installed and can. Raises `MedslmError` with what to install."""
    found = {name: servers[name] for name in ([server] if server else servers)}
    why = {name: program.refusal(subject) for name, program in found.items()}
    for name, program in found.items():
        if not why[name] and program.installed():
            return name, program
    lines = [f"  {name}: {why[name] or 'not installed: ' + program.install}" for name, program in found.items()]
    raise MedslmError("\n".join([f"nothing here can serve {subject.name}:", *lines]))


def start(subject: Subject, *, server: str = "", host: str | None = None, port: int = 8000) -> NoReturn:
    """Print where it will listen, and become the server: Ctrl-C, its messages and its exit status are its own.

    It listens on this machine alone unless a `host` is given. Raises `MedslmError` for a port that is taken.
    """
    name, program = choose(subject, server)
    listen = host or "127.0.0.1"
    _require_free(listen, port)
    plan, key = program.plan(subject, listen, port), os.environ.get(f"{PREFIX}_KEY", "")
    for line in told(name, plan, listen, port, bool(key)):
        print(line)
    sys.stdout.flush()
    environ = {**os.environ, **plan.environment, **({plan.key: key} if plan.key and key else {})}
    os.execvpe(plan.command[0], plan.command, environ)


def told(name: str, plan: Plan, host: str, port: int, key: bool) -> list[str]:
    """What the user reads before the server speaks."""
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    url = f"http://{f'[{here}]' if ':' in here else here}:{port}/v1"
    body = json.dumps({"model": plan.model, "prompt": "Fever is", "max_tokens": 32, "temperature": 0})
    bearer = f' -H "Authorization: Bearer ${PREFIX}_KEY"' if key and plan.key else ""
    names = {"URL": url, "MODEL": plan.model, "BASE": plan.base}
    lines = [
        f"{name} will serve {plan.model} at {url}; Ctrl-C ends it",
        f"  curl {url}/completions -H 'Content-Type: application/json'{bearer} -d {shlex.quote(body)}",
        "  export " + " ".join(f"{PREFIX}_{part}={shlex.quote(value)}" for part, value in names.items() if value),
    ]
    if not is_loopback(host) and not (key and plan.key):
        how = f"set {PREFIX}_KEY" if plan.key else "this server knows no keys"
        lines.append(f"note: {host} is open to other machines, and whoever reaches it may ask; {how}")
    elif key and not plan.key:
        lines.append(
            f"note: this server knows no keys, so that whoever is on this machine may ask without {PREFIX}_KEY"
        )
    return lines


def _require_free(host: str, port: int) -> None:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        raise MedslmError(f"cannot listen on {host}:{port} ({error}); choose another --port or --host") from None


def _beside(program: str) -> str:
    """A program of this environment, or of the PATH; empty if there is none."""
    own = Path(sys.executable).with_name(program)
    return str(own) if own.is_file() else shutil.which(program) or ""


def _vllm(subject: Subject, host: str, port: int) -> Plan:
    where = ["--host", host, "--port", str(port)]
    plain = ["--generation-config", "vllm"]  # else settings of the base's own would bend what is likeliest
    served = subject.name if subject.adapter is None or subject.base is None else subject.base.hub_id
    command = [_beside("vllm"), "serve", str(subject.weights), *where, *plain, "--served-model-name", served]
    if subject.adapter is None or subject.base is None:
        return Plan(command, served, key="VLLM_API_KEY")
    rank = vllm.reserved(vllm.rank(Wanted(subject.base, "", subject.adapter)))
    module = f"{subject.name}={subject.adapter.absolute()}"
    command += ["--enable-lora", "--max-loras", "1", "--max-lora-rank", str(rank), "--lora-modules", module]
    return Plan(command, subject.name, served, key="VLLM_API_KEY")


def _llama_cpp(subject: Subject, host: str, port: int) -> Plan:
    return Plan(llama_cpp.command(str(subject.gguf), host, port, subject.name), subject.name, key="LLAMA_API_KEY")


def _transformers(subject: Subject, host: str, port: int) -> Plan:
    folder = str(subject.weights)
    return Plan([_beside("transformers"), "serve", folder, "--host", host, "--port", str(port)], folder)


EXPORT = "`medslm export {name} --to {to} --out FOLDER`, then --export FOLDER"


def _needs_weights(subject: Subject) -> str:
    there = subject.export is None or subject.weights is not None
    return "" if there else "the export holds no whole weights (safetensors)"


def _needs_gguf(subject: Subject) -> str:
    return "" if subject.gguf is not None else "it reads GGUF: " + EXPORT.format(name=subject.name, to="gguf")


def _needs_one_model(subject: Subject) -> str:
    if subject.adapter is not None:
        return "it takes no adapter beside a base: " + EXPORT.format(name=subject.name, to="safetensors")
    return _needs_weights(subject)


servers.add("vllm", Program(vllm.INSTALL, lambda: bool(_beside("vllm")), _needs_weights, _vllm))
servers.add(
    "llama.cpp",
    Program(
        "pip install xllamacpp (or llama.cpp itself, with llama-server on the PATH)",
        lambda: bool(_beside("llama-server")) or find_spec("xllamacpp") is not None,
        _needs_gguf,
        _llama_cpp,
    ),
)
servers.add(
    "transformers",
    Program(
        "pip install 'transformers[serving]'",
        lambda: bool(_beside("transformers")) and all(map(find_spec, ("fastapi", "uvicorn", "openai"))),
        _needs_one_model,
        _transformers,
    ),
)
