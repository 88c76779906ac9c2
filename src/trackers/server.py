"""Asks whether a service answers at all, before its client is started: the clients retry for hours."""

from urllib.parse import urlsplit, urlunsplit

import requests

from src.core.errors import TrackerError

LIMIT_S = 5.0


def without_password(url: str) -> str:
    """Returns an address without the user name, password and query that it may hold, for messages."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def ask_server(service: str, url: str, verify: bool) -> int:
    """Sends one GET, with no retry.

    Args:
        service: Who is asked, for the message.
        url: The address.
        verify: Whether a TLS certificate must be valid.

    Returns:
        The HTTP status.

    Raises:
        TrackerError: Nobody answers within `LIMIT_S` seconds.
    """
    try:
        return requests.get(url, timeout=LIMIT_S, verify=verify).status_code
    except requests.RequestException as error:
        raise TrackerError(
            f"{service}: no answer from {without_password(url)} within {LIMIT_S:z.0f} s ({type(error).__name__}). "
            f"Start the server or check its address, or run with tracker.{service}.offline=true or tracker=tensorboard"
        ) from None  # the cause would print the whole address
