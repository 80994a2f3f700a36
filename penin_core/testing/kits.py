"""What all kits share: nobody weakens a kit in silence, and importing a plugin is cheap."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from inspect import getattr_static
from types import FunctionType
from typing import Any, ClassVar

import pytest

from penin_core import PluginInvalid
from penin_core.checks import check_component

#: Packages that take a second or more, or open connections: imported where they are used.
HEAVY = frozenset(
    {"accelerate", "aiohttp", "anthropic", "boto3", "cohere", "datasets", "google.genai", "grpc"}
    | {"huggingface_hub", "jax", "keras", "langchain", "litellm", "matplotlib", "mistralai"}
    | {"onnxruntime", "openai", "pandas", "peft", "requests", "scipy", "sentence_transformers"}
    | {"sklearn", "spacy", "tensorflow", "tokenizers", "torch", "transformers", "vllm", "xai_sdk"}
)

_IMPORT = """
import importlib, importlib.util, sys
name, place = sys.argv[1:]
try:
    found = importlib.util.find_spec(name) is not None
except (ImportError, ValueError):
    found = False
if found:
    importlib.import_module(name)
else:
    spec = importlib.util.spec_from_file_location("plugin_under_test", place)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
sys.stdout.flush()
sys.stderr.write("\\n" + "\\n".join(sys.modules))
"""

#: Kit -> its clauses and helpers, as they were when the kit was defined.
_PRISTINE: dict[type, dict[str, object]] = {}


def refuse_weakened(cls: type[Kit]) -> None:
    """Raise TypeError where a clause was replaced or removed, or excused without a reason."""
    kit = next(base for base in cls.__mro__ if base in _PRISTINE)
    clauses = _PRISTINE[kit]
    for name, part in clauses.items():
        if getattr_static(cls, name, None) is not part:
            raise TypeError(f"{cls.__name__} replaces {name}: declare it in expected_failures")
    for name, why in cls.expected_failures.items():
        if name not in clauses or not name.startswith("test_"):
            raise TypeError(f"{cls.__name__}.expected_failures: there is no clause {name}")
        if not why.strip():
            raise TypeError(f"{cls.__name__}.expected_failures: {name} needs a reason")


def _parts_of(kit: type) -> dict[str, object]:
    """Return the clauses, fixtures and helpers of a kit; its data are for authors to set."""
    members = {name: getattr_static(kit, name) for name in dir(kit) if not name.startswith("__")}
    fixture = type(pytest.fixture(_parts_of))
    return {
        name: member
        for name, member in members.items()
        if isinstance(member, FunctionType | fixture)
    }


class Kit:
    """Clauses that run against what an author gives, and what that is known to miss."""

    expected_failures: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a test class that weakens its kit."""
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith("penin_core.testing."):
            _PRISTINE[cls] = _parts_of(cls)
        refuse_weakened(cls)

    @pytest.fixture(autouse=True)
    def _expect_failure(self, request: pytest.FixtureRequest) -> None:
        if why := self.expected_failures.get(request.function.__name__):
            request.node.add_marker(pytest.mark.xfail(reason=why, strict=True))

    def module_under_test(self) -> str:
        """Return the name of the module that users import."""
        raise NotImplementedError

    def test_import_is_light(self) -> None:
        """What is heavy is imported where it is used, and importing prints nothing."""
        module = self.module_under_test()
        printed, modules = import_alone(module, getattr(sys.modules[module], "__file__", "") or "")
        assert printed == "", f"importing {module} prints {printed[:80]!r}"
        assert sorted(HEAVY & modules) == [], f"importing {module} imports these"


class Conformance(Kit):
    """Shared by the kits for components: the class under test, and its options."""

    kind: ClassVar[str]
    component: ClassVar[type[Any]]
    options: ClassVar[Mapping[str, Any]] = {}

    def module_under_test(self) -> str:
        """Return the module that defines the component."""
        return self.component.__module__

    @pytest.fixture
    def made(self) -> Iterator[Any]:
        """The component under test, built from ``options`` and closed once."""
        made = self.component(self.component.Options(**self.options))
        yield made
        made.close()

    def test_class_follows_the_contract(self) -> None:
        """Name, docstring, options, methods and parameters are those of the contract."""
        check_component(self.kind, self.component)

    def test_unknown_option_is_refused(self) -> None:
        """A misspelt key in penin.toml must not be dropped in silence."""
        with pytest.raises(ValueError, match="no_such_option"):
            self.component.Options(**{**self.options, "no_such_option": 1})

    def test_options_cannot_change(self, made: Any) -> None:
        """What was validated stays as it was."""
        with pytest.raises(ValueError, match=r"frozen|no field|not have"):
            made.options.no_such_option = 1


@cache
def import_alone(module: str, place: str = "") -> tuple[str, frozenset[str]]:
    """Import ``module`` in a new process; return what that prints, and all modules it loads.

    Raises:
        PluginInvalid: it cannot be imported by itself.
    """
    command = [sys.executable, "-c", _IMPORT, module, place]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(  # noqa: S603 - this interpreter, and a name that is imported already
        command, capture_output=True, text=True, env=env, timeout=120, check=False
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        raise PluginInvalid(f"{module} cannot be imported alone: {''.join(last)}")
    return done.stdout, frozenset(done.stderr.splitlines())
