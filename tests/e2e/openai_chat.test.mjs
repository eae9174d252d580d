// The official OpenAI SDK, Chat Completions, against a target of each kind.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
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
const say = (content) => [{ role: 'user', content }];
const tools = [
  { type: 'function', function: { name: 'get_weather', description: 'Weather of a city', parameters: weather_schema } },
  { type: 'function', function: { name: 'get_time', description: 'Time of a zone', parameters: time_schema } },
];
const sum_is_right = (usage) => assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);

function check_calls(calls, names) {
  assert.deepEqual(calls.map((call) => call.function.name), names);
  assert.equal(new Set(calls.map((call) => call.id)).size, names.length, 'every call has an id of its own');
  const asked = { get_weather: { city: 'Oslo' }, get_time: { zone: 'UTC' } };
  for (const call of calls) assert.deepEqual(JSON.parse(call.function.arguments), asked[call.function.name]);
}

// Both forms of the same call: the reply, and the stream gathered by the SDK's own helper.
async function both_forms(body, check) {
  check(await client.chat.completions.create(body));
  const stream = client.chat.completions.stream({ ...body, stream_options: { include_usage: true } });
  check(await stream.finalChatCompletion());
}

const cases = {
  plain: async (target) => {
    const { data, response } = await client.chat.completions
      .create({ model: model(target), messages: say('Hello there') }).withResponse();
    assert.ok(data.choices[0].message.content.length > 0);
    assert.equal(data.choices[0].finish_reason, 'stop');
    assert.equal(data.object, 'chat.completion');
    assert.ok(data.usage.prompt_tokens > 0 && data.usage.completion_tokens > 0);
    sum_is_right(data.usage);
    assert.match(response.headers.get('x-tidegate-run-id'), /^[0-9a-f]{8}-[0-9a-f]{4}-7/);
    assert.match(response.headers.get('x-tidegate-trace-id'), /^[0-9a-f]{32}$/);
    assert.equal(response.headers.get('x-tidegate-provider'), target);
    assert.equal(response.headers.get('x-tidegate-attempts'), '1');
  },
  streamed: async (target) => {
    const body = { model: model(target), messages: say('Tell me a story about the sea') };
    const whole = await client.chat.completions.create(body);
    const stream = await client.chat.completions.create({ ...body, stream: true, stream_options: { include_usage: true } });
    let text = '', finish, usage, chunks = 0;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? '';
      finish = chunk.choices[0]?.finish_reason ?? finish;
      usage = chunk.usage ?? usage;
      chunks += 1;
    }
    assert.equal(text, whole.choices[0].message.content);
    assert.equal(finish, 'stop');
    assert.deepEqual([usage.prompt_tokens, usage.completion_tokens],
      [whole.usage.prompt_tokens, whole.usage.completion_tokens]);
    assert.ok(chunks > 2, 'arrives in pieces');
  },
  'streamed without usage asked for': async (target) => {
    const stream = await client.chat.completions.create({ model: model(target), messages: say('Hello'), stream: true });
    for await (const chunk of stream) assert.ok(!chunk.usage, 'usage is passed on only when asked for');
  },
  'system text': async (target) => {
    await client.chat.completions.create({
      model: model(target), messages: [{ role: 'system', content: 'Answer in rhyme.' }, ...say('Hello')] });
    const { json } = await last_request(mock);
    if (target === 'anthropic') assert.match(JSON.stringify(json.system), /Answer in rhyme\./);
    else assert.equal(json.messages[0].content, 'Answer in rhyme.');
  },
  'one tool': (target) => both_forms(
    { model: model(target), messages: say(ask.call_weather), tools },
    (reply) => {
      assert.equal(reply.choices[0].finish_reason, 'tool_calls');
      check_calls(reply.choices[0].message.tool_calls, ['get_weather']);
    }),
  'parallel tools': (target) => both_forms(
    { model: model(target), messages: say(ask.call_both), tools },
    (reply) => check_calls(reply.choices[0].message.tool_calls, ['get_weather', 'get_time'])),
  'tool results': async (target) => {
    const messages = say(ask.call_both);
    const first = await client.chat.completions.create({ model: model(target), messages, tools });
    const calls = first.choices[0].message.tool_calls;
    const results = calls.map((call, at) => ({ role: 'tool', tool_call_id: call.id, content: `result ${at}` }));
    const second = await client.chat.completions.create(
      { model: model(target), messages: [...messages, first.choices[0].message, ...results], tools });
    assert.equal(second.choices[0].message.content, 'Tool said: result 0; result 1');
    const { json } = await last_request(mock);
    const sent = target === 'anthropic'
      ? json.messages.flatMap(({ content }) => content).filter((part) => part.type === 'tool_result').map((part) => part.tool_use_id)
      : json.messages.filter(({ role }) => role === 'tool').map((message) => message.tool_call_id);
    assert.deepEqual(sent, calls.map((call) => call.id));
  },
  'tool choice': async (target) => {
    await client.chat.completions.create({ model: model(target), messages: say('Hello'), tools,
      tool_choice: { type: 'function', function: { name: 'get_time' } } });
    const { json } = await last_request(mock);
    assert.equal(target === 'anthropic' ? json.tool_choice.name : json.tool_choice.function.name, 'get_time');
  },
  image: async (target) => {
    const reply = await client.chat.completions.create({ model: model(target), messages: say([
      { type: 'text', text: 'What is this?' },
      { type: 'image_url', image_url: { url: `data:image/png;base64,${pixel}` } }]) });
    assert.match(reply.choices[0].message.content, /\[image image\/png/);
    const { json } = await last_request(mock);
    const parts = json.messages.at(-1).content;
    if (target === 'anthropic') {
      assert.deepEqual(parts.find(({ type }) => type === 'image').source,
        { type: 'base64', media_type: 'image/png', data: pixel });
    } else {
      assert.equal(parts.find(({ type }) => type === 'image_url').image_url.url, `data:image/png;base64,${pixel}`);
    }
  },
  'structured output': async (target) => {
    const person = z.object({ name: z.string(), age: z.number().int() });
    const reply = await client.chat.completions.parse({ model: model(target), messages: say('Who is it?'),
      response_format: zodResponseFormat(person, 'person') });
    assert.deepEqual(Object.keys(reply.choices[0].message.parsed).sort(), ['age', 'name']);
    const { json } = await last_request(mock);
    const schema = target === 'anthropic' ? json.output_config.format.schema : json.response_format.json_schema.schema;
    assert.deepEqual(schema.required, ['name', 'age']);
  },
  'stop and length': async (target) => {
    await client.chat.completions.create({ model: model(target), messages: say('Hello'), stop: ['END'], max_completion_tokens: 77 });
    const { json } = await last_request(mock);
    if (target === 'anthropic') assert.deepEqual([json.stop_sequences, json.max_tokens], [['END'], 77]);
    else assert.deepEqual([[json.stop].flat(), json.max_completion_tokens], [['END'], 77]);
  },
  'model list': async (target) => {
    const ids = [];
    for await (const entry of client.models.list()) ids.push(entry.id);
    assert.ok(ids.includes(model(target)), ids.join());
    assert.equal((await client.models.retrieve(model(target))).id, model(target));
    await assert.rejects(client.models.retrieve('no-such-model'), OpenAI.NotFoundError);
  },
  'credentials stay apart': async (target) => {
    await client.chat.completions.create({ model: model(target), messages: say('Hello') },
      { headers: { authorization: 'Bearer caller-secret', cookie: 'a=b' } });
    const { headers } = await last_request(mock);
    assert.equal(target === 'anthropic' ? headers['x-api-key'] : headers.authorization,
      target === 'anthropic' ? credentials.E2E_ANTHROPIC_KEY : `Bearer ${credentials.E2E_OPENAI_KEY}`);
    assert.ok(!JSON.stringify(headers).includes('caller-secret') && !headers.cookie);
    if (target === 'anthropic') assert.equal(headers['anthropic-version'], '2023-06-01');
  },
  400: async (target) => {
    await ask.status(mock, 400);
    await assert.rejects(client.chat.completions.create({ model: model(target), messages: say('Hello') }),
      (error) => error instanceof OpenAI.BadRequestError && error.message.length > 0);
  },
  401: async (target) => {
    await ask.status(mock, 401);
    await assert.rejects(client.chat.completions.create({ model: model(target), messages: say('Hello') }),
      (error) => error.status === 502 && error.code === 'AI_AUTH_FAILED');
  },
  404: async (target) => {
    await ask.status(mock, 404);
    await assert.rejects(client.chat.completions.create({ model: model(target), messages: say('Hello') }), OpenAI.NotFoundError);
    await assert.rejects(client.chat.completions.create({ model: 'no-such-model', messages: say('Hello') }), OpenAI.NotFoundError);
  },
  // A gateway of its own: the cooldown would outlive the case.
  429: async (target) => {
    const apart = await start_gateway(both_kinds(mock), { environment: credentials });
    try {
      const other = new OpenAI({ baseURL: `${apart.url}/v1`, apiKey: 'unused', maxRetries: 0 });
      await ask.status(mock, 429, { headers: { 'retry-after': '7' } });
      await assert.rejects(other.chat.completions.create({ model: model(target), messages: say('Hello') }), (error) =>
        error instanceof OpenAI.RateLimitError && error.code === 'AI_RATE_LIMITED' && error.headers.get('retry-after') === '7');
    } finally {
      await apart.stop();
    }
  },
  529: async (target) => {
    await ask.status(mock, 529);
    await assert.rejects(client.chat.completions.create({ model: model(target), messages: say('Hello') }), (error) =>
      error instanceof OpenAI.InternalServerError && error.status === 503 && error.code === 'AI_PROVIDER_UNAVAILABLE');
    // One success, so that three such cases in a row never trip the breaker.
    await client.chat.completions.create({ model: model(target), messages: say('Hello') });
  },
  abort: async (target) => {
    await ask.stall(mock, 6);
    await ask.aborting(mock, async () => {
      const stream = await client.chat.completions.create({ model: model(target), messages: say('Tell me a story'), stream: true });
      let chunks = 0;
      for await (const _ of stream) {
        chunks += 1;
        stream.controller.abort();
      }
      assert.ok(chunks >= 1);
    });
    await client.chat.completions.create({ model: model(target), messages: say('Hello') });
  },
  'time-out of the caller': async (target) => {
    await ask.hang(mock);
    await assert.rejects(client.chat.completions.create({ model: model(target), messages: say('Hello') }, { timeout: 300 }),
      OpenAI.APIConnectionTimeoutError);
  },
  'time-out of the gateway': async (target) => {
    await ask.hang(mock);
    await assert.rejects(client.chat.completions.create({ model: model(target), messages: say('Hello') },
      { headers: { 'x-tidegate-timeout-ms': '300' } }), (error) => error.status === 504 && error.code === 'SKILL_TIMEOUT');
  },
  'cut stream': async (target) => {
    await ask.cut(mock, 6);
    const stream = await client.chat.completions.create({ model: model(target), messages: say('Tell me a story'), stream: true });
    await assert.rejects(async () => { for await (const _ of stream); }, OpenAI.APIError);
    await client.chat.completions.create({ model: model(target), messages: say('Hello') });
  },
};

matrix('openai chat', ['openai', 'anthropic'], cases, () => mock.reset());
