"""Hosts in a box (`box.py`): each has a network address, processes, a host name and temporary folders of its own.

A host runs one Ray node. All see the disk of this machine, but for the folders that are private to each. When a host
is killed, everything on it is gone at once, as when a machine is taken away.
"""

import os
import pwd
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from processes import with_command

_MAX_HOSTS = 9
_IN_HOST = """
hostname "$1"
mount --bind "$2" /etc/hosts
mount --bind "$3" /etc/resolv.conf
mount -t tmpfs -o size=1g tmpfs /dev/shm
mount -t tmpfs -o size=1g tmpfs /tmp/ray
for folder in $4; do mount -t tmpfs -o size=1g tmpfs "$folder"; done
shift 4
"$@"
exit $?
"""  # not `exec`: the first process of a host would ignore SIGTERM


def environment():
    """The environment of everything on the hosts: one token, and the caches of this machine's user, not of the box."""
    return os.environ | {
        "HOME": pwd.getpwuid(os.getuid()).pw_dir,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_raylet_start_wait_time_s": "150",
        "RAY_DISABLE_IMPORT_WARNING": "1",
    }


class Hosts:
    """The hosts of a box, made one after another; the first is the head of a Ray cluster. `folder` gets their logs."""

    def __init__(self, folder: Path) -> None:
        self.environment, self._folder, self._num_made = environment(), folder, 0
        self._names = folder / "hosts"
        names = "".join(f"{address(number)} h{number}\n" for number in range(_MAX_HOSTS))
        self._names.write_text("127.0.0.1 localhost\n" + names)
        self._resolver = folder / "resolv.conf"
        self._resolver.write_text("nameserver 127.0.0.1\n")  # nobody is there, which is known at once
        Path("/run/netns").mkdir(parents=True, exist_ok=True)
        for command in (
            "mount -t tmpfs tmpfs /run/netns",  # or the names of hosts would stay on the disk
            "ip link add br0 type bridge",
            "ip link set br0 up",
            "ip addr add 10.77.0.254/24 dev br0",
        ):
            subprocess.run(command.split(), check=True)

    def start(self, num_cpus, market, private=()):
        """Start a host with a Ray node of this size and market, and return it when the node is part of the cluster."""
        number, self._num_made = self._num_made, self._num_made + 1
        place = (
            ["--head", "--port=6379", "--include-dashboard=false"] if not number else [f"--address={address(0)}:6379"]
        )
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *place]
        command += [f"--node-ip-address={address(number)}", f"--num-cpus={num_cpus}", "--disable-usage-stats"]
        command += [f"--labels=ray.io/market-type={market}", "--object-store-memory=200000000"]
        host = Host(number, self._folder / f"h{number}.log", self.environment)
        host.boot(command, self._names, self._resolver, private)
        return host


class Host:
    """One host; `log` is the output of its Ray node."""

    def __init__(self, number, log, environment):
        self.name, self.address, self.log, self._environment = f"h{number}", address(number), log, environment
        self._number = number

    def boot(self, command, names, resolver, private):
        for step in (
            "ip netns add {name}",
            "ip link add v{name} type veth peer name eth0 netns {name}",
            "ip link set v{name} master br0 up",
            "ip -n {name} link set lo up",
            "ip -n {name} link set eth0 up",
            "ip -n {name} addr add {address}/24 dev eth0",
            "ip -n {name} route add default via 10.77.0.254",
        ):
            subprocess.run(step.format(name=self.name, address=self.address).split(), check=True)
        unshare = (
            f"ip netns exec {self.name} unshare --mount --pid --fork --uts --mount-proc --kill-child bash -c".split()
        )
        folders = " ".join(map(str, private))
        self._process = subprocess.Popen(
            [*unshare, _IN_HOST, "host", self.name, str(names), str(resolver), folders, *command],
            env=self._environment,
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
        )
        until(lambda: "Ray runtime started" in self.log.read_text() or self._ended(), f"a Ray node on {self.name}", 150)
        assert not self._ended(), self.log.read_text()[-3000:]

    def popen(self, command, output):
        """Start a command on this host; its output goes to a file. Return the process of the command itself."""
        enter = ["nsenter", "-t", str(self._first.pid), "--mount", "--pid", "--net", "--uts"]
        entered = subprocess.Popen(
            [*enter, *command],
            env=self._environment,
            stdout=output.open("w"),
            stderr=subprocess.STDOUT,
        )
        until(lambda: entered.poll() is not None or psutil.Process(entered.pid).children(), f"{command[0]} runs", 10)
        return entered, psutil.Process(entered.pid).children()[0]

    def actors(self, role):
        """The processes of actors of `role` Learner, Rollout or Reward that run here."""
        return with_command(f"ray::{role}Actor", self._first.children(recursive=True))

    def kill(self):
        """Take the host away at once."""
        self._first.kill()
        self._process.wait(30)

    def tell_to_go(self):
        """Send SIGTERM to the Ray node, as a cloud or an operator does before a host goes."""
        (node,) = with_command(" start ", self._first.children())
        node.send_signal(signal.SIGTERM)

    def is_gone(self):
        return self._process.poll() is not None

    @property
    def _first(self):
        (first,) = psutil.Process(self._process.pid).children()
        return first

    def _ended(self):
        return self._process.poll() is not None


def address(number):
    return f"10.77.0.{number + 1}"


def until(reached, what, timeout_s, every_s=0.2):
    """Wait for something; return its first true value, and the seconds that it took."""
    start = time.monotonic()
    while not (value := reached()):
        if time.monotonic() - start > timeout_s:
            raise TimeoutError(f"not within {timeout_s} s: {what}")
        time.sleep(every_s)
    return value, time.monotonic() - start
