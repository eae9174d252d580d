// Rate limits, budgets and caps with the binary and the official SDKs (RL, BUD, GW-2): what is refused, how it is said, and
// that a refusal costs nothing.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { both_kinds, credentials, start_mock } from './kit/gateway.mjs';
import { last_request } from './kit/inputs.mjs';
import { kill, metric, Place, reload } from './kit/place.mjs';
import { call, paths } from './kit/wire.mjs';

let mock, minute;
before(async () => {
  mock = await start_mock();
  minute = pass_a_minute();
  minute.catch(() => {});  // it is the test that fails, at the end
});
after(() => mock.stop());
beforeEach(() => mock.reset());

// `policy` goes into policy.default; a table opened in it ends that one.
async function serve(t, policy, extra = '') {
  const place = await Place.make(t, both_kinds(mock, { policy, extra }), credentials);
  return { place, gateway: await place.start() };
}
const words = (text) => [{ role: 'user', content: text }];
const chat = { model: 'on-openai', messages: words('Hello') };
const message = { model: 'on-anthropic', max_tokens: 64, messages: words('Hello') };
// SDKs that count the requests they make.
function sdks(gateway, options = {}) {
  let made = 0;
  const counting = { fetch: (...args) => { made += 1; return fetch(...args); }, apiKey: 'unused', ...options };
  return {
    openai: new OpenAI({ baseURL: `${gateway.url}/v1`, ...counting }),
    anthropic: new Anthropic({ baseURL: gateway.url, ...counting }),
    made: () => made,
  };
}
const rejection = (promise) => promise.then(() => assert.fail('was not refused'), (error) => error);

// --- token budgets

// The reservation that a call makes is on the log before it is sent.
async function projected(gateway, where, body) {
  const seen = gateway.command.lines.length;
  await call(gateway.url, where, body, { 'x-tidegate-session': 'measured' });
  const line = await gateway.command.line((l) => l.event === 'ai_budget_reserved' && gateway.command.lines.indexOf(l) >= seen);
  return line.tokens;
}

test('B1: 2,000 calls at once on a budget for 100: exactly 100 reach the provider', { timeout: 120_000 }, async (t) => {
  // Nothing but the budget is in the way.
  const room = '[server]\nmax_in_flight = 4000\n[session]\nsession_concurrency = 8\nglobal_concurrency = 4000\nqueue_limit = 4000\n';
  const { place, gateway } = await serve(t, 'session_token_budget = 1000000', room);
  const base = await projected(gateway, paths.chat, { ...chat, max_tokens: 200 });
  const offset = base - await projected(gateway, paths.messages, { ...message, max_tokens: 200 });
  await place.write(both_kinds(mock, { policy: `session_token_budget = ${100 * base}`, extra: room }));
  await reload(gateway);
  await mock.reset();
  // One token less than reserved is used, so that the budget ends 100 short of full however the calls fall.
  await mock.behave({ default: { behavior: 'delay', delay_ms: 300, usage: { prompt: base - 200 - 1, completion: 200 } } });
  const session = { 'x-tidegate-session': 'crowded' };
  const replies = await Promise.all(Array.from({ length: 2000 }, (_, i) => i % 2 === 0
    ? call(gateway.url, paths.chat, { ...chat, max_tokens: 200 }, session)
    : call(gateway.url, paths.messages, { ...message, max_tokens: 200 + offset }, session)));
  const admitted = replies.filter(({ status }) => status === 200);
  const refused = replies.map((reply, i) => ({ ...reply, dialect: i % 2 === 0 ? 'chat' : 'messages' })).filter(({ status }) => status !== 200);
  assert.equal(admitted.length, 100);
  assert.equal((await mock.requests()).length, 100);
  assert.equal(refused.length, 1900);
  for (const { status, headers, json, dialect } of refused) {
    assert.equal(status, 429);
    assert.equal(headers['x-should-retry'], 'false');
    assert.match(headers['x-tidegate-run-id'], /./);
    const error = dialect === 'chat' ? json.error : json;
    assert.equal(error.code, 'AI_SESSION_TOKEN_BUDGET_EXCEEDED');
    if (dialect === 'messages') assert.deepEqual([json.type, json.error.type], ['error', 'rate_limit_error']);
    assert.match(json.error.message, /new session|fewer max tokens/);
  }
  assert.deepEqual((await metric(gateway, 'tidegate_refusals_total'))['code="AI_SESSION_TOKEN_BUDGET_EXCEEDED"'], 1900);
  // Nothing is left reserved: just what is free fits, one more does not, in another session everything does.
  const prompt = base - 200;
  assert.equal((await call(gateway.url, paths.chat, { ...chat, max_tokens: 101 - prompt }, session)).status, 429);
  await mock.behave({ default: { behavior: 'ok', usage: { prompt, completion: 100 - prompt } } });
  assert.equal((await call(gateway.url, paths.chat, { ...chat, max_tokens: 100 - prompt }, session)).status, 200);
  const full = await call(gateway.url, paths.chat, { ...chat, max_tokens: 1 }, session);
  assert.match(full.json.error.message, new RegExp(`${100 * base} of ${100 * base} tokens`));
  assert.equal((await call(gateway.url, paths.chat, chat, { 'x-tidegate-session': 'quiet' })).status, 200);
});

test('a spent session: both SDKs see a rate limit error with the code, and do not ask again', async (t) => {
  const { gateway } = await serve(t, 'session_token_budget = 10');
  const { openai, anthropic, made } = sdks(gateway, { maxRetries: 4, defaultHeaders: { 'x-tidegate-session': 's' } });
  const first = await rejection(openai.chat.completions.create(chat));
  assert.ok(first instanceof OpenAI.RateLimitError);
  assert.equal(first.code, 'AI_SESSION_TOKEN_BUDGET_EXCEEDED');
  const second = await rejection(anthropic.messages.create(message));
  assert.ok(second instanceof Anthropic.RateLimitError);
  assert.equal(second.error.code, 'AI_SESSION_TOKEN_BUDGET_EXCEEDED');
  const third = await rejection(openai.responses.create({ model: 'on-openai', input: 'Hello', stream: true }));
  assert.equal(third.code, 'AI_SESSION_TOKEN_BUDGET_EXCEEDED');
  assert.equal(made(), 3);
  assert.equal((await mock.requests()).length, 0);
});

test('a project has a budget of its own, shared by its sessions and keys', async (t) => {
  const { place, gateway } = await serve(t, 'session_token_budget = 0', '[session]\nproject_token_budget = 300\n');
  const body = { ...chat, max_tokens: 250 };
  const in_project = (name, session) => call(gateway.url, paths.chat, body, { 'x-tidegate-project': name, 'x-tidegate-session': session });
  await mock.behave({ default: { behavior: 'ok', usage: { prompt: 2, completion: 200 } } });
  assert.equal((await in_project('novel', 'a')).status, 200);
  const refused = await in_project('novel', 'b');
  assert.deepEqual([refused.status, refused.json.error.code], [429, 'AI_SESSION_TOKEN_BUDGET_EXCEEDED']);
  assert.match(refused.json.error.message, /project/);
  assert.equal((await in_project('essay', 'a')).status, 200);
  await kill(gateway);
  const next = await place.start();
  const still = await call(next.url, paths.chat, body, { 'x-tidegate-project': 'novel' });
  assert.equal(still.status, 429, 'budgets survive kill -9 (NFR-2)');
});

test('a provider that reports more than was reserved: charged in full, and on the record (T114)', async (t) => {
  const { gateway } = await serve(t, 'session_token_budget = 20000');
  await mock.behave({ default: { behavior: 'ok', usage: { prompt: 9000, completion: 9000 } } });
  const session = { 'x-tidegate-session': 's' };
  assert.equal((await call(gateway.url, paths.chat, { ...chat, max_tokens: 16 }, session)).status, 200);
  assert.equal((await gateway.command.event('ai_budget_overrun')).actual, 18000);
  const refused = await call(gateway.url, paths.chat, { ...chat, max_tokens: 3000 }, session);
  assert.match(refused.json.error.message, /18000 of 20000/);
});

// --- dollars

const priced = '[pricing.models."gpt-5.2"]\ninput_per_1k = 0.001\noutput_per_1k = 0.01\n';
test('a dollar budget: reserved from prices, refused with 402, unpriced models too (BUD-2, BUD-7, T132)', async (t) => {
  const extra = `${priced}
[[route]]
model = "unheard-of"
targets = [{ provider = "openai", model = "never-priced" }]
`;
  const { place, gateway } = await serve(t, 'key_usd_budget = 0.025', extra);
  const { openai, anthropic, made } = sdks(gateway, { maxRetries: 3 });
  await mock.behave({ default: { behavior: 'ok', usage: { prompt: 0, completion: 1000 } } });
  assert.equal((await call(gateway.url, paths.chat, { ...chat, max_tokens: 1000 })).status, 200);
  assert.equal((await call(gateway.url, paths.chat, { ...chat, max_tokens: 1000 })).status, 200);
  // 0.020 are spent: 1,000 tokens more would be 0.030.
  const spent = await rejection(openai.chat.completions.create({ ...chat, max_tokens: 1000 }));
  assert.deepEqual([spent.status, spent.code], [402, 'COST_BUDGET_EXCEEDED']);
  assert.match(spent.message, /0\.020/);
  const unpriced = await rejection(openai.chat.completions.create({ ...chat, model: 'unheard-of' }));
  assert.deepEqual([unpriced.status, unpriced.code], [402, 'COST_BUDGET_EXCEEDED']);
  assert.match(unpriced.message, /never-priced.*no price/);
  const other = await rejection(anthropic.messages.create({ ...message, model: 'on-openai', max_tokens: 1000 }));
  assert.deepEqual([other.status, other.error.code], [402, 'COST_BUDGET_EXCEEDED']);
  assert.equal(made(), 3, 'a spent budget is not asked again');
  assert.equal((await mock.requests()).length, 2);
  assert.equal((await metric(gateway, 'tidegate_cost_microdollars_total'))[''], 20_000);
  // What still fits, fits.
  await mock.behave({ default: { behavior: 'ok', usage: { prompt: 0, completion: 400 } } });
  assert.equal((await call(gateway.url, paths.chat, { ...chat, max_tokens: 400 })).status, 200);
  await kill(gateway);
  const next = await place.start();
  assert.equal((await call(next.url, paths.chat, { ...chat, max_tokens: 200 })).status, 402);
});

// --- caps

test('the cap of 4,096: refused over it, sent where the caller names none (BUD-4, T126)', async (t) => {
  const { gateway } = await serve(t, '');
  const { openai, anthropic } = sdks(gateway, { maxRetries: 0 });
  for (const [name, ask] of Object.entries({
    chat: (most) => openai.chat.completions.create({ ...chat, max_completion_tokens: most }),
    responses: (most) => openai.responses.create({ model: 'on-openai', input: 'Hello', max_output_tokens: most }),
    messages: (most) => anthropic.messages.create({ ...message, max_tokens: most }),
    'chat at anthropic': (most) => openai.chat.completions.create({ ...chat, model: 'on-anthropic', max_tokens: most }),
    'messages at openai': (most) => anthropic.messages.create({ ...message, model: 'on-openai', max_tokens: most }),
  })) {
    await mock.reset();
    const over = await rejection(ask(4097));
    assert.equal(over.status, 400, name);
    assert.match(over.message, /4097.*4096/, name);
    assert.equal((await mock.requests()).length, 0, name);
    await ask(4096);
    const sent = (await last_request(mock)).json;
    assert.equal(sent.max_tokens ?? sent.max_completion_tokens ?? sent.max_output_tokens, 4096, name);
    if (name.startsWith('messages')) continue;  // its callers must name one
    await ask(undefined);
    const filled = (await last_request(mock)).json;
    assert.equal(filled.max_tokens ?? filled.max_completion_tokens ?? filled.max_output_tokens, 4096, name);
  }
});

test('on_exceed = "clamp": what is too much is made 4,096 on its way', async (t) => {
  const { gateway } = await serve(t, 'on_exceed = "clamp"');
  for (const [where, body] of [[paths.chat, { ...chat, max_tokens: 100_000 }], [paths.messages, { ...message, max_tokens: 100_000 }]]) {
    assert.equal((await call(gateway.url, where, body)).status, 200);
    assert.equal((await last_request(mock)).json.max_tokens, 4096);
  }
});

// --- rate limits

const per_minute = (limit, extra = '') => both_kinds(mock, { extra }).replace('requests_per_minute = 0', `requests_per_minute = ${limit}`);

// Says when the next call will be admitted; holds it to its word.
function check_wait({ status, headers, json }, { began, ended }) {
  assert.equal(status, 429);
  assert.equal(json.error.code ?? json.code, 'AI_RATE_LIMITED');
  const wait = Number(headers['retry-after-ms']);
  assert.equal(Number(headers['retry-after']), Math.ceil(wait / 1000));
  // The oldest stamp was made between `began` and `ended`.
  assert.ok(wait <= 60_000 - (performance.now() - ended) + 1_000 && wait > 60_000 - (performance.now() - began) - 1_000, `${wait} ms`);
  return wait;
}

// The window is a minute: it passes while the other tests run.
async function pass_a_minute() {
  const ended = [];
  const own = await start_mock();
  ended.push(own.stop);
  const place = await Place.make({ after: (act) => ended.push(act) }, per_minute(2).replaceAll(mock.url, own.url), credentials);
  try {
    let gateway = await place.start();
    const began = performance.now();
    const first = await call(gateway.url, paths.chat, chat);
    const stamped = performance.now();
    await call(gateway.url, paths.messages, message);
    check_wait(await call(gateway.url, paths.chat, chat), { began, ended: stamped });
    // A limiter that forgets at a crash would let the next two in.
    await kill(gateway);
    gateway = await place.start();
    const told = [];
    for (;;) {
      const reply = await call(gateway.url, paths.chat, chat);
      const at = performance.now();
      if (reply.status === 200) return { first: first.status, told, admitted: at - reply.ms, began, stamped };
      told.push({ at, wait: Number(reply.headers['retry-after-ms']) });
      // Wakes at most a second early, then asks as it comes near.
      await new Promise((wake) => { setTimeout(wake, Math.min(2_000, Math.max(5, told.at(-1).wait - 1_000))); });
    }
  } finally {
    for (const act of ended) await act();
  }
}

test('both SDKs see a rate limit error with the code; refusals take no unit and reach no provider (RL-1)', async (t) => {
  const place = await Place.make(t, per_minute(3), credentials);
  const gateway = await place.start();
  const { openai, anthropic } = sdks(gateway, { maxRetries: 0 });
  const began = performance.now();
  await openai.chat.completions.create(chat);
  const ended = performance.now();
  await anthropic.messages.create(message);
  await openai.responses.create({ model: 'on-openai', input: 'Hello' });
  const from_openai = await rejection(openai.chat.completions.create({ ...chat, stream: true }));
  assert.ok(from_openai instanceof OpenAI.RateLimitError);
  assert.equal(from_openai.code, 'AI_RATE_LIMITED');
  assert.equal(from_openai.headers.get('x-should-retry'), null, 'worth asking again, later');
  const from_anthropic = await rejection(anthropic.messages.create(message));
  assert.ok(from_anthropic instanceof Anthropic.RateLimitError);
  assert.equal(from_anthropic.error.code, 'AI_RATE_LIMITED');
  assert.equal(from_anthropic.error.error.type, 'rate_limit_error');
  for (let i = 0; i < 50; ++i) check_wait(await call(gateway.url, i % 2 ? paths.chat : paths.messages, i % 2 ? chat : message), { began, ended });
  assert.equal((await mock.requests()).length, 3);
});

test('a thousand calls at once against 60 a minute: exactly 60 are made (RL-1)', async (t) => {
  const place = await Place.make(t, per_minute(60), credentials);
  const gateway = await place.start();
  const replies = await Promise.all(Array.from({ length: 1000 }, () => call(gateway.url, paths.chat, chat)));
  assert.equal(replies.filter(({ status }) => status === 200).length, 60);
  assert.equal(replies.filter(({ status }) => status === 429).length, 940);
  assert.equal((await mock.requests()).length, 60);
});

test('each client key has its own window, after its policy', async (t) => {
  const place = await Place.make(t, per_minute(2, '[policy.generous]\nrequests_per_minute = 5\n'), credentials);
  const make = async (...args) => (await place.done(['key', 'create', ...args])).out.trim();
  const keys = [await make('--name', 'one'), await make('--name', 'two'), await make('--name', 'three', '--policy', 'generous')];
  const gateway = await place.start();
  const admitted = [];
  for (const key of keys) {
    const replies = await Promise.all(Array.from({ length: 8 }, () => call(gateway.url, paths.chat, chat, { authorization: `Bearer ${key}` })));
    admitted.push(replies.filter(({ status }) => status === 200).length);
  }
  assert.deepEqual(admitted, [2, 2, 5]);
});

const limited_provider = () => per_minute(0).replace('name = "openai"\nkind', 'name = "openai"\nrequests_per_minute = 1\nkind');
test("a provider's own limit: the next target answers, without one the caller is told (RL-1, FO-11)", async (t) => {
  const place = await Place.make(t, `${limited_provider()}
[[route]]
model = "both"
failover = "immediate"
targets = [{ provider = "openai", model = "gpt-5.2" }, { provider = "anthropic", model = "claude-sonnet-4-5" }]
`, credentials);
  const gateway = await place.start();
  const first = await call(gateway.url, paths.chat, { ...chat, model: 'both' });
  assert.equal(first.headers['x-tidegate-provider'], 'openai');
  const second = await call(gateway.url, paths.chat, { ...chat, model: 'both' });
  assert.equal(second.status, 200);
  assert.equal(second.headers['x-tidegate-provider'], 'anthropic');
  assert.match(second.headers['x-tidegate-failover'], /reason=primary_local_limit/);
  const alone = await call(gateway.url, paths.chat, chat);
  assert.deepEqual([alone.status, alone.json.error.code], [429, 'AI_RATE_LIMITED']);
  assert.ok(Number(alone.headers['retry-after-ms']) > 50_000);
});

test('the first failover of an admitted call is never refused, and counts (RL-2, RL-3)', async (t) => {
  const both = `
[[route]]
model = "both"
failover = "immediate"
targets = [{ provider = "openai", model = "gpt-5.2" }, { provider = "anthropic", model = "claude-sonnet-4-5" }]
`;
  const down = { steps: [{ behavior: 'status', status: 503, match: { path: '/v1/chat/completions' }, count: 'forever' }] };
  await mock.behave(down);
  const place = await Place.make(t, per_minute(1, both), credentials);
  const gateway = await place.start();
  const reply = await call(gateway.url, paths.chat, { ...chat, model: 'both' });
  assert.deepEqual([reply.status, reply.headers['x-tidegate-attempts']], [200, '2']);
  assert.equal((await call(gateway.url, paths.chat, { ...chat, model: 'both' })).status, 429);
  const strict = await Place.make(t, per_minute('1\nreserve_failover_unit = false', both), credentials);
  const other = await strict.start();
  const refused = await call(other.url, paths.chat, { ...chat, model: 'both' });
  assert.deepEqual([refused.status, refused.json.error.code], [429, 'AI_RATE_LIMITED']);
});

test('the exact window: admitted when 60,000 ms have passed, as every refusal said, through kill -9 (RL-1, RL-4)',
  { timeout: 120_000 }, async () => {
    const { first, told, admitted, began, stamped } = await minute;
    assert.equal(first, 200);
    assert.ok(told.length > 10);
    assert.ok(admitted >= began + 60_000 - 5, `${admitted - began} ms after the first call began`);
    // The clock of a restarted gateway is the wall's, in whole milliseconds.
    for (const { at, wait } of told) assert.ok(Math.abs(at + wait - (began + stamped) / 2 - 60_000) < 1_000, `told ${wait} at ${at - began}`);
    console.log(`window: admitted ${(admitted - began).toFixed(0)} to ${(admitted - stamped).toFixed(0)} ms after the stamp that left it`);
  });
