// Chats and rows of usage under kill -9, keys of foreign projects at random, and fifty writers on one chat (C4, CHAT-2, CHAT-4, CHAT-5, SEC-2).
// TIDEGATE_ROUNDS: how often the gateway is killed, TIDEGATE_SEED: which random calls are made.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { both_kinds, credentials, start_mock } from './kit/gateway.mjs';
import { both_verify, JournalReader } from './kit/journal.mjs';
import { random_of } from './kit/load.mjs';
import { kill, Place } from './kit/place.mjs';
import { client_of, make_key, polish, settled } from './kit/session.mjs';
import { call, each } from './kit/wire.mjs';

const rounds = Number(process.env.TIDEGATE_ROUNDS ?? 20);
const seed = Number(process.env.TIDEGATE_SEED ?? 7);
const session = (more = '') => `[session]\nmodel = "on-openai"\ncost_guard = false\n${more}`;

let mock;
before(async () => { mock = await start_mock(); });
after(() => mock.stop());

// Four chat turns under way when it is killed, somewhere between their first byte and their last.
test(`kill -9 during chat turns: both messages or neither, ${rounds} times (CHAT-4)`, { timeout: 60_000 + rounds * 5_000 }, async (t) => {
  const random = random_of(seed);
  const place = await Place.make(t, both_kinds(mock, { extra: session('session_concurrency = 8'), policy: 'session_token_budget = 0' }), credentials);
  const turns = [];
  let gateway, whole, torn, none;
  const check = async (client) => {
    const { items } = await client.call('ai:chat:list', { projectId: 'p' });
    const found = new Map();
    for (const { role, content } of items) {
      const [, name] = content.match(/turn (\d+-\d+)/) ?? [];
      assert.ok(name, `a message of no turn: ${content}`);
      found.set(name, [...(found.get(name) ?? []), role]);
    }
    [whole, torn, none] = [0, 0, 0];
    for (const { name, reply } of turns) {
      const roles = found.get(name) ?? [];
      const complete = roles.length === 2 && roles[0] === 'user' && roles[1] === 'assistant';
      if (complete) whole += 1;
      else if (roles.length === 0) none += 1;
      else torn += 1;
      if (reply?.data) assert.ok(complete, `turn ${name} was answered, and is ${JSON.stringify(roles)}`);
    }
    assert.equal(torn, 0);
  };
  for (let round = 0; round < rounds; round += 1) {
    gateway = await place.start();
    const client = client_of(gateway);
    if (round > 0) await check(client);
    await mock.behave({ default: { behavior: 'ok', delay_ms: random.below(8) } });
    const under_way = Array.from({ length: 4 }, (_, n) => {
      const turn = { name: `${round}-${n}` };
      turns.push(turn);
      return settled(client.call('ai:skill:run', { skillId: 'builtin:chat', input: `turn ${turn.name}`, context: { projectId: 'p' } }))
        .then((reply) => { turn.reply = reply; }, () => {});
    });
    // Which event it dies at is drawn; some of what follows has happened already, some never will.
    const marks = ['ai_run_started', 'ai_leg_finished', 'ai_budget_settled', 'ai_run_completed', 'ai_run_completed'];
    const mark = marks[random.below(marks.length)];
    const count = 1 + random.below(4);
    let seen = 0;
    await gateway.command.line((line) => line.event === mark && ++seen >= count);
    await kill(gateway);
    await Promise.all(under_way);
  }
  gateway = await place.start();
  await check(client_of(gateway));
  const legs = await check_usage(client_of(gateway), place);
  const told = turns.filter(({ reply }) => reply?.data).length;
  assert.equal(await gateway.command.stop(), 0);
  both_verify(place.data, `after ${rounds} kills`);
  console.log(`chat turns: ${rounds} of ${rounds} kills survived; ${turns.length} turns: ${whole} whole (${told} of them answered), ${none} absent, ${torn} torn; ${legs} rows of usage, none lost`);
  assert.equal(whole + none, turns.length);
});

// COST-3: every leg that the gateway lived to see the end of is in the totals once, however close behind it was killed.
async function check_usage(client, place) {
  const events = new JournalReader(place.data).more();
  const ended = events.filter(({ event, reason }) => ['ai_budget_settled', 'ai_budget_released'].includes(event) && reason !== 'gateway_restarted');
  const rows = events.filter(({ event }) => event === 'usage_recorded');
  assert.equal(rows.length, ended.length, 'a leg whose row is not on the record');
  // The store may be ahead of the record, never behind it; and no start counts a row twice.
  const { records, totalCount } = await client.call('cost:usage:list', {});
  const kept = new Map(records.map((record) => [record.requestId, record]));
  assert.equal(kept.size, Math.min(totalCount, 500), 'a list holds the newest 500');
  assert.ok(totalCount >= rows.length && totalCount <= rows.length + 4 * rounds);
  for (const { requestId, inputTokens, outputTokens } of rows) {
    const record = kept.get(requestId);
    if (!record && totalCount > 500) continue;
    assert.deepEqual([record?.inputTokens, record?.outputTokens], [inputTokens, outputTokens], requestId);
  }
  return rows.length;
}

// What must never be seen by a key of another project, whatever it asks for.
test('10,000 random calls with foreign ids: nothing leaks (CHAT-5, SEC-2)', { timeout: 90_000 }, async (t) => {
  await mock.reset();
  const random = random_of(seed);
  const place = await Place.make(t, both_kinds(mock, { extra: session(), policy: 'session_token_budget = 0' }), credentials);
  const gateway = await place.start();
  const owner = await make_key(place, 'owner', '--role', 'admin');
  const keys = [];
  for (const name of ['A', 'B', 'C']) keys.push({ name, ...await make_key(place, name, '--project', name) });
  const all = client_of(gateway, owner.key);
  const kept = new Map();
  for (const { name } of keys) {
    const secret = `secret-of-${name}-`;
    const { sessionId, messageId } = await all.call('ai:chat:send', { projectId: name, message: `${secret}1` });
    await all.call('ai:chat:send', { projectId: name, message: `${secret}2` });
    const { runId } = await all.call('ai:skill:run', polish(`${secret}3`, { projectId: name }));
    kept.set(name, { sessionId, messageId, runId, items: (await all.call('ai:chat:list', { projectId: name })).items });
  }
  const draw = (values) => values[random.below(values.length)];
  const make = () => {
    const own = draw(keys);
    const foreign = draw(keys.filter(({ name }) => name !== own.name));
    const { sessionId, messageId, runId } = kept.get(foreign.name);
    // The project and the session are foreign, or only one of them is.
    const projectId = draw([own.name, foreign.name, foreign.name, ` ${foreign.name}`, foreign.name.toLowerCase(), '*', '']);
    const channel = draw(['ai:chat:list', 'ai:chat:send', 'ai:chat:clear', 'ai:chat:sessions', 'ai:chatsession:archive', 'ai:chatsession:delete',
      'ai:skill:run', 'cost:usage:list', 'cost:usage:summary', 'cost:budget:get', 'ai:skill:feedback', 'judge:quality:evaluate']);
    const request = {
      'ai:chat:list': { projectId, sessionId },
      'ai:chat:send': { projectId, sessionId, message: 'mine' },
      'ai:chat:clear': { projectId, sessionId },
      'ai:chat:sessions': { projectId, query: 'secret' },
      'ai:chatsession:archive': { projectId, sessionId },
      'ai:chatsession:delete': { projectId, sessionId },
      'ai:skill:run': { skillId: 'builtin:chat', input: 'mine', context: { projectId, sessionId, ...(random.below(2) && { messageId }) } },
      'cost:usage:list': {},
      'cost:usage:summary': {},
      'cost:budget:get': { key: foreign.id },
      'ai:skill:feedback': { runId, action: 'reject', evidenceRef: 'mine' },
      'judge:quality:evaluate': { projectId: projectId === own.name ? foreign.name : projectId, traceId: 't', text: 'mine', contextSummary: 'mine' },
    }[channel];
    return { own, foreign, channel, request };
  };
  const leaks = [], codes = {}, broken = [];
  await each(Array.from({ length: 10_000 }, make), 48, async ({ own, foreign, channel, request }) => {
    const { json, text, status } = await call(gateway.url, `/rpc/${channel}`, request, { authorization: `Bearer ${own.key}` });
    if (text.includes(`secret-of-${foreign.name}`)) leaks.push({ channel, request, text });
    if (status >= 500 || !json) broken.push({ channel, request, text });
    codes[json?.ok ? 'ok' : json?.error?.code] = (codes[json?.ok ? 'ok' : json?.error?.code] ?? 0) + 1;
  });
  assert.deepEqual(broken.slice(0, 3), []);
  // What belongs to others is as it was.
  for (const { name } of keys) {
    const { items } = await all.call('ai:chat:list', { projectId: name, sessionId: kept.get(name).sessionId });
    if (JSON.stringify(items) !== JSON.stringify(kept.get(name).items)) leaks.push({ name, items: items.length });
  }
  console.log(`foreign ids: 10000 calls, ${leaks.length} leaks; ${Object.entries(codes).map(([code, count]) => `${code} ${count}`).join(', ')}`);
  assert.deepEqual(leaks.slice(0, 3), []);
  assert.equal(leaks.length, 0);
});

test('fifty writers on one chat of 2,000 places: exactly 2,000 messages, the others told to archive (S6, CHAT-2)', { timeout: 60_000 }, async (t) => {
  const place = await Place.make(t, both_kinds(mock, { extra: session() }), credentials);
  const gateway = await place.start();
  const client = client_of(gateway);
  const { sessionId } = await client.call('ai:chat:send', { projectId: 'p', message: '0' });
  const codes = new Map();
  const accepted = new Set(['0']);
  await each(Array.from({ length: 2_100 }, (_, n) => String(n + 1)), 50, async (message) => {
    const { json } = await call(gateway.url, '/rpc/ai:chat:send', { projectId: 'p', message });
    if (json.ok) accepted.add(message);
    else codes.set(json.error.code, (codes.get(json.error.code) ?? 0) + 1);
    if (!json.ok) assert.match(json.error.message, /archive/i);
  });
  assert.deepEqual([...codes], [['CONFLICT', 101]]);
  const { items } = await client.call('ai:chat:list', { projectId: 'p' });
  assert.equal(items.length, 2_000);
  assert.deepEqual(new Set(items.map(({ content }) => content)), accepted);
  assert.ok(items.every((item, n) => n === 0 || item.timestamp >= items[n - 1].timestamp), 'oldest first');
  assert.ok(items.every((item) => item.sessionId === sessionId));
  console.log(`chat places: 2000 of 2000 taken by 50 writers, 101 of 101 refused`);
  // T119: archived, it is read and not written; the project goes on in a new one.
  await client.call('ai:chatsession:archive', { projectId: 'p', sessionId });
  const next = await client.call('ai:chat:send', { projectId: 'p', message: 'onwards' });
  assert.notEqual(next.sessionId, sessionId);
  assert.equal((await client.call('ai:chat:list', { projectId: 'p', sessionId })).items.length, 2_000);
  assert.equal((await settled(client.call('ai:chat:send', { projectId: 'p', sessionId, message: 'late' }))).error.code, 'CONFLICT');
});
