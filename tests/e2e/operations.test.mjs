// The binary as an operator meets it: start, refuse, reload, drain, and what the listeners show.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import * as ask from './kit/ask.mjs';
import { both_kinds, credentials, start_gateway, start_mock } from './kit/gateway.mjs';
import { Process } from './kit/process.mjs';

let mock, folder;
before(async () => {
  mock = await start_mock();
  folder = await mkdtemp(path.join(os.tmpdir(), 'tidegate-ops-'));
});
after(async () => {
  await mock.stop();
  await rm(folder, { recursive: true, force: true });
});

async function ended(args, options) {
  const command = new Process(args, { cwd: folder, ...options });
  const { code } = await command.ended;
  return { code, text: command.text };
}
async function file(name, text) {
  const place = path.join(folder, name);
  await writeFile(place, text);
  return place;
}
// A gateway that also ends when its test fails.
async function start(t, toml = both_kinds(mock)) {
  const gateway = await start_gateway(toml, { environment: credentials });
  t.after(() => gateway.stop());
  return gateway;
}
async function post(gateway, body, headers = {}) {
  const reply = await fetch(`${gateway.url}/v1/chat/completions`, { method: 'POST',
    headers: { 'content-type': 'application/json', ...headers }, body: typeof body === 'string' ? body : JSON.stringify(body) });
  return { status: reply.status, headers: reply.headers, json: await reply.json() };
}
// Raw bytes to a fresh connection, everything that comes back until it closes.
async function raw(gateway, bytes) {
  const socket = net.connect(Number(new URL(gateway.url).port), '127.0.0.1');
  const chunks = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => {});
  socket.write(bytes);
  await once(socket, 'close');
  return Buffer.concat(chunks).toString('latin1');
}
const hello = { model: 'on-openai', messages: [{ role: 'user', content: 'Hello' }] };

test('--version, --help and wrong usage', async () => {
  assert.match((await ended(['--version'])).text, /\d+\.\d+\.\d+/);
  assert.equal((await ended(['serve', '--help'])).code, 0);
  assert.equal((await ended(['no-such-command'])).code, 2);
  assert.equal((await ended(['serve', '--no-such-option'])).code, 2);
});

test('a wrong configuration is refused with its place, by serve and check', async () => {
  const config = await file('wrong.toml', '[server]\nlisten = "127.0.0.1:0"\nlitsen = 1\n');
  for (const command of ['serve', 'check']) {
    const { code, text } = await ended([command, '--config', config]);
    assert.equal(code, 2);
    assert.match(text, /wrong\.toml:3:1: .*litsen/);
  }
});

test('a literal credential is refused and not repeated', async () => {
  const config = await file('literal.toml', '[[provider]]\nname = "a"\nkind = "openai"\napi_key = "sk-very-secret"\n');
  const { code, text } = await ended(['check', '--config', config]);
  assert.equal(code, 2);
  assert.ok(!text.includes('sk-very-secret'));
});

test('a backup without model is refused (T152)', async () => {
  const config = await file('backup.toml', both_kinds(mock, { extra:
    '[[route]]\nmodel = "x"\ntargets = [{ provider = "openai" }, { provider = "anthropic" }]\n' }));
  assert.equal((await ended(['check', '--config', config])).code, 2);
});

test('init writes a file that check accepts, and never overwrites one', async () => {
  const place = path.join(folder, 'fresh');
  assert.equal((await ended(['init', place])).code, 0);
  assert.match(await readFile(path.join(place, 'tidegate.toml'), 'utf8'), /^\[?#?.*server/m);
  assert.equal((await ended(['check', '--config', path.join(place, 'tidegate.toml')])).code, 0);
  assert.equal((await ended(['init', place])).code, 1);
});

test('off loopback without a client key is refused (SEC-1)', async () => {
  const config = await file('open.toml', '[server]\nlisten = "0.0.0.0:0"\n');
  assert.equal((await ended(['serve', '--config', config])).code, 2);
});

test('a port in use is an error, not a hang', async () => {
  const busy = http.createServer().listen(0, '127.0.0.1');
  await once(busy, 'listening');
  const { code } = await ended(['serve', '--mock', '--listen', `127.0.0.1:${busy.address().port}`, '--admin-listen', '127.0.0.1:0',
    '--data', path.join(folder, 'busy')]);
  busy.close();
  assert.equal(code, 1);
});

test('health, readiness and metrics', async (t) => {
  const gateway = await start(t);
  assert.equal((await fetch(`${gateway.url}/healthz`)).status, 200);
  assert.equal((await fetch(`${gateway.admin}/readyz`)).status, 200);
  assert.equal((await post(gateway, hello)).status, 200);
  const metrics = await (await fetch(`${gateway.admin}/metrics`)).text();
  for (const name of ['tidegate_exchanges_total', 'tidegate_attempts_total', 'tidegate_overhead_seconds_bucket',
    'tidegate_breaker_state', 'tidegate_build_info']) assert.match(metrics, new RegExp(`^${name}\\b`, 'm'));
  assert.equal((await fetch(`${gateway.url}/metrics`)).status, 404, 'not on the data listener');
  assert.equal((await fetch(`${gateway.url}/readyz`)).status, 404);
  assert.equal(await gateway.stop(), 0);
});

test('refusals: sizes, nonsense, too many in flight (SEC-4, GW-4, T127)', async (t) => {
  const gateway = await start(t, both_kinds(mock, { extra: '[server]\nmax_v1_body = "4KiB"\nmax_in_flight = 1\n' }));
  await mock.reset();
  assert.equal((await post(gateway, '{"model":')).status, 400);
  assert.equal((await post(gateway, { ...hello, user: 'x'.repeat(5000) })).status, 413);
  assert.equal((await post(gateway, { ...hello, model: 'nobody' })).status, 404);
  assert.equal((await mock.requests()).length, 0, 'a refusal makes no call');
  await ask.delay(mock, 600);
  const running = post(gateway, hello);
  await ask.arrived(mock, 1);
  const refused = await post(gateway, hello);
  assert.deepEqual([refused.status, refused.json.error.code], [503, 'SERVER_OVERLOADED']);
  assert.equal((await running).status, 200);
  assert.equal((await post(gateway, hello)).status, 200);
});

test('ambiguous framing is 400 and close, and nothing goes upstream (T142)', async (t) => {
  const gateway = await start(t);
  await mock.reset();
  const head = 'POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n';
  for (const [name, bytes] of Object.entries({
    'length and chunked': `${head}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    'two lengths': `${head}content-length: 5\r\ncontent-length: 6\r\n\r\nhello!`,
    'folded line': `${head}x-a: 1\r\n 2\r\ncontent-length: 0\r\n\r\n`,
    'bare LF in chunks': `${head}transfer-encoding: chunked\r\n\r\n2\n{}\n0\n\n`,
    'NUL in a value': `${head}x-a: a\0b\r\ncontent-length: 0\r\n\r\n`,
  })) assert.match(await raw(gateway, bytes), /^HTTP\/1\.1 400 /, name);
  assert.equal((await mock.requests()).length, 0);
});

test('the trace id of traceparent is the one answered and logged (T125)', async (t) => {
  const gateway = await start(t);
  const trace = '0af7651916cd43dd8448eb211c80319c';
  const { headers } = await post(gateway, hello, { traceparent: `00-${trace}-b7ad6b7169203331-01` });
  assert.equal(headers.get('x-tidegate-trace-id'), trace);
  await gateway.command.line((line) => line.traceId === trace);
});

test('SIGHUP: a good configuration takes effect, a bad one changes nothing', async (t) => {
  const gateway = await start(t);
  const target = '{ provider = "openai", model = "gpt-5.2" }';
  await writeFile(gateway.file, both_kinds(mock, { extra: `[[route]]\nmodel = "added"\ntargets = [${target}]\n` }));
  gateway.command.signal('SIGHUP');
  await gateway.command.event('reloaded');
  assert.equal((await post(gateway, { ...hello, model: 'added' })).status, 200);
  await writeFile(gateway.file, 'nonsense = 1\n');
  gateway.command.signal('SIGHUP');
  await gateway.command.event('reload_refused');
  assert.equal((await post(gateway, { ...hello, model: 'added' })).status, 200);
  assert.equal(await gateway.stop(), 0);
});

test('SIGTERM drains: a running exchange ends well, then exit 0 (NFR-3)', async (t) => {
  const gateway = await start(t);
  await mock.reset();
  await ask.delay(mock, 600);
  const running = post(gateway, hello);
  await ask.arrived(mock, 1);
  const stopped = gateway.stop();
  assert.equal((await running).status, 200);
  assert.equal(await stopped, 0);
});

test('no credential and no prompt is ever logged (SEC-3, T84)', async (t) => {
  const gateway = await start(t);
  await ask.status(mock, 500);
  await post(gateway, { ...hello, messages: [{ role: 'user', content: 'the purple walrus' }] }, { authorization: 'Bearer tg-caller' });
  await post(gateway, { ...hello, messages: [{ role: 'user', content: 'the purple walrus' }] });
  assert.equal(await gateway.stop(), 0);
  for (const secret of [...Object.values(credentials), 'tg-caller', 'purple walrus']) assert.ok(!gateway.command.text.includes(secret));
});
