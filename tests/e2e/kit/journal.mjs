// Reads a journal's segments without the gateway's code (docs/JOURNAL.md), and damages them where a test asks for it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { binary, root } from './process.mjs';

const segment_header = 64;
const record_header = 68;

// Every whole record from `from` on: {sequence, at, size, type, time, payload}. What is torn at the end is not among them.
export function records_of(file, from = 0) {
  const bytes = readFileSync(file);
  const found = [];
  for (let at = Math.max(from, segment_header); at + record_header <= bytes.length;) {
    const size = bytes.readUInt32LE(at + 4);
    if (size < record_header || at + size > bytes.length) break;
    found.push({
      at,
      size,
      type: bytes[at + 11],
      sequence: Number(bytes.readBigUInt64LE(at + 12)),
      time: Number(bytes.readBigInt64LE(at + 20)),
      payload: bytes.subarray(at + record_header, at + size).toString(),
    });
    at += size;
  }
  return found;
}

export const segments_of = (data) => readdirSync(path.join(data, 'journal')).filter((name) => name.endsWith('.seg')).sort()
  .map((name) => path.join(data, 'journal', name));

// Follows one journal through the lives of its gateway; each call gives the events that were added since the last one.
export class JournalReader {
  constructor(data) {
    this.data = data;
    this.file = '';
    this.at = 0;
    this.sequence = 0;
  }

  more() {
    const events = [];
    for (const file of segments_of(this.data)) {
      if (file < this.file) continue;
      if (file > this.file) this.at = 0;
      this.file = file;
      for (const record of records_of(file, this.at)) {
        assert.equal(record.sequence, this.sequence + 1, `${file}: the sequence has a gap`);
        this.sequence = record.sequence;
        this.at = record.at + record.size;
        if (record.type === 1) events.push({ sequence: record.sequence, time: record.time, ...JSON.parse(record.payload) });
      }
    }
    return events;
  }
}

function checked(command, args) {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: 120_000 });
  return { code: status, text: stdout + stderr };
}
// Both verifiers: ours and the one that shares no code with it.
export const verify = (data, ...options) => checked(binary, ['audit', 'verify', '--data', data, ...options]);
export const verify_without_binary = (data) =>
  checked('python3', [path.join(root, 'tools/audit_verify.py'), 'verify', '--data', data]);
export function both_verify(data, when) {
  for (const { code, text } of [verify(data), verify_without_binary(data)]) assert.equal(code, 0, `${when}: ${text}`);
}
