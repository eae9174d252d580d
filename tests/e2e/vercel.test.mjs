// The Vercel AI SDK with both of its providers, against a target of each kind.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { generateText, jsonSchema, Output, stepCountIs, streamText, tool } from 'ai';
import * as ask from './kit/ask.mjs';
import { both_kinds, credentials, start_gateway, start_mock } from './kit/gateway.mjs';
import { person_schema, pixel, weather_schema } from './kit/inputs.mjs';
import { matrix } from './kit/matrix.mjs';

let mock, gateway, models;
before(async () => {
  mock = await start_mock();
  gateway = await start_gateway(both_kinds(mock), { environment: credentials });
  const settings = { baseURL: `${gateway.url}/v1`, apiKey: 'unused' };
  const openai = createOpenAI(settings);
  const anthropic = createAnthropic(settings);
  // Which of the SDK's providers speaks, then which kind of target answers.
  models = {
    'chat-openai': openai.chat('on-openai'),
    'chat-anthr.': openai.chat('on-anthropic'),
    'resp-openai': openai.responses('on-openai'),
    'resp-anthr.': openai.responses('on-anthropic'),
    'msgs-openai': anthropic('on-openai'),
    'msgs-anthr.': anthropic('on-anthropic'),
  };
});
after(async () => {
  const codes = [await gateway.stop(), await mock.stop()];
  assert.deepEqual(codes, [0, 0], 'both end by themselves');
});

const common = (target) => ({ model: models[target], maxRetries: 0 });
const weather = () => {
  const seen = [];
  return { seen, tools: { get_weather: tool({ description: 'Weather of a city', inputSchema: jsonSchema(weather_schema),
    execute: async (input) => { seen.push(input); return { degrees: 21 }; } }) } };
};

const cases = {
  generate: async (target) => {
    const { text, usage, finishReason } = await generateText({ ...common(target), prompt: 'Hello there' });
    assert.ok(text.length > 0);
    assert.equal(finishReason, 'stop');
    assert.ok(usage.inputTokens > 0 && usage.outputTokens > 0);
  },
  stream: async (target) => {
    const whole = await generateText({ ...common(target), prompt: 'Tell me a story about the sea' });
    const result = streamText({ ...common(target), prompt: 'Tell me a story about the sea' });
    let text = '', pieces = 0;
    for await (const piece of result.textStream) {
      text += piece;
      pieces += 1;
    }
    assert.equal(text, whole.text);
    assert.ok(pieces > 1);
    assert.ok((await result.usage).outputTokens > 0);
  },
  'tool, two steps': async (target) => {
    const { seen, tools } = weather();
    const result = await generateText({ ...common(target), tools, stopWhen: stepCountIs(2), prompt: ask.call_weather });
    assert.equal(seen.length, 1);
    assert.equal(result.steps[0].toolCalls[0].toolName, 'get_weather');
  },
  'tool, streamed': async (target) => {
    const { seen, tools } = weather();
    const result = streamText({ ...common(target), tools, stopWhen: stepCountIs(2), prompt: ask.call_weather });
    await result.consumeStream();
    assert.equal(seen.length, 1);
    assert.equal((await result.steps)[0].toolResults[0].output.degrees, 21);
  },
  object: async (target) => {
    const { output } = await generateText({ ...common(target), prompt: 'Who is it?',
      output: Output.object({ schema: jsonSchema(person_schema) }) });
    assert.deepEqual(Object.keys(output).sort(), ['age', 'name']);
  },
  image: async (target) => {
    const { text } = await generateText({ ...common(target), messages: [{ role: 'user', content: [
      { type: 'text', text: 'What is this?' }, { type: 'image', image: pixel, mediaType: 'image/png' }] }] });
    assert.ok(text.length > 0);
  },
  error: async (target) => {
    await ask.status(mock, 400);
    await assert.rejects(generateText({ ...common(target), prompt: 'Hello' }), (error) => error.statusCode === 400);
  },
};

const names = ['chat-openai', 'chat-anthr.', 'resp-openai', 'resp-anthr.', 'msgs-openai', 'msgs-anthr.'];
matrix('vercel ai', names, cases, () => mock.reset());
