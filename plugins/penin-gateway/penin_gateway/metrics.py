"""Figures of the gateway, for Prometheus (text format 0.0.4). No label holds what a client said."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping

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
            *self._histogram(),
        ]
        for family in deployment.figures():
            lines += _family(*family)
        return "\n".join([*lines, ""])

    def _counted(self) -> Iterable[tuple[Mapping[str, str], float]]:
        for (path, status), count in sorted(self._requests.items()):
            yield {"path": path, "status": str(status)}, count

    def _histogram(self) -> Iterable[str]:
        for path, places in sorted(self._slower.items()):
            below = 0
            for bound, count in zip([*map(str, BOUNDS), "+Inf"], places, strict=True):
                below += count
                yield _sample(f"{_SECONDS}_bucket", {"path": path, "le": bound}, below)
            yield _sample(f"{_SECONDS}_sum", {"path": path}, self._seconds[path])
            yield _sample(f"{_SECONDS}_count", {"path": path}, below)


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
