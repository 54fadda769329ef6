"""What a task with nothing to do costs over SSH, on links of several speeds: see `run`, which starts it in namespaces.

The candidates take turns, so that a busy machine slows all of them alike: believe the ratios.
All links are one proxy in front of an SSH server on the loopback interface, which delays and slows down what it passes on,
and counts round trips: how often the client says something after the server did.
"""

import asyncio
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/matrix"))

from hosts import DEPLOY, HOMES, PORT, Hosts  # noqa: E402

VENV = Path(sys.executable).parent
PROXY_PORT = 2223
LATER = 9  # turns after the first, whose median counts
LINKS = [(delay, rate) for delay in [0, 20, 50] for rate in [100, 20]]  # ms there and back, Mbit/s


class Proxy(threading.Thread):
    """A link to the SSH server."""

    def __init__(self):
        super().__init__(daemon=True)
        self.delay, self.rate, self.turns, self.server_spoke = 0.0, 0.0, [], False
        self.ready = threading.Event()
        self.start()
        self.ready.wait()

    def run(self):
        asyncio.run(self.serve())

    async def serve(self):
        server = await asyncio.start_server(self.connect, "127.0.0.1", PROXY_PORT)
        self.ready.set()
        await server.serve_forever()

    async def connect(self, client_reader, client_writer):
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", PORT)
        await asyncio.gather(
            self.pass_on(client_reader, server_writer, True), self.pass_on(server_reader, client_writer, False)
        )

    async def pass_on(self, reader, writer, from_client):
        # As much as a router would keep.
        queue, free = asyncio.Queue(32), time.monotonic()

        async def deliver():
            while True:
                due, data = await queue.get()
                if due > time.monotonic():
                    await asyncio.sleep(due - time.monotonic())
                writer.write(data)
                if not data:
                    return writer.close()

        task = asyncio.create_task(deliver())
        data = b"begin"
        while data:
            try:
                data = await reader.read(8192)
            except ConnectionError:
                data = b""
            if from_client and self.server_spoke:
                self.turns.append(time.time())
            self.server_spoke = not from_client
            free = max(free, time.monotonic()) + len(data) / self.rate
            await queue.put((free + self.delay, data))
        await task


class Bench:
    """An engine with a scanner, an SSH server behind the proxy, the module in all its forms."""

    def __init__(self, directory, collections):
        self.directory = directory
        self.hosts = Hosts(directory)
        self.hosts.start_sshd()
        self.proxy = Proxy()
        self.engine = subprocess.Popen(
            [ROOT / "tests/engine/throwaway-engine", directory / "engine"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        words = self.engine.stdout.readline().split()
        if words[:1] != ["ready"]:
            sys.exit("the throwaway engine did not start, see above")
        self.docker_host = words[1]
        build = [ROOT / "tests/stand-in/build", self.docker_host, "qualys/qcsa:1"]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        self.collections = Path(collections)
        self.library = directory / "library"
        self.library.mkdir()
        shutil.copy(ROOT / "library/qcss_scanner", self.library)
        self.nothing = self.make_nothing()

    def make_nothing(self):
        """The collection by another name, with a module that does nothing, in a file of the same size."""
        scanner = self.collections / "ansible_collections/qcss/scanner"
        nothing = self.directory / "nothing/ansible_collections/qcss/nothing"
        shutil.copytree(scanner, nothing)
        for path in nothing.rglob("plugins/*/*.py"):
            path.write_text(path.read_text().replace("qcss.scanner", "qcss.nothing"))
        target = nothing / "plugins/plugin_utils/target"
        binary = target / f"qcss_scanner_{os.uname().machine}"
        text = b'#!/bin/sh\n# \x01\necho \'{"changed": false}\'\nexit\n'
        binary.write_bytes(text.ljust(binary.stat().st_size, b"#"))
        subprocess.run("sha256sum qcss_scanner_x86_64 qcss_scanner_aarch64 >checksums.txt", shell=True, check=True, cwd=target)
        return self.directory / "nothing"

    def close(self):
        self.engine.stdin.close()
        self.engine.wait()
        self.hosts.end()

    def play(self, candidates, connection):
        """For each candidate, of its first turn and of the others: milliseconds, commands, and round trips."""
        shutil.rmtree(HOMES / "root/.cache", ignore_errors=True)
        common = {
            "ansible_python_interpreter": sys.executable, "ansible_connection": connection, "ansible_host": "127.0.0.1",
            "ansible_port": PROXY_PORT, "ansible_user": DEPLOY, "ansible_become_method": "sudo",
            "ansible_ssh_private_key_file": str(self.hosts.key),
        }  # fmt: skip
        inventory, playbook, record = (self.directory / name for name in ["inventory.json", "playbook.json", "record"])
        inventory.write_text(json.dumps({"all": {"hosts": {"docker1": common}}}))
        turn = [task | {"vars": {"ansible_pipelining": pipelining}} for _, task, pipelining in candidates]
        begin = {"ansible.builtin.raw": "true"}  # the connection is made
        play = {"hosts": "all", "gather_facts": False, "become": True, "tasks": [begin] + turn * (1 + LATER)}
        playbook.write_text(json.dumps([play]))
        record.unlink(missing_ok=True)
        environment = {
            "PATH": f"{VENV}:{os.environ['PATH']}", "HOME": str(self.directory), "LC_ALL": "C.UTF-8", "RECORD": str(record),
            "ANSIBLE_HOME": str(self.directory / "a"), "ANSIBLE_LIBRARY": str(self.library), "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests/ansible"), "ANSIBLE_CALLBACKS_ENABLED": "record",
            "ANSIBLE_BECOME_ALLOW_SAME_USER": "1", "PYTHONDONTWRITEBYTECODE": "1",
            "ANSIBLE_COLLECTIONS_PATH": f"{self.collections}:{self.nothing}",
            "ANSIBLE_SSH_ARGS": f"-o ControlMaster=auto -o ControlPersist=5s -o StrictHostKeyChecking=no "
            f"-o UserKnownHostsFile={self.directory}/known_hosts",
        }  # fmt: skip
        done = subprocess.run(
            [VENV / "ansible-playbook", "-vvv", "-i", inventory, playbook], env=environment, cwd=self.directory, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        lines = [json.loads(line) for line in record.read_text().splitlines()]
        if done.returncode or len(lines) != 1 + len(turn) * (1 + LATER):
            sys.exit(done.stdout[-5000:])
        times = [line["time"] for line in lines]
        spans = list(zip(times, times[1:]))
        sections = re.split(r"^TASK ", done.stdout, flags=re.MULTILINE)[2:]
        command = "SSH: EXEC" if connection == "ssh" else "^<.*> (?:EXEC|PUT) "
        commands = [len(re.findall(command, section, re.MULTILINE)) for section in sections]
        turns = [sum(begin < turn <= end for turn in self.proxy.turns) for begin, end in spans]
        figures = [((end - begin) * 1000, command, turn) for (begin, end), command, turn in zip(spans, commands, turns)]
        later = figures[len(turn) :]
        medians = [[statistics.median(it) for it in zip(*later[number :: len(turn)])] for number in range(len(turn))]
        return {name: (first, median) for (name, _, _), first, median in zip(candidates, figures, medians)}


def run(bench):
    """All tables."""
    scanner = {
        "name": "scanner-1", "personalization_code": "code1", "qualys_url": "US1", "image": "qualys/qcsa:1",
        "shared_dir": f"{bench.directory}/shared", "private_dir": f"{bench.directory}/private", "memory": "64M",
        "docker_host": bench.docker_host, "settle": 0,
    }  # fmt: skip
    container = {
        "name": "scanner-1", "image": "qualys/qcsa:1", "memory": "64M", "docker_host": bench.docker_host,
        "volumes": [f"{bench.directory}/shared:/usr/local/qualys:z", f"{bench.directory}/private/code1:/usr/local/qualys/admin/etc:z"],
        "env": {"PERSONALIZATION_CODE": "code1", "QUALYS_URL": "https://qualysguard.qualys.com"},
    }  # fmt: skip
    ours, theirs = {"qcss.scanner.qcss_scanner": scanner}, {"community.docker.docker_container": container}
    ping, nothing = {"ansible.builtin.ping": {}}, {"qcss.nothing.qcss_scanner": scanner}
    candidates = [
        ("collection", ours, False),
        ("collection, pipelining", ours, True),
        ("its shim, doing nothing", nothing, False),
        ("module from library", {"qcss_scanner": scanner}, False),
        ("docker_container", theirs, False),
        ("docker_container, pipelining", theirs, True),
        ("ping", ping, False),
        ("ping, pipelining", ping, True),
        ("raw: true", {"ansible.builtin.raw": "true"}, False),
    ]
    bench.play(candidates[:1], "local")  # creates the scanner
    for delay, rate in LINKS:
        bench.proxy.delay, bench.proxy.rate = delay / 2000, rate * 1e6 / 8
        table(f"SSH, {delay} ms, {rate} Mbit/s", bench.play(candidates, "ssh"))
    table("Local", bench.play(candidates, "local"))


def table(title, figures):
    print(f"\n{title:32}{'first use':>24}{'later uses':>24}")
    print(f"{'':32}{'ms  commands    turns' + ' ' * 3:>24}{'ms  commands    turns':>24}")
    for name, both in figures.items():
        print(f"  {name:30}" + "".join(f"{it[0]:8.0f}{it[1]:8.0f}{it[2]:8.0f}" for it in both))
    later = {name: both[1][0] for name, both in figures.items()}
    for other in ["ping, pipelining", "its shim, doing nothing", "raw: true"]:
        print(f"  the collection against `{other}`: {later['collection'] / later[other]:.2f}")
    sys.stdout.flush()


def main(collections):
    """Leaves nothing behind."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory(prefix="qcss-", dir="/tmp") as directory:
        directory = Path(directory)
        directory.chmod(0o755)
        bench = Bench(directory, collections)
        try:
            run(bench)
        finally:
            bench.close()


if __name__ == "__main__":
    main(sys.argv[1])
