// What the session surface takes beside a provider that answers at once (C7, NFR-1): a table of what was measured next to
// what is promised. A measurement asserts no time; it fails when a call fails.
// TIDEGATE_SAMPLES: samples of each row, TIDEGATE_CALLS: request-responses counted for time-outs.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { performance } from 'node:perf_hooks';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { both_kinds, credentials, start_mock } from './kit/gateway.mjs';
import { Place } from './kit/place.mjs';
import { binary, root } from './kit/process.mjs';
import { client_of, is_done, is_status, listen, polish, settled } from './kit/session.mjs';
import { call, each, percentile } from './kit/wire.mjs';

const samples = Number(process.env.TIDEGATE_SAMPLES ?? 60);
const calls = Number(process.env.TIDEGATE_CALLS ?? 10_000);

let mock;
before(async () => { mock = await start_mock(); });
after(() => mock.stop());

const rows = [];
const shown = (ms) => (ms >= 100 ? ms.toFixed(0) : ms.toFixed(1));
function row(what, promised, values) {
  assert.ok(values.length > 0 && values.every((value) => Number.isFinite(value)), `${what}: nothing was measured`);
  rows.push([what, String(values.length), ...[50, 95, 99].map((percent) => shown(percentile(values, percent))), promised]);
}
after(() => {
  const table = [['NFR-1, milliseconds', 'samples', 'p50', 'p95', 'p99', 'promised p50/p95/p99'], ...rows];
  const widths = table[0].map((_, column) => Math.max(...table.map((cells) => cells[column].length)));
  for (const cells of table) console.log(cells.map((cell, column) => (column ? cell.padStart(widths[column]) : cell.padEnd(widths[column]))).join('  '));
});

async function serve(t) {
  const session = '[session]\nmodel = "on-openai"\ncost_guard = false\n[judge]\nadvanced = false\n';
  const place = await Place.make(t, both_kinds(mock, { extra: session, policy: 'session_token_budget = 0' }), credentials);
  const gateway = await place.start();
  return { gateway, client: client_of(gateway) };
}
const took = async (act) => {
  const began = performance.now();
  await act();
  return performance.now() - began;
};
async function repeat(count, act) {
  const values = [];
  for (let n = 0; n < count; n += 1) values.push(await act(n));
  return values;
}
// A prompt of some 64,000 tokens for every sixteenth sample, short ones between.
const text_of = (n) => (n % 16 === 0 ? 'word and then some more words '.repeat(8_500) : `A text of sample ${n}.`);

test('runs: first token, whole answer, executionId, chunk gaps, pushes, cancel', { timeout: 90_000 }, async (t) => {
  const { gateway, client } = await serve(t);
  await mock.reset();
  await client.call('ai:skill:run', polish('warm'));
  const ears = await listen(gateway, {});
  const ttft = [], gaps = [], whole = [], accepted = [], pushes = [], enqueued = [];
  await mock.behave({ default: { behavior: 'ok', text: 'An answer of several fragments, so that there are gaps to be measured.', interval_ms: 1 } });
  for (let n = 0; n < samples; n += 1) {
    const began = performance.now();
    let last;
    const done = await client.runStream(polish(text_of(n)), { onPush: ({ event }) => {
      if (event === 'skill:queue:status' && enqueued.length === n) enqueued.push(performance.now() - began);
      if (event !== 'skill:stream:chunk') return;
      const now = performance.now();
      if (last === undefined) ttft.push(now - began);
      else gaps.push(now - last);
      last = now;
    } });
    assert.equal(done.terminal, 'completed', JSON.stringify(done.error));
  }
  await mock.behave({ default: { behavior: 'ok' } });
  for (let n = 0; n < samples; n += 1) {
    whole.push(await took(() => client.call('ai:skill:run', polish(text_of(n)))));
    let id;
    accepted.push(await took(async () => { id = (await client.call('ai:skill:run', polish(text_of(n), undefined, { stream: true }))).executionId; }));
    await ears.until('its end', (push) => is_status('completed')(push) && push.data.executionId === id);
  }
  // From the clock of the gateway to ours: the same machine's.
  const delays = await listen(gateway, {});
  for (let n = 0; n < samples; n += 1) {
    const before_it = delays.heard.length;
    const run = client.call('ai:skill:run', polish('pushed'));
    const { data } = await delays.until('a push', (push) => delays.heard.indexOf(push) >= before_it && is_done(push));
    pushes.push(Math.max(0, Date.now() - data.ts));
    const { executionId } = await run;
    await delays.until('its end', (push) => is_status('completed')(push) && push.data.executionId === executionId);
  }
  await delays.leave();
  await ears.leave();

  const canceled = [];
  await mock.behave({ default: { behavior: 'stall', after_events: 3 } });
  for (let n = 0; n < samples; n += 1) {
    let began;
    const done = await client.runStream(polish('cancelled'), { onPush: ({ event, data }) => {
      if (event !== 'skill:stream:chunk' || began !== undefined) return;
      began = performance.now();
      client.call('ai:skill:cancel', { executionId: data.executionId }).catch(() => {});
    } });
    canceled.push(performance.now() - began);
    assert.equal(done.terminal, 'cancelled');
  }
  await mock.behave({ default: { behavior: 'ok' } });
  row('time to first token', '1200/2500/4000', ttft);
  row('chunk gap', '-/250/-', gaps);
  row('non-stream run', '2000/8000/15000', whole);
  row('end to end', '-/4000/-', whole);
  row('executionId', '60/120/250', accepted);
  row('enqueue', '-/80/-', enqueued);
  row('push', '30/80/200', pushes);
  row('cancel to done', '150/300/800', canceled);
});

test('request-response, schema, judge rules, contract check', { timeout: 60_000 }, async (t) => {
  const { gateway, client } = await serve(t);
  for (let n = 0; n < 20; n += 1) await client.call('ai:chat:send', { projectId: 'p', message: `message ${n}` });
  const asked = [['ai:chat:list', { projectId: 'p' }], ['ai:chat:sessions', { projectId: 'p', query: 'message' }], ['ai:config:get', {}],
    ['skill:registry:list', {}], ['cost:usage:summary', {}], ['cost:budget:get', {}], ['judge:model:getstate', {}]];
  row('request-response', '40/100/300', await repeat(samples * 5, (n) => took(() => client.call(...asked[n % asked.length]))));
  // A large request that fails at its last member goes through all of the schema and no further.
  const large = { ...polish('x'.repeat(20_000)), tools: Array.from({ length: 50 }, (_, n) => ({ name: `tool_${n}`, description: 'd', parameters: { type: 'object' } })), zz_unknown: 1 };
  row('schema (refused, whole call)', '-/10/-', await repeat(samples * 2, () => took(async () => {
    const { json } = await call(gateway.url, '/rpc/ai:skill:run', large);
    assert.equal(json.error.code, 'VALIDATION_ERROR');
  })));
  const judged = { projectId: 'p', traceId: 't', text: '他走进房间，看见窗外的雨。'.repeat(400), contextSummary: '第一人称' };
  row('judge rules', '-/300/-', await repeat(samples, () => took(async () => {
    assert.equal((await client.call('judge:quality:evaluate', judged)).result.severity, 'high');
  })));
  row('contract check', '60000', await repeat(1, () => took(() => promisify(execFile)(binary, ['contract', 'check'], { cwd: root }))));
});

test(`${calls} request-responses: how many time out (NFR-1: fewer than 0.1 %)`, { timeout: 90_000 }, async (t) => {
  const { gateway } = await serve(t);
  const bodies = [['ai:chat:list', { projectId: 'p' }], ['ai:config:get', {}], ['skill:registry:list', {}], ['cost:usage:list', { limit: 5 }],
    ['ai:chat:sessions', { projectId: 'p' }], ['cost:budget:get', {}], ['ai:skill:cancel', { executionId: 'unknown' }], ['judge:model:getstate', {}]];
  const times = [];
  let late = 0;
  await each(Array.from({ length: calls }, (_, n) => n), 32, async (n) => {
    const [channel, body] = bodies[n % bodies.length];
    const { json, ms } = await call(gateway.url, `/rpc/${channel}`, body);
    times.push(ms);
    if (json?.error?.code === 'IPC_TIMEOUT' || ms >= 30_000) late += 1;
    else assert.equal(json?.ok, true, JSON.stringify(json));
  });
  row('request-response, 32 at once', '40/100/300', times);
  console.log(`time-outs: ${late} of ${calls}`);
  assert.equal(late, 0);
});
