"""A Slurm cluster of two nodes on this machine, for tests: munged, slurmctld and two slurmd of the distribution."""

import os
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
# where distributions put daemons, which is on no user's PATH
DAEMONS = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
CONF = """
ClusterName=two
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/ctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=6
MpiDefault=none
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1
PartitionName=all Nodes=n1,n2 Default=YES State=UP
"""


def missing() -> str:
    """Says what this machine lacks; empty if a cluster can be started."""
    lacking = [name for name in PROGRAMS if shutil.which(name, path=DAEMONS) is None]
    return f"no {', '.join(lacking)} here (Debian: slurm-wlm, munge)" if lacking else ""


def start(folder: Path, stack: ExitStack) -> None:
    """Starts the cluster, and ends it with the stack; SLURM_CONF then names it.

    Args:
        folder: Gets what the daemons write; a short path, as sockets need.
        stack: Ends it.
    """
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    munge = [
        f"--{name}={folder}/munge.{name.split('-')[0]}" for name in ("socket", "pid-file", "log-file", "seed-file")
    ]
    daemon(["munged", "--foreground", "--force", f"--key-file={key}", *munge], stack)
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    conf = folder / "slurm.conf"
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    conf.write_text(CONF.format(folder=folder, ports=ports, host=socket.gethostname().partition(".")[0], user=user))
    os.environ["SLURM_CONF"] = str(conf)
    stack.callback(os.environ.pop, "SLURM_CONF")
    daemon(["slurmctld", "-D", "-f", str(conf)], stack)
    for node in ("n1", "n2"):
        daemon(["slurmd", "-D", "-N", node, "-f", str(conf)], stack)
    wait_until(lambda: said("sinfo", "--noheader", "--format=%t").split() == ["idle"], 60)


def daemon(command: list[str], stack: ExitStack) -> None:
    """Runs a daemon until the stack ends."""
    program = shutil.which(command[0], path=DAEMONS)
    assert program is not None
    process = subprocess.Popen([program, *command[1:]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.terminate)


def lose_node(name: str) -> None:
    """Kills a node's daemon and all that runs there, as a machine that loses its power: nobody tells of a job's end."""
    daemons, works = [], []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            environment = process.environ()
            if environment.get("SLURM_CONF") != os.environ["SLURM_CONF"]:
                continue
            if process.name() == "slurmd" and process.cmdline()[2:4] == ["-N", name]:
                daemons.append(process)
            elif environment.get("SLURMD_NODENAME") == name and process.name() != "slurmstepd":
                works.append(process)
                daemons += [one for one in process.parents() if one.name() == "slurmstepd"]
    for process in [*daemons, *works]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def said(*command: str) -> str:
    """Returns what a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def wait_until(done, seconds: float) -> None:
    """Waits for something."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.5)
