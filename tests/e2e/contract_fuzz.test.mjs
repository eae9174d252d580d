// C6: random requests, made from the published schemas and broken at random, to every channel of a running gateway: each
// is answered in an envelope, none with a failure of the gateway's own. TIDEGATE_FUZZ_SECONDS says for how long.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { both_kinds, credentials, start_gateway, start_mock } from './kit/gateway.mjs';
import { root } from './kit/process.mjs';

const api = JSON.parse(await readFile(path.join(root, 'contract/openapi.json'), 'utf8'));
const channels = Object.keys(api.paths).filter((where) => where !== '/rpc/events').map((where) => where.slice('/rpc/'.length));
const resolve = (schema) => (schema.$ref ? api.components.schemas[schema.$ref.split('/').at(-1)] : schema);
const request_of = (channel) => resolve(api.paths[`/rpc/${channel}`].post.requestBody.content['application/json'].schema);
const seconds = Number(process.env.TIDEGATE_FUZZ_SECONDS ?? 5);
const seed = Number(process.env.TIDEGATE_FUZZ_SEED ?? Date.now() % 1e9);

let mock, gateway;
before(async () => {
  mock = await start_mock();
  gateway = await start_gateway(both_kinds(mock, { policy: 'session_token_budget = 0' }), { environment: credentials });
});
after(async () => {
  await gateway?.stop();
  await mock?.stop();
});

// mulberry32: the same seed, the same requests.
function random_of(start) {
  let state = start >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return { chance: (share) => next() < share, below: (n) => Math.floor(next() * n), pick: (list) => list[Math.floor(next() * list.length)] };
}

const words = ['', ' ', 'builtin:polish', 'builtin:chat', 'on-openai', 'on-anthropic', 'p', 's', '你好。你好。', '\u0000', 'x'.repeat(300), '../../etc/passwd',
  "'; DROP TABLE chat_message; --", '\ud83d', '{"a":1}', 'a\r\nb', '2026-11-23', '‮', '0'];
const numbers = [0, 1, -1, 3, 5, 1.5, 4096, 4097, 1e15, -1e15, 1e308, 2 ** 53];

// A value of the schema, or now and then something else.
function made(given, r, depth = 0) {
  const schema = resolve(given);
  if (r.chance(0.02)) return r.pick([null, [], {}, 'text', 7, true, [[[[[]]]]], { unknown: 1 }]);
  if (schema.enum) return r.chance(0.9) ? r.pick(schema.enum) : r.pick(words);
  switch (schema.type) {
    case 'object': {
      if (!schema.properties) return r.chance(0.5) ? {} : { [r.pick(words)]: r.pick(words) };
      const needed = new Set(schema.required ?? []);
      const out = {};
      for (const [name, part] of Object.entries(schema.properties)) {
        // What another test is about: providers are not moved away under this one.
        if (name === 'baseUrl' || name === 'timeoutMs') continue;
        if (needed.has(name) ? r.chance(0.98) : r.chance(0.4)) out[name] = made(part, r, depth + 1);
      }
      if (r.chance(0.02)) out[r.pick(words) || 'unknown'] = r.pick(numbers);
      return out;
    }
    case 'array': return Array.from({ length: r.pick([0, 1, 2, 5]) }, () => made(schema.items, r, depth + 1));
    case 'integer': return r.chance(0.9) ? Math.trunc(r.pick(numbers)) : r.pick(numbers);
    case 'number': return r.pick(numbers);
    case 'boolean': return r.chance(0.5);
    default: return r.pick(words);
  }
}

function body_of(channel, r) {
  const text = JSON.stringify(made(request_of(channel), r));
  if (r.chance(0.9)) return text;
  const at = r.below(text.length + 1);
  return r.pick([() => text.slice(0, at), () => text.slice(0, at) + r.pick(['"', '}', ']', 'NaN', '\u0001', '\\u12']) + text.slice(at),
    () => '['.repeat(200), () => text + text, () => ''])();
}

function post(channel, body, agent) {
  return new Promise((resolve, reject) => {
    const request = http.request(`${gateway.url}/rpc/${channel}`, { method: 'POST', agent, headers: { 'content-type': 'application/json' } }, (reply) => {
      let text = '';
      reply.setEncoding('utf8');
      reply.on('data', (part) => { text += part; });
      reply.on('end', () => resolve({ status: reply.statusCode, text }));
    });
    request.on('error', reject);
    request.end(body);
  });
}

test(`random requests to all ${channels.length} channels for ${seconds} s are answered, none with a fault of the gateway's own`,
  { timeout: (seconds + 60) * 1000 }, async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
    const until = performance.now() + seconds * 1000;
    const counts = {};
    let sent = 0;
    const worker = async (number) => {
      const r = random_of(seed + number);
      while (performance.now() < until) {
        const channel = r.pick(channels);
        const body = body_of(channel, r);
        const { status, text } = await post(channel, body, agent);
        const told = `seed ${seed}: ${channel} ${body.slice(0, 2000)} -> ${status} ${text.slice(0, 500)}`;
        const reply = JSON.parse(text);
        assert.equal(typeof reply.ok, 'boolean', told);
        assert.ok(reply.ok === (status === 200), told);
        const code = reply.ok ? 'OK' : reply.error.code;
        // A skill that the run before has switched off is the caller's affair.
        assert.ok(status < 500 || code === 'UNSUPPORTED', told);
        counts[code] = (counts[code] ?? 0) + 1;
        sent += 1;
      }
    };
    await Promise.all(Array.from({ length: 8 }, (_, number) => worker(number)));
    agent.destroy();
    console.log(`schema fuzz, seed ${seed}: ${sent} requests in ${seconds} s: ${JSON.stringify(counts)}`);
    assert.ok(sent > channels.length);
    const health = await fetch(`${gateway.url}/healthz`);
    assert.equal(health.status, 200);
  });
