"""The dashboard over HTTP: who is answered, with which headers, and what is never done."""

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from penin_core import Configuration, StateError, Views, WORMLedger
from penin_core.testing import CommandConformance
from penin_dashboard import command, in_words
from penin_dashboard.server import METHODS, POLICY, application, serve_until_interrupted

PORT = 8790
HERE = f"127.0.0.1:{PORT}"
PATHS = [
    "/",
    "/runs",
    "/lineage",
    "/canary",
    "/tuner",
    "/ledger",
    "/style.css",
    "/run/run-1",
    "/compare/run-1/run-1",
    "/report/run-1",
]
ESCAPE = "\x1b[31m<b>"


class TestCommand(CommandConformance):
    command = command


def recorded(state):
    state.mkdir(parents=True, exist_ok=True)
    config = Configuration(provider="p", model=ESCAPE)
    body = {"config": config.model_dump(mode="json"), "config_hash": config.hash, "run_id": None}
    run = {"id": "run-1", "kind": "challenger", "cycle_id": "one", "candidate_cfg_hash": "c"}
    with WORMLedger(state / "ledger.db") as ledger:
        ledger.record_event("BOOTSTRAP", {**body, "param_version": 0, "params": {}})
        ledger.record_run({**run, "verdict": "fail", "dry_run": False, "reason": ESCAPE})
    return state


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return recorded(tmp_path_factory.mktemp("state") / ".penin")


@pytest.fixture(scope="module")
def app(state):
    return application(Views(state, 5.0), PORT)


def ask(app, path, *, method="GET", hosts=(HERE,), query=""):
    """Send one request to the application; return status, headers and body."""
    headers = [(b"host", host.encode("latin-1")) for host in hosts]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": headers,
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", PORT),
    }
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    assert [message["type"] for message in sent].count("http.response.start") == 1
    found = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
    assert len(dict(found)) == len(found), "a header was sent twice"
    return sent[0]["status"], dict(found), b"".join(m.get("body", b"") for m in sent[1:])


@pytest.mark.parametrize("path", PATHS)
def test_every_page_is_served_and_locked_down(app, path):
    status, headers, body = ask(app, path)
    assert status == 200
    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in headers
    kind = "text/css" if path == "/style.css" else "text/html"
    assert headers["content-type"] == f"{kind}; charset=utf-8"
    assert len(body) == int(headers["content-length"]) < 300_000
    assert b"<script" not in body
    assert b" style=" not in body
    assert ("content-disposition" in headers) is path.startswith("/report")


def test_the_policy_forbids_everything_but_what_this_site_serves():
    parts = dict(part.split(" ", 1) for part in POLICY.split("; "))
    assert parts["default-src"] == parts["frame-ancestors"] == parts["form-action"] == "'none'"
    assert set(parts.values()) == {"'none'", "'self'"}


@pytest.mark.parametrize("path", [*PATHS, "/nothing"])
def test_head_has_the_headers_of_get(app, path):
    got, asked = ask(app, path), ask(app, path, method="HEAD")
    assert got[:2] == asked[:2]


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"]
)
@pytest.mark.parametrize("path", ["/", "/run/run-1", "/nothing"])
def test_whatever_could_change_something_is_refused(app, method, path):
    status, headers, _ = ask(app, path, method=method)
    assert (status, headers["allow"]) == (405, ", ".join(METHODS))
    assert headers["content-security-policy"] == POLICY


@pytest.mark.parametrize(
    "hosts",
    [
        (),
        ("evil.example",),
        (f"evil.example:{PORT}",),
        ("127.0.0.1",),
        ("127.0.0.1:1",),
        (f"{HERE}.evil.example",),
        (f"user@{HERE}",),
        (f"{HERE}@evil.example",),
        (f"{HERE}/x",),
        (f" {HERE}",),
        (f"[::1]:{PORT}",),
        (f"0.0.0.0:{PORT}",),
        (f"localhost.:{PORT}",),
        (HERE, "evil.example"),
        (HERE, HERE),
        ("",),
        ("\xff",),
    ],
)
def test_another_host_is_not_answered(app, hosts):
    status, _, body = ask(app, "/", hosts=hosts)
    assert status == 421
    assert b"<html" not in body


@pytest.mark.parametrize("host", [HERE, f"localhost:{PORT}", f"LOCALHOST:{PORT}"])
def test_this_host_is_answered_by_its_names(app, host):
    assert ask(app, "/", hosts=(host,))[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "//",
        "/run/",
        "/run/a/b",
        "/run/../runs",
        "/compare/a",
        "/style.css/",
        "/\x00",
        "/run/\ud7ff",
    ],
)
def test_an_address_that_leads_nowhere_is_a_page(app, path):
    status, headers, body = ask(app, path)
    assert status == 404
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert b"Overview" in body


@pytest.mark.parametrize(
    "before", ["-1", "x", "9" * 400, "1e3", "²", "", "0x1", "1;DROP TABLE runs"]
)
def test_a_place_in_the_list_that_is_no_number_is_the_first_page(app, before):
    status, _, body = ask(app, "/runs", query=f"before={before}")
    assert status == 200
    assert b"/run/run-1" in body


def test_an_earlier_place_in_the_list_shows_earlier_runs_and_entries(app):
    assert b"/run/run-1" not in ask(app, "/runs", query="before=1")[2]
    assert b"/run/run-1" not in ask(app, "/ledger", query="before=1")[2]
    assert b"/run/run-1" in ask(app, "/ledger", query="before=2")[2]


def test_a_checkpoint_that_is_not_there_is_said_as_text(app):
    status, headers, body = ask(app, "/ledger/checkpoint")
    assert (status, headers["content-type"]) == (404, "text/plain; charset=utf-8")
    assert body.splitlines()[0] == b"nothing was signed yet"


@pytest.mark.parametrize("idx", ["0", "99", "9" * 18])
def test_an_entry_that_nobody_signed_has_no_proof(app, idx):
    status, headers, body = ask(app, f"/ledger/proof/{idx}")
    assert (status, headers["content-type"]) == (404, "text/plain; charset=utf-8")
    assert idx.encode() in body


@pytest.mark.parametrize("idx", ["-1", "x", "9" * 400, "²", "0x1"])
def test_a_proof_of_what_is_no_entry_is_no_page(app, idx):
    assert ask(app, f"/ledger/proof/{idx}")[0] == 404


def test_a_report_is_saved_under_the_name_of_its_run(app):
    _, headers, body = ask(app, "/report/run-1")
    assert headers["content-disposition"] == 'attachment; filename="penin-run-1.html"'
    assert b"Content-Security-Policy" in body


def test_looking_writes_nothing(state, app):
    def content():
        return {p.name: p.read_bytes() for p in state.iterdir() if p.suffix not in (".db-shm",)}

    before = content()
    for path in PATHS:
        ask(app, path)
    assert content() == before


# The command


def penin(*words, **options):
    code = "import sys; sys.argv[0] = 'penin'; from penin_core.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_it_is_installed_as_a_command():
    (entry,) = (e for e in entry_points(group="penin.commands") if e.name == "dashboard")
    assert entry.load() is command


def test_the_summary_is_safe_to_print(state):
    shown = in_words(Views(state, 5.0).summary())
    assert "\x1b" not in shown
    assert "champion  p: [31m<b>" in shown
    assert "ledger    2 entries, 0 of them signed: " in shown
    assert re.search(r"^cycle     fail     run-1: ", shown, re.MULTILINE)


def test_the_summary_names_the_worst_axis_once(state):
    found = Views(state, 5.0).summary()
    run = {**found["cycles"][0], "worst_axis": "axis C"}
    assert "run-1, worst axis C: " in in_words({**found, "cycles": [run]})


def test_the_summary_says_only_what_was_verified(state):
    found = Views(state, 5.0).summary()
    whole = {"valid": True, "size": 1200, "signed": 1100, "reason": "", "warnings": []}
    for changes, words in (
        ({}, "1,200 entries, 1,100 of them signed: entries, pointer and run files valid"),
        ({"warnings": ["a", "b"]}, "1,200 entries, 1,100 of them signed: valid but for warnings"),
        ({"size": 0, "signed": 0}, "nothing was recorded yet"),
        ({"valid": False, "reason": "no"}, "INVALID: no; penin ledger verify says more"),
    ):
        shown = in_words({**found, "ledger": whole | changes}).splitlines()
        assert f"ledger    {words}" in shown
        warned = [line.split()[1] for line in shown if line.startswith("warning")]
        assert warned == changes.get("warnings", [])


def test_the_summary_does_not_pass_a_dry_run_off_as_a_promotion(state):
    found = Views(state, 5.0).summary()
    run = {**found["cycles"][0], "verdict": "promote", "dry_run": True}
    assert "cycle     promote  (dry run) run-1" in in_words({**found, "cycles": [run]})


def test_the_summary_as_json(state, tmp_path):
    process = penin("dashboard", "--json", "--state-dir", state, cwd=tmp_path)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out)["champion"]["config"]["model"] == ESCAPE


def test_an_empty_directory_has_a_summary_and_stays_empty(tmp_path):
    found = Views(tmp_path / "none", 5.0).summary()
    assert (found["champion"], found["cycles"]) == (None, [])
    assert "penin evolve" in in_words(found)
    assert list(tmp_path.iterdir()) == []


def test_it_serves_until_it_is_interrupted_while_another_process_writes(tmp_path):
    state = recorded(tmp_path / ".penin")
    process = penin("dashboard", "--serve", "--port", "0", "--state-dir", state, cwd=tmp_path)
    try:
        address = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stderr.readline())
        connection = http.client.HTTPConnection("127.0.0.1", int(address[1]), timeout=30)
        for number in range(5):
            with WORMLedger(state / "ledger.db") as ledger:
                run = {"id": f"late-{number}", "kind": "challenger", "candidate_cfg_hash": "c"}
                ledger.record_run({**run, "verdict": "fail", "dry_run": False})
                connection.request("GET", "/runs")
                answer = connection.getresponse()
                assert answer.status == 200
                assert f"/run/late-{number}".encode() in answer.read()
        assert answer.getheader("server") is None
        connection.close()
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err == ""


def test_a_port_that_is_taken_is_an_error_with_a_hint(state):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StateError, match=f"port {port} of 127") as caught:
            serve_until_interrupted(Views(state, 5.0), port, os.write)
    assert "--port" in caught.value.hint
