"""The training's curves: losses, gradient norms, learning rates."""

import altair as alt
import pandas as pd

from src.core.settings import Settings
from src.reporting.charts import Spec, inline_rows, line_encoding, lines_chart, long_rows, thinning, to_spec
from src.reporting.inputs import Inputs
from src.reporting.templating import Section
from src.reporting.texts import Texts

# the moving average looks back over about this share of all steps
SMOOTHING_SHARE = 0.05


def section(inputs: Inputs, _params: Settings, texts: Texts) -> Section:
    """Builds the section; without curves where nothing was trained."""
    loss = inputs.loss
    if loss is None:
        return Section({"curves": None, "stride": 1})
    parts = [name.removeprefix("lr_") for name in loss.columns if name.startswith("lr_")]
    held_out = {name: name for name in (f"val_loss_{part}_only" for part in parts)}
    curves = {
        "loss": loss_chart(inputs, loss, texts),
        "val_parts": None if inputs.val_loss is None else lines_chart(inputs.val_loss, held_out, "loss", texts),
        "parts": lines_chart(loss, {n: n for n in ("loss_instance", "loss_prior")}, "loss", texts)
        if "loss_prior" in loss.columns
        else None,
        "grad": lines_chart(loss, {f"grad_norm_{part}": part for part in parts}, "grad", texts),
        "lr": lines_chart(loss, {f"lr_{part}": part for part in parts}, "lr", texts),
    }
    return Section({"curves": curves, "stride": thinning(len(loss))}, curves)


def loss_chart(inputs: Inputs, losses: pd.DataFrame, texts: Texts) -> Spec:
    """Draws the training loss, raw and smoothed, the held-out loss and the selected step.

    Args:
        inputs: The tables.
        losses: The training loss per step.
        texts: The words.

    Returns:
        A specification.
    """
    loss = losses.dropna(subset=["loss"])
    span = max(len(loss) * SMOOTHING_SHARE, 1.0)
    smooth = loss["loss"].ewm(span=span).mean()
    table = pd.DataFrame({"step": loss["step"], "loss": loss["loss"], "smooth": smooth})
    labels = {name: texts(f"series.{name}") for name in ("loss", "smooth", "val_loss")}
    raw = long_rows(table, {"loss": labels["loss"]})
    bold = long_rows(table, {"smooth": labels["smooth"]})
    held_out = [] if inputs.val_loss is None else long_rows(inputs.val_loss, {"val_loss": labels["val_loss"]})
    shown = [labels["loss"], labels["smooth"], *([labels["val_loss"]] if held_out else [])]
    colours = ["var(--pale)", "var(--run)", "var(--copy)"][: len(shown)]
    encode = line_encoding(texts, "loss", shown, colours)
    layers = [
        alt.Chart(inline_rows("raw", raw)).mark_line(strokeWidth=1).encode(**encode),
        alt.Chart(inline_rows("smooth", bold)).mark_line(strokeWidth=2.5).encode(**encode),
    ]
    if held_out:
        mark = alt.Chart(inline_rows("held_out", held_out)).mark_line(strokeWidth=2, point={"size": 28, "filled": True})
        layers.append(mark.encode(**encode))
    selected = alt.Chart(inline_rows("selected", [{"step": inputs.selected_step}]))
    layers.append(selected.mark_rule(color="var(--muted)", strokeDash=[3, 3]).encode(x="step:Q"))
    return to_spec(alt.layer(*layers), height=260)
