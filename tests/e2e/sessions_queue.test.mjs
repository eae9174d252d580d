// The queue of sessions with the binary (SCH-1 to SCH-8, NFR-2, NFR-3): who runs, who waits, in which order, and what is left
// of it when the gateway is told to stop or is killed. The provider answers when the test says so.
import assert from 'node:assert/strict';
import { after, afterEach, before, test as node_test } from 'node:test';
import { credentials } from './kit/gateway.mjs';
import { HeldProvider } from './kit/held.mjs';
import { kill, Place } from './kit/place.mjs';
import { both_verify } from './kit/journal.mjs';
import { client_of, is_done, is_status, listen, make_key, polish, settled } from './kit/session.mjs';
import { call, paths } from './kit/wire.mjs';

const test = (promise, act) => node_test(promise, { timeout: 30_000 }, act);

let provider;
before(async () => { provider = await HeldProvider.start(); });
after(() => provider.stop());
// Nobody is left waiting for an answer when a test has failed.
afterEach(() => provider.calls.forEach((held) => held.answer()));

const toml = ({ session = '', policy = '', extra = '' } = {}) => `
[policy.default]
${/requests_per_minute/.test(policy) ? '' : 'requests_per_minute = 0'}
session_token_budget = 0
${policy}
[session]
model = "on-openai"
${session}
[[provider]]
name = "openai"
kind = "openai"
base_url = "${provider.url}"
api_key = "env:E2E_OPENAI_KEY"
[[route]]
model = "on-openai"
targets = [{ provider = "openai", model = "gpt-5.2" }]
${extra}`;

async function serve(t, parts, environment = {}) {
  provider.clear();
  const place = await Place.make(t, parts.toml ?? toml(parts), { ...credentials, ...environment });
  const gateway = await place.start();
  return { place, gateway, client: client_of(gateway) };
}
async function ears_of(t, gateway, options) {
  const ears = await listen(gateway, options);
  t.after(() => ears.leave());
  return ears;
}
const run = (client, name, session, more) => settled(client.call('ai:skill:run', polish(`text ${name}`, { sessionId: session }, more)));
// The provider's calls by the name in their prompt, in order of arrival.
const names = () => provider.calls.map(({ said }) => said.match(/text (\S+)/)?.[1]);
// A run that is on its way, once the queue has told where it stands.
async function enter(ears, client, name, session, status = 'queued') {
  const known = new Set(ears.heard.map(({ data }) => data.executionId));
  const reply = run(client, name, session);
  const { data } = await ears.until(`${name} ${status}`, (push) => is_status(status)(push) && !known.has(push.data.executionId));
  return { reply, id: data.executionId, first: data };
}
const terminals = (ears, id) => ears.statuses(id).filter(({ data }) => !/^(queued|started)$/.test(data.status)).map(({ data }) => data.status);

test('three runs of one session: one at a time, all answered, their places told (S5)', async (t) => {
  const { gateway, client } = await serve(t, {});
  const ears = await ears_of(t, gateway);
  const runs = [];
  for (const name of ['1', '2', '3']) runs.push(await enter(ears, client, name, 's'));
  assert.deepEqual(runs.map(({ first }) => first.queuePosition), [0, 1, 2]);
  for (let n = 1; n <= 3; n += 1) {
    await provider.arrived(n);
    assert.equal(provider.active, 1);
    provider.calls[n - 1].answer(`Answer ${n}`);
  }
  assert.deepEqual((await Promise.all(runs.map(({ reply }) => reply))).map(({ data }) => data.outputText), ['Answer 1', 'Answer 2', 'Answer 3']);
  assert.equal(provider.peak, 1);
  assert.deepEqual(names(), ['1', '2', '3']);
  for (const { id } of runs) {
    await ears.until('its end', (push) => is_status('completed')(push) && push.data.executionId === id);
    const order = ears.of(id).map(({ event, data }) => data.status ?? event);
    assert.deepEqual(order.filter((word, i) => word !== order[i - 1]), ['queued', 'started', 'skill:stream:done', 'completed']);
  }
});

test('twelve sessions at once: exactly eight at the provider (T29)', async (t) => {
  const { client } = await serve(t, {});
  const replies = Array.from({ length: 12 }, (_, n) => run(client, n, `s${n}`));
  for (let n = 8; n <= 12; n += 1) {
    await provider.arrived(n);
    assert.equal(provider.active, 8);
    provider.calls[n - 8].answer();
  }
  provider.calls.forEach((held) => held.answer());
  assert.equal((await Promise.all(replies)).filter(({ data }) => data).length, 12);
  assert.equal(provider.peak, 8);
});

test('22 runs of one session: one too many, the others unharmed (T30)', async (t) => {
  const { client } = await serve(t, {});
  const replies = Array.from({ length: 22 }, (_, n) => run(client, n, 'full'));
  const first = await Promise.race(replies);
  assert.equal(first.error?.code, 'SKILL_QUEUE_OVERFLOW', JSON.stringify(first));
  assert.deepEqual([first.error.status, first.error.retryable, first.error.details.limit], [429, true, 20]);
  assert.match(first.error.details.sessionKey, /full/);
  for (let n = 1; n <= 21; n += 1) {
    await provider.arrived(n);
    provider.calls[n - 1].answer();
  }
  const ended = await Promise.all(replies);
  assert.deepEqual([ended.filter(({ data }) => data).length, ended.filter(({ error }) => error).length], [21, 1]);
  assert.deepEqual([provider.peak, provider.calls.length], [1, 21]);
});

test('a waiting run is cancelled at once, without a call, and the queue flows on (T37)', async (t) => {
  const { gateway, client } = await serve(t, {});
  const ears = await ears_of(t, gateway);
  const [first, second, third] = [await enter(ears, client, '1', 's'), await enter(ears, client, '2', 's'), await enter(ears, client, '3', 's')];
  assert.deepEqual(await client.call('ai:skill:cancel', { executionId: second.id }), { canceled: true });
  assert.equal((await second.reply).error.code, 'CANCELED');
  await ears.until('third moves up', (push) => is_status('queued')(push) && push.data.executionId === third.id && push.data.queuePosition === 1);
  assert.deepEqual(await client.call('ai:skill:cancel', { executionId: second.id }), { canceled: true });
  await provider.arrived(1);
  provider.calls[0].answer();
  await provider.arrived(2);
  provider.calls[1].answer();
  assert.ok((await first.reply).data && (await third.reply).data);
  assert.deepEqual(names(), ['1', '3']);
  await ears.until('the last end', (push) => is_status('completed')(push) && push.data.executionId === third.id);
  assert.deepEqual([terminals(ears, first.id), terminals(ears, second.id)], [['completed'], ['cancelled']]);
  assert.deepEqual(ears.of(second.id).filter(is_done).map(({ data }) => data.terminal), ['cancelled']);
});

test('one slot goes round the sessions (T89)', async (t) => {
  const { gateway, client } = await serve(t, { session: 'global_concurrency = 1' });
  const ears = await ears_of(t, gateway);
  const replies = [];
  for (const [name, session] of [['A1', 'a'], ['A2', 'a'], ['A3', 'a'], ['B1', 'b']]) replies.push((await enter(ears, client, name, session)).reply);
  for (let n = 1; n <= 4; n += 1) {
    await provider.arrived(n);
    assert.equal(provider.active, 1);
    provider.calls[n - 1].answer();
  }
  assert.ok((await Promise.all(replies)).every(({ data }) => data));
  assert.deepEqual(names(), ['A1', 'A2', 'B1', 'A3']);
});

for (const stream of [false, true]) {
  test(`three calls of /v1 with one session header${stream ? ', streamed' : ''}: one at a time (T128)`, async (t) => {
    const { gateway } = await serve(t, {});
    const ask = (session) => call(gateway.url, paths.chat, { model: 'on-openai', stream, messages: [{ role: 'user', content: 'Hello' }] },
      session ? { 'x-tidegate-session': session } : {});
    const replies = [ask('s'), ask('s'), ask('s')];
    await provider.arrived(1);
    // Those without the header, and other sessions, pass by.
    const beside = [ask(), ask('other')];
    await provider.arrived(3);
    provider.calls[1].answer();
    provider.calls[2].answer();
    assert.deepEqual((await Promise.all(beside)).map(({ status }) => status), [200, 200]);
    assert.equal(provider.calls.length, 3);
    const own = [0, 3, 4];
    for (const [n, index] of own.entries()) {
      await provider.arrived(index + 1);
      assert.equal(provider.active, 1, `call ${n + 1}`);
      provider.calls[index].answer('Answered.');
    }
    for (const { status, text } of await Promise.all(replies)) {
      assert.equal(status, 200);
      assert.match(text, stream ? /Answered\.[^]*\[DONE\]/ : /Answered\./);
    }
    assert.equal(provider.calls.length, 5);
  });
}

test('limit, backoff and queue given by the environment hold (T136)', async (t) => {
  const environment = { TIDEGATE_POLICY_DEFAULT_REQUESTS_PER_MINUTE: '2', TIDEGATE_RETRY_BACKOFF: '7,11', TIDEGATE_SESSION_QUEUE_LIMIT: '1' };
  const { place, gateway, client } = await serve(t, {}, environment);
  const ears = await ears_of(t, gateway);
  const [first, second] = [await enter(ears, client, '1', 's'), await enter(ears, client, '2', 's')];
  const third = await run(client, '3', 's');
  assert.deepEqual([third.error?.code, third.error?.details.limit], ['SKILL_QUEUE_OVERFLOW', 1]);
  for (const n of [1, 2]) {
    await provider.arrived(n);
    provider.calls[n - 1].answer();
  }
  assert.ok((await first.reply).data && (await second.reply).data);
  const fourth = await run(client, '4', 's');
  assert.deepEqual([fourth.error?.code, fourth.error?.details.source], ['AI_RATE_LIMITED', 'local']);
  assert.equal(provider.calls.length, 2);
  await gateway.command.stop();

  // Limit 1, and a provider nobody listens at: two transport retries, 7 and 11 ms after the faults.
  const dead = await HeldProvider.start();
  await dead.stop();
  await place.write(toml({}).replaceAll(provider.url, dead.url));
  place.environment = { ...credentials, ...environment, TIDEGATE_POLICY_DEFAULT_REQUESTS_PER_MINUTE: '1' };
  // What was spent under the larger limit still counts, so the key is another one.
  const { key } = await make_key(place, 'fresh');
  const again = await place.start();
  const lost = await settled(client_of(again, key).call('ai:skill:run', polish('text 5', { sessionId: 'x' })));
  assert.equal(lost.error.code, 'AI_PROVIDER_UNAVAILABLE');
  const leg = await again.command.event('ai_leg_finished');
  assert.equal(leg.retries, 2);
  assert.ok(leg.durationMs >= 16 && leg.durationMs < 900, `the leg took ${leg.durationMs} ms`);
  const limited = await settled(client_of(again, key).call('ai:skill:run', polish('text 6', { sessionId: 'x' })));
  assert.equal(limited.error.code, 'AI_RATE_LIMITED');
});

test('who waits longer than queue_wait is told so (T147)', async (t) => {
  const { gateway, client } = await serve(t, { session: 'queue_wait = "60ms"' });
  const ears = await ears_of(t, gateway);
  const first = await enter(ears, client, '1', 's');
  await provider.arrived(1);
  const second = await run(client, '2', 's');
  assert.deepEqual([second.error?.code, second.error?.status, second.error?.details.phase], ['SKILL_TIMEOUT', 504, 'queue']);
  await ears.until('its end', is_status('timeout'));
  provider.calls[0].answer();
  assert.ok((await first.reply).data);
  assert.equal(provider.calls.length, 1);
});

test('a project takes no more than project_in_flight, whatever its sessions; others go on (SCH-2)', async (t) => {
  const { gateway, client } = await serve(t, { session: 'project_in_flight = 3\nglobal_concurrency = 2' });
  const ears = await ears_of(t, gateway);
  const of = (name, session, projectId) => settled(client.call('ai:skill:run', polish(`text ${name}`, { sessionId: session, projectId })));
  const replies = [];
  for (const n of [1, 2, 3]) {
    replies.push(of(n, `s${n}`, 'p'));
    await ears.until(`run ${n}`, () => new Set(ears.statuses().map(({ data }) => data.executionId)).size === n);
  }
  const refused = await of('4', 's4', 'p');
  assert.deepEqual([refused.error?.code, refused.error?.details.scope, refused.error?.details.limit], ['SKILL_QUEUE_OVERFLOW', 'project', 3]);
  const other = of('5', 's5', 'q');
  for (let n = 1; n <= 4; n += 1) {
    await provider.arrived(n);
    provider.calls[n - 1].answer();
  }
  assert.ok((await Promise.all([...replies, other])).every(({ data }) => data));
  // Those that have ended no longer count.
  const late = of('6', 's1', 'p');
  await provider.arrived(5);
  provider.calls[4].answer();
  assert.ok((await late).data);
});

test('SIGTERM with 8 running and 20 waiting: one terminal each, and one in the journal (S/T100, NFR-3)', async (t) => {
  const { place, gateway, client } = await serve(t, { extra: '[server]\ndrain_timeout = "1s"\n' });
  const ears = await ears_of(t, gateway);
  const everyone = new Map(Array.from({ length: 28 }, (_, n) => [String(n), run(client, n, `s${n % 8}`)]));
  await provider.arrived(8);
  await ears.until('all in', () => new Set(ears.statuses().map(({ data }) => data.executionId)).size === 28);
  gateway.command.signal('SIGTERM');
  // Waiting ones end at once; the running ones may finish.
  const running = names();
  const waiting = (await Promise.all([...everyone].filter(([name]) => !running.includes(name)).map(([, reply]) => reply))).map(({ error }) => error?.code);
  for (const held of provider.calls.slice(0, 5)) held.answer();
  const ended = await Promise.all(running.map((name) => everyone.get(name)));
  assert.deepEqual(new Set(waiting), new Set(['CANCELED']));
  assert.equal(ended.filter(({ data }) => data).length, 5);
  assert.ok(ended.every(({ data, error }) => data || error.code === 'CANCELED'), JSON.stringify(ended.map(({ error }) => error?.code)));
  assert.equal((await gateway.command.ended).code, 0);
  const ids = new Set(ears.statuses().map(({ data }) => data.executionId));
  const count = {};
  for (const id of ids) {
    assert.equal(terminals(ears, id).length, 1, JSON.stringify(ears.of(id)));
    assert.equal(ears.of(id).filter(is_done).length, 1);
    count[terminals(ears, id)[0]] = (count[terminals(ears, id)[0]] ?? 0) + 1;
  }
  assert.deepEqual(count, { completed: 5, cancelled: 23 });
  assert.equal(provider.calls.length, 8);
  assert.ok(provider.calls.slice(5).every(({ aborted }) => aborted));
  both_verify(place.data, 'after the stop');
  const journal = await place.records();
  const started = journal.filter(({ event }) => event === 'ai_run_started').map(({ runId }) => runId);
  for (const id of started) assert.equal(journal.filter((e) => e.runId === id && /^ai_run_(completed|failed|canceled|timeout)$/.test(e.event)).length, 1);
});

test('a streamed run that outlives the drain hears of its end on its own connection (NFR-3, STR-1)', async (t) => {
  const { gateway, client } = await serve(t, { extra: '[server]\ndrain_timeout = "300ms"\n' });
  const done = client.runStream(polish('text 1', { sessionId: 's' }));
  const candidates = settled(client.call('ai:skill:run', polish('text 2', { sessionId: 'c' }, { candidateCount: 3 })));
  await provider.arrived(4);
  gateway.command.signal('SIGTERM');
  assert.equal((await candidates).error.code, 'CANCELED');
  assert.equal((await done).terminal, 'cancelled');
  assert.equal((await gateway.command.ended).code, 0);
});

test('after kill -9 cost totals, chats, toggles, budgets, guards and feedback are still there (NFR-2, T95)', async (t) => {
  const { place, gateway, client } = await serve(t, { policy: 'key_token_budget = 1000000' });
  provider.clear(false);
  await client.call('ai:chat:send', { message: 'remember me', projectId: 'p' });
  const said = await client.call('ai:skill:run', { skillId: 'builtin:chat', input: 'A question', context: { projectId: 'p' } });
  await client.call('ai:skill:run', polish('a text', { sessionId: 's' }));
  await client.call('ai:skill:feedback', { runId: said.runId, action: 'accept', evidenceRef: 'kept' });
  await client.call('skill:registry:toggle', { id: 'builtin:critique', enabled: false });
  await client.call('cost:budget:update', { policy: { warningThreshold: 2, hardStopLimit: 7.5, enabled: true } });
  const prices = await client.call('cost:pricing:get', {});
  const keep = async (c) => ({
    chats: await c.call('ai:chat:list', { projectId: 'p' }),
    sessions: await c.call('ai:chat:sessions', { projectId: 'p' }),
    skills: await c.call('skill:registry:list', { includeDisabled: true }),
    guard: await c.call('cost:budget:get', {}),
    usage: await c.call('cost:usage:list', {}),
    summary: { ...await c.call('cost:usage:summary', {}), sessionStartedAt: 0 },
    prices: await c.call('cost:pricing:get', {}),
  });
  const kept = await keep(client);
  assert.deepEqual([kept.chats.items.length, kept.summary.totalRequests, kept.guard.hardStopLimit], [3, 2, 7.5]);
  assert.ok(kept.summary.totalCost > 0);
  assert.deepEqual(kept.prices, prices);
  // One is under way, one waits: neither is left hanging behind the restart.
  provider.clear();
  const lost = [client.call('ai:skill:run', polish('text 1', { sessionId: 'z' })), client.call('ai:skill:run', polish('text 2', { sessionId: 'z' }))];
  const gone = Promise.allSettled(lost);
  await provider.arrived(1);
  await kill(gateway);
  assert.ok((await gone).every(({ status }) => status === 'rejected'));
  provider.clear(false);
  const again = await place.start();
  const back = client_of(again);
  const found = await keep(back);
  const { summary, usage, ...rest } = found;
  const { summary: was, usage: used, ...before } = kept;
  assert.deepEqual(rest, before);
  // The leg under way was dispatched: it is charged in full (BUD-6), and so may show as one request more.
  assert.ok(summary.totalRequests >= was.totalRequests && summary.totalCost >= was.totalCost - 1e-9, JSON.stringify([was, summary]));
  assert.deepEqual(usage.records.filter(({ requestId }) => used.records.some((record) => record.requestId === requestId)), used.records);
  assert.equal((await settled(back.call('ai:skill:run', { skillId: 'builtin:critique', input: 'x' }))).error.code, 'UNSUPPORTED');
  // The run is still known to feedback, and the session goes on.
  assert.deepEqual(await back.call('ai:skill:feedback', { runId: said.runId, action: 'reject', evidenceRef: 'again' }), { recorded: true });
  assert.ok((await back.call('ai:skill:run', polish('text 3', { sessionId: 'z' }))).outputText);
  const { previousTotal } = await back.call('cost:budget:reset', { scope: 'key', id: 'local' });
  assert.ok(previousTotal > 0, `key total ${previousTotal}`);
  assert.equal((await again.command.stop()), 0);
  both_verify(place.data, 'after the restart');
  const journal = await place.records();
  assert.ok(journal.some(({ event, runId }) => event === 'ai_feedback_received' && runId === said.runId));
});
