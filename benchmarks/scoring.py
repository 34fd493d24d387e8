"""Seconds of multiple choice: this library's model class beside lm-eval's own `hf`, on the same requests.

    python benchmarks/scoring.py                                # generated questions; SmolLM2 on a CPU, shapes on a GPU
    python benchmarks/scoring.py --data FOLDER                  # medqa_test.jsonl, medmcqa_validation.jsonl.gz,
                                                                # pubmedqa_test.jsonl, as on the Hub, mmlu_*_test.jsonl
    python benchmarks/scoring.py --data FOLDER --models smollm2-135m-instruct
                                                                # real weights: both accuracies as well
    python benchmarks/scoring.py --batches 64 8 1 --limit 120 --rounds 1
                                                                # the bfloat16 criterion for all shapes of a GPU
    python benchmarks/scoring.py --toy                          # does it run?

Both answer through `lm_eval.evaluate`, in one process, by turns, the same documents and weights, after some of each set
that are not timed. `whole` is that call,
`part` the log-likelihoods in it, `processor` what all cores spent on these, which others on the machine change least.
Prompts
are `plain` (`Question: ... Answer:`, as lm-eval's tasks write them) or `chat` (the base's template, as this
library asks). `off` is how far log-likelihoods are from those of `hf` in its first batch size, mean and largest, after
taking off each question's mean: `hf` scores a newline that ends a prompt with the answer.
With two batch sizes of `hf` a sentence says whether ours are further from it than it is from itself; in float32 one says
whether they are equal to 0.001. `--truth` scores all once more in float32 and adds how far each way is from that.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import random
import statistics
import string
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from medslm import environment

environment.prepare()
environment.quiet()

import logging  # noqa: E402

import torch  # noqa: E402
from inference import REAL, SHAPES, aligned, base, settle  # noqa: E402
from lm_eval.api.model import LM  # noqa: E402

from medslm import files  # noqa: E402
from medslm.data.example import Example  # noqa: E402
from medslm.data.formats.render import Renderer  # noqa: E402
from medslm.evals.engine import Engine  # noqa: E402
from medslm.evals.statistics import wilson  # noqa: E402
from medslm.models import load  # noqa: E402
from medslm.models.base import resolve  # noqa: E402

EQUAL = 1e-3  # in float32
WARM = 16  # documents of each set before the clock starts
INSTRUCTION = "Answer the medical question with the letter of the right option."
WORDS = {"medqa": (119, 6), "medmcqa": (13, 3), "pubmedqa": (215, 1)}
"""Median words of a question and of an option, in the sets themselves."""

OPTIONS = {"medqa": 4, "medmcqa": 4, "pubmedqa": 3}


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """Of a JSONL file, compressed or not."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


Item = tuple[str, Sequence[str], int]
"""Question, options, and which of them is right."""


def published(folder: Path) -> dict[str, list[Item]]:
    """The items of each set."""
    decisions = ["yes", "no", "maybe"]
    found: dict[str, list[Item]] = {
        "medqa": [
            (f"{row['sent1']} {row['sent2']}".strip(), [row[f"ending{index}"] for index in range(4)], int(row["label"]))
            for row in rows(folder / "medqa_test.jsonl")
        ],
        "medmcqa": [
            (row["question"], [row[f"op{letter}"] for letter in "abcd"], int(row["cop"]))
            for row in rows(folder / "medmcqa_validation.jsonl.gz")
        ],
        "pubmedqa": [
            ("\n".join([*row["CONTEXTS"], row["QUESTION"]]), decisions, decisions.index(row["final_decision"]))
            for row in rows(folder / "pubmedqa_test.jsonl")
        ],
    }
    mmlu = [row for path in sorted(folder.glob("mmlu_*_test.jsonl")) for row in rows(path)]
    return found | ({"mmlu": [(row["question"], row["choices"], int(row["answer"])) for row in mmlu]} if mmlu else {})


def generated(count: int) -> dict[str, list[Item]]:
    """Questions of random words, as long as the published ones and as unlike each other."""
    draw = random.Random(0)
    words = ["".join(draw.choices(string.ascii_lowercase, k=draw.randint(2, 9))) for _ in range(3_000)]

    def text(median: int) -> str:
        return " ".join(draw.choices(words, k=max(1, round(draw.lognormvariate(0, 0.4) * median))))

    return {
        name: [(text(question), [text(option) for _ in range(OPTIONS[name])], 0) for _ in range(count)]
        for name, (question, option) in WORDS.items()
    }


def document(question: str, options: Sequence[str], key: int, renderer: Renderer | None, texts: bool) -> dict[str, Any]:
    """Prompt and choices: letters, or with `texts` the options themselves."""
    letters = string.ascii_uppercase[: len(options)]
    if renderer is not None:
        prompt = renderer.prompt(Example("asked", INSTRUCTION, question, "A", "", tuple(options)))
        return {"prompt": prompt, "choices": list(options) if texts else list(letters), "key": key}
    shown = "\n".join(f"{letter}. {option}" for letter, option in zip(letters, options))
    return {
        "prompt": f"Question: {question}\n{shown}\nAnswer:",
        "choices": [f" {choice}" for choice in (options if texts else letters)],
        "key": key,
    }


def tasks(documents: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """lm-eval's tasks over these documents."""
    import datasets
    from lm_eval.api.task import ConfigurableTask

    def task(name: str, items: list[dict[str, Any]]) -> Any:
        return ConfigurableTask(
            config={
                "task": name,
                "custom_dataset": lambda **_: {"test": datasets.Dataset.from_list(items)},
                "test_split": "test",
                "output_type": "multiple_choice",
                "doc_to_text": "prompt",
                "doc_to_choice": "choices",
                "doc_to_target": "key",
                "target_delimiter": "",
                "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
            }
        )

    return {name: task(name, items) for name, items in documents.items()}


class Ours(LM):  # type: ignore[misc]  # lm-eval ships no types
    """The engine behind lm-eval's interface."""

    def __init__(self, model: Any, tokenizer: Any, renderer: Renderer) -> None:
        super().__init__()
        self.engine = Engine(model, tokenizer, renderer, 64)

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Of each request."""
        return self.engine.score([request.args for request in requests])

    def generate_until(self, requests: list[Any]) -> list[str]:
        """Not measured here."""
        raise NotImplementedError

    loglikelihood_rolling = generate_until


def theirs(model: Any, tokenizer: Any, batch: str) -> Any:
    """lm-eval's `hf` around the same weights."""
    from lm_eval.models.huggingface import HFLM

    size = batch if batch == "auto" else int(batch)
    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=size, max_length=2_048)


Run = tuple[float, float, float, list[list[float]]]
"""Seconds of the whole call, of the log-likelihoods in it and of the processor for these; these."""


def measured(judge: Any, asked: dict[str, list[dict[str, Any]]]) -> Run:
    """One call; the log-likelihoods question by question."""
    import lm_eval

    part: list[float] = []
    busy: list[float] = []
    answer = judge.loglikelihood

    def timed(requests: list[Any]) -> Any:
        settle()
        start, before = time.perf_counter(), time.process_time()
        answers = answer(requests)
        settle()
        part.append(time.perf_counter() - start)
        busy.append(time.process_time() - before)
        return answers

    judge.loglikelihood = timed
    try:
        start = time.perf_counter()
        found = lm_eval.evaluate(lm=judge, task_dict=tasks(asked), bootstrap_iters=0, log_samples=True)
        whole = time.perf_counter() - start
    finally:
        judge.loglikelihood = answer
    samples = [sample for name in asked for sample in found["samples"][name]]
    return whole, sum(part), sum(busy), [[float(total) for total, _ in sample["filtered_resps"]] for sample in samples]


def off(scores: list[list[float]], others: list[list[float]]) -> tuple[float, float]:
    """Mean and largest distance after taking off each question's mean."""
    apart = [
        abs((one - statistics.fmean(mine)) - (other - statistics.fmean(theirs)))
        for mine, theirs in zip(scores, others)
        for one, other in zip(mine, theirs)
    ]
    return statistics.fmean(apart), max(apart)


def compare(
    judges: dict[str, Any], asked: dict[str, list[dict[str, Any]]], rounds: int, truth: bool
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """One line a way: its best round; and one a set and way: how many of its picks are right."""
    taken: dict[str, list[Run]] = {name: [] for name in judges}
    for judge in judges.values():
        measured(judge, {name: items[:WARM] for name, items in asked.items()})
    for _, (name, judge) in itertools.product(range(rounds), judges.items()):
        taken[name].append(measured(judge, asked))
        print(name, *(f"{seconds:.2f} s" for seconds in taken[name][-1][:3]), flush=True)
    ours, first = taken["ours"], taken[list(judges)[1]]
    exact = in_float32(judges["ours"], asked) if truth else None
    lines = []
    for name, found in taken.items():
        whole, part, busy = (min(run[column] for run in found) for column in range(3))
        mean, most = off(found[0][3], first[0][3])
        lines.append(
            {
                "way": name,
                "whole s": whole,
                "part s": part,
                "processor s": busy,
                "times ours": whole / min(run[0] for run in ours),
                "part times ours": part / min(run[1] for run in ours),
                "processor times ours": busy / min(run[2] for run in ours),
                "off mean": f"{mean:.4f}",
                "off max": f"{most:.4f}",
                **({} if exact is None else {"from float32": f"{off(found[0][3], exact)[0]:.4f}"}),
                "same pick": statistics.fmean(
                    one.index(max(one)) == other.index(max(other)) for one, other in zip(found[0][3], first[0][3])
                ),
            }
        )
    return lines, [line for name, found in taken.items() for line in rights(name, found[0][3], asked)]


def in_float32(judge: Ours, asked: dict[str, list[dict[str, Any]]]) -> list[list[float]]:
    """The log-likelihoods by the same weights, widened; they are narrow again afterwards, which loses nothing."""
    model = judge.engine.model
    narrow = model.dtype
    model.float()
    try:
        return measured(judge, asked)[3]
    finally:
        model.to(narrow)


def rights(way: str, scores: list[list[float]], asked: dict[str, list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """The accuracy of the likeliest choices in each set, with its 95 % interval."""
    start = 0
    for name, items in asked.items():
        part = scores[start : start + len(items)]
        start += len(items)
        right = sum(found.index(max(found)) == item["key"] for found, item in zip(part, items))
        low, high = wilson(right, len(items))
        told = f"{100 * right / len(items):.2f} % [{100 * low:.1f}, {100 * high:.1f}]"
        yield {"set": name, "way": way, "n": len(items), "right": right, "accuracy": told}


def verdict(lines: list[dict[str, Any]], exact: bool) -> str:
    """Whether our log-likelihoods are as near to those of `hf` as they are to be, in words."""
    ours, first, *others = lines
    told = f"ours is {ours['off mean']} (mean) and {ours['off max']} (largest) from {first['way']}"
    mean, most = float(ours["off mean"]), float(ours["off max"])
    if exact:
        return f"{told}: {'equal' if most <= EQUAL else 'NOT equal'} to {EQUAL}"
    if not others:
        return f"{told}; give `hf` two --batches to say whether that is near"
    spread, widest = (max(float(line[key]) for line in others) for key in ("off mean", "off max"))
    itself = f"`hf` at other batch sizes up to {spread:.4f} and {widest:.4f}"
    if mean <= spread and most <= widest:
        return f"{told}, {itself}: no further than it is from itself"
    if mean <= spread:
        return f"{told}, {itself}: no further in the mean, but in the largest"
    return f"{told}, {itself}: FURTHER than it is from itself"


def arguments() -> argparse.Namespace:
    """What is asked for; defaults by device."""
    on_gpu = load.device() == "cuda"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the three sets")
    parser.add_argument("--limit", type=int, default=None if on_gpu else 60, help="questions of each set")
    parser.add_argument("--models", nargs="+", default=["llama-3.2-1b", "llama-3.2-3b"] if on_gpu else [REAL])
    parser.add_argument("--tokenizer", help="folder; default: SmolLM2's")
    parser.add_argument("--prompts", nargs="+", choices=["plain", "chat"], default=["plain", "chat"])
    parser.add_argument("--batches", nargs="+", default=["8", "64", "auto"] if on_gpu else ["8"], help="of `hf`")
    parser.add_argument("--texts", action="store_true", help="score the options' texts, not their letters")
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--truth", action="store_true", help="how far each way is from float32")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--toy", action="store_true", help="a tiny model and few questions")
    parser.add_argument("--out", type=Path, default=Path("scoring.json"))
    asked = parser.parse_args()
    if asked.toy:
        asked.models, asked.limit = ["toy"], 4
    return asked


def main() -> None:
    """Measure, print a table each, and write the JSON."""
    asked = arguments()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    from transformers import AutoTokenizer

    smol = resolve("smollm2-135m-instruct")
    tokenizer = AutoTokenizer.from_pretrained(asked.tokenizer) if asked.tokenizer else load.tokenizer(smol)
    renderer = Renderer(tokenizer, "chat")
    sets = published(asked.data) if asked.data else generated(asked.limit or 2_000)
    report: list[dict[str, Any]] = []
    for name in asked.models:
        if name not in SHAPES and name != REAL:
            raise SystemExit(f"no shape is called {name}; known: {', '.join([*SHAPES, REAL])}")
        model = base(name, nf4=False, vocab_size=len(tokenizer), max_position_embeddings=2_048)
        model = model.float() if asked.float32 else model
        judges: dict[str, Any] = {"ours": Ours(model, tokenizer, renderer)}
        judges |= {f"hf {batch}": theirs(model, tokenizer, batch) for batch in asked.batches}
        for kind in asked.prompts:
            documents = {
                which: [
                    document(*item, renderer if kind == "chat" else None, asked.texts) for item in items[: asked.limit]
                ]
                for which, items in sets.items()
            }
            tokens = sum(len(renderer.ids(item["prompt"])) for items in documents.values() for item in items)
            lines, right = compare(judges, documents, asked.rounds, asked.truth)
            questions = sum(map(len, documents.values()))
            told = {"model": name, "prompts": kind, "questions": questions, "tokens": tokens, "dtype": str(model.dtype)}
            print(told, load.gpu() or "CPU", f"torch {torch.__version__}")
            said = verdict(lines, model.dtype == torch.float32)
            print(aligned(lines), f"{name}, {kind} prompts: {said}", sep="\n", flush=True)
            if asked.data and name == REAL:
                print(aligned(right), flush=True)
            report.append(told | {"lines": lines, "verdict": said, "accuracy": right})
            files.write_json(asked.out, {"device": load.gpu() or "CPU", "torch": torch.__version__, "report": report})


if __name__ == "__main__":
    main()
