"""Cut a vendor's OpenAPI document down to what penin asks, for a server that holds us to it.

    python tests/contracts/trim.py openapi.yaml trimmed.json /chat/completions /files ...

Kept are the named paths, with the deeper ones under them, and all that they refer to. Examples go:
those of replies break the vendors' own schemas, and a server without them makes replies from the
schemas instead. Nothing of what a request may be is changed, but two defects are repaired:
``nullable`` without a type, which OpenAI writes, is no JSON Schema and lets everything pass in
silence; and Mistral's answers are said to have a field ``data``, which none has.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

#: What only people read, and what breaks the rules of the document that it stands in.
_NOISE = {"example", "examples", "summary", "x-oaiMeta", "x-codeSamples"}


def read(path: Path) -> dict[str, Any]:
    """Return a document, JSON or YAML."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return json.loads(text)
    import yaml

    # YAML 1.1, which PyYAML speaks, takes 1e-08 for a text.
    loader = type("Loader", (yaml.CSafeLoader,), {})
    loader.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)$"),
        list("-+0123456789"),
    )
    return yaml.load(text, Loader=loader)


def trimmed(document: dict[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """Return ``document`` with nothing but ``paths``, those under them, and what they refer to."""
    kept = {
        name: _plain(item)
        for name, item in document["paths"].items()
        if "?" not in name and any(f"{name}/".startswith(f"{path}/") for path in paths)
    }
    small = {
        name: document[name] for name in ("openapi", "info", "security") if name in document
    } | {"paths": kept, "components": {}}
    components = document.get("components", {})
    if "securitySchemes" in components:
        small["components"]["securitySchemes"] = components["securitySchemes"]
    queue = list(_references(kept))
    while queue:
        kind, name = queue.pop().removeprefix("#/components/").split("/")
        room = small["components"].setdefault(kind, {})
        if name not in room:
            room[name] = _plain(components[kind][name])
            queue += _references(room[name])
    return small


def _plain(value: Any, *, names: bool = False) -> Any:
    """Return ``value`` without noise; under ``properties`` every key is the name of a field."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    plain = {
        key: _plain(item, names=key == "properties" and not names)
        for key, item in value.items()
        if names or key not in _NOISE
    }
    if not names and "description" in plain:
        # A reply must have one.
        plain["description"] = ""
    if not names and plain.get("nullable") is True and "type" not in plain:
        del plain["nullable"]
        return {"anyOf": [plain, {"type": "null"}]}
    if plain.get("title") == "ChatCompletionResponse":
        plain["required"] = [name for name in plain.get("required", ()) if name != "data"]
    return plain


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref" and isinstance(item, str):
                yield item
            elif key == "mapping" and isinstance(item, dict):
                yield from (text for text in item.values() if str(text).startswith("#/"))
            else:
                yield from _references(item)


if __name__ == "__main__":
    source, target, *wanted = sys.argv[1:]
    small = trimmed(read(Path(source)), wanted)
    Path(target).write_text(json.dumps(small, indent=1), encoding="utf-8")
