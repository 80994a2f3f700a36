"""What the gateway costs, beside a bare pass-through on the same stack, and LiteLLM's proxy.

``python bench/gateway.py [--requests N] [--litellm PATH] [--price P]``: an upstream that answers
at once; latency over one connection, throughput and CPU over sixteen, in turns, in one run. PATH is
the command ``litellm`` of an environment of its own (``pip install 'litellm[proxy]'``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

import gateway_parts as parts

ROUNDS = 5
LITELLM = """model_list:
  - model_name: champion
    litellm_params:
      model: openai/mock
      api_base: http://127.0.0.1:{port}/v1
      api_key: none
"""


def main() -> None:
    """Measure, and print one line for each server."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--litellm", type=Path)
    parser.add_argument("--price", type=float, default=0.0, help="US dollars for a million tokens")
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = parts.free_port()
        stack.enter_context(parts.running(parts.part("upstream", upstream), upstream))
        servers = {"direct": (upstream, 0)}
        port = parts.free_port()
        command = parts.part("passthrough", port, upstream)
        servers["pass-through"] = port, stack.enter_context(parts.running(command, port))
        port = parts.free_port()
        settings = parts.project(folder, upstream, asked.price)
        command = parts.penin("serve", "--config", settings, "--port", port)
        servers["penin"] = port, stack.enter_context(parts.running(command, port))
        if asked.litellm:
            port, file = parts.free_port(), folder / "litellm.yaml"
            file.write_text(LITELLM.format(port=upstream))
            command = [str(asked.litellm), "--config", str(file), "--port", str(port)]
            unset = {"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}
            pid = stack.enter_context(parts.running(command, port, 180, **unset))
            servers["litellm"] = port, pid
        report(measured(servers, asked.requests))


def measured(servers: dict[str, tuple[int, int]], count: int) -> dict[str, dict[str, float]]:
    """Return the figures of each server: medians of rounds in which all take their turn."""
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
    for number in range(ROUNDS + 1):
        for name, (port, pid) in servers.items():
            # LiteLLM needs ten milliseconds for a request: fewer will do.
            found = one_round(port, pid, count // (10 if name == "litellm" else 1))
            if number:
                rounds[name].append(found)
    return {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]}
        for name, found in rounds.items()
    }


def one_round(port: int, pid: int, count: int) -> dict[str, float]:
    """Ask over one connection, then over sixteen."""
    content = parts.request(port, json.dumps(parts.QUESTION).encode())
    alone = asyncio.run(parts.load(port, content, count // 4, 1))
    before = parts.cpu_seconds(pid) if pid else 0.0
    many = asyncio.run(parts.load(port, content, count, 16))
    cpu = (parts.cpu_seconds(pid) - before if pid else 0.0) / len(many.seconds)
    if failures := alone.failures + many.failures:
        raise SystemExit(f"{len(failures)} requests failed, such as {failures[0]}")
    return {
        "p50": alone.at(0.5),
        "p99": alone.at(0.99),
        "rate": many.rate,
        "cpu": 1000.0 * cpu,
        "mib": parts.resident_mib(pid) if pid else 0.0,
    }


def report(found: dict[str, dict[str, float]]) -> None:
    """Print the table, and the ratios that count."""
    direct, mine = found["direct"], found["penin"]
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'':14}{'p50 ms':>9}{'added':>9}{'p99 ms':>9}{'req/s':>9}{'CPU ms':>9}{'MiB':>7}")
    for name, one in found.items():
        added = one["p50"] - direct["p50"]
        print(
            f"{name:14}{one['p50']:9.3f}{added:9.3f}{one['p99']:9.2f}"
            f"{one['rate']:9.0f}{one['cpu']:9.3f}{one['mib']:7.0f}"
        )
    for name, other in found.items():
        if name not in ("direct", "penin"):
            added = (mine["p50"] - direct["p50"]) / (other["p50"] - direct["p50"])
            print(
                f"penin beside {name}: added median {added:.3f} x, "
                f"requests per CPU second {other['cpu'] / mine['cpu']:.2f} x"
            )


if __name__ == "__main__":
    main()
