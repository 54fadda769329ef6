"""The matrix: versions of ansible-core, connections, features. Run by tests/matrix/run, in namespaces of its own.

With --few only what is quick, over the local connection, with no user and no SSH server of its own.

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

ROOT = pathlib.Path(__file__).resolve().parents[2]
PORT = 2222
# How many columns run side by side, on a machine of two cores.
SIDE_BY_SIDE = 2
DEPLOY, PLAIN = "qcss-deploy", "qcss-plain"


class Failed(Exception):
    """Why a cell is not ok."""


def main(venvs, versions):
    few = "--few" in versions
    versions = [version for version in versions if version != "--few"]
    connections = ["local"] if few else ["local", "ssh"]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # A path that is short enough for the sockets of ssh and of the engine.
    with tempfile.TemporaryDirectory(prefix="qcss-", dir="/tmp") as directory:
        directory = pathlib.Path(directory)
        directory.chmod(0o755)
        world = World(directory, few)
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

    def __init__(self, directory, few):
        self.directory = directory
        self.few = few
        if not few:
            self.hide_the_machine()
            self.make_users()
            self.sshd = self.start_sshd()
        self.engine_process, self.engine = self.start_engine()
        self.library = directory / "library"
        self.library.mkdir()
        for name in ["qcss_scanner", "qcss_scanner_info"]:
            shutil.copy(ROOT / "library/qcss_scanner", self.library / name)
            shutil.copy(ROOT / f"library/{name}.yml", self.library)
        self.noexec = directory / "noexec"
        self.noexec.mkdir()
        mount("-t", "tmpfs", "-o", "noexec,mode=1777", "noexec", self.noexec)

    def hide_the_machine(self):
        """A /run of our own, and files of /etc that are ours to change."""
        mount("-t", "tmpfs", "-o", "mode=755", "run", "/run")
        pathlib.Path("/run/sshd").mkdir()
        for name in ["passwd", "group", "shadow", "sudoers"]:
            copy = self.directory / name
            shutil.copy2(f"/etc/{name}", copy)
            mount("--bind", copy, f"/etc/{name}")

    def make_users(self):
        for number, user in enumerate([DEPLOY, PLAIN], 61001):
            home = self.directory / "home" / user
            home.mkdir(parents=True)
            os.chown(home, number, number)
            append("/etc/passwd", f"{user}:x:{number}:{number}::{home}:/bin/bash")
            append("/etc/shadow", f"{user}:*:19000:0:99999:7:::")
            append("/etc/group", f"{user}:x:{number}:{DEPLOY}")
        # The one shared file: a bind mount keeps the mode that sudo insists on.
        pathlib.Path("/etc/sudoers").write_text(f"root ALL=(ALL:ALL) ALL\n{DEPLOY} ALL=(ALL:ALL) NOPASSWD: ALL\n")

    def start_sshd(self):
        keys = self.directory / "keys"
        keys.mkdir()
        for name in ["host", "user"]:
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name], check=True)
        (keys / "sshd_config").write_text(
            f"Port {PORT}\nListenAddress 0.0.0.0\nHostKey {keys}/host\nAuthorizedKeysFile {keys}/user.pub\n"
            "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\nMaxStartups 100\nMaxSessions 100\n"
            "Subsystem sftp internal-sftp\n"
        )
        # sshd wants to be called by its full path.
        log = open(self.directory / "sshd.log", "w")
        sshd = subprocess.Popen([shutil.which("sshd"), "-D", "-e", "-f", keys / "sshd_config"], stderr=log)
        time.sleep(0.5)
        if sshd.poll() is not None:
            sys.exit(f"sshd did not start: {(self.directory / 'sshd.log').read_text()}")
        return sshd

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
        if self.few:
            return
        self.sshd.terminate()
        # As they were: the copies are about to be deleted.
        for name in ["passwd", "group", "shadow", "sudoers"]:
            subprocess.run(["umount", "-l", f"/etc/{name}"], check=False)


class Column:
    """One version over one connection."""

    def __init__(self, world, venv, version, connection):
        self.world = world
        self.venv = venv
        self.connection = connection
        self.prefix = f"m{version.replace('.', '')}{connection}"
        self.directory = world.directory / self.prefix
        self.directory.mkdir()
        self.runs = 0
        self.secrets = [f"{self.prefix}-code", f"canary-{self.prefix}", self.integer_code()]

    def integer_code(self):
        """A code that is all digits, as the vendor's are, and that no other column has."""
        return str(21800000000000 + int.from_bytes(self.prefix.encode()[-6:], "big") % 10**9)

    def run(self):
        """Of each feature why it failed, None where it did not."""
        started = time.monotonic()
        cells = {}
        quick = [self.pipelining, self.options, self.ad_hoc]
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
        options = ["--become", "--inventory", self.inventory(), "--module-name", "qcss_scanner", "--args", arguments]
        done = self.ansible("ansible", "docker1", *options)

        def read():
            text = re.search(r"docker1 \| SUCCESS => (\{.*?^\})", done.output, re.MULTILINE | re.DOTALL)
            if not text or json.loads(text[1])["container"]["running"] is not True:
                raise Failed("no JSON")

        return {"Ad hoc, as JSON": judge(done, read)}

    def again(self, expect_change, memory, *options):
        return self.playbook("again.yml", {"memory": memory, "expect_change": expect_change}, *options)

    def playbook(self, name, variables, *options):
        common = {"prefix": self.prefix, "engine": self.world.engine, "dir": str(self.directory / "scanners"), "plain_user": PLAIN}
        playbook = ROOT / "tests/matrix" / name
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
            "ANSIBLE_LIBRARY": str(self.world.library),
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
    for feature, option, expected in [
        ("ansible-doc", [], "personalization_code"),
        ("ansible-doc --snippet", ["--snippet"], "personalization_code:"),
        ("ansible-doc --json", ["--json"], '"personalization_code": {'),
    ]:
        for module in ["qcss_scanner", "qcss_scanner_info"]:
            done = column.ansible("ansible-doc", "--type", "module", *option, module)
            clean = done.code == 0 and not re.search("WARNING|ERROR|Traceback", done.output)
            word = expected if module == "qcss_scanner" else expected.replace("personalization_code", "docker_host")
            if not clean or word not in done.output:
                cells[feature] = done.output[-2000:]
            else:
                cells.setdefault(feature, None)
    return cells


def is_playbook(path):
    return re.search(r"^  (hosts|ansible\.builtin\.import_playbook): ", path.read_text(), re.MULTILINE)


def mount(*arguments):
    subprocess.run(["mount", "--no-mtab", *arguments], check=True)


def append(path, line):
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
