// The official OpenAI SDK, Responses API, against a target of each kind.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import OpenAI from 'openai';
import { zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import * as ask from './kit/ask.mjs';
import { both_kinds, credentials, start_gateway, start_mock } from './kit/gateway.mjs';
import { last_request, pixel, time_schema, weather_schema } from './kit/inputs.mjs';
import { matrix } from './kit/matrix.mjs';

let mock, gateway, client;
before(async () => {
  mock = await start_mock();
  gateway = await start_gateway(both_kinds(mock), { environment: credentials });
  client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'unused', maxRetries: 0 });
});
after(async () => {
  const codes = [await gateway.stop(), await mock.stop()];
  assert.deepEqual(codes, [0, 0], 'both end by themselves');
});

const model = (target) => `on-${target}`;
const tools = [
  { type: 'function', name: 'get_weather', description: 'Weather of a city', parameters: weather_schema, strict: false },
  { type: 'function', name: 'get_time', description: 'Time of a zone', parameters: time_schema, strict: false },
];
const calls_of = (response) => response.output.filter(({ type }) => type === 'function_call');

function check_calls(response, names) {
  const calls = calls_of(response);
  assert.deepEqual(calls.map((call) => call.name), names);
  assert.equal(new Set(calls.map((call) => call.call_id)).size, names.length);
  const asked = { get_weather: { city: 'Oslo' }, get_time: { zone: 'UTC' } };
  for (const call of calls) assert.deepEqual(JSON.parse(call.arguments), asked[call.name]);
}

async function both_forms(body, check) {
  check(await client.responses.create(body));
  check(await client.responses.stream(body).finalResponse());
}

const cases = {
  plain: async (target) => {
    const { data, response } = await client.responses.create({ model: model(target), input: 'Hello there' }).withResponse();
    assert.ok(data.output_text.length > 0);
    assert.equal(data.status, 'completed');
    assert.equal(data.usage.total_tokens, data.usage.input_tokens + data.usage.output_tokens);
    assert.equal(response.headers.get('x-tidegate-provider'), target);
  },
  streamed: async (target) => {
    const body = { model: model(target), input: 'Tell me a story about the sea' };
    const whole = await client.responses.create(body);
    let text = '', last = -1, done;
    const types = new Set();
    for await (const event of await client.responses.create({ ...body, stream: true })) {
      types.add(event.type);
      assert.ok(event.sequence_number > last, 'sequence numbers rise');
      last = event.sequence_number;
      if (event.type === 'response.output_text.delta') text += event.delta;
      if (event.type === 'response.completed') done = event.response;
    }
    assert.equal(text, whole.output_text);
    assert.equal(done.usage.output_tokens, whole.usage.output_tokens);
    for (const type of ['response.created', 'response.output_item.added', 'response.content_part.added',
      'response.output_text.done', 'response.output_item.done']) assert.ok(types.has(type), `${type} is sent`);
  },
  instructions: async (target) => {
    await client.responses.create({ model: model(target), instructions: 'Answer in rhyme.', input: 'Hello' });
    const { json } = await last_request(mock);
    assert.match(JSON.stringify(target === 'anthropic' ? json.system : json.instructions), /Answer in rhyme\./);
  },
  'one tool': (target) => both_forms({ model: model(target), input: ask.call_weather, tools },
    (response) => check_calls(response, ['get_weather'])),
  'parallel tools': (target) => both_forms({ model: model(target), input: ask.call_both, tools },
    (response) => check_calls(response, ['get_weather', 'get_time'])),
  'tool results': async (target) => {
    const input = [{ role: 'user', content: ask.call_both }];
    const calls = calls_of(await client.responses.create({ model: model(target), input, tools }));
    const results = calls.map((call, at) => ({ type: 'function_call_output', call_id: call.call_id, output: `result ${at}` }));
    const second = await client.responses.create(
      { model: model(target), input: [...input, ...calls, ...results], tools });
    assert.equal(second.output_text, 'Tool said: result 0; result 1');
    const { json } = await last_request(mock);
    const sent = target === 'anthropic'
      ? json.messages.flatMap(({ content }) => content).filter(({ type }) => type === 'tool_result').map((part) => part.tool_use_id)
      : json.input.filter(({ type }) => type === 'function_call_output').map((item) => item.call_id);
    assert.deepEqual(sent, calls.map((call) => call.call_id));
  },
  image: async (target) => {
    await client.responses.create({ model: model(target), input: [{ role: 'user', content: [
      { type: 'input_text', text: 'What is this?' },
      { type: 'input_image', detail: 'auto', image_url: `data:image/png;base64,${pixel}` }] }] });
    const { json } = await last_request(mock);
    if (target === 'anthropic') {
      assert.equal(json.messages.at(-1).content.find(({ type }) => type === 'image').source.data, pixel);
    } else {
      assert.match(json.input.at(-1).content.find(({ type }) => type === 'input_image').image_url, /^data:image\/png/);
    }
  },
  'structured output': async (target) => {
    const person = z.object({ name: z.string(), age: z.number().int() });
    const response = await client.responses.parse({ model: model(target), input: 'Who is it?',
      text: { format: zodTextFormat(person, 'person') } });
    assert.deepEqual(Object.keys(response.output_parsed).sort(), ['age', 'name']);
  },
  400: async (target) => {
    await ask.status(mock, 400);
    await assert.rejects(client.responses.create({ model: model(target), input: 'Hello' }), OpenAI.BadRequestError);
  },
  401: async (target) => {
    await ask.status(mock, 401);
    await assert.rejects(client.responses.create({ model: model(target), input: 'Hello' }),
      (error) => error.status === 502 && error.code === 'AI_AUTH_FAILED');
  },
  404: async (target) => {
    await ask.status(mock, 404);
    await assert.rejects(client.responses.create({ model: model(target), input: 'Hello' }), OpenAI.NotFoundError);
  },
  // A gateway of its own: the cooldown would outlive the case.
  429: async (target) => {
    const apart = await start_gateway(both_kinds(mock), { environment: credentials });
    try {
      const other = new OpenAI({ baseURL: `${apart.url}/v1`, apiKey: 'unused', maxRetries: 0 });
      await ask.status(mock, 429, { headers: { 'retry-after': '7' } });
      await assert.rejects(other.responses.create({ model: model(target), input: 'Hello' }), OpenAI.RateLimitError);
    } finally {
      await apart.stop();
    }
  },
  529: async (target) => {
    await ask.status(mock, 529);
    await assert.rejects(client.responses.create({ model: model(target), input: 'Hello' }),
      (error) => error.status === 503 && error.code === 'AI_PROVIDER_UNAVAILABLE');
    await client.responses.create({ model: model(target), input: 'Hello' });
  },
  abort: async (target) => {
    await ask.stall(mock, 6);
    await ask.aborting(mock, async () => {
      const stream = await client.responses.create({ model: model(target), input: 'Tell me a story', stream: true });
      for await (const _ of stream) stream.controller.abort();
    });
    await client.responses.create({ model: model(target), input: 'Hello' });
  },
  'time-out of the caller': async (target) => {
    await ask.hang(mock);
    await assert.rejects(client.responses.create({ model: model(target), input: 'Hello' }, { timeout: 300 }),
      OpenAI.APIConnectionTimeoutError);
  },
};

matrix('openai responses', ['openai', 'anthropic'], cases, () => mock.reset());
