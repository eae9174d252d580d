#!/usr/bin/env python3
"""Verifies, shows, follows and exports a journal of tidegate, without tidegate (docs/JOURNAL.md is all it was made from).

Usage: tools/audit_verify.py verify [--data DIR] [--config F] [--checkpoint F] [--json]
       tools/audit_verify.py show TRACE [--data DIR] [--config F] [--json]
       tools/audit_verify.py tail [-f] [-n N] [--data DIR] [--config F] [--json]
       tools/audit_verify.py export [--since T] [--format jsonl] [--data DIR] [--config F]

Needs Python 3.11 and its standard library only; reads only. Exit codes as `tidegate audit`: 0 sound, 1 a fault or
nothing found, 2 wrong usage.
"""
import argparse
import array
import datetime
import errno
import fcntl
import functools
import hashlib
import json
import os
import pathlib
import re
import struct
import sys
import time
import tomllib

RECORD = struct.Struct("<II2sBBQqQ32s")
SEGMENT = struct.Struct("<7sBQq32sII")
MARKER, MAGIC, VERSION = b"\xf7T", b"TGATSEG", 1
PAYLOAD_MAX = 1 << 20
LENGTH_MAX = RECORD.size + PAYLOAD_MAX
EVENT, CHECKPOINT, STATE, TRIM = 1, 2, 3, 4
TYPES = {EVENT: "event", CHECKPOINT: "checkpoint", STATE: "state", TRIM: "trim"}
LINES = "checkpoints.jsonl"
NATURAL = rb"((?:0|[1-9][0-9]{0,17}))"
LINE = re.compile(rb'\{"count":' + NATURAL + rb',"head":"([0-9a-f]{64})","time":(-?' + NATURAL[1:-1] +
                  rb'),"publicKey":"([0-9a-f]{64})","signature":"([0-9a-f]{128})"\}')
STATE_NOTE = re.compile(rb'\{"event":"journal_state","sequence":' + NATURAL + rb',"size":' + NATURAL +
                        rb',"sha256":"([0-9a-f]{64})"\}')
TRIM_NOTE = re.compile(rb'\{"event":"journal_trimmed","first":' + NATURAL + rb',"previous":"([0-9a-f]{64})"\}')


# --- CRC-32C, two bytes a step

def crc_table():
    single = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        single.append(byte)
    double = []
    for pair in range(65536):
        pair = (pair >> 8) ^ single[pair & 0xFF]
        double.append((pair >> 8) ^ single[pair & 0xFF])
    return single, double


CRC_SINGLE, CRC_DOUBLE = crc_table()


def crc32c(data):
    total, table = 0xFFFFFFFF, CRC_DOUBLE
    even = len(data) & ~1
    pairs = array.array("H", data[:even])
    if sys.byteorder == "big":
        pairs.byteswap()
    for pair in pairs:
        total = (total >> 16) ^ table[(total ^ pair) & 0xFFFF]
    if even != len(data):
        total = (total >> 8) ^ CRC_SINGLE[(total ^ data[-1]) & 0xFF]
    return total ^ 0xFFFFFFFF


# --- Ed25519 verification (RFC 8032, section 5.1), points as (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def decompress(encoded):
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def multiply(scalar, table):
    """Sum of the table's doublings where the scalar has a bit; table[i] = 2**i times the point."""
    total, i = (0, 1, 1, 0), 0
    while scalar:
        if scalar & 1:
            total = add(total, table[i])
        scalar >>= 1
        i += 1
    return total


def doublings(point):
    table = [point]
    for _ in range(255):
        table.append(add(table[-1], table[-1]))
    return table


BASE = decompress((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
BASE_TABLE = doublings(BASE)


@functools.lru_cache(maxsize=8)
def key_table(key):
    point = decompress(key)
    return point and doublings((P - point[0], point[1], 1, P - point[3] if point[3] else 0))


@functools.lru_cache(maxsize=4096)
def ed25519_holds(key, message, signature):
    table, s = key_table(key), int.from_bytes(signature[32:], "little")
    if not table or s >= ORDER:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    x, y, z, _ = add(multiply(s, BASE_TABLE), multiply(h, table))
    inverse = pow(z, P - 2, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]


def ed25519_public(seed):
    h = bytearray(hashlib.sha512(seed).digest()[:32])
    h[0] &= 248
    h[31] = h[31] & 127 | 64
    x, y, z, _ = multiply(int.from_bytes(h, "little"), BASE_TABLE)
    inverse = pow(z, P - 2, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


# --- what stands on disk

class Folder:
    """A journal's directory. Tests give an object with the same two methods over a dictionary."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def list(self):
        return sorted(entry.name for entry in os.scandir(self.path) if entry.is_file())

    def read(self, name):
        return (self.path / name).read_bytes()


class Checkpoint:
    def __init__(self, count, head, when, key, signature):
        self.count, self.head, self.time, self.key, self.signature = count, head, when, key, signature

    @staticmethod
    def of_line(line):
        found = LINE.fullmatch(line)
        if not found or found[3] == b"-0" or int(found[1]) >= 2**63:
            return None
        return Checkpoint(int(found[1]), bytes.fromhex(found[2].decode()), int(found[3]), bytes.fromhex(found[4].decode()),
                          bytes.fromhex(found[5].decode()))

    def holds(self):
        message = b"tidegate-checkpoint-v1\0" + struct.pack("<Qq", self.count, self.time) + self.head + self.key
        return ed25519_holds(self.key, message, self.signature)


class Record:
    __slots__ = ("at", "end", "type", "sequence", "time", "synced", "previous", "raw")

    @property
    def payload(self):
        return self.raw[RECORD.size:]


def record_at(data, at, skip_to=0):
    """The record there, or the word for what is wrong: incomplete, damaged, version. Up to record `skip_to` it may be
    taken on trust."""
    if len(data) - at < RECORD.size:
        return "incomplete"
    checksum, length, marker, version, kind, sequence, when, synced, previous = RECORD.unpack_from(data, at)
    if marker != MARKER or not RECORD.size <= length <= LENGTH_MAX:
        return "damaged"
    if at + length > len(data):
        return "incomplete"
    raw = data[at:at + length]
    if sequence > skip_to and crc32c(raw[4:]) != checksum:
        return "damaged"
    if version != VERSION or kind not in TYPES:
        return "version"
    record = Record()
    record.at, record.end, record.type, record.sequence = at, at + length, kind, sequence
    record.time, record.synced, record.previous, record.raw = when, synced, previous, raw
    return record


def segment_header(data):
    """(first, created, previous), or the word for what is wrong."""
    if len(data) < SEGMENT.size:
        return "incomplete"
    magic, version, first, created, previous, zero, checksum = SEGMENT.unpack_from(data)
    if magic != MAGIC or crc32c(data[:SEGMENT.size - 4]) != checksum:
        return "damaged"
    if version != VERSION:
        return "version"
    return "damaged" if zero else (first, created, previous)


def numbered(names, ending):
    return [int(name[:20]) for name in names if re.fullmatch(r"[0-9]{20}" + re.escape(ending), name)]


class Fault(Exception):
    def __init__(self, file, offset, sequence, what):
        super().__init__(what)
        self.file, self.offset, self.sequence, self.what = file, offset, sequence, what

    def __str__(self):
        place = f": offset {self.offset}" if self.offset or self.sequence else ""
        return f"{self.file}{place}{f', record {self.sequence}' if self.sequence else ''}: {self.what}"


class Survey:
    """Reads all of a journal and checks every link. `run` raises the first Fault."""

    def __init__(self, folder, live=False, shipped=()):
        self.folder, self.live = folder, live
        self.shipped = sorted(shipped, key=lambda c: -c.count)
        self.segments = self.records = self.checkpoints = self.shipped_checked = 0
        self.first = self.last = self.synced = self.sound = self.last_line_count = 0
        self.head = self.link = bytes(32)
        self.key = self.trimmed = self.state = self.lacks_line = None
        self.notes, self.segment, self.next = [], ".", 1
        self.missing_line = b""

    def run(self):
        self.read_key()
        self.read_lines()
        self.numbers = numbered(self.folder.list(), ".seg")
        if self.numbers:
            self.next = self.first = self.numbers[0]
        self.headers = []
        for index in range(len(self.numbers)):
            self.read_segment(index)
        if self.live:
            self.lacks_line = None
        self.check_trim()
        self.check_lines_left()
        if self.shipped:
            raise Fault(self.segment, self.sound, self.last + 1,
                        f"the journal ends before record {self.shipped[-1].count}, which a shipped checkpoint signed")
        self.check_state()
        return self

    def read_key(self):
        try:
            text = self.folder.read("signing.key")
        except (FileNotFoundError, PermissionError):
            return
        if not re.fullmatch(rb"[0-9a-f]{64}\n", text):
            raise Fault("signing.key", 0, 0, "not a signing key")
        self.key = ed25519_public(bytes.fromhex(text.decode()))

    def read_lines(self):
        """(offset, text with its line end, meaning) of each line of checkpoints.jsonl."""
        try:
            text = self.folder.read(LINES)
        except FileNotFoundError:
            text = b""
        self.lines, self.at_line, offset = [], 0, 0
        for line in text.splitlines(keepends=True) if b"\r" not in text else re.findall(rb"[^\n]*\n|[^\n]+", text):
            self.lines.append((offset, line, Checkpoint.of_line(line[:-1]) if line.endswith(b"\n") else None))
            offset += len(line)

    def line(self):
        return self.lines[self.at_line] if self.at_line < len(self.lines) else None

    # --- segments

    def read_segment(self, index):
        number = self.numbers[index]
        self.segment = f"{number:020}.seg"
        data = self.folder.read(self.segment)
        header = segment_header(data)
        if isinstance(header, str):
            return self.bad_header(index, data, header)
        first, _, previous = header
        if first == 0:
            raise Fault(self.segment, 0, 0, "no segment begins with record 0")
        if first != number:
            raise Fault(self.segment, 0, self.next, f"its header says that it begins with record {first}")
        if first != self.next:
            raise Fault(self.segment, 0, self.next, f"record {self.next} is missing: the segment begins with {first}")
        if index and previous != self.head:
            raise Fault(self.segment, 0, self.next, "the segment does not go on from the record before it")
        if first == 1 and previous != bytes(32):
            raise Fault(self.segment, 0, self.next, "the first segment points back at something")
        if self.lacks_line and not self.live:
            raise self.lacks_line
        self.head, self.link = previous, hashlib.sha256(data[:SEGMENT.size]).digest()
        self.headers.append((first, previous))
        self.synced = max(self.synced, first - 1)
        self.last, self.sound = first - 1, SEGMENT.size
        if index == 0:
            self.check_shipped()
        at = SEGMENT.size
        while at < len(data):
            record = record_at(data, at)
            if isinstance(record, str):
                self.broken_record(index, data, at, record)
                break
            self.take(record)
            at = self.sound = record.end
        self.segments += 1

    def bad_header(self, index, data, fault):
        if fault == "version":
            raise Fault(self.segment, 0, self.next, "the segment is of a format that this version does not know")
        if index + 1 != len(self.numbers) or self.numbers[index] != self.next:
            raise Fault(self.segment, 0, self.next, "the segment's header is damaged")
        if self.lacks_line and not self.live:
            raise self.lacks_line
        self.claims_in_rest(data, 0)
        self.claims_in_lines(0)
        if not self.live:
            self.notes.append(f"{self.segment} was being made when the writer ended; it holds no record")

    def take(self, record):
        sequence, signs = record.sequence, record.type == CHECKPOINT
        if sequence != self.next:
            raise Fault(self.segment, record.at, self.next, f"record {sequence} stands here")
        if record.previous != self.link:
            raise Fault(self.segment, record.at, self.next, "its link to the record before it does not hold")
        if record.synced if signs else not self.synced <= record.synced < sequence:
            raise Fault(self.segment, record.at, self.next, "its mark of what is durable is out of order")
        # A line is durable before any record says that its checkpoint is, and before the next checkpoint.
        if self.lacks_line and not self.live and (signs or record.synced >= self.lacks_line.sequence):
            raise self.lacks_line
        self.pass_lines_before(sequence)
        self.synced = max(self.synced, record.synced)
        if record.type != EVENT:
            (self.take_checkpoint, self.take_state, self.take_trim)[record.type - 2](record)
        self.head = self.link = hashlib.sha256(record.raw).digest()
        self.last, self.records, self.next = sequence, self.records + 1, sequence + 1
        self.check_shipped()

    def take_checkpoint(self, record):
        sequence, payload = record.sequence, record.payload
        c = Checkpoint.of_line(payload)
        if not c:
            raise Fault(self.segment, record.at, sequence, "the checkpoint cannot be read")
        if c.count != sequence - 1 or c.time != record.time:
            raise Fault(self.segment, record.at, sequence, "the checkpoint is of another place")
        if c.head != self.head:
            raise Fault(self.segment, record.at, sequence, "the checkpoint's head is not the hash of the record before it")
        self.check_signature(c, self.segment, record.at, sequence)
        self.checkpoints += 1
        line = self.line()
        if not line or not line[2]:
            self.missing_line = payload
            end = line[0] if line else sum(len(text) for _, text, _ in self.lines)
            self.lacks_line = Fault(LINES, end, sequence, f"the line of checkpoint record {sequence} is missing")
            return
        if line[1] != payload + b"\n":
            raise Fault(LINES, line[0], sequence, f"the line differs from checkpoint record {sequence}")
        self.last_line_count = c.count
        self.at_line += 1

    def take_state(self, record):
        note = STATE_NOTE.fullmatch(record.payload)
        if not note or int(note[1]) != record.sequence:
            raise Fault(self.segment, record.at, record.sequence, "the state record cannot be read")
        self.state = record.sequence, int(note[2]), note[3].decode()

    def take_trim(self, record):
        note = TRIM_NOTE.fullmatch(record.payload)
        if not note or int(note[1]) > record.sequence or (self.trimmed and int(note[1]) < self.trimmed[0]):
            raise Fault(self.segment, record.at, record.sequence, "the trim record cannot be read")
        self.trimmed = int(note[1]), bytes.fromhex(note[2].decode())

    # --- checkpoints.jsonl beside the records

    def pass_lines_before(self, sequence):
        while line := self.line():
            offset, _, c = line
            if not c:
                if self.at_line + 1 == len(self.lines):
                    return
                raise Fault(LINES, offset, 0, "the line is no checkpoint")
            if self.last_line_count and c.count <= self.last_line_count:
                raise Fault(LINES, offset, c.count + 1, "the line is out of order")
            if c.count + 1 >= sequence:
                return
            if c.count + 1 >= self.first:
                raise Fault(LINES, offset, c.count + 1, f"the line's record {c.count + 1} is no checkpoint")
            self.check_signature(c, LINES, offset, c.count + 1)
            self.last_line_count = c.count
            self.at_line += 1

    def check_lines_left(self):
        self.pass_lines_before(self.last + 1)
        if line := self.line():
            if not line[2]:
                return self.check_torn_line(line)
            kept = bool(self.headers)
            raise Fault(self.segment if kept else ".", self.sound, self.last + 1,
                        f"{'the journal ends' if kept else 'there is no segment'} before record {line[2].count + 1}, "
                        f"which {LINES} shows to have been durable")
        if self.lacks_line:
            self.notes.append(f"the last checkpoint's line is not in {LINES}: the writer ended before it, or it was removed")

    def check_torn_line(self, line):
        if self.live:
            return
        offset, text, _ = line
        expected = self.missing_line + b"\n"
        if not self.lacks_line or len(text) > len(expected) or any(a not in (b, 0) for a, b in zip(text, expected)):
            raise Fault(LINES, offset, 0, "the last line is damaged")
        self.notes.append(f"the last line of {LINES} is torn")

    # --- the end of the journal

    def broken_record(self, index, data, at, fault):
        if fault == "version":
            raise Fault(self.segment, at, self.next, "the record is of a format that this version does not know")
        if index + 1 != len(self.numbers):
            raise Fault(self.segment, at, self.next, "the record is damaged")
        self.claims_in_lines(at)
        self.claims_in_rest(data, at)
        if not self.live:
            self.notes.append(f"{self.segment}: {len(data) - at} bytes from offset {at} are a torn tail, not acknowledged "
                              "as durable")

    def claims_in_lines(self, at):
        while (line := self.line()) and line[2]:
            if line[2].count + 1 >= self.next:
                raise Fault(self.segment, at, self.next,
                            f"the record is damaged or gone, though {LINES} shows it to have been durable")
            self.pass_lines_before(self.next)

    def claims_in_rest(self, data, broken_at):
        work_left, at = 8 * (len(data) - broken_at) + LENGTH_MAX, broken_at
        while True:
            at = data.find(MARKER, at + 8) - 8
            if at < 0 or len(data) - at < RECORD.size:
                return
            cost = int.from_bytes(data[at + 4:at + 8], "little")
            if cost <= min(LENGTH_MAX, len(data) - at):
                if cost > work_left:
                    raise Fault(self.segment, broken_at, self.next,
                                "the record is damaged and what follows looks like no torn tail")
                work_left -= cost
            later = record_at(data, at)
            if isinstance(later, str):
                at += 1
                continue
            if self.next <= later.synced < later.sequence:
                raise Fault(self.segment, broken_at, self.next, f"the record is damaged, though record {later.sequence} "
                            "behind it shows it to have been durable")
            at = later.end

    def check_trim(self):
        if not self.numbers or self.numbers[0] == 1:
            return
        first, previous = self.headers[0] if self.headers else (self.numbers[0], bytes(32))
        if not self.trimmed or self.trimmed[0] < first:
            raise Fault(f"{first:020}.seg", 0, first,
                        "the records before it are missing, and no record says that they were given up")
        if self.trimmed[0] == first and self.trimmed[1] != previous:
            raise Fault(f"{first:020}.seg", 0, first, "the segment does not go on from what was given up")

    # --- signatures and state

    def check_signature(self, c, file, at, sequence):
        self.key = self.key or c.key
        if c.key != self.key:
            raise Fault(file, at, sequence, "the checkpoint is of another key")
        if not c.holds():
            raise Fault(file, at, sequence, "the checkpoint's signature does not hold")

    def check_shipped(self):
        while self.shipped and self.shipped[-1].count <= self.last:
            c = self.shipped.pop()
            if c.count < self.last:
                self.notes.append(f"the shipped checkpoint of record {c.count} is older than what the journal keeps")
            elif c.head != self.head:
                raise Fault(self.segment, 0, c.count, "the record is not the one that the shipped checkpoint signed")
            else:
                self.shipped_checked += 1
            self.check_signature(c, "shipped checkpoint", 0, c.count)

    def check_state(self):
        if not self.state or self.live:
            return
        sequence, size, sha256 = self.state
        name = f"{sequence:020}.state"
        try:
            data = self.folder.read(name)
        except FileNotFoundError:
            raise Fault(name, 0, sequence, "the saved state is missing") from None
        except OSError as problem:
            raise Fault(name, 0, sequence, f"the saved state cannot be read: {problem.strerror}") from None
        if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
            raise Fault(name, 0, sequence, "the saved state is not the one that was recorded")


# --- the command line

class Refusal(Exception):
    """An exit code and a message."""


def data_directory(options):
    if options.data or os.environ.get("TIDEGATE_STORAGE_DIR"):
        return pathlib.Path(options.data or os.environ["TIDEGATE_STORAGE_DIR"])
    name = options.config or os.environ.get("TIDEGATE_CONFIG")
    try:
        settings = tomllib.loads(pathlib.Path(name or "tidegate.toml").read_text())
    except FileNotFoundError:
        if name:
            raise Refusal(2, f"{name}: no such file") from None
        settings = {}
    except (OSError, ValueError) as problem:
        raise Refusal(2, f"{name or 'tidegate.toml'}: {problem}") from None
    return pathlib.Path(settings.get("storage", {}).get("dir", "./tidegate-data"))


def in_use(data):
    try:
        with open(data / "lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as problem:
        return problem.errno == errno.EWOULDBLOCK
    return False


def read_shipped(path):
    found = []
    for number, line in enumerate(pathlib.Path(path).read_bytes().split(b"\n"), 1):
        if line := line.removesuffix(b"\r"):
            found.append(Checkpoint.of_line(line))
            if not found[-1]:
                raise Refusal(2, f"{path}:{number}: not a checkpoint")
    if not found:
        raise Refusal(2, f"{path}: holds no checkpoint")
    return found


def look_at(folder, live, shipped):
    for attempt in range(3):
        survey, fault = Survey(folder, live, shipped), None
        try:
            survey.run()
        except Fault as found:
            fault = found
        except FileNotFoundError as gone:  # retention took a segment away meanwhile
            fault = Fault(pathlib.Path(gone.filename).name, 0, 0, "it went away while the journal was read")
            if live and attempt < 2:
                continue
        return survey, fault


def picture(folder):
    try:
        return sorted((file.name, file.stat().st_size) for file in pathlib.Path(folder.path).iterdir())
    except OSError:
        return None


def verify(options, data, folder):
    shipped, last = read_shipped(options.checkpoint) if options.checkpoint else [], None
    for _ in range(6):  # a verdict counts only if nobody came or went meanwhile
        live, before = in_use(data), picture(folder)
        survey, fault = look_at(folder, live, shipped)
        place = (fault.file, fault.offset) if fault else None
        steady = not fault or place == last if live else before == picture(folder)
        if steady and in_use(data) == live:
            break
        last = place if live else None
    if options.json:
        verdict = {"ok": not fault, "journal": str(folder.path), "records": survey.records, "first": survey.first,
                   "last": survey.last, "segments": survey.segments, "checkpoints": survey.checkpoints,
                   "shipped": survey.shipped_checked, "head": survey.head.hex(), "live": live, "notes": survey.notes}
        print(json.dumps(verdict | ({"fault": vars(fault)} if fault else {}), ensure_ascii=False, separators=(",", ":")))
        return 1 if fault else 0
    span = f" ({survey.first} to {survey.last})" if survey.records else ""
    print(f"journal: {folder.path}{' (in use)' if live else ''}\nrecords: {survey.records}{span}, segments: {survey.segments}, "
          f"checkpoints: {survey.checkpoints}, shipped checkpoints: {survey.shipped_checked}\nhead: {survey.head.hex()}")
    print("".join(f"note: {note}\n" for note in survey.notes) + (f"broken: {fault}" if fault else "ok"))
    return 1 if fault else 0


def rfc3339(milliseconds):
    when = datetime.datetime.fromtimestamp(milliseconds // 1000, datetime.timezone.utc)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03}Z"


def as_json(record):
    return (f'{{"sequence":{record.sequence},"time":"{rfc3339(record.time)}","type":"{TYPES[record.type]}",'
            f'"data":{record.payload.decode(errors="replace")}}}')


def as_text(record):
    def plain(value):
        word = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9._:/@+-]+", value)
        return value if word else json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    members = json.loads(record.payload)
    event = "journal_checkpoint" if record.type == CHECKPOINT else plain(members.pop("event", None))
    return "  ".join([rfc3339(record.time), str(record.sequence), event] + [f"{k}={plain(v)}" for k, v in members.items()])


def records(folder, done=0):
    """Those behind number `done` that are on disk by now."""
    numbers = numbered(folder.list(), ".seg")
    for first in [n for i, n in enumerate(numbers) if i + 1 == len(numbers) or numbers[i + 1] > done + 1]:
        try:
            data = folder.read(f"{first:020}.seg")
        except FileNotFoundError:
            continue
        at = SEGMENT.size
        while at < len(data) and not isinstance(record := record_at(data, at, done), str):
            at = record.end
            if record.sequence > done:
                yield record
        if at < len(data) and first != numbers[-1]:
            raise Refusal(1, f"{first:020}.seg: offset {at}: damaged; `verify` says more")


def show(options, _, folder):
    found = 0
    for record in records(folder):
        if record.type == EVENT and options.id.encode() in record.payload:
            members = json.loads(record.payload)
            if options.id in (members.get("traceId"), members.get("runId")):
                found += 1
                print(as_json(record) if options.json else as_text(record))
    if not found:
        raise Refusal(1, f"no record of {options.id}")
    return 0


def tail(options, _, folder):
    newest = numbered(folder.list(), ".seg")[-1:]
    last = newest[0] - 1 if newest else 0
    data, at = folder.read(f"{newest[0]:020}.seg") if newest else b"", SEGMENT.size
    while not isinstance(record := record_at(data, at, 2**64), str):
        last, at = record.sequence, record.end
    done = last - min(last, max(options.n, 0))
    while True:
        for record in records(folder, done):
            done = record.sequence
            print(as_json(record) if options.json else as_text(record))
        sys.stdout.flush()
        if not options.follow:
            return 0
        time.sleep(0.2)


def since(text):
    if re.fullmatch(r"(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?", text) and text:
        unit = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
        ago = sum(int(n) * unit[u] for n, u in re.findall(r"(\d+)(ms|[dhms])", text))
        return int(time.time() * 1000) - ago
    if not re.fullmatch(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{3})?Z)?", text):
        raise Refusal(2, '--since: expected a time such as "2026-11-23T09:00:00Z", a date, or a duration such as "24h"')
    when = datetime.datetime.fromisoformat(text if "T" in text else text + "T00:00:00Z")
    return round(when.timestamp() * 1000)


def export(options, _, folder):
    start = since(options.since) if options.since else None
    for record in records(folder):
        if start is None or record.time >= start:
            print(as_json(record))
    return 0


def parse(arguments):
    parser = argparse.ArgumentParser(description="Verifies and reads a journal of tidegate.")
    commands = parser.add_subparsers(required=True)
    for act in (verify, show, tail, export):
        command = commands.add_parser(act.__name__)
        command.set_defaults(act=act)
        command.add_argument("--data", metavar="DIR")
        command.add_argument("--config", metavar="F")
        if act is not export:
            command.add_argument("--json", action="store_true")
    commands.choices["verify"].add_argument("--checkpoint", metavar="F")
    commands.choices["show"].add_argument("id", metavar="TRACE")
    commands.choices["tail"].add_argument("-f", "--follow", action="store_true")
    commands.choices["tail"].add_argument("-n", type=int, default=10, metavar="N")
    commands.choices["export"].add_argument("--since", metavar="T")
    commands.choices["export"].add_argument("--format", choices=["jsonl"], default="jsonl")
    return parser.parse_args(arguments)


def main():
    options = parse(sys.argv[1:])
    try:
        data = data_directory(options)
        folder = Folder(data / "journal")
        folder.list()
        return options.act(options, data, folder)
    except Refusal as refusal:
        print(f"audit_verify: {refusal.args[1]}", file=sys.stderr)
        return refusal.args[0]
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as problem:
        print(f"audit_verify: {problem.filename}: {problem.strerror}", file=sys.stderr)
        return 2 if problem.filename == getattr(options, "checkpoint", None) else 1


if __name__ == "__main__":
    sys.exit(main())
