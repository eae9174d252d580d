// The official Anthropic SDK, Messages, against a target of each kind.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import * as ask from './kit/ask.mjs';
import { both_kinds, credentials, start_gateway, start_mock } from './kit/gateway.mjs';
import { last_request, person_schema, pixel, time_schema, weather_schema } from './kit/inputs.mjs';
import { matrix } from './kit/matrix.mjs';

let mock, gateway, client;
before(async () => {
  mock = await start_mock();
  gateway = await start_gateway(both_kinds(mock), { environment: credentials });
  client = new Anthropic({ baseURL: gateway.url, apiKey: 'unused', maxRetries: 0 });
});
after(async () => {
  const codes = [await gateway.stop(), await mock.stop()];
  assert.deepEqual(codes, [0, 0], 'both end by themselves');
});

const body = (target, content, more = {}) =>
  ({ model: `on-${target}`, max_tokens: 256, messages: [{ role: 'user', content }], ...more });
const tools = [
  { name: 'get_weather', description: 'Weather of a city', input_schema: weather_schema },
  { name: 'get_time', description: 'Time of a zone', input_schema: time_schema },
];
const text_of = (message) => message.content.filter(({ type }) => type === 'text').map(({ text }) => text).join('');
const calls_of = (message) => message.content.filter(({ type }) => type === 'tool_use');

function check_calls(message, names) {
  assert.equal(message.stop_reason, 'tool_use');
  const calls = calls_of(message);
  assert.deepEqual(calls.map((call) => call.name), names);
  assert.equal(new Set(calls.map((call) => call.id)).size, names.length);
  const asked = { get_weather: { city: 'Oslo' }, get_time: { zone: 'UTC' } };
  for (const call of calls) assert.deepEqual(call.input, asked[call.name]);
}

async function both_forms(request, check) {
  check(await client.messages.create(request));
  check(await client.messages.stream(request).finalMessage());
}

const cases = {
  plain: async (target) => {
    const { data, response } = await client.messages.create(body(target, 'Hello there')).withResponse();
    assert.ok(text_of(data).length > 0);
    assert.deepEqual([data.type, data.role, data.stop_reason], ['message', 'assistant', 'end_turn']);
    assert.ok(data.usage.input_tokens > 0 && data.usage.output_tokens > 0);
    assert.equal(response.headers.get('x-tidegate-provider'), target);
    assert.match(response.headers.get('x-tidegate-run-id'), /^[0-9a-f]{8}-[0-9a-f]{4}-7/);
  },
  streamed: async (target) => {
    const whole = await client.messages.create(body(target, 'Tell me a story about the sea'));
    const types = [];
    let text = '', output_tokens;
    for await (const event of await client.messages.create(body(target, 'Tell me a story about the sea', { stream: true }))) {
      types.push(event.type);
      if (event.type === 'content_block_delta') text += event.delta.text;
      if (event.type === 'message_delta') output_tokens = event.usage.output_tokens;
    }
    assert.equal(text, text_of(whole));
    assert.equal(output_tokens, whole.usage.output_tokens);
    const order = types.filter((type, at) => type !== 'ping' && types.indexOf(type) === at);
    assert.deepEqual(order, ['message_start', 'content_block_start', 'content_block_delta', 'content_block_stop',
      'message_delta', 'message_stop']);
  },
  'system text': async (target) => {
    await client.messages.create(body(target, 'Hello', { system: 'Answer in rhyme.' }));
    const { json } = await last_request(mock);
    if (target === 'anthropic') assert.equal(json.system, 'Answer in rhyme.');
    else assert.deepEqual([json.messages[0].role === 'user', JSON.stringify(json.messages[0]).includes('Answer in rhyme.')], [false, true]);
  },
  'one tool': (target) => both_forms(body(target, ask.call_weather, { tools }),
    (message) => check_calls(message, ['get_weather'])),
  'parallel tools': (target) => both_forms(body(target, ask.call_both, { tools }),
    (message) => check_calls(message, ['get_weather', 'get_time'])),
  'tool results': async (target) => {
    const first = body(target, ask.call_both, { tools });
    const reply = await client.messages.create(first);
    const results = calls_of(reply).map((call, at) => ({ type: 'tool_result', tool_use_id: call.id, content: `result ${at}` }));
    const second = await client.messages.create({ ...first, messages: [...first.messages,
      { role: 'assistant', content: reply.content }, { role: 'user', content: results }] });
    assert.equal(text_of(second), 'Tool said: result 0; result 1');
    const { json } = await last_request(mock);
    const sent = target === 'anthropic'
      ? json.messages.flatMap(({ content }) => content).filter(({ type }) => type === 'tool_result').map((part) => part.tool_use_id)
      : json.messages.filter(({ role }) => role === 'tool').map((message) => message.tool_call_id);
    assert.deepEqual(sent, calls_of(reply).map((call) => call.id));
  },
  image: async (target) => {
    await client.messages.create(body(target, [
      { type: 'image', source: { type: 'base64', media_type: 'image/png', data: pixel } },
      { type: 'text', text: 'What is this?' }]));
    const { json } = await last_request(mock);
    const parts = json.messages.at(-1).content;
    if (target === 'anthropic') assert.equal(parts.find(({ type }) => type === 'image').source.data, pixel);
    else assert.equal(parts.find(({ type }) => type === 'image_url').image_url.url, `data:image/png;base64,${pixel}`);
  },
  'structured output': async (target) => {
    const message = await client.messages.create(body(target, 'Who is it?',
      { output_config: { format: { type: 'json_schema', schema: person_schema } } }));
    assert.deepEqual(Object.keys(JSON.parse(text_of(message))).sort(), ['age', 'name']);
    const { json } = await last_request(mock);
    const schema = target === 'anthropic' ? json.output_config.format.schema : json.response_format.json_schema.schema;
    assert.deepEqual(schema.required, ['name', 'age']);
  },
  'stop sequences': async (target) => {
    await client.messages.create(body(target, 'Hello', { stop_sequences: ['END'] }));
    const { json } = await last_request(mock);
    assert.deepEqual(target === 'anthropic' ? json.stop_sequences : [json.stop].flat(), ['END']);
  },
  'token counting': async (target) => {
    const { model, messages } = body(target, 'Hello there, how many tokens is this?');
    assert.ok((await client.messages.countTokens({ model, messages })).input_tokens > 0);
  },
  'model list': async (target) => {
    const ids = [];
    for await (const entry of client.models.list()) ids.push(entry.id);
    assert.ok(ids.includes(`on-${target}`), ids.join());
    assert.equal((await client.models.retrieve(`on-${target}`)).type, 'model');
  },
  'credentials stay apart': async (target) => {
    const caller = new Anthropic({ baseURL: gateway.url, apiKey: 'caller-secret', maxRetries: 0,
      defaultHeaders: { 'anthropic-version': '2024-05-06', 'anthropic-beta': 'some-beta' } });
    await caller.messages.create(body(target, 'Hello'));
    const { headers } = await last_request(mock);
    assert.ok(!JSON.stringify(headers).includes('caller-secret'));
    // The dialect's own headers pass where the target speaks it.
    const expected = target === 'anthropic' ? ['2024-05-06', 'some-beta'] : [undefined, undefined];
    assert.deepEqual([headers['anthropic-version'], headers['anthropic-beta']], expected);
  },
  400: async (target) => {
    await ask.status(mock, 400);
    await assert.rejects(client.messages.create(body(target, 'Hello')), Anthropic.BadRequestError);
  },
  401: async (target) => {
    await ask.status(mock, 401);
    await assert.rejects(client.messages.create(body(target, 'Hello')),
      (error) => error.status === 502 && error.error.code === 'AI_AUTH_FAILED');
  },
  404: async (target) => {
    await ask.status(mock, 404);
    await assert.rejects(client.messages.create(body(target, 'Hello')), Anthropic.NotFoundError);
    await assert.rejects(client.messages.create({ ...body(target, 'Hello'), model: 'no-such-model' }),
      (error) => error instanceof Anthropic.NotFoundError && error.error.error.type === 'not_found_error');
  },
  // A gateway of its own: the cooldown would outlive the case.
  429: async (target) => {
    const apart = await start_gateway(both_kinds(mock), { environment: credentials });
    try {
      const other = new Anthropic({ baseURL: apart.url, apiKey: 'unused', maxRetries: 0 });
      await ask.status(mock, 429, { headers: { 'retry-after': '7' } });
      await assert.rejects(other.messages.create(body(target, 'Hello')), (error) =>
        error instanceof Anthropic.RateLimitError && error.error.error.type === 'rate_limit_error' &&
        error.error.code === 'AI_RATE_LIMITED' && error.headers.get('retry-after') === '7');
    } finally {
      await apart.stop();
    }
  },
  529: async (target) => {
    await ask.status(mock, 529);
    await assert.rejects(client.messages.create(body(target, 'Hello')), (error) =>
      error instanceof Anthropic.InternalServerError && error.error.code === 'AI_PROVIDER_UNAVAILABLE');
    await client.messages.create(body(target, 'Hello'));
  },
  abort: async (target) => {
    await ask.stall(mock, 6);
    await ask.aborting(mock, async () => {
      const stream = client.messages.stream(body(target, 'Tell me a story'));
      stream.on('text', () => stream.abort());
      await assert.rejects(stream.finalMessage(), Anthropic.APIUserAbortError);
    });
    await client.messages.create(body(target, 'Hello'));
  },
  'time-out of the caller': async (target) => {
    await ask.hang(mock);
    await assert.rejects(client.messages.create(body(target, 'Hello'), { timeout: 300 }), Anthropic.APIConnectionTimeoutError);
  },
  'time-out of the gateway': async (target) => {
    await ask.hang(mock);
    await assert.rejects(client.messages.create(body(target, 'Hello'), { headers: { 'x-tidegate-timeout-ms': '300' } }),
      (error) => error.status === 504 && error.error.code === 'SKILL_TIMEOUT');
  },
  'cut stream': async (target) => {
    await ask.cut(mock, 6);
    await assert.rejects(client.messages.stream(body(target, 'Tell me a story')).finalMessage(), Anthropic.APIError);
    await client.messages.create(body(target, 'Hello'));
  },
};

matrix('anthropic messages', ['openai', 'anthropic'], cases, () => mock.reset());
