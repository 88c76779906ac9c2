"""WebDAV, SFTP and S3 servers on loopback, each over a folder or in memory; for tests of remotes."""

import asyncio
import socket
import threading
from contextlib import contextmanager


@contextmanager
def webdav_server(folder):
    """Serves a folder with wsgidav under cheroot; yields its address."""
    from cheroot.wsgi import Server
    from wsgidav.wsgidav_app import WsgiDAVApp

    config = {
        "provider_mapping": {"/": str(folder)},
        "simple_dc": {"user_mapping": {"*": {"someone": {"password": "secret_word"}}}},
        "http_authenticator": {"domain_controller": None},
        "logging": {"enable": False},
        "verbose": 0,
    }
    server = Server(("127.0.0.1", 0), WsgiDAVApp(config), numthreads=4)
    server.shutdown_timeout = 1
    server.prepare()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    yield f"webdav://127.0.0.1:{server.bind_addr[1]}"
    server.stop()
    thread.join(5)


@contextmanager
def sftp_server(folder):
    """Serves a folder with asyncssh; yields host and port. User and password are those of the WebDAV server."""
    import asyncssh

    class Login(asyncssh.SSHServer):
        def begin_auth(self, _username):
            return True

        def password_auth_supported(self):
            return True

        def validate_password(self, username, password):
            return (username, password) == ("someone", "secret_word")

    def start_sftp(channel):
        return asyncssh.SFTPServer(channel, chroot=str(folder))

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    key = asyncssh.generate_private_key("ssh-ed25519")

    async def listen():
        return await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[key], server_factory=Login, sftp_factory=start_sftp
        )

    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    yield server.get_port()
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)


@contextmanager
def s3_server():
    """Serves S3 with moto, in memory; yields its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def cut_put(port, path, content, authorization):
    """Begins to PUT content and breaks the connection half way, as a push does whose machine dies."""
    head = f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {authorization}\r\n"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content[: len(content) // 2])
