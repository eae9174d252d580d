// The session surface as its users see it: the generated client, the pushes it hears, keys bound to projects.
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './process.mjs';

// Node takes the types off by itself; contract_client.test.mjs compiles them.
const folder = mkdtempSync(path.join(os.tmpdir(), 'tidegate-client-'));
copyFileSync(path.join(root, 'contract/client.ts'), path.join(folder, 'client.mts'));
export const { createClient, TidegateError } = await import(pathToFileURL(path.join(folder, 'client.mts')));
rmSync(folder, { recursive: true });

export const client_of = (gateway, apiKey) => createClient({ baseUrl: gateway.url, apiKey });

// Everything that is pushed to one subscriber from now on; resolves when the gateway has taken the subscription.
export async function listen(gateway, { apiKey, through = (response) => response, ...options } = {}) {
  const leave = new AbortController();
  const heard = [];
  const waiting = new Set();
  let taken;
  const open = new Promise((resolve) => { taken = resolve; });
  const client = createClient({ baseUrl: gateway.url, apiKey, fetch: async (...args) => {
    const response = await fetch(...args);
    taken();
    return through(response);
  } });
  const ended = (async () => {
    for await (const push of client.subscribe({ ...options, signal: leave.signal })) {
      heard.push(push);
      for (const waiter of [...waiting]) waiter();
    }
  })();
  ended.catch(taken);
  await open;
  return {
    heard,
    ended,
    of: (executionId) => heard.filter(({ data }) => data.executionId === executionId),
    statuses: (executionId) => heard.filter(({ event, data }) => event === 'skill:queue:status' && (!executionId || data.executionId === executionId)),
    // Resolves with the first push, past or coming, for which `matches(push)` holds.
    until: (what, matches, limit = 15_000) => new Promise((resolve, reject) => {
      const finish = (act, value) => {
        clearTimeout(timer);
        waiting.delete(waiter);
        act(value);
      };
      const waiter = () => {
        const found = heard.find(matches);
        if (found) finish(resolve, found);
      };
      const timer = setTimeout(() => finish(reject, new Error(`${what}: not pushed within ${limit} ms\n${JSON.stringify(heard).slice(-3000)}`)), limit);
      waiting.add(waiter);
      waiter();
    }),
    leave: () => {
      leave.abort();
      return ended.catch(() => {});
    },
  };
}

export const is_status = (status) => ({ event, data }) => event === 'skill:queue:status' && data.status === status;
export const is_done = ({ event }) => event === 'skill:stream:done';

// How a call ended: {data} or {error}.
export const settled = (promise) => promise.then((data) => ({ data }), (error) => {
  if (!(error instanceof TidegateError)) throw error;
  return { error };
});

export async function make_key(place, name, ...more) {
  const { out } = await place.done(['key', 'create', '--name', name, '--json', ...more]);
  return JSON.parse(out);
}

export const polish = (input, context = { projectId: 'p' }, more = {}) => ({ skillId: 'builtin:polish', input, context, ...more });
