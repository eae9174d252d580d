// What the records of a journal add up to, worked out beside the gateway's own fold; and whether that is what the callers
// saw. Every broken promise is an assertion that names the run.
import assert from 'node:assert/strict';

const terminals = /^ai_run_(completed|failed|canceled|timeout)$/;

export class Books {
  runs = new Map();       // by run id: {started, terminal, legs: Map(leg → reservation)}
  traces = new Map();     // run id by trace id
  balances = new Map();   // settled tokens or micro-dollars by account
  restarts = { settled: 0, released: 0, terminals: 0 };

  take(events) {
    for (const e of events) this.#take(e);
  }

  #run(id) {
    if (!this.runs.has(id)) this.runs.set(id, { legs: new Map() });
    return this.runs.get(id);
  }

  #take(e) {
    if (e.event === 'ai_run_started') {
      assert(!this.#run(e.runId).started, `run ${e.runId} starts twice`);
      this.#run(e.runId).started = e;
      this.traces.set(e.traceId, e.runId);
    } else if (e.event === 'ai_budget_reserved') {
      const run = this.#run(e.runId);
      assert(run.started && !run.terminal && !run.legs.has(e.leg), `run ${e.runId} reserves out of order`);
      run.legs.set(e.leg, { ...e, dispatched: false, ended: undefined });
    } else if (e.event === 'ai_leg_started') {
      const leg = this.#run(e.runId).legs.get(e.leg);
      assert(leg && !leg.ended, `leg ${e.leg} of ${e.runId} starts without a reservation`);
      leg.dispatched = true;
    } else if (e.event === 'ai_budget_settled' || e.event === 'ai_budget_released') {
      this.#end(e);
    } else if (terminals.test(e.event)) {
      const run = this.#run(e.runId);
      assert(run.started, `run ${e.runId} ends without a start`);
      assert(!run.terminal, `run ${e.runId} ends twice`);
      run.terminal = e;
      if (e.reason === 'gateway_restarted') this.restarts.terminals += 1;
    }
  }

  // BUD-5: once. BUD-6: at a restart in full where the leg had been dispatched, else not at all.
  #end(e) {
    const leg = this.#run(e.runId).legs.get(e.leg);
    assert(leg, `leg ${e.leg} of ${e.runId} ends without a reservation`);
    assert(!leg.ended, `leg ${e.leg} of ${e.runId} is settled or released twice`);
    assert.deepEqual(e.accounts, leg.accounts);
    leg.ended = e;
    const settled = e.event === 'ai_budget_settled';
    if (e.reason === 'gateway_restarted') {
      assert.equal(settled, leg.dispatched, `leg ${e.leg} of ${e.runId}: dispatched ${leg.dispatched}, settled ${settled}`);
      this.restarts[settled ? 'settled' : 'released'] += 1;
      assert.deepEqual([e.tokens, e.microUsd], [leg.tokens, leg.microUsd], `leg ${e.leg} of ${e.runId} is settled in part`);
    }
    if (!settled) return;
    assert(e.tokens > 0 && e.tokens <= leg.tokens, `leg ${e.leg} of ${e.runId}: ${e.tokens} of ${leg.tokens}`);
    for (const account of e.accounts) {
      const more = account.startsWith('usd:') ? e.microUsd : e.tokens;
      this.balances.set(account, (this.balances.get(account) ?? 0) + more);
    }
  }

  // Started without a terminal, or with a reservation that is neither settled nor released.
  open_runs() {
    const closed = (run) => (!run.started || run.terminal) && [...run.legs.values()].every(({ ended }) => ended);
    return [...this.runs].filter(([, run]) => !closed(run)).map(([id]) => id);
  }

  // TRC-2: nothing reaches a provider that is not on the record before it.
  assert_recorded(trace) {
    const run = this.runs.get(this.traces.get(trace));
    assert(run, `trace ${trace} reached a provider and is not on the record`);
    assert([...run.legs.values()].some(({ dispatched }) => dispatched), `trace ${trace} reached a provider without a leg on the record`);
  }

  // Whoever saw the end of a reply finds it recorded as it was told; whoever saw only its beginning finds the run.
  assert_holds(call) {
    if (!call.run_id || !(call.attempts > 0)) return;
    const run = this.runs.get(call.run_id);
    assert(run?.started, `run ${call.run_id}, begun to be answered, is not on the record`);
    const last = run.legs.get(call.attempts);
    assert(last?.dispatched, `leg ${call.attempts} of ${call.run_id}, answered, is not on the record`);
    // DB_ERROR promises nothing: what could not be synced may be found all the same.
    if (!call.whole || call.code === 'DB_ERROR') return;
    assert(run.terminal && run.terminal.reason !== 'gateway_restarted', `the end of run ${call.run_id} was told and is lost`);
    const completed = run.terminal.event === 'ai_run_completed';
    assert.equal(completed, call.completed, `run ${call.run_id}: told ${call.completed}, recorded ${run.terminal.event}`);
    if (!completed) return;
    assert.equal(last.ended.event, 'ai_budget_settled', `run ${call.run_id} was answered and not settled`);
    if (call.tokens !== undefined) assert.equal(last.ended.tokens, call.tokens, `run ${call.run_id} is charged wrongly`);
  }
}
