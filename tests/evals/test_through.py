"""Whatever answers, the same questions and the same scores: `medslm eval --engine NAME`, with a real model behind a server."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evals import world
from evals.test_tasks import medqa, put
from infer.completing import CompletionServer
from infer.served import Served
from judge_server import Llama
from medslm import cli, files
from medslm.data.suite import Suite
from medslm.data.suites import suites
from medslm.data.suites.exams import EXAMS
from medslm.errors import MedslmError
from medslm.evals import admission, harness, run, scores, study, table
from medslm.evals.compare import compare
from medslm.evals.study import Case, Study
from medslm.evals.through import SERVED, Elsewhere, Through
from medslm.infer import engines as room
from medslm.infer.engine import Limits, Reply, Wanted
from medslm.infer.engines.transformers import Transformers
from medslm.models.base import Base, resolve

LIMIT = 4
NATS = 6.0
"""By which 4 bits and 16 may differ over an answer's tokens, some twenty of them."""


@pytest.fixture
def judged(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run, and the suite `quick`: an exam of four questions, by likelihood and in writing."""
    put(monkeypatch, tmp_path, medqa=medqa(LIMIT))
    world.model().config.save_pretrained(tmp_path)  # beside the weights of the base, as in a snapshot of the Hub
    monkeypatch.setitem(suites._records, "quick", Suite(EXAMS["medqa"][::2]))
    monkeypatch.setitem(harness.evaluate.__kwdefaults__, "tasks", world.tasks(tmp_path / "tasks", max_gen_toks=12))
    return finished


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tokenizer: Any) -> Iterator[Served]:
    """The toy with its adapter, served as `tuned`, and without as `plain`."""
    adapted = world.adapted()
    with Served(adapted, tokenizer, {"tuned": contextlib.nullcontext, "plain": adapted.disable_adapter}) as served:
        told = {"URL": served.url, "MODEL": "tuned", "BASE": "plain", "PATIENCE": "1"}
        for name, value in told.items():
            monkeypatch.setenv(f"MEDSLM_ENGINE_{name}", value)
        yield served


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def served(run_folder: Path, suite: str = "quick", **how: Any) -> dict[str, Any]:
    return scores.read(run.evaluate_run(run_folder, suite, batch_size=2, engine="openai", **how), "")


@pytest.mark.usefixtures("server")
def test_scores_by_a_server_are_those_of_this_process(judged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(suites._records, "quick", Suite(EXAMS["medqa"]))  # with shuffled options as well
    here = scores.read(run.evaluate_run(judged, "quick", batch_size=2), "")
    there = served(judged)
    assert (here["engine"], there["engine"]) == ("transformers", "openai")
    for one, other in zip(here["results"], there["results"], strict=True):
        assert (other["protocol"], other["quantization"]) == ("as-served", SERVED)
        for side in ("base", "adapter"):
            assert other[side] == one[side], (one["task"], one["metric"])
    for task in ("medqa", "medqa_shuffled", "medqa_cot"):
        for side in ("base", "adapter"):
            ours, theirs = (
                lines(
                    scores.answers(
                        scores.home(judged, told["engine"]), told, told["results"][0]["protocol"], side, task
                    )
                )
                for told in (here, there)
            )
            for one, other in zip(ours, theirs, strict=True):
                assert other.get("logprobs") == pytest.approx(one.get("logprobs"), abs=1e-4)
                assert {**other, "logprobs": 0, "words": 0} == {**one, "logprobs": 0, "words": 0}


def test_scores_of_a_server_lie_apart_and_say_who_answered(judged: Path, server: Served) -> None:
    run.evaluate_run(judged, "quick", batch_size=2)
    before = {path: path.read_bytes() for path in judged.rglob("*.json*")}
    path = run.evaluate_run(judged, "quick", batch_size=2, engine="openai")
    assert path == judged / "engines" / "openai" / "scores.quick.json"
    assert {path: path.read_bytes() for path in before} == before
    told = scores.read(path, "")
    assert told["hardware"] == {"device": server.url, "gpu": None, "dtype": SERVED, "batch_size": 2}
    assert told["packages"]["server"] == "build-1" and told["packages"]["openai"]
    shown = table.text(told)
    assert f"engine openai, as served on {server.url}" in shown
    assert f"Note: {server.url} answered, under the name 'tuned': that its weights are those named here" in shown
    assert scores.find(judged, "quick", engine="openai") == told != scores.find(judged, "quick")
    with pytest.raises(MedslmError, match="`medslm eval toy-run --engine vllm` writes it"):
        scores.find(judged, engine="vllm")


def test_a_server_that_dies_half_way_costs_nothing_that_was_answered(
    judged: Path, server: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    server.dies_after = 75  # 68 tell likelihoods, checks before them included; some replies are written
    with pytest.raises(
        MedslmError, match=r"whether it is running.* \d+ answers are kept in .*the same command asks for the rest"
    ):
        served(judged)
    kept = judged / "engines" / "openai" / "eval" / "quick" / "as-served"
    held = len(lines(kept / "likelihoods.jsonl")) - 1 + len(lines(kept / "replies.jsonl")) - 1
    assert held >= LIMIT and not (judged / "engines" / "openai" / "scores.quick.json").exists()
    died_at = len(server.asked)
    server.dies_after = None
    told = served(judged)
    assert told["reused"] == {"as-served": held}
    assert f"{LIMIT} of {LIMIT} answers were kept" in capsys.readouterr().err
    again = len(server.asked) - died_at
    fresh = judged.parent / "fresh"
    before = len(server.asked)
    fresh.mkdir()
    for name in ("run.json", "adapter"):
        (fresh / name).symlink_to(judged / name)
    assert served(fresh)["results"] == told["results"]
    assert again < len(server.asked) - before  # the rest only


def test_answers_of_another_build_of_the_server_are_not_taken(judged: Path, server: Served) -> None:
    served(judged)
    assert served(judged)["reused"] == {"as-served": 3 * LIMIT}  # likelihoods of both sides at once, replies of each
    server.fingerprint = "build-2"
    assert served(judged)["reused"] == {"as-served": 0}
    assert (judged / "engines/openai/eval/quick/as-served/likelihoods.jsonl.old").is_file()


def test_a_server_without_likelihoods_is_refused_before_anything_is_asked(
    judged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CompletionServer("texts") as texts:
        for name, value in {"URL": texts.url, "MODEL": "tuned", "BASE": "plain", "PATIENCE": "1"}.items():
            monkeypatch.setenv(f"MEDSLM_ENGINE_{name}", value)
        with pytest.raises(MedslmError, match=r"does not tell how likely a given text is .* or --engine transformers"):
            served(judged)
        asked = len(texts.asked)
        assert asked < 8 and len({str(body["prompt"]) for body in texts.asked if body["max_tokens"] > 1}) <= 1
        monkeypatch.setitem(suites._records, "quick", Suite(EXAMS["medqa"][2:]))
        told = served(judged)  # a suite that is answered in writing needs none
    assert {result["task"] for result in told["results"]} == {"medqa_cot"}
    assert not (judged / "eval").exists()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"BASE": ""}, "how does .* call the base without the adapter.* Set MEDSLM_ENGINE_BASE"),
        ({"BASE": "tuned"}, "MEDSLM_ENGINE_MODEL and MEDSLM_ENGINE_BASE are both 'tuned'"),
        ({"BASE": "smollm"}, "answers 404 .*check MEDSLM_ENGINE_MODEL"),
        ({"MODEL": "smollm"}, "answers 404 .*check MEDSLM_ENGINE_MODEL"),
        ({"URL": ""}, "none is named; set MEDSLM_ENGINE_URL"),
    ],
)
def test_a_server_that_is_not_named_well_is_a_sentence_before_anything_is_asked(
    told: dict[str, str], said: str, judged: Path, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in told.items():
        monkeypatch.setenv(f"MEDSLM_ENGINE_{name}", value)
    with pytest.raises(MedslmError, match=said):
        served(judged)
    assert {body["max_tokens"] for body in server.asked} <= {1}
    assert not list((judged / "engines").rglob("*.jsonl*"))


@pytest.mark.usefixtures("server")
def test_studies_that_need_the_model_itself_are_told_as_not_measured(
    judged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reaching(case: Case) -> dict[str, Any]:
        return {"layers": len(case.engine.model.layers)}

    def asking(case: Case) -> dict[str, Any]:
        drawn = case.engine.sample(["Say:"], 4, 3, 0.7, seed=1)
        with case.sides["base"]():
            scored = case.engine.score([("Say:", "A")])
        both = case.engine.score_sides([("Say:", "A")], list(case.sides.values()))
        return {"drawn": len(drawn[0]), "same": both[0] == scored, "device": case.engine.model.device.type}

    made = {"bias": Study(reaching, str), "stability": Study(asking, str)}
    monkeypatch.setattr(study, "find", lambda name: made[name])
    monkeypatch.setitem(suites._records, "quick", Suite(EXAMS["medqa"][:1], ("privacy", "cost", "bias", "stability")))
    told = served(judged, available=True)
    for name in ("privacy", "cost", "bias"):
        assert told["missing"][name].startswith("not measured with this engine ('openai'): it ")
        assert told["missing"][name].endswith("; evaluate with --engine transformers")
    assert told["studies"] == {"stability": {"as-served": {"drawn": 3, "same": True, "device": "cpu"}}}
    monkeypatch.setitem(suites._records, "quick", Suite(EXAMS["medqa"][:1], ("privacy", "cost")))
    told = served(judged)  # what no engine but one can do is no lack of data: it needs no --available
    assert list(told["missing"]) == ["privacy", "cost"]
    assert "Not judged: cost: not measured with this engine" in table.text(told)


def test_every_study_that_opens_the_model_is_known_to_need_it() -> None:
    opens = {"model.generate", "token_logprobs", "refusal(model)", "merging."}
    for name, module in study.MODULES.items():
        path = Path(run.__file__).parents[1] / Path(*module.split(".")[1:]).with_suffix(".py")
        if any(word in path.read_text(encoding="utf-8") for word in opens):
            assert name in study.INSIDE


@pytest.mark.usefixtures("server")
def test_figures_of_two_engines_stand_together_only_if_each_is_named(judged: Path) -> None:
    run.evaluate_run(judged, "quick", batch_size=2)
    served(judged)
    told = compare([judged, judged], None, "quick", ["", "openai"])
    assert "less toy-run@transformers [95 % interval]" in told and "  toy-run@openai " in told
    row = next(line for line in told.splitlines() if "accuracy *" in line and "@openai" in line)
    assert "+0.0 [" in row and "no difference shown" in row
    assert "answered by several engines" in told and "has no" not in told and "kept apart" not in told
    assert "Over 2 seeds" not in told
    alone = compare([judged], None, "quick", ["openai"])
    assert " adapter@openai " in alone and "less base@openai" in alone
    with pytest.raises(MedslmError, match="some of them twice"):
        compare([judged, judged], None, "quick", ["", "transformers"])
    with pytest.raises(MedslmError, match="no engine is called 'opneai'; did you mean 'openai'"):
        compare([judged, judged], None, "quick", ["", "opneai"])


@pytest.mark.usefixtures("server")
def test_the_command_says_where_the_scores_lie_and_how_to_compare_them(
    judged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.evaluate("toy-run", suite="quick", batch_size=2, engine="openai", runs=judged.parent)
    told = capsys.readouterr().out
    assert f"Scores in {judged / 'engines' / 'openai' / 'scores.quick.json'}. Next: medslm compare" in told
    assert told.strip().endswith(f"medslm compare toy-run toy-run@openai --suite quick --runs {judged.parent}")
    cli.compare(("toy-run@openai",), suite="quick", runs=judged.parent)
    assert " adapter@openai " in capsys.readouterr().out


@pytest.mark.usefixtures("server")
def test_a_base_is_judged_alone_through_a_server(judged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSLM_ENGINE_MODEL", "plain")
    monkeypatch.delenv("MEDSLM_ENGINE_BASE")
    folder = tmp_path / "smollm2-135m-instruct"
    here = scores.read(run.evaluate_base(folder.name, folder, "quick", batch_size=2), "")
    there = scores.read(run.evaluate_base(folder.name, folder, "quick", batch_size=2, engine="openai"), "")
    assert [result["base"] for result in there["results"]] == [result["base"] for result in here["results"]]
    assert all("adapter" not in result for result in there["results"]) and there["adapter_sha256"] is None


def test_an_engine_of_this_process_takes_the_same_seam(judged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unsloth and vLLM are not here: the engine on this package's decoder stands under a name of theirs."""
    started: list[Wanted] = []
    monkeypatch.setitem(room.engines._records, "unsloth", lambda wanted: started.append(wanted) or Transformers(wanted))
    here = scores.read(run.evaluate_run(judged, "quick", batch_size=2), "")
    there = scores.read(run.evaluate_run(judged, "quick", batch_size=2, engine="unsloth"), "")
    assert [(r["protocol"], r["base"], r["adapter"]) for r in there["results"]] == [
        (r["protocol"], r["base"], r["adapter"]) for r in here["results"]
    ]
    (wanted,) = started
    assert (wanted.adapter, wanted.format, wanted.quantization, wanted.rows) == (judged / "adapter", "toon", "none", 2)
    assert there["engine"] == "unsloth" and there["hardware"]["dtype"] == "float32" and there["notes"] == here["notes"]


def test_an_engine_that_nobody_knows_or_that_cannot_load_what_learnt_is_refused(judged: Path) -> None:
    with pytest.raises(MedslmError, match="no engine is called 'vlm'; did you mean 'vllm'"):
        run.evaluate_run(judged, "quick", engine="vlm")
    record = json.loads((judged / "run.json").read_text(encoding="utf-8"))
    (judged / "model").mkdir()
    (judged / "model" / "model.safetensors").write_bytes(b"")
    files.write_json(judged / "run.json", record | {"weights": "model/model.safetensors"})
    with pytest.raises(MedslmError, match=r"has learnt all weights of a model, .* evaluate with --engine transformers"):
        run.evaluate_run(judged, "quick", engine="openai")


def test_weights_that_an_engine_does_not_load_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    found, (note,) = admission.kinds("nf4", "cuda", "vllm")
    assert found == {"full-precision": "none"} and "which the engine 'vllm' does not load" in note
    assert note in capsys.readouterr().err
    assert admission.kinds("nf4", "cuda", "unsloth") == ({"as-trained": "nf4", "full-precision": "none"}, ())
    assert admission.kinds("nf4", "cpu", "openai") == ({"as-served": SERVED}, ())
    assert set(room.WEIGHTS) == set(room.engines)


def test_what_stands_for_the_model_tells_its_arithmetic_and_nothing_else() -> None:
    there = Elsewhere("openai", "x")
    assert (str(there.dtype), there.device.type) == ("x", "cpu")
    with pytest.raises(
        MedslmError, match=r"not measured with this engine \('openai'\): it needs the model itself \(config"
    ):
        _ = there.config
    assert not hasattr(there, "__wrapped__")


def test_each_draw_has_a_seed_of_its_own() -> None:
    class Drawing:
        """Replies with the limits that it was given."""

        def generate(self, prompts: list[str], limits: Limits) -> list[Reply]:
            return [Reply(f"{prompt} {limits.temperature} {limits.seed}", 1, True) for prompt in prompts]

    asked = Through(Drawing(), resolve("toy/llama"), 4)  # type: ignore[arg-type]
    assert asked.sample(["a", "b"], 3, 2, 0.5, 7) == [["a 0.5 7000", "a 0.5 7001"], ["b 0.5 7000", "b 0.5 7001"]]
    with pytest.raises(MedslmError, match="cannot be drawn at temperature 0"):
        asked.sample(["a"], 3, 2, 0, 7)


@pytest.mark.server
def test_llama_cpp_is_judged_on_the_embedded_base(
    real_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its Q4 file beside the weights that this process reads from it: the same prompts, and nearly the same answers."""
    with Llama() as llama:
        for name, value in {"URL": llama.url, "MODEL": "smollm2", "TIMEOUT": "300"}.items():
            monkeypatch.setenv(f"MEDSLM_ENGINE_{name}", value)
        how: dict[str, Any] = {"limit": 4, "format": "toon", "batch_size": 1}
        name = "smollm2-135m-instruct"
        there = scores.read(run.evaluate_base(name, tmp_path / name, "icd10cm", engine="openai", **how), "")
        again = scores.read(run.evaluate_base(name, tmp_path / name, "icd10cm", engine="openai", **how), "")
        here = scores.read(run.evaluate_base(name, tmp_path / name, "icd10cm", **how), "")
    assert there["packages"]["server"] and there["base"] == real_base.hub_id
    assert again["results"] == there["results"] and again["reused"] == {"as-served": 2 * 4}
    assert [(r["task"], r["metric"], r["n"]) for r in there["results"]] == [
        (r["task"], r["metric"], r["n"]) for r in here["results"]
    ]
    ours, theirs = (
        lines(scores.answers(scores.home(tmp_path / name, of["engine"]), of, protocol, "base", "icd10cm_mcq"))
        for of, protocol in ((here, "full-precision"), (there, "as-served"))
    )
    for one, other in zip(ours, theirs, strict=True):
        assert one["prompt"] == other["prompt"]
        assert other["logprobs"] == pytest.approx(one["logprobs"], abs=NATS)
