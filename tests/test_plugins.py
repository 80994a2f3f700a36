"""A plugin is loaded whole or not at all, and a broken one is listed and harms nobody."""

import itertools
import logging
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import pytest

from penin_core import (
    Candidate,
    ComponentOptions,
    Configuration,
    Evaluator,
    Guard,
    GuardResult,
    Mutator,
    PluginConflict,
    PluginInvalid,
    PluginNotFound,
    Provider,
    ProviderAuthError,
    SettingsError,
    hookimpl,
    hookspecs,
)
from penin_core.plugins import Plugins, listed
from penin_core.settings import Settings, validated
from penin_core.testing import fakes
from penin_core.testing.fakes import Echo, write_distribution

GUARD = """
from penin_core import Guard, GuardResult, hookimpl

penin_api = 1

class Nod(Guard):
    "Agrees."
    name = "{name}"
    def check(self, evidence):
        return GuardResult(guard=self.name, ok=True, reason="always")

@hookimpl
def penin_register_guards():
    return [Nod]
"""

WATCHER = """
from penin_core import hookimpl

@hookimpl
def penin_cycle_started(champion):
    seen.append(champion)

seen = []
"""


class Nod(Guard):
    """Agrees with everything."""

    name = "nod"

    def check(self, evidence):
        return GuardResult(guard=self.name, ok=True, reason="always")


@pytest.fixture
def plugins():
    """Only the built-in plugins."""
    return Plugins.load(discover=False)


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on sys.path for distributions; the user's cache stays untouched."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def plugin(**attributes):
    """Return a plugin object with ``attributes``; functions stay plain functions."""
    attributes.setdefault("penin_api", 1)
    members = {k: staticmethod(v) if callable(v) else v for k, v in attributes.items()}
    return type("SomePlugin", (), members)()


def bringing(kind, *components):
    """Return a plugin that registers ``components``."""

    def register():
        return list(components)

    return plugin(**{f"penin_register_{kind}": hookimpl(register)})


def changed(base, **changes):
    """Return a subclass of ``base`` with a docstring and ``changes``."""
    return type("Changed", (base,), {"__doc__": "Changed.", **changes})


# What is refused, and in which words


def hook_with_default(champion=None):
    pass


def hook_with_strange_argument(champion, surprise):
    pass


def hook_with_any_arguments(**event):
    pass


def no_hook():
    return []


def misspelt_on_purpose():
    return []


async def async_hook():
    pass


def generator_hook():
    yield Nod


def wrapping_hook():
    return (yield)


REFUSED = {
    "no API": (plugin(penin_api=None), "for which plugin API"),
    "other API": (plugin(penin_api=2), "written for plugin API 2, this penin speaks 1"),
    "API zero": (plugin(penin_api=0), "plugin API 0"),
    "API is a truth value": (plugin(penin_api=True), "plugin API True"),
    "API is a text": (plugin(penin_api="1"), "plugin API '1'"),
    "misspelt hook": (
        plugin(penin_register_guard=hookimpl(no_hook)),
        "there is no hook penin_register_guard",
    ),
    "hook of another name": (plugin(setup=hookimpl(no_hook)), "there is no hook setup"),
    "unmarked hook": (plugin(penin_register_guards=lambda: [Nod]), "is not marked"),
    "default": (plugin(penin_cycle_started=hookimpl(hook_with_default)), "champion a default"),
    "argument": (
        plugin(penin_cycle_started=hookimpl(hook_with_strange_argument)),
        "does not take surprise",
    ),
    "any arguments": (
        plugin(penin_cycle_started=hookimpl(hook_with_any_arguments)),
        r"does not take \*\*event",
    ),
    "async hook": (plugin(penin_register_guards=hookimpl(async_hook)), "is async"),
    "generator hook": (plugin(penin_register_guards=hookimpl(generator_hook)), "is a generator"),
    "wrapper": (
        plugin(penin_register_guards=hookimpl(wrapping_hook, wrapper=True)),
        "sets wrapper",
    ),
    "optional hook": (
        plugin(penin_register_guards=hookimpl(misspelt_on_purpose, optionalhook=True)),
        "sets optionalhook",
    ),
    "forgotten return": (plugin(penin_register_guards=hookimpl(lambda: None)), "returned None"),
    "endless classes": (
        plugin(penin_register_guards=hookimpl(lambda: itertools.repeat(Nod))),
        "returned more than 1000 classes",
    ),
    "hook that raises": (plugin(penin_register_guards=hookimpl(lambda: 1 / 0)), "ZeroDivision"),
    "hook that exits": (plugin(penin_register_guards=hookimpl(lambda: sys.exit(3))), "SystemExit"),
    "not a class": (bringing("guards", Nod()), "is not a subclass of Guard"),
    "wrong kind": (bringing("mutators", Nod), "is not a subclass of Mutator"),
    "not a component": (bringing("guards", int), "is not a subclass of Guard"),
    "no name": (bringing("guards", changed(Nod, name="")), "name is ''"),
    "name with a space": (bringing("guards", changed(Nod, name="a b")), "name is 'a b'"),
    "name with a colon": (bringing("guards", changed(Nod, name="a:b")), "name is 'a:b'"),
    "name of another type": (bringing("guards", changed(Nod, name=7)), "name is 7"),
    "no docstring": (bringing("guards", changed(Nod, __doc__=None)), "has no docstring"),
    "blank docstring": (bringing("guards", changed(Nod, __doc__=" \n")), "has no docstring"),
    "abstract method": (bringing("guards", changed(Guard, name="g")), "does not define check"),
    "signature": (
        bringing("guards", changed(Nod, check=lambda self, proof: None)),
        r"check\(self, proof\) differs from the contract",
    ),
    "more arguments": (
        bringing("guards", changed(Nod, check=lambda self, evidence, more=1: None)),
        "differs from the contract",
    ),
    "keyword only": (
        bringing("guards", changed(Nod, check=lambda self, *, evidence: None)),
        "differs from the contract",
    ),
    "static method": (
        bringing("guards", changed(Nod, check=staticmethod(lambda self, evidence: None))),
        "is not a plain method",
    ),
    "optional method": (
        bringing("guards", changed(Nod, close=lambda self, now: None)),
        r"close\(self, now\) differs",
    ),
    "constructor": (
        bringing("guards", changed(Nod, __init__=lambda self, options, more: None)),
        "__init__.*differs",
    ),
    "provider of no kind": (
        bringing("providers", changed(Provider, name="p", capabilities=lambda self, model: None)),
        "neither HttpProvider nor LocalProvider",
    ),
    "axis": (
        bringing(
            "evaluators",
            changed(Evaluator, name="e", axis="X", score=lambda self, task, completions: 1.0),
        ),
        "axis is 'X'",
    ),
    "options of another type": (bringing("guards", changed(Nod, Options=dict)), "Options is not"),
    "loose options": (
        bringing(
            "guards",
            changed(
                Nod, Options=type("O", (ComponentOptions,), {"model_config": {"extra": "allow"}})
            ),
        ),
        "frozen and forbid",
    ),
    "two of one name": (bringing("guards", Nod, changed(Nod)), "brings two guards named 'nod'"),
    "name that is taken": (
        bringing("guards", changed(Nod, name="sigma")),
        "guard 'sigma' comes from plugin guards",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_names_plugin_and_reason(plugins, case):
    hostile, why = REFUSED[case]
    before = plugins.describe()
    with pytest.raises((PluginInvalid, PluginConflict), match=why) as caught:
        plugins.add(hostile, "hostile", "penin-hostile", "6.6")
    assert str(caught.value).startswith("plugin hostile (penin-hostile 6.6): ")
    assert plugins.describe() == before
    assert plugins.notify("penin_cycle_started", champion=None, challengers=()) == []


async def async_check(self, evidence):
    return None


def test_an_async_method_is_refused(plugins):
    with pytest.raises(PluginInvalid, match="check is async"):
        plugins.add(bringing("guards", changed(Nod, check=async_check)), "hurried")


def test_a_plugin_with_one_bad_component_registers_none(plugins):
    with pytest.raises(PluginInvalid):
        plugins.add(bringing("guards", Nod, int), "half")
    with pytest.raises(PluginNotFound):
        plugins.get("guards", "nod")
    plugins.add(bringing("guards", Nod), "half")
    assert plugins.get("guards", "nod") is Nod


def test_a_missing_api_is_explained(plugins):
    with pytest.raises(PluginInvalid) as caught:
        plugins.add(plugin(penin_api=None), "old")
    assert caught.value.hint == "add penin_api = 1"


@pytest.mark.parametrize(("api", "ok"), [(1, True), (2, True), (3, True), (4, False), (0, False)])
def test_two_older_apis_are_accepted(plugins, monkeypatch, api, ok):
    monkeypatch.setattr(hookspecs, "PLUGIN_API", 3)
    if ok:
        plugins.add(plugin(penin_api=api), "aged")
    else:
        with pytest.raises(PluginInvalid, match="this penin speaks 1 to 3"):
            plugins.add(plugin(penin_api=api), "aged")


def test_a_plugin_name_is_given_once(plugins):
    plugins.add(bringing("guards", Nod), "acme", "penin-acme", "1")
    with pytest.raises(PluginConflict, match=r"'acme' is taken by acme \(penin-acme 1\)"):
        plugins.add(plugin(), "acme")


def test_a_plugin_is_registered_once(plugins):
    acme = bringing("guards", Nod)
    plugins.add(acme, "acme")
    with pytest.raises(PluginConflict, match="loaded already, as 'acme'"):
        plugins.add(acme, "again")


def test_fewer_arguments_and_plain_iterables_are_fine(plugins):
    def register():
        return {Nod}

    def finished():
        pass

    good = plugin(penin_register_guards=hookimpl(register), penin_cycle_finished=hookimpl(finished))
    plugins.add(good, "good")
    assert plugins.get("guards", "nod") is Nod
    assert plugins.notify("penin_cycle_finished", report=None) == []


def test_one_name_may_stand_for_components_of_several_kinds(plugins):
    propose = {"propose": lambda self, champion, count, rng: ()}
    both = plugin(
        penin_register_guards=hookimpl(lambda: [Nod]),
        penin_register_mutators=hookimpl(lambda: [changed(Mutator, name="nod", **propose)]),
    )
    plugins.add(both, "both")
    assert plugins.get("guards", "nod") is not plugins.get("mutators", "nod")


# Finding and building


def test_an_unknown_name_gets_a_suggestion(plugins):
    plugins.add(fakes, "fakes")
    with pytest.raises(PluginNotFound, match="no provider named 'ecko'") as caught:
        plugins.get("providers", "ecko")
    assert caught.value.hint == "did you mean 'echo'?"


def test_wrong_options_name_table_and_key(plugins):
    plugins.add(fakes, "fakes")
    with pytest.raises(SettingsError, match=r"\[providers\.echo\].*colour"):
        plugins.create("providers", "echo", {"colour": "red"})
    with pytest.raises(SettingsError, match=r"\[providers\.scripted\].*confidence"):
        plugins.create("providers", "scripted", {"confidence": 2})


def test_a_component_is_built_from_its_options(plugins):
    plugins.add(fakes, "fakes")
    made = plugins.create("providers", "scripted", {"default": "yes"})
    assert made.options.default == "yes"


def test_origin_says_plugin_distribution_and_version(plugins):
    plugins.add(fakes, "fakes", "penin-fakes", "0.3")
    assert plugins.origin("providers", "echo") == ("fakes", "penin-fakes", "0.3")
    assert str(plugins.origin("providers", "echo")) == "fakes (penin-fakes 0.3)"
    assert plugins.origin("guards", "sigma").distribution == "penin-core"


def test_a_constructor_that_breaks_names_the_plugin(plugins):
    class Fragile(Nod):
        """Breaks."""

        name = "fragile"

        def __init__(self, options=None):
            raise RuntimeError("glass")

    plugins.add(bringing("guards", Fragile), "shop", "penin-shop", "1.2")
    with pytest.raises(PluginInvalid) as caught:
        plugins.create("guards", "fragile")
    assert str(caught.value) == (
        "guard 'fragile' of plugin shop (penin-shop 1.2): RuntimeError: glass"
    )


def test_a_constructor_may_raise_errors_of_penin(plugins):
    class Locked(Echo):
        """Wants a key."""

        name = "locked"

        def __init__(self, options=None):
            raise ProviderAuthError("no key")

    plugins.add(bringing("providers", Locked), "shop")
    with pytest.raises(ProviderAuthError, match=r"^no key$"):
        plugins.create("providers", "locked")


# Watching


def champion():
    return Candidate(config=Configuration(provider="echo", model="m"))


def test_a_watcher_that_raises_is_logged_and_the_next_is_told(plugins, caplog, capsys):
    seen = []

    def broken(champion):
        print("noise")
        raise SystemExit("bored")

    plugins.add(plugin(penin_cycle_started=hookimpl(lambda champion: seen.append(champion))), "b")
    plugins.add(plugin(penin_cycle_started=hookimpl(broken)), "bad", "penin-bad", "1.0")
    plugins.add(plugin(penin_cycle_started=hookimpl(lambda champion: seen.append(champion))), "c")
    with caplog.at_level(logging.WARNING):
        failures = plugins.notify("penin_cycle_started", champion=champion(), challengers=())
    assert seen == [champion(), champion()]
    assert [(f.component, f.plugin, f.error) for f in failures] == [
        ("penin_cycle_started", "bad (penin-bad 1.0)", "SystemExit: bored")
    ]
    assert "bad (penin-bad 1.0) failed in penin_cycle_started" in caplog.text
    assert capsys.readouterr() == ("", "noise\n")


@pytest.mark.parametrize("way", ["installed", "listed", "used"])
def test_watchers_hear_of_a_cycle_when_their_plugin_is_active(site, way):
    source = GUARD.format(name="nodding") + WATCHER
    write_distribution(
        site,
        "penin-w",
        plugins={"watchful": f"watchful_{way}"},
        modules={f"watchful_{way}": source},
    )
    plugins = Plugins.load(["watchful"] if way == "listed" else None)
    plugins.describe()
    if way == "used":
        plugins.create("guards", "nodding")
    plugins.notify("penin_cycle_started", champion="the champion", challengers=())
    assert len(sys.modules[f"watchful_{way}"].seen) == (way != "installed")


# Installed plugins

HOSTILE = {
    "raises": "raise RuntimeError('boom')",
    "imports": "import no_such_module",
    "exits": "import sys; sys.exit(7)",
    "interrupts": "raise GeneratorExit",
    "syntax": "def",
    "prints": "print('on stdout'); raise ValueError('after printing')",
    "empty": "",
    "no_api": "from penin_core import hookimpl",
    "future": "penin_api = 99",
    "typo": "from penin_core import hookimpl\npenin_api = 1\n"
    "@hookimpl\ndef penin_register_guard():\n    return []\n",
    "thief": GUARD.format(name="sigma"),
    "stdout": "import sys; sys.stdout = None; raise ValueError('took stdout')",
    "nested": "import penin_hostile_raises",
}


def hostile_site(site):
    for name, source in HOSTILE.items():
        module = f"penin_hostile_{name}"
        write_distribution(
            site, f"penin-{name}", "0.9", plugins={name: module}, modules={module: source}
        )
    write_distribution(
        site,
        "penin-good",
        plugins={"good": "penin_hostile_good"},
        modules={"penin_hostile_good": GUARD.format(name="good")},
    )


def test_hostile_plugins_are_listed_and_the_good_one_works(site, capsys):
    hostile_site(site)
    plugins = Plugins.load()
    rows = {row["name"]: row for row in plugins.describe()}
    assert {name for name in HOSTILE if rows[name]["state"] == "broken"} == set(HOSTILE)
    assert all(rows[name]["reason"] and rows[name]["version"] == "0.9" for name in HOSTILE)
    assert rows["good"]["state"] == "loaded"
    assert plugins.create("guards", "good").name == "good"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", HOSTILE)
def test_naming_a_broken_plugin_quotes_the_reason(site, name):
    hostile_site(site)
    plugins = Plugins.load()
    with pytest.raises(PluginNotFound) as caught:
        plugins.get("providers", name)
    assert f"plugin {name} (penin-{name} 0.9) is installed but broken" in caught.value.hint
    assert plugins.broken[name].reason in caught.value.hint
    assert caught.value.__cause__ is plugins.broken[name].cause
    with pytest.raises(PluginNotFound, match=f"no plugin named '{name}'"):
        Plugins.load([name])


def test_a_built_in_name_imports_no_installed_plugin(site):
    hostile_site(site)
    plugins = Plugins.load()
    plugins.get("guards", "sigma")
    plugins.create("mutators", "param_sweep")
    assert not [name for name in sys.modules if name.startswith("penin_hostile")]


def test_a_plugin_named_like_its_component_is_imported_alone(site):
    hostile_site(site)
    Plugins.load().get("guards", "good")
    assert [m for m in sys.modules if m.startswith("penin_hostile")] == ["penin_hostile_good"]


def test_a_component_of_another_name_is_found_among_all(site):
    write_distribution(
        site, "penin-x", plugins={"x": "penin_x_1"}, modules={"penin_x_1": GUARD.format(name="y")}
    )
    assert Plugins.load().origin("guards", "y") == ("x", "penin-x", "1.0")


@pytest.mark.parametrize("first", ["aaa", "mistral"])
def test_a_component_belongs_to_the_plugin_of_its_name(site, first):
    for name in ("aaa", "mistral"):
        module = f"penin_{name}_{first}"
        source = GUARD.format(name="mistral")
        write_distribution(site, f"penin-{name}", plugins={name: module}, modules={module: source})
    plugins = Plugins.load()
    with suppress(PluginNotFound):
        plugins.get("guards", first)
    assert plugins.origin("guards", "mistral").plugin == "mistral"


def test_two_distributions_that_claim_a_plugin_name_are_both_refused(site):
    for distribution in ("penin-mistral", "mistral-fast"):
        write_distribution(site, distribution, plugins={"mistral": "never_imported_xyz"})
    plugins = Plugins.load()
    with pytest.raises(PluginNotFound) as caught:
        plugins.get("providers", "mistral")
    assert "mistral-fast 1.0 and penin-mistral 1.0 both bring" in caught.value.hint
    assert "never_imported_xyz" not in sys.modules


def test_a_disabled_plugin_is_listed_and_never_imported(site):
    hostile_site(site)
    plugins = Plugins.load(disabled=["good"])
    rows = {row["name"]: row["state"] for row in plugins.describe()}
    assert rows["good"] == "disabled"
    assert "penin_hostile_good" not in sys.modules
    with pytest.raises(PluginNotFound) as caught:
        plugins.get("guards", "good")
    assert "disabled" in caught.value.hint


def test_a_listed_plugin_that_is_not_installed_is_an_error(site):
    write_distribution(site, "penin-acme", plugins={"acme": "penin_acme_unused"})
    with pytest.raises(PluginNotFound, match="no plugin named 'acne'") as caught:
        Plugins.load(["acne"])
    assert caught.value.hint == "did you mean 'acme'?"


# Plain files


def write_file(folder, name, source):
    path = folder / name
    path.write_text(textwrap.dedent(source))
    return path


def test_a_plain_file_is_a_plugin(tmp_path):
    path = write_file(tmp_path, "my_guard.py", GUARD.format(name="mine"))
    plugins = Plugins.load(files=[path], discover=False)
    origin = plugins.origin("guards", "mine")
    assert (origin.plugin, origin.distribution) == ("my_guard", str(path))
    assert origin.version.startswith("sha256:")
    assert plugins.create("guards", "mine").check(None).ok


def test_a_plain_file_that_changes_has_another_version(tmp_path):
    versions = set()
    for text in ("", "# changed"):
        path = write_file(tmp_path, "my_guard.py", GUARD.format(name="mine") + text)
        versions.add(Plugins.load(files=[path], discover=False).origin("guards", "mine").version)
    assert len(versions) == 2


def test_a_broken_plain_file_is_listed_with_its_path(tmp_path):
    path = write_file(tmp_path, "my_guard.py", "1 / 0")
    plugins = Plugins.load(files=[path], discover=False)
    assert plugins.broken["my_guard"].reason == "ZeroDivisionError: division by zero"
    with pytest.raises(PluginNotFound) as caught:
        plugins.get("guards", "my_guard")
    assert str(path) in caught.value.hint


def test_a_name_that_is_not_found_points_at_broken_plugins(tmp_path):
    path = write_file(tmp_path, "my_guard.py", "1 / 0")
    plugins = Plugins.load(files=[path], discover=False)
    with pytest.raises(PluginNotFound) as caught:
        plugins.get("guards", "mine")
    assert "broken plugins: my_guard" in caught.value.hint


def test_a_missing_plain_file_is_a_wrong_setting(tmp_path):
    with pytest.raises(SettingsError, match=r"no\.py' cannot be read"):
        Plugins.load(files=[tmp_path / "no.py"], discover=False)


def test_two_plain_files_of_one_name_do_not_hide_each_other(tmp_path):
    files = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        files.append(write_file(tmp_path / folder, "guard.py", GUARD.format(name=folder)))
    plugins = Plugins.load(files=files, discover=False)
    assert plugins.get("guards", "a").name == "a"
    (broken,) = plugins.broken.values()
    assert "'guard' is taken" in broken.reason


def test_settings_list_names_and_files(tmp_path):
    settings = Settings(
        plugins=("acme", "./my_metric.py", "sub/other.py", "/abs.py"), folder=tmp_path
    )
    assert listed(settings) == (
        ["acme"],
        [tmp_path / "my_metric.py", tmp_path / "sub/other.py", Path("/abs.py")],
    )


def test_the_plugins_of_settings_are_loaded(tmp_path):
    write_file(tmp_path, "my_guard.py", GUARD.format(name="mine"))
    plugins = Plugins.of(Settings(plugins=("./my_guard.py",), folder=tmp_path))
    assert "mine" in plugins.names("guards")


def test_describe_says_what_each_plugin_provides(plugins):
    plugins.add(fakes, "fakes", "penin-fakes", "0.3")
    row = next(row for row in plugins.describe() if row["name"] == "fakes")
    assert row == {
        "name": "fakes",
        "distribution": "penin-fakes",
        "version": "0.3",
        "api": 1,
        "components": [
            {
                "kind": "providers",
                "name": "echo",
                "summary": "Answers every prompt with the prompt itself.",
            },
            {
                "kind": "providers",
                "name": "scripted",
                "summary": "Answers from a mapping or from a function, "
                "and fails where the script says so.",
            },
        ],
        "watches": [],
        "state": "loaded",
        "reason": "",
    }


@pytest.mark.parametrize("rate", [float("nan"), float("inf")])
def test_an_option_is_a_finite_number(rate):
    class Options(ComponentOptions):
        """What can be set."""

        rate: float

    with pytest.raises(SettingsError, match=f"rate = {rate}: input should be a finite number"):
        validated(Options, {"rate": rate}, "[finetuners.x]")


def test_every_hook_is_documented_and_used():
    hooks = [name for name in vars(hookspecs) if name.startswith("penin_")]
    assert len(hooks) == 8
    assert all(getattr(hookspecs, name).__doc__ for name in hooks)
