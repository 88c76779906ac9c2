"""Sets up a DVC remote of one's own and looks for damaged objects in one: two things that DVC does not do.

`python -m src.commands.remote init NAME URL [key=value ...]` creates the root on the server, tries that it can be
written, sets `verify true`, makes it the default and keeps every secret in .dvc/config.local; `key=-` asks for one.
`python -m src.commands.remote audit [NAME] [--mend]` reads every object that dvc.lock and the .dvc files name.
"""

import argparse
import getpass
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from dvc.config import ConfigError as DvcConfigError
from dvc.exceptions import DvcException
from dvc.fs import get_cloud_fs
from dvc.repo import Repo

from src.commands.remote_audit import audit, mend
from src.commands.usage import command_line
from src.core.config_errors import one_line
from src.core.errors import ConfigError
from src.core.lock_file import check_lock
from src.core.remotes import unverified_remotes

SHIPPED = "storage"
PACKAGES = {"s3": "dvc_s3", "ssh": "dvc_ssh", "webdav": "dvc_webdav", "webdavs": "dvc_webdav"}
# settings that everybody who clones needs and that tell nothing secret; all others stay in the local configuration
SHARED = ("endpointurl", "jobs", "port", "region", "ssl_verify", "timeout", "use_ssl")
PROBE = b"written by `remote init`, may be deleted\n"


def init(repo: Repo, name: str, url: str, settings: dict[str, str]) -> None:
    """Creates a remote on its server and in DVC's configuration; nothing is configured unless it can be written.

    Args:
        repo: The repository.
        name: What to call it.
        url: Its address; a user name and a password in it are kept in the local configuration.
        settings: More of DVC's keys for remotes.

    Raises:
        ConfigError: The name is taken by the project's own remote, a package is missing, or the server refuses.
    """
    if name == SHIPPED:
        raise ConfigError(f"{SHIPPED} is the project's own remote, which is read-only: choose another name")
    scheme = urlsplit(url).scheme
    package = PACKAGES.get(scheme)
    if package and importlib.util.find_spec(package) is None:
        raise ConfigError(
            f"{scheme}:// needs {package.replace('_', '-')}: run `make remotes`, or "
            "`pip install -r requirements-remotes.txt`"
        )
    url, secrets = _split_secrets(url)
    if not scheme:
        url = Path(url).absolute().as_posix()
    settings = {**secrets, **settings}
    try:
        fs_class, config, path = get_cloud_fs(repo.config, url=url, **settings)
        _create_root(fs_class(**config), scheme, path)
    except server_errors(scheme) as error:
        raise ConfigError(f"remote {name}: {url} cannot be used: {type(error).__name__}: {error}") from None
    _configure(repo, name, url, settings)


def server_errors(scheme: str) -> tuple[type[Exception], ...]:
    """Returns what the clients of a scheme raise when a server refuses or is not there."""
    errors: tuple[type[Exception], ...] = (OSError, DvcException, DvcConfigError)
    if scheme in ("webdav", "webdavs"):
        import httpx
        from webdav4.client import ClientError, HTTPError

        errors += (httpx.HTTPError, ClientError, HTTPError)
    elif scheme == "ssh":
        import asyncssh

        errors += (asyncssh.Error,)
    elif scheme == "s3":
        from botocore.exceptions import BotoCoreError
        from botocore.exceptions import ClientError as S3Error

        errors += (BotoCoreError, S3Error)
    return errors


def _split_secrets(url: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not at or not parts.scheme:
        return url, {}
    name, colon, password = user.partition(":")
    secrets = {"user": unquote(name)} | ({"password": unquote(password)} if colon else {})
    return urlunsplit((parts.scheme, host, parts.path, "", "")), secrets


def _create_root(fs: Any, scheme: str, path: str) -> None:
    if scheme in ("webdav", "webdavs"):
        _make_collections(fs)
    elif scheme == "s3":  # folders exist with their objects, buckets do not
        bucket = path.split("/")[0]
        if not fs.fs.exists(bucket):
            fs.fs.mkdir(bucket)
    elif not fs.exists(path):
        fs.makedirs(path, exist_ok=True)
    probe = fs.join(path, ".probe") if path else ".probe"
    with TemporaryDirectory() as folder:
        file = Path(folder) / "probe"
        file.write_bytes(PROBE)
        fs.put_file(str(file), probe)
    with fs.open(probe, "rb") as stream:
        if stream.read() != PROBE:
            raise OSError("what was written does not come back")
    fs.remove(probe)


def _make_collections(fs: Any) -> None:
    """Makes each collection of a WebDAV address: DVC takes the last for given."""
    from webdav4.client import Client

    parts = urlsplit(fs.fs_args["base_url"])
    client = Client(
        urlunsplit((parts.scheme, parts.netloc, "", "", "")),
        **{key: value for key, value in fs.fs_args.items() if key in ("auth", "cert", "headers", "timeout", "verify")},
    )
    path = ""
    for name in parts.path.strip("/").split("/"):
        path = f"{path}/{name}"
        if name and not client.exists(path):
            client.mkdir(path)


def _configure(repo: Repo, name: str, url: str, settings: dict[str, str]) -> None:
    shared = {key: value for key, value in settings.items() if key in SHARED}
    with repo.config.edit("repo") as config:
        config["remote"][name] = {"url": url, "verify": True, **shared}
        config["core"]["remote"] = name
    secret = {key: value for key, value in settings.items() if key not in SHARED}
    if secret:
        with repo.config.edit("local", validate=False) as config:
            config["remote"][name] = secret
        Path(repo.config.files["local"]).chmod(0o600)


def audit_remote(repo: Repo, name: str | None, mends: bool) -> list[str]:
    """Reads every object of a remote that the repository names.

    Args:
        repo: The repository.
        name: The remote; None for the default.
        mends: Whether to delete what is damaged and push it again.

    Returns:
        A line for each damaged object; none is left in the remote when `mends`.

    Raises:
        ConfigError: There is no such remote, it does not answer, or it is not verified.
    """
    name = name or repo.config["core"].get("remote")
    scheme = urlsplit(repo.config["remote"].get(name or "", {}).get("url", "")).scheme
    try:
        odb = repo.cloud.get_remote_odb(name, "audit")
        found = audit(repo, odb)
        lines = [f"{bad.name}: {bad.problem}" + (f"; {mend(repo, odb, bad)}" if mends else "") for bad in found.damaged]
    except server_errors(scheme) as error:
        raise ConfigError(f"remote {name}: {type(error).__name__}: {error}") from None
    print(f"remote {name}: {found.whole} objects whole, {len(lines)} damaged, {found.missing} not there (`dvc push`)")
    if name in unverified_remotes(Path(repo.root_dir)):
        raise ConfigError(f"remote {name}: DVC takes damaged objects for good; `dvc remote modify {name} verify true`")
    return lines


def run(words: Sequence[str] | None = None) -> int:
    """Runs one of the two commands.

    Args:
        words: The command line; None for the process's own.

    Returns:
        The exit status: 1 where objects are damaged and were not mended.

    Raises:
        ConfigError: The command cannot be carried out.
    """
    parser = command_line("remote", __doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    setting_up = commands.add_parser("init", help="create a remote of one's own")
    setting_up.add_argument("name", help="what to call it")
    setting_up.add_argument("url", help="for example webdavs://host/folder, ssh://host/folder, s3://bucket or a folder")
    setting_up.add_argument(
        "settings", nargs="*", type=_setting, metavar="KEY=VALUE", help="`KEY=-` asks for the value"
    )
    auditing = commands.add_parser("audit", help="look for damaged objects")
    auditing.add_argument("name", nargs="?", help="of the remote (default: that of dvc push)")
    auditing.add_argument("--mend", action="store_true", help="delete what is damaged and push it again")
    wanted = parser.parse_args(words)
    with Repo() as repo:
        check_lock(Path(repo.root_dir))
        if wanted.command == "audit":
            lines = audit_remote(repo, wanted.name, wanted.mend)
            print("\n".join(lines))
            return int(bool(lines) and not wanted.mend)
        settings = {key: getpass.getpass(f"{key}: ") if value == "-" else value for key, value in wanted.settings}
        init(repo, wanted.name, wanted.url, settings)
        print(f"remote {wanted.name}: ready, verified, the default of dvc push and pull")
        return 0


def _setting(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{word}: expected KEY=VALUE")
    return key, value


@one_line("remote")
def main() -> None:
    """Runs the command line; a user's error becomes one line and exit status 1."""
    try:
        status = run()
    except DvcException as error:
        raise SystemExit(f"remote: {error}") from error
    raise SystemExit(status)


if __name__ == "__main__":
    main()
