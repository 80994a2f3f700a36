"""The local service: real HTTP that answers as a function says, and shows what it was asked."""

import http.client
import json
import urllib.request

import pytest

from penin_core.testing import Answer, Asked, Loopback
from penin_core.testing.loopback import RESET


def fetch(url, body=None, headers=()):
    request = urllib.request.Request(url, data=body, headers=dict(headers))
    with urllib.request.urlopen(request, timeout=10) as reply:
        return reply.status, reply.headers.get("content-type"), reply.read()


@pytest.mark.parametrize(
    ("body", "kind", "content"),
    [
        ({"a": 1}, "application/json", b'{"a": 1}'),
        ([1], "application/json", b"[1]"),
        ("Zoë", None, "Zoë".encode()),
        (b"\x00", None, b"\x00"),
        (None, None, b""),
    ],
)
def test_a_body_is_sent_as_what_it_is(body, kind, content):
    with Loopback(lambda asked: Answer(201, body)) as server:
        assert fetch(server.url) == (201, kind, content)


def test_what_was_asked_is_kept_in_order():
    with Loopback(lambda asked: Answer(200, {})) as server:
        fetch(f"{server.url}/a?x=1&y=a%20b", headers={"X-Key": "k"}.items())
        fetch(f"{server.url}/b", json.dumps({"n": 2}).encode())
    first, second = server.asked
    assert (first.method, first.path, first.query) == ("GET", "/a", {"x": "1", "y": "a b"})
    assert first.headers["x-key"] == "k"
    assert (second.method, second.json) == ("POST", {"n": 2})


def test_the_parts_of_an_upload_are_whole():
    rows = b'{"a": 1}\r\n{"b": 2}\n'
    body = b"".join(
        b'--X\r\ncontent-disposition: form-data; name="%s"\r\n\r\n%s\r\n' % part
        for part in ((b"purpose", b"fine-tune"), (b"file", rows))
    )
    headers = {"content-type": "multipart/form-data; boundary=X"}
    asked = Asked("POST", "/files", {}, headers, body + b"--X--\r\n")
    assert asked.parts == {"purpose": b"fine-tune", "file": rows}


def test_a_reset_ends_the_connection_without_a_word():
    with (
        Loopback(lambda asked: RESET) as server,
        pytest.raises((ConnectionError, http.client.RemoteDisconnected)),
    ):
        fetch(server.url)
    assert len(server.asked) == 1


def test_what_the_function_raises_fails_the_test():
    def broken(asked):
        raise AssertionError("not what was expected")

    with (
        pytest.raises(AssertionError, match="not what was expected"),
        Loopback(broken) as server,
        pytest.raises(ConnectionError),
    ):
        fetch(server.url)
