// The generated TypeScript client: it compiles in strict mode, its types hold, and it reads replies, runs and pushes
// however the bytes come.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { root } from './kit/process.mjs';

const compiler = path.join(root, 'tests/e2e/node_modules/typescript/lib/tsc.js');
const strict = {
  strict: true, noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true, noImplicitOverride: true,
  noImplicitReturns: true, noFallthroughCasesInSwitch: true, noPropertyAccessFromIndexSignature: true,
  noUnusedLocals: true, noUnusedParameters: true, verbatimModuleSyntax: true, skipLibCheck: true, types: [],
};

let folder, tidegate;
before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'tidegate-client-'));
  assert.equal(await compile('built', {}, { noEmit: false }), '');
  tidegate = await import(pathToFileURL(path.join(folder, 'built/out/client.js')));
});
after(() => rm(folder, { recursive: true, force: true }));

// Compiles the client and other sources beside it; what the compiler says where it refuses.
async function compile(name, sources, options = {}) {
  const place = path.join(folder, name);
  await mkdir(place, { recursive: true });
  await writeFile(path.join(place, 'package.json'), '{"type":"module"}');
  await writeFile(path.join(place, 'client.ts'), await readFile(path.join(root, 'contract/client.ts')));
  for (const [file, text] of Object.entries(sources)) await writeFile(path.join(place, file), text);
  await writeFile(path.join(place, 'tsconfig.json'), JSON.stringify({
    compilerOptions: {
      target: 'es2022', module: 'nodenext', lib: ['es2023', 'dom', 'dom.iterable'], noEmit: true, outDir: 'out',
      ...strict, ...options,
    },
    files: ['client.ts', ...Object.keys(sources)],
  }));
  return promisify(execFile)(process.execPath, [compiler, '-p', place]).then(() => '', (error) => error.stdout);
}

test('the client compiles in strict mode for bundlers as for Node', { timeout: 120_000 }, async () => {
  assert.equal(await compile('bundler', {}, { module: 'esnext', moduleResolution: 'bundler', isolatedModules: true }), '');
});

test('its types hold', { timeout: 120_000 }, async () => {
  const good = `
import { createClient, TidegateError, type AiSkillRunReply, type ErrorCode, type PushEvent } from './client.js';
const client = createClient({ baseUrl: 'http://h', apiKey: 'tg-x' });
export async function use(): Promise<string> {
  const run: AiSkillRunReply = await client.call('ai:skill:run', { skillId: 's', input: 'i', mode: 'agent' });
  const { providers } = await client.call('ai:config:get', {});
  const first: boolean | undefined = providers[0]?.apiKeyConfigured;
  const code: ErrorCode = 'AI_RATE_LIMITED';
  const show = (push: PushEvent): string => {
    switch (push.event) {
      case 'skill:stream:chunk': return push.data.chunk;
      case 'skill:tool:use': return push.data.type === 'tool-use-failed' ? push.data.error.message : push.data.type;
      default: return push.id;
    }
  };
  const done = await client.runStream({ skillId: 's', input: 'i' }, { onPush: (push) => { show(push); } });
  for await (const push of client.subscribe({ project: 'p' })) show(push);
  return done.terminal + run.runId + String(first) + code + String(TidegateError.name);
}
`;
  const wrong = [
    "client.call('ai:skill:nope', {})", "client.call('ai:skill:run', { skillId: 's' })",
    "client.call('ai:chat:list', { projectId: 5 })", "client.call('ai:chat:list', { projectId: 'p', extra: 1 })",
    "client.call('ai:config:get', { extra: 1 })", "client.call('ai:skill:run', { skillId: 's', input: 'i', mode: 'x' })",
  ];
  // An expected error that does not come is an error.
  const text = `import { createClient } from './client.js';\nconst client = createClient({ baseUrl: 'http://h' });\n`
    + wrong.map((call) => `// @ts-expect-error\nawait ${call};\n`).join('');
  assert.equal(await compile('types', { 'good.ts': good, 'wrong.ts': text }), '', 'the calls that are wrong are refused');
});

// A server that answers each request by the next of `answers`.
async function serve(...answers) {
  const requests = [];
  const server = createServer((request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      requests.push({ method: request.method, url: request.url, headers: request.headers, body: Buffer.concat(parts).toString() });
      answers[Math.min(requests.length, answers.length) - 1](response, request);
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = tidegate.createClient({ baseUrl: `http://127.0.0.1:${server.address().port}/`, apiKey: 'tg-k' });
  return { client, requests, stop: () => { server.closeAllConnections(); server.close(); } };
}

const reply = (status, body) => (response) => {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
};

const push_text = (event, id, data, end = '\n') =>
  `event: ${event}${end}id: ${id}${end}data: ${JSON.stringify(data)}${end}${end}`;
const chunk = (seq, text) => ({ type: 'chunk', executionId: 'e', runId: 'e', traceId: 't', seq, chunk: text, ts: 1 });
const done = { type: 'done', executionId: 'e', runId: 'e', traceId: 't', terminal: 'completed', outputText: 'Grüße 😀', ts: 2 };

// A stream of these bytes, in parts of `size`, ended or cut off.
const stream = (text, { size = 1, cut = false, stay = false } = {}) => async (response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) {
    await new Promise((resolve) => response.write(bytes.subarray(at, at + size), resolve));
  }
  if (cut) response.destroy();
  else if (!stay) response.end();
};

test('a call sends the request and gives the data', async () => {
  const { client, requests, stop } = await serve(reply(200, { ok: true, data: { canceled: true }, meta: { requestId: 'r', ts: 1 } }));
  try {
    assert.deepEqual(await client.call('ai:skill:cancel', { executionId: 'e' }, { traceparent: '00-a-b-01' }), { canceled: true });
    const [{ method, url, headers, body }] = requests;
    assert.equal(`${method} ${url}`, 'POST /rpc/ai:skill:cancel');
    assert.equal(headers.authorization, 'Bearer tg-k');
    assert.equal(headers.traceparent, '00-a-b-01');
    assert.equal(body, '{"executionId":"e"}');
  } finally { stop(); }
});

test('a failed call throws all that the envelope says', async () => {
  const error = { code: 'AI_RATE_LIMITED', message: 'slow down', traceId: 't', details: { source: 'local' }, retryable: true, retryAfterMs: 70 };
  const { client, stop } = await serve(reply(429, { ok: false, error, meta: { requestId: 'r', ts: 1 } }));
  try {
    await assert.rejects(client.call('ai:models:list', {}), (thrown) => {
      assert.ok(thrown instanceof tidegate.TidegateError && thrown instanceof Error);
      const { name, ...own } = { ...thrown, message: thrown.message };
      assert.deepEqual(own, { ...error, status: 429, requestId: 'r' });
      return true;
    });
  } finally { stop(); }
});

test('an answer that is no envelope is told as such', async () => {
  for (const body of ['<html>', 'null', '{"ok":1}', '{"ok":false}', '{"ok":true}']) {
    const { client, stop } = await serve(reply(502, body));
    try {
      await assert.rejects(client.call('ai:models:list', {}), { code: 'CLIENT_NO_ENVELOPE', status: 502, retryable: true });
    } finally { stop(); }
  }
});

test('a run is read whatever the line ends and however its bytes are split', async () => {
  for (const end of ['\n', '\r\n', '\r']) {
    for (const size of [1, 2, 3, 7, 65_536]) {
      const text = `\ufeff: hello${end}${end}` + push_text('skill:stream:chunk', 'e:1:1', chunk(1, 'Grüße '), end)
        + push_text('some:later:push', 'x', {}, end)
        + push_text('skill:stream:chunk', 'e:1:2', chunk(2, '😀'), end) + push_text('skill:stream:done', 'e:1:3', done, end);
      const { client, requests, stop } = await serve(stream(text, { size }));
      try {
        const seen = [];
        assert.deepEqual(await client.runStream({ skillId: 's', input: 'i' }, { onPush: (push) => seen.push(push) }), done);
        assert.deepEqual(seen.map(({ event, id }) => `${event} ${id}`),
          ['skill:stream:chunk e:1:1', 'skill:stream:chunk e:1:2', 'skill:stream:done e:1:3']);
        assert.equal(seen[0].data.chunk + seen[1].data.chunk, 'Grüße 😀');
        assert.equal(requests[0].headers.accept, 'text/event-stream');
        assert.equal(JSON.parse(requests[0].body).stream, true);
      } finally { stop(); }
    }
  }
});

test('data of several lines is joined, and fields without a colon or unknown ones do no harm', () => {
  const reader = new tidegate.EventStreamReader();
  const read = (text) => reader.read(new TextEncoder().encode(text));
  assert.deepEqual(read('event: a\ndata: 1\ndata:2\ndata\nother: x\nretry: no\nid: 7\n\n'), [{ event: 'a', data: '1\n2\n', id: '7' }]);
  assert.deepEqual(read('id: 8\nevent: b\n\ndata: c'), []);
  assert.deepEqual(read('\r'), []);
  assert.deepEqual(read('\n\r\n'), [{ event: 'message', data: 'c', id: '8' }]);
});

test('a run refused before its stream throws the error', async () => {
  const { client, stop } = await serve(reply(404, { ok: false, error: { code: 'NOT_FOUND', message: 'no', retryable: false } }));
  try {
    await assert.rejects(client.runStream({ skillId: 's', input: 'i' }), { code: 'NOT_FOUND', status: 404 });
  } finally { stop(); }
});

test('a run whose stream ends early throws, and what came was seen', async () => {
  const { client, stop } = await serve(stream(push_text('skill:stream:chunk', 'e:1:1', chunk(1, 'a')), { size: 64 }));
  try {
    const seen = [];
    await assert.rejects(client.runStream({ skillId: 's', input: 'i' }, { onPush: (push) => seen.push(push.id) }),
      { code: 'CLIENT_CUT_OFF' });
    assert.deepEqual(seen, ['e:1:1']);
  } finally { stop(); }
});

test('a subscription comes back behind the last whole push', async () => {
  const first = `retry: 1\n\n${push_text('skill:stream:chunk', 'e:1:1', chunk(1, 'a'))}event: skill:stream:chunk\nid: e:1:2\ndata: {"cut`;
  const error = { code: 'SERVER_OVERLOADED', message: 'later', retryable: true, retryAfterMs: 5 };
  const { client, requests, stop } = await serve(
    stream(first, { size: 1000, cut: true }),
    reply(503, { ok: false, error }),
    stream(push_text('skill:stream:chunk', 'e:1:2', chunk(2, 'b')) + push_text('skill:stream:done', 'e:1:3', done), { size: 5 }));
  try {
    const seen = [];
    for await (const push of client.subscribe({ project: 'p q', executionId: 'e', lastEventId: 'e:0:9' })) {
      seen.push(push.id);
      if (push.event === 'skill:stream:done') break;
    }
    assert.deepEqual(seen, ['e:1:1', 'e:1:2', 'e:1:3']);
    assert.deepEqual(requests.map(({ headers }) => headers['last-event-id']), ['e:0:9', 'e:1:1', 'e:1:1']);
    assert.equal(requests[0].url, '/rpc/events?project=p+q&executionId=e');
  } finally { stop(); }
});

test('a subscription that is refused for good throws', async () => {
  const { client, stop } = await serve(reply(403, { ok: false, error: { code: 'FORBIDDEN', message: 'no', retryable: false } }));
  try {
    await assert.rejects(client.subscribe({ project: 'p' }).next(), { code: 'FORBIDDEN' });
  } finally { stop(); }
});

test('a subscription ends when its signal aborts', async () => {
  const { client, stop } = await serve(stream(push_text('skill:stream:chunk', 'e:1:1', chunk(1, 'a')), { size: 1000, stay: true }));
  try {
    const leave = new AbortController();
    let count = 0;
    for await (const push of client.subscribe({ signal: leave.signal })) {
      count += push.data.seq;
      leave.abort();
    }
    assert.equal(count, 1);
  } finally { stop(); }
});
