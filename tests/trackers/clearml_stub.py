"""A stand-in for a ClearML server, enough for Task.init, reports, uploads and Task.close of the real client."""

import json
import threading
from base64 import urlsafe_b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TASK = {
    "id": "0" * 32,
    "name": "run",
    "type": "training",
    "status": "in_progress",
    "project": "1" * 32,
    "execution": {},
}
REPLIES = {
    "auth.login": {"token": ""},
    "tasks.create": {"id": TASK["id"]},
    "tasks.get_by_id": {"task": TASK},
    "tasks.get_all": {"tasks": [TASK]},
    "projects.get_all": {"projects": [{"id": "1" * 32, "name": "project"}]},
    "projects.create": {"id": "1" * 32},
    "events.add_batch": {"added": 1, "errors": 0, "errors_info": {}},
}


def jwt() -> str:
    """Returns an unsigned token that never expires soon."""
    parts = ({"alg": "HS256", "typ": "JWT"}, {"exp": 4102444800, "api_version": "2.9", "server_version": "1.0.0"})
    return ".".join([urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts] + ["c2ln"])


class StubServer:
    """Serves on a free port from its start until `stop`, and records (endpoint, body) of each request."""

    def __init__(self, login_status: int) -> None:
        requests = self.requests = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                endpoint = self.path.split("?")[0].rsplit("/", 1)[-1]
                requests.append((endpoint, body))
                status = login_status if endpoint == "auth.login" else 200
                data = {"token": jwt()} if endpoint == "auth.login" else REPLIES.get(endpoint, {"updated": 1})
                meta = {"result_code": status, "result_subcode": 0, "result_msg": "", "endpoint": {"name": endpoint}}
                reply = json.dumps({"meta": meta, "data": data}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            do_POST = do_PUT = do_GET  # noqa: N815

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def bodies(self, endpoint: str) -> str:
        """Returns all that was sent to an endpoint."""
        return "\n".join(body.decode(errors="replace") for name, body in self.requests if name == endpoint)

    def stop(self) -> None:
        """Stops listening; new connections are refused."""
        self._server.shutdown()
        self._server.server_close()
