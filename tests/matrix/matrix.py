"""The matrix: versions of ansible-core, connections, features. Run by tests/matrix/run, in namespaces of its own.

With --few only what is quick, over the local connection, with no user and no SSH server of its own.

Columns whose name begins with + have the module from the collection, the others from `library`.

The features are the tasks of features.yml. What Ansible has of each task comes from the callback tests/ansible/record.py;
what it prints is only searched for secrets. A few features that are options of a command have a run of their own here.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zlib

from hosts import DEPLOY, PLAIN, PORT, Hosts, mount

ROOT = pathlib.Path(__file__).resolve().parents[2]
# How many columns run side by side, on a machine of two cores.
SIDE_BY_SIDE = 2


class Failed(Exception):
    """Why a cell is not ok."""


def main(venvs, collections, versions):
    few = "--few" in versions
    versions = [version for version in versions if version != "--few"]
    connections = ["local", "+local"] if few else ["local", "ssh", "+local", "+ssh"]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # A path that is short enough for the sockets of ssh and of the engine.
    with tempfile.TemporaryDirectory(prefix="qcss-", dir="/tmp") as directory:
        directory = pathlib.Path(directory)
        directory.chmod(0o755)
        world = World(directory, few, collections)
        try:
            with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
                jobs = {}
                for version in versions:
                    venv = pathlib.Path(venvs).resolve() / f"venv-{version}"
                    jobs[version, "controller"] = pool.submit(controller, world, venv, version)
                    for connection in connections:
                        column = Column(world, venv, version, connection)
                        jobs[version, connection] = pool.submit(column.run)
                cells = {column: cells_of(job) for column, job in jobs.items()}
        finally:
            world.end()
    return report(versions, connections, cells)


def cells_of(job):
    """What a column found; a column that broke must not take the others with it."""
    try:
        return job.result()
    except Exception as error:
        return {"The run itself": repr(error)}


def report(versions, connections, cells):
    features = list(dict.fromkeys(feature for column in cells.values() for feature in column))
    width = max(map(len, features))
    wide = 7 * len(connections)
    print(f"\n{'':{width}}  " + " ".join(f"{version:{wide}}" for version in versions))
    print(f"{'':{width}}  " + " ".join("".join(f"{it:7}" for it in connections) for _ in versions))
    failures, total = [], 0
    for feature in features:
        row = []
        for version in versions:
            columns = ["controller"] if any(feature in cells[it, "controller"] for it in versions) else connections
            for column in columns:
                if feature == "Playbook by name" and not column.startswith("+"):
                    row.append(f"{'-':7}")
                    continue
                ran = feature == "The run itself"
                cause = cells[version, column].get(feature, None if ran else "no such run")
                total += 1
                if cause is not None:
                    failures.append(f"{feature}, {version}, {column}: {cause}")
                row.append(f"{'ok' if cause is None else 'FAILED':{wide if column == 'controller' else 7}}")
            row.append(" ")
        print(f"{feature:{width}}  {''.join(row)}".rstrip())
    print(f"\n{total - len(failures)} passed, {len(failures)} failed")
    for failure in failures:
        print(f"\n{failure}")
    return 1 if failures else 0


class World:
    """What all columns share: a Docker engine, users, and an SSH server at four addresses."""

    def __init__(self, directory, few, collections):
        self.directory = directory
        self.few = few
        if not few:
            self.hosts = Hosts(directory)
            self.hosts.start_sshd()
        self.engine_process, self.engine = self.start_engine()
        self.library = directory / "library"
        self.library.mkdir()
        for name in ["qcss_scanner", "qcss_scanner_info"]:
            shutil.copy(ROOT / "library/qcss_scanner", self.library / name)
            shutil.copy(ROOT / f"library/{name}.yml", self.library)
        self.collections = pathlib.Path(collections)
        self.noexec = directory / "noexec"
        self.noexec.mkdir()
        mount("-t", "tmpfs", "-o", "noexec,mode=1777", "noexec", self.noexec)

    def start_engine(self):
        process = subprocess.Popen(
            [ROOT / "tests/engine/throwaway-engine", self.directory / "engine"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        ready = process.stdout.readline()
        if not ready.startswith("ready "):
            sys.exit("the throwaway engine did not start")
        engine = ready.split()[1]
        for tag, version in [("qualys/qcsa:1", "1"), ("qualys/qcsa:latest", "1")]:
            build = [ROOT / "tests/stand-in/build", engine, tag, version]
            subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        return process, engine

    def end(self):
        self.engine_process.stdin.close()
        self.engine_process.wait()
        subprocess.run(["umount", "-l", self.noexec], check=False)
        if not self.few:
            self.hosts.end()


class Column:
    """One version over one connection."""

    def __init__(self, world, venv, version, connection):
        self.world = world
        self.venv = venv
        self.collection = connection.startswith("+")
        self.connection = connection.lstrip("+")
        self.prefix = f"m{version.replace('.', '')}{'c' if self.collection else ''}{self.connection}"
        self.directory = world.directory / self.prefix
        self.directory.mkdir()
        self.runs = 0
        self.module = "qcss.scanner.qcss_scanner" if self.collection else "qcss_scanner"
        self.secrets = [f"{self.prefix}-code", f"canary-{self.prefix}", self.integer_code()]

    def integer_code(self):
        """A code that is all digits, as the vendor's are, and that no other column has."""
        return str(21800000000000 + zlib.crc32(self.prefix.encode()))

    def run(self):
        """Of each feature why it failed, None where it did not."""
        started = time.monotonic()
        cells = {}
        quick = [self.pipelining, self.options, self.ad_hoc] + ([self.by_name] if self.collection else [])
        for runs in quick if self.world.few else [self.features, *quick]:
            cells |= runs()
        print(f"{self.venv.name} {self.connection}: {time.monotonic() - started:.0f} s", flush=True)
        return cells

    def features(self):
        vault, password = self.directory / "vault.yml", self.directory / "password"
        vault.write_text(f'vaulted_code: "{self.prefix}-code4"\n')
        password.write_text("canary-password")
        encrypt = ["ansible-vault", "encrypt", "--vault-password-file", password, vault]
        self.ansible(*encrypt)
        done = self.playbook(
            "features.yml", {"vault": str(vault), "noexec": str(self.world.noexec), "integer_code": int(self.integer_code())},
            "--vault-password-file", password, "--forks", "4",
        )  # fmt: skip
        cells = {}
        for feature in named_features():
            cells[feature] = judge(done, lambda done=done, feature=feature: verified(done, feature))
        hosts = {line["host"] for line in done.lines if line["task"] == "Four hosts at once | Verify"}
        if len(hosts) != 4:
            cells["Four hosts at once"] = f"only {sorted(hosts)}"
        if not any("censored" in line["result"] for line in done.lines if line["task"] == "Under no_log | Create"):
            cells["Under no_log"] = "the result is not censored"
        return cells

    def pipelining(self):
        """On; everything else runs with it off, which is Ansible's default."""
        done = self.again(True, "256M", "-e", "ansible_pipelining=true")
        return {"Pipelining": judge(done, lambda: verified(done, "Again"))}

    def options(self):
        """`--check --diff`, `-vvv` and the syntax check."""
        check = self.again(True, "512M", "--check", "--diff")
        loud = self.again(False, "256M", "-vvv")

        def told():
            verified(check, "Again")
            if "+memory: 536870912" not in check.output:
                raise Failed("the diff is not shown")

        def invoked():
            verified(loud, "Again")
            invocation = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
            if '"invocation"' not in loud.output or invocation not in loud.output:
                raise Failed("the invocation is not shown")

        return {"--check --diff": judge(check, told), "-vvv": judge(loud, invoked)}

    def ad_hoc(self):
        """The default output of `ansible` is JSON after the host's name."""
        arguments = f"name={self.prefix}-1 docker_host={self.world.engine}"
        options = ["--become", "--inventory", self.inventory(), "--module-name", self.module, "--args", arguments]
        done = self.ansible("ansible", "docker1", *options)

        def read():
            text = re.search(r"docker1 \| SUCCESS => (\{.*?^\})", done.output, re.MULTILINE | re.DOTALL)
            if not text or json.loads(text[1])["container"]["running"] is not True:
                raise Failed("no JSON")

        return {"Ad hoc, as JSON": judge(done, read)}

    def by_name(self):
        """A playbook of the collection."""
        variables = json.dumps({"target_hosts": "docker1", "qualys_docker_host": self.world.engine})
        done = self.ansible("ansible-playbook", "qcss.scanner.info", "--inventory", self.inventory(), "--extra-vars", variables)

        def told():
            if done.code != 0 or f"{self.prefix}-1 " not in done.output:
                raise Failed(done.output[-2000:])

        return {"Playbook by name": judge(done, told)}

    def again(self, expect_change, memory, *options):
        return self.playbook("again.yml", {"memory": memory, "expect_change": expect_change}, *options)

    def playbook(self, name, variables, *options):
        common = {
            "prefix": self.prefix, "engine": self.world.engine, "dir": str(self.directory / "scanners"), "plain_user": PLAIN,
            "cached": self.collection,
        }  # fmt: skip
        playbook = self.directory / name
        text = (ROOT / "tests/matrix" / name).read_text()
        playbook.write_text(re.sub(r"^( +)qcss_scanner(?=:|_info:)", rf"\1{self.module}", text, flags=re.MULTILINE))
        extra = json.dumps(common | variables)
        return self.ansible("ansible-playbook", playbook, "-i", self.inventory(), "-e", extra, *options)

    def inventory(self):
        common = {
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_async_dir": str(self.directory / "async"),
            "ansible_become_method": "sudo" if shutil.which("sudo") else "su",
            # A user can be given files by root alone, else by way of a group that both are in.
            "ansible_common_remote_group": PLAIN,
        }
        if self.connection == "local":
            hosts = {f"docker{number}": {"ansible_connection": "local"} for number in range(1, 5)}
        else:
            key = self.world.directory / "keys/user"
            common |= {"ansible_port": PORT, "ansible_user": DEPLOY, "ansible_ssh_private_key_file": str(key)}
            hosts = {f"docker{number}": {"ansible_host": f"127.0.0.{number}"} for number in range(1, 5)}
        # Nothing is there.
        hosts["elsewhere"] = {"ansible_host": "127.0.0.9", "ansible_port": 9}
        inventory = self.directory / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": common}}))
        return inventory

    def ansible(self, command, *arguments):
        self.runs += 1
        record = self.directory / f"record{self.runs}"
        (self.directory / "ansible.cfg").write_text("")
        known_hosts = self.directory / "known_hosts"
        environment = {
            "PATH": f"{self.venv}/bin:{os.environ['PATH']}",
            "HOME": str(self.directory),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": str(self.directory / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.directory / "a"),
            "ANSIBLE_REMOTE_TMP": str(self.directory / "tmp") if self.connection == "local" else "~/.ansible/tmp",
            # The one or the other, so that each column has what it says.
            "ANSIBLE_LIBRARY": str(self.directory / "no-library") if self.collection else str(self.world.library),
            "ANSIBLE_COLLECTIONS_PATH": str(self.world.collections) if self.collection else "",
            "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests/ansible"),
            "ANSIBLE_CALLBACKS_ENABLED": "record",
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_NOCOWS": "1",
            "ANSIBLE_TIMEOUT": "60",
            "PYTHONDONTWRITEBYTECODE": "1",
            # Else becoming root is nothing to do for root.
            "ANSIBLE_BECOME_ALLOW_SAME_USER": "1",
            "ANSIBLE_SSH_ARGS": f"-o ControlMaster=auto -o ControlPersist=30s -o UserKnownHostsFile={known_hosts} "
            "-o StrictHostKeyChecking=no",
            "RECORD": str(record),
        }
        done = subprocess.run(
            [self.venv / "bin" / command, *arguments], env=environment, cwd=self.directory, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900, check=False,
        )  # fmt: skip
        lines = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
        return Done(done.returncode, done.stdout, lines, self.secrets)


class Done:
    """A run that has ended."""

    def __init__(self, code, output, lines, secrets):
        self.code = code
        self.output = output
        self.lines = lines
        self.secrets = secrets


def named_features():
    """Of features.yml, in its order."""
    text = (ROOT / "tests/matrix/features.yml").read_text()
    return re.findall(r"- name: (.+) \| Verify$", text, re.MULTILINE)


def verified(done, feature):
    """Raises unless all verifications of a feature are ok."""
    lines = [line for line in done.lines if line["task"].startswith(f"{feature} | ")]
    verifications = [line for line in lines if line["task"].endswith(" | Verify")]
    if not verifications:
        raise Failed(f"not run: {done.output[-1500:]}")
    if any(line["outcome"] != "ok" for line in verifications):
        raise Failed(json.dumps(lines, indent=1)[:6000])


def judge(done, check):
    """None when `check` does not raise and no secret was printed."""
    shown = [secret for secret in done.secrets if secret in done.output]
    if shown:
        at = done.output.index(shown[0])
        return f"a secret is shown: {done.output[max(0, at - 300) : at + 60]}"
    try:
        check()
    except Failed as failure:
        return str(failure)
    return None


def controller(world, venv, version):
    """What needs no host."""
    column = Column(world, venv, version, "none")
    cells = {}
    # All of them, also those in folders; what else is there are tasks and variables.
    playbooks = sorted(path for path in (ROOT / "playbooks").rglob("*.yml") if is_playbook(path))
    password = column.directory / "password"
    password.write_text("example")
    syntax = column.ansible(
        "ansible-playbook", "--syntax-check", "-i", ROOT / "playbooks/inventory/hosts.yml",
        "--vault-password-file", password, *playbooks,
    )  # fmt: skip
    cells["Playbooks, --syntax-check"] = None if syntax.code == 0 else syntax.output
    collection = Column(world, venv, version, "+none")
    names = [f"qcss.scanner.{path.stem}" for path in playbooks if path.parent == ROOT / "playbooks" and path.stem != "demo"]
    syntax = collection.ansible(
        "ansible-playbook", "--syntax-check", "-i", ROOT / "playbooks/inventory/hosts.yml",
        "--vault-password-file", password, "qcss.scanner.scenario.scenario", *names,
    )  # fmt: skip
    cells["The collection's, --syntax-check"] = None if syntax.code == 0 else syntax.output
    for it in [column, collection]:
        for feature, option, expected in [
            ("ansible-doc", [], "personalization_code"),
            ("ansible-doc --snippet", ["--snippet"], "personalization_code:"),
            ("ansible-doc --json", ["--json"], '"personalization_code": {'),
        ]:
            for module in [it.module, f"{it.module}_info"]:
                done = it.ansible("ansible-doc", "--type", "module", *option, module)
                clean = done.code == 0 and not re.search("WARNING|ERROR|Traceback", done.output)
                word = expected.replace("personalization_code", "docker_host") if module.endswith("_info") else expected
                if not clean or word not in done.output:
                    cells[feature] = done.output[-2000:]
                else:
                    cells.setdefault(feature, None)
    return cells


def is_playbook(path):
    return re.search(r"^  (hosts|ansible\.builtin\.import_playbook): ", path.read_text(), re.MULTILINE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
