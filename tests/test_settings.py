"""penin.toml is found, read and refused in words that name the file, the key and the way out."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core import SettingsError
from penin_core.settings import (
    POOR_START,
    Settings,
    find_settings,
    load_settings,
    parse_duration,
    read_toml,
    state_dir,
    suggest,
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """An empty working directory and no environment."""
    (tmp_path / "work" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work" / "deep")
    monkeypatch.delenv("PENIN_CONFIG", raising=False)
    monkeypatch.delenv("PENIN_STATE_DIR", raising=False)
    return tmp_path


def refused(text, tmp_path):
    path = tmp_path / "penin.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    return str(caught.value), caught.value.hint


def test_without_a_file_the_defaults_run_on_the_embedded_model():
    settings = load_settings()
    assert settings.source is None
    assert settings.folder == Path.cwd()
    assert settings.champion.provider == POOR_START["provider"] == "tiny"
    assert settings.evolve.confirm_min >= 100


def test_the_nearest_file_at_or_above_the_working_directory_is_found(elsewhere):
    (elsewhere / "penin.toml").touch()
    assert find_settings() == elsewhere / "penin.toml"
    (elsewhere / "work" / "penin.toml").touch()
    assert find_settings() == elsewhere / "work" / "penin.toml"


def test_the_variable_wins_over_the_nearest_and_the_flag_over_both(elsewhere, monkeypatch):
    for name in ("penin.toml", "variable.toml", "flag.toml"):
        (elsewhere / name).touch()
    monkeypatch.setenv("PENIN_CONFIG", str(elsewhere / "variable.toml"))
    assert find_settings() == elsewhere / "variable.toml"
    assert find_settings(elsewhere / "flag.toml") == elsewhere / "flag.toml"


def test_an_empty_variable_counts_as_none(elsewhere, monkeypatch):
    (elsewhere / "penin.toml").touch()
    monkeypatch.setenv("PENIN_CONFIG", "")
    assert find_settings() == elsewhere / "penin.toml"


def test_a_named_file_that_does_not_exist_is_an_error(elsewhere, monkeypatch):
    with pytest.raises(SettingsError, match=r"'nowhere\.toml' does not exist"):
        find_settings(Path("nowhere.toml"))
    monkeypatch.setenv("PENIN_CONFIG", "gone.toml")
    with pytest.raises(SettingsError, match=r"'gone\.toml' does not exist"):
        load_settings()


def test_the_file_says_where_relative_paths_start(elsewhere):
    path = elsewhere / "penin.toml"
    path.write_text("[evolve]\nchallengers = 3\n")
    settings = load_settings(path)
    assert (settings.folder, settings.source) == (elsewhere, path)
    assert settings.evolve.challengers == 3


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("evovle = 1", "evovle", "did you mean 'evolve'?"),
        ("[evolve]\nchalengers = 3", "evolve.chalengers", "did you mean 'evolve.challengers'?"),
        ("[evolve.margins]\nu = 0.1", "evolve.margins.u", "evolve.margins.U"),
        (
            "[budget]\nxxxxxxxxxxxxxxxxxxxx = 3",
            "budget.xxxxxxxxxxxxxxxxxxxx",
            "known: budget.daily_usd, budget.time",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(text, key, hint, elsewhere):
    message, advice = refused(text, elsewhere)
    assert f"unknown key {key!r}" in message
    assert hint in advice


@pytest.mark.parametrize("key", ["folder", "source"])
def test_what_the_place_of_the_file_decides_cannot_be_written_in_it(key, elsewhere):
    assert f"unknown key {key!r}" in refused(f'{key} = "/tmp"', elsewhere)[0]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[evolve]\nconfirm_min = 99", "evolve.confirm_min = 99"),
        ("[evolve]\nconfirm_max = 99", "evolve.confirm_max = 99"),
        ("[evolve]\nrace_tasks = 3", "evolve.race_tasks = 3"),
        ("[evolve]\ntau = 0.3", "evolve.tau = 0.3"),
        ("[evolve.margins]\nU = -0.1", "evolve.margins.U = -0.1"),
        ("[budget]\ndaily_usd = nan", "budget.daily_usd = nan"),
        ('[guards]\nprofile = "lax"', "guards.profile = 'lax'"),
        ('[ledger]\nowner = "My Company"', "ledger.owner = 'My Company'"),
        ('[ledger]\nowner = "a.example\\n"', "ledger.owner = 'a.example\\n'"),
        ('[champion]\nprovider = "p"', "champion.model"),
        ('[suite]\naxes = ["X"]', "suite.axes.0 = 'X'"),
        ('[suite]\naxes = ["C"]', "suite.axes = ['C']"),
        ('[suite]\naxes = ["S", "L"]', "suite.axes = ['S', 'L']"),
        ('[suite]\naxes = ["U", "C", "U"]', "suite.axes = ['U', 'C', 'U']"),
        ("[suite]\naxes = []", "suite.axes = []"),
        (
            "[evolve]\nconfirm_min = 500\nconfirm_max = 100",
            "confirm_min = 500 is above confirm_max = 100",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_place(text, place, elsewhere):
    assert place in refused(text, elsewhere)[0]


def test_a_mistake_in_the_toml_is_named_with_its_line(elsewhere):
    message, _ = refused("[evolve]\nchallengers = = 3\n", elsewhere)
    assert "penin.toml" in message
    assert "line 2" in message


def test_bytes_that_are_no_text_are_refused(elsewhere):
    (elsewhere / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="cannot be read"):
        read_toml(elsewhere / "bad.toml")


def test_a_configuration_written_as_toml_reads_back_whole(elsewhere):
    text = '[champion]\nprovider = "p"\nmodel = "m"\n[[champion.examples]]\ninput="1"\noutput="2"\n'
    (elsewhere / "penin.toml").write_text(text)
    assert load_settings(elsewhere / "penin.toml").champion.model_dump()["examples"] == (
        {**tomllib.loads(text)["champion"]["examples"][0], "tags": ()},
    )


def test_a_name_that_is_near_to_nothing_gets_the_list():
    assert suggest("zzz", ["beta", "alpha"]) == "known: alpha, beta"
    assert suggest("bata", ["beta", "alpha"]) == "did you mean 'beta'?"
    assert suggest("zzz", []) == "remove it"
    assert suggest("nope", ["openai", "tiny"]) == "known: openai, tiny"


@given(st.integers(0, 5), st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_a_duration_is_the_sum_of_its_parts(days, hours, minutes, seconds):
    total = 86400 * days + 3600 * hours + 60 * minutes + seconds
    text = f"{days}d{hours}h{minutes}m{seconds}s"
    if total:
        assert parse_duration(text) == total
        assert parse_duration(f" {text.upper()} ") == total
    else:
        with pytest.raises(SettingsError):
            parse_duration(text)


@pytest.mark.parametrize(("text", "seconds"), [("1.5h", 5400), ("90s", 90), ("1h30m", 5400)])
def test_a_duration_may_have_a_fraction(text, seconds):
    assert parse_duration(text) == seconds


@given(st.text(max_size=8) | st.from_regex(r"[0-9.smhd -]{1,8}", fullmatch=True))
def test_what_is_no_duration_is_refused_and_everything_else_is_positive_and_finite(text):
    try:
        seconds = parse_duration(text)
    except SettingsError:
        return
    assert 0 < seconds < float("inf")
    assert text.strip()[-1] in "smhdSMHD"


@pytest.mark.parametrize(
    "text", ["", "30", "m", "-5m", "5 m", "0s", "1h30", "5m!", "9" * 400 + "s"]
)
def test_a_duration_without_unit_sign_or_size_is_refused(text):
    with pytest.raises(SettingsError, match="is not a duration"):
        parse_duration(text)


def test_the_state_directory_is_the_flag_then_the_variable_then_beside_the_file(monkeypatch):
    assert state_dir(None, Path("/p")) == Path("/p/.penin")
    monkeypatch.setenv("PENIN_STATE_DIR", "/variable")
    assert state_dir(None, Path("/p")) == Path("/variable")
    assert state_dir(Path("/flag"), Path("/p")) == Path("/flag")
    monkeypatch.setenv("PENIN_STATE_DIR", "")
    assert state_dir(None, Path("/p")) == Path("/p/.penin")


def test_the_defaults_are_valid_under_their_own_rules():
    assert Settings.model_validate(Settings().model_dump()) == Settings()


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[evolve]\nchallengers = 0", "evolve.challengers is at least 1 and at most 256"),
        ("[evolve]\nrace_tasks = 1", "evolve.race_tasks is at least 10"),
        ("[evolve]\nchallengers = 'x'", "evolve.challengers is at least 1 and at most 256"),
        ("[evolve]\nevidence = 'x'", "correct the value"),
        ("plugins = 3", "correct the value"),
    ],
)
def test_a_number_out_of_range_is_refused_with_its_range(text, hint, elsewhere):
    assert refused(text, elsewhere)[1] == hint
