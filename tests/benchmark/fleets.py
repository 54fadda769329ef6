"""What tasks for several hosts cost, beside docker_container: see `run`. On labs (tests/lab), over SSH.

CPU is user and system time that the kernel counted for a control group: one for the controller (ansible-playbook and its SSH
clients), one for what the SSH servers of the hosts start. The engines are in neither. Others on the machine do not add to
it, but make it somewhat dearer; the time of day is theirs as well. The connections are open before anything is measured.
"""

import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lab"))

from fleet import Fleet  # noqa: E402

VENV = Path(sys.executable).parent
SIZES = [(3, [], 2), (10, [], 2), (50, ["--shared-engine"], 1)]  # hosts, options of the lab, repetitions
STEPS = ["create", "nothing to do", "adjust", "upgrade"]
OURS = ["collection", "plain module"]
PEER = "docker_container"
STOPS = 15  # for the downtime
GROUPS = Path("/sys/fs/cgroup/cpuacct")
if not GROUPS.is_dir():
    GROUPS = Path("/sys/fs/cgroup")


class Group:
    """A control group that counts CPU seconds."""

    def __init__(self, name):
        self.path = GROUPS / f"qcss-benchmark-{os.getpid()}-{name}"
        self.path.mkdir()

    def close(self):
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def seconds(self):
        usage = self.path / "cpuacct.usage"
        if usage.exists():
            return int(usage.read_text()) / 1e9
        return int(re.search(r"usage_usec (\d+)", (self.path / "cpu.stat").read_text())[1]) / 1e6


class Bench:
    """A lab, whose hosts' programs are counted."""

    def __init__(self, fleet, shared, collections, controller, targets):
        self.fleet, self.shared, self.collections = fleet, shared, collections
        self.controller, self.targets = controller, targets
        for host in fleet.hosts:
            fleet.on(host, "sh", "-c", f"cat {fleet.directory}/{host}/sshd.pid >{targets.path}/cgroup.procs")
        engines = ["host1"] if shared else fleet.hosts
        self.logs = [fleet.directory / ("engine" if shared else f"{host}/engine") / "dockerd.log" for host in engines]
        for version in ["1", "2"]:
            build = [ROOT / "tests/stand-in/build", "unix:///run/docker.sock", f"qualys/qcsa:{version}", version]
            for host in engines:
                fleet.on(host, *build)
        self.engines = engines

    def task(self, candidate, step):
        """It brings about what is there after this step."""
        image = "qualys/qcsa:2" if step == "upgrade" else "qualys/qcsa:1"
        memory = "64M" if step in ["create", "nothing to do"] else "96M"
        name, code = "scanner-{{ inventory_hostname }}", "21808056-{{ inventory_hostname }}"
        shared, private = "{{ lab_dir }}/shared", "{{ lab_dir }}/private"
        if candidate == "raw":
            return {"ansible.builtin.raw": "true"}
        if candidate == PEER:
            return {"community.docker.docker_container": {
                "name": name, "image": image, "memory": memory,
                "volumes": [f"{shared}:/usr/local/qualys:z", f"{private}/{code}:/usr/local/qualys/admin/etc:z"],
                "env": {"PERSONALIZATION_CODE": code, "QUALYS_URL": "https://qualysguard.qg2.apps.qualys.com"},
            }}  # fmt: skip
        module = "qcss.scanner.qcss_scanner" if candidate == "collection" else "qcss_scanner"
        return {module: {
            "name": name, "personalization_code": code, "qualys_url": "US2", "image": image, "memory": memory,
            "shared_dir": shared, "private_dir": private, "settle": 0,
        }}  # fmt: skip

    def play(self, candidate, step):
        """Runs the task on all hosts; what it cost."""
        play = {"hosts": "all", "gather_facts": False, "become": True, "tasks": [self.task(candidate, step)]}
        handle, path = tempfile.mkstemp(dir=self.fleet.directory, suffix=".yml")
        with os.fdopen(handle, "w") as file:
            json.dump([play], file)
        environment = os.environ | {
            "PATH": f"{VENV}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8", "HOME": str(self.fleet.directory), "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LIBRARY": str(ROOT / "library"), "ANSIBLE_FORKS": "10", "ANSIBLE_COLLECTIONS_PATH": str(self.collections),
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=900s",
        }  # fmt: skip
        command = [
            self.fleet.directory / "on", "controller", VENV / "ansible-playbook", "--inventory",
            self.fleet.directory / "inventory.json", "--extra-vars", f"ansible_python_interpreter={sys.executable}", path,
        ]  # fmt: skip

        def count_it():
            (self.controller.path / "cgroup.procs").write_text("0")

        before, begin = self.counters(), time.monotonic()
        done = subprocess.run(
            command, cwd=ROOT, env=environment, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False,
            stderr=subprocess.STDOUT, preexec_fn=count_it,
        )  # fmt: skip
        wall = time.monotonic() - begin
        changed = len(re.findall(r"changed=1 .*failed=0", done.stdout))
        wanted = 0 if step == "nothing to do" else len(self.fleet.hosts)
        if done.returncode or (candidate != "raw" and changed != wanted):
            sys.exit(f"{candidate}, {step}: {changed} changed\n{done.stdout[-5000:]}")
        after = self.counters()
        return [now - then for now, then in zip(after, before)] + [wall]

    def counters(self):
        """CPU seconds of the controller and of the targets, requests to the engines, bytes on the hosts' links."""
        requests = sum(len(re.findall(r"Calling [A-Z]+ /|handling [A-Z]+ request", log.read_text())) for log in self.logs)
        links = json.loads(self.fleet.on("controller", "ip", "-s", "-j", "link"))
        links = [link["stats64"] for link in links if link["ifname"].startswith("host")]
        data = sum(link[way]["bytes"] for link in links for way in ["rx", "tx"])
        return [self.controller.seconds(), self.targets.seconds(), requests, data]

    def remove(self):
        for host in self.engines:
            self.fleet.on(host, "sh", "-c", "docker ps --all --quiet | xargs -r docker rm --force")

    def measure(self, repetitions):
        """For each candidate and step, the medians of what one host cost."""
        samples = {(candidate, step): [] for candidate in ["raw", *OURS, PEER] for step in STEPS}
        self.play("raw", "")  # makes the connections
        self.play("collection", "create")  # sends the binary
        self.remove()
        for _ in range(repetitions):
            for candidate in ["raw", *OURS, PEER]:
                for step in STEPS if candidate != "raw" else STEPS[:1]:
                    samples[candidate, step].append(self.play(candidate, step))
                self.remove()
        hosts = len(self.fleet.hosts)
        medians = {key: [statistics.median(it) for it in zip(*values)] for key, values in samples.items() if values}
        return {key: [value / hosts for value in values[:4]] + [values[4]] for key, values in medians.items()}


def table(hosts, shared, figures):
    way = figures["raw", STEPS[0]]
    print(f"\n{hosts} hosts, {'one engine for all' if shared else 'an engine each'}; per host, but for the time:\n")
    print("| | | controller, ms CPU | modules, ms CPU | both | docker_container / this | requests | KiB | time, s |")
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|")
    print(f"| `raw: true` | | {way[0] * 1000:.0f} | ({way[1] * 1000:.0f}) | | | | {way[3] / 1024:.0f} | {way[4]:.1f} |")
    for step in STEPS:
        peer = sum(figures[PEER, step][:2]) - way[1]
        for candidate in [*OURS, PEER]:
            controller, targets, requests, data, wall = figures[candidate, step]
            both = controller + targets - way[1]
            cells = [controller * 1000, (targets - way[1]) * 1000, both * 1000]
            print(
                f"| {step} | {candidate} | " + " | ".join(f"{it:.0f}" for it in cells)
                + f" | {peer / both:.1f} | {requests:.1f} | {data / 1024:.0f} | {wall:.1f} |"
            )  # fmt: skip
    sys.stdout.flush()


def downtime(fleet):
    """Milliseconds from the end of a scanner to its start, by the engine's events: of an upgrade, and of the docker command."""
    directory = fleet.directory / "host1"
    fleet.on("host1", "sh", "-c", "docker ps --all --quiet | xargs -r docker rm --force")
    options = {
        "name": "scanner", "personalization_code": "21808056", "qualys_url": "US2", "shared_dir": f"{directory}/shared",
        "private_dir": f"{directory}/private", "settle": 0.2, "_ansible_module_name": "qcss_scanner",
    }  # fmt: skip
    commands = []
    for version in "12":
        file = directory / f"upgrade-{version}.json"
        file.write_text(json.dumps(options | {"image": f"qualys/qcsa:{version}"}))
        commands.append([ROOT / "library/qcss_scanner", file])
    fleet.on("host1", *commands[0])
    spans = {"upgrade": [], "docker stop, docker start": []}
    for turn in range(STOPS):
        for name, command in [
            ("upgrade", commands[(turn + 1) % 2]),
            ("docker stop, docker start", ["sh", "-c", "docker stop scanner && docker start scanner"]),
        ]:
            time.sleep(0.3)
            begin = time.time()
            fleet.on("host1", *command)
            spans[name].append(span(fleet, begin))
    medians = {name: statistics.median(values) for name, values in spans.items()}
    print("\n| downtime of a scanner, ms | median | least | most |\n|---|--:|--:|--:|")
    for name, values in spans.items():
        print(f"| {name} | {medians[name]:.0f} | {min(values):.0f} | {max(values):.0f} |")
    print(f"\nAn upgrade takes {medians['upgrade'] / medians['docker stop, docker start']:.2f} times that of the command.")


def span(fleet, begin):
    events = fleet.on(
        "host1", "docker", "events", "--since", f"{begin:.9f}", "--until", f"{time.time():.9f}", "--filter", "type=container",
        "--filter", "event=die", "--filter", "event=start", "--format", "{{json .}}",
    )  # fmt: skip
    times = {event["Action"]: event["timeNano"] for event in map(json.loads, events.splitlines())}
    return (times["start"] - times["die"]) / 1e6


def main(collections):
    """Leaves nothing behind."""
    if "docker_container" not in str(list((VENV.parent).rglob("community/docker/plugins/modules/docker_container.py"))):
        sys.exit("no community.docker in this Python")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    controller, targets = Group("controller"), Group("targets")
    try:
        for hosts, options, repetitions in SIZES:
            options = ["--without-python", "0", *options, "--debug"]
            with Fleet(*options, hosts=hosts, ansible=VENV) as fleet:
                bench = Bench(fleet, "--shared-engine" in options, collections, controller, targets)
                table(hosts, bench.shared, bench.measure(repetitions))
                if hosts == SIZES[0][0]:
                    downtime(fleet)
    finally:
        time.sleep(1)
        controller.close()
        targets.close()


if __name__ == "__main__":
    main(sys.argv[1])
