"""Charts as SVG, drawn here: nothing to load or run, and each says in words what it shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .markup import Markup, element, joined

WIDTH, HEIGHT = 640.0, 290.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 18.0, 36.0, 56.0
#: What is left above a chart whose vertical axis has no name.
_BARE = 10.0
#: More points than this are not to be told apart on a screen.
MOST_POINTS = 400
#: About so many lines cross a chart.
TICKS = 5

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """A line of a chart: its class in the style sheet, and its points, in units of the data.

    ``path`` False leaves the points alone, without a line between them.
    """

    cls: str
    points: Points
    dots: bool = False
    path: bool = True


def plain(value: float) -> str:
    """Return a number as it stands beside an axis."""
    return f"{value:g}" if abs(value) < 1e6 else f"{value:.0e}"


@dataclass(frozen=True)
class Frame:
    """What a chart covers: from and to on each axis, what the axes are called, and its size."""

    x: tuple[float, float]
    y: tuple[float, float]
    x_label: str
    y_label: str
    size: tuple[float, float] = (WIDTH, HEIGHT)
    y_words: Callable[[float], str] = plain

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point of the data lies in the drawing."""
        width, height = self.size
        top = _TOP if self.y_label else _BARE
        return (
            _LEFT + _share(x, *self.x) * (width - _LEFT - _RIGHT),
            height - _BOTTOM - _share(y, *self.y) * (height - top - _BOTTOM),
        )


def chart(name: str, title: str, words: str, frame: Frame, lines: Sequence[Line]) -> Markup:
    """Return a chart of lines; ``name`` is unique on its page, ``words`` say what it shows."""
    drawn = (_line(frame, line) for line in lines if line.points)
    return figure(name, title, words, joined([*_axes(frame), *drawn]), frame.size)


def columns(name: str, title: str, words: str, frame: Frame, bars: Points, bar: float) -> Markup:
    """Return a chart of columns that stand on 0, under a line that they are not to pass."""
    width = 0.6 * (frame.size[0] - _LEFT - _RIGHT) / max(1.0, frame.x[1] - frame.x[0])
    _, ground = frame.at(0, 0)
    drawn = []
    for x, y in bars:
        middle, top = frame.at(x, y)
        drawn.append(
            element(
                "rect",
                x=f"{middle - width / 2:.1f}",
                y=f"{top:.1f}",
                width=f"{width:.1f}",
                height=f"{ground - top:.1f}",
                cls="new",
            )
        )
    limit = _line(frame, Line("bar", [(frame.x[0], bar), (frame.x[1], bar)]))
    return figure(name, title, words, joined([*_axes(frame), *drawn, limit]), frame.size)


def figure(name: str, title: str, words: str, drawn: Markup, size: tuple[float, float]) -> Markup:
    """Return a drawing of ``size`` with its title and its words."""
    svg = element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", words, id=f"{name}-desc"),
        drawn,
        viewBox=f"0 0 {size[0]:g} {size[1]:g}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )
    cls = "narrow" if size[0] < WIDTH else None
    return element("figure", svg, element("figcaption", words), cls=cls)


def bars(pairs: Sequence[tuple[str, float | None]], words: str) -> Markup:
    """Return one bar for each class and value in [0, 1], for a cell of a table."""
    drawn = []
    for place, (cls, value) in enumerate(pairs):
        y = 11 * place + 2
        drawn.append(element("rect", x=0, y=y, width=200, height=7, rx=3.5, cls="track"))
        if value is not None:
            width = f"{200 * _share(value, 0, 1):.1f}"
            drawn.append(element("rect", x=0, y=y, width=width, height=7, rx=3.5, cls=cls))
    return element(
        "svg",
        element("title", words),
        *drawn,
        viewBox=f"0 0 200 {11 * len(pairs)}",
        cls="bars",
        role="img",
    )


def padded(values: Sequence[float], *also: float) -> tuple[float, float]:
    """Return a range that holds all values, with a little room, and is never empty."""
    low, high = min([*values, *also]), max([*values, *also])
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return low - room, high + room


def ticks(low: float, high: float, count: int = TICKS) -> list[float]:
    """Return about ``count`` round numbers from ``low`` to ``high``, which differ by 1, 2 or 5."""
    if not high > low:
        return [low]
    wanted = (high - low) / count
    power = 10.0 ** math.floor(math.log10(wanted))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= wanted * 0.999)
    # A hair more, so that an end that is round itself is among them.
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(n * step, 12) + 0.0 for n in range(first, last + 1)]


def legend(names: Mapping[str, str]) -> Markup:
    """Return what the lines are: class in the style sheet, and its name."""
    items = (
        element("li", element("span", "", cls=f"key {cls}"), name) for cls, name in names.items()
    )
    return element("ul", *items, cls="legend")


def _share(value: float, low: float, high: float) -> float:
    return 0.5 if high <= low else min(1.0, max(0.0, (value - low) / (high - low)))


def _axes(frame: Frame) -> Iterator[Markup]:
    (left, bottom), (right, top) = (
        frame.at(frame.x[0], frame.y[0]),
        frame.at(frame.x[1], frame.y[1]),
    )
    for value in ticks(*frame.y):
        up = f"{frame.at(0, value)[1]:.1f}"
        yield element("line", x1=left, x2=right, y1=up, y2=up, cls="grid")
        yield element("text", frame.y_words(value), x=left - 8, y=up, dy="0.35em", cls="end")
    yield element("line", x1=left, x2=right, y1=bottom, y2=bottom, cls="axis")
    for value in ticks(*frame.x, count=8 if frame.size[0] >= WIDTH else TICKS):
        across = f"{frame.at(value, 0)[0]:.1f}"
        yield element("line", x1=across, x2=across, y1=bottom, y2=bottom + 4, cls="axis")
        yield element("text", plain(value), x=across, y=bottom + 7, dy="0.9em", cls="middle")
    yield element("text", frame.x_label, x=right, y=frame.size[1] - 8, cls="end label")
    if frame.y_label:
        yield element("text", frame.y_label, x=4, y=top - 16, cls="label")


def _line(frame: Frame, line: Line) -> Markup:
    places = [frame.at(x, y) for x, y in thinned(line.points)]
    path = element("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places), cls=line.cls)
    dots = (element("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=4.5, cls=line.cls) for x, y in places)
    return joined([*([path] if line.path else []), *(dots if line.dots else ())])


def thinned(points: Points) -> Points:
    """Return at most ``MOST_POINTS`` points, evenly spaced, the first and last among them."""
    last = len(points) - 1
    if last < MOST_POINTS:
        return points
    return [points[i * last // (MOST_POINTS - 1)] for i in range(MOST_POINTS)]
