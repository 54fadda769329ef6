"""What runs cost, beside docker_container and the docker command, on a throwaway engine: see `run`.

The candidates of a table take turns, so that a busy machine slows all of them alike: believe the ratios.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULE = str(ROOT / "library/qcss_scanner")
VENV = Path(sys.executable).parent
MANY = 20
TASKS = 10  # in a playbook


class Bench:
    """An engine, and a folder for arguments and the scanners' directories; both end with it."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.engine = subprocess.Popen(
            [ROOT / "tests/engine/throwaway-engine", self.directory / "engine"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        words = self.engine.stdout.readline().split()
        if words[:1] != ["ready"]:
            sys.exit("the throwaway engine did not start, see above")
        self.host = words[1]
        subprocess.run([ROOT / "tests/stand-in/build", self.host, "qualys/qcsa:1"], check=True, stdout=subprocess.DEVNULL)

    def close(self):
        self.engine.stdin.close()
        self.engine.wait()

    def scanner(self, number, **more):
        """The options of one scanner."""
        code = f"21808056{number:06}"
        return {
            "name": f"scanner-{number}", "personalization_code": code, "qualys_url": "US1", "image": "qualys/qcsa:1",
            "shared_dir": f"{self.directory}/shared", "private_dir": f"{self.directory}/private", "memory": "64M",
        } | more

    def module(self, options):
        """A command that runs the module with these options."""
        args = options | {"docker_host": self.host, "overcommit": "allow", "settle": 0}
        handle, path = tempfile.mkstemp(dir=self.directory)
        with os.fdopen(handle, "w") as file:
            json.dump(args | {"_ansible_module_name": "qcss_scanner"}, file)
        return [MODULE, path]

    def peer_options(self, number, memory="64M"):
        """The same scanner as docker_container takes it."""
        own = self.scanner(number)
        return {
            "name": own["name"], "image": own["image"], "memory": memory, "docker_host": self.host, "timeout": 60,
            "volumes": [
                f"{own['shared_dir']}:/usr/local/qualys:z",
                f"{own['private_dir']}/{own['personalization_code']}:/usr/local/qualys/admin/etc:z",
            ],
            "env": {
                "PERSONALIZATION_CODE": own["personalization_code"], "QUALYS_URL": "https://qualysguard.qualys.com",
            },
        }

    def peer(self, number, memory="64M"):
        """A command that runs docker_container as Ansible would: the file that Ansible makes of it, kept."""
        keep = Path(tempfile.mkdtemp(dir=self.directory))
        environment = os.environ | {
            "ANSIBLE_KEEP_REMOTE_FILES": "1", "ANSIBLE_REMOTE_TMP": str(keep), "ANSIBLE_HOME": str(self.directory / "home"),
        }
        arguments = json.dumps(self.peer_options(number, memory))
        command = [VENV / "ansible", "localhost", "-m", "community.docker.docker_container", "-a", arguments]
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        (file,) = keep.rglob("AnsiballZ_docker_container.py")
        return [sys.executable, str(file)]


def cost(command):
    """Milliseconds of time and of CPU."""
    with tempfile.TemporaryFile() as said:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            said.seek(0)
            sys.exit(f"failed: {command}\n{said.read().decode()}")
    return wall * 1000, (usage.ru_utime + usage.ru_stime) * 1000


def compare(title, repetitions, candidates):
    """Runs `candidates` (a name, and one or more commands that take turns) alternately, and prints their medians."""
    samples = {name: [] for name, *_ in candidates}
    for repetition in range(-1, repetitions):
        for name, *commands in candidates:
            sample = cost(commands[repetition % len(commands)])
            if repetition >= 0:  # the first one warms up
                samples[name].append(sample)
    print(f"\n{title} ({repetitions} times each)")
    print(f"  {'':32}{'time, ms':>10}{'CPU, ms':>10}{'ratio of time':>15}")
    first = None
    for name, values in samples.items():
        wall, cpu = (statistics.median(column) for column in zip(*values))
        first = first or wall
        print(f"  {name:32}{wall:10.1f}{cpu:10.1f}{wall / first:15.1f}")


def playbook(bench, tasks):
    """A command that runs a playbook with these tasks."""
    handle, path = tempfile.mkstemp(dir=bench.directory, suffix=".yml")
    with os.fdopen(handle, "w") as file:
        json.dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}], file)
    return ["env", f"ANSIBLE_LIBRARY={ROOT / 'library'}", str(VENV / "ansible-playbook"), path]


def run(bench):
    """All tables."""
    one, many = bench.scanner(0), {"scanners": [bench.scanner(number) for number in range(MANY)]}
    cost(bench.module(many))
    inspect = ["docker", "--host", bench.host, "inspect", "scanner-0"]

    compare("Nothing to do", 30, [
        ("qcss_scanner", bench.module(one)),
        ("docker inspect", inspect),
        ("docker_container", bench.peer(0)),
    ])
    compare("Nothing to do, of one and of many", 30, [
        ("one scanner", bench.module(one)),
        (f"scanners: {MANY} of them", bench.module(many)),
    ])
    compare("A live update of the memory", 20, [
        ("qcss_scanner", bench.module(one | {"memory": "96M"}), bench.module(one)),
        ("docker_container", bench.peer(1, "96M"), bench.peer(1)),
    ])
    ours = {"qcss_scanner": one | {"docker_host": bench.host, "overcommit": "allow"}}
    several = {"qcss_scanner": many | {"docker_host": bench.host, "overcommit": "allow"}}
    theirs = {"community.docker.docker_container": bench.peer_options(0)}
    compare(f"A playbook with {TASKS} tasks that find nothing to do", 5, [
        ("qcss_scanner", playbook(bench, [ours] * TASKS)),
        (f"qcss_scanner, {MANY} scanners each", playbook(bench, [several] * TASKS)),
        ("docker_container", playbook(bench, [theirs] * TASKS)),
        ("no task at all", playbook(bench, [])),
    ])


def main():
    """Leaves nothing behind."""
    with tempfile.TemporaryDirectory(prefix="qcss-benchmark-") as directory:
        bench = Bench(directory)
        try:
            run(bench)
        finally:
            bench.close()


if __name__ == "__main__":
    main()
