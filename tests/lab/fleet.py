"""A lab with scanners on its hosts, as tests and the benchmark use it."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CANARY = "canary-"  # every personalization code begins with it


class Fleet:
    """Starts a lab; ends it at the end of a `with`."""

    def __init__(self, *options, hosts=3, scanners=1, collections=None, ansible=ROOT / ".venv/bin"):
        self.hosts = [f"host{number}" for number in range(1, hosts + 1)]
        self.names = [f"scanner-{number}" for number in range(1, scanners + 1)]
        self.collections, self.ansible = collections, Path(ansible)
        self.parent = tempfile.TemporaryDirectory(prefix="qcss-lab-", dir=os.environ.get("TMPDIR", "/tmp"))
        self.directory = Path(self.parent.name) / "lab"
        Path(self.parent.name).chmod(0o755)
        self.lab = subprocess.Popen(
            [ROOT / "tests/lab/lab", self.directory, "--hosts", str(hosts), *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.output = ""
        if not self.lab.stdout.readline().startswith("ready"):
            self.close()
            sys.exit("the lab did not start, see above")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.lab.stdin.close()
        self.lab.wait()
        self.parent.cleanup()

    def on(self, host, *command):
        """What a command on one of the hosts prints."""
        done = subprocess.run(
            [self.directory / "on", host, *map(str, command)], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise AssertionError(f"{host}: {command}: {done.stderr}")
        return done.stdout.strip()

    def make_images(self):
        """The archives 1.tar, 2.tar and bad.tar, which has a scanner that starts and dies under the name of the second."""
        images = self.directory / "images"
        images.mkdir()
        for version in ["1", "2"]:
            self.on("host1", ROOT / "tests/stand-in/build", "unix:///run/docker.sock", f"qualys/qcsa:{version}", version)
            self.on("host1", "docker", "save", "--output", images / f"{version}.tar", f"qualys/qcsa:{version}")
        container = self.on("host1", "docker", "create", "--network=none", "qualys/qcsa:2")
        self.on("host1", "docker", "commit", "--change=ENV STAND_IN_DIE_AFTER=0.3", container, "qualys/qcsa:2")
        self.on("host1", "docker", "save", "--output", images / "bad.tar", "qualys/qcsa:2")
        self.on("host1", "docker", "rm", container)
        self.on("host1", "docker", "rmi", "qualys/qcsa:2")
        for host in self.hosts:
            self.load(host, "1")

    def load(self, host, archive):
        self.on(host, "docker", "load", "--quiet", "--input", self.directory / f"images/{archive}.tar")

    def variables(self, **more):
        """Of an inventory, whose codes are in vars.json of their own."""
        return {
            "qualys_url": "US2", "qualys_image": "qualys/qcsa:1", "qualys_scanners": [{"name": name} for name in self.names],
            "qualys_upgrade_settle": 1, "ansible_python_interpreter": "/usr/bin/python3",
        } | more  # fmt: skip

    def codes(self):
        """What only creating takes."""
        return {
            "qualys_codes": {name: CANARY + name + "-{{ inventory_hostname }}" for name in self.names},
            "qualys_shared_dir": "{{ lab_dir }}/shared", "qualys_private_dir": "{{ lab_dir }}/private",
        }  # fmt: skip

    def archive(self, version):
        return str(self.directory / f"images/{version}.tar")

    def start(self, playbook, *options, **more):
        """Runs one of the playbooks, of the collection where there is one: a process whose output is read later."""
        handle, path = tempfile.mkstemp(dir=self.directory, suffix=".json")
        with os.fdopen(handle, "w") as file:
            json.dump(self.variables(**more), file)
        environment = os.environ | {
            "PATH": f"{self.ansible}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8", "HOME": str(self.directory),
            "ANSIBLE_LIBRARY": str(ROOT / "library"), "ANSIBLE_FORKS": "20", "ANSIBLE_SSH_RETRIES": "0", "ANSIBLE_TIMEOUT": "5",
        }  # fmt: skip
        if self.collections:
            environment["ANSIBLE_COLLECTIONS_PATH"] = str(self.collections)
            environment.pop("ANSIBLE_LIBRARY")
            playbook = f"qcss.scanner.{playbook.removesuffix('.yml')}"
        else:
            playbook = ROOT / "playbooks" / playbook
        command = [
            self.directory / "on", "controller", self.ansible / "ansible-playbook", "--inventory", self.directory / "inventory.json",
            playbook, "--extra-vars", f"@{path}", *options,
        ]  # fmt: skip
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )  # fmt: skip

    def finish(self, process):
        """Its exit code. No code may be in what it printed."""
        self.output, _ = process.communicate(timeout=280)
        assert CANARY not in self.output, "a code is shown"
        return process.returncode

    def play(self, playbook, *options, **more):
        return self.finish(self.start(playbook, *options, **more))

    def interrupt(self, process):
        """Ctrl-C: every process of the terminal gets it."""
        os.killpg(process.pid, signal.SIGINT)

    def create(self):
        """All scanners, with the first image."""
        for host in self.hosts:
            containers = self.on(host, "docker", "ps", "--all", "--quiet").split()
            if containers:
                self.on(host, "docker", "rm", "--force", *containers)
            self.on(host, "rm", "-rf", *(self.directory / host / name for name in ["shared", "private"]))
            subprocess.run([self.directory / "on", host, "docker", "rmi", "--force", "qualys/qcsa:2"], capture_output=True, check=False)
        assert self.play("create.yml", qualys_overcommit="allow", **self.codes()) == 0, self.output

    def scanners(self, host):
        """Of each scanner: its image's version, or `bad`, and whether it runs."""
        form = "{{.Name}} {{.Config.Env}} {{.State.Running}}"
        lines = self.on(host, "docker", "inspect", "--format", form, *self.names).splitlines()
        found = {}
        for line in lines:
            version = "bad" if "STAND_IN_DIE" in line else re.search(r"QCSA_VERSION=(\w+)", line)[1]
            found[line.split()[0].strip("/")] = (version, line.endswith("true"))
        return [found[name] for name in self.names]

    def table(self):
        """The rollout's table as {host: {scanner: outcome}}."""
        found = {}
        for line in self.output.splitlines():
            row = re.match(r' *"(host\d+) +(\S+) +(.*?) {2,}(.*?) {2,}(.*?)"', line)
            if row:
                found.setdefault(row[1], {})[row[2]] = row[5]
        return found

    def outcomes(self):
        """Of the first scanner of each host."""
        return [self.table()[host][self.names[0]] for host in self.hosts]
