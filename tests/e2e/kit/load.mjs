// A crowd of callers that ask until the gateway is gone: whole and streamed, two dialects, sessions and projects, and a
// provider that by its prompts answers, waits, hangs, breaks off or fails.
import { randomBytes } from 'node:crypto';

// mulberry32: one seed gives one crowd.
export function random_of(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    below: (n) => Math.floor(next() * n),
    pick: (list) => list[Math.floor(next() * list.length)],
  };
}
export const fresh_seed = () => Number(process.env.TIDEGATE_SEED ?? randomBytes(4).readUInt32LE());

const faults = [...Array(24).fill(''), '[[mock:delay=40]]', '[[mock:hang]]', '[[mock:cut=2]]', '[[mock:stall=3]]',
  '[[mock:status=500]]', '[[mock:reset]]', '[[mock:in-stream-error=overloaded after=2]]', '[[mock:slow=400]]'];
const models = ['steady', 'steady', 'claude', 'mixed'];

export function some_call(random) {
  return {
    model: random.pick(models),
    dialect: random.next() < 0.7 ? 'openai' : 'anthropic',
    stream: random.next() < 0.5,
    session: random.next() < 0.8 ? `s${random.below(5)}` : undefined,
    project: random.next() < 0.4 ? `p${random.below(2)}` : undefined,
    prompt: `${random.pick(faults)} ${'word '.repeat(1 + random.below(30))}`,
    leaves: random.next() < 0.04,
  };
}

// The trace is in the prompt too, so that what reached the provider can be looked up in the journal.
export function request_of({ model, dialect, stream, session, project, prompt, trace, max_tokens = 64 }, key) {
  const anthropic = dialect === 'anthropic';
  const messages = [{ role: 'user', content: `${prompt} trace:${trace}` }];
  const body = { model, stream: Boolean(stream), max_tokens, messages };
  if (stream && !anthropic) body.stream_options = { include_usage: true };
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}`, traceparent: `00-${trace}-${trace.slice(16)}-01` };
  if (session) headers['x-tidegate-session'] = session;
  if (project) headers['x-tidegate-project'] = project;
  return { path: anthropic ? '/v1/messages' : '/v1/chat/completions', headers, body: JSON.stringify(body) };
}

export const traces_in = (requests) => new Set(requests.map(({ body }) => body?.match(/trace:([0-9a-f]{32})/)?.[1]).filter(Boolean));

// What the caller learns, as far as it comes: nothing, a head, or a whole reply. Never throws for a gateway that went away.
export async function ask(url, wanted, key) {
  const trace = randomBytes(16).toString('hex');
  const seen = { ...wanted, trace, began: Date.now(), whole: false, completed: false, attempts: 0, text: '' };
  const { path, ...request } = request_of(seen, key);
  const leaving = new AbortController();
  try {
    const reply = await fetch(url + path, { method: 'POST', ...request, signal: leaving.signal });
    seen.status = reply.status;
    seen.run_id = reply.headers.get('x-tidegate-run-id');
    seen.attempts = Number(reply.headers.get('x-tidegate-attempts') ?? 0);
    seen.provider = reply.headers.get('x-tidegate-provider');
    seen.failover = reply.headers.get('x-tidegate-failover') ?? '';
    if (wanted.leaves) {
      leaving.abort();
      return seen;
    }
    seen.text = await reply.text();
    seen.whole = true;
    read_reply(seen);
  } catch {
    // Gone in the middle; `whole` tells. A stream that the gateway broke off ends here too.
  } finally {
    seen.ended = Date.now();
  }
  return seen;
}

function read_reply(seen) {
  if (seen.status !== 200) {
    const { error, code } = JSON.parse(seen.text);
    seen.code = error.code ?? code;
    seen.message = error.message;
    return;
  }
  const anthropic = seen.dialect === 'anthropic';
  if (!seen.stream) {
    const { usage } = JSON.parse(seen.text);
    seen.completed = true;
    seen.tokens = anthropic ? usage.input_tokens + usage.output_tokens : usage.prompt_tokens + usage.completion_tokens;
    return;
  }
  seen.completed = anthropic ? seen.text.includes('event: message_stop') : seen.text.includes('data: [DONE]');
  // A stream that broke off is no whole reply, however tidily its connection ended.
  seen.whole = seen.completed || /^event: error$|"error":/m.test(seen.text);
  if (!seen.completed || anthropic) return;
  const usage = seen.text.split('\n').filter((line) => line.startsWith('data: {')).map((line) => JSON.parse(line.slice(6)).usage)
    .findLast(Boolean);
  if (usage) seen.tokens = usage.prompt_tokens + usage.completion_tokens;
}

// `crowd` callers go on asking until `over()`; gives back all that they saw.
export async function crowd(url, key, random, callers, over) {
  const seen = [];
  await Promise.all(Array.from({ length: callers }, async () => {
    while (!over()) {
      const call = await ask(url, some_call(random), key);
      seen.push(call);
      // A refused connection: the gateway is gone, or about to be known to be.
      if (call.status === undefined && !over()) await new Promise((resolve) => setImmediate(resolve));
    }
  }));
  return seen;
}
