"""What an interrupted cycle was asked to do survives it, and nothing else is believed."""

import pytest

from penin_core import StateError
from penin_core.resuming import FILE, Asked, forget, interrupted, keep

ASKED = Asked(challengers=5, seed=7, dry_run=False, profile=None, provider_id="p")


def test_what_was_kept_is_found_until_it_is_forgotten(tmp_path):
    keep(tmp_path, ASKED)
    later = Asked(2, 8, True, "strict", None)
    keep(tmp_path, later)
    assert interrupted(tmp_path) == later
    forget(tmp_path)
    forget(tmp_path)
    with pytest.raises(StateError, match="no cycle was interrupted"):
        interrupted(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"challengers": 5}',
        '{"challengers": 5, "seed": -1, "dry_run": false, "profile": null, "provider_id": null}',
        '{"challengers": true, "seed": 1, "dry_run": false, "profile": null, "provider_id": null}',
        '{"challengers": 5, "seed": 1, "dry_run": 0, "profile": null, "provider_id": null}',
        '{"challengers": 5, "seed": 1, "dry_run": false, "profile": 3, "provider_id": null}',
        '{"challengers": 5, "seed": 1, "dry_run": true, "profile": null, "provider_id": 1, "x": 1}',
    ],
)
def test_a_file_that_is_not_what_was_written_is_refused(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(StateError, match="cannot be read"):
        interrupted(tmp_path)
