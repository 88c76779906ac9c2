"""The page's part "Run": photos, words, the run of the pipeline, its progress and its report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nicegui import events, ui

from src.core import layout
from src.core.errors import PipelineError
from src.ui.choices import Offer, changed_words, keep_choices, read_offer, subject_words
from src.ui.photos import MAX_BYTES, Received, photos_here, receive, set_aside
from src.ui.pipeline import Progress, State
from src.ui.workshop import Workshop, attempt

EVERY_S = 1.0
READS = "a run reads these photos: stop it first"
# the stage that says what may be wrong with photos and captions
LOOK = "data_report"
KINDS = {
    "none": "No run yet.",
    "running": "Running.",
    "done": "Done.",
    "stopped": "Stopped; the state is kept, and Start goes on from there.",
    "failed": "Failed; the last lines say why. Start goes on from there.",
}
WIDTH, HEIGHT, LEFT, BELOW = 560, 130, 52, 18
MAX_TOLD = 200


def curve_svg(losses: dict[int, float], total: int) -> str:
    """Draws held-out loss over steps.

    Args:
        losses: By step; at least two.
        total: The last step that there will be.

    Returns:
        An SVG whose line has the text's colour.
    """
    low, high = min(losses.values()), max(losses.values())
    span = high - low or 1.0
    points = [
        (
            LEFT + (WIDTH - LEFT - 8) * step / max(total, *losses),
            8 + (HEIGHT - BELOW - 16) * (high - value) / span,
        )
        for step, value in sorted(losses.items())
    ]
    line = " ".join(f"{x:z.1f},{y:z.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:z.1f}" cy="{y:z.1f}" r="2.5" fill="currentColor"/>' for x, y in points)
    return (
        f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="held-out loss by step">'
        f'<text x="0" y="14">{high:z.4f}</text><text x="0" y="{HEIGHT - BELOW - 4}">{low:z.4f}</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 3}">held-out loss, step 0 to {max(total, *losses)}</text>'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.5"/>{dots}</svg>'
    )


class RunPanel:
    """The part, in one window.

    Args:
        workshop: Shared.
        offer: What configs/ say.
    """

    def __init__(self, workshop: Workshop, offer: Offer) -> None:
        self.workshop, self.offer = workshop, offer
        self.form: dict[str, Any] = {
            "model": offer.model,
            "subject": offer.subject,
            "token": offer.token,
            "class_name": offer.class_name,
        }
        self.more = {"text": ""}
        self.shown: State | None = None
        with ui.element("section").classes("box"):
            self._photos()
        with ui.element("section").classes("box"):
            self._words()
        self.problem = ui.label().classes("problem")
        self._refuse("")
        with ui.element("section").classes("box"):
            self._progress()
        ui.timer(EVERY_S, self._refresh)

    def _photos(self) -> None:
        ui.html("<h2>Photos</h2>", sanitize=False)
        self.count = ui.label().classes("muted")
        ui.upload(
            label="Drop photos here, HEIC too",
            multiple=True,
            auto_upload=True,
            max_file_size=MAX_BYTES,
            on_upload=self._take,
            on_rejected=lambda: self._told(f"refused: a file over {MAX_BYTES >> 20} MiB"),
        )
        self.received = ui.column().classes("received gap-0")
        ui.button("Set these photos aside, for another subject", on_click=self._set_aside).props("flat dense no-caps")
        self._count()
        self._tell_received()

    def _words(self) -> None:
        offer, form = self.offer, self.form
        ui.html("<h2>Subject and model</h2>", sanitize=False)
        with ui.element("div").classes("fields"):
            ui.select(list(offer.models), label="Model").classes("small").bind_value(form, "model")
            ui.select(list(offer.subjects), label="Subject", clearable=True, on_change=self._take_words).classes(
                "small"
            ).bind_value(form, "subject")
            ui.input("Rare token").classes("small").bind_value(form, "token")
            ui.input("Class noun").classes("small").bind_value(form, "class_name")
            ui.textarea("More settings, KEY=VALUE, one a line", placeholder="train.steps=500").props(
                "autogrow stack-label"
            ).classes("grow").bind_value(self.more, "text")
        self.kept = ui.label().classes("muted")
        self._tell_kept()

    def _progress(self) -> None:
        with ui.element("div").classes("fields"):
            self.start = ui.button("Start", icon="play_arrow", on_click=lambda: self._start()).props(
                "unelevated no-caps"
            )
            self.stop = ui.button("Stop", icon="stop", on_click=self._stop).props("outline no-caps")
            self.check = ui.button("Look at the photos first", on_click=self._look).props("flat no-caps")
            self.report = ui.link("Open the report", "report", new_tab=True)
            self.data = ui.link("What may be wrong with the photos", "photos", new_tab=True)
            self.kind = ui.label()
        self.stages = ui.element("div").classes("stages")
        self.counted = ui.label().classes("muted")
        self.bar = ui.linear_progress(0, show_value=False).props("instant-feedback")
        self.curve = ui.html("", sanitize=False).classes("w-full")
        self.log = ui.label().classes("log")
        self._refresh()

    def _refuse(self, problem: str) -> None:
        self.problem.set_text(problem)
        self.problem.set_visibility(bool(problem))

    async def _take(self, event: events.UploadEventArguments) -> None:
        name, data = event.file.name, await event.file.read() if event.file.size() <= MAX_BYTES else b""
        problems: list[str] = []
        found = await attempt(problems.append, self._receive, name, data)
        if found is None:
            line = f"refused: {problems[-1]}"
        else:
            line = f"{found.name}: was there already" if found.known else f"{found.name}: taken"
        self._told(line)

    def _receive(self, name: str, data: bytes) -> Received:
        self.workshop.pipeline.check_free(READS)
        return receive(name, data, self.offer.max_megapixels)

    def _told(self, line: str) -> None:
        self.workshop.received.insert(0, line)
        del self.workshop.received[MAX_TOLD:]
        self._count()
        self._tell_received()

    def _tell_received(self) -> None:
        self.received.clear()
        with self.received:
            for line in self.workshop.received:
                ui.label(line)

    def _count(self) -> None:
        try:
            here = photos_here()
        except PipelineError as error:
            self.count.set_text(str(error))
            return
        first = ", ".join(here[:4]) + (", ..." if len(here) > 4 else "")
        self.count.set_text(f"{len(here)} in {layout.RAW}" + (f": {first}" if here else ""))

    async def _set_aside(self) -> None:
        if (place := await attempt(self._refuse, self._moved)) is not None:
            self._told(f"the photos that were there are in {place} now")

    def _moved(self) -> Path:
        self.workshop.pipeline.check_free(READS)
        return set_aside()

    async def _take_words(self) -> None:
        words = await attempt(self._refuse, subject_words, self.form["subject"] or "")
        if words is not None:
            self.form["token"], self.form["class_name"] = words

    async def _look(self) -> None:
        await self._start((LOOK,))

    async def _start(self, targets: Sequence[str] = ()) -> None:
        if await attempt(self._refuse, self._begin, targets):
            self.more["text"] = ""
            self.offer = read_offer()
            self._tell_kept()
        self._refresh()

    def _begin(self, targets: Sequence[str]) -> bool:
        self.workshop.pipeline.check_free()
        form = {key: str(value or "") for key, value in self.form.items()}
        keep_choices(changed_words(self.offer, form, self.more["text"]))
        self.workshop.pipeline.start(targets)
        return True

    async def _stop(self) -> None:
        await attempt(self._refuse, self.workshop.pipeline.stop)
        self._refresh()

    def _tell_kept(self) -> None:
        kept = ", ".join(self.offer.kept)
        self.kept.set_text(f"Your choices (configs/mine.yaml): {kept}" if kept else "No choices of your own yet.")

    def _refresh(self) -> None:
        state = self.workshop.pipeline.state()
        if state == self.shown:
            return
        self.shown = state
        running = state.kind == "running"
        self.kind.set_text(KINDS[state.kind])
        self.start.set_visibility(not running)
        self.stop.set_visibility(running)
        self.check.set_visibility(not running)
        self.report.set_visibility(not running and layout.REPORT.is_file())
        seen = not running or state.progress.stages.get(LOOK) in ("done", "unchanged")
        self.data.set_visibility(seen and layout.DATA_PAGE.is_file())
        self.stages.clear()
        with self.stages:
            for name, how in state.progress.stages.items():
                ui.label(name).classes(f"stage {how}").props(f'title="{how}"')
        self._show_numbers(state.progress, running)
        self.log.set_text("\n".join(state.progress.tail))

    def _show_numbers(self, progress: Progress, running: bool) -> None:
        self.bar.set_visibility(running and progress.total > 0)
        self.bar.set_value(progress.done / progress.total if progress.total else 0)
        stage = next((name for name, how in progress.stages.items() if how == "running"), "")
        told = [f"{stage}: {progress.done} of {progress.total}"] if progress.total and stage else []
        told += [progress.left] if told and progress.left else []
        if progress.losses:
            last = max(progress.losses)
            told.append(f"held-out loss {progress.losses[last]:z.4f} at step {last}")
        self.counted.set_text("; ".join(told))
        drawn = curve_svg(progress.losses, progress.steps) if len(progress.losses) > 1 else ""
        self.curve.set_content(drawn)
