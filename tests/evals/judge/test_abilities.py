"""What a server takes and heeds is found out, not believed."""

from __future__ import annotations

import pytest

from evals.judge import judging
from judge_server import JudgeServer
from medslm.evals.judge import abilities
from medslm.evals.judge.abilities import Abilities
from medslm.evals.judge.endpoint import Endpoint
from medslm.infer.engines.client import Client, Refused


def probed(**told: object) -> tuple[Abilities, int]:
    with JudgeServer(judging.good, **told) as server, Client(Endpoint(server.url, "m")) as client:  # type: ignore[arg-type]
        return abilities.probe(client), client.attempts


@pytest.mark.parametrize(
    ("heeds", "output", "requests"),
    [("schema", "schema", 1), ("object", "object", 2), ("ignores", "prose", 3), ("refuses", "prose", 3)],
)
def test_a_shape_that_is_silently_ignored_is_not_relied_on(heeds: str, output: str, requests: int) -> None:
    assert probed(heeds=heeds) == (Abilities(output=output), requests)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rejects", "found"),
    [
        (("max_tokens",), Abilities(length="max_completion_tokens")),
        (("temperature", "seed"), Abilities(temperature=False, seed=False)),
        (("system",), Abilities(system=False)),
        (
            ("max_tokens", "temperature", "seed", "response_format", "system"),
            Abilities("prose", "max_completion_tokens", False, False, False),
        ),
    ],
)
def test_a_setting_that_is_refused_is_left_out(rejects: tuple[str, ...], found: Abilities) -> None:
    assert probed(rejects=rejects)[0] == found


def test_a_setting_that_fastapi_refuses_is_left_out_too() -> None:
    found = Abilities(temperature=False, seed=False)
    assert probed(rejects=("temperature", "seed"), fastapi=True)[0] == found


def test_a_server_that_takes_nothing_is_refused_in_its_own_words() -> None:
    with pytest.raises(Refused, match="'messages'"):
        probed(rejects=("messages",))


def test_the_parameters_say_what_is_sent() -> None:
    assert Abilities("prose").parameters({}, 9, 1) == {"max_tokens": 9, "temperature": 0, "seed": 1}
    plain = Abilities("object", "max_completion_tokens", temperature=False, seed=False)
    assert plain.parameters({}, 9, 1) == {"max_completion_tokens": 9, "response_format": {"type": "json_object"}}
    shape = Abilities().parameters({"type": "object"}, 9, 0)["response_format"]
    assert shape["json_schema"] == {"name": "verdict", "strict": True, "schema": {"type": "object"}}


def test_one_message_holds_both_where_there_is_no_system() -> None:
    told = Abilities(system=False).messages(judging.question().prompt.messages)
    assert [message["role"] for message in told] == ["user"]
    assert all(message["content"] in told[0]["content"] for message in judging.question().prompt.messages)
