// Client keys and sealed credentials as an operator handles them: before, beside and behind a running gateway
// (SEC-1, CFG-4, CFG-5).
import assert from 'node:assert/strict';
import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { both_kinds, credentials, start_mock } from './kit/gateway.mjs';
import { Place } from './kit/place.mjs';

let mock;
before(async () => { mock = await start_mock(); });
after(() => mock.stop());

const make = (t, toml = both_kinds(mock)) => Place.make(t, toml, credentials);
async function create(place, name, ...more) {
  const made = await place.run(['key', 'create', '--name', name, '--json', ...more]);
  assert.equal(made.code, 0, made.err);
  return JSON.parse(made.out);
}
async function ask(gateway, key) {
  const reply = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(key && { authorization: `Bearer ${key}` }) },
    body: JSON.stringify({ model: 'on-openai', messages: [{ role: 'user', content: 'Hello' }] }),
  });
  await reply.arrayBuffer();
  return reply.status;
}
async function bytes_of(folder) {
  const blocks = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) blocks.push(await readFile(path.join(entry.parentPath ?? entry.path, entry.name)));
  }
  return Buffer.concat(blocks).toString('latin1');
}

test('a key made before the start is asked for and let in', async (t) => {
  const place = await make(t);
  const made = await create(place, 'ci');
  assert.match(made.key, /^tg-[A-Za-z0-9_-]{43}[A-Za-z0-9_-]{6}$/);
  assert.match(made.hash, /^hmac-sha256:[0-9a-f]{64}$/);
  const gateway = await place.start();
  assert.equal(await ask(gateway, made.key), 200);
  assert.equal(await ask(gateway), 401);
  assert.equal(await ask(gateway, `${made.key.slice(0, -1)}~`), 401);
  assert.equal(await ask(gateway, `tg-${'A'.repeat(49)}`), 401);
});

test('what key does holds in the running gateway at once, and after a restart', async (t) => {
  const place = await make(t);
  let gateway = await place.start();
  assert.equal(await ask(gateway), 200, 'no key is defined yet');
  const first = await create(place, 'ci');
  assert.equal(await ask(gateway), 401);
  assert.equal(await ask(gateway, first.key), 200);
  const rotated = await place.run(['key', 'rotate', first.id]);
  assert.equal(rotated.code, 0, rotated.err);
  const second = rotated.out.trim();
  assert.equal(await ask(gateway, first.key), 401);
  assert.equal(await ask(gateway, second), 200);
  await gateway.command.stop();
  gateway = await place.start();
  assert.equal(await ask(gateway, first.key), 401);
  assert.equal(await ask(gateway, second), 200);
  assert.equal((await place.run(['key', 'revoke', first.id])).code, 0);
  assert.equal(await ask(gateway, second), 401);
  assert.equal(await ask(gateway), 401, 'the end of the last key does not open the gateway');
  assert.equal((await place.run(['key', 'revoke', first.id])).code, 1);
  const listed = await place.run(['key', 'list', '--json']);
  const { keys } = JSON.parse(listed.out);
  assert.equal(keys.length, 1);
  assert.ok(keys[0].revokedAt);
  assert.doesNotMatch(listed.out, /tg-/);
});

test('the printed hash works in [[key]]', async (t) => {
  const place = await make(t);
  const made = await create(place, 'ci');
  assert.equal((await place.run(['key', 'revoke', made.id])).code, 0);
  await place.write(`${both_kinds(mock)}\n[[key]]\nname = "fixed"\nhash = "${made.hash}"\n`);
  const gateway = await place.start();
  assert.equal(await ask(gateway, made.key), 200);
  const listed = JSON.parse((await place.run(['key', 'list', '--json'])).out);
  assert.ok(listed.keys.some((key) => key.id === 'config:fixed' && key.source === 'configuration'));
});

test('a sealed credential reaches the provider and nothing else', async (t) => {
  const place = await make(t, both_kinds(mock).replace('"env:E2E_OPENAI_KEY"', '"secret:main"'));
  const secret = 'sk-e2e-sealed-canary-secret';
  const set = await place.run(['secret', 'set', 'main'], { input: `${secret}\n` });
  assert.equal(set.code, 0, set.err);
  const gateway = await place.start();
  await mock.reset();
  assert.equal(await ask(gateway), 200);
  const seen = (await mock.requests()).at(-1);
  assert.ok(JSON.stringify(seen.headers).includes(`Bearer ${secret}`));
  const other = `${secret}-2`;
  assert.equal((await place.run(['secret', 'set', 'main'], { input: other })).code, 0);
  assert.equal(await ask(gateway), 200);
  assert.ok(JSON.stringify((await mock.requests()).at(-1).headers).includes(`Bearer ${other}`));
  assert.match((await place.run(['secret', 'list'])).out, /main/);
  assert.equal((await place.run(['secret', 'remove', 'main'])).code, 0);
  assert.notEqual(await ask(gateway), 200);
  await gateway.command.stop();
  assert.doesNotMatch(await bytes_of(place.data), /canary/);
  assert.doesNotMatch(gateway.command.text, /canary/);
});

test('a vendor\'s malformed credential and an unusable master key are refused', async (t) => {
  const place = await make(t);
  await place.write(both_kinds(mock).replaceAll(`base_url = "${mock.url}"\n`, ''));
  const malformed = await place.run(['secret', 'set', 'openai'], { input: 'plain-text-key' });
  assert.equal(malformed.code, 2);
  assert.match(malformed.err, /INVALID_ARGUMENT/);
  assert.doesNotMatch(malformed.err + malformed.out, /plain-text/);
  const warned = await place.run(['secret', 'set', 'elsewhere'], { input: 'plain-text-key' });
  assert.equal(warned.code, 0);
  assert.match(warned.err, /warning/);
  await place.run(['key', 'create', '--name', 'ci']);
  const file = path.join(place.data, 'master.key');
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  await chmod(file, 0o644);
  const refused = await place.run(['key', 'create', '--name', 'other']);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /UNSUPPORTED/);
  await writeFile(file, 'damaged');
  await chmod(file, 0o600);
  assert.match((await place.run(['secret', 'set', 'x'], { input: 'sk-12345678' })).err, /UNSUPPORTED/);
});

test('the control socket is its owner\'s only and goes with the gateway', async (t) => {
  const place = await make(t);
  const gateway = await place.start();
  const socket = path.join(place.data, 'control.sock');
  assert.equal((await stat(socket)).mode & 0o777, 0o600);
  await gateway.command.stop();
  assert.equal((await place.run(['key', 'create', '--name', 'later'])).code, 0);
});
