"""Where the judge is: what may be meant, and what never leaves this machine unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from medslm.data import given
from medslm.errors import MedslmError
from medslm.evals.judge import endpoint, material
from medslm.evals.judge.endpoint import Endpoint, Price, Settings, from_environment

HERE = {"MEDSLM_JUDGE_URL": "http://127.0.0.1:8080/v1/", "MEDSLM_JUDGE_MODEL": "m"}


def test_without_a_judge_there_is_none() -> None:
    assert from_environment({}) is None


def test_everything_can_be_set_by_the_environment() -> None:
    told = {
        "KEY": "k",
        "RUBRIC": "r.yaml",
        "PRICE": "0.15/0.6",
        "LIMIT": "9",
        "WORKERS": "2",
        "PATIENCE": "7.5",
        "TIMEOUT": "3",
    }
    told |= {"ALLOW_REMOTE": "yes", "ALLOW_HTTP": "0"}
    second = {"MEDSLM_JUDGE2_URL": "https://judge.example/v1", "MEDSLM_JUDGE2_MODEL": "n", "MEDSLM_JUDGE2_KEY": "l"}
    found = from_environment(HERE | second | {f"MEDSLM_JUDGE_{name}": value for name, value in told.items()})
    assert found == Settings(
        Endpoint("http://127.0.0.1:8080/v1", "m", "k"),
        Endpoint("https://judge.example/v1", "n", "l"),
        rubric="r.yaml",
        allow_remote=True,
        price=Price(0.15, 0.6),
        workers=2,
        patience=7.5,
        timeout=3.0,
        limit=9,
    )


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"MEDSLM_JUDGE_URL": ""}, "MEDSLM_JUDGE_MODEL is set and MEDSLM_JUDGE_URL is not"),
        ({"MEDSLM_JUDGE_MODEL": ""}, "MEDSLM_JUDGE_URL is set and MEDSLM_JUDGE_MODEL is not"),
        ({"MEDSLM_JUDGE_WORKERS": "2.5"}, "WORKERS is '2.5'; write a whole number"),
        ({"MEDSLM_JUDGE_WORKERS": "0"}, "WORKERS is 0; give a number above 0"),
        ({"MEDSLM_JUDGE_PATIENCE": "soon"}, "PATIENCE is 'soon'; write a number"),
        ({"MEDSLM_JUDGE_PATIENCE": "inf"}, "PATIENCE is 'inf'; write a number"),
        ({"MEDSLM_JUDGE_LIMIT": "0"}, "LIMIT is 0; judge at least one item"),
        ({"MEDSLM_JUDGE_PRICE": "cheap"}, "given as 'cheap'; write the price of a million tokens in and out"),
        ({"MEDSLM_JUDGE_PRICE": "-1/2"}, "give two prices of 0 or more"),
        ({"MEDSLM_JUDGE_PRICE": "nan/2"}, "give two prices of 0 or more"),
        ({"MEDSLM_JUDGE_ALLOW_REMOTE": "maybe"}, "ALLOW_REMOTE is 'maybe'; write 1 for yes or 0 for no"),
    ],
)
def test_a_setting_that_means_nothing_is_refused(told: dict[str, str], sentence: str) -> None:
    with pytest.raises(MedslmError, match=sentence):
        from_environment(HERE | told)


def test_a_second_judge_needs_a_first() -> None:
    with pytest.raises(MedslmError, match="there is no first"):
        from_environment({"MEDSLM_JUDGE2_URL": "http://localhost/v1", "MEDSLM_JUDGE2_MODEL": "m"})


def test_a_second_judge_is_named_by_its_own_variables() -> None:
    with pytest.raises(MedslmError, match=r"MEDSLM_JUDGE2_URL is no address .*MEDSLM_JUDGE2_KEY"):
        from_environment(HERE | {"MEDSLM_JUDGE2_URL": "judge.example", "MEDSLM_JUDGE2_MODEL": "m"})


@pytest.mark.parametrize(
    "url",
    [
        "judge.example/v1",
        "ftp://judge.example",
        "http://",
        "http://h:port/v1",
        "https://me:sk-secret@judge.example/v1",
        "https://judge.example/v1?key=sk-secret",
        "https://judge.example/v1#sk-secret",
        "http://[::1/v1",
        "http://h:99999/v1",
    ],
)
def test_an_address_that_is_none_or_holds_a_key_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(MedslmError, match="MEDSLM_JUDGE_URL is no address of a server") as told:
        Endpoint(url, "m")
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    "url", ["http://localhost:1/v1", "http://127.0.0.1/v1", "https://127.9.8.7/v1", "http://[::1]:80/v1"]
)
def test_this_machine_is_known_by_its_name(url: str) -> None:
    assert Endpoint(url, "m").local and not Endpoint(url, "m").plain


@pytest.mark.parametrize(
    "host", ["localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "judge", "0.0.0.0", "[::]", "128.0.0.1"]
)
def test_what_only_looks_like_this_machine_is_another(host: str) -> None:
    assert not Endpoint(f"https://{host}/v1", "m").local and Endpoint(f"http://{host}/v1", "m").plain


REMOTE, PLAIN = Endpoint("https://judge.example/v1", "m"), Endpoint("http://judge.example/v1", "m")


def refuse(where: Endpoint, *reasons: str, remote: bool = False, http: bool = False) -> None:
    material.refuse(where, "the replies of 9 items", reasons, allow_remote=remote, allow_http=http)


def test_what_is_not_public_stays_here_unless_allowed() -> None:
    with pytest.raises(
        MedslmError,
        match=r"the replies of 9 items would leave this machine for https://judge.example/v1.*notes.*--allow-remote",
    ):
        refuse(REMOTE, "notes of one's own")
    refuse(REMOTE, "notes of one's own", remote=True)
    refuse(REMOTE)
    refuse(Endpoint("http://localhost/v1", "m"), "notes of one's own")


def test_nothing_goes_unencrypted_unless_allowed() -> None:
    with pytest.raises(MedslmError, match="without encryption"):
        refuse(PLAIN, remote=True)
    refuse(PLAIN, http=True)
    with pytest.raises(MedslmError, match="would leave this machine"):
        refuse(PLAIN, "notes of one's own", http=True)


def test_a_registered_benchmark_is_public_until_a_file_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(given.VARIABLE, raising=False)
    assert material.reserved(["icd10cm_coding", "medqa"], ["medmcqa", "icd10cm-codes"][:1]) == []
    file = tmp_path / "medqa.jsonl"
    file.write_text("{}\n")
    monkeypatch.setenv(given.VARIABLE, f"medqa={file}")
    assert material.reserved(["icd10cm_coding", "medqa", "medqa"], []) == [
        "benchmark medqa is read from a file of one's own"
    ]


def test_replies_learnt_from_notes_of_one_s_own_are_not_public(monkeypatch: pytest.MonkeyPatch) -> None:
    import toy_data
    from toy_data import example

    held = toy_data.corpora(notes=[example("a")])
    from dataclasses import replace

    held.add("bound", replace(held["notes"], license="physionet-credentialed-health-data"))
    held.add("mine", replace(held["notes"], source=toy_data.Rows((), "local:notes")))
    monkeypatch.setattr(material, "corpora", held)
    assert material.reserved([], ["notes"]) == []
    told = material.reserved(["a_task_of_nobody"], ["local:ward", "org/unknown", "bound", "mine"])
    assert [why.rpartition(" ")[0][:40] for why in told] == [
        "task a_task_of_nobody belongs to no regi",
        "the adapter learnt from local:ward, whic",
        "the adapter learnt from org/unknown, whi",
        "corpus bound, from which the adapter lea",
        "the adapter learnt from mine, files of o",
    ]


def test_the_key_stands_in_no_representation() -> None:
    assert "sk-x" not in repr(from_environment({**HERE, "MEDSLM_JUDGE_KEY": "sk-x"})) + str(
        endpoint.Settings(Endpoint("http://h", "m", "sk-x"))
    )
