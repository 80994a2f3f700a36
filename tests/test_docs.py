"""The documentation says what the code does: names, defaults, options and examples are compared."""

import inspect
import json
import os
import re
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

import penin_core
from penin_core import errors, hookspecs
from penin_core.builtin import BUILTIN_PLUGINS
from penin_core.cli import COMMANDS, penin
from penin_core.contracts import CONTRACTS
from penin_core.ledger.notes import ED25519, VerifierKey
from penin_core.ledger.policy import first_policy, parse_policy
from penin_core.ledger.rows import EVENT_KINDS
from penin_core.omega.evidence import campaign_alpha, smallest_provable_gain
from penin_core.plugins import Plugins
from penin_core.records import Configuration, Task
from penin_core.settings import (
    Baseline,
    BudgetSettings,
    EvolveSettings,
    GuardSettings,
    LedgerSettings,
    LiveSettings,
    Margins,
    NetworkSettings,
    Settings,
    SuiteDefinition,
)
from penin_core.suites import read_tasks

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS.glob("*.md")]
PAGES.sort()

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
HOOKS = {
    name: hook for name, hook in vars(hookspecs).items() if re.match("penin_(register|c)", name)
}
TABLES = {
    "[champion]": Configuration,
    "[suite]": SuiteDefinition,
    "[suite.baseline]": Baseline,
    "[evolve]": EvolveSettings,
    "[evolve.margins]": Margins,
    "[budget]": BudgetSettings,
    "[guards]": GuardSettings,
    "[ledger]": LedgerSettings,
    "[live]": LiveSettings,
    "[network]": NetworkSettings,
}


def page_id(page):
    return str(page.relative_to(ROOT))


def prose(page):
    """A page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def blocks(page, language):
    return [
        code for kind, code in FENCE.findall(page.read_text(encoding="utf-8")) if kind == language
    ]


def without_code(text):
    """``text`` with fenced blocks blanked out, so that a comment in one is no heading."""
    return FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def section(page, title):
    """The text under the heading ``title``, up to the next heading of its level or above."""
    text = page.read_text(encoding="utf-8")
    found = [(len(m[1]), m[2], m.start(), m.end()) for m in HEADING.finditer(without_code(text))]
    for index, (depth, name, _, end) in enumerate(found):
        if name == title:
            later = (start for level, _, start, _ in found[index + 1 :] if level <= depth)
            return text[end : next(later, len(text))]
    pytest.fail(f"{page_id(page)} has no heading {title!r}")


def rows(text):
    """The cells of every table row in ``text``, headers left out."""
    cells = [re.findall(r"[^|]+", line) for line in text.splitlines() if line.startswith("|")]
    stripped = [[cell.strip() for cell in row] for row in cells]
    rules = [index for index, row in enumerate(stripped) if set("".join(row)) <= set("-: ")]
    headers = {index - 1 for index in rules}
    return [row for index, row in enumerate(stripped) if index not in {*rules, *headers}]


def toml(value):
    """``value`` as it is written in penin.toml; ``none`` where TOML has nothing."""
    if value is None:
        return "`none`"
    if isinstance(value, BaseModel):
        return "see below"
    return f"`{json.dumps(value)}`"


# Commands of the README


def commands_of_readme():
    return [line for block in blocks(ROOT / "README.md", "bash") for line in block.splitlines()]


def test_ci_runs_the_readme_test_command_and_nothing_else():
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["#!/bin/bash", "set -euo pipefail"]
    assert lines[2].startswith("cd ")
    (command,) = lines[3:]
    assert "tox" in command
    assert command in commands_of_readme()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_ci_script_is_valid_bash():
    assert subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=False).returncode == 0


def test_readme_says_how_to_install_and_run_the_main_job():
    (command,) = [line for line in commands_of_readme() if line.endswith("penin evolve")][:1]
    assert command.startswith("python3 -m venv .venv && ")
    assert " . ./plugins/penin-tiny " in command


@pytest.mark.parametrize(
    "page",
    [*PAGES, *ROOT.glob("plugins/*/README.md"), *ROOT.glob("examples/*/README.md")],
    ids=page_id,
)
def test_what_is_on_no_index_is_installed_from_its_folder(page):
    lines = re.findall(r"pip install ([^\n`#]*)", page.read_text(encoding="utf-8"))
    named = [word.strip('"') for line in lines for word in line.split() if "penin-" in word]
    assert all(
        re.sub(r"\[.*", "", name).removeprefix("./").startswith("plugins/") for name in named
    )
    assert all((ROOT / re.sub(r"\[.*", "", name)).is_dir() for name in named)


def test_readme_lists_every_command_with_its_summary():
    listed = {row[0].strip("`"): row[1] for row in rows(section(ROOT / "README.md", "Commands"))}
    assert listed == {f"penin {name}": summary for name, summary in COMMANDS.items()}


def test_readme_leaves_a_place_for_real_output():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(
        r"<!-- output:evolve -->\n```text\n.*?```\n<!-- /output:evolve -->", text, re.S
    )


# Versions and licences


def test_tox_runs_every_python_that_the_packages_promise():
    config = (ROOT / "tox.ini").read_text(encoding="utf-8")
    tested = re.findall(r"\bpy3(\d+)", re.search(r"env_list = (.*)", config)[1])
    for package in [ROOT, *(ROOT / "plugins").iterdir()]:
        project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        promised = re.findall(r"Python :: 3\.(\d+)", " ".join(project["classifiers"]))
        assert promised == tested
        assert project["requires-python"] == f">=3.{tested[0]}"


def test_changelog_begins_with_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(.+?)\]", text, re.MULTILINE)[1]
    assert newest == penin_core.__version__ == version("penin-core")


def test_every_package_carries_the_same_licence():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    for package in (ROOT / "plugins").iterdir():
        assert (package / "LICENSE").read_text(encoding="utf-8") == text


def test_the_smallest_gains_that_can_be_shown_are_computed():
    shown = [
        row for row in rows((DOCS / "bring-your-tasks.md").read_text("utf-8")) if len(row) == 2
    ]
    assert len(shown) == 5
    for tasks, points in shown:
        gain = smallest_provable_gain(int(tasks), campaign_alpha(1))
        assert points == f"{100 * gain:.1f} points"


def test_every_picture_is_there_is_small_and_says_what_it_shows():
    shown = {
        match[2]
        for page in PAGES
        for match in re.finditer(r"!\[([^\]]{20,})\]\(assets/(\S+)\)", prose(page))
    }
    assert shown == {path.name for path in (DOCS / "assets").iterdir()}
    assert all((DOCS / "assets" / name).stat().st_size < 100_000 for name in shown)


def test_every_workflow_calls_what_is_pinned_and_asks_for_few_rights():
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        text = workflow.read_text(encoding="utf-8")
        used = re.findall(r"uses: (\S+)", text)
        assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", one) for one in used), workflow
        assert re.search(r"^permissions:", text, re.MULTILINE)


# Links and navigation


def slug(title):
    """The anchor that MkDocs gives a heading."""
    ascii_only = title.encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", ascii_only).strip().lower())


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_resolve(page):
    for target in LINK.findall(prose(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.is_file(), f"{target} leads nowhere"
        if anchor:
            titles = HEADING.findall(without_code(linked.read_text(encoding="utf-8")))
            assert anchor in {slug(title) for _, title in titles}, f"{target} has no such heading"


def test_navigation_names_every_page_once():
    listed = re.findall(r"^ +- .+: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.M)
    assert sorted(listed) == sorted(page.name for page in DOCS.glob("*.md"))


# Hooks, contracts, errors


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_documented_with_its_signature(name):
    titles = [title for _, title in HEADING.findall((DOCS / "plugins.md").read_text("utf-8"))]
    assert f"{name}({', '.join(inspect.signature(HOOKS[name]).parameters)})" in titles


def test_no_hook_is_documented_that_does_not_exist():
    assert set(HOOKS) >= set(
        re.findall(r"penin_(?:register|cycle|candidate)_\w+", prose(DOCS / "plugins.md"))
    )


def own_methods(contract):
    return {
        name: function
        for name, function in vars(contract).items()
        if inspect.isfunction(function) and not name.startswith("_")
    }


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=lambda contract: contract.__name__)
def test_every_method_of_a_contract_is_documented(contract):
    text = section(DOCS / "plugins.md", "Contracts")
    for name, function in own_methods(contract).items():
        _, *parameters = inspect.signature(function).parameters
        assert f"`{name}({', '.join(parameters)})`" in text


ERRORS = {
    name: error
    for name, error in vars(errors).items()
    if inspect.isclass(error) and issubclass(error, errors.PeninError)
}


def test_every_error_is_documented_with_its_exit_code():
    table = rows(section(DOCS / "architecture.md", "Errors"))
    documented = {name.strip("`"): int(code) for name, code, _ in table}
    assert documented == {name: error.exit_code for name, error in ERRORS.items()}


def test_every_error_is_drawn_in_the_docstring_of_its_module():
    drawn = dict(re.findall(r"(\w+)\s+(?:exit code )?(\d)\b", errors.__doc__))
    assert drawn == {name: str(error.exit_code) for name, error in ERRORS.items()}


@pytest.mark.parametrize("page", ["audit", "ledger"])
def test_the_policy_that_is_handed_out_is_a_whole_one(page):
    with pytest.raises(ValueError, match="no quorum line"):
        parse_policy(first_policy(VerifierKey("a", ED25519, b"k" * 32)).splitlines(True)[0])
    for part in (DOCS / f"{page}.md").read_text(encoding="utf-8").split("\n\n"):
        if "hand out" in part.lower():
            assert "`ledger/policy.txt`" in part
            assert "`quorum none`" in part


def test_every_event_kind_of_the_ledger_is_documented():
    documented = re.findall(r"`([A-Z_]+)`", section(DOCS / "ledger.md", "Entries"))
    assert {"RUN", *EVENT_KINDS} == set(documented) - {"PENI"}


def test_the_drawn_tree_names_every_module_of_the_core():
    drawn = set(re.findall(r"[\w-]+", section(DOCS / "architecture.md", "The tree")))
    modules = {path.stem for path in (ROOT / "penin_core").iterdir() if path.suffix == ".py"}
    packages = {path.parent.name for path in (ROOT / "penin_core").glob("*/__init__.py")}
    plugins = {path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml")}
    assert (modules | packages | plugins) - {"__init__"} <= drawn


# Commands


def commands():
    """Every command and command of a group, with the words that call it."""
    context = click.Context(penin)

    def below(words, command):
        yield words, command
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                yield from below([*words, name], command.get_command(context, name))

    for name in COMMANDS:
        yield from below([name], penin.get_command(context, name))


def options(command):
    return {
        name
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--")
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented_with_exactly_its_options(name):
    text = section(DOCS / "commands.md", f"penin {name}")
    known = {"--help", "--debug"}
    for words, command in commands():
        if words[0] != name:
            continue
        assert len(words) == 1 or f"penin {' '.join(words)}" in text
        assert command.help
        missing = {option for option in options(command) if f"`{option}" not in text}
        assert not missing, f"penin {' '.join(words)} has {missing}"
        known |= options(command)
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) <= known


def test_every_exit_code_is_documented():
    codes = {row[0].strip("`") for row in rows(section(DOCS / "commands.md", "Exit codes"))}
    assert {"0", *(str(error.exit_code) for error in ERRORS.values())} <= codes


# Settings


def defaults(model):
    return {
        name: "required" if field.is_required() else toml(field.default)
        for name, field in model.model_fields.items()
    }


@pytest.mark.parametrize("title", TABLES)
def test_every_key_is_documented_with_its_default(title):
    table = rows(section(DOCS / "configuration.md", title))
    documented = {name.strip("`"): default for name, default, *meaning in table if meaning[0]}
    assert documented == defaults(TABLES[title])


def test_every_table_of_settings_is_documented():
    titles = {title for _, title in HEADING.findall(prose(DOCS / "configuration.md"))}
    text = prose(DOCS / "configuration.md")
    for name, field in Settings.model_fields.items():
        if name in ("folder", "source"):
            continue
        nested = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        assert f"[{name}]" in titles if nested else f"`{name}`" in text or f"[{name}." in text


def test_options_of_built_in_components_are_documented():
    plugins = Plugins.load(discover=False)
    expected = set()
    for kind in CONTRACTS:
        for name in plugins.names(kind):
            options = plugins.get(kind, name).Options.model_fields
            expected |= {(f"{kind}.{name}", option) for option in options}
    table = rows(section(DOCS / "configuration.md", "Tables of components"))
    assert {(row[0].strip("`"), row[1].strip("`")) for row in table} == expected
    assert len(BUILTIN_PLUGINS) == 3


def test_first_block_of_the_settings_page_is_the_defaults():
    block = blocks(DOCS / "configuration.md", "toml")[0]
    assert Settings.model_validate(tomllib.loads(block)) == Settings()


def test_every_column_of_a_task_is_documented():
    documented = {row[0].strip("`") for row in rows(section(DOCS / "configuration.md", "Tasks"))}
    assert documented == set(Task.model_fields) - {"fields", "examples", "sample"}


# Examples


def marked(name):
    return [
        pytest.param(block, id=f"{page_id(page)}-{number}")
        for page in PAGES
        for number, block in enumerate(blocks(page, "toml"), 1)
        if block.startswith(f"# {name}\n")
    ]


@pytest.mark.parametrize("block", marked("penin.toml"))
def test_settings_in_the_documentation_are_valid(block):
    Settings.model_validate(tomllib.loads(block))


@pytest.mark.parametrize("block", marked("suite.toml"))
def test_suites_in_the_documentation_are_valid(block):
    SuiteDefinition.model_validate(tomllib.loads(block))


def with_blocks(language):
    return [pytest.param(page, id=page_id(page)) for page in PAGES if blocks(page, language)]


@pytest.mark.parametrize("page", with_blocks("jsonl"))
def test_tasks_in_the_documentation_are_valid(page, tmp_path):
    for number, block in enumerate(blocks(page, "jsonl")):
        file = tmp_path / f"{number}.jsonl"
        file.write_text(block, encoding="utf-8")
        assert len(read_tasks(file)) == len(block.splitlines())


@pytest.mark.parametrize("page", with_blocks("python"))
def test_examples_run(page, tmp_path, monkeypatch):
    """Blocks run in order and share their names; one that begins with a file name is that file."""
    if any("penin_tiny" in block for block in blocks(page, "python")):
        pytest.importorskip("penin_tiny")
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "example"}
    for number, block in enumerate(blocks(page, "python"), 1):
        if named := re.match(r"# (\w+\.py)\n", block):
            Path(named[1]).write_text(block, encoding="utf-8")
        code = compile(block, f"{page_id(page)}, python block {number}", "exec")
        exec(code, namespace)
