"""A loopback service that speaks chat completions as fast as asyncio can: the other end of a bench.

    python bench/engine_server.py [--latency-ms 50] [--core 0]

Prints its port. Answers every question with the last message, in capitals, and counts tokens as
words. Nothing of penin is imported, so that the same server stands behind every client.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys


class Service(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._pending = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where replies go."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._pending += data
        while (end := self._pending.find(b"\r\n\r\n")) >= 0:
            head = self._pending[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 : head.find(b"\r\n", at) % (end + 1)]) if at >= 0 else 0
            if len(self._pending) < end + 4 + length:
                return
            body = self._pending[end + 4 : end + 4 + length]
            self._pending = self._pending[end + 4 + length :]
            reply = answer(body)
            if self._latency_s:
                asyncio.get_running_loop().call_later(self._latency_s, self._reply, reply)
            else:
                self._reply(reply)

    def _reply(self, reply: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(reply)


def answer(body: bytes) -> bytes:
    """Return a whole HTTP reply to the body of a chat completion."""
    question = json.loads(body)["messages"][-1]["content"]
    text = question.upper()
    content = json.dumps(
        {
            "id": "chatcmpl-0123456789abcdef",
            "object": "chat.completion",
            "created": 1_790_000_000,
            "model": "bench-1",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text, "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": len(question.split()),
                "completion_tokens": len(text.split()),
                "total_tokens": 2 * len(text.split()),
            },
        }
    ).encode()
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
        b"x-request-id: req_0123456789\r\ncontent-length: %d\r\n\r\n"
    )
    return head % len(content) + content


async def serve(latency_s: float) -> None:
    """Serve until standard input closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Service(latency_s), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--core", type=int, help="stay on this core")
    chosen = parser.parse_args()
    if chosen.core is not None:
        os.sched_setaffinity(0, {chosen.core})
    asyncio.run(serve(chosen.latency_ms / 1000))


if __name__ == "__main__":
    main()
