"""The server speaks the Hub's protocol: the real `huggingface_hub` uploads, lists, downloads and is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hub_server import HubServer, run_client


def a_whole_life(repo_id: str, big: int) -> dict[str, Any]:
    """Create, upload, list, tag, read in ranges, move and delete; what the client saw."""
    import os
    from pathlib import Path

    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_download, snapshot_download
    from huggingface_hub.utils import get_session

    api = HfApi()
    saw: dict[str, Any] = {"who": api.whoami()["name"], "role": api.whoami()["auth"]["accessToken"]["role"]}
    saw["private"] = api.repo_info(api.create_repo(repo_id, private=True).repo_id).private
    saw["again"] = api.create_repo(repo_id, exist_ok=True).repo_id
    noise = b"\0" + os.urandom(big)
    repeated = b"\0the same again" * (big // 8)
    adds = {"README.md": b"---\nlicense: mit\n---\n# hi\n", "a/b/c.txt": b"text", "model.safetensors": noise}
    adds["more/zeros.bin"] = repeated
    head = api.repo_info(repo_id).sha
    operations = [CommitOperationAdd(path, data) for path, data in adds.items()]
    first = api.create_commit(repo_id, operations, commit_message="all", parent_commit=head)
    saw["skipped"] = (
        api.create_commit(
            repo_id, [CommitOperationAdd(path, data) for path, data in adds.items()], commit_message="none"
        ).oid
        == first.oid
    )
    folder = Path(snapshot_download(repo_id))
    saw["same"] = {path: (folder / path).read_bytes() == data for path, data in adds.items()}
    info = api.model_info(repo_id, files_metadata=True)
    saw["large"] = sorted(file.rfilename for file in info.siblings or [] if file.lfs)
    saw["expand"] = api.model_info(repo_id, expand=["sha"]).sha == first.oid
    saw["tree"] = [entry.path for entry in api.list_repo_tree(repo_id, recursive=True, expand=True)]
    saw["paths"] = [entry.path for entry in api.get_paths_info(repo_id, ["a", "README.md", "nothing"])]
    api.create_branch(repo_id, branch="other/one", revision=head)
    api.create_tag(repo_id, tag="v1", revision="main")
    api.create_commit(repo_id, [CommitOperationDelete("a/")], commit_message="less")
    saw["after"] = sorted(api.list_repo_files(repo_id))
    refs = api.list_repo_refs(repo_id)
    saw["refs"] = [[ref.name for ref in refs.branches], [ref.name for ref in refs.tags]]
    saw["commits"] = [commit.title for commit in api.list_repo_commits(repo_id)]
    saw["tagged"] = Path(hf_hub_download(repo_id, "a/b/c.txt", revision="v1")).read_text()
    saw["exists"] = [api.file_exists(repo_id, "model.safetensors"), api.file_exists(repo_id, "nothing.txt")]
    pull = api.create_commit(repo_id, [CommitOperationAdd("p.txt", b"p")], commit_message="pull", create_pr=True)
    saw["pull"] = pull.pr_url is not None and "p.txt" in api.list_repo_files(repo_id, revision="refs/pr/1")
    url = f"{api.endpoint}/{repo_id}/resolve/main/model.safetensors"
    headers = {"Authorization": f"Bearer {api.token or os.environ['HF_TOKEN']}"}
    part = get_session().get(url, headers={**headers, "Range": "bytes=5-9"}, follow_redirects=True)
    beyond = get_session().get(url, headers={**headers, "Range": f"bytes={big * 9}-"}, follow_redirects=True)
    saw["range"] = [part.status_code, part.content == noise[5:10], beyond.status_code]
    api.move_repo(repo_id, repo_id + "-moved")
    saw["moved"] = api.model_info(repo_id).id
    api.update_repo_settings(repo_id + "-moved", private=False)
    saw["public"] = not api.model_info(repo_id).private
    api.delete_repo(repo_id + "-moved")
    saw["gone"] = not api.repo_exists(repo_id + "-moved")
    return saw


@pytest.mark.parametrize("way", ["lfs", "lfs-in-parts", "xet"])
def test_a_repository_lives_its_whole_life(tmp_path: Path, way: str) -> None:
    with HubServer(tmp_path / "hub", page=2, multipart=5000 if way == "lfs-in-parts" else 0) as hub:
        token = hub.token("alice")
        saw = run_client(hub, tmp_path, a_whole_life, token=token, xet=way == "xet", repo_id="alice/life", big=20_000)
        ways = {"lfs": "/storage/", "lfs-in-parts": "/complete/", "xet": "/xet-write-token/"}
        assert [name for name, part in ways.items() if any(part in line.path for line in hub.log)][-1] == way
    files = ["README.md", "a/b/c.txt", "model.safetensors", "more/zeros.bin"]
    assert saw == {
        "who": "alice",
        "role": "write",
        "private": True,
        "again": "alice/life",
        "skipped": True,
        "same": dict.fromkeys(files, True),
        "large": files[2:],
        "expand": True,
        "tree": [".gitattributes", "README.md", "a", "a/b", "a/b/c.txt", "model.safetensors", "more", files[3]],
        "paths": ["README.md", "a"],
        "after": [".gitattributes", "README.md", "model.safetensors", "more/zeros.bin"],
        "refs": [["main", "other/one"], ["v1"]],
        "commits": ["less", "all", "initial commit"],
        "tagged": "text",
        "exists": [True, False],
        "pull": True,
        "range": [206, True, 416],
        "moved": "alice/life-moved",
        "public": True,
        "gone": True,
    }
