"""Starts what is measured and reads its costs from /proc."""
import os
import pathlib
import shutil
import signal
import socket
import string
import subprocess
import time

here = pathlib.Path(__file__).resolve().parent
relay_core, load_core = 0, 1


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port, process, name, log):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"relay: {name} ended at once with code {process.returncode}: {log.read_text()[-500:]}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"relay: {name} does not listen")


realtime = False
# Where the binaries of another tree stand, for a comparison with them in the same run.
before = None


def pin_to(core):
    """Runs in the child: one core and, where asked for, ahead of all ordinary work on it."""
    available = sorted(os.sched_getaffinity(0))

    def settle():
        os.sched_setaffinity(0, {available[core % len(available)]})
        if realtime:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))

    return settle


class Process:
    """One process on one core, listening on `port`; its standard output and error go to a file."""

    def __init__(self, name, command, port, core, folder, environment=None):
        self.name, self.port = name, port
        with open(folder / f"{name}.out", "ab") as log:
            self.handle = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, preexec_fn=pin_to(core),
                                           env={**os.environ, **(environment or {})})
        try:
            wait_for_port(port, self.handle, name, folder / f"{name}.out")
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self):
        return self.handle.pid

    def cpu(self):
        """User and system seconds of all threads: the scheduler's exact sum, split as the accounting splits it."""
        exact = 0
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            exact += int((task / "schedstat").read_text().split()[0])
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        user, system = int(fields[11]), int(fields[12])
        return exact / 1e9, user, system

    def rss_kib(self):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise SystemExit(f"relay: no VmRSS of {self.name}")

    def stop(self):
        if self.handle.poll() is None:
            self.handle.send_signal(signal.SIGKILL)
        self.handle.wait()


def cpu_between(before, after):
    """(user, system) seconds spent between two readings of Process.cpu()."""
    spent = after[0] - before[0]
    user, system = after[1] - before[1], after[2] - before[2]
    share = user / (user + system) if user + system else 0.5
    return spent * share, spent * (1 - share)


def fill_in(name, folder, port, upstream, **more):
    text = string.Template((here / name).read_text()).safe_substitute(port=port, upstream=upstream, folder=folder, **more)
    path = folder / name
    path.write_text(text)
    return str(path)


def start_upstream(build, folder):
    port = free_port()
    return Process("upstream", [str(build / "bench_upstream"), f"127.0.0.1:{port}"], port, load_core, folder)


def start_nginx(build, folder, upstream):
    port = free_port()
    config = fill_in("nginx.conf", folder, port, upstream)
    return Process("nginx", [find("nginx"), "-p", str(folder), "-c", config], port, relay_core, folder)


def start_haproxy(build, folder, upstream):
    port = free_port()
    config = fill_in("haproxy.cfg", folder, port, upstream)
    return Process("haproxy", [find("haproxy"), "-db", "-f", config], port, relay_core, folder)


def start_tidegate(build, folder, upstream, durability="process"):
    port = free_port()
    config = fill_in("tidegate.toml", folder, port, upstream, durability=durability)
    data = folder / f"data-{port}"
    command = [str(build / "tidegate"), "serve", "--config", config, "--data", str(data)]
    return Process("tidegate", command, port, relay_core, folder, {"TIDEGATE_BENCH_CREDENTIAL": "sk-bench"})


def start_tidegate_power(build, folder, upstream):
    return start_tidegate(build, folder, upstream, "power")


def start_tidegate_before(build, folder, upstream):
    if before is None:
        raise SystemExit("relay: tidegate-before needs --before BUILD")
    return start_tidegate(before, folder, upstream)


starters = {"nginx": start_nginx, "haproxy": start_haproxy, "tidegate": start_tidegate,
            "tidegate-power": start_tidegate_power, "tidegate-before": start_tidegate_before}


def find(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def version_of(name, build):
    name = name.removesuffix("-power").removesuffix("-before")
    command = {"nginx": ["nginx", "-v"], "haproxy": ["haproxy", "-v"], "tidegate": [str(build / "tidegate"), "--version"]}
    program = [find(command[name][0]) or command[name][0], *command[name][1:]]
    done = subprocess.run(program, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip().splitlines()[0]
