// C6: every channel of a running gateway refuses every malformed request by the right code, names the place, and runs
// nothing. What is malformed is derived from the published schemas.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import Ajv from '@redocly/ajv/dist/2020.js';
import { both_kinds, credentials, start_gateway, start_mock } from './kit/gateway.mjs';
import { root } from './kit/process.mjs';

const read = async (file) => JSON.parse(await readFile(path.join(root, 'contract', file), 'utf8'));
const api = await read('openapi.json');
const channels = Object.keys(api.paths).filter((where) => where !== '/rpc/events').map((where) => where.slice('/rpc/'.length));
const resolve = (schema) => (schema.$ref ? api.components.schemas[schema.$ref.split('/').at(-1)] : schema);
const request_of = (channel) => resolve(api.paths[`/rpc/${channel}`].post.requestBody.content['application/json'].schema);
const is_error = new Ajv.default({ formats: { int64: true } }).compile(await read('schemas/ErrorEnvelope.json'));

let mock, gateway;
before(async () => {
  mock = await start_mock();
  gateway = await start_gateway(both_kinds(mock), { environment: credentials });
});
after(async () => {
  await gateway?.stop();
  await mock?.stop();
});

// A value of the schema with all its members.
function sample(given) {
  const schema = resolve(given);
  if (schema.enum) return schema.enum[0];
  if (schema.const !== undefined) return schema.const;
  switch (schema.type) {
    case 'object':
      if (schema.properties) return Object.fromEntries(Object.entries(schema.properties).map(([name, part]) => [name, sample(part)]));
      return schema.additionalProperties === true ? { free: [null] } : { one: sample(schema.additionalProperties) };
    case 'array': return [sample(schema.items)];
    case 'integer': return 1;
    case 'number': return 0.5;
    case 'boolean': return true;
    default: return 'text';
  }
}

// Every faulty request: what is wrong, the body, the path that must be told.
function* faults(given, whole, place = []) {
  const schema = resolve(given);
  const at = place.reduce((text, step) => (typeof step === 'number' ? `${text}[${step}]` : text ? `${text}.${step}` : step), '') || '$';
  const changed = (change) => {
    const copy = structuredClone({ whole });
    const holder = ['whole', ...place].slice(0, -1).reduce((value, step) => value[step], copy);
    change(holder, place.at(-1) ?? 'whole');
    return copy.whole;
  };
  const replaced = (value) => changed((holder, step) => { holder[step] = value; });
  yield ['wrong type', replaced(schema.type === 'array' ? {} : []), at];
  yield ['null', replaced(null), at];
  if (schema.enum) yield ['unknown word', replaced('no such word'), at];
  if (schema.maxLength) yield ['oversize', replaced('x'.repeat(schema.maxLength + 1)), at];
  if (schema.maxItems) yield ['oversize', changed((holder, step) => { holder[step] = Array(schema.maxItems + 1).fill(holder[step][0]); }), at];
  if (schema.type === 'number' || schema.type === 'integer') {
    for (const text of ['NaN', 'Infinity', '1e999']) {
      yield [text, JSON.stringify(replaced('@number')).replace('"@number"', text), at];
    }
  }
  if (schema.type === 'array') yield* faults(schema.items, whole, [...place, 0]);
  if (schema.type !== 'object' || !schema.properties) return;
  const inside = (name) => (at === '$' ? name : `${at}.${name}`);
  yield ['unknown field', changed((holder, step) => { holder[step].extra = 1; }), inside('extra')];
  for (const name of schema.required ?? []) {
    yield ['missing field', changed((holder, step) => { delete holder[step][name]; }), inside(name)];
  }
  for (const [name, part] of Object.entries(schema.properties)) yield* faults(part, whole, [...place, name]);
}

async function ask(channel, body) {
  const response = await fetch(`${gateway.url}/rpc/${channel}`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: response.status, envelope: await response.json() };
}

async function refused(channel, what, body, status, code) {
  const { status: got, envelope } = await ask(channel, body);
  const context = `${channel}, ${what}: ${got} ${JSON.stringify(envelope).slice(0, 500)}`;
  assert.equal(got, status, context);
  assert.ok(is_error(envelope), context);
  assert.equal(envelope.error.code, code, context);
  return { ...envelope.error, context };
}

for (const channel of channels) {
  test(`${channel} refuses every malformed request`, { timeout: 60_000 }, async () => {
    const schema = request_of(channel);
    let count = 0;
    for (const [what, body, place] of faults(schema, sample(schema))) {
      const { details, context } = await refused(channel, what, body, 400, 'VALIDATION_ERROR');
      assert.equal(details.length, 1, context);
      assert.deepEqual(Object.keys(details[0]), ['path', 'message', 'expected', 'receivedType'], context);
      assert.equal(details[0].path, place, context);
      count += 1;
    }
    assert.ok(count >= 3);
    for (const text of ['', '{', '{"a":1,}', '{} {}', "{'a':1}", '{"\ud800":1', '\ufeff{}']) {
      const { details, context } = await refused(channel, 'bad JSON', text, 400, 'VALIDATION_ERROR');
      assert.equal(details.length, 1, context);
    }
    const deep = `{"extra":${'['.repeat(64)}${']'.repeat(64)}}`;
    const { details } = await refused(channel, 'depth', deep, 400, 'VALIDATION_ERROR');
    assert.equal(details[0].path, `extra${'[0]'.repeat(63)}`);
  });
}

// The answer to a body that says it is so long, of which only the beginning is sent.
function announce(channel, size) {
  return new Promise((resolve, reject) => {
    const request = http.request(`${gateway.url}/rpc/${channel}`, {
      method: 'POST', agent: false, headers: { 'content-type': 'application/json', 'content-length': size },
    }, async (response) => {
      let text = '';
      for await (const part of response.setEncoding('utf8')) text += part;
      request.destroy();
      resolve({ status: response.statusCode, envelope: JSON.parse(text) });
    });
    request.on('error', reject);
    request.write('{"extra":"');
  });
}

// T77, on each channel: 10 MiB pass the boundary (and are refused for their extra field), one byte more does not.
test('a body over 10 MiB is refused on every channel, one of 10 MiB is read', { timeout: 120_000 }, async () => {
  const limit = 10 * 1024 * 1024;
  for (const channel of channels) {
    const { status, envelope } = await announce(channel, limit + 1);
    assert.equal(status, 413, channel);
    assert.ok(is_error(envelope), JSON.stringify(envelope));
    assert.equal(envelope.error.code, 'IPC_PAYLOAD_TOO_LARGE', channel);
  }
  const body = `{"extra":"${'x'.repeat(limit - 12)}"}`;
  const { details } = await refused(channels[0], 'a body that just fits', body, 400, 'VALIDATION_ERROR');
  assert.equal(details[0].path, 'extra');
});

test('nothing of it reached a provider, and a well-formed request still does', async () => {
  assert.deepEqual(await mock.requests(), []);
  const { status, envelope } = await ask('ai:config:get', {});
  assert.equal(status, 200, JSON.stringify(envelope));
  assert.ok(envelope.ok && envelope.data.providers.length > 0);
});
