// What a call is charged when it does not end well (BUD-5, BUD-6): at every position of a stream, whoever ends it. The
// provider's count is what the scripted provider says it counts: a token for every four bytes begun.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { until } from './kit/ask.mjs';
import { both_kinds, credentials, start_mock } from './kit/gateway.mjs';
import { kill, metric, Place } from './kit/place.mjs';
import { call, each, new_trace, paths, stream } from './kit/wire.mjs';

let mock;
before(async () => { mock = await start_mock(); });
after(() => mock.stop());

const fragments = 220;
const answer = { text: 'abcdefg '.repeat(fragments), chunk_chars: 8 };
const most = 900;
const policy = 'session_token_budget = 10000000\nmax_output_tokens = 0';
const extra = '[session]\nsession_concurrency = 8\nglobal_concurrency = 400\nqueue_limit = 400\n';
// Even positions in one dialect, odd ones in the other.
const dialects = [
  { name: 'chat', where: paths.chat, model: 'on-openai', text_of: (event) => event.choices?.[0]?.delta?.content ?? '' },
  { name: 'messages', where: paths.messages, model: 'on-anthropic', text_of: (event) => event.delta?.text ?? '' },
];
const words_of = (position) => `position ${String(position).padStart(4, '0')}`;
const body_of = (dialect, position) => ({ model: dialect.model, stream: true, max_tokens: most,
  messages: [{ role: 'user', content: `This is ${words_of(position)} of the stream` }] });
const session = { 'x-tidegate-session': 'aborted' };
const parse = (event) => (event === '[DONE]' ? {} : JSON.parse(event));

// The events of a whole stream, and what the provider has counted after each.
async function whole_streams(gateway) {
  await mock.reset();
  await mock.behave({ default: { behavior: 'ok', ...answer } });
  for (const dialect of dialects) {
    const whole = stream(gateway.url, dialect.where, body_of(dialect, 0));
    await whole.ended;
    const texts = whole.events.map((event) => dialect.text_of(parse(event)));
    assert.ok(texts.filter(Boolean).length === fragments, `${dialect.name}: ${texts.filter(Boolean).length} fragments`);
    dialect.first = texts.findIndex(Boolean) + 1;
    const plain = await call(gateway.url, dialect.where, { ...body_of(dialect, 0), stream: false });
    dialect.prompt = plain.json.usage.prompt_tokens ?? plain.json.usage.input_tokens;
    let bytes = 0;
    dialect.counted = [dialect.prompt, ...texts.map((text) => dialect.prompt + Math.ceil((bytes += Buffer.byteLength(text)) / 4))];
  }
}

// Every position has a step of its own, by its words, so that they may run side by side.
const positions = Array.from({ length: 200 }, (_, i) => i + 1);
const stalls = (list) => mock.behave({ steps: list.map((position) => ({ behavior: 'stall', after: position, ...answer,
  match: { body_contains: words_of(position) } })) });

// The provider has it, though the caller may have seen nothing of the reply yet.
async function arrival(running, position) {
  if (running.events.length > 0) return;
  await until('its arrival', async () => (await mock.requests()).some(({ body }) => body.includes(words_of(position))));
}

// One call that stalls at its position; who ends it is `end`'s to say.
async function stalled(gateway, position, end, headers = {}) {
  const dialect = dialects[position % 2];
  const trace = new_trace();
  const running = stream(gateway.url, dialect.where, body_of(dialect, position), { ...session, ...trace.headers, ...headers });
  if (position >= dialect.first) await running.until(position);
  await end(running, position);
  return { position, trace: trace.id, counted: dialect.counted[position] };
}

// The records of these calls: one reservation, one end of it, one terminal each; and the law.
function check_bills(records, calls, terminals) {
  const of = new Map(calls.map((made) => [made.trace, []]));
  for (const record of records) of.get(record.traceId)?.push(record);
  let sum = 0;
  for (const { position, trace, counted } of calls) {
    const mine = of.get(trace);
    const named = (name) => mine.filter(({ event }) => event === name);
    const [reserved, ...more] = named('ai_budget_reserved');
    assert.equal(more.length, 0);
    assert.equal(named('ai_budget_released').length, 0, `position ${position}: released`);
    assert.equal(named('ai_budget_settled').length, 1, `position ${position}: ${named('ai_budget_settled').length} settlements`);
    const ends = mine.filter(({ event }) => /^ai_run_(completed|failed|canceled|timeout)$/.test(event));
    assert.equal(ends.length, 1, `position ${position}: ${ends.length} terminals`);
    assert.ok(terminals.includes(ends[0].event), `position ${position}: ${ends[0].event}`);
    const billed = named('ai_budget_settled')[0].tokens;
    assert.ok(counted <= billed && billed <= reserved.tokens && billed > 0,
      `position ${position}: the provider counted ${counted}, billed ${billed}, reserved ${reserved.tokens}`);
    sum += billed;
  }
  return sum;
}

// What an account holds, settled and reserved, as a refusal tells it.
async function held(gateway) {
  const refused = await call(gateway.url, paths.chat, { ...body_of(dialects[0], 0), stream: false, max_tokens: 20_000_000 }, session);
  assert.equal(refused.status, 429, refused.text);
  return Number(/(\d+) of \d+ tokens/.exec(refused.json.error.message)[1]);
}
// The journal once it says how each of these calls ended: its last word on a run is the run's end.
async function all_ended(place, calls) {
  let records;
  await until('the end of every call', async () => {
    records = await place.records();
    const ended = new Set(records.filter(({ event }) => /^ai_run_(completed|failed|canceled|timeout)$/.test(event)).map(({ traceId }) => traceId));
    return calls.every(({ trace }) => ended.has(trace));
  });
  return records;
}

for (const [who, headers, end, terminals] of [
  ['the caller leaves', {}, async (running, position) => {
    await arrival(running, position);
    await running.leave();
  }, ['ai_run_canceled']],
  ['the deadline passes', { 'x-tidegate-timeout-ms': '1500' }, (running) => running.ended, ['ai_run_timeout']],
]) {
  test(`B4: ${who} at each of 200 positions: the provider's count <= billed <= reserved (T115)`, { timeout: 120_000 }, async (t) => {
    const place = await Place.make(t, both_kinds(mock, { policy, extra }), credentials);
    const gateway = await place.start();
    await whole_streams(gateway);
    await stalls(positions);
    const calls = [];
    await each(positions, 50, async (position) => calls.push(await stalled(gateway, position, end, headers)));
    const sum = check_bills(await all_ended(place, calls), calls, terminals);
    assert.equal(calls.length, 200);
    assert.equal(await held(gateway), sum, 'what is charged is what was billed, and nothing is left reserved');
    await until('no open stream', async () => (await metric(gateway, 'tidegate_open_streams'))[''] === 0);
    await kill(gateway);
    const next = await place.start();
    assert.equal(await held(next), sum, 'and it survives (NFR-2)');
    console.log(`${who}: 200/200 positions, ${sum} tokens billed`);
  });
}

test('B4: kill -9 at 20 positions: dispatched reservations are settled in full, once, whatever is started after (BUD-6, T116)',
  { timeout: 120_000 }, async (t) => {
    const place = await Place.make(t, both_kinds(mock, { policy, extra }), credentials);
    let gateway = await place.start();
    await whole_streams(gateway);
    const sample = positions.filter((position) => position % 10 === 3 || position === 2).slice(0, 20);
    await stalls(sample);
    const calls = [];
    for (const position of sample) {
      calls.push(await stalled(gateway, position, async (running) => {
        await arrival(running, position);
        await kill(gateway);
        await running.ended;
      }));
      gateway = await place.start();
    }
    const first = await place.records();
    const sum = check_bills(first, calls, ['ai_run_failed']);
    const in_full = new Map(first.filter(({ event }) => event === 'ai_budget_reserved').map(({ traceId, tokens }) => [traceId, tokens]));
    for (const { event, traceId, tokens, reason } of first) {
      if (event !== 'ai_budget_settled' || !calls.some(({ trace }) => trace === traceId)) continue;
      assert.deepEqual([tokens, reason], [in_full.get(traceId), 'gateway_restarted']);
    }
    assert.equal(await held(gateway), sum);
    for (let again = 0; again < 2; ++again) {
      await kill(gateway);
      gateway = await place.start();
    }
    assert.equal(await held(gateway), sum);
    assert.equal(check_bills(await place.records(), calls, ['ai_run_failed']), sum);
    assert.equal((await place.run(['audit', 'verify'])).code, 0);
    console.log(`kill -9: ${calls.length}/${sample.length} positions, ${sum} tokens billed`);
  });

test('an answer of 503 costs nothing', async (t) => {
  const place = await Place.make(t, both_kinds(mock, { policy, extra }), credentials);
  const gateway = await place.start();
  await mock.reset();
  await mock.behave({ steps: [{ behavior: 'status', status: 503, count: 2 }] });
  for (const dialect of dialects) {
    assert.equal((await call(gateway.url, dialect.where, { ...body_of(dialect, 0), stream: false }, session)).status, 503);
  }
  assert.equal(await held(gateway), 0);
  const records = await place.records();
  assert.equal(records.filter(({ event }) => event === 'ai_budget_released').length, 2);
  assert.equal(records.filter(({ event }) => event === 'ai_budget_settled').length, 0);
});

// Whoever is first, the reservation ends once.
test('completion and cancel at once: settled once, one terminal (T113)', { timeout: 120_000 }, async (t) => {
  const place = await Place.make(t, both_kinds(mock, { policy, extra }), credentials);
  const gateway = await place.start();
  await mock.reset();
  await mock.behave({ default: { behavior: 'ok', text: 'one two '.repeat(20), chunk_chars: 4, interval_ms: 1 } });
  const calls = [];
  await each(Array.from({ length: 400 }, (_, i) => i), 20, async (i) => {
    const dialect = dialects[i % 2];
    const trace = new_trace();
    const running = stream(gateway.url, dialect.where, body_of(dialect, i), { ...session, ...trace.headers });
    // The last events are on their way, or just here, or were never waited for.
    await running.until(1 + (i % 47)).catch(() => {});
    await running.leave();
    calls.push({ trace: trace.id, position: i, counted: 0 });
  });
  const records = await all_ended(place, calls);
  const sum = check_bills(records, calls, ['ai_run_completed', 'ai_run_canceled']);
  const ends = (name) => records.filter(({ event }) => event === name).length;
  assert.equal(await held(gateway), sum);
  console.log(`at once: 400/400, ${ends('ai_run_completed')} completed, ${ends('ai_run_canceled')} canceled`);
});
