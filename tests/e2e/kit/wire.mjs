// Calls without an SDK: what must be counted, timed, aborted or shown exactly as it is on the wire.
import http from 'node:http';

export const paths = { chat: '/v1/chat/completions', responses: '/v1/responses', messages: '/v1/messages' };
const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: 4096 });

// One request, its reply read to the end: {status, headers, text, json, ms}. `json` is absent where it is none. An event
// stream may break off, which is how it fails; then `broken` is true.
export function call(base, where, body, headers = {}, method = body === undefined ? 'GET' : 'POST') {
  const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const request = http.request(base + where, { method, agent,
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...headers } }, (reply) => {
      let received = '';
      reply.setEncoding('utf8');
      reply.on('data', (piece) => { received += piece; });
      const finish = (broken) => {
        const result = { status: reply.statusCode, headers: reply.headers, text: received, ms: performance.now() - began, broken };
        try {
          result.json = JSON.parse(received);
        } catch {
          // A stream, or nothing.
        }
        resolve(result);
      };
      reply.on('error', (error) => (/^text\/event-stream/.test(reply.headers['content-type']) ? finish(true) : reject(error)));
      reply.on('end', () => finish(false));
    });
    request.on('error', reject);
    request.end(text);
  });
}

// A streamed call that the caller may leave: `events` holds the data lines so far, `until(count)` waits for so many,
// `leave()` resets the connection, `ended` is what came in all.
export function stream(base, where, body, headers = {}) {
  const text = JSON.stringify(body);
  const events = [];
  const waiting = new Set();
  const poke = () => { for (const waiter of [...waiting]) waiter(); };
  let over = false;
  const finish = () => {
    over = true;
    poke();
  };
  const request = http.request(base + where, { method: 'POST', agent: false,
    headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...headers } });
  const state = { status: 0, headers: {}, text: '' };
  const ended = new Promise((resolve) => {
    request.on('response', (reply) => {
      state.status = reply.statusCode;
      state.headers = reply.headers;
      let rest = '';
      reply.setEncoding('utf8');
      reply.on('data', (piece) => {
        state.text += piece;
        rest += piece;
        const lines = rest.split('\n');
        rest = lines.pop();
        for (const line of lines) if (line.startsWith('data:')) events.push(line.slice(5).trim());
        poke();
      });
      reply.on('error', () => {});
      reply.on('close', finish);
    });
    request.on('error', finish);
    request.on('close', () => {
      finish();
      resolve(state);
    });
  });
  request.end(text);
  return {
    events,
    ended,
    until: (count) => new Promise((resolve, reject) => {
      const waiter = () => {
        if (events.length < count && !over) return;
        waiting.delete(waiter);
        if (events.length >= count) resolve();
        else reject(new Error(`the stream ended after ${events.length} of ${count} events: ${state.status} ${state.text.slice(-300)}`));
      };
      waiting.add(waiter);
      waiter();
    }),
    leave: () => {
      request.destroy();
      return ended;
    },
  };
}

// Every item once through `act`, at most `width` at a time.
export async function each(items, width, act) {
  const rest = items.entries();
  await Promise.all(Array.from({ length: width }, async () => {
    for (const [index, item] of rest) await act(item, index);
  }));
}

export function percentile(values, percent) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * percent / 100))];
}

// A trace id of one's own, so that the journal can be asked about this call.
let traces = 0;
export function new_trace() {
  const id = `e2e${process.pid}`.replace(/[^0-9a-f]/g, 'a').padEnd(20, '0') + (++traces).toString(16).padStart(12, '0');
  return { id, headers: { traceparent: `00-${id}-b7ad6b7169203331-01` } };
}
