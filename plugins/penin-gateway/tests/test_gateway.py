"""The gateway from outside: a real server, a real upstream, and every way to ask wrongly."""

import asyncio
import base64
import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from penin_core import (
    Configuration,
    Deployment,
    LeagueOrchestrator,
    SettingsError,
    StateError,
    WORMLedger,
)
from penin_core.engine import pool
from penin_core.engine.budget import Budget
from penin_core.ledger.artifacts import write_run
from penin_core.live.start import begin
from penin_core.live.store import LiveReader
from penin_core.live.traffic import Assignment
from penin_core.settings import LiveSettings
from penin_core.testing import CommandConformance
from penin_gateway import bodies, command, protocol
from penin_gateway.app import Gateway
from penin_gateway.guard import Guard, Tokens, is_loopback, new_token
from penin_gateway.metrics import _observed
from penin_gateway.server import listening, require_name, require_token, server_of

DOCS = Path(__file__).parents[3] / "docs" / "gateway.md"
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
KEY = "sk-canary-0123456789abcdef"
PROVIDER = '''
from penin_core import (
    Capabilities, ChatCompletionsProvider, Completion, ComponentOptions, HttpProvider,
    LocalProvider, Price, decode_response, encode_response, hookimpl,
)

class Options(ComponentOptions):
    base_url: str
    price: float = 0.0

class Near(ChatCompletionsProvider):
    """A service on this computer."""
    name = "near"
    key_env = "NEAR_KEY"
    Options = Options
    def capabilities(self, model):
        price = Price(input_per_million=self.options.price, output_per_million=self.options.price)
        return Capabilities(logprobs=True, seed=True, streaming=True, price=price)

class Told(HttpProvider):
    """A service that speaks the Responses API."""
    name = "told"
    key_env = "NEAR_KEY"
    Options = Options
    def capabilities(self, model):
        return Capabilities(price=Price(input_per_million=1, output_per_million=1))
    def encode(self, request):
        return encode_response(request)
    def decode(self, reply):
        return decode_response(reply)

class Here(LocalProvider):
    """A model in this process."""
    name = "here"
    def capabilities(self, model):
        return Capabilities(price=Price(input_per_million=0, output_per_million=0), batch=8)
    def generate(self, requests):
        said = [f"{one.system}|{one.messages[-1].content}" for one in requests]
        return [Completion(text=text, model="m", tokens_in=1, tokens_out=1) for text in said]

@hookimpl
def penin_register_providers():
    return [Near, Told, Here]

penin_api = 1
'''
#: How a service may quote the key: the status, the body, a header that holds it (or how it ends).
_ERROR = '{"error": {"message": "bad key KEY", "code": "KEY", "param": "KEY", "type": "KEY"}}'
LEAKS = {
    **{
        f"in an error {status}": (status, _ERROR, "")
        for status in (*range(400, 406), 408, 409, 413, 415, 422, 429, *range(500, 505), 520, 529)
    },
    "as the message": (401, '{"message": "KEY"}', ""),
    "as the error": (400, '{"error": "KEY"}', ""),
    "in a detail": (422, '{"detail": [{"loc": ["KEY"], "msg": "KEY"}]}', ""),
    "in a list": (400, '["KEY"]', ""),
    "as a text": (400, '"KEY"', ""),
    "in a page": (502, "<html>KEY</html>", ""),
    "in a page that is well": (200, "<html>KEY</html>", ""),
    "in an answer without choices": (200, '{"KEY": "KEY"}', ""),
    "in an answer that is none": (200, '{"choices": [{"message": "KEY"}]}', ""),
    "in JSON that breaks off": (200, '{"choices": "KEY', ""),
    "in a redirect": (302, "{}", "location"),
    "in a wait": (429, "{}", "retry-after"),
    "in the kind of the body": (500, "{}", "content-encoding"),
    "in the status line": (200, "", "reset"),
    "in a header that is wrong": (200, "{}", "cut"),
}
#: What a model that reasons may say.
PARTS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
    {"type": "text", "text": "42"},
    {"text": "of no type"},
    {"type": "text"},
    "no part",
]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


class Upstream(BaseHTTPRequestHandler):
    """Does what the last message says, and remembers what it was sent."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.append((body, dict(self.headers)))
        if self.path == "/v1/responses":
            return self.respond(body)
        last = body["messages"][-1]["content"]
        said = last if isinstance(last, str) else json.dumps(last)
        if said == "nonsense":
            return self.answer(200, b"<html>hello</html>", "text/html")
        if said == "no choices":
            return self.answer(200, b'{"ok": true}')
        if said.startswith("leak "):
            return self.leak(*LEAKS[said[5:]])
        if said.startswith("status "):
            status, _, more = said[7:].partition(" ")
            error = {"message": f"no {KEY}", "code": "its_own", "param": "messages"}
            headers = {"retry-after": more} if more else {}
            return self.answer(int(status), json.dumps({"error": error}).encode(), **headers)
        if said == "slow":
            time.sleep(1.5)
        if body.get("stream"):
            return self.stream(body, said)
        message = {"role": "assistant", "content": f"you said: {said}"}
        if said == "in parts":
            message["content"] = [*PARTS, {"type": "text", "text": "!"}]
        if body.get("tools"):
            call = {"name": "weather", "arguments": '{"city": "Graz"}'}
            calls = [{"id": "call_1", "type": "function", "function": call}]
            message = {"role": "assistant", "content": None, "tool_calls": calls}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        whole = {"id": "up-1", "model": "vendor-model", "choices": [choice], "usage": usage}
        self.answer(200, json.dumps({**whole, "system_fingerprint": KEY}).encode())
        return None

    def stream(self, body, said):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        deltas = [{"role": "assistant", "content": ""}, {"content": "you "}, {"content": "said"}]
        if said == "in parts":
            deltas = [{"content": [part]} for part in PARTS] + [{"content": "!"}]
        if body.get("tools"):
            name = {"name": "weather", "arguments": ""}
            calls = [{"index": 0, "id": "call_1", "type": "function", "function": name}]
            more = [
                {"index": 0, "function": {"arguments": part}} for part in ('{"city":', '"Graz"}')
            ]
            deltas = [{"tool_calls": calls}, *({"tool_calls": [one]} for one in more)]
        try:
            for delta in deltas:
                self.event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
                if said == "break off":
                    return None
                if said == "error inside":
                    return self.event({"error": {"message": f"overloaded {KEY}"}})
                if said == "for ever":
                    while True:
                        time.sleep(0.01)
                        self.event({"choices": [{"index": 0, "delta": {"content": "x"}}]})
            self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
            self.event({"choices": [], "usage": usage})
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            self.server.hung_up.set()

    def leak(self, status, form, more):
        """Quote the key in one way, and go on as ``more`` says."""
        content = form.replace("KEY", KEY).encode()
        kind = "text/html" if form.startswith("<") else "application/json"
        if more == "reset":
            self.wfile.write(f"HTTP/1.1 {KEY} x\r\n\r\n".encode())
            self.close_connection = True
        elif more == "cut":
            self.answer(status, content, kind, x=KEY, connection="close", transfer_encoding=KEY)
            self.close_connection = True
        else:
            headers = dict.fromkeys([more] if more else [], KEY)
            self.answer(status, content, kind, **headers)

    def respond(self, body):
        said = body["input"][-1]["content"]
        if said.startswith("status "):
            return self.answer(int(said[7:10]), b'{"error": {"message": "no"}}')
        if said == "nonsense":
            return self.answer(200, b'{"status": "completed"}')
        part = {"type": "output_text", "text": f"{body['instructions']}|{said}"}
        item = {"type": "message", "content": [part]}
        usage = {"input_tokens": 10, "output_tokens": 5}
        whole = {"status": "completed", "model": "v", "output": [item], "usage": usage}
        return self.answer(200, json.dumps(whole).encode())

    def event(self, value):
        self.wfile.write(b"data: " + json.dumps({"model": "v", **value}).encode() + b"\n\n")
        self.wfile.flush()

    def answer(self, status, content, kind="application/json", **headers):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        return


@dataclass
class Running:
    """A gateway that runs, and what stands behind it."""

    port: int
    state: Path
    deployment: Deployment
    gateway: Gateway
    upstream: ThreadingHTTPServer
    headers: dict = field(default_factory=dict)

    def ask(self, body, path=CHAT, method="POST", **headers):
        """Send one request; return status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        content = body if isinstance(body, bytes | list | None) else json.dumps(body).encode()
        sent = {"content-type": "application/json", **self.headers}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, content, sent)
        reply = connection.getresponse()
        found = reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()
        connection.close()
        return found

    def said(self, text, path=CHAT, **more):
        """Ask in the plainest way; return status and parsed body."""
        field = (
            {"messages": [{"role": "user", "content": text}]} if path == CHAT else {"input": text}
        )
        status, _, content = self.ask({"model": "champion", **field, **more}, path)
        return status, json.loads(content)

    def raw(self, content, wait=20.0):
        """Send bytes; return all that comes back before the end of the connection."""
        with socket.create_connection(("127.0.0.1", self.port), wait) as one:
            one.sendall(content)
            found = b""
            while data := one.recv(65536):
                found += data
            return found

    @property
    def last(self):
        """What the upstream was sent last."""
        return self.upstream.seen[-1][0]


def promote(state, **changes):
    """Make a configuration the champion, by a new entry of the ledger."""
    fields = {"provider": "near", "model": "m-1", "system": "Be brief.", "max_tokens": 100}
    config = Configuration(**{**fields, **changes})
    with WORMLedger(state / "ledger.db") as ledger:
        kind = "PROMOTE" if ledger.size else "BOOTSTRAP"
        body = {"config": config.model_dump(mode="json"), "config_hash": config.hash}
        run_id = f"run-{ledger.size}" if ledger.size else None
        body |= {"run_id": run_id, "previous_run_id": None, "reason": "test"}
        more = {"param_version": 0, "params": {}} if kind == "BOOTSTRAP" else {}
        ledger.record_event(kind, {**body, **more})
        LeagueOrchestrator(state, ledger).champion()
    return config


@contextmanager
def running(
    folder,
    *,
    price=0.0,
    daily=5.0,
    champion=True,
    tokens=None,
    most=64,
    plugin=PROVIDER,
    **changes,
):
    """Run a gateway before an upstream, each in a thread."""
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    upstream.seen, upstream.hung_up = [], threading.Event()
    threading.Thread(target=upstream.serve_forever, args=(0.02,), daemon=True).start()
    (folder / "near.py").write_text(plugin)
    settings = folder / "penin.toml"
    settings.write_text(
        f'plugins = ["./near.py"]\n[budget]\ndaily_usd = {daily}\n[providers.near]\n'
        f'base_url = "http://127.0.0.1:{upstream.server_port}/v1"\nprice = {price}\n'
        + "".join(
            f'[providers.{name}]\nbase_url = "http://127.0.0.1:{upstream.server_port}/v1"\n'
            for name in ("told", "never", "nothing", "sometimes", "counts")
        )
    )
    state = folder / ".penin"
    state.mkdir()
    if champion:
        promote(state, **changes)
    told = []
    deployment = Deployment.find(settings, None, name="champion", tell=told.append)
    with deployment, listening("127.0.0.1", 0) as one:
        port = one.getsockname()[1]
        gateway = Gateway(deployment, Guard("127.0.0.1", port, ("gw.example",), tokens), most)
        server = server_of(gateway)
        thread = threading.Thread(target=server.run, args=([one],))
        thread.start()
        until(lambda: server.started)
        try:
            yield Running(port, state, deployment, gateway, upstream)
        finally:
            server.should_exit = True
            thread.join(20)
            upstream.shutdown()
            upstream.server_close()


def until(true, seconds=10.0):
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("NEAR_KEY", KEY)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEAR_KEY", KEY)
        with running(tmp_path_factory.mktemp("gateway"), temperature=0.5) as found:
            yield found


class TestCommand(CommandConformance):
    command = command


def test_it_is_installed_as_a_command():
    (entry,) = (e for e in entry_points(group="penin.commands") if e.name == "serve")
    assert entry.load() is command


# What is answered


def test_the_champion_answers_under_the_name_of_the_deployment(served):
    status, answer = served.said("hello")
    assert status == 200
    assert answer["choices"][0]["message"]["content"] == "you said: hello"
    assert (answer["model"], answer["object"]) == ("champion", "chat.completion")
    assert re.fullmatch(r"chatcmpl-[0-9a-f]{32}", answer["id"])
    assert answer["usage"]["total_tokens"] == 15
    assert answer.keys() == {"id", "object", "created", "model", "choices", "usage"}


def test_the_configuration_of_the_champion_replaces_the_clients(served):
    body = {
        "model": "champion",
        "messages": [
            {"role": "system", "content": "Be long."},
            {"role": "developer", "content": "Be rude."},
            {"role": "user", "content": "hello"},
        ],
        "temperature": 2,
        "top_p": 0.1,
        "presence_penalty": 1,
        "max_tokens": 5000,
        "user": "ana",
        "seed": 7,
        "stop": ["x"],
    }
    assert served.ask(body)[0] == 200
    sent = served.last
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hello"},
    ]
    assert (sent["model"], sent["temperature"], sent["top_p"]) == ("m-1", 0.5, 1.0)
    assert (sent["max_tokens"], sent["seed"], sent["stop"]) == (100, 7, ["x"])
    assert not {"user", "presence_penalty", "stream"} & sent.keys()


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_client_may_ask_for_less(served, name):
    served.said("hello", **{name: 7})
    assert served.last["max_tokens"] == 7


def test_tools_are_passed_through(served):
    status, answer = served.said("weather?", tools=[TOOL], tool_choice="auto")
    assert served.last["tools"] == [TOOL]
    assert answer["choices"][0]["message"]["tool_calls"][0]["id"] == "call_1"
    assert status == 200


def test_a_conversation_with_tools_goes_on(served):
    turns = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function"}]},
        {"role": "tool", "tool_call_id": "c", "content": "rain"},
    ]
    status, _, _ = served.ask({"model": "champion", "messages": turns})
    assert status == 200
    assert served.last["messages"][1:] == turns


def events(content):
    """Return the data of the events of a stream."""
    lines = [line for line in content.decode().split("\n") if line.startswith("data: ")]
    return [line[6:] if line[6:] == "[DONE]" else json.loads(line[6:]) for line in lines]


@pytest.mark.parametrize("with_usage", [True, False])
def test_a_stream_is_passed_on_chunk_by_chunk(served, with_usage):
    more = {"stream_options": {"include_usage": True}} if with_usage else {}
    question = {"model": "champion", "messages": [{"role": "user", "content": "hi"}]}
    status, headers, content = served.ask({**question, "stream": True, **more})
    *chunks, done = events(content)
    assert (status, done) == (200, "[DONE]")
    assert headers["content-type"].startswith("text/event-stream")
    texts = [c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"]]
    assert "".join(texts) == "you said"
    assert {chunk["model"] for chunk in chunks} == {"champion"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert ("usage" in chunks[-1]) is with_usage
    assert served.last["stream_options"] == {"include_usage": True}


def test_the_responses_api_says_the_same(served):
    status, answer = served.said("hello", RESPONSES, instructions="Be long.", temperature=0)
    assert served.last["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (status, answer["object"], answer["status"]) == (200, "response", "completed")
    assert answer["output"][0]["content"][0]["text"] == "you said: hello"
    assert answer["usage"]["output_tokens"] == 5
    assert re.fullmatch(r"resp_[0-9a-f]{32}", answer["id"])


def test_the_responses_api_passes_tools_through(served):
    tool = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "weather?"}]},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "rain"},
    ]
    body = {"model": "champion", "input": items, "tools": [tool]}
    answer = json.loads(served.ask(body, RESPONSES)[2])
    assert served.last["tools"] == [TOOL]
    assert [turn["role"] for turn in served.last["messages"][1:]] == ["user", "assistant", "tool"]
    assert served.last["messages"][2]["tool_calls"][0]["function"]["name"] == "weather"
    call = answer["output"][0]
    assert (call["type"], call["call_id"], call["name"]) == ("function_call", "call_1", "weather")


@pytest.mark.parametrize("tools", [False, True])
def test_a_response_is_streamed_event_by_event(served, tools):
    tool = {"type": "function", "name": "weather"}
    body = {
        "model": "champion",
        "input": "hi",
        "stream": True,
        **({"tools": [tool]} if tools else {}),
    }
    found = events(served.ask(body, RESPONSES)[2])
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    kinds = [event["type"] for event in found]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    final = found[-1]["response"]
    (item,) = final["output"]
    if tools:
        deltas = [
            e["delta"] for e in found if e["type"] == "response.function_call_arguments.delta"
        ]
        assert item["arguments"] == "".join(deltas) == '{"city":"Graz"}'
    else:
        deltas = [e["delta"] for e in found if e["type"] == "response.output_text.delta"]
        assert item["content"][0]["text"] == "".join(deltas) == "you said"
    assert final["usage"]["total_tokens"] == 15


def test_an_answer_in_parts_is_the_text_of_a_response(served, monkeypatch):
    found = []
    monkeypatch.setattr(served.deployment._live, "record", found.append)
    status, answer = served.said("in parts", RESPONSES)
    assert (status, answer["output"][0]["content"][0]["text"]) == (200, "42!")
    body = {"model": "champion", "input": "in parts", "stream": True}
    *_, last = events(served.ask(body, RESPONSES)[2])
    assert last["type"] == "response.completed"
    assert last["response"]["output"][0]["content"][0]["text"] == "42!"
    assert [one.text for one in found] == ["42!", "42!"]


def test_models_lists_the_deployment(served):
    status, _, content = served.ask(None, "/v1/models", "GET")
    (model,) = json.loads(content)["data"]
    assert (status, model["id"], model["owned_by"]) == (200, "champion", "penin")
    assert served.ask(None, "/v1/models/champion", "GET")[0] == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health_says_ok(served, method):
    status, _, content = served.ask(None, "/healthz", method)
    assert (status, content) == (200, b'{"status":"ok"}' if method == "GET" else b"")


def test_metrics_are_in_prometheus_text(served):
    served.said("my secret question")
    status, headers, content = served.ask(None, "/metrics", "GET")
    text = content.decode()
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "secret" not in text
    for line in text.splitlines():
        shape = r'(# (HELP|TYPE) .+|[a-z_]+(\{([a-z_]+="[^"]*",?)+\})? [-+0-9.e]+)'
        assert re.fullmatch(shape, line), line
    assert 'penin_provider_requests_total{provider="near",outcome="answered"}' in text
    assert "penin_ledger_rows 1" in text
    assert 'penin_cycle_duration_seconds_bucket{le="+Inf"} 0' in text


def test_a_histogram_counts_what_is_at_most_its_bound():
    lines = [line.split("} ")[-1] for line in _observed("s", (1.0, 2.0), [0.5, 1.0, 1.5, 9.0])]
    assert lines == ["2", "3", "4", "s_sum 12", "s_count 4"]


def test_feedback_names_an_answer(served):
    id_ = served.said("hello")[1]["id"]
    assert served.ask({"id": id_, "score": 1}, "/v1/feedback")[0] == 200
    assert served.ask({"id": id_, "label": "bad"}, "/v1/feedback")[0] == 200
    assert served.ask({"id": id_}, "/v1/feedback")[0] == 400
    assert served.ask({"id": id_, "score": 2}, "/v1/feedback")[0] == 400
    assert served.ask({"score": 1}, "/v1/feedback")[0] == 400
    assert served.ask({"id": id_, "score": True}, "/v1/feedback")[0] == 400


# What goes wrong: one answer each, as the documentation says


def question(text="hello", **more):
    return {"model": "champion", "messages": [{"role": "user", "content": text}], **more}


def head(served, *lines, method="POST", path=CHAT):
    host = f"host: 127.0.0.1:{served.port}"
    return "\r\n".join([f"{method} {path} HTTP/1.1", host, *lines, "", ""]).encode()


def plain(**asked):
    return lambda served: served.ask(question(**asked))


#: What happens, in the words of the documentation, and how to bring it about.
CASES = {
    "the upstream answers nonsense": plain(text="nonsense"),
    "the upstream answers JSON that is no completion": plain(text="no choices"),
    "the upstream fails": plain(text="status 500"),
    "the upstream asks to wait": plain(text="status 503 7"),
    "the upstream does not accept the key": plain(text="status 401"),
    "the upstream is asked too often": plain(text="status 429 3"),
    "the upstream refuses the request": plain(text="status 400"),
    "another model is named": lambda s: s.ask({**question(), "model": "gpt-5"}),
    "the address does not exist": lambda s: s.ask(question(), "/v1/nothing"),
    "the method is another": lambda s: s.ask(None, CHAT, "GET"),
    "the body is over 1 MiB": lambda s: s.ask(question("x" * bodies.LIMIT)),
    "the body is nested deeper than 64": lambda s: s.ask(
        question(
            response_format=json.loads("[" * 70 + "]" * 70)
            and {"a": json.loads("[" * 70 + "]" * 70)}
        )
    ),
    "the body is no JSON": lambda s: s.ask(b"{"),
    "a name stands twice in the body": lambda s: s.ask(b'{"model": "a", "model": "champion"}'),
    "half of a surrogate pair stands in a text": plain(text="\ud800"),
    "no model is named": lambda s: s.ask({**question(), "model": None}),
    "a number is NaN or infinite": lambda s: s.ask(b'{"model": "champion", "seed": NaN}'),
    "the body is sent as a form": lambda s: s.ask(question(), content_type="text/plain"),
    "the body is compressed": lambda s: s.ask(question(), content_encoding="gzip"),
    "the Host header lies": lambda s: s.ask(question(), host="evil.example"),
    "a web page asks": lambda s: s.ask(question(), origin="https://evil.example"),
    "a field would move the upstream": plain(api_base="http://evil.example"),
    "a field is unknown": plain(temprature=1),
    "a field has the wrong type": plain(tools="all"),
    "a field asks for what is not done": plain(n=3),
    "a message is wrong": lambda s: s.ask({"model": "champion", "messages": [{"role": "pope"}]}),
    "there is no message of the user": lambda s: s.ask(
        {"model": "champion", "messages": [{"role": "system", "content": "x"}]}
    ),
    "feedback on an unknown answer": lambda s: s.ask({"id": "x", "score": 1}, "/v1/feedback"),
}


def documented():
    """Return status and code by what happens, from the table of the documentation."""
    rows = re.findall(r"^\| (.+?) \| (\d{3}) \| `(\w+)` \|", DOCS.read_text(), re.MULTILINE)
    return {what: (int(status), code) for what, status, code in rows}


@pytest.mark.parametrize("case", CASES)
def test_what_goes_wrong_has_one_documented_answer(tmp_path, served, case):
    failing = case.startswith("the upstream fails")
    if failing:
        # Five in a row would open the breaker for the others.
        served.said("hello")
    status, headers, content = CASES[case](served)
    error = json.loads(content)["error"]
    assert (status, error["code"]) == documented()[case]
    assert error.keys() == {"message", "type", "param", "code"}
    assert headers["content-type"] == "application/json"
    assert KEY not in content.decode()
    assert served.said("hello")[0] == 200


def test_no_champion_yet(tmp_path):
    with running(tmp_path, champion=False) as served:
        status, headers, content = served.ask(question())
        assert (status, json.loads(content)["error"]["code"]) == documented()[
            "there is no champion yet"
        ]
        assert int(headers["retry-after"]) > 0
        assert served.ask(None, "/healthz", "GET")[0] == 200
        assert served.ask(None, "/v1/models", "GET")[0] == 200
        promote(served.state)
        until(lambda: served.said("hello")[0] == 200)


def test_an_upstream_that_is_down_is_left_alone(tmp_path):
    with running(tmp_path) as served:
        served.upstream.shutdown()
        served.upstream.server_close()
        found = [served.ask(question()) for _ in range(6)]
        codes = [(status, json.loads(content)["error"]["code"]) for status, _, content in found]
        assert codes[0] == documented()["the upstream cannot be reached"]
        assert codes[5] == documented()["the upstream failed five times in a row"]
        assert 1 <= int(found[5][1]["retry-after"]) <= 30


def test_an_upstream_that_is_slow_times_out(tmp_path):
    with running(tmp_path) as served:
        served.deployment._following.serving.backend.upstream._wire._idle_s = 0.2
        status, _, content = served.ask(question("slow"))
        code = json.loads(content)["error"]["code"]
        assert (status, code) == documented()["the upstream is silent for 120 s"]


def test_a_budget_that_is_used_up(tmp_path):
    with running(tmp_path, price=1000.0, daily=0.6) as served:
        found = [served.ask(question()) for _ in range(40)]
        refused = [one for one in found if one[0] != 200]
        assert 0 < len(refused) < len(found)
        for status, headers, content in refused:
            code = json.loads(content)["error"]["code"]
            assert (status, code) == documented()["the budget of the day is used up"]
            assert headers["x-should-retry"] == "false"


def test_what_was_spent_is_in_the_budget_when_it_ends(tmp_path):
    with running(tmp_path, price=100.0) as served:
        for _ in range(3):
            assert served.ask(question())[0] == 200
        state = served.state
    # 15 tokens at 100 dollars for a million are 1,500 micro-USD.
    assert paid(state) == (4500, 0)


def paid(state):
    """Return what is spent and what is still reserved, in micro-USD."""
    budget = Budget(state / "budget.db")
    found = budget.spent_today(), sum(one.bound_micro_usd for one in budget.open_reservations())
    budget.close()
    return found


@pytest.mark.parametrize("provider", ["near", "told"])
@pytest.mark.parametrize("stream", [False, True])
def test_what_the_upstream_refuses_costs_nothing(tmp_path, provider, stream):
    with running(tmp_path, price=100.0, provider=provider) as served:
        for text in ("status 429", "status 400", "status 401", "status 503 1"):
            assert served.ask(question(text, stream=stream))[0] >= 400
    assert len(served.upstream.seen) == 4
    assert paid(served.state) == (0, 0)


@pytest.mark.parametrize("provider", ["near", "told"])
def test_what_is_never_sent_costs_nothing(tmp_path, provider):
    with running(tmp_path, price=100.0, provider=provider) as served:
        served.upstream.shutdown()
        served.upstream.server_close()
        # Five find no connection; the breaker keeps the others.
        assert [served.ask(question())[0] for _ in range(7)] == [502] * 5 + [503] * 2
    assert paid(served.state) == (0, 0)


@pytest.mark.parametrize(
    ("provider", "text", "stream"),
    [
        ("told", "nonsense", False),
        ("near", "nonsense", False),
        ("near", "no choices", False),
        ("near", "break off", True),
        ("near", "error inside", True),
    ],
)
def test_what_cannot_be_read_costs_all_that_it_could(tmp_path, provider, text, stream):
    with running(tmp_path, price=100.0, provider=provider) as served:
        served.ask(question(text, stream=stream))
    spent, reserved = paid(served.state)
    assert spent > 100
    assert reserved == 0


@pytest.mark.parametrize("text", ["break off", "error inside"])
def test_a_stream_that_breaks_off_ends_with_an_error(served, text):
    status, _, content = served.ask(question(text, stream=True))
    *_, last = events(content)
    assert status == 200
    assert last["error"]["code"] == "upstream_bad_reply"
    assert KEY not in content.decode()


def test_a_client_that_hangs_up_ends_the_call_upstream(tmp_path):
    with running(tmp_path, price=100.0) as served:
        body = json.dumps(question("for ever", stream=True)).encode()
        lines = ("content-type: application/json", f"content-length: {len(body)}")
        with socket.create_connection(("127.0.0.1", served.port), 10) as one:
            one.sendall(head(served, *lines) + body)
            assert one.recv(100).startswith(b"HTTP/1.1 200")
        assert served.upstream.hung_up.wait(10)
        until(lambda: served.gateway.metrics.in_flight == 0)
        _status, _, content = served.ask(None, "/metrics", "GET")
        assert f'path="{CHAT}",status="499"}} 1' in content.decode()
        state = served.state
    # Nobody knows what it cost, so that all of what it could cost is charged.
    spent, reserved = paid(state)
    assert spent > 10_000
    assert reserved == 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_before_anything_is_sent_costs_nothing(
    tmp_path, monkeypatch, stream
):
    looked_up = threading.Event()

    async def never(*_):
        looked_up.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(pool, "resolve", never)
    with running(tmp_path, price=100.0) as served:
        body = json.dumps(question(stream=stream)).encode()
        lines = ("content-type: application/json", f"content-length: {len(body)}")
        with socket.create_connection(("127.0.0.1", served.port), 10) as one:
            one.sendall(head(served, *lines) + body)
            assert looked_up.wait(10)
        until(lambda: served.gateway.metrics.in_flight == 0)
        assert served.upstream.seen == []
    assert paid(served.state) == (0, 0)


def test_too_many_requests_at_a_time(tmp_path):
    with running(tmp_path, most=1) as served:
        slow = threading.Thread(target=served.said, args=("slow",))
        slow.start()
        until(lambda: served.gateway._answering == 1)
        status, headers, content = served.ask(question())
        code = json.loads(content)["error"]["code"]
        assert (status, code) == documented()["too many requests at a time"]
        assert headers["retry-after"] == "1"
        assert served.ask(None, "/healthz", "GET")[0] == 200
        slow.join()


def test_two_gateways_on_one_state_directory(served):
    settings = served.state.parent / "penin.toml"
    with pytest.raises(StateError, match="in use by another gateway"):
        Deployment.find(settings, None, name="other").__enter__()
    assert served.said("hello")[0] == 200


def test_a_model_in_this_process_answers_text(tmp_path):
    with running(tmp_path, provider="here", prompt="Q {{input}} {{city}}") as served:
        for path, stream in ((CHAT, False), (CHAT, True), (RESPONSES, False), (RESPONSES, True)):
            asked = {"input": "hello"} if path == RESPONSES else question()
            more = {"model": "champion", "metadata": {"city": "Graz"}, "stream": stream}
            status, _, content = served.ask({**asked, **more}, path)
            assert (status, "Be brief.|Q hello Graz" in content.decode()) == (200, True)
        cases = {
            "tools for a model that takes text alone": {"tools": [TOOL]},
            "a column of the prompt is missing in metadata": {"metadata": {}},
        }
        for what, more in cases.items():
            status, _, content = served.ask(question(**{"metadata": {"city": "Graz"}, **more}))
            assert (status, json.loads(content)["error"]["code"]) == documented()[what]


def test_a_service_that_is_asked_in_other_words_answers_text(tmp_path):
    with running(tmp_path, provider="told") as served:
        for path, stream in ((CHAT, False), (CHAT, True), (RESPONSES, False), (RESPONSES, True)):
            status, _, content = served.ask(
                {"model": "champion", "input": "hello", "stream": stream}
                if path == RESPONSES
                else question(stream=stream),
                path,
            )
            assert (status, "Be brief.|hello" in content.decode()) == (200, True)
        assert served.last["max_output_tokens"] == 100
        assert served.said("nonsense")[1]["error"]["code"] == "upstream_bad_reply"
        assert served.said("hello", tools=[TOOL])[1]["error"]["code"] == "unsupported_parameter"


def test_an_image_needs_a_bound_on_its_price(tmp_path):
    image = {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}
    asked = question([{"type": "text", "text": "what is it?"}, image])
    (tmp_path / "free").mkdir()
    (tmp_path / "paid").mkdir()
    with running(tmp_path / "free", prompt="Q {{input}}") as served:
        assert served.ask(asked)[0] == 200
        shown = [{"type": "text", "text": "Q what is it?"}, image]
        assert served.last["messages"][1]["content"] == shown
    with running(tmp_path / "paid", price=1.0) as served:
        status, _, content = served.ask(asked)
        what = "an image for a model whose price it could exceed"
        assert (status, json.loads(content)["error"]["code"]) == documented()[what]


# Experiments


def tried(served, monkeypatch, **assigned):
    """Let an experiment assign every request; return what is recorded."""
    found, assignment = [], Assignment("exp-1", **assigned)
    monkeypatch.setattr(served.deployment._live, "assign", lambda id_, key: assignment)
    monkeypatch.setattr(served.deployment._live, "record", found.append)
    return found


@pytest.mark.parametrize("stream", [False, True])
def test_a_challenger_answers_whom_it_is_assigned(served, monkeypatch, stream):
    challenger = Configuration(provider="near", model="m-2", system="C", max_tokens=50)
    found = tried(served, monkeypatch, arm="challenger", configuration=challenger)
    asked = question(user="ana", stream=stream, metadata={"plan": "pro"})
    assert served.ask(asked, x_penin_consent="true")[0] == 200
    assert (served.last["model"], served.last["messages"][0]["content"]) == ("m-2", "C")
    (one,) = found
    text = "you said" if stream else "you said: hello"
    assert (one.arm, one.key, one.text, one.failed) == ("challenger", "local/ana", text, False)
    assert one.messages == [{"role": "user", "content": "hello"}]
    assert one.metadata == {"plan": "pro"}
    assert one.consent
    assert one.latency_ms > 0


BROKEN = (
    PROVIDER.replace("[Near, Told, Here]", "[Near, Told, Here, *BROKEN]")
    + '''
class Broken(ChatCompletionsProvider):
    """One of its methods has a defect."""
    key_env = "NEAR_KEY"
    Options = Options
    def capabilities(self, model):
        price = Price(input_per_million=self.options.price, output_per_million=self.options.price)
        return Capabilities(price=price)

class Never(Broken):
    """It cannot write a request."""
    name = "never"
    def encode(self, request):
        return {}["defect"]

class Nothing(Broken):
    """It writes nothing."""
    name = "nothing"
    def encode(self, request):
        return None

class Unable(LocalProvider):
    """It cannot say what it can do."""
    name = "unable"
    def capabilities(self, model):
        raise ValueError("cannot read the folder of the model")
    def generate(self, requests):
        return []

class Sometimes(HttpProvider):
    """It cannot write some requests."""
    name = "sometimes"
    key_env = "NEAR_KEY"
    Options = Options
    def capabilities(self, model):
        return Capabilities(price=Price(input_per_million=0, output_per_million=0))
    def encode(self, request):
        if request.messages[-1].content == "hello":
            raise KeyError("defect of sk-canary-0123456789abcdef")
        return encode_response(request)
    def decode(self, reply):
        return decode_response(reply)

class Counts(Broken):
    """It cannot read what was used."""
    name = "counts"
    def usage(self, found):
        raise RuntimeError("defect")

BROKEN = [Never, Nothing, Unable, Sometimes, Counts]
'''
)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEAR_KEY", KEY)
        with running(tmp_path_factory.mktemp("broken"), plugin=BROKEN) as found:
            yield found


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("name", "told"),
    # Who cannot be asked at all is stood in for by the champion.
    [("never", 200), ("nothing", 200), ("unable", 200), ("sometimes", 500), ("counts", 500)],
)
def test_a_plugin_that_raises_counts_as_a_failure_of_its_side(
    broken, monkeypatch, caplog, name, told, stream
):
    challenger = Configuration(provider=name, model="m")
    found = tried(broken, monkeypatch, arm="challenger", configuration=challenger)
    for _ in range(2):
        status, _, content = broken.ask(question(stream=stream))
        begun = stream and name == "counts"
        assert status == (200 if begun else told)
        if status == 500:
            code = json.loads(content)["error"]["code"]
            assert (status, code) == documented()["a plugin fails that the answer needs"]
        assert b"defect" not in content
    assert [(one.arm, one.failed) for one in found] == [("challenger", True)] * 2
    assert KEY not in caplog.text


@pytest.mark.parametrize("name", ["never", "nothing", "unable", "sometimes", "counts"])
def test_a_plugin_that_raises_counts_against_a_shadow(broken, monkeypatch, name):
    found = tried(broken, monkeypatch, shadow=Configuration(provider=name, model="m"))
    assert broken.ask(question())[0] == 200
    until(lambda: len(found) == 2)
    assert sorted((one.shadow, one.failed) for one in found) == [(False, False), (True, True)]


def test_a_shadow_gets_a_copy_and_its_answer_is_thrown_away(served, monkeypatch):
    shadow = Configuration(provider="near", model="m-3", system="S")
    found = tried(served, monkeypatch, shadow=shadow)
    before = len(served.upstream.seen)
    assert served.ask(question())[0] == 200
    until(lambda: len(found) == 2)
    models = {body["model"] for body, _ in served.upstream.seen[before:]}
    assert models == {"m-1", "m-3"}
    assert {(one.shadow, one.arm) for one in found} == {(False, "champion"), (True, "challenger")}


def test_a_shadow_on_the_same_model_in_this_process_delays_nobody(tmp_path, monkeypatch):
    with running(tmp_path, provider="here") as served:
        shadow = Configuration(provider="here", model="m", system="S")
        found = tried(served, monkeypatch, shadow=shadow)
        for number in range(20):
            assert served.said("hello")[0] == 200
            until(lambda n=number: len(found) == 2 * n + 2)
        assert {one.text for one in found} == {"Be brief.|hello", "S|hello"}


@pytest.mark.parametrize(
    ("text", "records"),
    [("nonsense", 1), ("status 500", 1), ("status 400", 1), ("status 429", 0)],
)
def test_only_what_a_configuration_did_wrong_counts_against_it(served, monkeypatch, text, records):
    served.said("hello")
    found = tried(served, monkeypatch)
    assert served.said(text)[0] != 200
    served.ask(question(temprature=1))
    served.ask({"model": "champion", "messages": [{"role": "system", "content": "x"}]})
    assert [one.failed for one in found] == [True] * records
    assert [one.refused for one in found] == [text == "status 400"] * records


def test_a_challenger_that_cannot_be_asked_fails_and_the_champion_answers(served, monkeypatch):
    challenger = Configuration(provider="nobody", model="m")
    found = tried(served, monkeypatch, arm="challenger", configuration=challenger)
    assert served.said("hello")[0] == 200
    assert served.last["model"] == "m-1"
    assert [one.failed for one in found] == [True]


def test_what_a_challenger_breaks_keeps_the_champion_from_nothing(tmp_path, monkeypatch):
    challenger = Configuration(provider="near", model="m-2")
    with running(tmp_path) as served:
        tried(served, monkeypatch, arm="challenger", configuration=challenger)
        statuses = [served.said("status 500")[0] for _ in range(6)]
        assert statuses == [502] * 5 + [503]
        tried(served, monkeypatch)
        assert served.said("hello")[0] == 200


# Promotion and rollback


def test_a_promotion_takes_effect_without_a_restart(tmp_path):
    with running(tmp_path) as served:
        for system in ("B", "C", "Be brief."):
            promote(served.state, system=system)
            until(
                lambda s=system: (
                    served.said("hello")[0] == 200 and served.last["messages"][0]["content"] == s
                )
            )


def test_a_request_ends_on_the_configuration_that_it_began_with(tmp_path):
    with running(tmp_path) as served:
        slow = threading.Thread(target=served.said, args=("slow",))
        slow.start()
        until(lambda: served.upstream.seen)
        promote(served.state, system="B")
        until(lambda: served.deployment.champion.config["system"] == "B")
        slow.join()
        assert served.last["messages"][0]["content"] == "Be brief."


def test_a_pointer_that_the_ledger_does_not_know_changes_nothing(tmp_path):
    with running(tmp_path) as served:
        pointer = served.state / "champion.json"
        text = pointer.read_text().replace("Be brief.", "Be evil!!")
        pointer.unlink()
        pointer.write_text(text)
        until(lambda: served.deployment.problem)
        assert served.said("hello")[0] == 200
        assert served.last["messages"][0]["content"] == "Be brief."
        assert "penin_gateway_follows 0" in served.ask(None, "/metrics", "GET")[2].decode()


def test_a_champion_that_cannot_be_asked_changes_nothing(tmp_path):
    with running(tmp_path) as served:
        promote(served.state, provider="nobody")
        until(lambda: served.deployment.problem)
        assert served.said("hello")[0] == 200


# Who may ask


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("locked")
    file = folder / "tokens"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEAR_KEY", KEY)
        token = new_token(file, "ana")
        (folder / "project").mkdir()
        with running(folder / "project", tokens=Tokens(file)) as found:
            yield found, token, file


def routes():
    for route in (
        "/v1/models",
        "/v1/models/champion",
        "/metrics",
        "/openapi.json",
        "/nothing",
        "/",
    ):
        yield "GET", route
    for route in (CHAT, RESPONSES, "/v1/feedback", "//v1/models", "/healthz/x"):
        yield "POST", route


@pytest.mark.parametrize(("method", "path"), [*routes()])
@pytest.mark.parametrize(
    "token",
    [None, "", "Bearer", "Bearer ", "Bearer nobody", "Basic YTpi", "Bearer penin-" + "A" * 43],
)
def test_without_a_token_nothing_is_answered(locked, method, path, token):
    served, _, _ = locked
    given = {} if token is None else {"authorization": token}
    asked = question() if method == "POST" else None
    status, headers, content = served.ask(asked, path, method, **given)
    assert headers["www-authenticate"] == "Bearer"
    assert (status, json.loads(content)["error"]["code"]) == documented()[
        "the token is missing or wrong"
    ]


def test_every_route_of_the_application_is_among_those_asked(locked):
    served, _, _ = locked
    paths = {route.path for route in served.gateway.others.routes}
    asked = {path for _, path in routes()} | {"/healthz", "/v1/models/{name:path}"}
    assert paths <= asked


def test_with_a_token_the_champion_answers(locked):
    served, token, file = locked
    assert served.ask(question(), authorization=f"Bearer {token}")[0] == 200
    assert served.ask(question(), authorization=f"bearer {token}")[0] == 200
    assert token not in file.read_text()
    assert served.ask(None, "/healthz", "GET")[0] == 200


def test_two_tokens_are_none(locked):
    served, token, _ = locked
    lines = (f"authorization: Bearer {token}",) * 2
    assert served.raw(head(served, *lines, "connection: close", method="GET")).startswith(
        b"HTTP/1.1 401"
    )


def test_a_token_that_was_taken_away_is_refused_soon(tmp_path):
    file = tmp_path / "tokens"
    ana, bob = new_token(file, "ana"), new_token(file, "bob")
    (tmp_path / "project").mkdir()
    with running(tmp_path / "project", tokens=Tokens(file)) as served:
        assert served.ask(question(), authorization=f"Bearer {ana}")[0] == 200
        file.write_text(file.read_text().splitlines()[1] + "\n")
        until(lambda: served.ask(question(), authorization=f"Bearer {ana}")[0] == 401)
        assert served.ask(question(), authorization=f"Bearer {bob}")[0] == 200


@pytest.mark.parametrize(
    "text", ["", "ana:token\n", "ana\n", f"Ana:{'0' * 64}\n", f"ana:{'0' * 63}\n", "\n\n# x\n"]
)
def test_a_file_without_tokens_is_refused_and_not_quoted(tmp_path, text):
    file = tmp_path / "tokens"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(SettingsError) as caught:
        Tokens(file)
    assert "ana:token" not in str(caught.value)


@pytest.mark.parametrize("end", ["", "\n", "\n# bob, since May"])
def test_a_token_is_added_on_a_line_of_its_own(tmp_path, end):
    file = tmp_path / "tokens"
    ana = new_token(file, "ana")
    file.write_text(file.read_text().rstrip("\n") + end)
    bob = new_token(file, "bob")
    found = Tokens(file)
    assert [found.user(token.encode()) for token in (ana, bob)] == ["ana", "bob"]
    assert "\n\n" not in file.read_text()


def test_a_file_that_others_may_write_is_refused(tmp_path):
    file = tmp_path / "tokens"
    new_token(file, "ana")
    file.chmod(0o666)
    with pytest.raises(SettingsError, match="written by others"):
        Tokens(file)


@pytest.mark.parametrize("name", ["", "Ana", "a b", "../x", "a" * 65])
def test_a_name_that_is_none_gets_no_token(tmp_path, name):
    with pytest.raises(SettingsError):
        new_token(tmp_path / "tokens", name)


@pytest.mark.parametrize("name", ["", " ", "-x", "a b", "a" * 129, "ä", "a\n"])
def test_a_name_that_no_request_can_say_is_refused(name):
    with pytest.raises(SettingsError, match="no name of a model"):
        require_name(name)


@pytest.mark.parametrize("name", ["champion", "gpt-4o-mini", "ft:gpt-4o:org::id", "org/model_1.5"])
def test_a_name_may_be_that_of_any_model(name):
    require_name(name)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_a_public_address_needs_a_token(tmp_path, host):
    assert not is_loopback(host)
    with pytest.raises(SettingsError, match="token-file"):
        require_token(host, None)
    require_token(host, tmp_path / "tokens")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_a_loopback_address_needs_none(host):
    require_token(host, None)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost",
        "user@127.0.0.1:{port}",
        "127.0.0.1:{port}@evil.example",
        "127.0.0.1:{port}/x",
        "127.0.0.1:{port}.evil.example",
        "0.0.0.0:{port}",
        "[::]:{port}",
        "gw.example:x",
        "gw.example.evil",
        "xgw.example",
        "127.0.0.1:{port}, evil.example",
        "",
    ],
)
def test_another_host_is_not_answered(served, host):
    sent = host.replace("{port}", str(served.port))
    found = served.raw(
        f"GET /healthz HTTP/1.1\r\nhost: {sent}\r\nconnection: close\r\n\r\n".encode()
    )
    assert found.startswith(b"HTTP/1.1 421")


@pytest.mark.parametrize(
    "host", ["localhost:{port}", "LOCALHOST:{port}", "gw.example", "gw.example:9"]
)
def test_this_host_is_answered_by_its_names(served, host):
    assert served.ask(question(), host=host.replace("{port}", str(served.port)))[0] == 200


@pytest.mark.parametrize("lines", [(), ("host: gw.example",) * 2])
def test_one_host_is_needed(served, lines):
    sent = "\r\n".join(["GET /healthz HTTP/1.1", *lines, "connection: close", "", ""]).encode()
    assert served.raw(sent).startswith((b"HTTP/1.1 421", b"HTTP/1.1 400"))


def test_no_answer_allows_another_origin(served):
    for origin in ("null", "https://evil.example", f"http://127.0.0.1:{served.port + 1}"):
        for method in ("POST", "OPTIONS"):
            status, headers, _ = served.ask(question(), CHAT, method, origin=origin)
            assert status == 403
            assert not [name for name in headers if name.startswith("access-control")]


# Bytes


def test_a_head_that_is_too_large(served):
    found = served.raw(head(served, "x: " + "y" * (protocol.HEAD_LIMIT + 10)))
    assert found.startswith(b"HTTP/1.1 431")
    assert b"head_too_large" in found
    many = [f"x-{i}: y" for i in range(protocol.MOST_HEADERS + 1)]
    assert served.raw(head(served, *many)).startswith(b"HTTP/1.1 431")


def cut_off(served, *parts):
    """Send ``parts`` on one connection; return what comes back before it is closed or cut off."""
    found = b""
    with socket.create_connection(("127.0.0.1", served.port), 10) as one:
        try:
            for part in parts:
                one.sendall(part)
            while data := one.recv(65536):
                found += data
        except ConnectionError:
            pass
    return found


CHUNKED = ("content-type: application/json", "transfer-encoding: chunked")


@pytest.mark.parametrize(
    ("lead", "end"), [(b"2\r\n{}\r\n0\r\nx: ", b"\r\n\r\n"), (b"2;x=", b"\r\n{}\r\n0\r\n\r\n")]
)
def test_what_is_neither_head_nor_body_is_counted(served, lead, end):
    more = [b"y" * 65536] * 64
    ask_again = head(served, "connection: close", method="GET", path="/healthz")
    found = cut_off(served, head(served, *CHUNKED) + lead, *more, end, ask_again)
    assert b"200 OK" not in found
    assert served.said("hello")[0] == 200


def test_trailers_are_no_headers(served, monkeypatch):
    seen = []
    monkeypatch.setattr(served.deployment._live, "record", seen.append)
    content = json.dumps(question()).encode()
    body = b"%x\r\n%s\r\n0\r\nx-penin-consent: true\r\n\r\n" % (len(content), content)
    assert served.raw(head(served, *CHUNKED, "connection: close") + body).startswith(
        b"HTTP/1.1 200"
    )
    assert [one.consent for one in seen] == [False]


@pytest.mark.parametrize("waiting", [protocol.MOST_WAITING, protocol.MOST_WAITING + 1])
def test_requests_that_wait_on_one_connection_are_counted(served, waiting):
    get = head(served, method="GET", path="/healthz")
    last = head(served, "connection: close", method="GET", path="/healthz")
    found = cut_off(served, get * waiting + last)
    answered = waiting + 1 if waiting == protocol.MOST_WAITING else 0
    assert found.count(b"200 OK") == answered
    assert served.said("hello")[0] == 200


def test_what_is_no_http(served):
    found = served.raw(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 400")
    assert b"invalid_http" in found


def test_a_head_that_takes_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_S", 0.2)
    monkeypatch.setattr(protocol, "SWEEP_S", 0.05)
    with running(tmp_path) as served:
        found = served.raw(b"POST /v1/chat")
        assert found.startswith(b"HTTP/1.1 408")
        assert b"request_timeout" in found
        # One that says nothing at all is closed without a word.
        assert served.raw(b"") == b""
        assert served.said("hello")[0] == 200


@pytest.mark.parametrize("begun", [b"{", b""])
def test_a_body_that_takes_too_long(served, monkeypatch, begun):
    monkeypatch.setattr(bodies, "PATIENCE_S", 0.2)
    lines = ("content-type: application/json", "content-length: 100", "connection: close")
    found = served.raw(head(served, *lines) + begun)
    assert found.startswith(b"HTTP/1.1 408")


def test_a_body_in_pieces_is_counted(served):
    lines = ("content-type: application/json", "transfer-encoding: chunked", "connection: close")
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", served.port), 10) as one:
        one.sendall(head(served, *lines))
        found = b""
        try:
            for _ in range(40):
                one.sendall(piece)
            while data := one.recv(65536):
                found += data
        except OSError:
            pass
    assert found.startswith(b"HTTP/1.1 413") or found == b""
    assert served.said("hello")[0] == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_that_are_more_than_can_be_held_are_refused(served, monkeypatch, chunked):
    monkeypatch.setattr(bodies, "MOST_HELD", bodies.BESIDE)
    content = json.dumps(question("x" * bodies.BESIDE)).encode()
    status, headers, found = served.ask([content] if chunked else content)
    assert (status, json.loads(found)["error"]["code"]) == (503, "overloaded")
    assert headers["retry-after"] == "1"
    assert bodies.Unfinished.held == 0
    assert served.said("hello")[0] == 200


def test_a_large_body_is_parsed_beside_the_event_loop(served, monkeypatch):
    parse, seen = bodies.parsed, []

    def parsed(content):
        seen.append(threading.current_thread().name.partition("_")[0])
        return parse(content)

    monkeypatch.setattr(bodies, "parsed", parsed)
    long = "x" * bodies.BESIDE
    assert [served.said(text)[0] for text in (long, "hello", long)] == [200, 200, 200]
    assert [name == "penin-bodies" for name in seen] == [True, False, True]
    status, _, content = served.ask(b'{"a": NaN, "b": "%s"}' % long.encode())
    assert (status, json.loads(content)["error"]["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("length", ["-1", "1e3", "99999999999999999999999999", "x"])
def test_a_length_that_is_none(served, length):
    lines = ("content-type: application/json", f"content-length: {length}", "connection: close")
    found = served.raw(head(served, *lines))
    assert found.startswith((b"HTTP/1.1 413", b"HTTP/1.1 400"))


def test_more_connections_than_there_is_room_for(tmp_path, monkeypatch):
    monkeypatch.setattr(protocol, "MOST_CONNECTIONS", 4)
    with running(tmp_path) as served:
        held = [socket.create_connection(("127.0.0.1", served.port), 10) for _ in range(12)]
        assert served.said("hello")[0] == 200
        for one in held:
            one.close()


def test_the_key_is_nowhere(tmp_path, capfd, caplog):
    with running(tmp_path) as served:
        for text in ("hello", "nonsense", "status 401", "status 500", "error inside"):
            for stream in (False, True):
                assert KEY not in served.ask(question(text, stream=stream))[2].decode()
        assert KEY not in served.ask(None, "/metrics", "GET")[2].decode()
        assert served.upstream.seen[0][1]["authorization"] == f"Bearer {KEY}"
    out = capfd.readouterr()
    assert KEY not in out.out + out.err + caplog.text
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes()


def forms_of(secret):
    """Return how a text may hold a secret: as it is, packed, or backwards."""
    raw = secret.encode()
    packed = [base64.b64encode(b"x" * n + raw)[4 * (n > 0) : -4] for n in range(3)]
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in secret).encode()
    quoted = "".join(f"%{byte:02x}" for byte in raw).encode()
    return [raw, raw[::-1], raw.hex().encode(), quoted, escaped, *packed]


@pytest.mark.parametrize("stream", [False, True])
def test_the_key_is_nowhere_however_the_service_quotes_it(tmp_path, capfd, caplog, stream):
    caplog.set_level("DEBUG")
    seen = []
    with running(tmp_path) as served:
        for name in LEAKS:
            asked = question(f"leak {name}", stream=stream)
            status, headers, content = served.ask(asked)
            assert status >= 400, name
            seen += [content, repr(headers).encode()]
            # So that the service is not left alone for its failures.
            assert served.said("hello")[0] == 200
        for path in ("/metrics", "/openapi.json", "/v1/models", "/healthz"):
            seen.append(served.ask(None, path, "GET")[2])
        backend = served.deployment._following.serving.backend
        held = (served.deployment, backend, backend.upstream, backend.provider)
        seen += [repr(one).encode() for one in (*held, *map(vars, held[:2]))]
    out = capfd.readouterr()
    seen += [out.out.encode(), out.err.encode(), caplog.text.encode()]
    seen += [repr(record.__dict__).encode() for record in caplog.records]
    seen += [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert [form for form in forms_of(KEY) for text in seen if form in text] == []
    assert len(LEAKS) >= 30


def try_shadow(state):
    """Begin an experiment with a shadow; return its id."""
    config = Configuration(provider="here", model="m-2")
    stored = {"config.json": json.dumps(config.model_dump(mode="json")).encode()}
    with WORMLedger(state / "ledger.db") as ledger:
        row = {
            "id": "run-b",
            "kind": "challenger",
            "candidate_cfg_hash": config.hash,
            "verdict": "canary",
            "reason": "parked",
            "dry_run": False,
            "artifacts_path": "runs/run-b",
            "manifest_sha256": write_run(state, "run-b", stored),
        }
        ledger.record_run(row)
        league = LeagueOrchestrator(state, ledger)
        return begin(league, LiveSettings(), "run-b", mode="shadow").id


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_who_is_told_to_stop_does_not_die(tmp_path, stop):
    (tmp_path / "near.py").write_text(PROVIDER)
    settings, state = tmp_path / "penin.toml", tmp_path / ".penin"
    settings.write_text('plugins = ["./near.py"]\n')
    state.mkdir()
    promote(state, provider="here")
    experiment = try_shadow(state)
    penin = [sys.executable, "-c", "from penin_core.cli import main; main()"]
    words = [*penin, "serve", "--port", "0", "--config", str(settings)]
    with subprocess.Popen(words, stderr=subprocess.PIPE) as serving:
        try:
            assert b"serving" in serving.stderr.readline()
            store = LiveReader(state)
            until(lambda: (found := store.trial(experiment)) and found[1], 60.0)
            serving.send_signal(stop)
            assert serving.wait(60) == 0
            assert serving.stderr.read() == b""
            # Written down as served until its end: no death that counts against the challenger.
            assert store.trial(experiment)[1] is False
            store.close()
        finally:
            serving.kill()


@pytest.mark.parametrize("part", ["_following", "_shadows"])
def test_what_was_spent_is_settled_whatever_else_fails_at_the_end(tmp_path, monkeypatch, part):
    async def fails():
        raise RuntimeError("at the end")

    with running(tmp_path, price=100.0) as served:
        assert served.said("hello")[0] == 200
        found = getattr(served.deployment, part)
        monkeypatch.setattr(found, "aclose", fails)
    assert paid(served.state) == (1500, 0)


def test_requests_in_flight_are_answered_before_the_end(tmp_path):
    found = []
    with running(tmp_path) as served:
        slow = threading.Thread(target=lambda: found.append(served.said("slow")[0]))
        slow.start()
        until(lambda: served.upstream.seen)
    slow.join()
    assert found == [200]


# Other people's clients, where they are installed


def test_openais_client_works_unchanged(served):
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(
        base_url=f"http://127.0.0.1:{served.port}/v1", api_key="unused", max_retries=0
    )
    turns = [{"role": "user", "content": "hello"}]
    asked = {"model": "champion", "messages": turns}
    assert client.chat.completions.create(**asked).choices[0].message.content == "you said: hello"
    assert [model.id for model in client.models.list()] == ["champion"]
    chunks = [*client.chat.completions.create(**asked, stream=True)]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "you said"
    with client.chat.completions.stream(**asked, tools=[TOOL]) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.tool_calls[0].function.arguments == '{"city":"Graz"}'
    answer = client.responses.create(model="champion", input="hello")
    assert answer.output_text == "you said: hello"
    with client.responses.stream(model="champion", input="hello") as stream:
        kinds = [event.type for event in stream]
        assert stream.get_final_response().output_text == "you said"
    assert "response.output_text.delta" in kinds
    tool = {
        "type": "function",
        "name": "weather",
        "parameters": {"type": "object"},
        "strict": False,
    }
    with client.responses.stream(model="champion", input="hello", tools=[tool]) as stream:
        assert stream.get_final_response().output[0].arguments == '{"city":"Graz"}'
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt", messages=turns)
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.APIError, match="cannot be read"):
        [
            *client.chat.completions.create(
                model="champion",
                messages=[{"role": "user", "content": "error inside"}],
                stream=True,
            )
        ]
    client.close()


def test_the_example_of_the_documentation_works(served):
    pytest.importorskip("openai")
    (block,) = re.findall(r"(?m)^    from openai.*\n(?:(?:    .*)?\n)*", DOCS.read_text())
    code = textwrap.dedent(block).replace("8788", str(served.port))
    exec(code.replace("support-bot", "champion"), {})
    assert served.last["messages"][-1]["content"] == "Hi"


def test_langchain_works_unchanged(served):
    langchain = pytest.importorskip("langchain_openai")
    where = {"base_url": f"http://127.0.0.1:{served.port}/v1", "api_key": "unused"}
    for responses in (False, True):
        model = langchain.ChatOpenAI(model="champion", use_responses_api=responses, **where)
        assert model.invoke("hello").text == "you said: hello"
        assert "".join(chunk.text for chunk in model.stream("hello")) == "you said"
        tools = model.bind_tools([TOOL])
        assert tools.invoke("weather?").tool_calls[0]["args"] == {"city": "Graz"}


def test_schemathesis_finds_no_server_error(served):
    schemathesis = pytest.importorskip("schemathesis")
    hypothesis = pytest.importorskip("hypothesis")
    where = f"http://127.0.0.1:{served.port}"
    schema = schemathesis.openapi.from_url(f"{where}/openapi.json")
    count = 0
    for operation in schema.get_all_operations():

        @hypothesis.given(case=operation.ok().as_strategy())
        @hypothesis.settings(max_examples=150, deadline=None, database=None)
        def asked(case):
            nonlocal count
            count += 1
            assert case.call(base_url=where, timeout=20).status_code < 500

        asked()
    assert count > 300


def test_curl_works(served):
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    body = json.dumps(question(stream=True))
    url = f"http://127.0.0.1:{served.port}{CHAT}"
    words = [
        curl,
        "-sN",
        "--max-time",
        "10",
        url,
        "-H",
        "content-type: application/json",
        "-d",
        body,
    ]
    found = subprocess.run(words, capture_output=True, check=True)
    assert events(found.stdout)[-1] == "[DONE]"
