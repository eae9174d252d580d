// Client keys and provider credentials as an operator handles them, with and without a running gateway (SEC-1, SEC-2, CFG-4,
// CFG-5): a change holds from the next request on, and nothing is shown twice.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { both_kinds, credentials, start_mock } from './kit/gateway.mjs';
import { last_request } from './kit/inputs.mjs';
import { kill, Place } from './kit/place.mjs';
import { call, paths } from './kit/wire.mjs';

let mock;
before(async () => { mock = await start_mock(); });
after(() => mock.stop());
beforeEach(() => mock.reset());

const chat = { model: 'on-openai', messages: [{ role: 'user', content: 'Hello' }] };
const message = { model: 'on-anthropic', max_tokens: 64, messages: [{ role: 'user', content: 'Hello' }] };
const bearer = (key) => ({ authorization: `Bearer ${key}` });
const status_with = async (gateway, key) => (await call(gateway.url, paths.chat, chat, bearer(key))).status;
const rejection = (promise) => promise.then(() => assert.fail('was not refused'), (error) => error);
const make_key = async (place, ...args) => JSON.parse((await place.done(['key', 'create', '--json', ...args])).out);
const list_keys = async (place) => JSON.parse((await place.done(['key', 'list', '--json'])).out).keys;

// Missing, unknown, revoked: the same answer in the caller's dialect, and no word of why.
async function check_refused(gateway, key) {
  const apiKey = key ?? 'tg-none';
  const fetch_of = (...args) => {
    if (key === undefined) {
      const headers = new Headers(args[1].headers);
      headers.delete('authorization');
      headers.delete('x-api-key');
      args[1] = { ...args[1], headers };
    }
    return fetch(...args);
  };
  const openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey, maxRetries: 3, fetch: fetch_of });
  const anthropic = new Anthropic({ baseURL: gateway.url, apiKey, maxRetries: 3, fetch: fetch_of });
  for (const ask of [() => openai.chat.completions.create(chat), () => openai.responses.create({ model: 'on-openai', input: 'Hello', stream: true }),
    () => openai.models.list(), () => openai.embeddings.create({ model: 'on-openai', input: 'Hello' })]) {
    const error = await rejection(Promise.resolve(ask()));
    assert.ok(error instanceof OpenAI.AuthenticationError, String(error));
    assert.deepEqual([error.status, error.code, error.headers.get('x-should-retry')], [401, 'AI_AUTH_FAILED', 'false']);
    assert.match(error.headers.get('x-tidegate-run-id'), /./);
    assert.equal(error.error.details.source, 'local');
  }
  for (const ask of [() => anthropic.messages.create(message), () => anthropic.messages.countTokens({ model: 'on-anthropic', messages: message.messages })]) {
    const error = await rejection(ask());
    assert.ok(error instanceof Anthropic.AuthenticationError, String(error));
    assert.deepEqual([error.status, error.error.code, error.error.error.type], [401, 'AI_AUTH_FAILED', 'authentication_error']);
    assert.equal(error.error.details.source, 'local');
    if (key) assert.ok(!JSON.stringify(error.error).includes(key));
  }
}

test('keys made before the start: they are asked for, in both dialects, and shown once', async (t) => {
  const place = await Place.make(t, both_kinds(mock), credentials);
  const plain = await place.done(['key', 'create', '--name', 'first']);
  const key = plain.out.trim();
  assert.match(key, /^tg-[A-Za-z0-9_-]{49}$/);
  assert.equal((await stat(path.join(place.data, 'master.key'))).mode & 0o777, 0o600);
  const gateway = await place.start();
  assert.ok(!gateway.command.lines.some(({ event }) => event === 'open_access'));
  const openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: key, maxRetries: 0 });
  const anthropic = new Anthropic({ baseURL: gateway.url, apiKey: key, maxRetries: 0 });
  assert.match((await openai.chat.completions.create(chat)).choices[0].message.content, /Hello/);
  assert.match((await anthropic.messages.create(message)).content[0].text, /Hello/);
  assert.equal((await fetch(`${gateway.url}/healthz`)).status, 200, 'the listener\'s health needs no key');
  await mock.reset();
  await check_refused(gateway, undefined);
  await check_refused(gateway, 'sk-somebody-elses-key');
  const wrong = key.slice(0, -1) + (key.endsWith('A') ? 'B' : 'A');
  await check_refused(gateway, wrong);
  // Well-formed, with a checksum of its own, but of another gateway.
  const elsewhere = await Place.make(t, both_kinds(mock), credentials);
  await check_refused(gateway, (await make_key(elsewhere, '--name', 'first')).key);
  assert.equal((await mock.requests()).length, 0);
  for (const { out } of [await place.done(['key', 'list']), await place.done(['key', 'list', '--json'])]) {
    assert.match(out, /first/);
    assert.ok(!out.includes(key) && !out.includes(key.slice(3, 30)));
  }
  // The caller's key is the gateway's affair.
  await call(gateway.url, paths.messages, message, { ...bearer(key), 'x-api-key': key, cookie: 'a=b' });
  assert.ok(!JSON.stringify(await mock.requests()).includes(key));
});

test('create, rotate, revoke while the gateway runs: each holds from the next request on', async (t) => {
  const place = await Place.make(t, both_kinds(mock), credentials);
  const gateway = await place.start();
  assert.equal((await call(gateway.url, paths.chat, chat)).status, 200, 'no key is defined yet');
  const one = await make_key(place, '--name', 'one');
  const two = await make_key(place, '--name', 'two', '--role', 'admin', '--project', 'novel', '--project', 'essay');
  await check_refused(gateway, undefined);
  assert.deepEqual([await status_with(gateway, one.key), await status_with(gateway, two.key)], [200, 200]);
  const listed = await list_keys(place);
  assert.deepEqual(listed.map(({ name, role, projects }) => [name, role, projects]),
    [['one', 'client', ['*']], ['two', 'admin', ['novel', 'essay']]]);
  const rotated = JSON.parse((await place.done(['key', 'rotate', one.id, '--json'])).out);
  assert.equal(rotated.id, one.id);
  assert.notEqual(rotated.key, one.key);
  assert.deepEqual([await status_with(gateway, one.key), await status_with(gateway, rotated.key)], [401, 200]);
  await place.done(['key', 'revoke', one.id]);
  await check_refused(gateway, rotated.key);
  assert.equal(await status_with(gateway, two.key), 200);
  assert.equal((await place.run(['key', 'revoke', one.id])).code, 1);
  assert.equal((await place.run(['key', 'rotate', 'key_0000000000000000'])).code, 1);
  assert.equal((await place.run(['key', 'create', '--name', 'x', '--policy', 'nobodys'])).code, 2);
  assert.equal((await place.run(['key', 'create', '--name', 'x', '--role', 'king'])).code, 2);
  // Everyone gone is not everyone welcome.
  await place.done(['key', 'revoke', two.id]);
  await check_refused(gateway, two.key);
  await check_refused(gateway, undefined);
  await kill(gateway);
  const next = await place.start();
  await check_refused(next, two.key);
  await check_refused(next, undefined);
  const events = (await place.records()).map(({ event, name }) => [event, name]).filter(([event]) => event.startsWith('client_key'));
  assert.deepEqual(events, [['client_key_created', 'one'], ['client_key_created', 'two'], ['client_key_rotated', 'one'],
    ['client_key_revoked', 'one'], ['client_key_revoked', 'two']]);
});

test('a revocation is the last thing a key sees, with a hundred calls under way', async (t) => {
  const place = await Place.make(t, both_kinds(mock), credentials);
  const gateway = await place.start();
  await make_key(place, '--name', 'stays');
  for (let i = 0; i < 3; ++i) {
    const { id, key } = await make_key(place, '--name', `goes-${i}`);
    let revoked = false, stop = false;
    const late = [];
    const callers = Array.from({ length: 100 }, async () => {
      while (!stop) {
        const was = revoked;
        const { status } = await call(gateway.url, paths.chat, chat, bearer(key));
        if (was && status !== 401) late.push(status);
        if (status === 401) return;
      }
    });
    await place.done(['key', 'revoke', id]);
    revoked = true;
    assert.equal(await status_with(gateway, key), 401);
    await Promise.race([Promise.all(callers), new Promise((resolve) => { setTimeout(resolve, 2_000); })]);
    stop = true;
    await Promise.all(callers);
    assert.deepEqual(late, []);
  }
});

test('projects: a key may use its own, no others (SEC-2)', async (t) => {
  const place = await Place.make(t, both_kinds(mock), credentials);
  const { key } = await make_key(place, '--name', 'writer', '--project', 'novel');
  const gateway = await place.start();
  const as = (where, body, project) => call(gateway.url, where, body, { ...bearer(key), ...(project ? { 'x-tidegate-project': project } : {}) });
  assert.equal((await as(paths.chat, chat, 'novel')).status, 200);
  assert.equal((await as(paths.chat, chat)).status, 200);
  await mock.reset();
  const refused = await as(paths.chat, chat, 'essay');
  assert.deepEqual([refused.status, refused.json.error.code, refused.headers['x-should-retry']], [403, 'FORBIDDEN', 'false']);
  const also = await as(paths.messages, message, 'Novel');
  assert.deepEqual([also.status, also.json.code, also.json.error.type], [403, 'FORBIDDEN', 'permission_error']);
  const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: key, maxRetries: 3, defaultHeaders: { 'x-tidegate-project': '*' } });
  assert.ok(await rejection(client.chat.completions.create(chat)) instanceof OpenAI.PermissionDeniedError);
  assert.equal((await as(paths.chat, chat, 'x'.repeat(256))).status, 400);
  assert.equal((await mock.requests()).length, 0);
});

test('[[key]]: the hash of a key made elsewhere, under the same master key; disabled, it is refused', async (t) => {
  const master = { TIDEGATE_MASTER_KEY: randomBytes(32).toString('base64') };
  const origin = await Place.make(t, both_kinds(mock), { ...credentials, ...master });
  const { key, hash } = await make_key(origin, '--name', 'made');
  assert.match(hash, /^hmac-sha256:/);
  const table = (more) => both_kinds(mock, { extra: `[[key]]\nname = "ci"\nhash = "${hash}"\nprojects = ["ci"]\n${more}\n` });
  const place = await Place.make(t, table(''), { ...credentials, ...master });
  const gateway = await place.start();
  assert.equal(await status_with(gateway, key), 200);
  assert.equal((await call(gateway.url, paths.chat, chat)).status, 401);
  assert.equal((await call(gateway.url, paths.chat, chat, { ...bearer(key), 'x-tidegate-project': 'other' })).status, 403);
  const [listed] = await list_keys(place);
  assert.deepEqual([listed.name, listed.source], ['ci', 'configuration']);
  assert.equal((await place.run(['key', 'revoke', listed.id])).code, 1, 'the configuration is the owner\'s');
  await place.write(table('enabled = false'));
  gateway.command.signal('SIGHUP');
  await gateway.command.event('reloaded');
  assert.equal(await status_with(gateway, key), 401);
  assert.equal((await call(gateway.url, paths.chat, chat)).status, 401, 'a disabled key is a key: nobody else comes in');
});

test('off loopback without a key: refused with 2; with one it starts and asks for it (SEC-1)', async (t) => {
  const place = await Place.make(t, both_kinds(mock), credentials);
  const refused = await place.run(['serve', '--admin-listen', '127.0.0.1:0', '--listen', '0.0.0.0:0']);
  assert.equal(refused.code, 2);
  assert.match(refused.err, /client key/);
  const { key } = await make_key(place, '--name', 'first');
  const { port } = await place.start('0.0.0.0:0');
  const url = `http://127.0.0.1:${port}`;
  assert.equal((await call(url, paths.chat, chat)).status, 401);
  assert.equal((await call(url, paths.chat, chat, bearer(key))).status, 200);
});

// --- provider credentials

const with_secret = () => both_kinds(mock).replace('"env:E2E_OPENAI_KEY"', '"secret:vendor"');
const set = (place, name, value) => place.run(['secret', 'set', name], { input: `${value}\n` });
const sent_key = async () => (await last_request(mock)).headers.authorization;

test('secret set, list, remove without a gateway: sealed, used upstream, never shown (CFG-4)', async (t) => {
  const place = await Place.make(t, with_secret(), credentials);
  const first = await set(place, 'vendor', '  sk-sealed-in-the-store  ');
  assert.equal(first.code, 0, first.err);
  assert.equal((await set(place, 'other', 'no vendor writes keys like this')).code, 0, 'warned of only');
  const shown = [first, await place.done(['secret', 'list']), await place.done(['secret', 'list', '--json'])];
  assert.deepEqual(JSON.parse(shown[2].out).secrets.map(({ name }) => name), ['other', 'vendor']);
  const gateway = await place.start();
  assert.equal((await call(gateway.url, paths.chat, chat)).status, 200);
  assert.equal(await sent_key(), 'Bearer sk-sealed-in-the-store', 'trimmed');
  for (const { out, err } of shown) assert.ok(!(out + err).includes('sealed-in-the-store'));
  assert.ok(!(await readFile(path.join(place.data, 'tidegate.db'))).includes('sealed-in-the-store'));
});

test('secret set and remove while the gateway runs: the next request has it, and no later one (CFG-4)', async (t) => {
  const place = await Place.make(t, with_secret(), credentials);
  let gateway = await place.start();
  const without = await call(gateway.url, paths.chat, chat);
  assert.ok(['PREFLIGHT_MISSING_API_KEY', 'AI_NOT_CONFIGURED'].includes(without.json.error.code), without.text);
  assert.equal((await mock.requests()).length, 0);
  for (let i = 0; i < 5; ++i) {
    assert.equal((await set(place, 'vendor', `sk-version-${i}`)).code, 0);
    assert.equal((await call(gateway.url, paths.chat, chat)).status, 200);
    assert.equal(await sent_key(), `Bearer sk-version-${i}`);
  }
  // Empty clears (CFG-5), as remove does.
  for (const clear of [() => set(place, 'vendor', ''), () => place.run(['secret', 'remove', 'vendor'])]) {
    assert.equal((await set(place, 'vendor', 'sk-for-a-while')).code, 0);
    assert.equal((await call(gateway.url, paths.chat, chat)).status, 200);
    assert.equal((await clear()).code, 0);
    assert.notEqual((await call(gateway.url, paths.chat, chat)).status, 200);
  }
  // What the command has said is done, is done: no crash takes it back.
  assert.equal((await set(place, 'vendor', 'sk-kept')).code, 0);
  await kill(gateway);
  gateway = await place.start();
  assert.equal((await call(gateway.url, paths.chat, chat)).status, 200);
  assert.equal(await sent_key(), 'Bearer sk-kept');
  assert.equal((await place.run(['secret', 'remove', 'vendor'])).code, 0);
  await kill(gateway);
  gateway = await place.start();
  assert.notEqual((await call(gateway.url, paths.chat, chat)).status, 200);
  assert.equal((await place.run(['secret', 'remove', 'vendor'])).code, 1);
  assert.equal((await set(place, 'bad name!', 'sk-whatever')).code, 2);
  assert.equal((await set(place, 'vendor', `sk-\u0007bell`)).code, 2);
  for (const { command } of place.gateways) assert.ok(!/sk-(version|for-a-while|kept)/.test(command.text));
});

test('a known vendor\'s key must look like one (CFG-5, T69)', async (t) => {
  const place = await Place.make(t, '[[provider]]\nname = "openai"\nkind = "openai"\napi_key = "secret:openai"\n');
  for (const wrong of ['plain-text-key', 'sk-1 2', 'xk-abcdefgh', 'sk-abcdefgh!']) {
    const refused = await set(place, 'openai', wrong);
    assert.equal(refused.code, 2, wrong);
    assert.match(refused.err, /INVALID_ARGUMENT/);
    assert.ok(!refused.err.includes(wrong) && !refused.out.includes(wrong));
  }
  assert.equal((await set(place, 'openai', 'sk-good-enough.1_2')).code, 0);
});

test('no usable master key: nothing is written, a sealed credential counts as absent (CFG-4, T69, T88)', async (t) => {
  const place = await Place.make(t, with_secret(), credentials);
  assert.equal((await set(place, 'vendor', 'sk-sealed-once')).code, 0);
  const key_file = path.join(place.data, 'master.key');
  await chmod(key_file, 0o644);
  const refused = await set(place, 'vendor', 'sk-sealed-twice');
  assert.equal(refused.code, 1);
  assert.match(refused.err, /UNSUPPORTED/);
  const gateway = await place.start();
  assert.notEqual((await call(gateway.url, paths.chat, chat)).status, 200);
  assert.equal((await mock.requests()).length, 0);
  assert.ok(!gateway.command.text.includes('sk-sealed'));
  await gateway.command.stop();
  await chmod(key_file, 0o600);
  const next = await place.start();
  assert.equal((await call(next.url, paths.chat, chat)).status, 200);
  assert.equal(await sent_key(), 'Bearer sk-sealed-once');
});
