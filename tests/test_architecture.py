"""The rules of the code base, held by its syntax trees."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import penin_core
from penin_core import testing

ROOT = Path(__file__).parent.parent
CORE = ROOT / "penin_core"
FILES = sorted(CORE.rglob("*.py"))
PLUGINS = sorted(
    path
    for path in ROOT.glob("plugins/penin-*/**/*.py")
    if not {"tests", "training", "build"} & set(path.relative_to(ROOT).parts)
)

#: A module imports from its own line or from those above it.
LAYERS = (
    {"errors"},
    {"records", "canonical", "omega"},
    {"contracts", "chat_completions", "responses_api", "rendering", "stated", "uploads"},
    {"hookspecs", "settings", "suites", "leaks", "state"},
    {"engine", "ledger", "league", "plugins", "registry", "checks", "installed"}
    | {"loading", "locking", "syncing", "scaffold"}
    | {"battery", "correcting", "gating", "grading", "measuring"},
    {"project", "projectfiles", "cycle", "runfiles", "recording", "tuning", "runners", "replay"}
    | {"training", "finetuning", "serving", "live"}
    | {"pages", "doctor", "proposing", "resuming", "forecast", "rehearsal"},
    {"cli"},
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

#: These live outside the layers: they see the public names, and what is listed here.
OUTSIDE = {
    "builtin": ("penin_core.builtin", "penin_core.omega"),
    "testing": (
        "penin_core.testing",
        "penin_core.plugins",
        "penin_core.checks",
        "penin_core.settings",
    ),
}

#: Library -> the only places that know it.
KNOWN_BY = {
    "click": ("cli/", "testing/plugin_conformance.py"),
    "rich": ("cli/",),
    "httpx2": ("engine/transport.py",),
    "httptools": ("engine/connections.py",),
    "cryptography": ("ledger/signatures.py",),
    "sqlite3": ("ledger/store.py", "ledger/opening.py", "engine/budget.py", "engine/cache.py"),
    "pluggy": ("hookspecs.py", "registry.py"),
    "pytest": ("testing/",),
    "importlib.metadata": ("installed.py", "locking.py"),
}
FORBIDDEN = {
    "pickle",
    "marshal",
    "shelve",
    "dill",
    "yaml",
    "jinja2",
    "litellm",
    "httpx",
    "requests",
}


def relative(path: Path) -> str:
    return path.relative_to(ROOT if ROOT / "plugins" in path.parents else CORE).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path, root: Path = ROOT) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """Yield (module, imported names, line) for every import, inside functions, too."""
    package = path.relative_to(root).parts[:-1]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, (), node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            parts = (*base, *(node.module or "").split("."))
            module = ".".join(part for part in parts if part)
            yield module, tuple(alias.name for alias in node.names), node.lineno


def own_imports(path: Path) -> Iterator[tuple[str, int]]:
    """Yield each import of penin_core as the module that is meant, and its line."""
    for module, names, line in imports(path):
        if module == "penin_core":
            for name in names or ("",):
                submodule = (CORE / f"{name}.py").exists() or (CORE / name / "__init__.py").exists()
                yield (f"penin_core.{name}" if name and submodule else "penin_core"), line
        elif module.startswith("penin_core."):
            yield module, line


def room(path: Path) -> str:
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def within(module: str, allowed: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in allowed)


per_file = pytest.mark.parametrize("path", FILES, ids=relative)
per_plugin_file = pytest.mark.parametrize("path", PLUGINS, ids=relative)


# Who may import whom


@per_file
def test_every_module_has_a_layer(path):
    assert room(path) in {*RANK, *OUTSIDE, "__init__"}, "place it in LAYERS"


@pytest.mark.parametrize("path", [p for p in FILES if room(p) in RANK], ids=relative)
def test_imports_point_down(path):
    upward = [
        f"line {line}: {module}"
        for module, line in own_imports(path)
        if module != "penin_core"
        and (target := module.split(".")[1]) != "builtin"
        and RANK.get(target, len(LAYERS)) > RANK[room(path)]
    ]
    assert upward == []


@pytest.mark.parametrize("path", [p for p in FILES if room(p) in OUTSIDE], ids=relative)
def test_what_ships_beside_the_core_uses_public_names(path):
    allowed = ("penin_core.omega", *OUTSIDE[room(path)])
    inside = [
        f"line {line}: {module}"
        for module, line in own_imports(path)
        if module != "penin_core" and not within(module, allowed)
    ]
    assert inside == []


@per_plugin_file
def test_plugins_use_public_names(path):
    allowed = ("penin_core.omega", "penin_core.testing")
    inside = [
        f"line {line}: {module}"
        for module, line in own_imports(path)
        if module != "penin_core" and not within(module, allowed)
    ]
    assert inside == []


@pytest.mark.parametrize(
    "path", [*PLUGINS, *(p for p in FILES if room(p) in OUTSIDE)], ids=relative
)
def test_names_that_others_import_are_public(path):
    for module, names, line in imports(path):
        if module == "penin_core":
            assert set(names) <= {*penin_core.__all__, "__version__"}, f"line {line}"
        elif module.startswith("penin_core.omega"):
            private = [part for part in (*module.split("."), *names) if part.startswith("_")]
            assert private == [], f"line {line}"


@pytest.mark.parametrize("path", sorted((CORE / "omega").glob("*.py")), ids=relative)
def test_omega_imports_nothing_else_of_penin(path):
    assert [m for m, _ in own_imports(path) if not within(m, ("penin_core.omega",))] == []


def test_errors_imports_nothing_of_penin():
    assert list(own_imports(CORE / "errors.py")) == []


def test_only_plugins_knows_the_builtins():
    knowing = {
        relative(path)
        for path in FILES
        if room(path) not in OUTSIDE
        and any(within(module, ("penin_core.builtin",)) for module, _ in own_imports(path))
    }
    # The package itself hands out two public functions of the built-in mutators, on first use.
    assert knowing == {"__init__.py", "plugins.py"}


@pytest.mark.parametrize("library", KNOWN_BY)
def test_a_library_is_known_in_one_place(library):
    knowing = {
        relative(path)
        for path in FILES
        if any(within(module, (library,)) for module, _, _ in runtime_imports(path))
    }
    assert {name for name in knowing if not name.startswith(KNOWN_BY[library])} == set()


def runtime_imports(path: Path) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """Yield imports that happen: not those for the type checker."""
    typed = {
        node.lineno
        for block in ast.walk(tree_of(path))
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    return (item for item in imports(path) if item[2] not in typed)


@pytest.mark.parametrize("path", [*FILES, *PLUGINS], ids=relative)
def test_nothing_that_runs_data_or_drags_a_rival_in(path):
    assert {module.split(".")[0] for module, _, _ in imports(path)} & FORBIDDEN == set()


# What code may not do


def calls(path: Path) -> Iterator[tuple[str, int]]:
    """Yield what is called, and the line; a method of a literal is not counted."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name):
                yield called.id, node.lineno
            elif isinstance(called, ast.Attribute) and not isinstance(called.value, ast.Constant):
                yield f".{called.attr}", node.lineno


@pytest.mark.parametrize("path", [*FILES, *PLUGINS], ids=relative)
def test_text_is_never_run(path):
    banned = {"eval", "exec", "compile", "__import__"}
    assert [(name, line) for name, line in calls(path) if name in banned] == []


#: These fill templates that are constants of their own.
TEMPLATES = ("builtin/suites/", "ledger/schema.py")


@pytest.mark.parametrize("path", [*FILES, *PLUGINS], ids=relative)
def test_data_are_never_a_format(path):
    banned = {".format", ".format_map"} if not relative(path).startswith(TEMPLATES) else set()
    assert [(name, line) for name, line in calls(path) if name in banned] == []


@pytest.mark.parametrize(
    "path", [p for p in [*FILES, *PLUGINS] if "cli" not in p.parts], ids=relative
)
def test_only_the_command_line_prints(path):
    assert [line for name, line in calls(path) if name in {"print", "input", "breakpoint"}] == []


@pytest.mark.parametrize("path", [*FILES, *PLUGINS], ids=relative)
def test_no_loose_ends(path):
    text = path.read_text(encoding="utf-8")
    assert [word for word in ("TODO", "FIXME", "XXX", "HACK") if word in text] == []


# Sizes and words

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(tree_of(path)) if isinstance(node, Function))


def span(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def explained(node: ast.AST) -> int:
    """Return how many lines the docstrings within ``node`` take: to explain is never too long."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return sum(
        span(inner.body[0])
        for inner in ast.walk(node)
        if isinstance(inner, documented) and ast.get_docstring(inner, clean=False) is not None
    )


def length(function: Function) -> int:
    return span(function) - explained(function)


#: Long lists of small declarations; splitting them would only spread what is read together.
DECLARATIONS = {"records.py"}


@pytest.mark.parametrize("path", [p for p in FILES if p.name not in DECLARATIONS], ids=relative)
def test_a_module_fits_on_300_lines(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines - explained(tree_of(path)) <= 300


@per_file
def test_a_function_fits_on_50_lines(path):
    assert {f.name: length(f) for f in functions(path) if length(f) > 50} == {}


def test_nine_functions_of_ten_fit_on_30_lines():
    lengths = sorted(length(function) for path in FILES for function in functions(path))
    assert lengths[len(lengths) * 9 // 10] <= 30


def public(body: list[ast.stmt], lead: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Yield public classes and functions of a module, and public methods of public classes."""
    for node in body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield lead + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{lead}{node.name}.")


def declared(node: ast.AST) -> bool:
    """Say whether a function only declares itself: an overload, a method of a protocol."""
    return isinstance(node, Function) and ast.unparse(node.body[0]) == "..."


@pytest.mark.parametrize("path", [*FILES, *PLUGINS], ids=relative)
def test_public_names_have_docstrings(path):
    tree = tree_of(path)
    private = path.name.startswith("_") and path.name != "__init__.py"
    names = () if private else public(tree.body)
    bare = [name for name, node in names if not ast.get_docstring(node) and not declared(node)]
    assert bare == []
    if tree.body:
        assert ast.get_docstring(tree), "the module needs one, too"


# The public names


@pytest.mark.parametrize("package", [penin_core, testing], ids=["penin_core", "testing"])
def test_the_lazy_names_are_the_typed_names(package):
    typed = {
        alias.asname or alias.name
        for block in tree_of(Path(package.__file__)).body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(package.__all__) == sorted(typed)


@pytest.mark.parametrize("name", [*penin_core.__all__])
def test_every_public_name_exists(name):
    assert getattr(penin_core, name) is not None


@pytest.mark.parametrize("name", testing.__all__)
def test_every_name_for_tests_exists(name):
    assert getattr(testing, name).__name__ == name


@pytest.mark.parametrize("package", [penin_core, testing], ids=["penin_core", "testing"])
def test_a_name_that_does_not_exist_is_an_attribute_error(package):
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        package.nothing  # noqa: B018 - reading it is the test
