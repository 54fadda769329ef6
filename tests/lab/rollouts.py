"""Rollouts of another image over several hosts. Run by tests/lab/run.

A test has a lab of its own. What is asserted is the table that the playbook prints, and what is on the engines.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

from fleet import Fleet

COLLECTIONS = os.environ.get("QCSS_COLLECTIONS")
OLD, NEW, STOPPED_NEW = ("1", True), ("2", True), ("2", False)
TESTS = []
QUICK = []


def test(function):
    TESTS.append(function)
    return function


def quick(function):
    QUICK.append(function)
    return test(function)


def main(arguments):
    few = "--few" in arguments
    names = [argument for argument in arguments if argument != "--few"]
    unknown = set(names) - {it.__name__ for it in TESTS}
    if unknown:
        sys.exit(f"no such test: {', '.join(unknown)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # each lab ends
    chosen = [it for it in (QUICK if few else TESTS) if not names or it.__name__ in names]
    failed = 0
    for function in chosen:
        begin = time.monotonic()
        try:
            function()
            verdict = "ok"
        except Exception as failure:
            verdict, failed = "FAILED", failed + 1
            line = failure.__traceback__.tb_next.tb_lineno
            print(f"  line {line}: {failure}")
        print(f"{verdict:7} {function.__name__.replace('_', ' ')}, {time.monotonic() - begin:.1f} s", flush=True)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return bool(failed)


def upgrade(fleet, *options, **more):
    """To the second image, from the archive that each host has."""
    return fleet.play("upgrade.yml", *options, **to_the_second(fleet) | more)


def same(fleet, got, wanted):
    assert got == wanted, f"{got}, not {wanted}\n{fleet.output}"


@quick
def a_rollout_stops_at_a_bad_image_and_goes_on_when_it_is_mended():
    """On the second of three hosts, where the second of two scanners is stopped; no Python on that host."""
    with Fleet(hosts=3, scanners=2) as fleet:
        fleet.make_images()
        fleet.create()
        fleet.on("host2", "docker", "stop", "scanner-2")
        fleet.load("host2", "bad")
        same(fleet, upgrade(fleet, "--check"), 0)
        same(fleet, fleet.outcomes(), ["to upgrade"] * 3)
        same(fleet, fleet.table()["host2"]["scanner-2"], "to upgrade, stopped")
        same(fleet, [fleet.scanners(host)[0] for host in fleet.hosts], [OLD] * 3)

        same(fleet, upgrade(fleet, "-vvv"), 2)
        same(fleet, fleet.outcomes(), ["upgraded", "rolled back", "untouched"])
        same(fleet, fleet.table()["host2"]["scanner-2"], "untouched")
        same(fleet, [fleet.scanners(host)[0] for host in fleet.hosts], [NEW, OLD, OLD])

        fleet.load("host2", "2")
        same(fleet, upgrade(fleet), 0)
        same(fleet, fleet.outcomes(), ["as it should be", "upgraded", "upgraded"])
        same(fleet, fleet.table()["host2"]["scanner-2"], "upgraded, stopped")
        same(fleet, fleet.scanners("host2"), [NEW, STOPPED_NEW])
        same(fleet, upgrade(fleet), 0)
        same(fleet, fleet.outcomes(), ["as it should be"] * 3)
        same(fleet, re.findall(r"changed=(\d+)", fleet.output), ["0"] * 3)


@test
def ten_hosts_with_a_bad_image_on_the_fourth():
    with Fleet(hosts=10) as fleet:
        fleet.make_images()
        fleet.create()
        fleet.load("host4", "bad")
        same(fleet, upgrade(fleet), 2)
        show(fleet, "A bad image on the fourth host")
        same(fleet, fleet.outcomes(), ["upgraded"] * 3 + ["rolled back"] + ["untouched"] * 6)
        same(fleet, [fleet.scanners(host) for host in fleet.hosts], [[NEW]] * 3 + [[OLD]] * 7)
        fleet.load("host4", "2")
        same(fleet, upgrade(fleet), 0)
        show(fleet, "The image is mended, the same command")
        same(fleet, fleet.outcomes(), ["as it should be"] * 3 + ["upgraded"] * 7)
        same(fleet, [fleet.scanners(host) for host in fleet.hosts], [[NEW]] * 10)


@test
def a_scanner_dies_between_two_others():
    """The second of three on the second host, by what is in its directory; with the collection, without Python there."""
    with Fleet(hosts=3, scanners=3, collections=COLLECTIONS) as fleet:
        fleet.make_images()
        fleet.create()
        private = fleet.directory / "host2/private/canary-scanner-2-host2/stand-in.conf"
        private.write_text("[ $QCSA_VERSION = 1 ] || STAND_IN_DIE_AFTER=0.3\n")
        same(fleet, upgrade(fleet, qualys_upgrade_serial=1), 2)
        same(fleet, fleet.outcomes(), ["upgraded", "upgraded", "untouched"])
        same(fleet, list(fleet.table()["host2"].values()), ["upgraded", "rolled back", "untouched"])
        same(fleet, fleet.scanners("host2"), [NEW, OLD, OLD])
        private.unlink()
        same(fleet, upgrade(fleet, qualys_upgrade_serial=1), 0)
        same(fleet, [fleet.scanners(host) for host in fleet.hosts], [[NEW] * 3] * 3)


@test
def a_host_that_cannot_be_reached_does_not_end_the_rollout():
    """Nor does it count as the first host: the second has the bad image, and the rest is one batch."""
    batches = {"qualys_upgrade_serial": [1, "100%"]}
    with Fleet(hosts=4, collections=COLLECTIONS) as fleet:
        fleet.make_images()
        fleet.create()
        fleet.on("host1", "ip", "link", "set", "eth0", "down")
        fleet.load("host2", "bad")
        same(fleet, upgrade(fleet, **batches), 2)
        same(fleet, fleet.outcomes(), ["unreachable", "rolled back", "untouched", "untouched"])
        fleet.load("host2", "2")
        same(fleet, upgrade(fleet, **batches), 2)
        same(fleet, fleet.outcomes(), ["unreachable", "upgraded", "upgraded", "upgraded"])
        same(fleet, fleet.scanners("host1"), [OLD])
        fleet.on("host1", "ip", "link", "set", "eth0", "up")
        same(fleet, upgrade(fleet, **batches), 0)
        same(fleet, fleet.outcomes(), ["upgraded", "as it should be", "as it should be", "as it should be"])


@test
def hosts_with_lists_of_their_own():
    """The first has no list, the second one of two scanners, one of which is to be absent, the third one of one."""
    lists = {"host2": [{"name": "scanner-1"}, {"name": "gone", "state": "absent"}], "host3": [{"name": "scanner-2"}]}
    with Fleet(hosts=3, scanners=2) as fleet:
        fleet.make_images()
        fleet.create()
        own = {"qualys_scanners": f"{{{{ {lists}[inventory_hostname] | default([]) }}}}"}
        same(fleet, upgrade(fleet, only="scanner-2", **own), 0)
        same(fleet, fleet.table(), {"host3": {"scanner-2": "upgraded"}})
        same(fleet, upgrade(fleet, **own), 0)
        same(fleet, fleet.table(), {"host2": {"scanner-1": "upgraded"}, "host3": {"scanner-2": "as it should be"}})
        same(fleet, [fleet.scanners(host) for host in fleet.hosts], [[OLD, OLD], [NEW, OLD], [OLD, NEW]])
        same(fleet, upgrade(fleet, only="scanner-3", **own), 2)
        assert "No host has such an entry in qualys_scanners: scanner-3" in fleet.output, fleet.output


@test
def a_host_whose_disk_is_full_keeps_its_scanner():
    with Fleet("--small-disk", "2", hosts=3) as fleet:
        fleet.make_images()
        fleet.create()
        full = fleet.directory / "host2/engine/data/full"
        fleet.on("host2", "sh", "-c", f"dd if=/dev/zero of={full} bs=64k 2>/dev/null || true")
        same(fleet, upgrade(fleet), 2)
        same(fleet, fleet.outcomes(), ["upgraded", "engine_error", "upgraded"])
        assert "no space left on device" in fleet.output
        same(fleet, fleet.scanners("host2"), [OLD])
        fleet.on("host2", "rm", full)
        same(fleet, upgrade(fleet), 0)
        same(fleet, fleet.scanners("host2"), [NEW])


@test
def a_host_that_cannot_fetch_and_one_without_the_scanner():
    with Fleet(hosts=3) as fleet:
        fleet.make_images()
        fleet.create()
        fleet.on("host1", "docker", "rm", "--force", "scanner-1")
        fleet.load("host3", "2")
        same(fleet, upgrade(fleet, qualys_image_archive="/nowhere.tar"), 2)
        same(fleet, fleet.outcomes(), ["missing", "image_not_found", "upgraded"])
        assert "create.yml creates what is missing: scanner-1" in fleet.output, fleet.output
        same(fleet, fleet.scanners("host2"), [OLD])


@test
def a_connection_that_breaks_in_the_middle_stops_the_rollout():
    """Nobody knows what became of the scanner."""
    with Fleet(hosts=3, collections=COLLECTIONS) as fleet:
        fleet.make_images()
        fleet.create()
        running = fleet.start("upgrade.yml", **to_the_second(fleet), qualys_upgrade_settle=30)
        until(lambda: fleet.scanners("host1") == [NEW], running)
        # A session is two processes, of root and of the user.
        children = "children() { cat /proc/[0-9]*/stat 2>/dev/null | awk -v of=\" $* \" 'index(of, \" \" $4 \" \") { print $1 }'; }; "
        sessions = f"ours=$(echo $(children $(cat {fleet.directory}/host1/sshd.pid))); kill -9 $ours $(children $ours)"
        fleet.on("host1", "sh", "-c", children + sessions)
        same(fleet, fleet.finish(running), 2)
        same(fleet, fleet.outcomes(), ["connection lost", "untouched", "untouched"])
        same(fleet, upgrade(fleet), 0)
        same(fleet, [fleet.scanners(host) for host in fleet.hosts], [[NEW]] * 3)


@test
def ctrl_c_in_the_middle_and_again():
    for collections in [None, COLLECTIONS]:
        with Fleet(hosts=3, scanners=2, collections=collections) as fleet:
            fleet.make_images()
            fleet.create()
            running = fleet.start("upgrade.yml", **to_the_second(fleet), qualys_upgrade_settle=4)
            until(lambda: fleet.scanners("host2")[0] == NEW, running)
            fleet.interrupt(running)
            fleet.finish(running)
            assert fleet.table() == {} and "interrupted" in fleet.output, fleet.output
            same(fleet, fleet.scanners("host3"), [OLD, OLD])
            same(fleet, upgrade(fleet), 0)
            same(fleet, [fleet.scanners(host) for host in fleet.hosts], [[NEW, NEW]] * 3)
            for host in fleet.hosts:
                same(fleet, len(fleet.on(host, "docker", "ps", "--all", "--quiet").split()), 2)


@test
def a_lab_is_gone_whichever_way_it_ends():
    for who in ["lab", "controller", "stdin"]:
        fleet = Fleet("--small-disk", "1", hosts=2)
        pid = int((fleet.directory / "controller.pid").read_text())
        if who == "stdin":
            fleet.lab.stdin.close()
        else:
            os.kill(fleet.lab.pid if who == "lab" else pid, signal.SIGKILL)
        fleet.lab.wait()
        until(lambda: not fleet.directory.exists() and not pathlib.Path(f"/proc/{pid}").exists())
        left = subprocess.run(["find", "/sys/fs/cgroup", "-path", f"*/lab-{fleet.lab.pid}-*"], capture_output=True, text=True, check=False)
        assert left.stdout == "", left.stdout
        fleet.close()


def to_the_second(fleet):
    return {"qualys_image": "qualys/qcsa:2", "qualys_image_archive": fleet.archive("2")}


def until(condition, process=None):
    """A replacement renames its containers: for a moment none has the scanner's name, and a look at it fails."""
    end = time.monotonic() + 60
    while True:
        try:
            if condition():
                return
            failed = ""
        except AssertionError as error:
            failed = f": {error}"
        assert time.monotonic() < end and (process is None or process.poll() is None), f"it did not come to that{failed}"
        time.sleep(0.1)


def show(fleet, title):
    print(f"\n{title}:")
    for line in fleet.output.splitlines():
        if line.lstrip().startswith(('"HOST', '"host')):
            print("  " + line.strip().strip('",'))
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
