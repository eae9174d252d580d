// `tidegate chat` as a person meets it, in a terminal of its own (util-linux `script`), and as a pipe does.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { credentials, start_gateway, start_mock } from './kit/gateway.mjs';
import { binary, clean_environment, Process } from './kit/process.mjs';

const limit = { timeout: 60_000 };

function configuration(primary, backup, session = '') {
  const provider = (kind, { url }) => `
[[provider]]
name = "${kind}"
kind = "${kind}"
base_url = "${url}"
api_key = "env:E2E_${kind.toUpperCase()}_KEY"
`;
  const targets = [['openai', 'gpt-5.2'], ...(backup ? [['anthropic', 'claude-sonnet-4-5']] : [])];
  return `
[policy.default]
requests_per_minute = 0

[breaker]
failure_threshold = 1

[retry]
backoff = "5,10"

[session]
model = "assistant"
${session}
${provider('openai', primary)}${backup ? provider('anthropic', backup) : ''}
[[route]]
model = "assistant"
targets = [${targets.map(([name, model]) => `{ provider = "${name}", model = "${model}" }`).join(', ')}]
`;
}

async function start(t, { backup = false, session = '' } = {}) {
  const primary = await start_mock();
  t.after(() => primary.stop());
  const second = backup ? await start_mock() : undefined;
  t.after(() => second?.stop());
  const gateway = await start_gateway(configuration(primary, second, session), { environment: credentials });
  t.after(() => gateway.stop());
  return { primary, backup: second, gateway };
}

// Lines go in all at once; what comes out is told apart.
async function pipe(gateway, lines, args = [], environment = {}) {
  const child = spawn(binary, ['chat', ...(gateway ? ['--url', gateway.url] : []), ...args], { env: clean_environment(environment) });
  const result = { out: '', notes: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => { result.out += text; });
  child.stderr.setEncoding('utf8').on('data', (text) => { result.notes += text; });
  child.stdin.on('error', () => {});
  child.stdin.end(lines.map((line) => `${line}\n`).join(''));
  const timer = setTimeout(() => child.kill('SIGKILL'), 30_000);
  [result.code, result.signal] = await once(child, 'close');
  clearTimeout(timer);
  return result;
}

const ctrl_c = '\x03';
const ctrl_d = '\x04';

// A client on a terminal: `type` sends keys, `sees` waits until what came since the last sight matches.
function terminal(t, gateway, args = []) {
  const words = [binary, 'chat', '--url', gateway.url, ...args].map((word) => `'${word}'`).join(' ');
  // Without exec, Ctrl-C would end the shell between the two.
  const child = spawn('script', ['-qefc', `exec ${words}`, '/dev/null'], { env: clean_environment({ TERM: 'xterm', SHELL: '/bin/sh' }) });
  t.after(() => child.kill('SIGKILL'));
  let text = '';
  let seen = 0;
  const waiting = new Set();
  const poke = () => { for (const waiter of [...waiting]) waiter(); };
  child.stdout.setEncoding('utf8').on('data', (piece) => {
    text += piece;
    poke();
  });
  child.stdin.on('error', () => {});
  const ended = once(child, 'close').then(([code]) => code);
  return {
    type: (keys) => child.stdin.write(keys),
    text: () => text,
    ended,
    sees: (pattern, within = 15_000) => new Promise((resolve, reject) => {
      const finish = (act, value) => {
        clearTimeout(timer);
        waiting.delete(waiter);
        act(value);
      };
      const waiter = () => {
        const found = pattern.exec(text.slice(seen));
        if (!found) return;
        seen += found.index + found[0].length;
        finish(resolve, found);
      };
      const timer = setTimeout(() => finish(reject, new Error(`${pattern} is not seen in ${JSON.stringify(text.slice(seen))}`)), within);
      waiting.add(waiter);
      waiter();
    }),
  };
}

const prompt = /> (\x1b\[0m)?$/;

async function rpc(gateway, channel, body) {
  const reply = await fetch(`${gateway.url}/rpc/${channel}`, { method: 'POST', body: JSON.stringify(body),
    headers: { 'content-type': 'application/json' } });
  return (await reply.json()).data;
}

test('a pipe: one question a line, answers on standard output, all else beside it', limit, async (t) => {
  const { gateway, primary } = await start(t);
  await primary.behave([{ behavior: 'ok', text: 'The tide\x1b[2J tur\u009bns – 潮.', usage: { prompt: 2100, completion: 450 } }]);
  const first = await pipe(gateway, ['When?', '', 'And then?', '/history']);
  assert.equal(first.code, 0, first.notes);
  assert.match(first.out, /^The tide\[2J turns – 潮\.\nYou said: And then\?\n/);
  assert.match(first.notes, /Prompt: 2,100 \| Output: 450 \| Session: 2,550 tokens \| \$0\.01\n/);
  assert.match(first.out, /You\nWhen\?\nAnswer\nThe tide\[2J turns – 潮\.\nYou\nAnd then\?\nAnswer\nYou said: And then\?\n$/);
  assert.ok(!first.out.includes('\x1b') && !first.notes.includes('\x1b'));
  // The conversation is the gateway's: the next client goes on with it, another project has its own.
  const second = await pipe(gateway, ['More?']);
  assert.match(second.notes, /Going on with "When\?"/);
  assert.equal((await rpc(gateway, 'ai:chat:list', { projectId: 'chat' })).items.length, 6);
  const elsewhere = await pipe(gateway, ['/history'], ['--project', 'other']);
  assert.equal(elsewhere.out, '');
});

test('a pipe ends with 1 where its last question came to nothing, and says why', limit, async (t) => {
  const { gateway, primary } = await start(t);
  await primary.behave([{ behavior: 'status', status: 429, headers: { 'retry-after': '7' } }]);
  const refused = await pipe(gateway, ['Hello']);
  assert.equal(refused.code, 1);
  assert.equal(refused.out, '');
  assert.match(refused.notes, /AI_RATE_LIMITED: .+\nTrace [0-9a-f]{32}\nTrying again makes sense in [\d.]+ s\.\n/);
  // A question without an answer leaves no conversation behind.
  assert.deepEqual((await rpc(gateway, 'ai:chat:sessions', { projectId: 'chat' })).sessions, []);
  assert.equal((await pipe(gateway, [], ['--session', 'unknown'])).code, 1);
  const nobody = await pipe({ url: 'http://127.0.0.1:1' }, ['Hello']);
  assert.equal(nobody.code, 1);
  assert.match(nobody.notes, /no answer from the gateway at http:\/\/127\.0\.0\.1:1: connect/);
  assert.equal((await pipe({ url: 'ftp://x' }, [])).code, 2);
});

test('a server that is no gateway is told as such', limit, async (t) => {
  const server = http.createServer((_, reply) => reply.end('<html>hello</html>')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { code, notes } = await pipe({ url: `http://127.0.0.1:${server.address().port}` }, ['Hello']);
  assert.equal(code, 1);
  assert.match(notes, /IO_ERROR: .*not JSON/);
});

test('Ctrl-C ends the answer and not the program', limit, async (t) => {
  const { gateway, primary } = await start(t);
  const client = terminal(t, gateway);
  await client.sees(prompt);
  await primary.behave([{ behavior: 'ok', text: 'tide '.repeat(400), chunk_chars: 5, interval_ms: 30 }]);
  client.type('Go on and on\n');
  await client.sees(/tide tide/);
  client.type(ctrl_c);
  await client.sees(/Cancelled\./);
  await client.sees(prompt);
  assert.equal((await primary.state()).aborted, 1, 'the provider is no longer asked');
  client.type('Once more\n');
  await client.sees(/You said: Once more/);
  await client.sees(/Prompt: [\d,]+ \| Output: [\d,]+ \| Session: [\d,]+ tokens/);
  await client.sees(prompt);
  client.type(ctrl_c);
  await client.sees(/Ctrl-C again, Ctrl-D or \/quit leaves/);
  await client.sees(prompt);
  client.type(ctrl_c);
  assert.equal(await client.ended, 0);
});

test('Ctrl-D and /quit leave with 0', limit, async (t) => {
  const { gateway } = await start(t);
  for (const keys of [ctrl_d, '/quit\n']) {
    const client = terminal(t, gateway, ['--no-color']);
    await client.sees(/\/help shows/);
    await client.sees(prompt);
    client.type(keys);
    assert.equal(await client.ended, 0);
    assert.ok(!client.text().includes('\x1b['), 'without colours');
  }
});

test('whoever waits sees the place in the queue', limit, async (t) => {
  const { gateway, primary } = await start(t);
  await pipe(gateway, ['Begin']);
  await primary.behave([{ behavior: 'ok', text: 'slow '.repeat(400), chunk_chars: 5, interval_ms: 30 }]);
  const first = terminal(t, gateway);
  await first.sees(prompt);
  first.type('One\n');
  await first.sees(/slow slow/);
  const second = terminal(t, gateway);
  await second.sees(prompt);
  second.type('Two\n');
  await second.sees(/Waiting: position 1 of 1/);
  first.type(ctrl_c);
  await first.sees(/Cancelled\./);
  await second.sees(/You said: Two/);
  // Waiting is cancelled as well.
  await primary.behave([{ behavior: 'ok', text: 'slow '.repeat(400), chunk_chars: 5, interval_ms: 30 }]);
  first.type('Three\n');
  await first.sees(/slow slow/);
  second.type('Four\n');
  await second.sees(/Waiting: position 1 of 1/);
  second.type(ctrl_c);
  await second.sees(/Cancelled\./);
});

test('a failover is told', limit, async (t) => {
  const { gateway, primary } = await start(t, { backup: true });
  await primary.behave({ default: { behavior: 'status', status: 503 } });
  const { code, out, notes } = await pipe(gateway, ['Hello']);
  assert.equal(code, 0, notes);
  assert.equal(out, 'You said: Hello\n');
  assert.match(notes, /Failover: openai -> anthropic \(primary unavailable\)/);
});

test('candidates are numbered, chosen from, and the choice is what the model goes on from', limit, async (t) => {
  const { gateway, primary } = await start(t);
  await primary.behave([{ behavior: 'ok', text: 'the red one' }, { behavior: 'ok', text: 'the blue one' }]);
  const client = terminal(t, gateway, ['--candidates', '2']);
  await client.sees(prompt);
  client.type('Which?\n');
  await client.sees(/\[1\][^]*the (red|blue) one[^]*\[2\][^]*the (red|blue) one[^]*Session: [\d,]+ tokens/);
  await client.sees(/Go on with which, 1-2 \[1\]\?/);
  client.type('7\n');
  await client.sees(/Go on with which, 1-2 \[1\]\?/);
  client.type('2\n');
  await client.sees(/Going on with \[2\]\./);
  const taken = /\[2\][^]*?the (red|blue) one/.exec(client.text())[1];
  await client.sees(prompt);
  await primary.reset();
  client.type('/candidates 1\n');
  await client.sees(/Candidates: 1/);
  client.type('Why?\n');
  await client.sees(/You said: Why\?/);
  const [{ body }] = await primary.requests();
  assert.match(JSON.stringify(body), new RegExp(`took another answer[^"]*the ${taken} one`));
  client.type(ctrl_d);
  assert.equal(await client.ended, 0);
});

test('Ctrl-C leaves several answers as well as one', limit, async (t) => {
  const { gateway, primary } = await start(t);
  const client = terminal(t, gateway, ['--candidates', '2']);
  await client.sees(prompt);
  await primary.behave({ default: { behavior: 'hang' } });
  client.type('Which?\n');
  await client.sees(/Asking for 2 answers/);
  while ((await primary.state()).active < 2) await new Promise(setImmediate);
  client.type(ctrl_c);
  await client.sees(/Cancelled\./);
  await client.sees(prompt);
  while ((await primary.state()).active > 0) await new Promise(setImmediate);
  client.type(ctrl_d);
  assert.equal(await client.ended, 0);
});

test('a client key is asked for, and taken from the environment', limit, async (t) => {
  const { gateway } = await start(t);
  const maker = new Process(['key', 'create', '--name', 'talker', '--project', 'mine', '--json', '--config', gateway.file,
    '--data', path.join(gateway.folder, 'data')]);
  await maker.ended;
  const key = /tg-[\w-]+/.exec(maker.text)[0];
  const without = await pipe(gateway, ['Hello']);
  assert.equal(without.code, 1);
  assert.match(without.notes, /AI_AUTH_FAILED: .*\n(Trace .*\n)?Give a client key with --key or TIDEGATE_KEY\./);
  const elsewhere = await pipe(gateway, ['Hello'], [], { TIDEGATE_KEY: key });
  assert.match(elsewhere.notes, /FORBIDDEN: .*\n(Trace .*\n)?Name a project that this key may use: --project/);
  const asked = await pipe(gateway, ['Hello'], ['--project', 'mine'], { TIDEGATE_KEY: key });
  assert.equal(asked.code, 0, asked.notes);
  assert.equal(asked.out, 'You said: Hello\n');
  assert.ok(!asked.notes.includes(key));
});

test('without --url it goes where the configuration has the gateway listen', limit, async (t) => {
  const { gateway } = await start(t);
  const folder = await mkdtemp(path.join(os.tmpdir(), 'tidegate-chat-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'tidegate.toml');
  await writeFile(file, `[server]\nlisten = "0.0.0.0:${new URL(gateway.url).port}"\n`);
  const found = await pipe(undefined, ['Hello'], ['--config', file]);
  assert.equal(found.out, 'You said: Hello\n', found.notes);
  await writeFile(file, '[server]\nlisten = "unix:/nowhere"\n');
  assert.equal((await pipe(undefined, [], ['--config', file])).code, 2);
});

test('a full conversation says how to go on, and /archive does', limit, async (t) => {
  const { gateway } = await start(t, { session: 'chat_capacity = 2' });
  const full = await pipe(gateway, ['One', 'Two']);
  assert.equal(full.code, 1);
  assert.match(full.notes, /CONFLICT: /);
  assert.match(full.notes, /\/archive closes it and begins the next, \/new begins one beside it/);
  const next = await pipe(gateway, ['/archive', 'Three']);
  assert.equal(next.code, 0, next.notes);
  assert.equal(next.out, 'You said: Three\n');
  const beside = await pipe(gateway, ['/new', 'Four']);
  assert.equal(beside.code, 0, beside.notes);
  const { sessions } = await rpc(gateway, 'ai:chat:sessions', { projectId: 'chat' });
  assert.deepEqual(sessions.map((row) => [row.title, row.archived]).sort(), [['Four', false], ['One', true], ['Three', false]]);
});
