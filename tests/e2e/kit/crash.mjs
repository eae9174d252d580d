// A gateway that is killed again and again under load, and everything that must hold after each of its deaths.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { until } from './ask.mjs';
import { Books } from './books.mjs';
import { credentials, start_mock } from './gateway.mjs';
import { both_verify, JournalReader, verify } from './journal.mjs';
import { ask, crowd, random_of, traces_in } from './load.mjs';
import { Process } from './process.mjs';

const budget = 1_000_000_000;
const limited_per_minute = 12;
const window = 60_000;
export const restart_bound = 2_000;

// Providers that always fail, enough for one to trip in every third round.
const sick_count = (rounds) => Math.ceil(rounds / 3);

function configuration(mock, { durability, rounds, more = '' }) {
  const provider = (name, kind) => `
[[provider]]
name = "${name}"
kind = "${kind}"
base_url = "${mock.url}/${name}"
api_key = "env:E2E_${kind.toUpperCase()}_KEY"
`;
  const target = (name, model) => `{ provider = "${name}", model = "${model}" }`;
  const route = (model, failover, ...targets) => `
[[route]]
model = "${model}"
failover = "${failover}"
targets = [${targets.join(', ')}]
`;
  const main = target('main', 'gpt-5.2');
  const other = target('other', 'claude-sonnet-4-5');
  const calm = target('calm', 'gpt-5.2');  // nobody else's faults reach it
  const sick = Array.from({ length: sick_count(rounds) }, (_, n) => n);
  return `
[journal]
${durability ? `durability = "${durability}"` : ''}
segment_size = "1MiB"
checkpoint_records = 250

[timeouts]
leg = "1500ms"
first_byte = "1s"
idle = "500ms"

[retry]
backoff = "5,10"

[session]
project_token_budget = ${budget}

[policy.default]
requests_per_minute = 0
max_output_tokens = 0
session_token_budget = ${budget}
key_token_budget = ${budget}

[policy.limited]
requests_per_minute = ${limited_per_minute}
${more}
${provider('main', 'openai')}${provider('other', 'anthropic')}${provider('flaky', 'openai')}${provider('calm', 'openai')}
${sick.map((n) => provider(`sick${n}`, 'openai')).join('')}
${route('steady', 'immediate', main)}${route('claude', 'immediate', other)}
${route('mixed', 'immediate', target('flaky', 'gpt-5.2'), main, other)}
${sick.map((n) => route(`trip${n}`, 'after_trip', target(`sick${n}`, 'gpt-5.2'), calm)).join('')}`;
}

export class CrashWorld {
  constructor(options) {
    this.options = options;
    this.random = random_of(options.seed);
    this.folder = mkdtempSync(path.join(os.tmpdir(), 'tidegate-crash-'));
    this.data = path.join(this.folder, 'data');
    this.file = path.join(this.folder, 'tidegate.toml');
    this.reader = new JournalReader(this.data);
    this.books = new Books();
    this.calls = [];
    this.limited = [];
    this.limited_perhaps = [];
    this.starts = [];
    this.whole = 0;
    this.begun = 0;
    this.reached = 0;
  }

  async open() {
    this.mock = await start_mock();
    writeFileSync(this.file, configuration(this.mock, this.options));
    ({ key: this.key, id: this.key_id } = await this.make_key('load', 'default'));
    ({ key: this.limited_key } = await this.make_key('limited', 'limited'));
    await this.start();
  }

  async close() {
    await this.gateway?.stop();
    await this.mock.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async make_key(name, policy) {
    const made = new Process(['key', 'create', '--name', name, '--policy', policy, '--config', this.file, '--data', this.data],
      { environment: credentials });
    const timer = setTimeout(() => made.signal('SIGKILL'), 10_000);
    const { code } = await made.ended;
    clearTimeout(timer);
    const [, key] = made.text.match(/^(tg-\S+)$/m) ?? [];
    const [, id] = made.text.match(/^made (\S+) /m) ?? [];
    assert(code === 0 && key && id, `key create: exit ${code}: ${made.text}`);
    return { key, id };
  }

  spawn() {
    this.gateway = new Process(['serve', '--config', this.file, '--listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0',
      '--data', this.data], { environment: credentials, cwd: this.folder });
    return this.gateway;
  }

  async start() {
    const begun = performance.now();
    const { data, admin } = await this.spawn().event('listening');
    this.starts.push(performance.now() - begun);
    this.url = `http://${data}`;
    this.admin = `http://${admin}`;
  }

  async kill() {
    this.gateway.signal('SIGKILL');
    await this.gateway.ended;
  }

  // Dies on the way up, somewhere between its first instruction and its last.
  async start_and_kill() {
    this.spawn();
    await new Promise((resolve) => setTimeout(resolve, this.random.below(60)));
    await this.kill();
  }

  async fail_sick() {
    const forever = (name, status) => ({ behavior: 'status', status, count: 0, match: { path: `/${name}/v1/chat/completions` } });
    await this.mock.reset();
    await this.mock.behave({ steps: [forever('flaky', 503),
      ...Array.from({ length: sick_count(this.options.rounds) }, (_, n) => forever(`sick${n}`, 500))] });
  }

  async health() {
    const { providers } = await (await fetch(`${this.admin}/admin/v1/providers`)).json();
    return new Map(providers.filter(({ name }) => name.startsWith('sick')).map((p) => [p.name, p]));
  }

  // One failure of a sick provider in each round, the third trips it (FO-3). Told to the caller, hence on the record.
  async trip(round) {
    const n = Math.floor(round / 3);
    const call = await ask(this.url, { model: `trip${n}`, dialect: 'openai', prompt: 'trip' }, this.key);
    this.calls.push(call);
    if (round % 3 < 2) {
      assert.equal(call.code, 'AI_PROVIDER_UNAVAILABLE', `failure ${round % 3 + 1} of sick${n}: ${call.text}`);
    } else {
      assert(call.completed && /reason=primary_unavailable/.test(call.failover), `sick${n} trips: ${call.status} ${call.text}`);
    }
  }

  async assert_health(before, round) {
    const after = await this.health();
    for (const [name, was] of before) {
      const is = after.get(name);
      assert.equal(is.status, was.status, `${name} after the restart`);
      assert.equal(is.consecutiveFailures, was.consecutiveFailures, `failures of ${name} after the restart`);
      const moved = Math.abs(Date.parse(is.degradedAt ?? 0) - Date.parse(was.degradedAt ?? 0));
      assert(moved <= 5, `${name} degraded at ${was.degradedAt}, after the restart at ${is.degradedAt}`);
    }
    const tripped = Math.floor((round + 1) / 3);
    if (tripped === 0) return;
    const n = this.random.below(tripped);
    assert.equal(after.get(`sick${n}`).status, 'degraded');
    const call = await ask(this.url, { model: `trip${n}`, dialect: 'openai', prompt: 'after' }, this.key);
    this.calls.push(call);
    assert(call.completed && call.attempts === 1 && /reason=primary_degraded/.test(call.failover),
      `sick${n} is called after the restart: ${call.status} ${call.failover} ${call.text}`);
  }

  // RL-1, RL-4: restarts or not, never more than the limit in any window, and nobody is refused who has units left.
  async use_limited(calls) {
    for (let i = 0; i < calls; i += 1) {
      const call = await ask(this.url, { model: 'steady', dialect: 'openai', prompt: 'limited' }, this.limited_key);
      this.calls.push(call);
      // Cut off by the kill: its unit may be used or not.
      if (call.status === undefined) {
        this.limited_perhaps.push(call);
        continue;
      }
      if (call.code === 'AI_RATE_LIMITED') {
        const taken = [...this.limited, ...this.limited_perhaps].filter((c) => c.ended > call.began - window - 100).length;
        assert(taken >= limited_per_minute, `refused after ${taken} of ${limited_per_minute}`);
        continue;
      }
      assert.equal(call.status, 200, call.text);
      this.limited.push(call);
      if (this.options.durability === 'none') continue;  // a leg may go unrecorded, and its unit with it
      const sure = this.limited.filter((c) => call.ended - c.began < window - 100).length;
      assert(sure <= limited_per_minute, `${sure} calls within a minute, ${limited_per_minute} are allowed`);
    }
  }

  // What the gateway thinks is used, as operators and as callers see it, against the records' sum.
  async assert_balances() {
    const { budgets, reservations } = await (await fetch(`${this.admin}/admin/v1/status`)).json();
    assert.equal(reservations, 0, 'nobody calls, and reservations are held');
    const told = new Map(budgets.filter(({ settled }) => settled > 0).map(({ account, settled }) => [account, settled]));
    const sorted = (balances) => [...balances].sort();
    assert.deepEqual(sorted(told), sorted(this.books.balances), 'balances');
    const account = `key:${this.key_id}`;
    const call = await ask(this.url, { model: 'steady', dialect: 'openai', prompt: 'x', max_tokens: budget }, this.key);
    const [, used] = call.message?.match(/: (\d+) of \d+ tokens are used or reserved/) ?? [];
    assert.equal(Number(used), this.books.balances.get(account) ?? 0, `${account}: ${call.text}`);
  }

  async round(round) {
    await this.fail_sick();
    await this.trip(round);
    const before = await this.health();
    let over = false;
    const callers = Promise.all([
      crowd(this.url, this.key, this.random, this.options.callers ?? 16, () => over),
      this.use_limited(2),
    ]);
    callers.catch(() => {});  // heard of below
    await new Promise((resolve) => setTimeout(resolve, 50 + this.random.below(450)));
    over = true;
    await this.kill();
    this.calls.push(...(await callers)[0]);
    const arrived = traces_in(await this.mock.requests());
    const found = verify(this.data);
    assert.equal(found.code, 0, `after the kill: ${found.text}`);
    await this.check(before, round);
    this.reached += arrived.size;
    if (this.options.durability !== 'none') for (const trace of arrived) this.books.assert_recorded(trace);
  }

  async check(before, round) {
    if (round % 5 === 4) {
      await this.start_and_kill();
      await this.start_and_kill();
    }
    await this.start();
    // Recorded behind whatever the restart had to record.
    const first = await ask(this.url, { model: 'steady', dialect: 'openai', prompt: 'first' }, this.key);
    assert(first.completed, `the first call after the restart: ${first.status} ${first.text}`);
    this.calls.push(first);
    await this.assert_health(before, round);
    // With durability none the last call's end may still be on its way.
    const last = this.calls.at(-1).run_id;
    await until('the last call on the record', () => {
      this.books.take(this.reader.more());
      return this.books.runs.get(last)?.terminal;
    });
    assert.deepEqual(this.books.open_runs(), [], 'nobody calls, and runs are open');
    for (const call of this.calls) {
      if (this.options.durability !== 'none') this.books.assert_holds(call);
      this.whole += call.whole;
      this.begun += call.attempts > 0 && !call.whole;
    }
    this.calls = [];
    await this.assert_balances();
  }

  // T116: starts that have nothing to end add nothing to the sums.
  async assert_restart_changes_nothing() {
    const { restarts } = this.books;
    const was = { ...restarts };
    const balances = new Map(this.books.balances);
    await this.kill();
    await this.start();
    await this.kill();
    await this.start();
    await this.assert_balances();
    this.books.take(this.reader.more());
    assert.deepEqual(restarts, was);
    assert.deepEqual(this.books.balances, balances);
  }

  summary() {
    const { settled, released, terminals } = this.books.restarts;
    return `${this.options.rounds} kills (${this.options.durability ?? 'default'}): ${this.books.runs.size} runs, ${this.reached} of them reached a provider, ` +
      `${this.whole} replies whole and ${this.begun} begun, at restarts ${settled} settled in full, ${released} released, ` +
      `${terminals} runs ended; ${this.reader.sequence} records; start ${Math.max(...this.starts).toFixed(0)} ms at most`;
  }
}

// One gateway through so many deaths; says what it saw.
export async function campaign(options) {
  const world = new CrashWorld(options);
  try {
    await world.open();
    for (let round = 0; round < options.rounds; round += 1) {
      try {
        await world.round(round);
      } catch (error) {
        throw new Error(`TIDEGATE_SEED=${options.seed}, round ${round}: ${error.message}`, { cause: error });
      }
    }
    await world.assert_restart_changes_nothing();
    both_verify(world.data, 'while it runs');
    assert.equal(await world.gateway.stop(), 0);
    both_verify(world.data, 'at the end');
    const slowest = Math.max(...world.starts);
    assert(slowest <= restart_bound, `a start took ${slowest} ms`);
    return world.summary();
  } finally {
    await world.close();
  }
}
