"""The client of a witness: what it sends, what it accepts, and what it calls tampering."""

import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from penin_core.errors import LedgerInvalid, StateError
from penin_core.ledger.checkpoints import read_kept, seal
from penin_core.ledger.keys import SigningKey, signer_text
from penin_core.ledger.merkle import EMPTY_ROOT, verify_consistency
from penin_core.ledger.notes import (
    COSIGNATURE,
    Checkpoint,
    Note,
    Signature,
    VerifierKey,
    read_size,
    unbase64,
)
from penin_core.ledger.policy import parse_policy
from penin_core.ledger.store import WORMLedger
from penin_core.ledger.verify import verify
from penin_core.ledger.witness import ask_witness, check_url, post_http

KEY = SigningKey("penin.example/ledger/test", bytes(range(32)))
URL = "https://witness.example/api/"


class WitnessInTest:
    """A witness by the letter of tlog-witness, in memory; ``post`` stands in for HTTP."""

    def __init__(self, logs=(KEY.public,), name="witness.example/w1", seed=bytes(32)):
        self._signer = SigningKey(name, seed)
        self.key = VerifierKey(name, COSIGNATURE, self._signer.public.public)
        self.logs = {key.name: key for key in logs}
        self.seen = {}
        self.asked = []

    def post(self, url, body):
        assert url == "https://witness.example/api/add-checkpoint"
        status, answer = self.add_checkpoint(body)
        self.asked.append(status)
        return status, answer.encode()

    def add_checkpoint(self, body):
        head, _, signed = body.partition(b"\n\n")
        first, *lines = head.decode().split("\n")
        assert first.startswith("old ")
        assert len(lines) <= 63
        old, proof = read_size(first.removeprefix("old ")), [unbase64(line) for line in lines]
        note = Note.parse(signed)
        checkpoint = Checkpoint.parse(note.text)
        if checkpoint.origin not in self.logs:
            return 404, ""
        try:
            if not note.signers([self.logs[checkpoint.origin]]):
                return 403, ""
        except ValueError:
            return 403, ""
        if old > checkpoint.size:
            return 400, ""
        size, root = self.seen.get(checkpoint.origin, (0, EMPTY_ROOT))
        if old != size:
            return 409, f"{size}\n"
        if not verify_consistency(old, checkpoint.size, root, checkpoint.root, proof):
            return 422, ""
        self.seen[checkpoint.origin] = checkpoint.size, checkpoint.root
        return 200, str(self.cosignature(note.text))

    def cosignature(self, text, when=None):
        when = int(time.time()) if when is None else when
        message = f"cosignature/v1\ntime {when}\n{text}".encode()
        data = when.to_bytes(8, "big") + self._signer.sign(message)
        return Signature(self.key.name, self.key.key_id, data)


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("PENIN_SIGNING_KEY", signer_text(KEY.public.name, bytes(range(32))))


def append(state, count, note="x"):
    with WORMLedger(state / "ledger.db") as ledger:
        ledger.record_many([("TUNE", {"n": n, "note": note}) for n in range(count)])


def ask(state, post, key=None, url=URL):
    with WORMLedger(state / "ledger.db") as ledger:
        return ask_witness(state, ledger, url, None if key is None else str(key), post=post)


def start_over(state, count, note):
    """Rewrite the ledger with its key, as if nothing had been signed before."""
    for path in [*state.glob("ledger.db*"), *state.glob("ledger/[cf]*")]:
        path.unlink()
    append(state, count, note)
    with WORMLedger(state / "ledger.db") as ledger:
        seal(state, ledger)


def test_a_checked_cosignature_is_kept_with_the_checkpoint(tmp_path):
    witness = WitnessInTest()
    append(tmp_path, 5)
    done = ask(tmp_path, witness.post, witness.key)
    assert (done.witness, done.size, done.origin) == (witness.key.name, 5, KEY.public.name)
    note = Note.parse((tmp_path / "ledger/checkpoint").read_bytes())
    assert note.signers([KEY.public, witness.key]) == [KEY.public, witness.key]
    assert verify(tmp_path).signed.witnesses == (witness.key.name,)


def test_the_key_of_a_witness_is_asked_for_once(tmp_path):
    witness = WitnessInTest()
    append(tmp_path, 5)
    with pytest.raises(StateError, match=r"the key of the witness at .* is not known"):
        ask(tmp_path, witness.post)
    ask(tmp_path, witness.post, witness.key)
    policy = parse_policy((tmp_path / "ledger/policy.txt").read_bytes())
    assert policy.witnesses[witness.key.name].url == URL
    append(tmp_path, 3)
    assert ask(tmp_path, witness.post, url=URL.rstrip("/")).size == 8
    assert ask(tmp_path, witness.post, witness.key).size == 8
    assert (tmp_path / "ledger/policy.txt").read_text().count("witness ") == 1


def test_the_size_that_it_saw_last_is_remembered(tmp_path):
    witness = WitnessInTest()
    for count in (1, 7, 3, 5):
        append(tmp_path, count)
        ask(tmp_path, witness.post, witness.key)
    assert witness.asked == [200, 200, 200, 200]


def test_a_witness_that_saw_another_size_is_asked_again_with_that(tmp_path):
    witness = WitnessInTest()
    for count in (3, 5):
        append(tmp_path, count)
        ask(tmp_path, witness.post, witness.key)
    lines = (tmp_path / "ledger/checkpoints.jsonl").read_bytes().split(b"\n")
    kept = [line for line in lines if b"witness.example" not in line]
    (tmp_path / "ledger/checkpoints.jsonl").write_bytes(b"\n".join(kept))
    append(tmp_path, 2)
    with WORMLedger(tmp_path / "ledger.db") as ledger:
        seal(tmp_path, ledger)
    assert ask(tmp_path, witness.post, witness.key).size == 10
    assert witness.asked == [200, 200, 409, 200]


def test_the_same_checkpoint_can_be_cosigned_again_and_by_another(tmp_path):
    first, second = WitnessInTest(), WitnessInTest(name="other.example/w2", seed=bytes([1]) * 32)
    append(tmp_path, 5)
    ask(tmp_path, first.post, first.key)
    ask(tmp_path, first.post, first.key)
    ask(tmp_path, second.post, second.key)
    names = [line.name for line in read_kept(tmp_path).last.signatures]
    assert names == [KEY.public.name, first.key.name, second.key.name]


@pytest.mark.parametrize(
    ("count", "message"),
    [(4, "saw 5 entries of this ledger, now there are 4"), (9, "saw another ledger")],
)
def test_a_rewrite_with_the_key_is_refused_by_the_witness(tmp_path, count, message):
    witness = WitnessInTest()
    append(tmp_path, 5)
    ask(tmp_path, witness.post, witness.key)
    start_over(tmp_path, count, "better")
    assert verify(tmp_path).valid, "with the key everything agrees with itself"
    with pytest.raises(LedgerInvalid, match=message):
        ask(tmp_path, witness.post, witness.key)
    assert len(read_kept(tmp_path).last.signatures) == 1


def test_every_rewrite_of_the_last_checkpoint_is_refused_by_the_witness(tmp_path):
    for count in range(1, 8):
        state = tmp_path / str(count)
        state.mkdir()
        witness = WitnessInTest()
        append(state, count)
        ask(state, witness.post, witness.key)
        for other in range(1, 9):
            start_over(state, other, "better")
            with pytest.raises(LedgerInvalid):
                ask(state, witness.post, witness.key)
            assert witness.asked[-1] in {409, 422}


def test_a_log_that_the_witness_does_not_know_is_told(tmp_path):
    append(tmp_path, 5)
    witness = WitnessInTest(logs=())
    with pytest.raises(StateError, match="answered 404: the witness does not know this log"):
        ask(tmp_path, witness.post, witness.key)
    stranger = SigningKey(KEY.public.name, bytes(32)).public
    witness = WitnessInTest(logs=(stranger,))
    with pytest.raises(StateError, match=r"answered 403: .* does not accept the signature"):
        ask(tmp_path, witness.post, witness.key)
    assert "witness" not in (tmp_path / "ledger/policy.txt").read_text()


@pytest.mark.parametrize("status", [100, 201, 301, 400, 429, 500, 503])
def test_every_other_status_is_an_error_that_names_it(tmp_path, status):
    append(tmp_path, 5)
    witness = WitnessInTest()
    with pytest.raises(StateError, match=f"answered {status}: "):
        ask(tmp_path, lambda url, body: (status, b"anything"), witness.key)
    assert read_kept(tmp_path).last.signatures[0].name == KEY.public.name


@pytest.mark.parametrize("body", [b"", b"x", b"-1\n", b"05\n", b"5\n\n", b"\xff"])
def test_a_409_without_a_size_is_an_error(tmp_path, body):
    append(tmp_path, 5)
    with pytest.raises(StateError, match="answered 409 without a size"):
        ask(tmp_path, lambda url, _: (409, body), WitnessInTest().key)


def test_a_witness_that_never_agrees_is_given_up(tmp_path):
    append(tmp_path, 5)
    asked = []
    with pytest.raises(StateError, match="changes its mind"):
        ask(tmp_path, lambda url, body: asked.append(body) or (409, b"3\n"), WitnessInTest().key)
    assert len(asked) == 3


def replies(witness, note):
    """Answers with status 200 that are no cosignature of this checkpoint by this witness."""
    good = str(witness.cosignature(note.text))
    stranger = WitnessInTest(name="other.example/w2", seed=bytes([1]) * 32)
    impostor = WitnessInTest(seed=bytes([1]) * 32)
    forged = impostor.cosignature(note.text)
    yield ""
    yield "nonsense\n"
    yield good.removesuffix("\n")
    yield str(stranger.cosignature(note.text))
    yield str(witness.cosignature(Checkpoint(KEY.public.name, 5, bytes(32)).text))
    yield str(witness.cosignature(note.text, int(time.time()) + 3600))
    yield str(witness.cosignature(note.text, 0))
    yield str(Signature(witness.key.name, witness.key.key_id, forged.data))
    yield good + str(Signature(witness.key.name, witness.key.key_id, forged.data))
    yield "— x AAAAAAA=\n" * 101


def test_an_answer_without_a_valid_cosignature_is_refused_and_nothing_is_kept(tmp_path):
    append(tmp_path, 5)
    with WORMLedger(tmp_path / "ledger.db") as ledger:
        note = seal(tmp_path, ledger).note
    witness = WitnessInTest()
    count = 0
    for answer in replies(witness, note):
        with pytest.raises(StateError, match=r"https://witness\.example/api/"):
            ask(tmp_path, lambda url, body, a=answer: (200, a.encode()), witness.key)
        count += 1
        assert read_kept(tmp_path).last == note
    assert count == 10


def test_cosignatures_of_strangers_are_not_kept(tmp_path):
    append(tmp_path, 5)
    witness, other = WitnessInTest(), WitnessInTest(name="other.example/w2", seed=bytes([1]) * 32)

    def post(url, body):
        status, answer = witness.post(url, body)
        text = Note.parse(body.partition(b"\n\n")[2]).text
        return status, str(other.cosignature(text)).encode() + answer

    ask(tmp_path, post, witness.key)
    assert [line.name for line in read_kept(tmp_path).last.signatures] == [
        KEY.public.name,
        witness.key.name,
    ]


@pytest.mark.parametrize("vkey", ["nonsense", str(KEY.public)])
def test_what_is_no_key_of_a_witness_is_refused(tmp_path, vkey):
    append(tmp_path, 5)
    with pytest.raises(StateError, match="the key of the witness: "):
        ask(tmp_path, WitnessInTest().post, vkey)


def test_an_unsigned_ledger_is_shown_to_nobody(tmp_path, monkeypatch):
    append(tmp_path, 5)
    monkeypatch.setenv("PENIN_SIGNING_KEY", "nonsense")
    with pytest.raises(StateError, match="cannot be signed: PENIN_SIGNING_KEY"):
        ask(tmp_path, None, WitnessInTest().key)


# The wire


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "https://[2001:db8::1]:8443/x",
        "http://127.0.0.1:80",
        "http://[::1]/",
        "http://localhost/",
    ],
)
def test_addresses_that_a_checkpoint_may_be_sent_to(url):
    assert check_url(url).hostname


@pytest.mark.parametrize(
    "url",
    [
        "",
        "witness.example",
        "http://witness.example/",
        "http://10.0.0.1/",
        "http://localhost.example/",
        "http://127.0.0.1.example/",
        "http://0x7f.1/",
        "ftp://witness.example/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user:secret@witness.example/",
        "https://witness.example/?q=1",
        "https://witness.example/#here",
        "https://witness.example:port/",
        "https://witness.example:99999/",
        "https://witness example/",
        "https://witness.example\\@evil.example/",
        "https://witness.example/\r\nHost: x",
        "https://wıtness.example/",
        "https://[::1/",
    ],
)
def test_other_addresses_are_refused(url):
    with pytest.raises(StateError, match="is not the address of a witness"):
        check_url(url)


@pytest.fixture
def server():
    """An HTTP server on this machine; ``answer`` is what it says, ``got`` what it was sent."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.got.append((self.path, self.headers["Content-Type"], body))
            status, headers, data = made.answer(self.path, body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.got, made.url = [], f"http://127.0.0.1:{made.server_port}/w"
    thread = threading.Thread(target=made.serve_forever, args=(0.05,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_a_witness_is_asked_over_http(tmp_path, server):
    witness = WitnessInTest()

    def answer(path, body):
        assert path == "/w/add-checkpoint"
        status, text = witness.add_checkpoint(body)
        return status, {}, text.encode()

    server.answer = answer
    append(tmp_path, 5)
    for _ in range(2):
        assert ask(tmp_path, None, witness.key, server.url).size == 5
    (_, kind, body), *_ = server.got
    assert kind == "text/plain; charset=utf-8"
    assert body.startswith(b"old 0\n\npenin.example/ledger/test\n5\n")


def test_a_redirect_is_not_followed(server):
    server.answer = lambda path, body: (302, {"Location": server.url + "/elsewhere"}, b"")
    assert post_http(server.url, b"body")[0] == 302
    assert len(server.got) == 1


def test_an_endless_answer_is_cut_off(server):
    server.answer = lambda path, body: (200, {}, b"x" * 70_000)
    with pytest.raises(StateError, match="answered more than 65536 bytes"):
        post_http(server.url, b"body")


def test_a_witness_that_is_not_there_is_an_error_in_words():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/w"
        with pytest.raises(StateError, match=f"{re.escape(url)} did not answer: "):
            post_http(url, b"body")


def test_what_a_witness_gets_holds_no_entry(tmp_path):
    witness = WitnessInTest()
    append(tmp_path, 5, note="secret prompt")
    sent = []

    def post(url, body):
        sent.append(body)
        return witness.post(url, body)

    ask(tmp_path, post, witness.key)
    assert b"secret" not in b"".join(sent)
