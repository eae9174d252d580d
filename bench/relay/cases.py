"""What is measured: throughput cases driven by `tidegate load`, and memory by connections that are held open."""
import json
import resource
import socket
import subprocess
import time

import relays


class Case:
    def __init__(self, name, connections, body=1024, stream=None):
        self.name, self.connections, self.body, self.stream = name, connections, body, stream

    def options(self):
        chosen = ["--connections", str(self.connections), "--body-bytes", str(self.body)]
        if self.stream:
            chosen += ["--stream", "--model", f"gpt-bench-{self.stream}"]
        return chosen


def connections(count):
    return f"{count} connection" + ("s" if count > 1 else "")


cases = [
    *(Case(f"1 KB, {connections(c)}", c) for c in (1, 16, 64)),
    *(Case(f"32 KB, {connections(c)}", c, body=32768) for c in (1, 16, 64)),
    *(Case(f"streams in bursts, {connections(c)}", c, stream="burst") for c in (1, 16, 64)),
    Case("streams of a chunk a millisecond, 64 connections", 64, stream="paced"),
]


warm_up = Case("warm-up", 16)


def measure(build, case, relay, port, seconds):
    """One run of one case through `relay` (None: straight to the provider)."""
    command = [str(build / "tidegate"), "load", "--json", "--duration", f"{int(seconds * 1000)}ms",
               "--url", f"http://127.0.0.1:{port}/v1/chat/completions", *case.options()]
    before = relay.cpu() if relay else None
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=relays.pin_to(relays.load_core))
    after = relay.cpu() if relay else None
    if done.returncode != 0:
        raise SystemExit(f"relay: load failed on {relay.name if relay else 'the provider'}: {done.stdout}{done.stderr}")
    found = json.loads(done.stdout)
    if found["failed"]:
        raise SystemExit(f"relay: {case.name} through {relay.name if relay else 'nothing'}: {found['errors']}")
    result = {
        "requests_per_second": found["calls_per_second"],
        "p50_ms": found["latency_ms"]["p50"],
        "p99_ms": found["latency_ms"]["p99"],
    }
    if case.stream:
        result["events_per_second"] = found["events"] / found["seconds"]
        result["first_event_p50_ms"] = found["first_event_ms"]["p50"]
        result["first_event_p99_ms"] = found["first_event_ms"]["p99"]
    if relay:
        user, system = relays.cpu_between(before, after)
        calls = found["completed"] + found["unfinished"]
        result["user_us_per_request"] = user * 1e6 / calls
        result["system_us_per_request"] = system * 1e6 / calls
        result["requests_per_cpu_second"] = calls / (user + system)
        if case.stream:
            result["events_per_cpu_second"] = found["events"] / (user + system)
    return result


def request(stream):
    model = "gpt-bench-stall" if stream else "gpt-bench"
    body = json.dumps({"model": model, "stream": stream, "max_tokens": 16,
                       "messages": [{"role": "user", "content": "tide " * 190}]}, separators=(",", ":"))
    return (f"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n{body}").encode()


def open_one(port, stream):
    """A connection with one finished exchange (idle) or with a stream that has begun and then falls silent."""
    peer = socket.create_connection(("127.0.0.1", port), 10)
    peer.sendall(request(stream))
    got = b""
    while True:
        piece = peer.recv(65536)
        if not piece:
            raise SystemExit(f"relay: closed early: {got[:300]!r}")
        got += piece
        head, blank, body = got.partition(b"\r\n\r\n")
        if not blank:
            continue
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"relay: refused: {got[:300]!r}")
        if stream and b"data: " in body:
            return peer
        if not stream:
            length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                          if line.lower().startswith(b"content-length:"))
            if len(body) >= length:
                return peer


def memory_slope(relay, stream, first, then):
    """KiB of resident memory that each of `then` connections adds once `first` are open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = [open_one(relay.port, stream) for _ in range(first)]
    time.sleep(0.3)
    before = relay.rss_kib()
    held += [open_one(relay.port, stream) for _ in range(then)]
    time.sleep(0.3)
    after = relay.rss_kib()
    for peer in held:
        peer.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return (after - before) / then
