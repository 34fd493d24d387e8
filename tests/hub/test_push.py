"""Pushes to a Hub that misbehaves: one commit or none, and a sentence where it is none."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hub_server import HubServer, run_client

PUBLISHED = [
    ".eval_results/medqa.yaml",
    "README.md",
    "SHA256SUMS",
    "adapter_config.json",
    "adapter_model.safetensors",
    "chat_template.jinja",
    "loss.png",
    "run.json",
    "scores.json",
    "tokenizer_config.json",
]


def push_all(orders: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Push each order with the real client, without its pauses; repository -> what each push said."""
    import logging
    import time
    from dataclasses import asdict
    from pathlib import Path
    from types import SimpleNamespace

    import huggingface_hub.utils._http as http

    from medslm.errors import MedslmError
    from medslm.hub import client, push

    http.time = SimpleNamespace(sleep=lambda seconds: None, time=time.time)  # the client's own pauses: 23 s each
    client.PAUSE = 0.01
    said: dict[str, list[dict[str, Any]]] = {}
    lines: list[str] = []
    logging.getLogger("medslm").setLevel(logging.INFO)
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger("medslm").addHandler(handler)
    for order in orders:
        started, run = time.monotonic(), Path(order.pop("run"))
        lines.clear()
        try:
            outcome = asdict(push.push(run, **order))
        except MedslmError as error:
            outcome = {"error": str(error)}
        seconds = time.monotonic() - started
        said.setdefault(order["repo_id"], []).append({**outcome, "log": "\n".join(lines), "seconds": seconds})
    return said


@dataclass
class Outcome:
    """A server after a batch of pushes, and what each push said."""

    hub: HubServer
    said: dict[str, list[dict[str, Any]]]

    def titles(self, name: str) -> list[str]:
        """The commits of alice/`name` after the Hub's own first one, the newest first."""
        return [commit.title for commit in self.hub.repo(f"alice/{name}").history("main")][:-1]

    def last(self, name: str) -> dict[str, Any]:
        """What the last push to alice/`name` said."""
        return self.said[f"alice/{name}"][-1]


def weights_id(run: Path) -> str:
    """The LFS id of a run's weights."""
    return hashlib.sha256((run / "adapter" / "adapter_model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def lfs(tmp_path_factory: pytest.TempPathFactory, make_run: Callable[..., Path]) -> Any:
    """One process that pushes to many repositories over plain HTTP, each with a trouble of its own."""
    folder = tmp_path_factory.mktemp("lfs")
    run = make_run(folder / "runs" / "toy")
    alone = make_run(folder / "runs" / "alone", seed=1)
    odd = make_run(
        folder / "runs" / "odd", card="---\nbase_model: alice/base\n? x\n: y\n---\n# fine YAML, not the Hub's\n"
    )
    shorter = make_run(folder / "runs" / "shorter")
    (shorter / "scores.json").unlink()
    with HubServer(folder / "hub") as hub:
        commit = "POST /api/models/alice/{}/commit/".format
        hub.faults.add(commit("busy"), status=503, times=2)
        hub.faults.add(commit("limited"), status=429, headers={"Retry-After": "1"})
        hub.faults.add(commit("lost"), drop=True, acts=True)
        hub.faults.add(commit("lost-500"), status=500, acts=True)
        hub.faults.add(commit("cut"), drop=True, times=2)
        hub.faults.add(commit("rival"), before=lambda: hub.commit("alice/rival", {"theirs.txt": b"1"}, title="theirs"))
        hub.faults.add(commit("locked"), status=409, times=3)
        hub.faults.add(commit("war"), status=412, times=99)
        hub.faults.add(commit("down"), status=500, headers={"Retry-After": "30"}, times=99)
        hub.faults.add(commit("hung"), before=lambda: time.sleep(8))
        hub.faults.add("POST /api/validate-yaml", status=502, body=b"<html>bad gateway</html>", times=1)
        hub.faults.add(f"PUT /storage/{weights_id(alone)}", drop=True, times=99)
        for name in ("public", "secret", "readable", "theirs", "shrinks"):
            hub.create(f"alice/{name}", private=name == "secret")
        hub.commit("alice/shrinks", {"notes.txt": b"by hand"})
        reader, alice = hub.token("alice", "read"), hub.token("alice")
        names = ["toy", "toy", "busy", "limited", "lost", "lost-500", "cut", "rival", "locked", "war", "down"]
        orders: list[dict[str, Any]] = [{"run": str(run), "repo_id": f"alice/{name}"} for name in names]
        orders[-1]["deadline"] = 20.0
        orders += [
            {"run": str(run), "repo_id": "alice/hung", "deadline": 1.5},
            {"run": str(alone), "repo_id": "alice/interrupted"},
            {"run": str(odd), "repo_id": "alice/odd"},
            {"run": str(run), "repo_id": "alice/public"},
            {"run": str(run), "repo_id": "alice/secret", "private": False},
            {"run": str(run), "repo_id": "alice/readable", "private": False, "token": reader},
            {"run": str(run), "repo_id": "alice/new", "token": reader},
            {"run": str(run), "repo_id": "alice/unknown", "token": "hf_testunknown"},
            {"run": str(run), "repo_id": "alice/shrinks", "private": False},
            {"run": str(shorter), "repo_id": "alice/shrinks", "private": False},
        ]
        yield Outcome(hub, run_client(hub, folder, push_all, token=alice, orders=orders))


@pytest.fixture(scope="module")
def xet(tmp_path_factory: pytest.TempPathFactory, make_run: Callable[..., Path]) -> Any:
    """The same over Xet, for the troubles that differ there."""
    folder = tmp_path_factory.mktemp("xet")
    run = str(make_run(folder / "runs" / "toy"))
    with HubServer(folder / "hub") as hub:
        hub.faults.add("POST /api/models/alice/lost/commit/", drop=True, acts=True)
        hub.faults.add("GET /api/models/alice/no-xet/xet-write-token/", status=404, times=99)
        orders = [{"run": run, "repo_id": f"alice/{name}"} for name in ("toy", "toy", "lost", "no-xet")]
        yield Outcome(hub, run_client(hub, folder, push_all, token=hub.token("alice"), xet=True, orders=orders))


@pytest.mark.parametrize("way", ["lfs", "xet"])
def test_a_push_is_one_private_commit_of_listed_files_and_nothing_else(way: str, request: Any, tmp_path: Path) -> None:
    outcome = request.getfixturevalue(way)
    hub, first = outcome.hub, outcome.said["alice/toy"][0]
    repo = hub.repo("alice/toy")
    assert repo.private
    assert outcome.titles("toy") == ["Publish toy"]
    assert (first["commit"], first["changed"]) == (repo.branches["main"], True)
    assert sorted(set(repo.resolve("main").files) - {".gitattributes"}) == PUBLISHED == sorted(first["files"])
    assert first["left_out"] == [
        "adapter/README.md", "adapter/optimizer.pt", "adapter/training_args.bin", "events.log"
    ]  # fmt: skip
    assert "adapter/training_args.bin" in first["log"]
    assert first["url"] == f"{hub.endpoint}/alice/toy"
    for path in PUBLISHED:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(hub.read("alice/toy", path))
    checked = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert checked.stdout.count(": OK") == len(PUBLISHED) - 1


@pytest.mark.parametrize("way", ["lfs", "xet"])
def test_an_unchanged_run_makes_no_second_commit(way: str, request: Any) -> None:
    first, second = request.getfixturevalue(way).said["alice/toy"]
    assert (second["commit"], second["changed"]) == (first["commit"], False)
    assert "no commit was made" in second["log"]


@pytest.mark.parametrize("way", ["lfs", "xet"])
def test_a_commit_whose_reply_was_lost_is_not_made_twice(way: str, request: Any) -> None:
    outcome = request.getfixturevalue(way)
    assert outcome.titles("lost") == ["Publish toy"]
    assert outcome.last("lost")["commit"] == outcome.hub.repo("alice/lost").branches["main"]
    assert outcome.last("lost")["changed"]


def test_a_commit_that_landed_with_a_500_is_not_made_twice(lfs: Outcome) -> None:
    assert lfs.titles("lost-500") == ["Publish toy"]


def test_an_overloaded_hub_is_waited_for(lfs: Outcome) -> None:
    assert lfs.titles("busy") == ["Publish toy"]
    assert [line.status for line in lfs.hub.asked("POST", "alice/busy/commit")] == [503, 503, 200]


def test_a_proxys_page_in_the_place_of_json_is_tried_again(lfs: Outcome) -> None:
    assert [line.status for line in lfs.hub.asked("POST", "/api/validate-yaml")][:2] == [502, 200]
    assert "did not answer in JSON" in lfs.said["alice/toy"][0]["log"]


def test_retry_after_is_honoured(lfs: Outcome) -> None:
    assert lfs.titles("limited") == ["Publish toy"]
    assert lfs.last("limited")["seconds"] >= 1


def test_a_cut_connection_is_tried_again(lfs: Outcome) -> None:
    assert lfs.titles("cut") == ["Publish toy"]


def test_a_rivals_commit_is_kept_beneath_ours(lfs: Outcome) -> None:
    assert lfs.titles("rival") == ["Publish toy", "theirs"]
    assert lfs.hub.read("alice/rival", "theirs.txt") == b"1"
    assert [line.status for line in lfs.hub.asked("POST", "alice/rival/commit")] == [412, 200]


def test_a_commit_in_progress_is_waited_for(lfs: Outcome) -> None:
    assert lfs.titles("locked") == ["Publish toy"]


def test_endless_conflicts_end_with_a_sentence(lfs: Outcome) -> None:
    assert "others kept committing" in lfs.last("war")["error"]
    assert len(lfs.hub.asked("POST", "alice/war/commit")) == 6


def test_the_deadline_ends_endless_overload(lfs: Outcome) -> None:
    assert "the Hub is out of order (500" in lfs.last("down")["error"]
    assert lfs.last("down")["seconds"] < 10  # 30 s were asked for, and 20 s were there


def test_a_commit_that_hangs_is_abandoned_at_the_deadline(lfs: Outcome) -> None:
    assert "it may have happened all the same" in lfs.last("hung")["error"]
    assert lfs.last("hung")["seconds"] < 6


def test_an_interrupted_upload_leaves_no_commit(lfs: Outcome) -> None:
    assert "cannot be reached" in lfs.last("interrupted")["error"]
    assert lfs.titles("interrupted") == []


def test_a_public_repository_is_not_written_by_a_private_push(lfs: Outcome) -> None:
    assert "exists and is public" in lfs.last("public")["error"]
    assert lfs.titles("public") == []
    assert not lfs.hub.repo("alice/public").private


def test_a_private_repository_is_not_made_public(lfs: Outcome) -> None:
    assert lfs.hub.repo("alice/secret").private
    assert lfs.titles("secret") == ["Publish toy"]
    assert "is private; it stays so" in lfs.last("secret")["log"]


@pytest.mark.parametrize("name", ["readable", "new"])
def test_a_token_that_may_only_read_is_told_so(lfs: Outcome, name: str) -> None:
    assert "role 'write'" in lfs.last(name)["error"]


def test_a_token_the_hub_does_not_know_is_told_so(lfs: Outcome) -> None:
    assert "hf auth login" in lfs.last("unknown")["error"]


def test_a_file_the_run_no_longer_has_leaves_and_others_files_stay(lfs: Outcome) -> None:
    held = lfs.hub.repo("alice/shrinks").resolve("main").files
    assert "scores.json" in lfs.hub.repo("alice/shrinks").history("main")[1].files
    assert "scores.json" not in held
    assert "notes.txt" in held
    assert b"scores.json" not in lfs.hub.read("alice/shrinks", "SHA256SUMS")


def test_a_card_that_the_hub_refuses_is_refused_in_its_words(lfs: Outcome) -> None:
    assert "Invalid metadata in README.md; invalid YAML: ? x; invalid YAML: : y" in lfs.last("odd")["error"]
    assert lfs.titles("odd") == []


def test_broken_xet_names_the_way_around_it(xet: Outcome) -> None:
    assert "HF_HUB_DISABLE_XET=1" in xet.last("no-xet")["error"]
    assert xet.titles("no-xet") == []


def test_no_token_is_ever_said(lfs: Outcome, xet: Outcome) -> None:
    assert "hf_test" not in json.dumps([lfs.said, xet.said])
