"""The plots, as small SVG files that are the same for the same figures.

Knows points, lines and bars; what they mean is the chapters' business.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.suite import CannotMeasure

#: Okabe and Ito's colours, which nobody mistakes for each other, whatever colours they see.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#7F7F7F", "#000000", "#F0E442")
_MARKERS = "*DsPv^oXd"
#: The star is small for its size.
_SIZES = {"*": 11}


class Series(NamedTuple):
    """Points of one kind. ``low``, ``high``: the spread of y, if there is one."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


class Axes(NamedTuple):
    """One picture of a row or grid of pictures. ``at``: lines that mark x and y = 1, say; ``log``: which axes are."""

    title: str
    x: str
    y: str
    series: Sequence[Series]
    log: str = ""
    mark: tuple[float | None, float | None] = (None, None)
    joined: bool = False


class Bars(NamedTuple):
    """Groups of bars. ``values`` by series, one for each group; None: nothing there. ``whole``: they are counts."""

    title: str
    y: str
    groups: Sequence[str]
    values: Mapping[str, Sequence[float | None]]
    whole: bool = False


class Dots(NamedTuple):
    """Ratios with their spread, one line each, and what they are aimed at. ``better``: on which side of 1 it is better, by label."""

    title: str
    x: str
    labels: Sequence[str]
    middle: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    aims: Sequence[float | None]


def scatter(path: Path, pictures: Sequence[Axes], columns: int = 2, order: Sequence[str] = ()) -> Path:
    """Points, one picture beside the other; a series has the same colour in all. ``order``: which series gets which colour."""
    names = list(order) or list(dict.fromkeys(series.name for picture in pictures for series in picture.series))
    columns = min(columns, len(pictures))
    lines = -(-len(pictures) // columns)
    plt = _pyplot()
    side = 9.4 / max(columns, 2)
    figure, axes = plt.subplots(lines, columns, figsize=(0.6 + side * columns, 0.9 + 0.7 * side * lines), squeeze=False)
    for place, picture in zip(axes.flat, pictures, strict=False):
        _points(place, picture, names)
    for place in list(axes.flat)[len(pictures) :]:
        place.set_visible(False)
    handles: dict[str, Any] = {}
    for place in axes.flat:
        handles |= dict(zip(*reversed(place.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(len(handles), 7), fontsize=8, frameon=False)
    return _saved(plt, figure, path)


def bars(path: Path, pictures: Sequence[Bars]) -> Path:
    """Bars in groups, one picture below the other."""
    plt = _pyplot()
    figure, axes = plt.subplots(len(pictures), 1, figsize=(9.4, 0.8 + 1.8 * len(pictures)), squeeze=False)
    names = list(dict.fromkeys(name for picture in pictures for name in picture.values))
    for place, picture in zip(axes.flat, pictures, strict=True):
        width = 0.8 / max(1, len(picture.values))
        for number, (name, values) in enumerate(picture.values.items()):
            at = [group + (number - (len(picture.values) - 1) / 2) * width for group in range(len(values))]
            heights = [value or 0.0 for value in values]
            place.bar(at, heights, width * 0.92, label=name, color=_COLOURS[names.index(name) % len(_COLOURS)])
            for x, value in zip(at, values, strict=True):
                if value == 0:
                    place.annotate("0", (x, 0), ha="center", va="bottom", fontsize=6)
        if picture.whole:
            place.yaxis.set_major_locator(_whole())
        place.set_xticks(range(len(picture.groups)), picture.groups)
        place.set_ylabel(picture.y, fontsize=8)
        place.set_title(picture.title, fontsize=9)
        _tidy(place)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 8), fontsize=8, frameon=False)
    return _saved(plt, figure, path)


def dots(path: Path, picture: Dots) -> Path:
    """A line each: the ratio, its spread, a tick at the aim."""
    plt = _pyplot()
    figure, place = plt.subplots(figsize=(9.4, 1.0 + 0.32 * len(picture.labels)))
    at = list(range(len(picture.labels)))[::-1]
    place.hlines(at, picture.low, picture.high, color=_COLOURS[0], alpha=0.5, linewidth=3)
    place.plot(picture.middle, at, "o", color=_COLOURS[0], label="ratio of the medians; bar: lowest to highest in one round")
    aims = [(aim, y) for aim, y in zip(picture.aims, at, strict=True) if aim is not None]
    if aims:
        place.plot([aim for aim, _ in aims], [y for _, y in aims], "|", color=_COLOURS[3], markersize=12, markeredgewidth=2, label="aim")
    place.axvline(1, color="black", linewidth=0.8, linestyle=":")
    place.set_xscale("log")
    place.xaxis.set_major_formatter(_plain())
    place.xaxis.set_minor_formatter(_plain())
    place.set_ylim(-0.7, len(at) - 0.3)
    place.set_yticks(at, picture.labels)
    place.set_xlabel(picture.x, fontsize=8)
    place.set_title(picture.title, fontsize=9)
    _tidy(place)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return _saved(plt, figure, path)


def _points(place: Any, picture: Axes, names: Sequence[str]) -> None:
    for letter in picture.log:
        getattr(place, f"set_{letter}scale")("log")
        found = {value for series in picture.series for value in getattr(series, letter)}
        if len(found) == 1:
            (only,) = found
            getattr(place, f"set_{letter}lim")(only / 2, only * 2)
    for series in picture.series:
        number = names.index(series.name)
        style = {"color": _COLOURS[number % len(_COLOURS)], "marker": _MARKERS[number % len(_MARKERS)], "label": series.name}
        line = "-" if picture.joined else "none"
        if series.low:
            below = [y - low for y, low in zip(series.y, series.low, strict=True)]
            above = [high - y for y, high in zip(series.y, series.high, strict=True)]
            place.errorbar(series.x, series.y, yerr=[below, above], linestyle=line, capsize=3, markersize=5, **style)
        else:
            size = _SIZES.get(style["marker"], 6)
            place.plot(series.x, series.y, linestyle=line, markersize=size, alpha=0.85, zorder=10 - number, **style)
    if "y" not in picture.log:
        place.set_ylim(bottom=0)
    x, y = picture.mark
    if x is not None:
        place.axvline(x, color="black", linewidth=0.8, linestyle=":")
    if y is not None:
        place.axhline(y, color="black", linewidth=0.8, linestyle=":")
    place.set_xlabel(picture.x, fontsize=8)
    place.set_ylabel(picture.y, fontsize=8)
    place.set_title(picture.title, fontsize=9)
    for axis, letter in ((place.xaxis, "x"), (place.yaxis, "y")):
        if letter in picture.log:
            found = {value for series in picture.series for value in getattr(series, letter)}
            axis.set_major_formatter(_plain())
            # Less than a decade has one labelled line at the most: name the lines between, too.
            axis.set_minor_formatter(_plain() if max(found) < 10 * min(found) else _nothing())
    _tidy(place)


def _tidy(place: Any) -> None:
    place.tick_params(labelsize=7, which="both")
    place.grid(True, color="#DDDDDD", linewidth=0.5)
    place.set_axisbelow(True)
    for side in ("top", "right"):
        place.spines[side].set_visible(False)


def _plain() -> Any:
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, position: f"{value:,.0f}" if value >= 1000 else f"{value:.3g}")


def _whole() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=5, integer=True)


def _nothing() -> Any:
    from matplotlib.ticker import NullFormatter

    return NullFormatter()


def _pyplot() -> Any:
    """Matplotlib, with no window and nothing of the user's settings. Raises CannotMeasure without it."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        raise CannotMeasure("plots need matplotlib: `pip install -e '.[benchmarks]'` brings it") from None
    matplotlib.use("Agg")
    matplotlib.rcdefaults()
    # Text stays text (small files); names of elements and the date do not change from run to run.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "cpods", "font.family": ["DejaVu Sans", "sans-serif"]})
    import matplotlib.pyplot

    return matplotlib.pyplot


def _saved(plt: Any, figure: Any, path: Path) -> Path:
    figure.set_layout_engine("constrained")
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return path
