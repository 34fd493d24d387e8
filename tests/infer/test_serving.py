"""`medslm serve`: which server is chosen, with which flags, what it is told to listen on, and that Ctrl-C ends it."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from infer.apart import free
from medslm import environment
from medslm.errors import MedslmError
from medslm.infer import llama_cpp, serving
from medslm.infer.serving import Subject
from medslm.models.base import Base, bases
from medslm.serve_cli import _subject, serve

FOREIGN = """
import sys
from medslm import environment
environment.prepare()
from medslm.errors import as_exit_code
from medslm.serve_cli import serve
with as_exit_code():
    serve({arguments})
"""


@pytest.fixture
def adapter(tmp_path: Path, toy_base: Base) -> Subject:
    """The adapter of a run called `tuned`."""
    folder = tmp_path / "runs" / "tuned" / "adapter"
    folder.mkdir(parents=True)
    config = {"r": 24, "base_model_name_or_path": toy_base.hub_id}
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return _subject("tuned", None, tmp_path / "runs")


def export(folder: Path, *names: str) -> Subject:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return Subject("tuned", export=folder)


def installed(monkeypatch: pytest.MonkeyPatch, *programs: str) -> None:
    """Only these programs are there."""
    monkeypatch.setattr(serving, "_beside", lambda name: f"/bin/{name}" if name in programs else "")
    monkeypatch.setattr(llama_cpp, "program", lambda name: f"/bin/{name}" if name in programs else "")
    for module in (serving, llama_cpp):
        monkeypatch.setattr(module, "find_spec", lambda name: None if name == "xllamacpp" else object())


def test_vllm_serves_base_and_adapter_under_two_names(adapter: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "vllm", "llama-server", "transformers")
    name, program = serving.choose(adapter)
    plan = program.plan(adapter, "127.0.0.1", 8000)
    assert (name, plan.model, plan.base, plan.key) == ("vllm", "tuned", "toy/tiny-chat", "VLLM_API_KEY")
    words = plan.command
    assert words[:2] == ["/bin/vllm", "serve"] and Path(words[2], "config.json").is_file()
    told = dict(itertools.pairwise(words))
    assert (told["--host"], told["--port"], told["--served-model-name"]) == ("127.0.0.1", "8000", "toy/tiny-chat")
    assert "--enable-lora" in words and (told["--max-lora-rank"], told["--max-loras"]) == ("32", "1")
    assert adapter.adapter is not None and told["--lora-modules"] == f"tuned={adapter.adapter.absolute()}"


def test_a_gguf_export_goes_to_llama_cpp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "vllm", "llama-server", "transformers")
    subject = export(tmp_path / "out", "tuned-f16.gguf", "Modelfile")
    name, program = serving.choose(subject)
    words = program.plan(subject, "127.0.0.1", 8000).command
    assert (name, words[0]) == ("llama.cpp", "/bin/llama-server")
    assert words[1:] == [
        *("--model", str(tmp_path / "out" / "tuned-f16.gguf"), "--host", "127.0.0.1", "--port", "8000"),
        *("--threads", str(environment.cpus()), "--alias", "tuned"),
    ]
    (tmp_path / "out" / "other.gguf").write_bytes(b"")
    with pytest.raises(MedslmError, match="holds 2 GGUF files"):
        serving.choose(subject)


def test_whole_weights_go_to_transformers_where_vllm_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "transformers")
    subject = export(tmp_path / "out", "config.json", "model.safetensors")
    name, program = serving.choose(subject)
    plan = program.plan(subject, "127.0.0.1", 8000)
    assert (name, plan.model) == ("transformers", str(tmp_path / "out"))
    assert plan.command[:3] == ["/bin/transformers", "serve", str(tmp_path / "out")]


def test_where_nothing_can_serve_each_server_says_what_it_lacks(
    adapter: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, "transformers")
    with pytest.raises(MedslmError) as told:
        serving.choose(adapter)
    first, one, two, three = str(told.value).splitlines()
    assert first == "nothing here can serve tuned:"
    assert "vllm: not installed: make env-vllm (python -m venv" in one
    assert "medslm export tuned --to gguf --out" in two and "medslm export tuned --to safetensors" in three


def test_each_install_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    with pytest.raises(MedslmError) as told:
        serving.choose(Subject("smollm2-135m-instruct", bases["smollm2-135m-instruct"]))
    for line in ("pip install vllm", "pip install xllamacpp", "pip install 'transformers[serving]'"):
        assert line in str(told.value)


def test_a_run_is_found_by_its_folder_too(adapter: Subject, tmp_path: Path) -> None:
    assert _subject(str(tmp_path / "runs" / "tuned"), None, tmp_path / "nowhere") == adapter


def test_a_run_of_all_weights_is_served_from_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "vllm", "transformers")
    (tmp_path / "whole" / "model").mkdir(parents=True)
    for name in ("run.json", "model/config.json"):
        (tmp_path / "whole" / name).write_text("{}", encoding="utf-8")
    subject = _subject("whole", None, tmp_path)
    plan = serving.choose(subject)[1].plan(subject, "127.0.0.1", 8000)
    assert plan.command[:3] == ["/bin/vllm", "serve", str(tmp_path / "whole" / "model")] and plan.model == "whole"


def test_a_run_that_has_left_nothing_yet_is_not_called_absent(tmp_path: Path) -> None:
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "run.json").write_text('{"status": "running"}', encoding="utf-8")
    with pytest.raises(MedslmError, match="has left nothing to serve yet"):
        _subject("begun", None, tmp_path)


def test_an_adapter_that_names_no_base_is_refused(adapter: Subject, tmp_path: Path) -> None:
    assert adapter.adapter is not None
    (adapter.adapter / "adapter_config.json").write_text('{"r": 8}', encoding="utf-8")
    with pytest.raises(MedslmError, match="names no base_model_name_or_path"):
        _subject("tuned", None, tmp_path / "runs")


def test_an_export_that_no_server_reads_is_refused(tmp_path: Path) -> None:
    export(tmp_path / "onnx", "config.json", "model.onnx")
    with pytest.raises(MedslmError, match=r"neither GGUF nor safetensors \(but config\.json, model\.onnx\)"):
        _subject("tuned", tmp_path / "onnx", tmp_path)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_nobody_could_be_told_is_refused(port: int) -> None:
    with pytest.raises(MedslmError, match=f"--port {port} is no port"):
        serve("smollm2-135m-instruct", port=port)


@pytest.mark.parametrize(
    ("name", "export", "said"), [("tunde", None, "nothing is called 'tunde'"), ("tuned", "gone", "gone is no folder")]
)
def test_what_is_not_there_is_said(name: str, export: str | None, said: str, tmp_path: Path) -> None:
    with pytest.raises(MedslmError, match=said):
        _subject(name, None if export is None else tmp_path / export, tmp_path)


def test_only_an_explicit_host_opens_it_to_others_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[list[str]] = []
    monkeypatch.setattr(os, "execvpe", lambda program, words, environ: began.append(words))
    monkeypatch.delenv("MEDSLM_ENGINE_KEY", raising=False)
    subject = Subject("smollm2-135m-instruct", bases["smollm2-135m-instruct"])
    port = free()
    serving.start(subject, server="llama.cpp", port=port)
    serving.start(subject, server="llama.cpp", port=port, host="0.0.0.0")
    hosts = ["127.0.0.1", "0.0.0.0"]
    assert [words[words.index(host) + 1] for words, host in zip(began, hosts)] == [str(port)] * 2


def test_an_open_host_without_a_key_is_pointed_out() -> None:
    plan = serving.Plan([], "m", key="LLAMA_API_KEY")
    assert not any(line.startswith("note") for line in serving.told("llama.cpp", plan, "127.0.0.1", 1, key=False))
    *_, note = serving.told("llama.cpp", plan, "0.0.0.0", 1, key=False)
    assert note == ("note: 0.0.0.0 is open to other machines, and whoever reaches it may ask; set MEDSLM_ENGINE_KEY")
    with_key = serving.told("llama.cpp", plan, "0.0.0.0", 1, key=True)
    assert not any("note" in line for line in with_key) and "$MEDSLM_ENGINE_KEY" in with_key[1]
    *_, here = serving.told("transformers", serving.Plan([], "m"), "127.0.0.1", 1, key=True)
    assert here.startswith("note: this server knows no keys") and here.endswith("may ask without MEDSLM_ENGINE_KEY")
    *_, keyless = serving.told("transformers", serving.Plan([], "m"), "::", 1, key=True)
    assert keyless.endswith("this server knows no keys")


def test_a_port_that_is_taken_is_said_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(MedslmError, match=r"cannot listen on 127\.0\.0\.1:.*choose another --port"):
            serving.start(
                Subject("smollm2-135m-instruct", bases["smollm2-135m-instruct"]),
                server="llama.cpp",
                port=taken.getsockname()[1],
            )


@pytest.mark.server
def test_a_file_that_llama_cpp_does_not_read_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "half.gguf").write_bytes(b"GGUF\x03\0\0\0")
    code = FOREIGN.format(arguments=f"'half', export=pathlib.Path({str(tmp_path)!r}), port={free()}")
    ended = subprocess.run(
        [sys.executable, "-c", f"import pathlib\n{code}"], capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert f"medslm: llama.cpp cannot serve {tmp_path / 'half.gguf'}" in ended.stderr


@pytest.mark.server
def test_a_real_server_answers_the_curl_line_asks_for_the_key_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    port = free()
    code = FOREIGN.format(arguments=f"'smollm2-135m-instruct', server='llama.cpp', port={port}")
    environ = {**os.environ, "MEDSLM_ENGINE_KEY": "sk-ours"}
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=out, stderr=out, env=environ, cwd=tmp_path)
        try:
            told = _once(process, tmp_path / "out", "llama.cpp listens at")
            assert f"http://127.0.0.1:{port}/v1" in told and "sk-ours" not in told
            assert _ask(port, "sk-ours") == 200
            assert _ask(port, "sk-other") == 401
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
        finally:
            process.kill()
            process.wait()


def _once(process: subprocess.Popen[bytes], path: Path, text: str) -> str:
    """What the process has written when the text is in it."""
    while text not in (told := path.read_text(encoding="utf-8")):
        assert process.poll() is None, told
        time.sleep(0.1)
    return told


def _ask(port: int, key: str) -> int:
    body = {"model": "smollm2-135m-instruct", "prompt": "Fever is", "max_tokens": 2}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
