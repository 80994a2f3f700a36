"""Charts as SVG, drawn here: nothing to load or run, and each says in words what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .markup import Markup, element, joined

WIDTH, HEIGHT = 640.0, 270.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 68.0, 22.0, 14.0, 52.0
#: More points than this are not to be told apart on a screen.
MOST_POINTS = 400

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """A line of a chart: its class in the style sheet, and its points, in units of the data."""

    cls: str
    points: Points
    dots: bool = False


@dataclass(frozen=True)
class Frame:
    """What a chart covers: from and to on each axis, and what the axes are called."""

    x: tuple[float, float]
    y: tuple[float, float]
    x_label: str
    y_label: str

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point of the data lies in the drawing."""
        return (
            _LEFT + _share(x, *self.x) * (WIDTH - _LEFT - _RIGHT),
            HEIGHT - _BOTTOM - _share(y, *self.y) * (HEIGHT - _TOP - _BOTTOM),
        )


def chart(name: str, title: str, words: str, frame: Frame, lines: Sequence[Line]) -> Markup:
    """Return a chart of lines; ``name`` is unique on its page, ``words`` say what it shows."""
    drawn = (_line(frame, line) for line in lines if line.points)
    return _figure(name, title, words, joined([*_axes(frame), *drawn]))


def graph(name: str, title: str, words: str, size: tuple[float, float], drawn: Markup) -> Markup:
    """Return a drawing of ``size`` that was made elsewhere, with its title and its words."""
    return _figure(name, title, words, drawn, size)


def bars(pairs: Sequence[tuple[str, float | None]], words: str) -> Markup:
    """Return one bar for each class and value in [0, 1], for a cell of a table."""
    drawn = [
        element(
            "rect", x=0, y=7 * i + 1, width=f"{100 * _share(value, 0, 1):.1f}", height=5, cls=cls
        )
        for i, (cls, value) in enumerate(pairs)
        if value is not None
    ]
    height = 7 * len(pairs)
    return element(
        "svg", element("title", words), *drawn, viewBox=f"0 0 100 {height}", cls="bars", role="img"
    )


def padded(values: Sequence[float], *also: float) -> tuple[float, float]:
    """Return a range that holds all values, with a little room, and is never empty."""
    low, high = min([*values, *also]), max([*values, *also])
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return low - room, high + room


def legend(names: Mapping[str, str]) -> Markup:
    """Return what the lines are: class in the style sheet, and its name."""
    items = (
        element("li", element("span", "", cls=f"key {cls}"), name) for cls, name in names.items()
    )
    return element("ul", *items, cls="legend")


def _figure(
    name: str,
    title: str,
    words: str,
    drawn: Markup,
    size: tuple[float, float] = (WIDTH, HEIGHT),
) -> Markup:
    svg = element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", words, id=f"{name}-desc"),
        drawn,
        viewBox=f"0 0 {size[0]:g} {size[1]:g}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )
    return element("figure", svg, element("figcaption", words))


def _share(value: float, low: float, high: float) -> float:
    return 0.5 if high <= low else min(1.0, max(0.0, (value - low) / (high - low)))


def _axes(frame: Frame) -> list[Markup]:
    (left, bottom), (right, top) = (
        frame.at(frame.x[0], frame.y[0]),
        frame.at(frame.x[1], frame.y[1]),
    )
    drawn = [element("rect", x=left, y=top, width=right - left, height=bottom - top, cls="frame")]
    for i in range(5):
        x, y = (low + (high - low) * i / 4 for low, high in (frame.x, frame.y))
        across, up = frame.at(x, y)
        drawn += [
            element("line", x1=left, x2=right, y1=f"{up:.1f}", y2=f"{up:.1f}", cls="grid"),
            element("text", f"{y:.3g}", x=left - 6, y=f"{up + 4:.1f}", cls="end"),
            element("text", f"{x:.3g}", x=f"{across:.1f}", y=bottom + 20, cls="middle"),
        ]
    middle = (left + right) / 2
    return [
        *drawn,
        element("text", frame.x_label, x=middle, y=HEIGHT - 8, cls="middle label"),
        element("text", frame.y_label, x=left + 6, y=top + 20, cls="label"),
    ]


def _line(frame: Frame, line: Line) -> Markup:
    places = [frame.at(x, y) for x, y in thinned(line.points)]
    drawn = element(
        "polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places), cls=line.cls
    )
    if not line.dots:
        return drawn
    dots = (element("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=4, cls=line.cls) for x, y in places)
    return joined([drawn, *dots])


def thinned(points: Points) -> Points:
    """Return at most ``MOST_POINTS`` points, evenly spaced, the first and last among them."""
    last = len(points) - 1
    if last < MOST_POINTS:
        return points
    return [points[i * last // (MOST_POINTS - 1)] for i in range(MOST_POINTS)]
