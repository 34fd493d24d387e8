"""GGUF through a converter that is not ours: what fails leaves nothing, and what is kept is the adapter."""

from __future__ import annotations

import http.server
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from medslm.errors import MedslmError
from medslm.export import gguf, outside
from medslm.export.formats import Options
from medslm.export.run import export
from medslm.infer import llama_cpp

CONVERTER = Path(__file__).with_name("converter.py")


def test_what_is_kept_is_the_adapter_with_its_template_and_begins_texts_as_the_run_did(
    run: Path, tmp_path: Path
) -> None:
    from gguf import GGUFReader

    made = export(run, "gguf", tmp_path / "out", Options("f32", CONVERTER), items=9)
    assert made.record["drift"]["divergence"] < 1e-6
    assert {path.name for path in made.folder.iterdir()} == {
        *("toy-run-f32.gguf", "Modelfile", "README.md", "export.json")
    }
    begins = GGUFReader(made.folder / "toy-run-f32.gguf").get_field("tokenizer.ggml.add_bos_token")
    assert begins is not None and begins.contents() is False
    if llama_cpp.installed():  # it has cut the prompts into the run's tokens, or this were not here
        assert made.record["served"]["prompts"] == made.record["drift"]["prompts"]


@pytest.mark.parametrize(
    ("misdeed", "told"),
    [
        ("fails", "failed with status 1.*Writing: 41%.*blk.7 has no place"),
        ("dies", "was ended by signal 9.*Writing: 41%"),
        ("disk full", "failed with status 1.*No space left on device"),
        ("writes nothing", "wrote no toy-run-f16.gguf"),
        ("writes half", "wrote toy-run-f16.gguf, which is no GGUF file"),
        ("another template", "wrote another chat template into toy-run-f16.gguf"),
        ("begins texts", "wrote add_bos_token=None into toy-run-f16.gguf"),
        ("another matrix", "toy-run as gguf is not the adapter any more.*It was removed"),
    ],
)
def test_a_converter_that_fails_or_errs_leaves_nothing(
    misdeed: str, told: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "exports" / "toy"
    monkeypatch.setenv("MISDEED", misdeed)
    with pytest.raises(MedslmError, match="(?s)" + told):
        export(run, "gguf", out, Options("f16", CONVERTER), items=9)
    assert os.listdir(out.parent) == []


def test_where_llama_cpp_cuts_other_tokens_out_of_the_file_nothing_is_kept(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("xllamacpp")
    monkeypatch.setenv("MISDEED", "other tokens")
    with pytest.raises(MedslmError, match="cuts a prompt into other tokens than the run's tokenizer"):
        export(run, "gguf", tmp_path / "exports" / "toy", Options("f16", CONVERTER), items=9)
    assert os.listdir(tmp_path / "exports") == []


def test_without_a_converter_it_is_said_where_one_is_found(monkeypatch: Any) -> None:
    monkeypatch.delenv("MEDSLM_LLAMA_CPP", raising=False)
    with pytest.raises(MedslmError, match=r"github\.com/ggml-org/llama\.cpp.*MEDSLM_LLAMA_CPP.*--converter"):
        gguf.converter(None)


def test_a_type_that_needs_the_quantiser_says_so(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("MEDSLM_LLAMA_CPP", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MedslmError, match=r"q4_k_m is made by llama\.cpp's llama-quantize"):
        gguf.quantiser("q4_k_m")
    assert gguf.quantiser("q8_0") is None


def test_a_mistyped_type_is_refused_whether_or_not_the_quantiser_is_there(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("MEDSLM_LLAMA_CPP", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(MedslmError, match=r"gguf has no type 'q4km'; did you mean 'q4_k_m'\? known: bf16, f16"):
        gguf.quantiser("q4km")
    program = tmp_path / gguf.QUANTISER
    program.write_text(
        "#!/bin/sh\necho '  15  or  Q4_K_M  :  4.58G'\necho '  99  or  Q3_NEW :  3.0G'\n", encoding="utf-8"
    )
    program.chmod(0o755)
    with pytest.raises(MedslmError, match="gguf has no type 'q4km'"):
        gguf.quantiser("q4km")
    assert gguf.quantiser("q4_k_m") == gguf.quantiser("q3_new") == program


class Answers(http.server.BaseHTTPRequestHandler):
    """Says which key it was asked with."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        told = json.dumps(self.headers["Authorization"]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: Any) -> None:
        pass


def test_llama_cpp_is_asked_with_its_key_and_past_the_machines_proxy(monkeypatch: Any) -> None:
    from medslm.export.llama_cpp import _post

    monkeypatch.setenv("LLAMA_API_KEY", "secret")
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody is there
    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert _post(f"http://127.0.0.1:{server.server_port}/tokenize", {}) == "Bearer secret"


def test_a_program_that_succeeds_is_silent(tmp_path: Path, capfd: Any) -> None:
    outside.run(["sh", "-c", f"echo loud; : > {tmp_path / 'made'}"], tmp_path / "made", "it")
    assert capfd.readouterr() == ("", "")
