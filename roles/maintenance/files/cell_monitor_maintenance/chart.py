"""Charts of a day as SVG that stands in the page itself."""

from collections.abc import Sequence

from cell_monitor_maintenance.words import amount

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 360, 132, 50, 10, 20
# Hours without a sample after which a line is broken: the host was off.
_GAP = 0.5


def chart(points: Sequence[tuple[float, float]], unit: str, description: str) -> str:
    """Returns a chart.

    Args:
        points: pairs of the hour of the day, from 0 to 24, and a value.
        unit: of the values.
        description: for who does not see it; already escaped.
    """
    top = _round_up(max((value for _, value in points), default=0), unit)
    first, last = _hours(points)

    def x(hour: float) -> float:
        return _LEFT + (hour - first) / (last - first) * (_WIDTH - _LEFT - 6)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - value / top * (_HEIGHT - _TOP - _BOTTOM)

    parts = [f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{description}">']
    for value in (0.0, top / 2, top):
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - 6}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(value) + 3:.1f}" text-anchor="end">{amount(value, unit)}</text>')
    step = 6 if last - first > 12 else 2
    for hour in range(first, last + 1, step):
        anchor = "end" if hour == last else "middle"
        parts.append(f'<text x="{x(hour):.1f}" y="{_HEIGHT - 5}" text-anchor="{anchor}">{hour}:00</text>')
    for run in _runs(points):
        line = " ".join(f"{x(hour):.1f},{y(value):.1f}" for hour, value in run)
        bottom = f"{y(0):.1f}"
        parts.append(
            f'<polygon class="area" points="{x(run[0][0]):.1f},{bottom} {line} {x(run[-1][0]):.1f},{bottom}"/>'
        )
        parts.append(f'<polyline class="line" points="{line}"/>')
    return "".join([*parts, "</svg>"])


def _hours(points: Sequence[tuple[float, float]]) -> tuple[int, int]:
    """Returns the part of the day to show: whole hours, an even number of them, at least two."""
    if not points:
        return 0, 24
    first = int(points[0][0])
    last = min(24, int(points[-1][0]) + 1)
    last += (last - first) % 2
    return (first, last) if last <= 24 else (first - 1, last - 1)


def _runs(points: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = []
    for point in points:
        if runs and point[0] - runs[-1][-1][0] <= _GAP:
            runs[-1].append(point)
        else:
            runs.append([point])
    return runs


def _round_up(value: float, unit: str) -> float:
    """Returns the smallest of 1, 2, 4, 5, 10, 20 ... that is not below a value, so that its half is a round figure."""
    least = {"seconds": 0.1, "count": 4.0, "bytes": 100e6}.get(unit, 0.01)
    scale = 10.0**-6
    while True:
        for factor in (1, 2, 4, 5):
            if factor * scale >= max(value, least):
                return factor * scale
        scale *= 10
