// The generated client against a running gateway: what is said there is what the schemas say.
import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import Ajv from '@redocly/ajv/dist/2020.js';
import { both_kinds, credentials, start_gateway, start_mock } from './kit/gateway.mjs';
import { root } from './kit/process.mjs';

let folder, mock, gateway, client;
before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'tidegate-live-'));
  // Node takes the types off by itself; contract_client.test.mjs compiles them.
  await cp(path.join(root, 'contract/client.ts'), path.join(folder, 'client.mts'));
  mock = await start_mock();
  gateway = await start_gateway(both_kinds(mock, { extra: '[session]\nmodel = "on-openai"\n' }), { environment: credentials });
  const { createClient } = await import(pathToFileURL(path.join(folder, 'client.mts')));
  client = createClient({ baseUrl: gateway.url });
});
after(async () => {
  await gateway?.stop();
  await mock?.stop();
  await rm(folder, { recursive: true, force: true });
});

const ajv = new Ajv.default({ formats: { int64: true } });
const title = (name, kind) => name.split(':').map((part) => part[0].toUpperCase() + part.slice(1)).join('') + kind;
async function fits(name, value) {
  const schema = ajv.getSchema(name)
    ?? ajv.addSchema(JSON.parse(await readFile(path.join(root, `contract/schemas/${name}.json`), 'utf8')), name).getSchema(name);
  assert.ok(schema(value), `${name}: ${JSON.stringify(schema.errors)} ${JSON.stringify(value).slice(0, 1000)}`);
}

async function call(channel, request) {
  await fits(title(channel, 'Request'), request);
  const data = await client.call(channel, request);
  await fits(title(channel, 'Reply'), data);
  return data;
}

test('replies of the channels are what their schemas say', async () => {
  const { sessionId } = await call('ai:chat:send', { message: 'hello', projectId: 'p' });
  assert.equal((await call('ai:chat:list', { projectId: 'p' })).items.length, 1);
  assert.equal((await call('ai:chat:sessions', { projectId: 'p', query: 'hel' })).sessions[0].sessionId, sessionId);
  await call('ai:chat:clear', { projectId: 'p' });
  await call('ai:chatsession:archive', { projectId: 'p', sessionId });
  await call('ai:chatsession:delete', { projectId: 'p', sessionId });
  await call('ai:config:get', {});
  await call('ai:config:test', { provider: 'openai' });
  await call('ai:config:update', { provider: 'anthropic', enabled: true });
  assert.ok((await call('ai:models:list', {})).items.length > 0);
  await call('ai:skill:cancel', { executionId: 'unknown' });
  await call('judge:model:getstate', {});
  await call('judge:quality:evaluate', { projectId: 'p', traceId: 't', text: 'A text. A text.', contextSummary: 'none' });
  await call('cost:usage:list', { limit: 5 });
  await call('cost:usage:summary', {});
  const guard = await call('cost:budget:get', {});
  assert.deepEqual(await call('cost:budget:update', { policy: guard }), guard);
  await call('cost:budget:reset', { scope: 'key', id: 'local' });
  const table = await call('cost:pricing:get', {});
  assert.ok(Object.keys(table.prices).length > 0);
  const { items } = await call('skill:registry:list', { includeDisabled: true });
  await call('skill:registry:read', { id: items[0].id });
  await call('skill:registry:toggle', { id: items[0].id, enabled: true });
});

test('a run, streamed and not, and its pushes are what their schemas say', { timeout: 30_000 }, async () => {
  const leave = new AbortController();
  const heard = [];
  const listening = (async () => {
    for await (const push of client.subscribe({ project: 'p', signal: leave.signal })) {
      heard.push(push);
      if (push.event === 'skill:queue:status' && push.data.status === 'completed') leave.abort();
    }
  })();
  const run = { skillId: 'builtin:polish', input: 'Make this text shine.', context: { projectId: 'p' } };
  const own = [];
  const done = await client.runStream(run, { onPush: (push) => own.push(push) });
  assert.equal(done.terminal, 'completed', JSON.stringify(done));
  assert.equal(own.filter(({ event }) => event === 'skill:stream:chunk').map(({ data }) => data.chunk).join(''), done.outputText);
  assert.ok(own.length >= 3);
  const reply = await call('ai:skill:run', run);
  assert.ok(reply.outputText.length > 0 && reply.usage.promptTokens > 0);
  await call('ai:skill:feedback', { runId: reply.runId, action: 'accept', evidenceRef: 'e' });
  await listening;
  assert.ok(heard.length > 0);
  for (const { event, data, id } of [...own, ...heard]) {
    await fits(title(event, 'Push'), data);
    assert.match(id, /^[^:]+:\d+:\d+$/);
  }
});

test('an error is what its schema says', async () => {
  await assert.rejects(client.call('ai:skill:run', { skillId: 'builtin:nope', input: 'x' }), { code: 'NOT_FOUND', status: 404, retryable: false });
  const response = await fetch(`${gateway.url}/rpc/ai:skill:feedback`, { method: 'POST', body: '{"runId":"r","action":"accept","evidenceRef":""}' });
  await fits('ErrorEnvelope', await response.json());
});
