// Session runs with the binary and the generated client: streams and their cancels, replays, tools, candidates, the judge,
// failover, and what of it a key may see (STR, TOOL, CAND, JDG, FO-11, SEC-2, DEG-1).
import assert from 'node:assert/strict';
import { after, before, beforeEach, test as node_test } from 'node:test';
import v8 from 'node:v8';
import vm from 'node:vm';
import { aborting, call_both, call_weather, stall, status, until } from './kit/ask.mjs';
import { both_kinds, credentials, start_mock } from './kit/gateway.mjs';
import { last_request, time_schema, weather_schema } from './kit/inputs.mjs';
import { both_verify } from './kit/journal.mjs';
import { Place } from './kit/place.mjs';
import { client_of, createClient, is_done, is_status, listen, make_key, polish, settled } from './kit/session.mjs';

const extra = (session = '') => `
[session]
model = "on-openai"
cost_guard = false
${session}
[judge]
model = "on-openai"
[retry]
backoff = "5,7,11"
[[provider]]
name = "local-model"
kind = "openai-compatible"
base_url = "${mock.url}/local"
[[route]]
model = "both"
targets = [{ provider = "openai", model = "gpt-5.2" }, { provider = "anthropic", model = "claude-sonnet-4-5" }]
[[route]]
model = "both-at-once"
failover = "immediate"
targets = [{ provider = "openai", model = "gpt-5.2" }, { provider = "anthropic", model = "claude-sonnet-4-5" }]
`;

v8.setFlagsFromString('--expose-gc');
const collect_garbage = vm.runInNewContext('gc');

const test = (promise, act) => node_test(promise, { timeout: 30_000 }, act);

let mock;
before(async () => { mock = await start_mock(); });
after(() => mock.stop());
beforeEach(() => mock.reset());

async function serve(t, { session, policy = '' } = {}) {
  const place = await Place.make(t, both_kinds(mock, { extra: extra(session), policy }), credentials);
  const gateway = await place.start();
  return { place, gateway, client: client_of(gateway) };
}
async function ears_of(t, gateway, options) {
  const ears = await listen(gateway, options);
  t.after(() => ears.leave());
  return ears;
}
const chunks = (pushes) => pushes.filter(({ event }) => event === 'skill:stream:chunk').map(({ data }) => data);
const joined = (pushes) => chunks(pushes).map(({ chunk }) => chunk).join('');
const ok = (text, more = {}) => mock.behave({ steps: [{ behavior: 'ok', text, ...more }] });
const calls_made = async () => (await mock.requests()).filter(({ method }) => method === 'POST');
// The run's last word has come to everybody who listens.
const is_over = (push) => is_done(push);

test('a streamed run comes on its own connection, status first and done last (STR-2, T40)', async (t) => {
  const { client } = await serve(t);
  await ok('Hello World, and some more words.');
  const own = [];
  const done = await client.runStream(polish('some text'), { onPush: (push) => own.push(push) });
  assert.deepEqual([done.terminal, done.outputText, done.finishReason, done.result.output], ['completed', 'Hello World, and some more words.', 'stop', done.outputText]);
  assert.deepEqual(own.slice(0, 2).map(({ data }) => data.status), ['queued', 'started']);
  assert.deepEqual(chunks(own).map(({ seq }) => seq), chunks(own).map((_, n) => n + 1));
  assert.equal(joined(own), done.outputText);
  assert.deepEqual(own.map(is_done).lastIndexOf(true), own.length - 1);
  assert.equal(own.filter(is_done).length, 1);
  assert.equal(new Set(own.map(({ id }) => id)).size, own.length, 'every push has an id of its own');
});

test('closing the stream cancels the run and the call upstream; leaving /rpc/events does not (STR-2)', async (t) => {
  const { gateway, client } = await serve(t);
  const ears = await ears_of(t, gateway);
  await stall(mock, 3);
  await aborting(mock, async () => {
    const leave = new AbortController();
    // Node's fetch forgets a signal when the garbage is collected; the client must not.
    const collect_and_leave = () => setImmediate(() => {
      collect_garbage();
      setImmediate(() => leave.abort());
    });
    await assert.rejects(client.runStream(polish('left alone'), { signal: leave.signal, onPush: ({ event }) => event === 'skill:stream:chunk' && collect_and_leave() }),
      { name: 'AbortError' });
  });
  assert.equal((await ears.until('its done', is_over)).data.terminal, 'cancelled');
  await gateway.command.event('ai_run_canceled');
  // A buffered call's connection counts the same.
  await mock.behave({ steps: [{ behavior: 'hang' }] });
  const before = (await calls_made()).length;
  const leave = new AbortController();
  await aborting(mock, async () => {
    const gone = client.call('ai:skill:run', polish('left too'), { signal: leave.signal });
    gone.catch(() => {});
    await until('its call', async () => (await calls_made()).length > before);
    leave.abort();
    await assert.rejects(gone, { name: 'AbortError' });
  });
  // Whoever only listens may come and go.
  const other = await listen(gateway, {});
  await ok('A whole answer.', { delay_ms: 50 });
  const reply = await client.call('ai:skill:run', polish('heard by one', undefined, { stream: true }));
  await other.leave();
  const done = await ears.until('done', (push) => is_done(push) && push.data.executionId === reply.executionId);
  assert.deepEqual([done.data.terminal, done.data.outputText], ['completed', 'A whole answer.']);
});

test('a subscriber that returns with Last-Event-ID gets the next event on, up to done (T137)', async (t) => {
  const { gateway, client } = await serve(t);
  const witness = await ears_of(t, gateway);
  const first = await listen(gateway, {});
  await ok('One two three four five six seven eight nine ten.', { interval_ms: 25 });
  const { executionId } = await client.call('ai:skill:run', polish('resumed', undefined, { stream: true }));
  await first.until('a chunk', ({ event }) => event === 'skill:stream:chunk');
  await first.leave();
  const last = first.heard.at(-1).id;
  await witness.until('its end', (push) => is_status('completed')(push) && push.data.executionId === executionId);
  const all = witness.of(executionId);
  const second = await ears_of(t, gateway, { lastEventId: last });
  await second.until('its end', (push) => is_status('completed')(push));
  assert.deepEqual([...first.heard, ...second.heard].map(({ id }) => id), all.map(({ id }) => id));
  assert.equal(joined([...first.heard, ...second.heard]), second.heard.find(is_done).data.outputText);
  // The client comes back by itself when its connection breaks, and misses nothing.
  let broken = false;
  const once = await listen(gateway, { lastEventId: all[0].id, through: (response) => {
    if (broken) return response;
    broken = true;
    let rest = 600;
    return new Response(response.body.pipeThrough(new TransformStream({ transform: (piece, out) => {
      out.enqueue(piece.subarray(0, rest));
      rest -= piece.length;
      if (rest < 0) out.terminate();
    } })), { status: response.status, headers: response.headers });
  } });
  await once.until('its end', is_status('completed'));
  await once.leave();
  assert.ok(broken);
  assert.deepEqual(once.heard.map(({ id }) => id), all.slice(1).map(({ id }) => id));
});

test('chunks that were lost or doubled on the way are repaired by done (T96)', async (t) => {
  const { gateway } = await serve(t);
  await ok('The quick brown fox jumps over the lazy dog, twice.', { interval_ms: 25 });
  let seen = 0;
  const damaging = async (...args) => {
    const response = await fetch(...args);
    const decoder = new TextDecoder();
    let rest = '';
    const faults = new TransformStream({ transform: (piece, out) => {
      const events = (rest + decoder.decode(piece, { stream: true })).split('\n\n');
      rest = events.pop();
      for (const event of events) {
        const copies = !/event: ?skill:stream:chunk/.test(event) ? 1 : [1, 0, 2][seen++ % 3];
        out.enqueue(new TextEncoder().encode(`${event}\n\n`.repeat(copies)));
      }
    } });
    return new Response(response.body.pipeThrough(faults), { status: response.status, headers: response.headers });
  };
  const own = [];
  const done = await createClient({ baseUrl: gateway.url, fetch: damaging }).runStream(polish('damaged'), { onPush: (push) => own.push(push) });
  assert.ok(seen >= 3, `${seen} chunks`);
  assert.notEqual(joined(own), done.outputText);
  assert.equal(done.outputText, 'The quick brown fox jumps over the lazy dog, twice.');
});

test('a cancel while the finished text is still held back: cancelled, no chunk, one done (T47)', async (t) => {
  const { gateway, client } = await serve(t, { session: 'completion_grace = "20s"\nbatch_window = "20s"\nbatch_deltas = 100' });
  const ears = await ears_of(t, gateway);
  await ok('Short.');
  const { executionId } = await client.call('ai:skill:run', polish('cancelled', undefined, { stream: true }));
  await until('the upstream end', async () => (await calls_made()).at(-1)?.outcome === 'completed');
  await client.call('ai:skill:cancel', { executionId });
  await ears.until('its end', is_status('cancelled'));
  const own = ears.of(executionId);
  assert.deepEqual([chunks(own).length, own.filter(is_done).map(({ data }) => data.terminal)], [0, ['cancelled']]);
  assert.equal(own.find(is_done).data.outputText, '');
  // By runId, once it is over, and twice: always the same answer.
  assert.deepEqual(await client.call('ai:skill:cancel', { runId: executionId }), { canceled: true });
  assert.deepEqual((await settled(client.call('ai:skill:cancel', { executionId: ' ', runId: '' }))).error.code, 'INVALID_ARGUMENT');
  assert.equal(ears.of(executionId).filter(is_done).length, 1);
});

for (const [model, name] of [['on-openai', 'openai'], ['on-anthropic', 'anthropic']]) {
  test(`a stream cut after content is replayed once, whole: ${name} (T45, T94)`, async (t) => {
    const { client } = await serve(t);
    await mock.behave({ steps: [{ behavior: 'cut', after_events: name === 'openai' ? 3 : 4, interval_ms: 30, text: 'Text that will be whole in the end.' },
      { behavior: 'ok', text: 'Text that will be whole in the end.' }] });
    const own = [];
    const done = await client.runStream(polish('cut', undefined, { model }), { onPush: (push) => own.push(push) });
    assert.deepEqual([done.terminal, done.outputText], ['completed', 'Text that will be whole in the end.'], JSON.stringify(done));
    const resets = own.filter(({ event }) => event === 'skill:stream:reset');
    assert.deepEqual(resets.map(({ data }) => data.attempt), [2]);
    assert.equal(joined(own.slice(own.indexOf(resets[0]))), done.outputText);
    assert.deepEqual(chunks(own.slice(own.indexOf(resets[0]))).map(({ seq }) => seq)[0], 1);
    const [one, two, ...more] = await calls_made();
    assert.equal(more.length, 0);
    assert.equal(one.body, two.body);
  });

  test(`cut twice after content: STREAM_DISCONNECTED with the partial text: ${name} (T46)`, async (t) => {
    const { client } = await serve(t);
    await mock.behave({ steps: [{ behavior: 'cut', after_events: 6, interval_ms: 30, count: 2 }] });
    const done = await client.runStream(polish('cut twice', undefined, { model }));
    assert.equal(done.terminal, 'error');
    assert.deepEqual([done.error.code, done.error.details.reason, done.error.retryable], ['LLM_API_ERROR', 'STREAM_DISCONNECTED', true]);
    assert.ok(done.outputText.length > 0);
    assert.equal(done.error.details.partialContent, done.outputText);
    assert.equal((await calls_made()).length, 2);
  });

  test(`tools: declared, called, answered, under one requestId: ${name} (T133, TOOL-2)`, async (t) => {
    const { gateway, client } = await serve(t);
    const ears = await ears_of(t, gateway);
    const tools = [{ name: 'get_weather', description: 'Weather of a city', parameters: weather_schema },
      { name: 'get_time', description: 'Time of a zone', parameters: time_schema }];
    const request = { skillId: 'builtin:chat', input: `Weather and time? ${call_both}`, model, tools };
    const first = await client.call('ai:skill:run', request);
    assert.equal(first.finishReason, 'tool_use');
    assert.deepEqual(first.toolCalls.map(({ name: tool, arguments: given }) => [tool, given]), [['get_weather', { city: 'Oslo' }], ['get_time', { zone: 'UTC' }]]);
    const results = first.toolCalls.map(({ id }, n) => ({ callId: id, success: true, content: `result ${n}` }));
    // Results in any order are sent in the order of the calls.
    const second = await client.call('ai:skill:run', { ...request, requestId: first.requestId, toolResults: results.toReversed() });
    assert.equal(second.requestId, first.requestId);
    assert.equal(second.finishReason, 'stop');
    assert.match(second.outputText, /Tool said: [^]*result 0[^]*result 1/);
    const { json } = await last_request(mock);
    assert.deepEqual(JSON.stringify(json).match(/result \d/g), ['result 0', 'result 1']);
    for (const { id } of first.toolCalls) assert.equal(JSON.stringify(json).split(JSON.stringify(id)).length, 3, 'the call and its result bear one id');
    if (name === 'anthropic') assert.deepEqual(json.messages.map(({ role }) => role), ['user', 'assistant', 'user']);
    const again = await settled(client.call('ai:skill:run', { ...request, requestId: first.requestId }));
    assert.equal(again.error?.code, 'CONFLICT', JSON.stringify(again));
    await ears.until('tools done', ({ event, data }) => event === 'skill:tool:use' && data.type === 'tool-use-completed');
    assert.deepEqual(ears.heard.filter(({ event }) => event === 'skill:tool:use').map(({ data }) => data.type), ['tool-use-started', 'tool-use-completed']);
    // One request in the usage, its rounds together.
    const { records } = await client.call('cost:usage:list', {});
    assert.deepEqual(records.map(({ requestId }) => requestId), [first.requestId]);
  });
}

test('tool calls come on a stream too, as parsed objects in done (T51)', async (t) => {
  const { client } = await serve(t);
  const tools = [{ name: 'get_weather', description: 'Weather of a city', parameters: weather_schema }];
  const done = await client.runStream({ skillId: 'builtin:chat', input: call_weather, tools });
  assert.deepEqual([done.terminal, done.finishReason], ['completed', 'tool_use'], JSON.stringify(done));
  assert.deepEqual(done.toolCalls[0].arguments, { city: 'Oslo' });
});

test('candidates: three whole legs, one trace; those that fail are told beside the others (T54, T121)', async (t) => {
  const { client } = await serve(t);
  const three = polish('three times', undefined, { candidateCount: 3, stream: true });
  const one = await client.call('ai:skill:run', polish('three times'));
  await mock.reset();
  const reply = await client.call('ai:skill:run', three);
  assert.deepEqual(reply.candidates.map(({ id }) => id), ['candidate-1', 'candidate-2', 'candidate-3']);
  assert.equal(new Set(reply.candidates.map(({ runId }) => runId)).size, 3);
  assert.equal(reply.usage.promptTokens, 3 * one.usage.promptTokens);
  const legs = await calls_made();
  assert.deepEqual(legs.map(({ body }) => JSON.parse(body).stream ?? false), [false, false, false]);
  await status(mock, 400);
  const partly = await client.call('ai:skill:run', three);
  assert.deepEqual([partly.candidates.length, partly.failedCandidates.length], [2, 1]);
  assert.equal(partly.outputText, partly.candidates[0].text);
  await status(mock, 400, { count: 3 });
  const none = await settled(client.call('ai:skill:run', three));
  assert.equal(none.error?.code, 'LLM_API_ERROR', JSON.stringify(none));
  for (const candidateCount of [0, 6]) assert.equal((await settled(client.call('ai:skill:run', { ...three, candidateCount }))).error.code, 'INVALID_ARGUMENT');
});

test('a credential of unusual form is taken for a provider of one\'s own, with a warning (T139)', async (t) => {
  const { gateway, client } = await serve(t);
  const { providers } = await client.call('ai:config:update', { provider: 'local-model', apiKey: ' any words at all ' });
  assert.equal(providers.find(({ name }) => name === 'local-model').apiKeyConfigured, true);
  await gateway.command.line(({ level, text = '', ...line }) => level === 'warn' && /local-model/.test(JSON.stringify(line)));
  assert.ok(!gateway.command.text.includes('any words at all'));
  assert.ok(!JSON.stringify(providers).includes('any words'));
});

test('a key bound to project A sees and changes A only, before and after a restart (T76)', async (t) => {
  const { place, gateway } = await serve(t);
  const owner = await make_key(place, 'owner', '--role', 'admin');
  const bound = await make_key(place, 'bound', '--project', 'A');
  const [all, only_a] = [client_of(gateway, owner.key), client_of(gateway, bound.key)];
  for (const projectId of ['A', 'B']) for (const message of ['one', 'two']) await all.call('ai:chat:send', { projectId, message });
  assert.deepEqual(await only_a.call('ai:chat:clear', { projectId: 'A' }), { cleared: true, removed: 2 });
  const b = await all.call('ai:chat:list', { projectId: 'B' });
  assert.deepEqual(b.items.map(({ content }) => content), ['one', 'two']);
  const refused = async (client) => {
    for (const [channel, request] of [['ai:chat:send', { projectId: 'B', message: 'mine' }], ['ai:chat:list', { projectId: 'B' }],
      ['ai:chat:clear', { projectId: 'B' }], ['ai:skill:run', polish('x', { projectId: 'B' })]]) {
      const { error } = await settled(client.call(channel, request));
      assert.deepEqual([error?.code, error?.status], ['FORBIDDEN', 403], channel);
    }
    const foreign = await settled(client.call('ai:chat:list', { projectId: 'A', sessionId: b.items[0].sessionId }));
    assert.equal(foreign.error?.code, 'NOT_FOUND');
  };
  await refused(only_a);
  const away = await settled(client_of(gateway, 'tg-unknown').call('ai:chat:list', { projectId: 'A' }));
  assert.deepEqual([away.error.code, away.error.status], ['AI_AUTH_FAILED', 401]);
  assert.equal(await gateway.command.stop(), 0);
  const again = await place.start();
  await refused(client_of(again, bound.key));
  assert.deepEqual(await client_of(again, owner.key).call('ai:chat:list', { projectId: 'B' }), b);
  assert.deepEqual((await client_of(again, owner.key).call('ai:chat:list', { projectId: 'A' })).items, []);
});

test('a key of another project neither hears a run nor cancels it nor judges it (STR-11, SEC-2)', async (t) => {
  const { place, gateway } = await serve(t);
  const [inside, outside] = [await make_key(place, 'inside', '--project', 'B'), await make_key(place, 'outside', '--project', 'A')];
  const [of_b, of_a] = [client_of(gateway, inside.key), client_of(gateway, outside.key)];
  const ears = await ears_of(t, gateway, { apiKey: inside.key });
  const spies = [await ears_of(t, gateway, { apiKey: outside.key })];
  await ok('What B is told.', { delay_ms: 300 });
  const run = of_b.call('ai:skill:run', polish('of B', { projectId: 'B' }));
  const { executionId } = (await ears.until('its start', is_status('started'))).data;
  spies.push(await ears_of(t, gateway, { apiKey: outside.key, executionId }), await ears_of(t, gateway, { apiKey: outside.key, lastEventId: `${executionId}:0:1` }));
  assert.equal((await settled(of_a.call('ai:skill:feedback', { runId: executionId, action: 'reject', evidenceRef: 'x' }))).error.code, 'NOT_FOUND');
  assert.deepEqual(await of_a.call('ai:skill:cancel', { executionId }), { canceled: true }, 'as for any id that it does not know');
  assert.equal((await run).outputText, 'What B is told.');
  assert.equal((await settled(of_a.call('ai:skill:feedback', { runId: executionId, action: 'reject', evidenceRef: 'x' }))).error.code, 'NOT_FOUND');
  assert.equal((await settled(of_a.call('cost:budget:get', { key: inside.id }))).error.code, 'FORBIDDEN');
  assert.equal((await of_a.call('cost:usage:list', {})).totalCount, 0);
  // What comes behind it has passed it by.
  const own = await of_a.call('ai:skill:run', polish('of A', { projectId: 'A' }));
  await spies[0].until('its own end', (push) => is_status('completed')(push) && push.data.executionId === own.executionId);
  assert.deepEqual(spies.map((spy) => spy.of(executionId).length), [0, 0, 0]);
  const forbidden = await fetch(`${gateway.url}/rpc/events?project=B`, { headers: { authorization: `Bearer ${outside.key}` } });
  assert.deepEqual([forbidden.status, (await forbidden.json()).error.code], [403, 'FORBIDDEN']);
});

test('the judge: rules first, then what its model says, pushed once before the reply (JDG-3, JDG-4, T63)', async (t) => {
  const { gateway, client } = await serve(t);
  const ears = await ears_of(t, gateway, { project: 'p' });
  assert.equal((await client.call('judge:model:getstate', {})).state.status, 'not_ready');
  assert.equal((await client.call('judge:model:ensure', {})).state.status, 'ready');
  await mock.reset();
  await ok('Here you are: [{"severity":"medium","label":"flat_style"},{"severity":"critical","label":"no"},{"severity":"low","label":""}]');
  const request = { projectId: 'p', traceId: 'a'.repeat(32), text: '他走进了房间。', contextSummary: '第一人称' };
  const { accepted, result } = await client.call('judge:quality:evaluate', request);
  assert.deepEqual([accepted, result.severity, result.labels, result.partialChecksSkipped], [true, 'high', ['pov_inconsistent', 'flat_style'], false]);
  const { json } = await last_request(mock);
  assert.deepEqual([json.model, json.temperature], ['gpt-5.2', 0.1]);
  assert.deepEqual((await ears.until('result', ({ event }) => event === 'judge:quality:result')).data, result);
  // Metered like any run: it is on the books.
  assert.ok((await client.call('cost:usage:summary', {})).totalRequests >= 1);
  await status(mock, 400);
  const partial = await client.call('judge:quality:evaluate', { ...request, text: 'Again and again! Again and again!', contextSummary: 'none' });
  assert.deepEqual([partial.result.severity, partial.result.labels, partial.result.partialChecksSkipped], ['low', ['repetition'], true]);
  const of_judge = () => ears.heard.filter(({ event }) => event === 'judge:quality:result');
  await ears.until('the second result', () => of_judge().length === 2);
  assert.deepEqual(of_judge()[1].data, partial.result);
});

test('a spent session is free again after cost:budget:reset (T148)', async (t) => {
  const { client } = await serve(t, { policy: 'session_token_budget = 3000' });
  const run = () => settled(client.call('ai:skill:run', polish('spend', { sessionId: 'purse' })));
  let ended;
  for (let n = 0; n < 20 && !ended?.error; n += 1) ended = await run();
  assert.equal(ended.error?.code, 'AI_SESSION_TOKEN_BUDGET_EXCEEDED');
  const { sessionKey, currentTotal } = ended.error.details;
  const reset = await client.call('cost:budget:reset', { scope: 'session', id: sessionKey });
  assert.deepEqual(reset, { reset: true, previousTotal: currentTotal });
  assert.ok((await run()).data);
});

test('a failover is pushed and told in the reply, and one trace leads through it in the journal (FO-11, TRC-2)', async (t) => {
  const { place, gateway, client } = await serve(t);
  const ears = await ears_of(t, gateway);
  await mock.behave({ steps: [{ behavior: 'status', status: 503, match: { path: '/v1/chat/completions' } }] });
  const trace = 'c0ffee'.padEnd(32, '1');
  const reply = await client.call('ai:skill:run', polish('fail over', undefined, { model: 'both-at-once' }), { traceparent: `00-${trace}-b7ad6b7169203331-01` });
  assert.deepEqual([reply.traceId, reply.provider, reply.failover], [trace, 'anthropic', { from: 'openai', to: 'anthropic', reason: 'primary_unavailable' }]);
  const push = await ears.until('failover', ({ event }) => event === 'ai:provider:failover');
  const { from, to, reason, traceId, executionId } = push.data;
  assert.deepEqual([from, to, reason, traceId, executionId], ['openai', 'anthropic', 'primary_unavailable', trace, reply.executionId]);
  // after_trip: two are told to come again, the third moves on.
  await mock.behave({ steps: [{ behavior: 'status', status: 503, count: 0, match: { path: '/v1/chat/completions' } }] });
  const three = [];
  for (let n = 0; n < 3; n += 1) three.push(await settled(client.call('ai:skill:run', polish('trip', undefined, { model: 'both' }))));
  assert.deepEqual(three.map(({ data, error }) => data?.provider ?? error.code), ['AI_PROVIDER_UNAVAILABLE', 'anthropic', 'anthropic'], 'the failure above counts');
  assert.equal(three[2].data.failover.reason, 'primary_degraded');
  // Asked while it runs and after it.
  const shown = await place.done(['audit', 'show', trace, '--json']);
  const words = ['ai_run_started', 'ai_provider_failover', 'ai_leg_finished', 'ai_run_completed'];
  for (const word of words) assert.ok(shown.out.includes(word), `${word} is not in ${shown.out}`);
  for (const word of ['openai', 'anthropic']) assert.ok(shown.out.includes(word));
  assert.ok(!shown.out.includes(three[0].error.traceId));
  assert.equal(await gateway.command.stop(), 0);
  both_verify(place.data, 'after failovers');
  assert.match((await place.done(['audit', 'show', trace])).out, /ai_run_completed/);
});

test('with every provider down, chats, costs, settings and skills still answer (DEG-1)', async (t) => {
  const { client } = await serve(t);
  await mock.behave({ default: { behavior: 'status', status: 503 } });
  for (let n = 0; n < 5; n += 1) {
    const { error } = await settled(client.call('ai:skill:run', polish('nobody there', undefined, { model: 'both' })));
    assert.deepEqual([error.code, error.retryable], ['AI_PROVIDER_UNAVAILABLE', true]);
  }
  await client.call('ai:chat:send', { projectId: 'p', message: 'still here' });
  assert.equal((await client.call('ai:chat:list', { projectId: 'p' })).items.length, 1);
  const { providers } = await client.call('ai:config:get', {});
  assert.deepEqual(providers.filter(({ status: now }) => now === 'degraded').map(({ name }) => name).sort(), ['anthropic', 'openai']);
  assert.ok((await client.call('skill:registry:list', {})).items.length >= 10);
  await client.call('cost:usage:summary', {});
  await client.call('cost:budget:get', {});
  const tested = await client.call('ai:config:test', {});
  assert.deepEqual([tested.ok, tested.error.code], [false, 'LLM_API_ERROR']);
});
