#!/usr/bin/env python3
"""tidegate beside nginx and haproxy as relays to the same provider, in one interleaved run on one machine.

The relay under test has one thread on the first core; the load generator and the provider share the second. Every
round runs each case through each relay in turn, so that what disturbs the machine disturbs all of them alike. What
counts is CPU time per request: with two cores the generator's side can be the limit, CPU time does not care. Prints
medians and ratios and judges nothing.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import cases  # noqa: E402
import relays  # noqa: E402
import report  # noqa: E402

root = pathlib.Path(__file__).resolve().parents[2]


def parse_arguments():
    parser = argparse.ArgumentParser(prog="bench/relay/run", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=root / "build" / "release", help="where the binaries stand")
    parser.add_argument("--no-build", action="store_true", help="take the binaries as they are")
    parser.add_argument("--relays", default="tidegate,nginx,haproxy", help="which of them, separated by commas")
    parser.add_argument("--before", type=pathlib.Path,
                        help="where an earlier tree's binaries stand: the relay tidegate-before, in the same run")
    parser.add_argument("--cases", default="", help="only cases whose name contains this")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each run")
    parser.add_argument("--realtime", action="store_true",
                        help="ahead of the machine's other work (root only): for a machine that is not idle")
    parser.add_argument("--memory", choices=("yes", "no", "only"), default="yes")
    parser.add_argument("--held", type=int, default=4000, help="connections held open for the memory figures")
    parser.add_argument("--json", type=pathlib.Path, help="write the results here")
    parser.add_argument("--svg", type=pathlib.Path, help="write the chart here")
    parser.add_argument("--publish", action="store_true", help="update docs/PERFORMANCE.md and its chart")
    return parser.parse_args()


def build_binaries(build):
    if not (build / "build.ninja").exists():
        subprocess.run(["cmake", "--preset", "release"], cwd=root, check=True, stdout=sys.stderr)
    subprocess.run(["ninja", "-C", str(build), "--quiet", "tidegate", "bench_upstream"], check=True, stdout=sys.stderr)


def describe(arguments, names):
    processor = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                      if line.startswith("model name")), platform.machine())
    return {
        "date": datetime.date.today().isoformat(),
        "processor": processor,
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "load_average": round(os.getloadavg()[0], 2),
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "realtime": arguments.realtime,
        "versions": {name: relays.version_of(name, arguments.build) for name in names},
    }


def run_cases(arguments, names, chosen, folder):
    """{case: {relay: [result of each round]}}, "direct" among the relays."""
    runs = {case.name: {name: [] for name in ["direct", *names]} for case in chosen}
    started = {}
    upstream = relays.start_upstream(arguments.build, folder)
    try:
        for name in names:
            started[name] = relays.starters[name](arguments.build, folder, upstream.port)
        for case in chosen:
            for name, relay in started.items():  # connections, pools and allocators warm
                cases.measure(arguments.build, case, relay, relay.port, 0.5)
        for number in range(arguments.rounds):
            for case in chosen:
                order = ["direct", *names]
                shift = number % len(order)
                for name in order[shift:] + order[:shift]:
                    relay = started.get(name)
                    port = relay.port if relay else upstream.port
                    runs[case.name][name].append(cases.measure(arguments.build, case, relay, port, arguments.seconds))
                print(f"round {number + 1} of {arguments.rounds}: {case.name}", file=sys.stderr)
    finally:
        for process in [*started.values(), upstream]:
            process.stop()
    return runs


def run_memory(arguments, names, folder):
    memory = {}
    for name in names:
        memory[name] = {}
        for key, stream in (("idle_kib", False), ("stream_kib", True)):
            relay = None
            upstream = relays.start_upstream(arguments.build, folder)
            try:
                relay = relays.starters[name](arguments.build, folder, upstream.port)
                # Caches of a size of their own are full before connections are counted.
                cases.measure(arguments.build, cases.warm_up, relay, relay.port, 1.0)
                memory[name][key] = cases.memory_slope(relay, stream, arguments.held // 4, arguments.held)
            finally:
                for process in filter(None, (relay, upstream)):
                    process.stop()
    return memory


def main():
    arguments = parse_arguments()
    arguments.build = arguments.build.resolve()
    relays.realtime = arguments.realtime
    relays.before = arguments.before.resolve() if arguments.before else None
    names = []
    for name in arguments.relays.split(","):
        if name not in relays.starters:
            raise SystemExit(f"relay: no such relay: {name}")
        if not name.startswith("tidegate") and not relays.find(name):
            print(f"relay: {name} is not installed and left out", file=sys.stderr)
        else:
            names.append(name)
    if not arguments.no_build:
        build_binaries(arguments.build)
    chosen = [case for case in cases.cases if arguments.cases in case.name]
    with tempfile.TemporaryDirectory(prefix="relay-") as scratch:
        folder = pathlib.Path(scratch)
        os.chmod(folder, 0o755)
        result = {"environment": describe(arguments, names)}
        runs = run_cases(arguments, names, chosen, folder) if arguments.memory != "only" else {}
        result["medians"] = report.medians(runs)
        result["memory"] = run_memory(arguments, names, folder) if arguments.memory != "no" else {}
        result["rounds"] = runs
    print(report.caption(result) + "\n\n" + report.markdown(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    if arguments.svg:
        arguments.svg.write_text(report.svg(result))
    if arguments.publish:
        report.publish(result, root / "bench" / "relay", root / "docs" / "PERFORMANCE.md")


if __name__ == "__main__":
    main()
