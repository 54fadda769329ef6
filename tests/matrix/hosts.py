"""Hosts for Ansible in the namespaces of the caller: users, an SSH server at every loopback address, a /run of our own.

The homes are below /run, whose folders only root can write: a cache in a home below /tmp would not be safe, and not be used.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import time

PORT = 2222
DEPLOY, PLAIN = "qcss-deploy", "qcss-plain"  # with sudo, and without any rights
HOMES = pathlib.Path("/run/homes")


class Hosts:
    """All of them are this machine. `directory` takes the files."""

    def __init__(self, directory):
        self.directory = directory
        self.key = directory / "keys/user"
        self.hide_the_machine()
        self.make_users()

    def hide_the_machine(self):
        """A /run of our own, and files of /etc that are ours to change."""
        mount("-t", "tmpfs", "-o", "mode=755", "run", "/run")
        pathlib.Path("/run/sshd").mkdir()
        for name in ["passwd", "group", "shadow", "sudoers"]:
            copy = self.directory / name
            shutil.copy2(f"/etc/{name}", copy)
            mount("--bind", copy, f"/etc/{name}")

    def make_users(self):
        self.give_home("root", 0)
        passwd = pathlib.Path("/etc/passwd")
        passwd.write_text(passwd.read_text().replace(":/root:", f":{HOMES}/root:", 1))
        for number, user in enumerate([DEPLOY, PLAIN], 61001):
            self.give_home(user, number)
            append("/etc/passwd", f"{user}:x:{number}:{number}::{HOMES}/{user}:/bin/bash")
            append("/etc/shadow", f"{user}:*:19000:0:99999:7:::")
            append("/etc/group", f"{user}:x:{number}:{DEPLOY}")
        self.let_sudo("")

    @staticmethod
    def give_home(user, number):
        home = HOMES / user
        home.mkdir(parents=True)
        os.chown(home, number, number)

    @staticmethod
    def let_sudo(defaults):
        """What sudo lets users do; a bind mount keeps the mode that it insists on."""
        rules = f"{defaults}\nroot ALL=(ALL:ALL) ALL\n{DEPLOY} ALL=(ALL:ALL) NOPASSWD: ALL\n"
        pathlib.Path("/etc/sudoers").write_text(rules)

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
        self.sshd = subprocess.Popen([shutil.which("sshd"), "-D", "-e", "-f", keys / "sshd_config"], stderr=log)
        time.sleep(0.5)
        if self.sshd.poll() is not None:
            sys.exit(f"sshd did not start: {(self.directory / 'sshd.log').read_text()}")

    def end(self):
        self.sshd.terminate()
        # As they were: the copies are about to be deleted.
        for name in ["passwd", "group", "shadow", "sudoers"]:
            subprocess.run(["umount", "-l", f"/etc/{name}"], check=False)


def mount(*arguments):
    subprocess.run(["mount", "--no-mtab", *arguments], check=True)


def append(path, line):
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{line}\n")
