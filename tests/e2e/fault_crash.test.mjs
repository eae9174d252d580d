// kill -9 under load, again and again: what was acknowledged is on the record, and what the record says is what holds
// (BUD-5, BUD-6, TRC-2, TRC-3, NFR-2, RL-4; T116). tools/soak runs it for 1,000 rounds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Books } from './kit/books.mjs';
import { campaign, CrashWorld } from './kit/crash.mjs';
import { ask, fresh_seed } from './kit/load.mjs';

// Fifty rounds in all, most of them with the durability that is the default.
const share = Number(process.env.TIDEGATE_CRASH_ROUNDS ?? 50) / 50;
const campaign_max = 50;
const plan = [[undefined, 29], ['power', 7], ['process', 7], ['none', 7]];

for (const [durability, rounds] of plan) {
  test(`killed under load, durability ${durability ?? 'default'}`, { timeout: 3_600_000 }, async () => {
    for (let left = Math.ceil(rounds * share); left > 0; left -= campaign_max) {
      console.log(await campaign({ durability, rounds: Math.min(left, campaign_max), seed: fresh_seed() }));
    }
  });
}

// T95. Skill toggles are kept by the store and tested there.
test('T95: degradation, a total, a window and a cooldown outlive kill -9', async () => {
  const world = new CrashWorld({ seed: 1, rounds: 3, more: `
[policy.forty]
requests_per_minute = 60
max_output_tokens = 0
session_token_budget = 200000
` });
  try {
    await world.open();
    const { key, id } = await world.make_key('forty', 'forty');
    await world.fail_sick();
    const trip = () => ask(world.url, { model: 'trip0', dialect: 'openai', prompt: 'x' }, world.key);
    for (let i = 0; i < 3; i += 1) await trip();
    const steady = (more) => ask(world.url, { model: 'steady', dialect: 'openai', prompt: 'x', session: 'big', ...more }, key);
    await world.mock.behave({ append: [{ behavior: 'ok', usage: { prompt: 149_000, completion: 1_000 },
      match: { path: '/main/v1/chat/completions' } }] });
    assert.equal((await steady({ max_tokens: 150_000 })).tokens, 150_000);
    for (let i = 0; i < 39; i += 1) assert((await steady({ session: `s${i % 3}` })).completed);
    await world.mock.behave({ append: [{ behavior: 'status', status: 429, headers: { 'retry-after': '200' },
      match: { path: '/main/v1/chat/completions' } }] });
    assert.equal((await ask(world.url, { model: 'steady', dialect: 'openai', prompt: 'x' }, world.key)).code, 'AI_RATE_LIMITED');
    const status = async () => (await fetch(`${world.admin}/admin/v1/status`)).json();
    const seen = ({ providers, budgets, rates }) => ({
      health: providers.map((p) => [p.name, p.status, p.consecutiveFailures]),
      totals: budgets.map(({ account, settled }) => [account, settled]).sort(),
      used: rates.find(({ name }) => name === `key:${id}`).used,
    });
    const instants = ({ providers }) =>
      providers.flatMap((p) => [p.degradedAt, p.cooldownUntil]).map((at) => (at === undefined ? -1 : Date.parse(at)));
    const standing = await status();
    const was = seen(standing);
    assert.equal(was.used, 40);
    assert.equal(was.totals.find(([account]) => account.endsWith('big'))[1], 150_000);
    const arrived = (await world.mock.state()).total;
    for (let restarts = 0; restarts < 2; restarts += 1) {
      await world.kill();
      await world.start();
      const now = await status();
      assert.deepEqual(seen(now), was);
      // They are told relative to a clock that a restart reads anew.
      instants(now).forEach((at, i) => assert(Math.abs(at - instants(standing)[i]) <= 50, `instant ${i}`));
    }
    assert.match((await trip()).failover, /reason=primary_degraded/);
    assert.equal((await steady({})).code, 'AI_RATE_LIMITED');
    assert.equal((await world.mock.state()).total, arrived + 1, 'neither the degraded nor the resting provider is called');
  } finally {
    await world.close();
  }
});

// The books themselves: each thing that must not be is found when it is.
test('a double, a lost and a partial settlement are noticed', () => {
  const leg = { runId: 'r', leg: 1, accounts: ['key:k'], tokens: 10 };
  const begun = [{ event: 'ai_run_started', runId: 'r' }, { event: 'ai_budget_reserved', ...leg },
    { event: 'ai_leg_started', runId: 'r', leg: 1 }];
  const settled = { event: 'ai_budget_settled', ...leg };
  const ended = { event: 'ai_run_completed', runId: 'r' };
  const told = { run_id: 'r', attempts: 1, whole: true, completed: true, tokens: 10 };
  const books_of = (...more) => {
    const books = new Books();
    books.take([...begun, ...more]);
    return books;
  };
  const whole = books_of(settled, ended);
  assert.deepEqual([whole.open_runs(), whole.balances.get('key:k')], [[], 10]);
  whole.assert_holds(told);
  assert.deepEqual(books_of(settled).open_runs(), ['r']);
  assert.deepEqual(books_of(ended).open_runs(), ['r']);
  assert.throws(() => books_of(settled, settled), /twice/);
  assert.throws(() => books_of(settled, ended, ended), /twice/);
  assert.throws(() => books_of({ ...settled, tokens: 11 }), /11 of 10/);
  assert.throws(() => books_of({ ...settled, tokens: 9, reason: 'gateway_restarted' }), /in part/);
  assert.throws(() => books_of({ ...settled, event: 'ai_budget_released', reason: 'gateway_restarted' }), /dispatched/);
  assert.throws(() => books_of(settled).assert_holds(told), /is lost/);
  assert.throws(() => books_of({ ...settled, tokens: 9 }, ended).assert_holds(told), /wrongly/);
  assert.throws(() => new Books().assert_holds(told), /not on the record/);
});
