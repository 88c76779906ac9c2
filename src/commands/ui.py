"""Opens the page to try and compare adapters and to start a run: `python -m src.commands.ui [--port N]`, or `make ui`.

It listens on 127.0.0.1 only and asks no other host for anything. KEY=VALUE are overrides for all that is drawn, as
`device=cpu`. Ctrl-C closes the page; a run that it started goes on, and is found again.
"""

import os
import socket
import sys
import webbrowser
from contextlib import suppress
from importlib.util import find_spec

from src.commands.usage import command_line
from src.core import layout
from src.core.config import load_settings, quote_overrides
from src.core.config_errors import one_line
from src.core.errors import ConfigError, MissingModelError

HOST, PORT = "127.0.0.1", 7860


def bind(port: int) -> socket.socket:
    """Takes a port of loopback.

    Args:
        port: 0 for any.

    Returns:
        A socket that listens there and nowhere else.

    Raises:
        ConfigError: It is taken, or is none.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        # a browser that is opened now waits until the server answers
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigError(f"port {port} of {HOST} cannot be used ({error}): take another one by --port") from error
    return listener


def serve(port: int, browser: bool, words: list[str]) -> None:
    """Serves the page until Ctrl-C.

    Args:
        port: Of loopback; 0 for any.
        browser: Whether to open it, where there is a screen.
        words: Overrides.

    Raises:
        ConfigError: The port cannot be used, or an override is wrong.
        MissingModelError: The packages of the page are not installed.
    """
    load_settings(quote_overrides(words))  # a wrong one is refused now, and not by the first drawing
    if find_spec("nicegui") is None:
        raise MissingModelError("the page's packages are not installed: `make ui` installs them and opens the page")
    # before the library is read: it would keep things in the project's root
    os.environ["NICEGUI_STORAGE_PATH"] = str(layout.CACHE / "nicegui")
    import uvicorn

    from src.ui.page import build
    from src.ui.pipeline import Pipeline
    from src.ui.studio import Studio
    from src.ui.workshop import Workshop

    listener = bind(port)
    port = listener.getsockname()[1]
    application = build(Workshop(Studio(words), Pipeline()), port)
    address = f"http://{HOST}:{port}/"
    print(f"ui: {address} (Ctrl-C closes it)", flush=True)
    if browser and (sys.platform == "darwin" or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ):
        webbrowser.open(address)
    with suppress(KeyboardInterrupt):  # uvicorn has closed everything by then
        uvicorn.Server(uvicorn.Config(application, log_level="warning", lifespan="on")).run(sockets=[listener])


@one_line("ui")
def main() -> None:
    """Opens the page."""
    parser = command_line("ui", __doc__)
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="overrides, as of inference.py")
    parser.add_argument("--port", type=int, default=PORT, help=f"of {HOST}; {PORT} if not given, 0 for any")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    wanted = parser.parse_intermixed_args()
    serve(wanted.port, not wanted.no_browser, wanted.words)


if __name__ == "__main__":
    main()
