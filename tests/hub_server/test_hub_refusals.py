"""The server refuses as the Hub does: strangers, readers, gates, stale parents, bad cards and ordered faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hub_server import HubServer, run_client
from hub_server.store import object_id, tree_ids


def what_fails(tokens: dict[str, str], repo_id: str, head: str) -> dict[str, list[Any]]:
    """Every refusal as [class of the error, status]."""
    from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download

    alice, bob, reader, nobody = (HfApi(token=tokens[name]) for name in ("alice", "bob", "reader", "nobody"))
    none, add = HfApi(token=False), [CommitOperationAdd("a.txt", b"a")]
    gated = {"filename": "model.safetensors", "repo_id": "alice/gated"}
    card = [CommitOperationAdd("README.md", b"---\nbase_model: ./runs/mine\n---\n")]
    calls = {
        "stranger": lambda: bob.model_info(repo_id),
        "anonymous": lambda: none.model_info(repo_id),
        "missing": lambda: bob.model_info("alice/nothing"),
        "revision": lambda: alice.model_info(repo_id, revision="v9"),
        "entry": lambda: hf_hub_download(repo_id, "none.txt", token=tokens["alice"]),
        "bad token": lambda: nobody.whoami(),
        "reader creates": lambda: reader.create_repo("alice/new"),
        "reader commits": lambda: reader.create_commit(repo_id, add, commit_message="a"),
        "bob creates": lambda: bob.create_repo("alice/new"),
        "taken": lambda: alice.create_repo(repo_id),
        "stale parent": lambda: alice.create_commit(repo_id, add, commit_message="a", parent_commit=head),
        "gate": lambda: hf_hub_download(**gated, token=tokens["bob"]),
        "gate, anonymous": lambda: hf_hub_download(**gated, token=False),
        "local base model": lambda: alice.create_commit(repo_id, card, commit_message="a"),
        "folder": lambda: list(alice.list_repo_tree(repo_id, "nothing")),
        "ordered": lambda: alice.model_info("alice/ordered"),
        "dropped": lambda: alice.model_info("alice/dropped"),
    }
    failed: dict[str, list[Any]] = {}
    for name, call in calls.items():
        try:
            call()
            failed[name] = ["nothing"]
        except Exception as error:  # noqa: BLE001  # the class is what the test looks at
            response = getattr(error, "response", None)
            failed[name] = [type(error).__name__, getattr(response, "status_code", None)]
    failed["org member"] = [alice.create_repo("clinic/new", private=True).repo_id]
    return failed


def test_the_server_refuses_with_the_errors_of_the_hub_and_logs_no_token(hub: HubServer, tmp_path: Path) -> None:
    hub.create("alice/secret", private=True)
    head = hub.repo("alice/secret").resolve("main").oid
    hub.commit("alice/secret", {"b.txt": b"b"})
    hub.create("alice/gated").gated = "manual"
    hub.commit("alice/gated", {"model.safetensors": b"\0"})
    hub.faults.add("GET .*alice/ordered", status=418)
    hub.faults.add("GET .*alice/dropped", drop=True)
    tokens = {"alice": hub.token("alice", orgs=("clinic",)), "bob": hub.token("bob")}
    tokens |= {"reader": hub.token("alice", "read"), "nobody": "hf_testunknown"}
    failed = run_client(hub, tmp_path, what_fails, tokens=tokens, repo_id="alice/secret", head=head)
    assert failed == {
        "stranger": ["RepositoryNotFoundError", 404],
        "anonymous": ["RepositoryNotFoundError", 401],
        "missing": ["RepositoryNotFoundError", 404],
        "revision": ["RevisionNotFoundError", 404],
        "entry": ["RemoteEntryNotFoundError", 404],
        "bad token": ["HfHubHTTPError", 401],
        "reader creates": ["HfHubHTTPError", 403],
        "reader commits": ["HfHubHTTPError", 403],
        "bob creates": ["HfHubHTTPError", 403],
        "taken": ["HfHubHTTPError", 409],
        "stale parent": ["HfHubHTTPError", 412],
        "gate": ["GatedRepoError", 403],
        "gate, anonymous": ["GatedRepoError", 401],
        "local base model": ["ValueError", None],
        "folder": ["RemoteEntryNotFoundError", 404],
        "ordered": ["HfHubHTTPError", 418],
        "dropped": ["RemoteProtocolError", None],
        "org member": ["clinic/new"],
    }
    assert not any(token in line.path or "signature" in line.path for line in hub.log for token in hub.users)
    assert "hf_test" not in repr((list(hub.users), hub.log))


def test_ids_are_those_of_git(hub: HubServer) -> None:
    """The ids that `git hash-object` and `git mktree` give for these contents."""
    hub.create("alice/ids")
    made = hub.commit("alice/ids", {"hello.txt": b"hello\n", "a/b.txt": b""})
    assert made.files["hello.txt"].oid == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert made.files["a/b.txt"].oid == object_id("blob", b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    files = {path: made.files[path] for path in ("hello.txt",)}
    assert tree_ids(files)[""] == "aaa96ced2d9a1c8e72c56b253a0e2fe78393feb7"
