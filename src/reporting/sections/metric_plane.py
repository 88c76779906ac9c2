"""Prompt fidelity against subject likeness: the way of the checkpoints, with labels that do not cover each other."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from src.core import layout
from src.core.sets import TEST
from src.metrics.intervals import mean_interval
from src.metrics.names import BASE, PROMPT, SUBJECT
from src.reporting.charts import Row, Spec, inline_rows, to_spec
from src.reporting.inputs import Inputs
from src.reporting.scoring import checkpoint_means, shared_set

AXES = (PROMPT, SUBJECT)
HEIGHT_PX = 360
# the plot's width on a phone: labels that fit there fit everywhere
NARROW_PX = 280
# a reference row is drawn where it lies at most this share of the checkpoints' range outside of it
REACH = 0.25
PADDING = 0.08
FONT_PX = 11
# half of a label's height, its width per letter, and how near to a point's middle it may come
LABEL_PX, LETTER_PX, CLEAR_PX = 8, 6.6, 9
# where a label may stand beside its point, the first choice first: pixels right and down
PLACES = ((10, -9), (-10, -9), (10, 10), (-10, 10))
SHAPES = {"checkpoint": "circle", "selected": "circle", "base": "square", "real": "triangle-up", "copy": "diamond"}


@dataclass(frozen=True)
class Plane:
    """The chart, and the reference rows that are too far off to be drawn."""

    spec: Spec
    far: tuple[str, ...]


@dataclass(frozen=True)
class Frame:
    """What the axes show.

    Attributes:
        low: Where each axis begins, by metric.
        high: Where it ends.
    """

    low: Mapping[str, float]
    high: Mapping[str, float]

    def holds(self, row: Row, reach: float) -> bool:
        """Tells whether a row lies inside, or outside by at most `reach` of the axis' length."""
        return all(
            self.low[axis] - reach * self._length(axis) <= row[axis] <= self.high[axis] + reach * self._length(axis)
            for axis in AXES
            if axis in row
        )

    def scale(self, axis: str) -> alt.Scale:
        """Returns an axis' scale."""
        room = PADDING * self._length(axis)
        return alt.Scale(domain=[self.low[axis] - room, self.high[axis] + room], nice=False, zero=False)

    def place(self, row: Row) -> tuple[float, float]:
        """Returns where a row is on a phone, pixels from the upper left corner."""
        across, up = ((row[axis] - self.low[axis]) / self._length(axis) for axis in AXES)
        inner = 1 - 2 * PADDING
        return NARROW_PX * (PADDING + inner * across), HEIGHT_PX * (PADDING + inner * (1 - up))

    def _length(self, axis: str) -> float:
        return max(self.high[axis] - self.low[axis], 1e-6)


def metric_plane(inputs: Inputs) -> Plane | None:
    """Draws prompt fidelity against subject likeness: a line through the checkpoints, base, and references near them.

    Args:
        inputs: The tables.

    Returns:
        The chart, or None when a checkpoint lacks one of the two metrics.
    """
    checkpoints = checkpoint_means(inputs, shared_set(inputs))
    of_base = checkpoints.pop(BASE)
    if any(not set(AXES) <= set(means) for means in checkpoints.values()):
        return None
    line = [
        _point(name, means, "selected" if name == inputs.run_variant else "checkpoint")
        for name, means in checkpoints.items()
    ]
    base = [_point(BASE, of_base, "base")] if set(AXES) <= set(of_base) else []
    both = ((BASE, "base"), (inputs.run_variant, "selected"))
    crosses = [cross for name, kind in both if (cross := _cross(inputs, name, kind)) is not None]
    frame = _frame([line, base, crosses])
    references = [_point(name, means, name.split()[0]) for name, means in _references(inputs) if SUBJECT in means]
    near = [row for row in references if frame.holds(row, REACH)]
    frame = _frame([line, base, crosses, near])
    marks = [*line, *base, *(row for row in near if PROMPT in row)]
    across = [row for row in near if PROMPT not in row]
    label = inputs.quantities.label
    names = {axis: label(axis) for axis in AXES}
    spec = to_spec(alt.layer(*_layers(frame, line, marks, across, crosses, names)), height=HEIGHT_PX)
    return Plane(spec, tuple(_described(row, names) for row in references if row not in near))


def label_places(points: Sequence[tuple[float, float]], labels: Sequence[str]) -> list[int | None]:
    """Finds a place for each label beside its point, where it covers no point and no label.

    Args:
        points: Where the points are, pixels.
        labels: Their labels; earlier ones choose first.

    Returns:
        For each label an index of PLACES, or None where none is free.
    """
    taken: list[tuple[float, float, float, float]] = []
    chosen: list[int | None] = []
    for (x, y), label in zip(points, labels, strict=True):
        for index, (right, down) in enumerate(PLACES):
            width, start = LETTER_PX * len(label), x + right
            left = start if right > 0 else start - width
            box = (left, y + down - LABEL_PX, left + width, y + down + LABEL_PX)
            if _is_free(box, points, taken):
                taken.append(box)
                chosen.append(index)
                break
        else:
            chosen.append(None)
    return chosen


def _is_free(
    box: tuple[float, float, float, float],
    points: Iterable[tuple[float, float]],
    taken: Iterable[tuple[float, float, float, float]],
) -> bool:
    left, top, right, bottom = box
    if left < 0 or top < 0 or right > NARROW_PX or bottom > HEIGHT_PX:
        return False
    covers = any(
        left - CLEAR_PX < x < right + CLEAR_PX and top - CLEAR_PX / 2 < y < bottom + CLEAR_PX / 2 for x, y in points
    )
    return not covers and not any(
        left < other[2] and other[0] < right and top < other[3] and other[1] < bottom for other in taken
    )


def _layers(
    frame: Frame,
    line: list[Row],
    marks: list[Row],
    across: list[Row],
    crosses: list[Row],
    names: Mapping[str, str],
) -> list[alt.Chart]:
    kinds = list(SHAPES)
    colours = [f"var(--{'run' if kind in ('checkpoint', 'selected') else kind})" for kind in kinds]
    colour = alt.Color("kind:N", legend=None, scale=alt.Scale(domain=kinds, range=colours))
    x = alt.X(f"{PROMPT}:Q", title=f"{names[PROMPT]} →", scale=frame.scale(PROMPT))
    y = alt.Y(f"{SUBJECT}:Q", title=f"{names[SUBJECT]} ↑", scale=frame.scale(SUBJECT))
    tooltip = ["name:N", *(alt.Tooltip(f"{axis}:Q", format=".4f", title=names[axis]) for axis in AXES)]
    path = alt.Chart(inline_rows("path", line)).encode(x=x, y=y, tooltip=tooltip)
    spots = alt.Chart(inline_rows("spots", marks)).encode(x=x, y=y, color=colour, tooltip=tooltip)
    shape = alt.Shape("kind:N", legend=None, scale=alt.Scale(domain=kinds, range=list(SHAPES.values())))
    size = alt.condition("datum.kind == 'selected'", alt.value(190), alt.value(90))
    layers = [path.mark_line(color="var(--run)", opacity=0.5, strokeWidth=1.5).encode(order="step:Q")]
    if across:
        rules = alt.Chart(inline_rows("across", across)).encode(y=y, color=colour)
        layers.append(rules.mark_rule(strokeDash=[5, 4]))
        layers.append(rules.mark_text(align="left", dx=4, dy=-7).encode(x=alt.value(0), text="name:N"))
    sure = alt.Chart(inline_rows("intervals", crosses)).encode(color=colour)
    layers.append(sure.mark_rule().encode(x=f"{PROMPT}_low:Q", x2=f"{PROMPT}_high:Q", y=f"{SUBJECT}:Q"))
    layers.append(sure.mark_rule().encode(y=f"{SUBJECT}_low:Q", y2=f"{SUBJECT}_high:Q", x=f"{PROMPT}:Q"))
    layers.append(spots.mark_point(filled=True, opacity=1, cursor="pointer").encode(shape=shape, size=size))
    ordered = sorted(marks, key=lambda row: (row["kind"] == "checkpoint", -row["step"]))
    places = label_places([frame.place(row) for row in ordered], [row["label"] for row in ordered])
    for index, (right, down) in enumerate(PLACES):
        rows = [row for row, place in zip(ordered, places, strict=True) if place == index]
        if rows:
            text = alt.Chart(inline_rows(f"labels{index}", rows)).encode(x=x, y=y, color=colour, text="label:N")
            align = "left" if right > 0 else "right"
            layers.append(text.mark_text(align=align, dx=right, dy=down, fontSize=FONT_PX))
    return layers


def _references(inputs: Inputs) -> list[tuple[str, Mapping[str, float]]]:
    """Rows of photos: neither the run nor base, and not the sections of metrics.json that are no rows."""
    rows = {name: inputs.metrics[name] for name in sorted(inputs.metrics) if name.split()[0] in ("real", "copy")}
    if shared_set(inputs) != TEST:
        # copies stand in the places of test images, whose prompts are not those of the plane
        rows |= {
            name: {SUBJECT: rows[name][SUBJECT]} for name in rows if name.startswith("copy") and SUBJECT in rows[name]
        }
    return list(rows.items())


def _frame(groups: Sequence[Sequence[Row]]) -> Frame:
    rows = [row for group in groups for row in group]
    ends = {
        axis: [row[key] for row in rows for key in (axis, f"{axis}_low", f"{axis}_high") if key in row] for axis in AXES
    }
    return Frame({axis: min(ends[axis]) for axis in AXES}, {axis: max(ends[axis]) for axis in AXES})


def _point(name: str, means: Mapping[str, Any], kind: str) -> Row:
    step = layout.checkpoint_step(name)
    scores = {metric: means[metric] for metric in AXES if metric in means}
    return {"name": name, "label": name if step is None else str(step), "step": step or 0, "kind": kind, **scores}


def _described(row: Row, names: Mapping[str, str]) -> str:
    return f"{row['name']} ({', '.join(f'{names[axis]} {row[axis]:z.2f}' for axis in AXES if axis in row)})"


def _cross(inputs: Inputs, variant: str, kind: str) -> Row | None:
    row: Row = {"name": variant, "kind": kind}
    for metric in AXES:
        found = mean_interval(inputs.scores, variant, metric, prompt_set=shared_set(inputs))
        if found is None:
            return None
        row |= {metric: found.mean, f"{metric}_low": found.low, f"{metric}_high": found.high}
    return row
