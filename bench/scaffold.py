"""From nothing to a wheel: ``penin plugins new``, its tests, and the build, for every kind.

    python bench/scaffold.py

Nothing is downloaded: the build runs with the hatchling that is installed. Prints wall seconds of
each step. Goal: at most 60 s in all for a kind. The peer in the same run is pytest on one test
that is empty.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from penin_core.scaffold import KINDS

ROOT = Path(__file__).parent.parent
PENIN = "from penin_core.cli import main; main()"
GOAL = 60.0


def main() -> None:
    """Take the journey once for each kind."""
    slow = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "test_empty.py").write_text("def test_nothing():\n    pass\n")
        empty = timed([sys.executable, "-m", "pytest", "-q", "test_empty.py"], place)
        print(f"pytest on one empty test: {empty:.1f} s")
        print("kind          new   tests   wheel     all")
        for kind in KINDS:
            new = timed(
                [sys.executable, "-c", PENIN, *f"plugins new a-{kind} --kind {kind}".split()], place
            )
            package = place / f"penin-a-{kind}"
            tests = timed([sys.executable, "-m", "pytest", "-q"], package)
            build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
            wheel = timed(build, package)
            if not list((package / "dist").glob("*.whl")):
                raise SystemExit(f"no wheel of {package}")
            total = new + tests + wheel
            slow += total > GOAL
            print(f"{kind:10}  {new:5.1f}  {tests:6.1f}  {wheel:6.1f}  {total:6.1f}")
    print(f"{len(KINDS) - slow} of {len(KINDS)} kinds within {GOAL:.0f} s")
    sys.exit(1 if slow else 0)


def timed(command: list[str], folder: Path) -> float:
    """Run ``command`` in ``folder``; return the seconds that it took."""
    started = time.monotonic()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(command, cwd=folder, env=env, check=True, **quiet)
    return time.monotonic() - started


if __name__ == "__main__":
    main()
