// B10: two hundred tries to make the gateway call somebody else: by what providers answer, by what callers send, by base URLs
// that are not what they seem (RET-5, CFG-3, SEC-4). A trap listens where they point, and nobody comes.
import assert from 'node:assert/strict';
import net from 'node:net';
import { once } from 'node:events';
import { after, before, beforeEach, test } from 'node:test';
import { both_kinds, credentials, start_mock } from './kit/gateway.mjs';
import { Place, run } from './kit/place.mjs';
import { call, each, paths } from './kit/wire.mjs';

let mock, gateway, trap, good;
let trapped = 0, tries = 0;
const servers = [], ended = [];
before(async () => {
  mock = await start_mock();
  good = mock.address;
  for (const host of ['127.0.0.1', '::1']) {
    const server = net.createServer((socket) => {
      trapped += 1;
      socket.destroy();
    });
    server.listen(servers[0]?.address().port ?? 0, host);
    // Not every machine has IPv6.
    if (await Promise.race([once(server, 'listening').then(() => true), once(server, 'error').then(() => false)])) servers.push(server);
  }
  trap = `127.0.0.1:${servers[0].address().port}`;
  const place = await Place.make({ after: (act) => ended.push(act) }, both_kinds(mock), credentials);
  gateway = await place.start();
});
after(async () => {
  for (const act of ended) await act();
  for (const server of servers) server.close();
  await mock.stop();
  console.log(`hostile: ${tries} tries, ${trapped} connections to the trap`);
  assert.ok(tries >= 200, `${tries} tries`);
  assert.equal(trapped, 0);
});
beforeEach(() => mock.reset());

const chat = { model: 'on-openai', max_tokens: 32, messages: [{ role: 'user', content: 'Hello' }] };
// What arrived, arrived at the configured origin under its own name.
async function check_hosts() {
  for (const { headers } of await mock.requests()) {
    assert.equal(headers.find(([name]) => name.toLowerCase() === 'host')[1], good);
  }
  assert.equal(trapped, 0);
}

test('a redirect is not followed and not passed on, wherever it points (RET-5, T134)', async () => {
  const port = trap.split(':')[1];
  const locations = [`http://${trap}/v1/chat/completions`, `//${trap}/x`, `http://${good}@${trap}/`, `HTTP://${trap}`, `http:/${trap}`,
    `\\\\${trap}\\x`, `http://localhost:${port}/`, `http://${good}#@${trap}/`, `javascript:fetch('http://${trap}')`, ` http://${trap}/`];
  for (const status of [300, 301, 302, 303, 305, 307, 308]) {
    for (const location of locations) {
      await mock.behave({ steps: [{ behavior: 'status', status, headers: { location, refresh: `0; url=http://${trap}/` }, body: '{}' }] });
      const reply = await call(gateway.url, tries % 2 ? paths.chat : paths.messages, { ...chat, stream: tries % 3 === 0 });
      assert.equal(reply.status, 502, `${status} ${location}: ${reply.text}`);
      assert.equal(reply.json.error.code ?? reply.json.code, 'LLM_API_ERROR');
      assert.equal(reply.headers.location, undefined);
      tries += 1;
    }
  }
  await check_hosts();
});

test('invitations in a good reply are not taken up', async () => {
  const body = { id: 'x', object: 'chat.completion', model: 'gpt-5.2', choices: [{ index: 0, message: { role: 'assistant', content: 'hi' }, finish_reason: 'stop' }] };
  for (const headers of [{ location: `http://${trap}/` }, { 'alt-svc': `h2="${trap}"` }, { link: `<http://${trap}/>; rel=preload` },
    { 'content-location': `http://${trap}/` }, { refresh: `0; url=http://${trap}/` }]) {
    await mock.behave({ steps: [{ behavior: 'status', status: 200, headers, body }] });
    assert.equal((await call(gateway.url, paths.chat, chat)).status, 200);
    assert.equal((await call(gateway.url, paths.chat, chat)).status, 200);
    tries += 1;
  }
  await check_hosts();
});

async function raw(head) {
  const body = JSON.stringify(chat);
  const socket = net.connect(gateway.port, '127.0.0.1');
  let seen = '';
  socket.on('error', () => {});
  socket.on('data', (piece) => { seen += piece; });
  socket.write(`${head}content-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`);
  await once(socket, 'close');
  tries += 1;
  return seen;
}

test('callers cannot name the host: not in headers, not in the target', async () => {
  const names = ['host', 'x-forwarded-host', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-server', 'forwarded', 'x-real-ip', 'x-host',
    'x-http-host-override', 'x-original-url', 'x-rewrite-url', 'origin-url', 'x-tidegate-base-url', 'x-tidegate-provider', 'x-upstream',
    'via', 'referer', 'openai-base-url', 'destination'];
  for (const name of names) {
    for (const value of [trap, `http://${trap}/`, `${good}@${trap}`]) {
      const own = name === 'host' ? `host: ${value}\r\n` : `host: x\r\n${name}: ${value}\r\n`;
      assert.match(await raw(`POST ${paths.chat} HTTP/1.1\r\n${own}`), /^HTTP\/1\.1 (200|400) /, name);
    }
  }
  const targets = [`http://${trap}${paths.chat}`, `http://${good}@${trap}${paths.chat}`, `//${trap}${paths.chat}`, `/v1/../../${trap}/`,
    `/${trap}${paths.chat}`, `${paths.chat}?base_url=http://${trap}`, `/v1/models/..%2f..%2f${trap}`, `${paths.chat}#http://${trap}`,
    `${paths.chat}@${trap}`, `/v1/models/http://${trap}/`];
  for (const target of targets) {
    for (const method of ['POST', 'GET']) await raw(`${method} ${target} HTTP/1.1\r\nhost: ${trap}\r\n`);
  }
  assert.doesNotMatch(await raw(`CONNECT ${trap} HTTP/1.1\r\nhost: ${trap}\r\n`), /^HTTP\/1\.1 2/);
  await check_hosts();
});

test('bodies that name a host: nothing in them is fetched', async () => {
  const image = [{ role: 'user', content: [{ type: 'image_url', image_url: { url: `http://${trap}/cat.png` } }] }];
  const file = [{ role: 'user', content: [{ type: 'file', file: { file_data: `http://${trap}/cat.pdf` } }] }];
  for (const more of [{ base_url: `http://${trap}` }, { api_base: `http://${trap}` }, { model: `http://${trap}/gpt-5.2` }, { model: `${trap}/gpt-5.2` },
    { provider: { url: `http://${trap}` } }, { webhook: `http://${trap}` }, { messages: image }, { model: 'on-anthropic', messages: image },
    { messages: file }, { model: 'on-anthropic', messages: file }]) {
    await call(gateway.url, paths.chat, { ...chat, ...more });
    tries += 1;
  }
  await check_hosts();
});

test('base URLs that are not what they seem are refused when read, or taken for what they say (CFG-3)', { timeout: 120_000 }, async (t) => {
  const port = trap.split(':')[1];
  const bases = [`http://${good}@${trap}/`, `http://user:pass@${trap}`, `http://${good}#@${trap}`, `http://${good}?@${trap}`,
    `http://${good}\\\\@${trap}`, `http://${good}/@${trap}/`, `http://${good}//${trap}/`, `http://${good}/..//${trap}`,
    `http://${good}/%2f%2f${trap}/`, `http://${good};@${trap}`, `ftp://${trap}`, 'file:///etc/passwd', `javascript:http://${trap}`, `//${trap}`,
    trap, `http:${trap}`, `http:/${trap}`, `http:///${trap}`, 'http://', `http://${good} ${trap}`, `http://${good}\\t@${trap}`,
    `http://${good}\\r\\nhost: ${trap}`, `http://${good}\\u0000.${trap}`, `http://${good}%00@${trap}`, `http://${good}%40${trap}`,
    `http://${good}:${port}`, `http://[${trap}]`, 'http://127.0.0.1:99999', 'http://127.0.0.1:-1', `http://127.0.0.1:0x${Number(port).toString(16)}`,
    `http://127.0.0.1: ${port}`, `gopher://${trap}/_POST`, `unix:${trap}`, `http://${good}/v1/chat/completions?x=http://${trap}`,
    `http://${good}/#`, `ws://${trap}`, `http+unix://${trap}`, `http://${good},${trap}`];
  const accepted = [];
  await each(bases, 4, async (base) => {
    const place = await Place.make(t, `[[provider]]\nname = "p"\nkind = "openai-compatible"\nbase_url = "${base}"\n` +
      '[[route]]\nmodel = "m"\ntargets = [{ provider = "p", model = "x" }]\n');
    const { code } = await run(['check', '--config', place.file], { cwd: place.folder });
    assert.ok(code === 0 || code === 2, `${base}: ${code}`);
    if (code === 0) accepted.push(place);
    tries += 1;
  });
  for (const place of accepted) {
    const other = await place.start();
    await call(other.url, paths.chat, { ...chat, model: 'm' }, { 'x-tidegate-timeout-ms': '2000' });
    await call(other.url, '/v1/models');
    await other.command.stop();
  }
  console.log(`base URLs: ${accepted.length}/${bases.length} accepted`);
  await check_hosts();
});
