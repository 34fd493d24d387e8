"""Clinical writing: summaries, notes on conversations, and answers in free text."""

from __future__ import annotations

from medslm.data.suite import Metric, Suite, Task
from medslm.data.suites.registry import suites


def _values(*names: str, higher_is_better: bool = True) -> tuple[Metric, ...]:
    return tuple(Metric(name, higher_is_better=higher_is_better, unit="value") for name in names)


ANSWER = (
    *_values("rougeLsum", "rouge1", "rouge2", "rougeL", "rouge1_recall", "length_match"),
    Metric("empty", higher_is_better=False),
)
FAITHFUL = (
    Metric("faithful"),
    *_values("unsupported", "unsupported_entities", "unsupported_numbers", higher_is_better=False),
    *_values("unsupported_doses", "contradicted_findings", higher_is_better=False),
    *_values("omitted_entities", "omitted_numbers", "omitted_doses", higher_is_better=False),
)
PARTS = _values(
    "section_rouge1", "section_coverage", "subjective_rouge1", "exam_rouge1", "results_rouge1", "assessment_rouge1"
)
SUMMARY = (*ANSWER, *FAITHFUL)

WRITING = {
    "discharge-summarization": (Task("discharge_summarization", "discharge-summarization", SUMMARY),),
    "pubmed-summarization": (Task("pubmed_summarization", "pubmed-summarization-short", SUMMARY),),
    "billsum": (Task("billsum", "billsum-short", SUMMARY),),
    "dialogue-to-note": (
        Task("mts_dialog", "mts-dialog", SUMMARY, subject="section_header"),
        Task("aci_bench", "aci-bench", (*SUMMARY, *PARTS)),
    ),
    "medical-o1": (Task("medical_o1", "medical-o1", ANSWER),),
}
STUDIES = ("similarity", "cost")
for _name, _tasks in WRITING.items():
    suites.add(_name, Suite(_tasks, ("cases", *STUDIES) if _name == "medical-o1" else STUDIES))
suites.add("clinical-generation", Suite(tuple(task for tasks in WRITING.values() for task in tasks), ("similarity",)))

BILLS = Task("billsum_brief", "billsum-brief", SUMMARY)
ARTICLES = Task("pubmed_summarization_brief", "pubmed-summarization-brief", SUMMARY)
suites.add("billsum-brief", Suite((BILLS,), STUDIES))
# What a base that reads 2,048 tokens can sum up: notes, articles and bills that leave it room for the answer.
suites.add("brief-summaries", Suite((*WRITING["discharge-summarization"], ARTICLES, BILLS), STUDIES))
