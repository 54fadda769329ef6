"""What the collection promises of the way to the target. Run by tests/collection/run, in namespaces of its own.

A stand-in takes the place of the module's binary: it writes down that it ran, and gives back what it was given. Whatever
is done to the cache, the task must work, run once, and run nothing that is not the stand-in.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/matrix"))

from hosts import DEPLOY, HOMES, PLAIN, PORT, Hosts, mount  # noqa: E402

VENV = pathlib.Path(sys.executable).parent
LOG = pathlib.Path("/run/ran")
CACHE = HOMES / "root/.cache/qcss_scanner"
# The control character makes ansible-core take it for a binary.
STAND_IN = r"""#!/bin/sh
# %s
echo "%s $0" >>/run/ran
arguments=$(cat "$1")
case $arguments in
    *'"do": "say nothing"'*) exit 1 ;;
    *'"do": "say something else"'*) echo else; exit 0 ;;
    *'"do": "die"'*) kill -9 $$ ;;
esac
printf '{"changed": false, "via": "%%s", "got": %%s}\n' "$0" "$arguments"
"""
EVIL = '#!/bin/sh\necho evil >>/run/ran\necho \'{"evil": true}\'\n'
TESTS = []
QUICK = []


def test(function):
    TESTS.append(function)
    return function


def quick(function):
    """Of those that need no SSH, what takes half a minute."""
    QUICK.append(function)
    return test(function)


def main(arguments):
    few = "--few" in arguments
    names = [argument for argument in arguments if argument != "--few"]
    chosen = [it for it in (QUICK if few else TESTS) if not names or it.__name__ in names]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    failures = []
    with tempfile.TemporaryDirectory(prefix="qcss-", dir="/tmp") as directory:
        directory = pathlib.Path(directory)
        directory.chmod(0o755)
        world = World(directory)
        try:
            for function in chosen:
                begin = time.monotonic()
                cause = outcome(world, function)
                failures += [cause] if cause else []
                print(f"{'FAILED' if cause else 'ok':7} {function.__name__.replace('_', ' ')}, {time.monotonic() - begin:.1f} s")
                print(cause, end="\n\n", flush=True) if cause else None
        finally:
            world.hosts.end()
    print(f"{len(chosen) - len(failures)} passed, {len(failures)} failed")
    return bool(failures)


def outcome(world, function):
    """Why it failed, or None."""
    world.clean()
    try:
        function(world)
    except Exception as failure:
        line = failure.__traceback__.tb_next.tb_lineno
        return f"  line {line}: {failure!r}\n" + "\n".join(f"  | {it[:400]}" for it in world.output.splitlines()[-60:])
    return None


class World:
    """Users, an SSH server, and a collection with a stand-in for the module."""

    def __init__(self, directory):
        self.directory = directory
        self.output = ""
        self.hosts = Hosts(directory)
        self.hosts.start_sshd()
        self.collections = directory / "collections"
        folder = self.collections / "ansible_collections/qcss/scanner"
        shutil.copytree(ROOT / "collection", folder)
        self.release("first")

    def release(self, name):
        """Another release of the stand-in; its checksum."""
        target = self.collections / "ansible_collections/qcss/scanner/plugins/plugin_utils/target"
        checksums = ""
        for architecture in ["x86_64", "aarch64"]:
            text = STAND_IN % ("\x01", f"{name} {architecture}")
            (target / f"qcss_scanner_{architecture}").write_text(text)
            checksums += f"{hashlib.sha256(text.encode()).hexdigest()}  qcss_scanner_{architecture}\n"
        (target / "checksums.txt").write_text(checksums)
        self.checksum = hashlib.sha256((target / f"qcss_scanner_{os.uname().machine}").read_bytes()).hexdigest()
        self.cached = CACHE / f"qcss_scanner-{self.checksum}"

    def clean(self):
        """Every test begins without a cache."""
        for home in HOMES.iterdir():
            for it in [".cache", ".ansible", "elsewhere"]:
                path = home / it
                path.unlink() if path.is_symlink() else shutil.rmtree(path, ignore_errors=True)
        LOG.write_text("")
        LOG.chmod(0o666)

    def play(self, *tasks, hosts=("docker1",), connection="ssh", become=True, play=None, variables=None, environment=None):
        """The results of `tasks`, in which a text is the `do` of the stand-in."""
        tasks = [task if isinstance(task, dict) else {"qcss.scanner.qcss_scanner": {"do": task}} for task in tasks]
        common = {"ansible_become_method": "sudo", "ansible_python_interpreter": "/usr/bin/python3"}
        common |= {"ansible_connection": "local"} if connection == "local" else {
            "ansible_port": PORT, "ansible_user": DEPLOY, "ansible_ssh_private_key_file": str(self.hosts.key),
        }  # fmt: skip
        addresses = {host: {"ansible_host": f"127.0.0.{number}"} for number, host in enumerate(hosts, 1)}
        inventory, playbook = self.directory / "inventory.json", self.directory / "playbook.json"
        inventory.write_text(json.dumps({"all": {"hosts": addresses, "vars": common | (variables or {})}}))
        playbook.write_text(json.dumps([
            {"hosts": "all", "gather_facts": False, "become": become, "tasks": tasks, "ignore_errors": True} | (play or {})
        ]))  # fmt: skip
        record = self.directory / "record"
        record.unlink(missing_ok=True)
        config = self.directory / "ansible.cfg"
        config.touch()
        known_hosts = self.directory / "known_hosts"
        environment = {
            "PATH": f"{VENV}:{os.environ['PATH']}", "HOME": str(self.directory), "LC_ALL": "C.UTF-8", "RECORD": str(record),
            "ANSIBLE_CONFIG": str(config), "ANSIBLE_HOME": str(self.directory / "a"), "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_COLLECTIONS_PATH": str(self.collections), "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests/ansible"),
            "ANSIBLE_CALLBACKS_ENABLED": "record", "PYTHONDONTWRITEBYTECODE": "1", "ANSIBLE_BECOME_ALLOW_SAME_USER": "1",
            "ANSIBLE_SSH_ARGS": f"-o ControlMaster=auto -o ControlPersist=30s -o UserKnownHostsFile={known_hosts} "
            "-o StrictHostKeyChecking=no",
        } | (environment or {})  # fmt: skip
        done = subprocess.run(
            [VENV / "ansible-playbook", "-vvv", "--forks", "8", "-i", inventory, playbook], env=environment, text=True,
            cwd=self.directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        self.output = done.stdout
        lines = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
        return [line["result"] | {"outcome": line["outcome"]} for line in lines]

    def works(self, where, **how):
        """One task: it works, from the cache, or as it was sent (None: either); the stand-in ran once, and nothing else did."""
        LOG.write_text("")
        results = self.play("it", **how)
        assert len(results) == 1 and results[0]["outcome"] == "ok" and results[0]["got"]["do"] == "it", results
        ran = LOG.read_text().splitlines()
        assert len(ran) == 1 and "evil" not in ran[0], ran
        is_cached = "/qcss_scanner-" in ran[0]
        assert where in [None, "cached" if is_cached else "sent"], f"{ran[0]}: not {where}"
        return results[0]

    def commands(self):
        """How many commands, copies included, the last play sent."""
        return len(re.findall(r"SSH: EXEC|^<.*> EXEC ", self.output, re.MULTILINE))


@contextlib.contextmanager
def mounted(*arguments):
    mount(*arguments)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", arguments[-1]], check=True)


def without(tool):
    """A machine that does not have it."""
    return mounted("--bind", "/dev/null", pathlib.Path(shutil.which(tool)).resolve())


def write(path, text, mode=0o700):
    path.write_text(text)
    path.chmod(mode)


# One round trip


@test
def three_commands_for_the_first_use_and_one_later(world):
    for pipelining in ["false", "true"]:
        world.clean()
        # Without Python, too.
        variables = {"ansible_pipelining": pipelining, "ansible_python_interpreter": "/nowhere/python3"}
        world.works("cached", variables=variables)
        assert world.commands() == 3, world.commands()
        world.works("cached", variables=variables)
        assert world.commands() == 1, world.commands()


@test
def pipelining_is_set_back(world):
    results = world.play("it", {"ansible.builtin.ping": {}}, {"qcss.scanner.qcss_scanner": {}, "loop": [1, 2]})
    assert [it["outcome"] for it in results] == ["ok"] * 3, results
    assert world.output.count("SSH: EXEC sftp") == 1, "ping was pipelined"


@test
def eight_first_uses_at_once(world):
    results = world.play("it", hosts=[f"docker{number}" for number in range(8)])
    assert [it["outcome"] for it in results] == ["ok"] * 8, results
    assert [it.name for it in CACHE.iterdir()] == [world.cached.name]


@test
def a_user_without_rights_has_a_cache_of_their_own(world):
    for become, user in [({"become": False}, DEPLOY), ({"become": True, "become_user": PLAIN}, PLAIN)]:
        via = world.works("cached", play=become)["via"]
        assert via.startswith(f"{HOMES}/{user}/.cache/"), via


@quick
def a_local_task(world):
    world.works("cached", connection="local")
    world.works("cached", connection="local")
    assert world.commands() == 1, world.commands()


# Settings


@test
def the_settings_come_from_variables_environment_and_configuration(world):
    folder = HOMES / "root/elsewhere"
    config = world.directory / "own.cfg"
    for setting, value, where in [("cache_folder", "~/elsewhere", "cached"), ("cache", "false", "sent")]:
        config.write_text(f"[qcss_scanner]\n{setting} = {value}\n")
        for how in [
            {"variables": {f"qcss_scanner_{setting}": "{{ value }}", "value": value}},
            {"environment": {f"QCSS_SCANNER_{setting.upper()}": value}},
            {"environment": {"ANSIBLE_CONFIG": str(config)}},
        ]:
            via = world.works(where, connection="local", **how)["via"]
            assert where == "sent" or via.startswith(str(folder)), via


@test
def without_pipelining_the_module_is_sent(world):
    world.works("sent", variables={"qcss_scanner_pipelining": False})
    world.works("cached", variables={"qcss_scanner_pipelining": False, "ansible_pipelining": True})


# Trust


@quick
def a_damaged_cache_is_repaired(world):
    world.works("cached", connection="local")
    for text in ["", EVIL, world.cached.read_text() + "echo evil >>/run/ran\n"]:
        write(world.cached, text)
        world.works("cached", connection="local")
        assert hashlib.sha256(world.cached.read_bytes()).hexdigest() == world.checksum


@quick
def a_link_in_the_place_of_the_module_is_not_followed(world):
    evil = HOMES / PLAIN / "evil"
    world.works("cached", connection="local")
    for text in [EVIL, world.cached.read_text()]:
        write(evil, text, 0o777)
        world.cached.unlink()
        world.cached.symlink_to(evil)
        world.works("cached", connection="local")
        assert not world.cached.is_symlink()


@quick
def what_another_user_owns_or_may_write_is_not_run(world):
    world.works("cached", connection="local")
    os.chown(world.cached, 61002, 61002)
    world.works("cached", connection="local")
    assert world.cached.stat().st_uid == 0
    world.cached.chmod(0o722)
    world.works("cached", connection="local")
    assert world.cached.stat().st_mode & 0o777 == 0o700


@quick
def a_folder_in_the_place_of_the_module(world):
    world.cached.mkdir(parents=True)
    world.works("sent", connection="local")
    assert list(world.cached.iterdir()) == [] and len(list(CACHE.iterdir())) == 1


@test
def a_folder_that_others_can_change_is_not_used(world):
    world.works("cached", connection="local")
    for folder in [CACHE, CACHE.parent, HOMES / "root"]:
        before = folder.stat()
        for owner, mode in [(0, 0o777), (0, 0o720), (0, 0o1777), (61002, 0o700)]:
            os.chown(folder, owner, -1)
            folder.chmod(mode)
            world.works("sent", connection="local")
        os.chown(folder, before.st_uid, -1)
        folder.chmod(before.st_mode & 0o7777)
        world.works("cached", connection="local")


@quick
def a_folder_that_is_a_link_is_not_used(world):
    elsewhere = HOMES / PLAIN / "elsewhere"
    for owner in [0, 61002]:
        elsewhere.mkdir(exist_ok=True)
        os.chown(elsewhere, owner, owner)
        CACHE.parent.mkdir(exist_ok=True)
        CACHE.unlink(missing_ok=True)
        CACHE.symlink_to(elsewhere)
        world.works("sent", connection="local")
        assert list(elsewhere.iterdir()) == []


@test
def a_link_further_up_is_judged_by_where_it_leads(world):
    good, bad = pathlib.Path("/run/good"), HOMES / PLAIN / "elsewhere"
    for folder, where in [(good, "cached"), (bad, "sent")]:
        folder.mkdir(exist_ok=True)
        CACHE.parent.unlink(missing_ok=True)
        CACHE.parent.symlink_to(folder)
        world.works(where, connection="local")
    shutil.rmtree(good)


@test
def the_home_of_another_user_is_not_used(world):
    world.works("sent", play={"environment": {"HOME": f"{HOMES}/{DEPLOY}"}})
    world.works("sent", play={"environment": {"HOME": ""}})


@quick
def a_killed_upload_leaves_nothing_that_runs(world):
    killer = world.directory / "gzip"
    write(killer, "#!/bin/sh\nhead -c 100\nkill -9 $PPID\n", 0o755)
    with mounted("--bind", killer, pathlib.Path(shutil.which("gzip")).resolve()):
        world.works("sent", connection="local")
    assert not world.cached.exists() and len(list(CACHE.iterdir())) == 1
    world.works("cached", connection="local")


@test
def an_upload_over_ssh_that_does_not_end(world):
    cut = world.directory / "cut"
    write(cut, "#!/bin/sh\nhead -c 10 >/dev/null\nexit 1\n", 0o755)
    with mounted("--bind", cut, pathlib.Path(shutil.which("gzip")).resolve()):
        world.works("sent")


@test
def a_full_disk(world):
    CACHE.mkdir(parents=True)
    with mounted("-t", "tmpfs", "-o", "size=4k,mode=700", "full", CACHE):
        (CACHE / "filler").write_bytes(b"x" * 4096)
        world.works("sent")
        assert [it.name for it in CACHE.iterdir() if it.stat().st_size] == ["filler"]


@quick
def noexec(world):
    CACHE.mkdir(parents=True)
    with mounted("-t", "tmpfs", "-o", "noexec,mode=700", "noexec", CACHE):
        world.works("sent", connection="local")
        world.works("sent", connection="local")


@test
def tools_that_are_missing(world):
    for tool in ["gzip", "sha256sum", "mktemp", "ls"]:
        with without(tool):
            world.works("sent", connection="local")


@test
def old_releases_leave(world):
    world.works("cached")
    first = world.cached
    mine = CACHE / "notes"
    mine.touch()
    for days, remains in [(29, True), (31, False)]:
        for path in [first, mine]:
            os.utime(path, (time.time() - days * 86400,) * 2)
        world.release(f"after-{days}-days")
        world.works("cached")
        assert first.exists() == remains and mine.exists()


@test
def sudo_that_wants_a_terminal(world):
    world.hosts.let_sudo("Defaults requiretty")
    try:
        world.works("sent", variables={"ansible_ssh_use_tty": True})
    finally:
        world.hosts.let_sudo("")


@test
def what_cannot_be_pipelined(world):
    # Up to ansible-core 2.20.
    world.works(None, environment={"ANSIBLE_KEEP_REMOTE_FILES": "1"})
    world.works("sent", connection="local", variables={"ansible_become_method": "su"})
    assert "the cache is not used, since there is no pipelining" in world.output, world.output
    results = world.play({"qcss.scanner.qcss_scanner": {"do": "it"}, "async": 30, "poll": 1})
    assert "the cache is not used, since the task is async" in world.output, world.output
    assert results[-1]["outcome"] == "ok" and results[-1]["got"]["do"] == "it", results


@quick
def what_has_begun_is_not_run_again(world):
    for do in ["say nothing", "say something else", "die"]:
        LOG.write_text("")
        results = world.play(do, connection="local")
        assert [it["outcome"] for it in results] == ["ignored"], results
        assert len(LOG.read_text().splitlines()) == 1, LOG.read_text()


# Targets


@quick
def hosts_of_two_architectures_in_one_play(world):
    folder = fake_architecture(world, "aarch64")
    delegated = {"delegate_to": "docker1", "environment": {"PATH": "/usr/bin:/bin"}}
    path = {"environment": {"PATH": f"{folder}:/usr/bin:/bin"}}
    for _ in range(2):
        LOG.write_text("")
        tasks = [{"qcss.scanner.qcss_scanner": {}} | more for more in [path, delegated, path]]
        results = world.play(*tasks, hosts=["docker1", "docker2"], connection="local")
        assert [it["outcome"] for it in results] == ["ok"] * 6, results
        ran = [line.split()[1] for line in LOG.read_text().splitlines()]
        assert ran == ["aarch64"] * 2 + [os.uname().machine] * 2 + ["aarch64"] * 2, ran


@quick
def an_architecture_that_there_is_no_binary_for(world):
    folder = fake_architecture(world, "riscv64")
    results = world.play("it", connection="local", play={"environment": {"PATH": f"{folder}:/usr/bin:/bin"}})
    assert results[0]["outcome"] == "ignored" and "riscv64" in results[0]["msg"], results


def fake_architecture(world, architecture):
    folder = world.directory / architecture
    folder.mkdir(exist_ok=True)
    write(folder / "uname", f"#!/bin/sh\necho {architecture}\n", 0o755)
    return folder


ODD = "it's \"quoted\" $HOME `id` \\n \u00e4\u2028 @FOLDER@ @CHECKSUMS@ <<EOF %s \t \\u0027 '\"'\"'"


@test
def shells(world):
    busybox = world.directory / "busybox"
    busybox.mkdir(exist_ok=True)
    subprocess.run(["busybox", "--install", "-s", busybox], check=True)
    for shell, path in [("dash", ""), ("bash", ""), ("busybox", ""), ("busybox", f"{busybox}:")]:
        # A copy, since each hides the one that it takes the place of.
        copy = world.directory / f"sh-{shell}"
        shutil.copy(shutil.which(shell), copy)
        with mounted("--bind", copy, pathlib.Path("/bin/sh").resolve()):
            world.clean()
            environment = {"environment": {"PATH": f"{path}/usr/bin:/bin"}}
            world.works("cached", play=environment)
            long = {"do": ODD + "x" * 300_000, "list": ["'", 1, None, 1.5, True], "dict": {"'": "''"}}
            (result,) = world.play({"qcss.scanner.qcss_scanner": long}, play=environment)
            assert result["outcome"] == "ok", result
            assert {key: result["got"][key] for key in long} == long, str(result)[:2000]


@test
def the_arguments_are_in_no_process_list_and_no_file(world):
    for shell in ["dash", "bash"]:
        copy = world.directory / f"sh-{shell}"
        shutil.copy(shutil.which(shell), copy)
        with mounted("--bind", copy, pathlib.Path("/bin/sh").resolve()):
            world.works("cached")
            calls = traced(world, {"do": "canary-" + "x" * 300_000})
            seen = [line for line in calls if "canary" in line and "execve" in line]
            assert not seen, seen[0][:500]
            written = [line for line in calls if re.search(r"O_CREAT|O_TMPFILE|memfd", line) and not re.search("/dev/|/run/ran", line)]
            assert not written, written


def traced(world, arguments):
    """What the SSH server and all that comes of it executes and creates during one task."""
    trace = world.directory / "trace"
    # A session of its own, since one that is there has its processes already.
    strace = subprocess.Popen(
        ["strace", "-f", "-qq", "-v", "-s", "400000", "-e", "trace=execve,openat,open,creat,memfd_create", "-o", trace,
         "-p", str(world.hosts.sshd.pid)],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(0.5)
    try:
        how = {"ANSIBLE_SSH_ARGS": f"-o ControlMaster=no -o UserKnownHostsFile={world.directory}/known_hosts"}
        (result,) = world.play({"qcss.scanner.qcss_scanner": arguments}, environment=how)
    finally:
        strace.terminate()
        strace.wait()
    assert result["outcome"] == "ok", result
    calls = trace.read_text().splitlines()
    # Up to the module itself, whose business it is not.
    assert any("qcss_scanner-" in line and "execve" in line for line in calls), "the module was not seen"
    begin = next(number for number, line in enumerate(calls) if "BECOME-SUCCESS" in line)
    return calls[begin:]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
