// A disk that fails, a journal that somebody changed, a process that dies while it starts.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Books } from './kit/books.mjs';
import { FailingDisk } from './kit/disk.mjs';
import { both_kinds, credentials, start_mock } from './kit/gateway.mjs';
import { both_verify, JournalReader, records_of, segments_of, verify, verify_without_binary } from './kit/journal.mjs';
import { until } from './kit/ask.mjs';
import { ask, traces_in } from './kit/load.mjs';
import { Process } from './kit/process.mjs';

let mock, folder;
before(async () => {
  mock = await start_mock();
  folder = mkdtempSync(path.join(os.tmpdir(), 'tidegate-disk-'));
  writeFileSync(path.join(folder, 'tidegate.toml'), both_kinds(mock));
});
after(async () => {
  for (const gateway of started) gateway.signal('SIGKILL');  // of a test that failed
  await mock.stop();
  rmSync(folder, { recursive: true, force: true });
});

const fresh = (() => {
  let made = 0;
  return () => path.join(folder, `data${made += 1}`);
})();
const started = [];
function serve(data, wrap, environment = {}) {
  started.push(new Process(['serve', '--config', path.join(folder, 'tidegate.toml'), '--listen', '127.0.0.1:0',
    '--admin-listen', '127.0.0.1:0', '--data', data], { environment: { ...credentials, ...environment }, cwd: folder, wrap }));
  return started.at(-1);
}
const call = (url, more = {}) => ask(url, { model: 'on-openai', dialect: 'openai', prompt: 'Hello', ...more }, 'none');
async function up(data) {
  const gateway = serve(data);
  const { data: address, admin } = await gateway.event('listening');
  return { gateway, url: `http://${address}`, admin: `http://${admin}` };
}
async function kill(gateway) {
  gateway.signal('SIGKILL');
  await gateway.ended;
}
// A journal of some runs whose writer was killed.
async function killed_after(data, calls) {
  const { gateway, url } = await up(data);
  for (let i = 0; i < calls; i += 1) assert((await call(url, { stream: i % 2 === 1 })).completed);
  await kill(gateway);
}

function legs_recorded(data, count) {
  const reader = new JournalReader(data);
  let legs = 0;
  return until(`${count} legs on the record`, async () => {
    await mock.state();
    legs += reader.more().filter(({ event }) => event === 'ai_leg_started').length;
    return legs >= count;
  });
}

// --- B7, DEG-2, T123: the Nth call to the disk fails

const points = Number(process.env.TIDEGATE_DISK_POINTS ?? 52);
const strace_works = spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0;

async function assert_stopped(url, admin) {
  for (const stream of [false, true]) {
    const refused = await call(url, { stream });
    assert.deepEqual([refused.status, refused.code], [503, 'DB_ERROR'], refused.text);
    assert.equal(refused.attempts, 0);
    assert(!traces_in(await mock.requests()).has(refused.trace), 'a refused call went on to the provider');
  }
  const status = async (where) => (await fetch(where)).status;
  assert.equal(await status(`${admin}/readyz`), 503);
  for (const where of [`${url}/healthz`, `${url}/v1/models`, `${admin}/healthz`, `${admin}/metrics`, `${admin}/admin/v1/providers`,
    `${admin}/admin/v1/status`])
    assert.equal(await status(where), 200, where);
}

// A new start without the fault finds what was acknowledged, and serves.
async function assert_recovers(data, seen, where, arrived = new Set()) {
  const { gateway, url, admin } = await up(data);
  const last = await call(url);
  assert(last.completed, `${where}: ${last.status} ${last.text}`);
  assert.equal((await fetch(`${admin}/readyz`)).status, 200);
  const books = new Books();
  books.take(new JournalReader(data).more());
  assert.deepEqual(books.open_runs(), [], where);
  for (const one of [...seen, last]) books.assert_holds(one);
  for (const trace of arrived) books.assert_recorded(trace);
  assert.equal(await gateway.stop(), 0);
  both_verify(data, where);
}

const bases = {
  // Nothing yet: the first record makes the first segment.
  fresh: async () => {},
  // Its start has runs to end and writes before it serves.
  crashed: async (data) => {
    const { gateway, url } = await up(data);
    assert((await call(url)).completed);
    const cut_off = [false, true].map((stream) => call(url, { prompt: '[[mock:stall=2]]', stream }));
    await legs_recorded(data, 3);
    await kill(gateway);
    await Promise.all(cut_off);
  },
  // Its start has bytes to cut off.
  torn: async (data) => {
    await killed_after(data, 3);
    const file = segments_of(data).at(-1);
    truncateSync(file, records_of(file).at(-1).at + 30);
  },
};

// Calls four at a time until one of them fails; nothing when none did.
async function calls_until_stopped(url, { calls = 80, session } = {}) {
  const seen = [];
  while (seen.length < calls) {
    seen.push(...await Promise.all([0, 1, 2, 3].map((i) => call(url, { stream: i % 2 === 1, session }))));
    if (seen.some(({ completed }) => !completed)) break;
  }
  return seen;
}

async function fail_at({ base, syscall, error, when }) {
  const data = fresh();
  const where = `${syscall} ${error} at ${when}, ${base}`;
  await bases[base](data);
  const gateway = serve(data, new FailingDisk(data, syscall, error, when).wrap);
  const listening = await Promise.race([gateway.event('listening').catch(() => undefined), gateway.ended.then(() => undefined)]);
  let seen = [];
  let arrived = new Set();
  let outcome = 'refused to start';
  if (listening === undefined) {
    assert.equal((await gateway.ended).code, 1, `${where}: ${gateway.text}`);
  } else {
    const [url, admin] = [`http://${listening.data}`, `http://${listening.admin}`];
    await mock.reset();
    seen = await calls_until_stopped(url);
    const failed = seen.filter(({ completed }) => !completed);
    outcome = failed.length > 0 ? 'stopped' : 'not reached';
    // A stream that had begun breaks off; every other one is told.
    for (const one of failed)
      if (one.whole) assert.deepEqual([one.status, one.code], [503, 'DB_ERROR'], `${where}: ${one.text}`);
    if (failed.length > 0) await assert_stopped(url, admin);
    arrived = traces_in(await mock.requests());
    await gateway.stop();
  }
  await assert_recovers(data, seen, where, arrived);
  rmSync(data, { recursive: true });
  return outcome;
}

function* plan() {
  const error_at = (i) => (i % 4 < 2 ? 'EIO' : 'ENOSPC');
  // Most fail once only: the journal must not mistake the next success for health.
  for (let i = 0; i < points - 8; i += 1) {
    const n = 1 + (i >> 1);
    yield { base: i % 2 ? 'crashed' : 'fresh', syscall: i % 3 === 2 ? 'fdatasync' : 'pwritev', error: error_at(i),
      when: i % 5 < 3 ? `${n}` : `${n}+` };
  }
  for (const base of ['fresh', 'crashed', 'torn']) {
    yield { base, syscall: 'fsync', error: 'EIO', when: '1' };
    yield { base, syscall: 'fdatasync', error: 'EIO', when: '1+' };
  }
  yield { base: 'torn', syscall: 'ftruncate', error: 'EIO', when: '1' };
  yield { base: 'torn', syscall: 'pwritev', error: 'ENOSPC', when: '1+' };
}

test(`a disk that fails at one of ${points} points: nothing is acknowledged from there on`,
  { timeout: 600_000, skip: strace_works ? false : 'strace cannot trace here' }, async () => {
    const counts = {};
    for (const point of plan()) {
      const what = `${point.syscall} ${await fail_at(point)}`;
      counts[what] = (counts[what] ?? 0) + 1;
    }
    console.log(`${points} points: ${Object.entries(counts).map(([what, n]) => `${what} ${n}`).join(', ')}`);
    for (const what of ['pwritev stopped', 'fdatasync stopped', 'ftruncate refused to start']) assert(counts[what] > 0, what);
  });

test('a segment that cannot be ended stops the journal as a failed write does', { skip: strace_works ? false : 'strace cannot trace here' },
  async () => {
    const data = fresh();
    await killed_after(data, 1);
    // The state is put in place by renaming; nothing else the gateway does while it serves.
    const gateway = serve(data, new FailingDisk(data, 'rename', 'EIO', '1+', { anywhere: true }).wrap,
      { TIDEGATE_JOURNAL_SEGMENT_SIZE: '1MiB' });
    const listening = await gateway.event('listening');
    const [url, admin] = [`http://${listening.data}`, `http://${listening.admin}`];
    const seen = await calls_until_stopped(url, { calls: 4_000, session: 's'.repeat(200) });
    assert(seen.some(({ completed }) => !completed), 'no segment was ended');
    await assert_stopped(url, admin);
    await gateway.stop();
    await assert_recovers(data, seen, 'after a segment that was not ended');
  });

// --- T124: records flipped, removed, swapped; a tail cut

// The journal's last segment, changed; `change` gets its bytes and its records.
function changed(data, change) {
  const file = segments_of(data).at(-1);
  writeFileSync(file, change(readFileSync(file), records_of(file)));
}
const damages = {
  'a bit is flipped': (bytes, records) => {
    const { at, size } = records[Math.floor(records.length / 2)];
    bytes[at + size - 3] ^= 1;
    return bytes;
  },
  'a record is removed': (bytes, records) => {
    const { at, size } = records[Math.floor(records.length / 2)];
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + size)]);
  },
  'two records are swapped': (bytes, records) => {
    const [a, b] = records.slice(Math.floor(records.length / 2));
    return Buffer.concat([bytes.subarray(0, a.at), bytes.subarray(b.at, b.at + b.size), bytes.subarray(a.at, b.at),
      bytes.subarray(b.at + b.size)]);
  },
};

for (const [name, damage] of Object.entries(damages)) {
  for (const ending of ['killed', 'stopped']) {
    test(`T124: ${name}, its writer ${ending}: found, and no start`, async () => {
      const data = fresh();
      await killed_after(data, 10);
      if (ending === 'stopped') assert.equal(await (await up(data)).gateway.stop(), 0);
      changed(data, damage);
      const size = readFileSync(segments_of(data).at(-1)).length;
      const found = [verify(data), verify_without_binary(data)];
      for (const { code, text } of found) assert.equal(code, 1, text);
      const [place] = found[0].text.match(/\d+\.seg: offset \d+, record \d+/);
      assert(found[1].text.includes(place), `${place} against ${found[1].text}`);
      const gateway = serve(data);
      assert.equal((await gateway.ended).code, 1, gateway.text);
      assert(gateway.text.includes(place), `${place} is not in: ${gateway.text}`);
      assert.equal(readFileSync(segments_of(data).at(-1)).length, size, 'a damaged journal is left as it is');
    });
  }
}

test('T124: a tail that a power cut tore is cut off and logged', async () => {
  const data = fresh();
  await killed_after(data, 10);
  const file = segments_of(data).at(-1);
  const { at, sequence } = records_of(file).at(-1);
  truncateSync(file, at + 30);
  assert.match(verify(data).text, /torn/);
  const { gateway, url } = await up(data);
  assert.equal((await gateway.event('journal_tail_cut')).level, 'warn');
  const opened = await gateway.event('journal_opened');
  assert.equal(opened.records, sequence - 1);
  assert.equal(opened.tornBytes, 30);
  assert((await call(url)).completed);
  assert.equal(await gateway.stop(), 0);
  both_verify(data, 'after the cut');
});

test('T124: a tail behind a signed checkpoint is missed', async () => {
  const data = fresh();
  await killed_after(data, 5);
  assert.equal(await (await up(data)).gateway.stop(), 0);
  const file = segments_of(data).at(-1);
  truncateSync(file, records_of(file).at(-3).at);
  for (const { code, text } of [verify(data), verify_without_binary(data)]) assert.equal(code, 1, text);
  const gateway = serve(data);
  assert.equal((await gateway.ended).code, 1);
  assert.match(gateway.text, /record \d+/);
});

// --- starts

test('T116: killed twice while it starts, then what a crash left open is settled once', async () => {
  const data = fresh();
  const { gateway, url } = await up(data);
  const hanging = Array.from({ length: 4 }, (_, i) =>
    call(url, { prompt: '[[mock:stall=2]]', stream: i % 2 === 0, session: `open-${i}` }));
  await legs_recorded(data, 4);
  await kill(gateway);
  await Promise.all(hanging);
  for (let i = 0; i < 10; i += 1) {
    const copy = fresh();
    cpSync(data, copy, { recursive: true });
    for (let dies = 0; dies < 2; dies += 1) {
      const starting = serve(copy);
      await new Promise((resolve) => setTimeout(resolve, 5 * i + 3 * dies));
      await kill(starting);
    }
    await assert_recovers(copy, [], `killed ${5 * i} ms into a start`);
    const books = new Books();
    books.take(new JournalReader(copy).more());
    assert.deepEqual(books.restarts, { settled: 4, released: 0, terminals: 4 });
    rmSync(copy, { recursive: true });
  }
});

test('a disk that is full at the start: refused, then served when there is room', async (t) => {
  const data = fresh();
  mkdirSync(data);
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tidegate', data]).status !== 0) {
    t.skip('no file system can be mounted here');
    return;
  }
  try {
    await killed_after(data, 3);
    const filler = path.join(data, 'filler');
    spawnSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4096']);
    const full = serve(data);
    const first = await Promise.race([full.event('listening').catch(() => undefined), full.ended.then(() => undefined)]);
    if (first) {
      // What room is left in the last block may do for a start; not for a run.
      const url = `http://${first.data}`;
      let refused = await call(url);
      for (let i = 0; i < 50 && refused.completed; i += 1) refused = await call(url);
      assert(!refused.completed);
      await assert_stopped(url, `http://${first.admin}`);
      await kill(full);
    } else {
      assert.equal((await full.ended).code, 1, full.text);
    }
    console.log(`a full disk: ${first ? 'served until a run needed room' : full.text.trim().split('\n').at(-1)}`);
    rmSync(filler);
    await assert_recovers(data, [], 'with room again');
  } finally {
    spawnSync('umount', ['-l', data]);
  }
});
