"""Let tox find every interpreter that pyenv has installed, active or not.

A shim of pyenv fails for a version that is installed but not active, and tox would skip its
environment. The interpreters themselves, put at the end of PATH, are found all the same; where
there is no pyenv this changes nothing, and what is not installed is still skipped.
"""

from __future__ import annotations

import os
from pathlib import Path

PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")

os.environ["PATH"] = os.pathsep.join(
    [os.environ.get("PATH", os.defpath), *map(str, sorted(PYENV.glob("versions/3.*/bin")))]
)
