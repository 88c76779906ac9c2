"""The page as a web application on loopback: its two parts, and the files that it may serve, all of this project."""

import re
from pathlib import Path

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse, Response
from nicegui import ui

from src.core import layout
from src.core.errors import PipelineError
from src.ui.choices import read_offer
from src.ui.guard import Guard
from src.ui.running import RunPanel
from src.ui.trying import TryPanel
from src.ui.workshop import Workshop

STYLE = Path(__file__).with_name("style.css")
TITLE = "Heldout"
RECONNECT_S = 30.0
KEY = re.compile(r"[\w-]{1,80}", re.ASCII)
PART = re.compile(r"[\w.+-]{1,120}", re.ASCII)


def build(workshop: Workshop, port: int) -> Guard:
    """Builds the application.

    Args:
        workshop: Shared by all windows.
        port: Where it will listen.

    Returns:
        An ASGI application; nothing in it asks another host for anything.
    """
    server = FastAPI(openapi_url=None)
    _serve_files(server, workshop)
    ui.run_with(
        server,
        root=lambda: _root(workshop),
        title=TITLE,
        dark=None,
        favicon="\N{FRAME WITH PICTURE}",
        show_welcome_message=False,
        on_air=None,
        # a drawing may keep the interpreter busy for seconds
        reconnect_timeout=RECONNECT_S,
    )
    return Guard(server, port)


def kept_file(path: str, folder: Path = layout.KEPT) -> Path | None:
    """Finds a kept picture.

    Args:
        path: As a browser asks, ``CHECKPOINT/PROMPT/FILE.png``.
        folder: Of what is kept.

    Returns:
        The file; None for whatever is no such picture inside the folder.
    """
    parts = path.split("/")
    if len(parts) != 3 or not all(PART.fullmatch(part) and part.strip(".") for part in parts):
        return None
    file = folder.joinpath(*parts)
    inside = file.is_file() and file.resolve().is_relative_to(folder.resolve())
    return file if inside and file.suffix == ".png" else None


def _serve_files(server: FastAPI, workshop: Workshop) -> None:
    @server.get("/pictures/{key}.png")
    def picture(key: str) -> Response:
        shown = workshop.studio.pictures.get(key) if KEY.fullmatch(key) else None
        if shown is None:
            raise HTTPException(404)
        return Response(shown.picture.data, media_type="image/png")

    @server.get("/kept/{path:path}")
    def kept(path: str) -> FileResponse:
        if (file := kept_file(path)) is None:
            raise HTTPException(404)
        return FileResponse(file, media_type="image/png")

    @server.get("/report")
    def report() -> FileResponse:
        return _made(layout.REPORT)

    @server.get("/photos")
    def photos() -> FileResponse:
        return _made(layout.DATA_PAGE)


def _made(page: Path) -> FileResponse:
    if not page.is_file():
        raise HTTPException(404)
    return FileResponse(page, media_type="text/html", headers={"cache-control": "no-store"})


def _root(workshop: Workshop) -> None:
    """Builds the page for one window."""
    ui.add_css(STYLE)
    try:
        offer = read_offer()
    except PipelineError as error:  # of configs/mine.yaml, which a person may edit
        ui.label(str(error)).classes("problem")
        return
    with ui.element("header").classes("head w-full"):
        ui.html(f"<h1>{TITLE}</h1>", sanitize=False)
        ui.label(Path.cwd().name).classes("muted")
        with ui.tabs().classes("tabs").props("dense no-caps inline-label") as tabs:
            ui.tab("try", "Try")
            ui.tab("run", "Run")
    running = workshop.pipeline.state().kind == "running"
    with ui.tab_panels(tabs, value="run" if running else "try", animated=False).classes("w-full"):
        with ui.tab_panel("try").classes("gap-4"):
            TryPanel(workshop, offer)
        with ui.tab_panel("run").classes("gap-4"):
            RunPanel(workshop, offer)
