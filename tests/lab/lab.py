"""The inside of a lab, see `lab`: the controller's side of it, and with `--host` one of its hosts."""

import argparse
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/matrix"))

from hosts import DEPLOY, PORT, Hosts, mount  # noqa: E402

CALLERS_STDIN, CALLERS_PROC = 3, 4
NETWORK = "10.77.{}.{}"
DEADLINE = 120  # seconds for all of them to answer
ENGINE = ["--bridge=none", "--iptables=false", "--ip6tables=false"]
ON = """#!/bin/sh
# on controller|hostN COMMAND… (see tests/lab/lab)
host=$1 directory=$PWD
shift
case $host in
controller)
    export ANSIBLE_HOME={directory}/ansible
    exec nsenter --target "$(cat {directory}/controller.pid)" --mount --net --pid -- \\
        sh -c 'cd "$0" && exec "$@"' "$directory" "$@"
    ;;
*) exec nsenter --target "$(cat "{directory}/$host.pid")" --mount --net --pid -- "$@" ;;
esac
"""


def main():
    """As long as both pipes are open."""
    options = arguments()
    directory = Path(options.directory)
    if options.host:
        Host(options, directory).run()
    else:
        Lab(options, directory).run()


def arguments():
    parser = argparse.ArgumentParser(prog="lab")
    parser.add_argument("--hosts", type=int, default=3)
    parser.add_argument("--shared-engine", action="store_true")
    parser.add_argument("--without-python", type=int, action="append", metavar="N")
    parser.add_argument("--small-disk", type=int, action="append", default=[], metavar="N")
    parser.add_argument("--delay", type=float, default=0, metavar="MS")
    parser.add_argument("--host", type=int, help=argparse.SUPPRESS)
    parser.add_argument("directory")
    options, options.engine = parser.parse_known_args()
    if options.without_python is None:
        options.without_python = [2]
    return options


class Lab:
    """The controller, and what starts the hosts."""

    def __init__(self, options, directory):
        self.options, self.directory, self.hosts, self.engine = options, directory, {}, None

    def run(self):
        status = 0
        try:
            self.start()
            print(f"ready {self.directory}/inventory.json", flush=True)
            select.select([0, CALLERS_STDIN], [], [])
        except (RuntimeError, OSError, subprocess.CalledProcessError) as failure:
            print(f"the lab did not start: {failure}", file=sys.stderr)
            status = 1
        for process in [*self.hosts.values(), self.engine]:
            if process:
                process.stdin.close()
        for process in [*self.hosts.values(), self.engine]:
            if process:
                process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)  # `lab` may have been killed
        sys.exit(status)

    def start(self):
        write_pid(self.directory / "controller.pid")
        ip("link", "set", "lo", "up")
        ip("link", "add", "lab0", "type", "bridge")
        ip("address", "add", f"{NETWORK.format(0, 1)}/16", "dev", "lab0")
        ip("link", "set", "lab0", "up")
        self.write_helpers()
        if self.options.shared_engine:
            self.engine, _ = start_engine(self.directory / "engine", self.options.engine)
        for number in range(1, self.options.hosts + 1):
            self.start_host(number)
        for name, process in self.hosts.items():
            expect(process, "ready", name)
        if self.options.delay:
            self.delay()

    def start_host(self, number):
        name = f"host{number}"
        (self.directory / name).mkdir(mode=0o755)
        command = ["unshare", "--mount", "--net", "--propagation", "private", sys.executable, __file__, *sys.argv[1:]]
        self.hosts[name] = process = subprocess.Popen(
            command + ["--host", str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            pass_fds=[CALLERS_PROC],
        )  # fmt: skip
        expect(process, "here", name)
        ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(process.pid))
        ip("link", "set", name, "master", "lab0", "up")
        process.stdin.write("go\n")
        process.stdin.flush()

    def delay(self):
        for name in self.hosts:
            command = ["tc", "qdisc", "add", "dev", name, "root", "netem", "delay", f"{self.options.delay}ms"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"no delay: this kernel has no netem ({done.stderr.strip()})", file=sys.stderr)
                return

    def write_helpers(self):
        on = self.directory / "on"
        on.write_text(ON.format(directory=self.directory))
        on.chmod(0o755)
        hosts = {}
        for number in range(1, self.options.hosts + 1):
            directory = self.directory / f"host{number}"
            hosts[f"host{number}"] = {
                "ansible_host": address(number), "ansible_ssh_private_key_file": f"{directory}/keys/user",
                "lab_dir": str(directory),
            }  # fmt: skip
        common = {
            "ansible_user": DEPLOY, "ansible_port": PORT, "ansible_become_method": "sudo",
            "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR "
            "-o ServerAliveInterval=3 -o ServerAliveCountMax=2",
        }  # fmt: skip
        inventory = {"qualys_hosts": {"hosts": hosts, "vars": common}}
        (self.directory / "inventory.json").write_text(json.dumps(inventory, indent=1))


class Host:
    """A Docker host."""

    def __init__(self, options, directory):
        self.options, self.number = options, options.host
        self.shared = directory / "engine"
        self.directory = directory / f"host{self.number}"

    def run(self):
        print("here", flush=True)
        sys.stdin.readline()
        write_pid(self.directory.with_suffix(".pid"))
        ip("link", "set", "lo", "up")
        ip("address", "add", f"{address(self.number)}/16", "dev", "eth0")
        ip("link", "set", "eth0", "up")
        hosts = Hosts(self.directory)
        engine, folder = None, self.shared
        if not self.options.shared_engine:
            folder = self.directory / "engine"
            if self.number in self.options.small_disk:
                (folder / "data").mkdir(parents=True)
                mount("-t", "tmpfs", "-o", "size=64M", "disk", folder / "data")
            engine, folder = start_engine(folder, self.options.engine)
        Path("/run/docker.sock").symlink_to(folder / "docker.sock")
        hosts.start_sshd()
        (self.directory / "sshd.pid").write_text(str(hosts.sshd.pid))
        if self.number in self.options.without_python:
            hide_python(self.directory)
        print("ready", flush=True)
        sys.stdin.read()
        if engine:
            engine.stdin.close()
            engine.wait()
        hosts.sshd.kill()


def hide_python(directory):
    """No file called python can be run any more; this program goes on."""
    nothing = directory / "no-python"
    nothing.touch(0o644)
    folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    found = {it.resolve() for folder in folders for it in Path(folder).glob("python*") if it.is_file()}
    for program in found:
        mount("--bind", nothing, program)


def start_engine(folder, options):
    log = open(folder.parent / "engine.log", "w", encoding="utf-8")
    process = subprocess.Popen(
        [ROOT / "tests/engine/throwaway-engine", folder, *ENGINE, *options],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
    )  # fmt: skip
    if not process.stdout.readline().startswith("ready"):
        raise RuntimeError(Path(log.name).read_text(encoding="utf-8"))
    return process, folder


def expect(process, word, name):
    begin = time.monotonic()
    ready, _, _ = select.select([process.stdout], [], [], DEADLINE)
    if not ready or process.stdout.readline().strip() != word:
        raise RuntimeError(f"{name} did not say `{word}` within {time.monotonic() - begin:.0f} s")


def address(number):
    return NETWORK.format(1 + number // 250, 1 + number % 250)


def write_pid(path):
    """As the caller of the lab sees it."""
    path.write_text(os.readlink("self", dir_fd=CALLERS_PROC))


def ip(*words):
    subprocess.run([shutil.which("ip"), *words], check=True)


if __name__ == "__main__":
    main()
