"""One request to a server that refuses, stumbles, hangs and repeats keys: the client of engines and judges alike."""

from __future__ import annotations

import logging
import socket
import threading
import time
from email.utils import formatdate
from typing import Any

import pytest

from judge_server import Asked, Fault, JudgeServer
from medslm.errors import MedslmError
from medslm.infer.engines import client as room
from medslm.infer.engines.address import Endpoint
from medslm.infer.engines.client import Client, Refused, Unavailable

MESSAGES = [{"role": "user", "content": "Is it running?"}]
KEY = "sk-not-to-be-seen"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "FIRST", 0.02)


def yes(asked: Asked) -> str:
    return "yes"


def send(openai: Any) -> str:
    return str(openai.chat.completions.create(model="toy", messages=MESSAGES).choices[0].message.content)


def ask(server: JudgeServer, patience: float = 5.0, timeout: float = 5.0) -> str:
    with Client(Endpoint(server.url, "toy", KEY), patience=patience, timeout=timeout) as client:
        return client.ask(send)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(429),
        Fault(500),
        Fault(503, body=b"<html>busy</html>"),
        Fault(drop=True),
        Fault(half=True),
        Fault(429, {"Retry-After": "nonsense"}),
    ],
)
def test_a_passing_fault_is_asked_through(fault: Fault) -> None:
    with JudgeServer(yes) as server:
        server.faults = [fault, fault]
        assert ask(server) == "yes"
    assert len(server.asked) == 3


@pytest.mark.parametrize("told", ["1", "1.0", "a date"])
def test_the_wait_that_the_server_asks_for_is_kept(told: str) -> None:
    with JudgeServer(yes) as server:
        told = formatdate(time.time() + 2, usegmt=True) if told == "a date" else told
        server.faults = [Fault(429, {"Retry-After": told})]
        started = time.monotonic()
        ask(server)
    assert 0.8 < time.monotonic() - started < 4


@pytest.mark.parametrize("told", ["0", "-5", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_wait_of_nothing_is_no_leave_to_ask_without_a_pause(told: str) -> None:
    with JudgeServer(yes) as server:
        server.faults = [Fault(429, {"Retry-After": told})] * 10_000
        with pytest.raises(Unavailable, match="it says 429"):
            ask(server, patience=0.5)
    assert len(server.asked) < 12, "0.02 s, doubled each time"


def test_a_date_is_read_by_the_clock_of_the_server_that_wrote_it() -> None:
    told = {"retry-after": "Mon, 05 Jan 2015 10:00:30 GMT", "date": "Mon, 05 Jan 2015 10:00:00 GMT"}
    assert room._wait(told) == 30
    assert room._wait({**told, "retry-after": "Mon, 05 Jan 2015 10:00:30 -0000"}) == 30  # no zone, which is UTC
    assert 25 < (room._wait({"retry-after": formatdate(time.time() + 30)}) or 0) <= 30
    assert room._wait({**told, "retry-after": "soon"}) is None


def test_a_wait_beyond_the_patience_is_not_begun() -> None:
    with JudgeServer(yes) as server:
        server.faults = [Fault(429, {"Retry-After": "3600"})]
        started = time.monotonic()
        with pytest.raises(
            Unavailable, match=r"after 1 attempt, with a patience of 5 s: it says 429 .* and asks to wait 3,600 s"
        ):
            ask(server)
    assert time.monotonic() - started < 2


def test_a_server_that_hangs_is_asked_again_and_then_given_up() -> None:
    with JudgeServer(yes) as server:
        server.faults = [Fault(hang=True)]
        assert ask(server, timeout=0.3) == "yes"
        server.faults = [Fault(hang=True)] * 20
        with pytest.raises(
            Unavailable, match=r"patience of 1 s: it does not answer within 0\.3 s \(MEDSLM_ENGINE_TIMEOUT"
        ):
            ask(server, patience=0.6, timeout=0.3)


def test_a_server_that_is_down_is_given_up_in_words() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    with (
        Client(Endpoint(url, "m", KEY), patience=0.3) as client,
        pytest.raises(Unavailable, match="no connection") as told,
    ):
        client.ask(send)
    assert url in str(told.value) and client.attempts > 1


def test_an_empty_purse_is_no_reason_to_wait() -> None:
    with JudgeServer(yes) as server:
        server.faults = [
            Fault(429, body=b'{"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}')
        ]
        with pytest.raises(Unavailable, match=r"no credit left: .*You exceeded"):
            ask(server)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "check MEDSLM_ENGINE_KEY"),
        (404, "usually ends in /v1"),
        (307, "it points elsewhere"),
        (410, "check MEDSLM_ENGINE_URL"),
    ],
)
def test_what_no_wait_mends_is_told_at_once(status: int, advice: str) -> None:
    with JudgeServer(yes) as server, JudgeServer(yes) as elsewhere:
        server.faults = [Fault(status, {"Location": f"{elsewhere.url}/chat/completions"})]
        with pytest.raises(MedslmError, match=f"answers {status}.*{advice}") as told:
            ask(server)
    assert not isinstance(told.value, (Refused, Unavailable))
    assert len(server.asked) == 1 and not elsewhere.asked


def test_the_key_is_sent_and_seen_nowhere_else(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with JudgeServer(yes) as server, caplog.at_level(logging.DEBUG):
        ask(server)
        server.faults = [Fault(401, body=f'{{"error": {{"message": "Incorrect API key provided: {KEY}"}}}}'.encode())]
        with pytest.raises(MedslmError) as told:
            ask(server)
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in str(told.value) and "<key>" in str(told.value)
    assert KEY not in repr(Endpoint(server.url, "m", KEY)) + caplog.text + "".join(capfd.readouterr())


def test_another_service_s_key_and_account_are_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "of-openai")
    with JudgeServer(yes) as server, Client(Endpoint(server.url, "m")) as client:
        client.ask(send)
    assert "of-openai" not in str(server.asked[0].headers)


def test_what_stays_on_this_machine_passes_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with JudgeServer(yes) as proxy, JudgeServer(yes) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        ask(server)
    assert server.asked and not proxy.asked


def test_without_the_package_the_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(MedslmError, match=r"the server is asked .*pip install 'medslm\[judge\]'"):
        Client(Endpoint("http://127.0.0.1:9/v1", "m"))


def test_nobody_there_from_the_start_is_not_waited_for_to_the_end_of_patience() -> None:
    with JudgeServer(yes) as server:
        url = server.url
    started = time.monotonic()
    with (
        Client(Endpoint(url, "m")) as client,
        pytest.raises(Unavailable, match=r"after 3 attempts.*no connection .*whether it is running"),
    ):
        client.ask(send)
    assert time.monotonic() - started < 5


def test_a_server_that_goes_away_after_it_answered_has_the_whole_patience() -> None:
    with JudgeServer(yes) as server, Client(Endpoint(server.url, "m"), patience=5) as client:
        client.ask(send)
        server.faults = [Fault(drop=True)] * (room.FEW + 2)
        assert client.ask(send) == "yes"
    assert client.attempts == room.FEW + 4


def test_an_answer_of_another_protocol_is_given_up_soon() -> None:
    with JudgeServer(yes) as server:
        server.faults = [Fault(200, body=b"<html>Welcome</html>")] * 9
        with pytest.raises(Unavailable, match="its answer is no completion"):
            ask(server)
    assert len(server.asked) == room.FEW


def test_a_long_wait_is_said_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(room, "WORTH_SAYING", 0.05)
    with JudgeServer(yes) as server:
        server.faults = [Fault(429, {"Retry-After": "0.1"})] * 2
        ask(server)
    assert capsys.readouterr().err.count("asked again for up to 5 s a request") == 1


def test_items_asked_side_by_side_keep_their_order_and_are_counted() -> None:
    done: list[int] = []
    with JudgeServer(yes) as server, Client(Endpoint(server.url, "m")) as client:
        found = client.each(lambda n: f"{n} {client.ask(send)}", range(9), 4, lambda: done.append(1))
        assert client.each(lambda n: n, [], 4) == []
    assert found == [f"{n} yes" for n in range(9)] and len(done) == 9


def test_after_a_failure_nothing_more_is_begun_and_nobody_waits_on() -> None:
    with JudgeServer(yes) as server, Client(Endpoint(server.url, "m")) as client:
        server.faults = [Fault(429, {"Retry-After": "60"}), Fault(401)]
        started = time.monotonic()
        with pytest.raises(MedslmError, match="answers 401"):
            client.each(lambda n: client.ask(send), range(50), 2)
        assert time.monotonic() - started < 5 and len(server.asked) < 50
        assert client.ask(send) == "yes", "the client goes on to serve"


def test_an_interrupt_does_not_wait_for_a_slow_server() -> None:
    slow, started = threading.Event(), time.monotonic()

    def ask(n: int) -> None:
        if n:
            slow.wait(20)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with Client(Endpoint("http://127.0.0.1:9/v1", "m")) as client, pytest.raises(KeyboardInterrupt):
        client.each(ask, range(9), 3, interrupted)
    assert time.monotonic() - started < 10
    slow.set()


@pytest.mark.parametrize(
    "key", ["sk-secret\n", "sk-secret\r", " sk-secret", "sk secret", "sk-secr\u00e9t", "sk\x00secret"]
)
def test_a_key_that_no_header_takes_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(MedslmError, match="MEDSLM_ENGINE_KEY holds what no key does") as told:
        Endpoint("http://127.0.0.1:9/v1", "m", key)
    assert "sk" not in str(told.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/v1 ", "http://127.0.0.1:9/v1\n", " https://h/v1", "https://a b/v1"]
)
def test_an_address_with_a_blank_or_a_line_s_end_is_none(url: str) -> None:
    with pytest.raises(MedslmError, match="MEDSLM_ENGINE_URL is no address of a server"):
        Endpoint(url, "m")


@pytest.mark.parametrize(
    ("name", "value"), [("ALL_PROXY", "gopher://me:s3cret@proxy.example:1"), ("SSL_CERT_FILE", "/nowhere/s3cret.pem")]
)
def test_a_proxy_or_certificates_that_cannot_be_used_are_a_sentence(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(
        MedslmError, match=r"cannot be asked through the proxy or with the certificates .*ALL_PROXY"
    ) as told:
        Client(Endpoint("https://judge.example/v1", "m"))
    assert "s3cret" not in str(told.value)
    Client(Endpoint("http://127.0.0.1:9/v1", "m")).close()


def test_where_an_answer_points_is_said_without_what_may_be_secret_there() -> None:
    with JudgeServer(yes) as server:
        server.faults = [Fault(307, {"Location": "https://me:s3cret@other.example:8443/v1/chat?token=s3cret"})]
        with pytest.raises(MedslmError, match=r"points elsewhere, to https://other\.example:8443/v1/chat: set") as told:
            ask(server)
    assert "s3cret" not in str(told.value)


def test_a_status_that_counts_as_a_refusal_is_asked_a_few_times_only() -> None:
    with JudgeServer(yes) as server, Client(Endpoint(server.url, "m")) as client:
        server.faults = [Fault(500)] * 9
        with pytest.raises(Refused, match="it says 500"):
            client.ask(send, refusals=(500,))
    assert client.attempts == room.FEW
