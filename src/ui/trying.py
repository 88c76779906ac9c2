"""The page's part "Try": base and adapters side by side with the same seeds, scores, and what is kept."""

import re
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from nicegui import ui

from src.core import layout
from src.core.errors import ConfigError
from src.metrics.names import IDENTITY, NEAREST, PROMPT, SUBJECT
from src.ui.choices import Offer
from src.ui.studio import Column, Sheet, Shown, Source, Wish, known_checkpoints
from src.ui.workshop import Workshop, attempt

# the numbers that a person reads first, as the report calls them (docs/metrics.md has all)
NAMES = {
    SUBJECT: "likeness",
    IDENTITY: "identity",
    PROMPT: "prompt fidelity",
    NEAREST: "nearest training photo",
}
DEFAULT_SEEDS = "1, 2"
MAX_KEPT = 60


def read_wish(form: dict[str, Any], rows: list[tuple[str, float]]) -> Wish:
    """Reads what is typed.

    Args:
        form: ``prompt``, ``seeds``, ``steps``, ``guidance``, ``sampler``, ``negative``, ``photos``, ``together``.
        rows: The chosen adapters and their weights.

    Returns:
        What is asked for.

    Raises:
        ConfigError: A value cannot be used; what remains is told by whoever draws.
    """
    from src.sampling.own_prompts import read_seeds  # torch, of which the page itself has no need

    seeds = read_seeds([part for part in re.split(r"[\s,;]+", str(form["seeds"] or "")) if part] or "(none)")
    settings: dict[str, Any] = {}
    for key, name in (("steps", "num_inference_steps"), ("guidance", "guidance_scale")):
        if form[key] is not None:
            settings[name] = int(form[key]) if key == "steps" and float(form[key]).is_integer() else form[key]
    settings |= {"sampler": form["sampler"]} if form["sampler"] else {}
    settings |= {"negative_prompt": form["negative"]} if form["negative"] else {}
    sources = tuple(Source(path.strip(), weight) for path, weight in rows if path and path.strip())
    if len(set(sources)) < len(sources):
        raise ConfigError("an adapter is chosen twice with one weight: both would draw the same")
    return Wish(
        str(form["prompt"] or ""),
        tuple(seeds or ()),
        sources,
        bool(form["together"]),
        settings,
        str(form["photos"] or ""),
    )


def scores_html(scores: dict[str, float]) -> str:
    """Writes those scores as names and numbers that a person reads first."""
    return "".join(
        f"<span>{escape(title)}</span><span>{scores[name]:z.3f}</span>"
        for name, title in NAMES.items()
        if name in scores
    )


class TryPanel:
    """The part, in one window.

    Args:
        workshop: Shared.
        offer: What configs/ say.
    """

    def __init__(self, workshop: Workshop, offer: Offer) -> None:
        self.workshop, self.offer = workshop, offer
        self.form: dict[str, Any] = {
            "prompt": f"a photo of a {offer.token} {offer.class_name} in the snow",
            "seeds": DEFAULT_SEEDS,
            "steps": None,
            "guidance": None,
            "sampler": None,
            "negative": "",
            "photos": "",
            "together": False,
        }
        self.rows: list[dict[str, Any]] = []
        with ui.element("section").classes("box"):
            self._fields()
        self.problem = ui.label().classes("problem")
        self._refuse("")
        with ui.element("section").classes("box") as self.result:
            self.sheet = ui.column().classes("w-full")
        self.result.set_visibility(False)
        if workshop.sheet is not None:
            self._show(workshop.sheet)
        with ui.element("section").classes("box"):
            self.kept = ui.column().classes("w-full")
        self._show_kept()

    def _fields(self) -> None:
        offer, form = self.offer, self.form
        ui.input(f"Prompt ({offer.token} stands for the subject)").classes("w-full").bind_value(form, "prompt")
        with ui.element("div").classes("fields"):
            ui.input("Seeds").classes("small").bind_value(form, "seeds")
            ui.number("Steps", placeholder=str(offer.steps), min=1).props("stack-label").classes("small").bind_value(
                form, "steps"
            )
            ui.number("Guidance", placeholder=f"{offer.guidance_scale:g}", min=0, step=0.5).props(
                "stack-label"
            ).classes("small").bind_value(form, "guidance")
            ui.select(list(offer.sampler_names), label="Sampler", clearable=True).classes("small").bind_value(
                form, "sampler"
            )
            ui.input("Negative prompt").classes("grow").bind_value(form, "negative")
        self.adapters = ui.column().classes("w-full gap-1")
        known = list(known_checkpoints())
        self._add_row(known[0] if known else "")
        with ui.element("div").classes("fields"):
            ui.button("Add an adapter", icon="add", on_click=lambda: self._add_row("")).props("flat no-caps")
            ui.checkbox("all together, too").bind_value(form, "together")
            ui.input("Score against photos of", placeholder="what the pipeline held out").props("stack-label").classes(
                "grow"
            ).bind_value(form, "photos")
            self.button = ui.button("Draw", on_click=self._draw).props("unelevated no-caps")
            self.spinner = ui.spinner(size="sm")
            self.doing = ui.label().classes("muted")
        self.spinner.set_visibility(False)
        ui.timer(0.3, lambda: self.doing.set_text(self.workshop.doing))

    def _add_row(self, path: str) -> None:
        row: dict[str, Any] = {"path": path, "weight": 1.0}
        self.rows.append(row)
        with self.adapters, ui.element("div").classes("fields") as line:
            field = ui.input("Adapter: a checkpoint, or the path of any file or folder").classes("grow")
            field.bind_value(row, "path")
            if known := known_checkpoints():
                _offer(field, known)
            ui.number("Weight", step=0.1, format="%g").classes("small").bind_value(row, "weight")
            ui.button(icon="close", on_click=lambda: self._drop_row(row, line)).props(
                'flat round dense aria-label="take this adapter out"'
            )

    def _drop_row(self, row: dict[str, Any], line: ui.element) -> None:
        self.rows.remove(row)
        line.delete()

    def _refuse(self, problem: str) -> None:
        self.problem.set_text(problem)
        self.problem.set_visibility(bool(problem))

    async def _draw(self) -> None:
        self.button.disable()
        self.spinner.set_visibility(True)
        try:
            sheet = await attempt(self._refuse, self._drawn)
        finally:
            self.spinner.set_visibility(False)
            self.button.enable()
        if sheet is not None:
            self._show(sheet)

    def _drawn(self) -> Sheet:
        rows = [(str(row["path"] or ""), 1.0 if row["weight"] is None else float(row["weight"])) for row in self.rows]
        self.workshop.sheet = self.workshop.studio.draw(read_wish(self.form, rows), self.workshop.tell)
        return self.workshop.sheet

    def _show(self, sheet: Sheet) -> None:
        self.result.set_visibility(True)
        self.sheet.clear()
        with self.sheet:
            if sheet.note:
                ui.label(sheet.note).classes("muted")
            with ui.element("div").classes("scroll"), ui.element("div").classes("sheet"):
                for column in sheet.columns:
                    self._show_column(column)

    def _show_column(self, column: Column) -> None:
        with ui.element("div").classes("drawn"):
            ui.label(column.title).classes("title")
            ui.label(column.prompt).classes("muted asked")
            for one in column.shown:
                self._show_picture(one)

    def _show_picture(self, one: Shown) -> None:
        seed = one.picture.planned.job.seed
        with ui.element("div").classes("picture"):
            with ui.link(target=f"pictures/{one.key}.png", new_tab=True):
                ui.element("img").props(f'src="pictures/{one.key}.png" alt="seed {seed}"')
            ui.html(scores_html(one.scores), sanitize=False).classes("scores")
            with ui.row().classes("items-center justify-between w-full no-wrap"):
                ui.label(f"seed {seed}").classes("muted")
                keep = ui.button("Keep", icon="bookmark_add").props("flat dense no-caps")
                keep.on_click(lambda: self._keep(one.key, keep))

    async def _keep(self, key: str, button: ui.button) -> None:
        path = await attempt(self._refuse, self.workshop.studio.keep, key)
        if path is not None:
            button.set_text("Kept")
            button.disable()
            self._show_kept()

    def _show_kept(self) -> None:
        files = sorted(layout.KEPT.glob("*/*/*.png"), key=lambda path: path.stat().st_mtime, reverse=True)
        self.kept.clear()
        with self.kept:
            ui.html(f"<h2>Kept ({len(files)})</h2>", sanitize=False)
            again = "python inference.py exp.from_image=FILE"
            ui.label(f"Copies, with their text, in {layout.KEPT}; `{again}` draws one again.").classes("muted")
            with ui.element("div").classes("kept"):
                for file in files[:MAX_KEPT]:
                    _show_file(file.relative_to(layout.KEPT))


def _offer(field: ui.input, known: dict[str, str]) -> None:
    """Puts a list of checkpoints into a field, in which any other path can be typed."""
    arrow = 'flat round dense aria-label="checkpoints"'
    with (
        field.add_slot("append"),
        ui.button(icon="arrow_drop_down").props(arrow),
        ui.menu().props('anchor="bottom right" self="top right"'),
    ):
        for path, text in known.items():
            ui.menu_item(text, on_click=partial(field.set_value, path))


def _show_file(path: Path) -> None:
    with ui.element("figure"):
        with ui.link(target=f"kept/{path.as_posix()}", new_tab=True):
            ui.element("img").props["src"] = f"kept/{path.as_posix()}"
        ui.label(path.as_posix())
