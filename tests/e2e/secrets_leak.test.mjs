// B10: a thousand canaries through every path, kill -9 in the middle, and not one of them in anything that is written or said
// to others (SEC-3).
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { both_kinds, start_mock } from './kit/gateway.mjs';
import { kill, Place } from './kit/place.mjs';
import { call, each, paths, stream } from './kit/wire.mjs';

let mock;
before(async () => { mock = await start_mock(); });
after(() => mock.stop());
beforeEach(() => mock.reset());

// Every canary but the client keys, which the gateway makes, holds the core: one search finds a piece of any.
const core = `canary${randomBytes(6).toString('hex')}`;
const made = { 'provider key': [], 'client key': [], prompt: [], header: [], 'key in a provider error': [] };
function canary(kind) {
  const list = made[kind];
  const tail = `${core}x${list.length}x${randomBytes(4).toString('hex')}`;
  const text = { 'provider key': `sk-${tail}`, prompt: `whisper ${tail}`, header: tail, 'key in a provider error': `sk-${tail}` }[kind];
  list.push(text);
  return text;
}
// The core as base64 would show it, at each of the three offsets; and as hex.
const disguises = [0, 1, 2].map((offset) => {
  const whole = Buffer.from('z'.repeat(offset) + core).toString('base64').replaceAll('=', '');
  return whole.slice(offset === 0 ? 0 : offset + 1, -2);
}).concat(Buffer.from(core).toString('hex'));

async function files_below(folder) {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath ?? entry.path, entry.name));
}

// Nothing waits: what rests or retries would only make the test longer.
const secret_places = () => both_kinds(mock, { extra: `
[admin]
token = "env:E2E_ADMIN_TOKEN"
[retry]
backoff = ["1ms"]
[breaker]
cooldown_default = "1ms"
cooldown_max = "1ms"
failure_threshold = 1000
[[provider]]
name = "third"
kind = "openai-compatible"
base_url = "${mock.url}"
api_key = "secret:third"
[[route]]
model = "both"
failover = "immediate"
targets = [{ provider = "third", model = "gpt-5.2" }, { provider = "anthropic", model = "claude-sonnet-4-5" }]
` }).replace('"env:E2E_OPENAI_KEY"', '"secret:vendor"');
const words = (text) => [{ role: 'user', content: text }];

test('B10: 1,000 canaries: none in logs, journal, database, metrics, or replies to others', { timeout: 180_000 }, async (t) => {
  const token = `admin-${core}`;
  const environment = { E2E_ANTHROPIC_KEY: canary('provider key'), E2E_ADMIN_TOKEN: token, TIDEGATE_LOG_LEVEL: 'debug' };
  const place = await Place.make(t, secret_places(), environment);
  const owner = (await place.done(['key', 'create', '--name', 'owner'])).out.trim();
  const logs = [], replies = [], printed = [];
  let gateway = await place.start();
  const admin = async (method, where, body) => {
    const reply = await call(gateway.admin, `/admin/v1/${where}`, body, { authorization: `Bearer ${token}` }, method);
    assert.ok(reply.status < 300, reply.text);
    return reply;
  };
  const restart = async () => {
    await kill(gateway);
    logs.push(gateway.command);
    gateway = await place.start();
  };
  // What anybody but the owner of the text is told, and what is told about a failure.
  const keep = (reply) => {
    replies.push(JSON.stringify(reply.headers));
    if (reply.status !== 200) replies.push(reply.text);
    return reply;
  };
  const dialects = [[paths.chat, 'on-openai'], [paths.messages, 'on-anthropic'], [paths.chat, 'both'], [paths.messages, 'both'], [paths.responses, 'on-openai']];
  const ask = async (text, i, headers = {}, more = {}) => {
    const [where, model] = dialects[i % dialects.length];
    const asked = where === paths.responses ? { input: text, max_output_tokens: 100 } : { max_tokens: 100, messages: words(text) };
    const body = { model, ...asked, ...more };
    return keep(await call(gateway.url, where, body, { authorization: `Bearer ${owner}`, ...headers }));
  };

  // 199 more provider keys, each used; the commands themselves for some of them.
  for (let i = 0; i < 199; ++i) {
    const name = i % 2 ? 'vendor' : 'third';
    const value = canary('provider key');
    if (i % 20 === 0) {
      const { out, err } = await place.done(['secret', 'set', name], { input: value });
      printed.push(out, err);
    } else {
      printed.push((await admin('PUT', `secrets/${name}`, { value })).text);
    }
    await ask('Hello', i);
    if (i === 60) await restart();
  }
  // 200 client keys: made, used, rotated, revoked.
  await each(Array.from({ length: 100 }, (_, i) => i), 4, async (i) => {
    const { json } = await admin('POST', 'keys', { name: `key-${i}`, projects: i % 3 ? ['*'] : ['novel'] });
    const again = await admin('POST', `keys/${json.key.id}/rotate`, {});
    made['client key'].push(json.apiKey, again.json.apiKey);
    for (const key of [json.apiKey, again.json.apiKey]) {
      keep(await call(gateway.url, paths.chat, { model: 'on-openai', messages: words('Hello') },
        i % 2 ? { 'x-api-key': key } : { authorization: `Bearer ${key}`, 'x-tidegate-project': 'essay' }));
    }
    if (i % 2) await admin('POST', `keys/${json.key.id}/revoke`, {});
  });
  printed.push((await admin('GET', 'keys')).text, (await admin('GET', 'secrets')).text);
  // 200 prompts: answered, kept for idempotency, cut, stalled, reset, refused, malformed, in tools and systems.
  const markers = ['', '', '[[mock:cut=4]]', '[[mock:status=400]]', '[[mock:status=503]]', '[[mock:garbage=3]]', '[[mock:reset]]',
    '[[mock:in-stream-error=overloaded after=4]]', '[[mock:bad-json=3]]', '[[mock:status=429]]'];
  await each(Array.from({ length: 150 }, (_, i) => i), 8, async (i) => {
    const text = canary('prompt');
    const marker = markers[i % markers.length];
    await ask(`${marker} ${text}`, i, i % 4 === 0 ? { 'idempotency-key': `k${i}` } : {}, i % 3 === 0 ? { stream: true } : {});
  });
  for (let i = 0; i < 40; ++i) {
    const text = canary('prompt');
    const bad = [`{"model":"on-openai","messages":[{"role":"user","content":"${text}"`, `{"model":"on-openai","messages":"${text}"}`,
      `{"model":7,"x":"${text}"}`, JSON.stringify({ model: 'nobody', messages: words(text) }),
      JSON.stringify({ model: 'on-anthropic', max_tokens: 9999, messages: words(text) })];
    keep(await call(gateway.url, i % 2 ? paths.chat : paths.messages, bad[i % bad.length], { authorization: `Bearer ${owner}` }));
  }
  // Ten streams in the middle when the process dies.
  await mock.behave({ steps: [{ behavior: 'stall', after: 6, count: 10 }] });
  const cut_off = Array.from({ length: 10 }, () => stream(gateway.url, paths.chat, { model: 'on-openai', stream: true,
    messages: words(canary('prompt')) }, { authorization: `Bearer ${owner}` }));
  await Promise.all(cut_off.map((running) => running.until(3)));
  await restart();
  // 200 headers and query strings of callers, most with a key that is none.
  for (let i = 0; i < 200; ++i) {
    const text = canary('header');
    const shown = [{ authorization: `Bearer ${text}` }, { authorization: `Bearer tg-${text}` }, { 'x-api-key': `sk-ant-${text}` },
      { authorization: `Basic ${Buffer.from(text).toString('base64')}` }, { authorization: `Bearer ${owner}`, cookie: `session=${text}` },
      { authorization: `Bearer ${owner}`, 'openai-organization': text }, { authorization: text }, { authorization: `Bearer ${owner}`, 'proxy-authorization': text }];
    const where = [paths.chat, paths.messages, `/v1/models?key=${text}`, `/v1/nothing?api_key=${text}`][(i >> 3) % 4];
    const body = where === paths.chat || where === paths.messages ? { model: 'on-openai', max_tokens: 9, messages: words('Hello') } : undefined;
    keep(await call(gateway.url, where, body, shown[i % shown.length]));
  }
  // 200 keys in what providers say when they refuse: their own and others'.
  for (let i = 0; i < 200; ++i) {
    const text = canary('key in a provider error');
    await admin('PUT', 'secrets/vendor', { value: text });
    const status = [400, 401, 403, 404, 422, 429, 500, 503][i % 8];
    const said = [`Incorrect API key provided: ${text}.`, `Authorization: Bearer ${text} is not valid`, `see https://user:${text}@example.com/?key=${text}`];
    const message = said[i % 3];
    const body = [{ error: { message, type: 'x', code: 'invalid_api_key', param: null } }, { type: 'error', error: { type: 'x', message } }, message][(i >> 2) % 3];
    await mock.behave({ steps: [{ behavior: 'status', status, body, count: 2 }] });
    await ask('Hello', i % 3 === 1 ? 4 : 0, {}, i % 5 === 0 ? { stream: true } : {});
    if (i % 50 === 49) await mock.reset();
  }
  for (const where of ['/metrics', '/admin/v1/providers', '/admin/v1/keys', '/admin/v1/secrets', '/readyz', '/healthz']) {
    replies.push((await call(gateway.admin, where, undefined, { authorization: `Bearer ${token}` })).text, (await call(gateway.admin, where)).text);
  }
  // Journal and database as they lie there while they are in use, then what the commands say of them, then at rest.
  const written = new Map();
  const take = async (when) => {
    for (const file of await files_below(place.data)) {
      const name = path.relative(place.data, file);
      if (name !== 'master.key') written.set(`${name} ${when}`, await readFile(file));
    }
  };
  await take('in use');
  const exported = await place.done(['audit', 'export']);
  for (const args of [['audit', 'tail'], ['audit', 'verify'], ['key', 'list'], ['secret', 'list']]) {
    const { out, err } = await place.done(args);
    printed.push(out, err);
  }
  await kill(gateway);
  logs.push(gateway.command);
  await take('after kill -9');
  const last = await place.start();
  const alive = await call(last.url, paths.chat, { model: 'on-anthropic', messages: words('Hello') }, { authorization: `Bearer ${owner}` });
  assert.equal(alive.status, 200);
  await last.command.stop();
  logs.push(last.command);
  await take('at rest');

  const haystacks = [...written, ['logs', Buffer.from(logs.map(({ text }) => text).join(''))], ['replies', Buffer.from(replies.join('\n'))],
    ['commands', Buffer.from(printed.join('\n'))], ['audit export', Buffer.from(exported.out)]];
  for (const [kind, list] of Object.entries(made)) {
    assert.equal(list.length, 200, kind);
    assert.ok(kind === 'client key' || list.every((text) => text.includes(core)));
  }
  const total = Object.values(made).reduce((sum, list) => sum + list.length, 0);
  const found = [];
  for (const [place_of, bytes] of haystacks) {
    for (const text of [core, ...disguises]) {
      const at = bytes.indexOf(text);
      if (at >= 0) found.push(`${place_of}: ${bytes.subarray(Math.max(0, at - 120), at + 60).toString('latin1')}`);
    }
    for (const key of made['client key']) if (bytes.includes(key.slice(3, 35))) found.push(`${place_of}: a client key`);
  }
  const megabytes = haystacks.reduce((sum, [, bytes]) => sum + bytes.length, 0) / 1e6;
  console.log(`canaries: ${total} looked for in ${haystacks.length} places, ${megabytes.toFixed(1)} MB: ${found.length} found`);
  assert.ok(haystacks.some(([name]) => name.startsWith('journal/')) && haystacks.some(([name]) => name.startsWith('tidegate.db')));
  assert.ok(exported.out.length > 100_000 && logs[0].text.includes('"level":"debug"'), 'there was something to find them in');
  assert.deepEqual([...new Set(found)], []);
});
