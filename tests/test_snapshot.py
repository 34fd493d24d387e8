"""One way to fetch: at the locked commit, checked byte by byte, nothing that runs, and quick where there is no Hub."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub_server import HubServer, run_client
from medslm import checksums, environment

WEIGHTS, CONFIG = b"\x00the weights of a toy", b'{"a": 1}'


def fetch_all(orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fetch each order in one process; what came, what was said, and how long it took."""
    import logging
    import time

    from medslm import asking, environment, snapshot
    from medslm.errors import MedslmError

    environment.prepare()
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger("medslm").addHandler(handler)
    asking.PAUSES = (0.01, 0.01)
    said = []
    for order in orders:
        lines.clear()
        started = time.monotonic()
        try:
            found = snapshot.fetch(**order)
            held = {
                path.relative_to(found.folder).as_posix(): path for path in found.folder.rglob("*") if path.is_file()
            }
            outcome: dict[str, Any] = {"commit": found.commit, "held": sorted(held), "folder": str(found.folder)}
        except MedslmError as error:
            outcome = {"error": str(error), "kind": type(error).__name__}
        said.append({**outcome, "log": "\n".join(lines), "seconds": time.monotonic() - started})
    return said


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    """A Hub with one model."""
    with HubServer(tmp_path / "hub") as server:
        server.create("org/toy")
        files = {"config.json": CONFIG, "model.safetensors": WEIGHTS, "modeling.py": b"import os", "old.bin": b"\x80"}
        server.commit("org/toy", {**files, "tokenizer[1].json": b"{}"})
        yield server


def fetch(hub: HubServer, home: Path, *orders: dict[str, Any], **variables: str) -> list[dict[str, Any]]:
    """What fetching said in a process of its own, which has neither lock nor bundle unless `variables` name one."""
    known = {"MEDSLM_CACHE": str(home / "medslm"), **variables}
    return run_client(hub, home, fetch_all, variables=known, orders=list(orders or [{"repo_id": "org/toy"}]))


def head(hub: HubServer, repo_id: str = "org/toy") -> str:
    return hub.repo(repo_id).branches["main"]


def locked(folder: Path, commit: str, repo_id: str = "org/toy") -> str:
    """The path of a lock that names one model."""
    (folder / "my.lock.toml").write_text(f'[models]\n"{repo_id}" = "{commit}"\n', encoding="utf-8")
    return str(folder / "my.lock.toml")


def test_without_a_lock_the_newest_commit_is_used_and_said_once(hub: HubServer, tmp_path: Path) -> None:
    first, second = fetch(hub, tmp_path, {"repo_id": "org/toy"}, {"repo_id": "org/toy"})
    assert first["commit"] == second["commit"] == head(hub)
    assert first["log"].count("no hub.lock.toml: using the newest commit; `medslm lock` pins it") == 1
    assert second["log"] == ""


def test_nothing_that_runs_is_fetched_even_if_the_patterns_ask_for_it(hub: HubServer, tmp_path: Path) -> None:
    order = {"repo_id": "org/toy", "patterns": ["*.py", "*.bin", "*.json", "*.safetensors"]}
    [said] = fetch(hub, tmp_path, order)
    assert said["held"] == ["config.json", "model.safetensors", "tokenizer[1].json"]


def test_the_locked_commit_is_used_although_the_hub_has_moved_on(hub: HubServer, tmp_path: Path) -> None:
    old = head(hub)
    hub.commit("org/toy", {"config.json": b'{"a": 2}'})
    [said] = fetch(hub, tmp_path, MEDSLM_LOCK=locked(tmp_path, old))
    assert (said["commit"], said["log"]) == (old, "")
    assert (Path(said["folder"]) / "config.json").read_bytes() == CONFIG


def test_what_is_locked_and_cached_asks_the_hub_nothing(hub: HubServer, tmp_path: Path) -> None:
    lock = locked(tmp_path, head(hub))
    fetch(hub, tmp_path, MEDSLM_LOCK=lock)
    asked = len(hub.log)
    [said] = fetch(hub, tmp_path, MEDSLM_LOCK=lock)
    assert said["commit"] == head(hub)
    assert len(hub.log) == asked


def test_a_locked_commit_that_the_hub_has_no_more_is_a_sentence(hub: HubServer, tmp_path: Path) -> None:
    [said] = fetch(hub, tmp_path, MEDSLM_LOCK=locked(tmp_path, "f" * 40))
    assert f"org/toy has no commit or branch {'f' * 40} on the Hub (any more)" in said["error"]


@pytest.mark.parametrize(
    ("pattern", "name"),
    [("GET /storage/", "model.safetensors"), ("GET /org/toy/resolve/.*/config.json", "config.json")],
)
def test_a_corrupted_body_of_the_right_size_is_refused_and_fetched_anew(
    hub: HubServer, tmp_path: Path, pattern: str, name: str
) -> None:
    hub.faults.add(pattern, corrupt=True)
    first, second = fetch(hub, tmp_path, {"repo_id": "org/toy"}, {"repo_id": "org/toy"})
    assert first["kind"] == "Damaged"
    assert f"{name} of org/toy (model) is damaged" in first["error"]
    assert "It was removed from the cache: start again" in first["error"]
    assert (Path(second["folder"]) / name).read_bytes() == hub.read("org/toy", name)


def test_a_file_that_goes_bad_on_the_disk_is_found_at_the_next_start(hub: HubServer, tmp_path: Path) -> None:
    [said] = fetch(hub, tmp_path)
    blob = (Path(said["folder"]) / "model.safetensors").resolve()
    blob.write_bytes(b"\x01" + WEIGHTS[1:])
    [said] = fetch(hub, tmp_path, HF_HUB_OFFLINE="1")
    assert "model.safetensors of org/toy (model) is damaged" in said["error"]
    [said] = fetch(hub, tmp_path, HF_HUB_OFFLINE="1")
    assert "the local cache lacks model.safetensors" in said["error"]


@pytest.mark.parametrize("how", ["HF_HUB_OFFLINE", "HF_ENDPOINT"])
def test_without_the_hub_the_cache_is_used(hub: HubServer, tmp_path: Path, how: str) -> None:
    fetch(hub, tmp_path)
    asked = len(hub.log)
    away = {how: "1" if how == "HF_HUB_OFFLINE" else "http://127.0.0.1:9"}  # port 9 answers nobody
    found, missing = fetch(hub, tmp_path, {"repo_id": "org/toy"}, {"repo_id": "org/never"}, **away)
    assert found["commit"] == head(hub)
    assert "using the newest commit in the local cache" in found["log"]
    why = r"HF_HUB_OFFLINE is set" if how == "HF_HUB_OFFLINE" else "http://127.0.0.1:9 did not answer before"
    assert f"org/never could not be fetched ({why}" in missing["error"]
    assert "is not in the local cache" in missing["error"]
    assert len(hub.log) == asked


def test_a_hub_that_does_not_answer_is_waited_for_once_only(hub: HubServer, tmp_path: Path) -> None:
    import socket

    with socket.socket() as silent:  # takes connections, and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        away = {"HF_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        said = run_client(hub, tmp_path, fetch_from_silence, variables=away)
    assert said["seconds"] < 5
    assert len(said["errors"]) == 20
    assert all("could not be fetched" in error for error in said["errors"])


def fetch_from_silence() -> dict[str, Any]:
    """Ask for twenty datasets with a short patience."""
    import time

    from medslm import asking, snapshot
    from medslm.errors import MedslmError

    asking.TIMEOUT = 1.0
    started, errors = time.monotonic(), []
    for number in range(20):
        try:
            snapshot.fetch(f"org/{number}", "dataset")
        except MedslmError as error:
            errors.append(str(error))
    return {"seconds": time.monotonic() - started, "errors": errors}


def test_an_overloaded_hub_is_asked_again_and_a_broken_one_is_done_without(hub: HubServer, tmp_path: Path) -> None:
    hub.faults.add("GET /api/models/org/toy", status=503, times=2)
    hub.faults.add("GET /storage/", status=503, times=1)
    [said] = fetch(hub, tmp_path)
    assert said["commit"] == head(hub)
    hub.faults.add("GET /api/models/org/toy", status=500, times=99)
    [said] = fetch(hub, tmp_path)
    assert said["commit"] == head(hub)


def test_a_hub_that_hangs_up_once_is_asked_again(hub: HubServer, tmp_path: Path) -> None:
    dropped = hub.faults.add("GET /api/models/org/toy", drop=True)
    said, other = fetch(hub, tmp_path, {"repo_id": "org/toy"}, {"repo_id": "org/none"})
    assert dropped.times == 0 and said["commit"] == head(hub)
    assert "org/none is not on the Hub" in other["error"], "the endpoint counts as reachable"


def test_a_token_that_may_not_read_is_told_so(hub: HubServer, tmp_path: Path) -> None:
    hub.faults.add("GET /api/models/org/toy", status=403, times=99)
    [said] = fetch(hub, tmp_path)
    assert "HTTP 403: this token may not read it (`hf auth login`), or something between" in said["error"]


def test_what_the_hub_refuses_is_a_sentence(hub: HubServer, tmp_path: Path) -> None:
    hub.create("org/gated").gated = "manual"
    hub.commit("org/gated", {"model.safetensors": WEIGHTS})
    gated, missing = fetch(hub, tmp_path, {"repo_id": "org/gated"}, {"repo_id": "org/none"})
    assert "org/gated is gated: accept its terms on its page on the Hub" in gated["error"]
    assert "org/none is not on the Hub, or is private: check its name" in missing["error"]


def test_a_file_is_read_again_only_when_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_bytes(b"a")
    expected = {"a.txt": hashlib.sha256(b"a").hexdigest()}
    read: list[Path] = []
    true = checksums.matches

    def counting(path: Path, digest: str) -> bool:
        read.append(path)
        return true(path, digest)

    monkeypatch.setattr(checksums, "matches", counting)
    stamps = tmp_path / "notes" / "checked.json"
    for _ in range(3):
        assert checksums.damaged(tmp_path, expected, stamps) == []
    assert len(read) == 1
    (tmp_path / "a.txt").write_bytes(b"b")
    os.utime(tmp_path / "a.txt", ns=(1, 1))
    assert checksums.damaged(tmp_path, expected, stamps) == ["a.txt"]
    assert checksums.damaged(tmp_path, expected, stamps) == ["a.txt"]  # a damaged file is never noted as whole
    stamps.write_text("{broken", encoding="utf-8")
    (tmp_path / "a.txt").write_bytes(b"a")
    assert checksums.damaged(tmp_path, expected, stamps) == []


def test_git_s_ids_are_git_s(tmp_path: Path) -> None:
    (tmp_path / "hello.txt").write_bytes(b"hello\n")
    assert checksums.git_id(tmp_path / "hello.txt") == "ce013625030ba8dba906f756967f9e9ca394464a"


def bundled(folder: Path, repo_id: str = "org/toy", **files: bytes) -> Path:
    """A bundle with one model, as `medslm bundle` lays it out."""
    commit = "b" * 40
    snapshot = f"hub/models--{repo_id.replace('/', '--')}/snapshots/{commit}"
    for name, content in files.items():
        path = folder / snapshot / name.replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    sums = {f"{snapshot}/{name.replace('__', '.')}": hashlib.sha256(data).hexdigest() for name, data in files.items()}
    (folder / "bundle.json").write_text(json.dumps({"files": sums}), encoding="utf-8")
    (folder / "hub.lock.toml").write_text(f'[models]\n"{repo_id}" = "{commit}"\n', encoding="utf-8")
    return folder / snapshot


def test_a_bundle_is_all_there_is(hub: HubServer, tmp_path: Path) -> None:
    folder = bundled(tmp_path / "bundle", model__safetensors=WEIGHTS)
    found, missing = fetch(
        hub, tmp_path, {"repo_id": "org/toy"}, {"repo_id": "org/other"}, MEDSLM_BUNDLE=str(tmp_path / "bundle")
    )
    assert (found["folder"], found["held"]) == (str(folder), ["model.safetensors"])
    assert "does not hold org/other" in missing["error"]
    assert hub.log == []


@pytest.mark.parametrize("thief", ["changes", "removes", "adds"])
def test_a_bundle_that_was_tampered_with_is_refused(hub: HubServer, tmp_path: Path, thief: str) -> None:
    folder = bundled(tmp_path / "bundle", model__safetensors=WEIGHTS, config__json=CONFIG)
    fetch(hub, tmp_path, MEDSLM_BUNDLE=str(tmp_path / "bundle"))  # it was whole once
    if thief == "changes":
        (folder / "model.safetensors").write_bytes(WEIGHTS[::-1])
    elif thief == "removes":
        (folder / "config.json").unlink()
    else:
        (folder / "adapter_config.json").write_bytes(b"{}")
    [said] = fetch(hub, tmp_path, MEDSLM_BUNDLE=str(tmp_path / "bundle"))
    assert said["kind"] == "Damaged"
    assert {"changes": "model.safetensors of", "removes": "config.json of", "adds": "adapter_config.json"}[
        thief
    ] in said["error"]
    assert "opy the bundle" in said["error"]
    assert (folder / "model.safetensors").is_file()  # nothing is deleted from a bundle


def test_the_bundle_is_the_cache_of_everything_that_asks_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "before")  # so that it is restored
        monkeypatch.delenv(name)
    monkeypatch.setenv("MEDSLM_BUNDLE", str(tmp_path))
    environment.prepare()
    assert (os.environ["HF_HUB_CACHE"], os.environ["HF_HUB_OFFLINE"]) == (str(tmp_path / "hub"), "1")
