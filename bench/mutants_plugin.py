"""What ``bench/mutants.py`` runs inside pytest: one process that forks anew for every fault.

The tests are imported once. A child of its own learns which of them reach which function and how
long they take, so that nothing which the code caches for itself is kept for the faults. Then every
fault is tried in a child: first what found the one before, then the quickest, until a test fails.
"""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state

# An exit status holds the place of the test that failed up to here.
_MOST = 250
FOUND, SURVIVED, UNREACHED = "found", "survived", "unreached"

# A fault needs no smallest example, and one that fifty examples miss is rarely found by more.
settings.register_profile(
    "mutants",
    settings.get_profile("ci"),
    max_examples=50,
    phases=[Phase.explicit, Phase.generate],
)
_failed: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the file of the faults, by name with what became of them, None where not tried."""
    parser.addoption("--faults", type=Path, required=True)
    parser.addoption("--jobs", type=int, default=1)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Take note of a test that failed."""
    if report.failed:
        _failed.append(report.nodeid)


def pytest_runtestloop(session: pytest.Session) -> bool:
    """Try every fault that was not tried, and write down after each what became of it."""
    path: Path = session.config.getoption("faults")
    fates: dict[str, str | None] = json.loads(path.read_text())
    reached = _reached(session.items)
    waiting = [name for name, fate in fates.items() if fate is None]
    running: dict[int, tuple[str, list[tuple[float, pytest.Item]]]] = {}
    while waiting or running:
        if waiting and len(running) < session.config.getoption("jobs"):
            name = waiting.pop()
            if tests := reached.get(name.partition("__mutmut_")[0]):
                running[_child(name, tests)] = name, tests
            else:
                fates[name] = UNREACHED
        else:
            pid, status = os.wait()
            name, tests = running.pop(pid)
            fates[name] = FOUND if status else SURVIVED
            # What found one fault of a function will find others: it comes first from now on.
            finder = os.waitstatus_to_exitcode(status) - 1
            if 0 < finder < _MOST:
                tests.insert(0, tests.pop(finder))
        path.write_text(json.dumps(fates, indent=0))
    return True


def _reached(items: Sequence[pytest.Item]) -> dict[str, list[tuple[float, pytest.Item]]]:
    """Return by function the tests that reach it, the quickest first, with their seconds."""
    read, write = os.pipe()
    if not os.fork():
        set_mutant_under_test("stats")
        found = [_observed(item) for item in items]
        with os.fdopen(write, "w") as pipe:
            json.dump({"failed": _failed, "found": found}, pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        learned = json.load(pipe)
    os.wait()
    if learned["failed"]:
        raise pytest.UsageError(f"without any fault these fail: {', '.join(learned['failed'])}")
    tests: dict[str, list[tuple[float, pytest.Item]]] = {}
    for item, (seconds, functions) in zip(items, learned["found"], strict=True):
        for function in functions:
            tests.setdefault(function, []).append((seconds, item))
    return {name: sorted(known, key=lambda pair: pair[0]) for name, known in tests.items()}


def _observed(item: pytest.Item) -> tuple[float, list[str]]:
    state()._stats.clear()
    began = time.process_time()
    item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
    return time.process_time() - began, sorted(state()._stats)


def _child(fault: str, tests: Sequence[tuple[float, pytest.Item]]) -> int:
    """Return the process that tries a fault: it ends with 0, or 1 + the place of what fails."""
    if pid := os.fork():
        return pid
    seconds = 3 + int(3 * sum(seconds for seconds, _ in tests))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    set_mutant_under_test(fault)
    for place, (_, item) in enumerate(tests):
        item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
        if _failed:
            os._exit(1 + min(place, _MOST))
    os._exit(0)
