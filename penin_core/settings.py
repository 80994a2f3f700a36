"""penin.toml: find it, read it, refuse what is wrong in it before anything is spent."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from .errors import SettingsError
from .records import Axis, Configuration, EvidenceMode, Price, Record

R = TypeVar("R", bound=BaseModel)

FILE_NAME = "penin.toml"
STATE_DIR = ".penin"

#: The start that ships with penin: a vague instruction, sampled hot, on the embedded model.
POOR_START: Mapping[str, Any] = {
    "provider": "tiny",
    "model": "tiny-5",
    "system": "Process this text.",
    "temperature": 1.2,
    "max_tokens": 96,
}


class Baseline(Record):
    """Frozen reference of the cost axis: the means, per task, of the first champion."""

    cost_usd: float = Field(default=0.0, ge=0.0)
    latency_ms: float = Field(default=0.0, ge=0.0)
    tokens: float = Field(default=0.0, ge=0.0)


class SuiteDefinition(Record):
    """What is measured, on which tasks. What cannot be measured is declared, with a reason.

    ``tasks`` is a JSON Lines file, relative to the file that names it; without it, ``name`` is a
    suite that ships with penin. ``training`` are files that a model was trained on: no confirm task
    may stand in them. ``metrics`` are utility evaluators; a task that names no metric of
    its own is compared between candidates by the first of them that applies to it. ``clusters`` is
    the column that tasks of one source share; of each source the evidence sees only the mean.
    """

    name: str = "basic"
    tasks: str | None = None
    training: tuple[str, ...] = ()
    clusters: str | None = None
    axes: tuple[Axis, ...] = ("U", "S", "C", "L")
    metrics: tuple[str, ...] = ("exact_match", "token_f1", "rouge_l", "field_f1")
    evaluators: tuple[str, ...] = (
        "calibration",
        "robustness",
        "cost",
        "reuse",
        "composition",
        "agreement",
        "secrets",
    )
    calibration: Literal["logprobs", "stated", "not_applicable"] = "logprobs"
    groups: Literal["measured", "not_applicable"] = "measured"
    consent: Literal["register", "not_applicable"] = "register"
    reasons: dict[str, str] = {}
    perturbations: tuple[str, ...] = ()
    gate_tasks: int = Field(default=60, ge=20)
    baseline: Baseline | None = None

    @field_validator("axes")
    @classmethod
    def _has_utility(cls, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        # The race and the evidence rest on U; without it L∞ may have nothing to weigh at all.
        if "U" not in axes or len(set(axes)) < len(axes):
            raise ValueError("utility is among the axes, and none stands there twice")
        return axes


class Margins(Record):
    """By how much a finalist may be worse than the champion, on each axis and in each group."""

    U: float = Field(default=0.05, ge=0.0, lt=1.0)
    S: float = Field(default=0.05, ge=0.0, lt=1.0)
    C: float = Field(default=0.05, ge=0.0, lt=1.0)
    L: float = Field(default=0.05, ge=0.0, lt=1.0)
    group: float = Field(default=0.05, ge=0.0, lt=1.0)


#: For a model that costs nothing: what is left of C is time on a shared machine, and tokens.
FREE_MARGINS = Margins(C=0.2)


class EvolveSettings(Record):
    """How a cycle searches and what it takes to win."""

    challengers: int = Field(default=8, ge=1, le=256)
    mutators: tuple[str, ...] = ("prompt_variants", "param_sweep", "few_shot")
    race_tasks: int = Field(default=30, ge=10)
    confirm_min: int = Field(default=300, ge=100)
    confirm_max: int = Field(default=500, ge=100, le=3000)
    evidence: EvidenceMode = "anytime"
    margins: Margins = Margins()
    tau: float | None = Field(default=None, ge=0.5, le=0.95)

    @model_validator(mode="after")
    def _least_is_not_above_most(self) -> EvolveSettings:
        # A most that stands alone is no mistake: then the least follows it.
        both = {"confirm_min", "confirm_max"} <= self.model_fields_set
        if both and self.confirm_min > self.confirm_max:
            raise ValueError(
                f"confirm_min = {self.confirm_min} is above confirm_max = {self.confirm_max}"
            )
        return self


class BudgetSettings(Record):
    """Money of one UTC day, and the time of one command."""

    daily_usd: float = Field(default=5.0, ge=0.0, le=1e9)
    time: str = "30m"


class NetworkSettings(Record):
    """Where providers may stand. A host in ``private_hosts`` may have a private address."""

    private_hosts: tuple[str, ...] = ()


class GuardSettings(Record):
    """Which guards must agree, and how strict they are."""

    use: tuple[str, ...] = ("sigma", "contractive")
    profile: Literal["strict", "standard"] = "standard"
    eco_max_kg: float = Field(default=1.0, gt=0.0)
    kg_per_1k_tokens: float = Field(default=0.0002, ge=0.0)


class LedgerSettings(Record):
    """Whose ledger it is: ``owner`` is a domain, and part of the name that is signed."""

    owner: str = Field(default="local", pattern=r"^[a-z0-9]([a-z0-9.-]{0,200}[a-z0-9])?$")


class LiveSettings(Record):
    """How a challenger is tried on live traffic, and what of the traffic is kept.

    The challenger's share climbs the ``ramp``, a step after every ``step_requests`` of its answers.
    ``shadow`` is the share of the traffic that a shadow gets a copy of. ``duration`` counts the
    time in which traffic is served. With ``log``, requests with consent are kept as possible tasks:
    of those that say so (``consent = "each"``), or of all, where everybody has agreed (``"all"``).
    Before anything is written, the evaluators ``redact`` and the ``redact_patterns`` take out what
    must not be kept.
    """

    ramp: tuple[Annotated[float, Field(gt=0.0, le=0.5)], ...] = Field(
        default=(0.05, 0.1, 0.25, 0.5), min_length=1
    )
    step_requests: int = Field(default=200, ge=50)
    duration: str = "7d"
    shadow: float = Field(default=0.1, gt=0.0, le=1.0)
    log: bool = False
    consent: Literal["each", "all"] = "each"
    redact: tuple[str, ...] = ("secrets", "personal_data")
    redact_patterns: tuple[str, ...] = ()
    keep: str = "30d"
    keep_requests: int = Field(default=100_000, ge=1)

    @field_validator("ramp")
    @classmethod
    def _climbs(cls, ramp: tuple[float, ...]) -> tuple[float, ...]:
        if any(after <= before for before, after in pairwise(ramp)):
            raise ValueError("every step of a ramp is above the one before")
        return ramp


class Settings(Record):
    """The whole of penin.toml. ``folder`` is where relative paths start."""

    plugins: tuple[str, ...] = ()
    champion: Configuration = Configuration.model_validate(POOR_START)
    suite: SuiteDefinition = SuiteDefinition()
    evolve: EvolveSettings = EvolveSettings()
    budget: BudgetSettings = BudgetSettings()
    guards: GuardSettings = GuardSettings()
    ledger: LedgerSettings = LedgerSettings()
    network: NetworkSettings = NetworkSettings()
    live: LiveSettings = LiveSettings()
    prices: dict[str, Price] = {}
    providers: dict[str, dict[str, Any]] = {}
    mutators: dict[str, dict[str, Any]] = {}
    evaluators: dict[str, dict[str, Any]] = {}
    finetuners: dict[str, dict[str, Any]] = {}
    folder: Path = Path()
    source: Path | None = None


def find_settings(explicit: Path | None = None) -> Path | None:
    """Return the settings file: ``explicit``, else PENIN_CONFIG, else the nearest penin.toml.

    Raises:
        SettingsError: a file that was named does not exist.
    """
    variable = os.environ.get("PENIN_CONFIG")
    named = explicit or (Path(variable) if variable else None)
    if named is not None:
        if not named.is_file():
            raise SettingsError(
                f"settings file {str(named)!r} does not exist", hint="make one with: penin init"
            )
        return named
    here = Path.cwd()
    return next((f for d in (here, *here.parents) if (f := d / FILE_NAME).is_file()), None)


def load_settings(explicit: Path | None = None) -> Settings:
    """Read and check the settings; without a file, the defaults run on the embedded model."""
    path = find_settings(explicit)
    if path is None:
        return Settings(folder=Path.cwd(), evolve=EvolveSettings(margins=FREE_MARGINS))
    table = read_toml(path)
    if placed := sorted({"folder", "source"} & table.keys()):
        raise SettingsError(f"{path}: unknown key {placed[0]!r}", hint="remove it")
    return Settings.model_validate(
        {**dict(validated(Settings, table, path)), "folder": path.parent, "source": path}
    )


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; raise SettingsError that names the file and the line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise SettingsError(
            f"{path}: cannot be read ({why})", hint="check path and encoding"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: {error}", hint="correct the TOML at that place") from error


def validated(model: type[R], table: Mapping[str, Any], source: object) -> R:
    """Build ``model`` from ``table``; the first mistake becomes a SettingsError with its place."""
    try:
        return model.model_validate(table)
    except ValidationError as error:
        raise _as_settings_error(error, model, table, source) from None


def _as_settings_error(
    error: ValidationError, model: type[BaseModel], table: Mapping[str, Any], source: object
) -> SettingsError:
    problem = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = _keys_beside(model, problem["loc"])
        return SettingsError(f"{source}: unknown key {place!r}", hint=suggest(place, known))
    if problem["type"] == "missing":
        return SettingsError(f"{source}: {place} is missing", hint="add it")
    given = problem.get("input")
    return SettingsError(
        f"{source}: {place} = {given!r}: {problem['msg'].lower()}",
        hint=_range(model, problem["loc"]) or "correct the value",
    )


def _range(model: type[BaseModel], place: tuple[int | str, ...]) -> str:
    """Return which values a number may have, both ends where it has both; else nothing."""
    table = _table(model, place[:-1])
    field = table.model_fields.get(str(place[-1])) if table and place else None
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    bounds = [
        f"{words[bound]} {value:g}"
        for limit in (field.metadata if field else ())
        for bound in words
        if (value := getattr(limit, bound, None)) is not None
    ]
    return f"{'.'.join(map(str, place))} is {' and '.join(bounds)}" if bounds else ""


def _keys_beside(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """Return the full names of the keys that could stand where ``place`` stands."""
    table = _table(model, place[:-1])
    lead = "".join(f"{part}." for part in place[:-1])
    return [lead + key for key in table.model_fields] if table else []


def _table(model: type[BaseModel], place: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Return the model of the table at ``place``, or None where there is none of its own."""
    for part in place:
        field = model.model_fields.get(str(part))
        kind = field.annotation if field else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return None
        model = kind
    return model


#: From this similarity on, of 1, a name is taken for a misspelling of another.
NEAR = 0.7


def suggest(name: str, known: Iterable[str]) -> str:
    """Return a hint for a name that does not exist: the nearest known one, or all of them."""
    names = sorted(known)
    near = get_close_matches(name, names, 1, cutoff=NEAR)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(names)}" if names else "remove it"


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def parse_duration(text: str) -> float:
    """Turn "30m", "1h30m" or "1.5h" into seconds.

    Raises:
        SettingsError: no unit, an unknown one, or a total that is not positive.
    """
    compact = text.strip().lower()
    parts = _PART.findall(compact)
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != compact or not 0 < total < float("inf"):
        raise SettingsError(
            f"{text!r} is not a duration", hint="write a number with a unit: 90s, 30m, 1h30m, 2d"
        )
    return total


def state_dir(explicit: Path | None, folder: Path) -> Path:
    """Return the state directory: as named, else PENIN_STATE_DIR, else .penin beside the file."""
    named = explicit or (
        Path(os.environ["PENIN_STATE_DIR"]) if os.environ.get("PENIN_STATE_DIR") else None
    )
    return named if named is not None else folder / STATE_DIR
