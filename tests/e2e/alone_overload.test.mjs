// When providers are down or callers are too many (DEG-1, GW-4): refusals are quick and say when to come back, what can be
// served is, memory stays bounded, and the end of the trouble is the end of it. Counts and laws are asserted; times are
// printed, and asserted only where they would mean that something hangs. Runs with nothing beside it.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import net from 'node:net';
import { once } from 'node:events';
import { after, before, beforeEach, test } from 'node:test';
import OpenAI from 'openai';
import { until } from './kit/ask.mjs';
import { credentials, start_mock } from './kit/gateway.mjs';
import { metric, Place, run } from './kit/place.mjs';
import { call, paths, percentile } from './kit/wire.mjs';

let mock;
before(async () => { mock = await start_mock(); });
after(() => mock.stop());
beforeEach(() => mock.reset());

const chat = { model: 'm', max_tokens: 64, messages: [{ role: 'user', content: 'Hello' }] };
const message = { ...chat };
function toml(urls, { failover = 'immediate', extra = '' } = {}) {
  const providers = urls.map((url, i) => `[[provider]]\nname = "p${i}"\nkind = "openai-compatible"\nbase_url = "${url}"\n`);
  const targets = urls.map((_, i) => `{ provider = "p${i}", model = "x" }`);
  return `[policy.default]\nrequests_per_minute = 0\n${extra}\n${providers.join('')}[[route]]\nmodel = "m"\nfailover = "${failover}"\ntargets = [${targets}]\n`;
}
async function serve(t, text) {
  const place = await Place.make(t, text, credentials);
  return place.start();
}
const figures = (times) => `p50 ${percentile(times, 50).toFixed(2)}, p99 ${percentile(times, 99).toFixed(2)}, max ${Math.max(...times).toFixed(2)} ms`;
async function closed_port() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

// --- every provider is down

const unavailable = () => mock.behave({ default: { behavior: 'status', status: 503 } });
const refusing = async () => `http://127.0.0.1:${await closed_port()}`;
const quick_retries = { extra: '[retry]\nbackoff = ["1ms"]' };
for (const [name, urls, options, down] of [
  ['one target answers 503', () => [mock.url], {}, unavailable],
  ['two targets answer 503', () => [mock.url, `${mock.url}/b`], {}, unavailable],
  ['three targets answer 503, after_trip', () => [mock.url, `${mock.url}/b`, `${mock.url}/c`], { failover: 'after_trip' }, unavailable],
  ['one target refuses connections', async () => [await refusing()], quick_retries, () => {}],
  ['two targets refuse connections', async () => [await refusing(), await refusing()], quick_retries, () => {}],
]) {
  test(`B11: all down, ${name}: every call is refused quickly, as data, and the rest goes on (DEG-1)`, { timeout: 60_000 }, async (t) => {
    const gateway = await serve(t, toml(await urls(), options));
    await down();
    const degraded = async () => (await (await fetch(`${gateway.admin}/admin/v1/providers`)).json()).providers.every(({ status }) => status !== 'healthy');
    await until('all breakers open', async () => {
      await call(gateway.url, paths.chat, chat);
      return degraded();
    });
    const times = [];
    for (let i = 0; i < 500; ++i) {
      const reply = await call(gateway.url, i % 2 ? paths.chat : paths.messages, i % 2 ? chat : message);
      times.push(reply.ms);
      assert.deepEqual([reply.status, (reply.json.error.code ?? reply.json.code)], [503, 'AI_PROVIDER_UNAVAILABLE']);
      assert.equal(reply.headers['x-should-retry'], undefined, 'worth asking again');
    }
    for (const where of ['/healthz', '/v1/models']) assert.equal((await call(gateway.url, where)).status, 200);
    assert.equal((await call(gateway.admin, '/readyz')).status, 200);
    assert.ok(await degraded());
    const inside = gateway.command.lines.filter(({ event }) => event === 'ai_run_failed').slice(-400).map(({ durationMs }) => durationMs);
    console.log(`all down, ${name}: refused in ${figures(times)}; inside the gateway ${figures(inside)}`);
    assert.ok(percentile(times, 99) < 1_000);
  });
}

test('a provider that comes back is found by the next call, not after a window (FO-8, T15, T111)', async (t) => {
  const gateway = await serve(t, toml([mock.url, `${mock.url}/b`]));
  await mock.behave({ default: { behavior: 'status', status: 503 } });
  for (let i = 0; i < 5; ++i) assert.equal((await call(gateway.url, paths.chat, chat)).status, 503);
  await mock.reset();
  assert.equal((await call(gateway.url, paths.chat, chat)).status, 200);
  await gateway.command.event('ai_provider_recovered');
});

test('every provider asks for a pause: retry-after is the shortest, and comes true (FO-4, T102, T103)', { timeout: 30_000 }, async (t) => {
  const gateway = await serve(t, toml([mock.url, `${mock.url}/b`]));
  const pause = (seconds) => ({ behavior: 'status', status: 429, headers: { 'retry-after': seconds } });
  await mock.behave({ steps: [pause(5), pause(2)] });
  const first = await call(gateway.url, paths.chat, chat);
  assert.deepEqual([first.status, first.json.error.code], [429, 'AI_RATE_LIMITED']);
  const began = performance.now();
  const promised = [];
  let reply;
  for (;;) {
    const asked = performance.now();
    reply = await call(gateway.url, paths.chat, chat);
    if (reply.status === 200) break;
    const wait = Number(reply.headers['retry-after-ms']);
    assert.equal(Number(reply.headers['retry-after']), Math.ceil(wait / 1000));
    promised.push(asked + wait);
    await new Promise((wake) => { setTimeout(wake, 5); });
  }
  const came = performance.now();
  assert.equal(reply.headers['x-tidegate-provider'], 'p1');
  assert.ok(promised.length > 10 && came - began <= 10_000);
  for (const promise of promised) assert.ok(promise <= came + 50, `promised ${promise - began}, came ${came - began}`);
  assert.equal((await mock.requests()).length, 3, 'who rests is left in peace');
  const range = [Math.min(...promised) - began, Math.max(...promised) - began].map((ms) => ms.toFixed(0));
  console.log(`pause of 2 s: refused ${promised.length} times, promised ${range.join(' to ')} ms, served after ${(came - began).toFixed(0)} ms`);
});

test('the SDK waits as it is told and is served', { timeout: 30_000 }, async (t) => {
  const gateway = await serve(t, toml([mock.url]));
  await mock.behave({ steps: [{ behavior: 'status', status: 429, headers: { 'retry-after': 1 } }] });
  const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'unused', maxRetries: 2 });
  const began = performance.now();
  assert.match((await client.chat.completions.create(chat)).choices[0].message.content, /Hello/);
  assert.ok(performance.now() - began >= 950);
  assert.equal((await mock.requests()).length, 2);
});

// --- more callers than places

const places = 40, service_ms = 100;
async function memory(gateway) {
  const status = await readFile(`/proc/${gateway.command.child.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)[1]) / 1024;
}
async function load(gateway, ...args) {
  const ended = await run(['load', '--url', `${gateway.url}${paths.chat}`, '--model', 'm', '--json', ...args], { limit: 60_000 });
  assert.equal(ended.code, 0, ended.err);
  const report = JSON.parse(ended.out);
  return report;
}

test('B11: five times the capacity: what can be served is, the rest is refused at once, and it ends with the load',
  { timeout: 120_000 }, async (t) => {
    const gateway = await serve(t, toml([mock.url], { extra: `[server]\nmax_in_flight = ${places}\n` }));
    await mock.behave({ default: { behavior: 'delay', delay_ms: service_ms } });
    const before = await memory(gateway);
    const peak = await load(gateway, '--connections', String(places), '--duration', '3s');
    const best = peak.completed / peak.seconds;
    assert.equal(peak.failed, 0, JSON.stringify(peak.errors));
    const after_peak = await memory(gateway);
    const rate = 5 * places * 1000 / service_ms;
    let over = false, crowd = 0;
    const rss = [], refused = [], others = [];
    const running = load(gateway, '--rate', String(rate), '--duration', '8s').finally(() => { over = true; });
    await until('the first refusal', async () => Object.keys(await metric(gateway, 'tidegate_refusals_total')).length > 0);
    while (!over) {
      for (let i = 0; i < 5 && !over; ++i) {
        const reply = await call(gateway.url, i % 2 ? paths.chat : paths.messages, i % 2 ? chat : message);
        if (reply.status === 503) {
          assert.equal(reply.json.error.code ?? reply.json.code, 'SERVER_OVERLOADED');
          assert.ok(Number(reply.headers['retry-after']) >= 1 && Number(reply.headers['retry-after-ms']) > 0);
          refused.push(reply.ms);
        } else {
          assert.equal(reply.status, 200);
          others.push(reply.ms);
        }
      }
      crowd = Math.max(crowd, (await mock.state()).active);
      rss.push(await memory(gateway));
    }
    const flood = await running;
    const ended = performance.now();
    // Back to what it was: as many at once as there are places, all served.
    await until('a whole round served', async () => {
      const replies = await Promise.all(Array.from({ length: places }, () => call(gateway.url, paths.chat, chat)));
      return replies.every(({ status }) => status === 200);
    });
    const recovery = performance.now() - ended;
    const good = flood.completed / flood.seconds;
    const { completed, failed, unfinished, unsent, errors } = flood;
    console.log(`overload: capacity ${places * 1000 / service_ms}/s, peak ${best.toFixed(0)}/s; offered ${rate}/s: ${good.toFixed(0)}/s served, ` +
      `${(100 * good / best).toFixed(0)} % of peak: ${JSON.stringify({ completed, failed, unfinished, unsent, errors })}`);
    console.log(`overload: refusals ${figures(refused)} (${refused.length} sampled); RSS ${before.toFixed(0)} MiB at start, ` +
      `${after_peak.toFixed(0)} at peak, ${Math.max(...rss).toFixed(0)} at most; recovered in ${recovery.toFixed(0)} ms`);
    assert.ok(crowd <= places, `${crowd} calls at the provider at once`);
    assert.deepEqual(Object.keys(errors).filter((reason) => !/503|SERVER_OVERLOADED/.test(reason)), [], 'nothing but refusals');
    assert.ok(good >= best / 2, 'a crowd must not stop the work');
    assert.ok(Math.max(...rss) < after_peak + 128, 'memory is bounded');
    assert.ok(recovery < 5_000);
    const status = await (await fetch(`${gateway.admin}/admin/v1/providers`)).json();
    assert.equal(status.inFlight, 0);
    assert.ok(status.providers.every((provider) => provider.status === 'healthy'), 'a refusal is not the provider\'s fault');
  });
