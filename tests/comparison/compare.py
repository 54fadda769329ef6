"""Does the same with the vendor's command, docker_container and this module, and prints what came of it: see `run`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = Path(sys.executable).parent
URL = "https://qualysguard.qg2.apps.qualys.com"
CODE = "21808056913298"


class Host:
    """A throwaway engine, and the directories of its scanners; both end with it."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.engine = subprocess.Popen(
            [ROOT / "tests/engine/throwaway-engine", self.directory / "engine"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        words = self.engine.stdout.readline().split()
        if words[:1] != ["ready"]:
            sys.exit("the throwaway engine did not start, see above")
        os.environ.update(DOCKER_HOST=words[1], DOCKER_CONTEXT="", ANSIBLE_HOME=str(self.directory / "ansible"))
        for image in [["works:1"], ["works:2", "2"], ["broken:1", "3", "STAND_IN_DIE=1"]]:
            subprocess.run([ROOT / "tests/stand-in/build", words[1], *image], check=True, stdout=subprocess.DEVNULL)

    def close(self):
        self.engine.stdin.close()
        self.engine.wait()

    def folder(self, name):
        return self.directory / "qualys" / name


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def containers():
    """Each container's name: its id, image, memory and whether it runs and has its code and identity."""
    names = output("docker", "ps", "--all", "--format", "{{.Names}}").stdout.split()
    seen = {}
    for name in names:
        it = json.loads(output("docker", "inspect", name).stdout)[0]
        seen[name] = {
            "id": it["Id"][:6], "image": it["Config"]["Image"], "MiB": it["HostConfig"]["Memory"] >> 20, "runs": it["State"]["Running"],
            "code": any(CODE in entry for entry in it["Config"]["Env"]), "mounts": len(it["Mounts"]),
        }
    return seen


class Shell:
    name = "the vendor's command"

    def __init__(self, host):
        self.host = host

    def have(self, name="scanner", image="works:1", memory=1024, code=CODE, check=False):
        if check:
            return "no such thing"
        private = self.host.folder("private") / code
        command = (
            f"mkdir -p {private}; docker run -d -v {self.host.folder('shared')}:/usr/local/qualys:z "
            f"-v {private}:/usr/local/qualys/admin/etc:z -e PERSONALIZATION_CODE={code} --name {name} --memory {memory}M "
            f"-e QUALYS_URL={URL} {image}"
        )
        run = output("bash", "-c", command)
        return f"exit code {run.returncode} {run.stdout.strip().splitlines()[0][:160] if run.returncode else ''}"

    def by_name(self, image):
        return "no such thing"


class Ansible:
    def __init__(self, host):
        self.host = host

    def run(self, options, check):
        command = [VENV / "ansible", "localhost", "-m", self.module, "-a", json.dumps(options), "-vvv", *(["--check"] if check else [])]
        run = output(*command)
        word = next((word for word in ["CHANGED", "SUCCESS", "FAILED"] if f"localhost | {word}" in run.stdout), "?")
        result = run.stdout[run.stdout.find("localhost | ") :].split("=> ", 1)[-1]
        try:
            message = json.JSONDecoder().raw_decode(result)[0].get("msg", "") if word == "FAILED" else ""
        except ValueError:
            message = result
        shows = ", shows the code" if CODE in result else ""
        return f"{word.lower()}{shows} {message[:160]}".strip()


class DockerContainer(Ansible):
    name, module = "docker_container", "community.docker.docker_container"

    def have(self, name="scanner", image="works:1", memory=1024, code=CODE, check=False):
        self.host.folder(f"private/{code}").mkdir(parents=True, exist_ok=True)
        volumes = [f"{self.host.folder('shared')}:/usr/local/qualys:z", f"{self.host.folder('private')}/{code}:/usr/local/qualys/admin/etc:z"]
        env = {"PERSONALIZATION_CODE": code, "QUALYS_URL": URL}
        return self.run({"name": name, "image": image, "memory": f"{memory}M", "volumes": volumes, "env": env}, check)

    def by_name(self, image):
        return self.run({"name": "scanner", "image": image}, False)


class Scanner(Ansible):
    name, module = "qcss_scanner", "qcss_scanner"

    def have(self, name="scanner", image="works:1", memory=1024, code=CODE, check=False):
        folders = {f"{folder}_dir": str(self.host.folder(folder)) for folder in ["shared", "private"]}
        options = {"name": name, "image": image, "memory": f"{memory}M", "personalization_code": code, "qualys_url": "US2"}
        return self.run(options | folders, check)

    def by_name(self, image):
        return self.run({"name": "scanner", "image": image}, False)


def compare(way, host):
    def step(what, said):
        print(f"  {what}: {said}")
        for name, seen in sorted(containers().items()):
            print(f"      {name}: {', '.join(f'{key} {value}' for key, value in seen.items())}")

    def anew():
        for name in containers():
            output("docker", "rm", "--force", name)
        shutil.rmtree(host.directory / "qualys", ignore_errors=True)

    print(f"\n{way.name}")
    anew()
    step("created", way.have())
    step("the same again", way.have())
    output("docker", "update", "--memory", "512M", "--memory-swap", "1024M", "scanner")
    step("its memory was halved, check mode", way.have(check=True))
    step("its memory was halved", way.have())
    step("an image that does not work", way.have(image="broken:1"))
    anew()
    way.have()
    step("another image by name alone", way.by_name("works:2"))
    anew()
    way.have()
    step("a second scanner with the same code", way.have(name="second"))
    output("docker", "rm", "--force", "second")
    step("a second scanner that exceeds the host", way.have(name="second", code="21808056913299", memory=8 << 20))
    anew()


def main():
    """Leaves nothing behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="qcss-comparison-") as directory:
        host = Host(directory)
        try:
            for way in [Shell(host), DockerContainer(host), Scanner(host)]:
                compare(way, host)
        finally:
            host.close()


if __name__ == "__main__":
    main()
