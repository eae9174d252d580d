#!/usr/bin/env python3
"""Runs tools/audit_verify.py over journals packed into files by journal_tampering_test: FOLDER/sound-N and tampered-N.

Exits 1 unless every sound journal passes, every tampered one is found, and each finding is word for word the one that
the gateway's verifier made, which stands beside the journal in *.finding.
"""
import importlib.util
import pathlib
import sys

source = pathlib.Path(__file__).resolve().parents[2] / "tools/audit_verify.py"
spec = importlib.util.spec_from_file_location("audit_verify", source)
audit_verify = importlib.util.module_from_spec(spec)
spec.loader.exec_module(audit_verify)


class Packed:
    """A journal's files in one: "name size\\n" and the bytes, over and over."""

    def __init__(self, path):
        data, self.files = path.read_bytes(), {}
        while data:
            name, size = data[:data.index(b"\n")].decode().rsplit(" ", 1)
            start = data.index(b"\n") + 1
            self.files[name] = data[start:start + int(size)]
            data = data[start + int(size):]

    def list(self):
        return sorted(self.files)

    def read(self, name):
        if name not in self.files:
            raise FileNotFoundError(2, "No such file or directory", name)
        return self.files[name]


def fault_of(path):
    try:
        audit_verify.Survey(Packed(path)).run()
    except audit_verify.Fault as fault:
        return str(fault)
    return None


def main():
    right, wrong = {"sound": 0, "tampered": 0}, 0
    for path in sorted(path for path in pathlib.Path(sys.argv[1]).iterdir() if path.suffix != ".finding"):
        kind = path.name.split("-")[0]
        fault, expected = fault_of(path), path.with_suffix(".finding").read_text() or None
        if bool(fault) == (kind == "tampered") and fault == expected:
            right[kind] += 1
        else:
            wrong += 1
            print(f"{path.name}: {fault or 'nothing found'}\n    the other verifier: {expected or 'nothing found'}")
    print(f"journal_tampering: audit_verify.py found {right['tampered']}, passed {right['sound']} sound, {wrong} wrong")
    return 1 if wrong or not right["sound"] else 0


if __name__ == "__main__":
    sys.exit(main())
