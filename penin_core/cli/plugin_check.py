"""Running the conformance kits against a plugin that is installed, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from penin_core.errors import PeninError, PluginError
from penin_core.installed import Entry, plain

from .output import table

CONFTEST = """\
from penin_core.testing.checking import pytest_collection_modifyitems, pytest_runtest_logreport
"""
TESTS = """\
from penin_core.testing.checking import kits_for

globals().update(kits_for({name!r}))
"""
#: Tells penin_core.testing.checking where to write what became of each clause.
REPORT_VARIABLE = "PENIN_CHECK_REPORT"
#: Seconds for all clauses of one plugin.
LIMIT = 600


def check_plugin(entry: Entry, config: Path | None) -> list[dict[str, Any]]:
    """Return one row for each clause: kit, clause, outcome (passed, failed, skipped) and reason."""
    rows = [_distribution(entry)]
    with tempfile.TemporaryDirectory(prefix="penin-check-") as folder:
        report = Path(folder, "report.jsonl")
        Path(folder, "conftest.py").write_text(CONFTEST, encoding="utf-8")
        Path(folder, "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        test = Path(folder, "test_installed.py")
        test.write_text(TESTS.replace("{name!r}", repr(entry.name)), encoding="utf-8")
        said = _run(test, report, config)
        if report.exists():
            rows += [json.loads(line) for line in report.read_text("utf-8").splitlines()]
        else:
            rows.append(_row("plugin", "it can be loaded", "failed", said))
    return [{"plugin": entry.name, **row} for row in rows]


def _distribution(entry: Entry) -> dict[str, Any]:
    from penin_core.locking import snapshot

    try:
        snapshot(entry.distribution)
    except PeninError as error:
        return _row("distribution", "its files are those of its RECORD", "failed", str(error))
    return _row("distribution", "its files are those of its RECORD", "passed", "")


def _run(test: Path, report: Path, config: Path | None) -> str:
    """Run pytest; return what it says if nothing could be collected."""
    env = {**os.environ, REPORT_VARIABLE: str(report)}
    if config is not None:
        env["PENIN_CONFIG"] = str(config.resolve())
    options = [
        "-q",
        "--tb=short",
        "-p",
        "no:cacheprovider",
        "-c",
        str(test.with_name("pytest.ini")),
    ]
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "pytest", *options, str(test)],
            env=env,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"the clauses take longer than {LIMIT} s"
    errors = [line[4:] for line in done.stdout.splitlines() if line.startswith("E   ")]
    return plain(errors[-1] if errors else f"pytest ends with {done.returncode}", 300)


def require_pytest() -> None:
    """Raise PluginError where there is no pytest."""
    if find_spec("pytest") is None:
        raise PluginError("the conformance kits need pytest", hint="pip install pytest")


def _row(kit: str, clause: str, outcome: str, reason: str) -> dict[str, Any]:
    return {"kit": kit, "clause": clause, "outcome": outcome, "reason": reason}


_OUTCOMES = {"passed": "met", "failed": "broken", "skipped": "unchecked"}


def render(rows: list[dict[str, Any]]) -> str:
    """Word the outcome: how many clauses are met, which are broken, and what could not be asked.

    Clauses that could not be asked for the same reason share a line.
    """
    lines = []
    for plugin in dict.fromkeys(row["plugin"] for row in rows):
        own = [row["outcome"] for row in rows if row["plugin"] == plugin]
        shown = ", ".join(f"{own.count(name)} {word}" for name, word in _OUTCOMES.items())
        lines.append(f"{plugin}: {shown}")
    broken = [
        (row["plugin"], _component(row), _clause(row), "broken", row["reason"])
        for row in rows
        if row["outcome"] == "failed"
    ]
    skipped = [row for row in rows if row["outcome"] == "skipped"]
    counted = Counter((row["plugin"], _component(row), row["reason"]) for row in skipped)
    unchecked = [
        (plugin, component, f"{count} clause{'s' if count > 1 else ''}", "unchecked", why)
        for (plugin, component, why), count in counted.items()
    ]
    if broken or unchecked:
        headers = ("plugin", "of", "clause", "is", "because")
        lines += ["", table(headers, [*broken, *unchecked])]
    return "\n".join(lines)


def _component(row: dict[str, Any]) -> str:
    return str(row["kit"]).removeprefix("Test_")


def _clause(row: dict[str, Any]) -> str:
    return str(row["clause"]).removeprefix("test_").replace("_", " ")
