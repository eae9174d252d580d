// Whose account a call is on (BUD-1, RL-2, GW-7): sessions and keys apart from each other, a repeated call charged once,
// limits as a reload leaves them.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import OpenAI from 'openai';
import * as ask from './kit/ask.mjs';
import { both_kinds, credentials, start_mock } from './kit/gateway.mjs';
import { kill, Place, reload } from './kit/place.mjs';
import { call, paths, stream } from './kit/wire.mjs';

let mock;
before(async () => { mock = await start_mock(); });
after(() => mock.stop());
beforeEach(() => mock.reset());

const chat = { model: 'on-openai', max_tokens: 100, messages: [{ role: 'user', content: 'Hello' }] };
const message = { ...chat, model: 'on-anthropic' };
const bearer = (key) => ({ authorization: `Bearer ${key}` });
const make_key = async (place, ...args) => (await place.done(['key', 'create', ...args])).out.trim();
const settled = (records) => records.filter(({ event }) => event === 'ai_budget_settled');

test('sessions of the same name under two keys are two sessions; a key has a budget over all of its own', async (t) => {
  const place = await Place.make(t, both_kinds(mock, { policy: 'session_token_budget = 350\nkey_token_budget = 450' }), credentials);
  const keys = [await make_key(place, '--name', 'one'), await make_key(place, '--name', 'two')];
  const gateway = await place.start();
  await mock.behave({ default: { behavior: 'ok', usage: { prompt: 50, completion: 100 } } });
  const as = (key, session = '', where = paths.chat) =>
    call(gateway.url, where, where === paths.chat ? chat : message, { ...bearer(key), 'x-tidegate-session': session });
  for (const key of keys) {
    assert.equal((await as(key, 'draft')).status, 200);
    assert.equal((await as(key, 'draft', paths.messages)).status, 200);
    const session = await as(key, 'draft');
    assert.equal(session.status, 429);
    assert.match(session.json.error.message, /300 of 350 tokens/);
    assert.equal((await as(key, 'other')).status, 200);
    const whole = await as(key);
    assert.deepEqual([whole.status, whole.json.error.code], [429, 'AI_SESSION_TOKEN_BUDGET_EXCEEDED']);
    assert.match(whole.json.error.message, /this key.*450 of 450 tokens/);
  }
});

test('an idempotency key: the same answer again, one charge, also after kill -9; another body is a conflict (GW-7, T151)', async (t) => {
  const place = await Place.make(t, both_kinds(mock), credentials);
  let gateway = await place.start();
  const session = { 'x-tidegate-session': 's' };
  for (const [where, body] of [[paths.chat, chat], [paths.messages, message]]) {
    await mock.reset();
    const again = () => call(gateway.url, where, body, { ...session, 'idempotency-key': `once${where}` });
    const first = await again();
    assert.equal(first.status, 200);
    assert.deepEqual([(await again()).text, (await again()).text], [first.text, first.text]);
    await kill(gateway);
    gateway = await place.start();
    assert.equal((await again()).text, first.text);
    const other = await call(gateway.url, where, { ...body, max_tokens: 99 }, { ...session, 'idempotency-key': `once${where}` });
    assert.deepEqual([other.status, other.json.error.code ?? other.json.code], [409, 'CONFLICT']);
    assert.equal((await mock.requests()).length, 1);
  }
  // Of two at once, one is made.
  await mock.reset();
  await mock.behave({ default: { behavior: 'delay', delay_ms: 200 } });
  const at_once = await Promise.all(Array.from({ length: 20 }, () => call(gateway.url, paths.chat, chat, { ...session, 'idempotency-key': 'race' })));
  assert.deepEqual(at_once.map(({ status }) => status).sort(), [200, ...Array(19).fill(409)]);
  assert.equal((await mock.requests()).length, 1);
  assert.equal(settled(await place.records()).length, 3);
});

test('a failed call may be made again under its idempotency key', async (t) => {
  const place = await Place.make(t, both_kinds(mock), credentials);
  const gateway = await place.start();
  await ask.status(mock, 503);
  const headers = { 'idempotency-key': 'k' };
  assert.equal((await call(gateway.url, paths.chat, chat, headers)).status, 503);
  assert.equal((await call(gateway.url, paths.chat, chat, headers)).status, 200);
});

test('limits follow a reload, what was used stays used', async (t) => {
  const text = (limit) => both_kinds(mock).replace('requests_per_minute = 0', `requests_per_minute = ${limit}`);
  const place = await Place.make(t, text(2), credentials);
  const gateway = await place.start();
  const statuses = async (count) => {
    const seen = [];
    for (let i = 0; i < count; ++i) seen.push((await call(gateway.url, paths.chat, chat)).status);
    return seen;
  };
  assert.deepEqual(await statuses(3), [200, 200, 429]);
  await place.write(text(4));
  await reload(gateway);
  assert.deepEqual(await statuses(3), [200, 200, 429]);
  await place.write(text(1));
  await reload(gateway);
  assert.deepEqual(await statuses(1), [429]);
  await place.write(text(0));
  await reload(gateway);
  assert.deepEqual(await statuses(3), [200, 200, 200]);
});

test('a list of models that asks a provider takes a unit (RL-2)', async (t) => {
  const place = await Place.make(t, both_kinds(mock, { extra: '[[route]]\nmodel = "*"\ntargets = [{ provider = "openai" }]\n' })
    .replace('requests_per_minute = 0', 'requests_per_minute = 2'), credentials);
  const gateway = await place.start();
  assert.equal((await call(gateway.url, '/v1/models')).status, 200);
  assert.equal((await call(gateway.url, paths.chat, chat)).status, 200);
  assert.equal((await call(gateway.url, paths.chat, chat)).status, 429);
});

test('counting tokens and refusals are free; embeddings are charged for what they send', async (t) => {
  const place = await Place.make(t, both_kinds(mock, { policy: 'session_token_budget = 400' }), credentials);
  const gateway = await place.start();
  const session = { 'x-tidegate-session': 's' };
  for (let i = 0; i < 5; ++i) {
    assert.equal((await call(gateway.url, '/v1/messages/count_tokens', { model: 'on-anthropic', messages: message.messages }, session)).status, 200);
    assert.equal((await call(gateway.url, paths.chat, { ...chat, model: 'nobody' }, session)).status, 404);
    assert.equal((await call(gateway.url, paths.chat, { ...chat, max_tokens: 0 }, session)).status, 400);
  }
  const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'unused', maxRetries: 0, defaultHeaders: session });
  await client.embeddings.create({ model: 'on-openai', input: 'word '.repeat(200) });
  const [charged] = settled(await place.records());
  assert.ok(charged.tokens >= 200 && charged.tokens < 300, `${charged.tokens}`);
  assert.equal((await call(gateway.url, paths.chat, chat, session)).status, 200);
  await assert.rejects(client.embeddings.create({ model: 'on-openai', input: 'word '.repeat(200) }), { status: 429, code: 'AI_SESSION_TOKEN_BUDGET_EXCEEDED' });
});

test('what a failover charges is the sum of its legs: a refused leg nothing, a cut one what it sent (BUD-5)', async (t) => {
  const place = await Place.make(t, both_kinds(mock, { policy: 'session_token_budget = 100000', extra: `[[route]]
model = "both"
failover = "immediate"
targets = [{ provider = "openai", model = "gpt-5.2" }, { provider = "anthropic", model = "claude-sonnet-4-5" }]
` }), credentials);
  const gateway = await place.start();
  const session = { 'x-tidegate-session': 's' };
  const both = { ...chat, model: 'both' };
  await ask.status(mock, 503);
  assert.equal((await call(gateway.url, paths.chat, both, session)).headers['x-tidegate-attempts'], '2');
  await ask.cut(mock, 1);
  const cut = stream(gateway.url, paths.chat, { ...both, stream: true }, session);
  assert.equal((await cut.ended).headers['x-tidegate-attempts'], '2');
  const ends = (await place.records()).filter(({ event }) => /^ai_budget_(settled|released)$/.test(event)).map(({ event, leg }) => `${event} ${leg}`);
  assert.deepEqual(ends, ['ai_budget_released 1', 'ai_budget_settled 2', 'ai_budget_settled 1', 'ai_budget_settled 2']);
});
