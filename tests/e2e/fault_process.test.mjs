// The process dies or its callers do: what is left must be whole.
import assert from 'node:assert/strict';
import net from 'node:net';
import path from 'node:path';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import * as ask from './kit/ask.mjs';
import { both_kinds, credentials, start_gateway, start_mock } from './kit/gateway.mjs';
import { Process } from './kit/process.mjs';

let mock, gateway;
before(async () => {
  mock = await start_mock();
  gateway = await start_gateway(both_kinds(mock), { environment: credentials });
});
after(async () => {
  await gateway.stop();
  await mock.stop();
});
const post = (where, body) => fetch(`${where}/v1/chat/completions`, { method: 'POST',
  headers: { 'content-type': 'application/json' }, body: JSON.stringify({ model: 'on-openai', ...body }) });
const messages = [{ role: 'user', content: 'Hello' }];

test('a second serve on the same folder is refused, the first goes on', async () => {
  const second = new Process(['serve', '--config', gateway.file, '--listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0',
    '--data', path.join(gateway.folder, 'data')], { environment: credentials });
  assert.equal((await second.ended).code, 1);
  assert.equal((await post(gateway.url, { messages })).status, 200);
});

test('kill -9: the next start on the same folder serves', async () => {
  const first = await start_gateway(both_kinds(mock), { environment: credentials });
  assert.equal((await post(first.url, { messages })).status, 200);
  first.command.signal('SIGKILL');
  await first.command.ended;
  const next = new Process(['serve', '--config', first.file, '--listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0',
    '--data', path.join(first.folder, 'data')], { environment: credentials });
  const { data } = await next.event('listening');
  assert.equal((await post(`http://${data}`, { messages })).status, 200);
  assert.equal(await next.stop(), 0);
  await first.stop();
});

// Every caller vanishes in the middle of a stream; the gateway must notice each, close upstream, and hold nothing (T129).
test('a hundred callers reset their connections mid-stream', { timeout: 60_000 }, async () => {
  await mock.reset();
  await ask.stall(mock, 6, 100);
  const before = (await mock.state()).aborted;
  const body = JSON.stringify({ model: 'on-openai', stream: true, messages });
  await Promise.all(Array.from({ length: 100 }, async () => {
    const socket = net.connect(Number(new URL(gateway.url).port), '127.0.0.1');
    socket.on('error', () => {});
    socket.write(`POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    let seen = '';
    while (!seen.includes('"content":"')) seen += (await once(socket, 'data'))[0];
    socket.resetAndDestroy();
  }));
  await ask.until('a hundred aborts', async () => (await mock.state()).aborted >= before + 100);
  await ask.until('no open stream', async () =>
    /^tidegate_open_streams 0$/m.test(await (await fetch(`${gateway.admin}/metrics`)).text()));
  const providers = await (await fetch(`${gateway.admin}/admin/v1/providers`)).json();
  assert.equal(providers.inFlight, 0);
  for (const provider of providers.providers) assert.equal(provider.consecutiveFailures, 0, 'leaving is never the provider\'s fault');
  await mock.reset();
  assert.equal((await post(gateway.url, { messages })).status, 200);
});
