"""Figures of the gateway, for Prometheus (text format 0.0.4). No label holds what a client said."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from penin_core import Deployment

KIND = "text/plain; version=0.0.4; charset=utf-8"
PATHS = (
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/models",
    "/v1/feedback",
    "/healthz",
    "/metrics",
)
#: Upper bounds of the durations that are told apart, in seconds.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
#: The same of cycles.
CYCLES = (10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0, 86400.0)
_REQUESTS = "penin_gateway_requests_total"
_IN_FLIGHT = "penin_gateway_in_flight"
_SECONDS = "penin_gateway_request_seconds"


class Metrics:
    """Counts requests by path and status, and how long they took."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._requests: Counter[tuple[str, int]] = Counter()
        self._slower: dict[str, list[int]] = {}
        self._seconds: Counter[str] = Counter()

    def note(self, path: str, status: int, seconds: float) -> None:
        """Count one request; 499 is one whose client hung up."""
        path = path if path in PATHS else "other"
        self._requests[path, status] += 1
        places = self._slower.get(path)
        if places is None:
            places = self._slower[path] = [0] * (len(BOUNDS) + 1)
        places[bisect_left(BOUNDS, seconds)] += 1
        self._seconds[path] += seconds  # type: ignore[assignment]

    def text(self, deployment: Deployment) -> str:
        """Return all figures: those of the gateway, and those of its deployment."""
        lines = [
            *_family(_REQUESTS, "counter", "Requests answered.", self._counted()),
            *_family(
                "penin_gateway_in_flight",
                "gauge",
                "Requests being answered.",
                [({}, self.in_flight)],
            ),
            f"# HELP {_SECONDS} Time from the first byte of a request to the last of its answer.",
            f"# TYPE {_SECONDS} histogram",
            *self._durations(),
        ]
        for name, kind, meaning, samples in deployment.figures():
            if kind == "histogram":
                lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
                lines += _observed(name, CYCLES, [value for _, value in samples])
            else:
                lines += _family(name, kind, meaning, samples)
        return "\n".join([*lines, ""])

    def _counted(self) -> Iterable[tuple[Mapping[str, str], float]]:
        for (path, status), count in sorted(self._requests.items()):
            yield {"path": path, "status": str(status)}, count

    def _durations(self) -> Iterable[str]:
        for path, places in sorted(self._slower.items()):
            yield from _histogram(_SECONDS, {"path": path}, BOUNDS, places, self._seconds[path])


def _observed(name: str, bounds: Sequence[float], values: Sequence[float]) -> Iterable[str]:
    places = [0] * (len(bounds) + 1)
    for value in values:
        places[bisect_left(bounds, value)] += 1
    return _histogram(name, {}, bounds, places, sum(values))


def _histogram(
    name: str,
    labels: Mapping[str, str],
    bounds: Sequence[float],
    places: Sequence[int],
    total: float,
) -> Iterable[str]:
    below = 0
    for bound, count in zip([*map(str, bounds), "+Inf"], places, strict=True):
        below += count
        yield _sample(f"{name}_bucket", {**labels, "le": bound}, below)
    yield _sample(f"{name}_sum", labels, total)
    yield _sample(f"{name}_count", labels, below)


def _family(
    name: str, kind: str, meaning: str, samples: Iterable[tuple[Mapping[str, str], float]]
) -> list[str]:
    lines = [_sample(name, labels, value) for labels, value in samples]
    return [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}", *lines]


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    shown = f"{value:.17g}" if isinstance(value, float) else str(value)
    return f"{name}{{{told}}} {shown}" if told else f"{name} {shown}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
