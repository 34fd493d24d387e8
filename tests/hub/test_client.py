"""The words of a failure hold no secret, and a failure that nobody foresaw keeps its name."""

from __future__ import annotations

import pytest

from medslm.errors import MedslmError
from medslm.hub import client

ASKED = client.Asked("publish", "alice/toy")


@pytest.mark.parametrize("kind", [client.TRANSPORT, ValueError, OSError, ConnectionError])
def test_a_token_or_a_signature_inside_an_error_is_not_repeated(kind: type[Exception]) -> None:
    secret = "hf_" + "Abc1234567" * 3
    said = str(client.explain(kind(f"Illegal header value b'Bearer {secret}' for http://s3/x?signature=abc"), ASKED))
    assert said.startswith("cannot publish alice/toy: ")
    assert secret not in said
    assert "signature" not in said


def test_a_full_disk_is_not_blamed_on_xet() -> None:
    error = OSError(28, "No space left on device")
    assert str(client.explain(error, ASKED)) == "cannot publish alice/toy: OSError: [Errno 28] No space left on device"
    assert not client.is_xet(PermissionError(13, "Permission denied", "/somewhere"))


def test_an_error_of_ours_is_not_wrapped_and_not_tried_again() -> None:
    calls = []

    def attempt() -> None:
        calls.append(1)
        raise MedslmError("as it is")

    with pytest.raises(MedslmError, match=r"^as it is$"):
        client.persist(attempt, ASKED)
    assert calls == [1]


def test_a_failure_behind_the_clients_wrapper_is_found() -> None:
    wrapped = RuntimeError("Error while uploading")
    wrapped.__cause__ = client.TRANSPORT("Server disconnected")
    assert "Server disconnected" in str(client.explain(wrapped, ASKED))
