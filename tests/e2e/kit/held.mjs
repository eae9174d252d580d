// A provider that answers a call when the test says so: what is in flight at once, and in which order it came, is then
// seen without a clock. It speaks OpenAI's chat completions, streamed and not.
import http from 'node:http';

const body_of = async (request) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces).toString();
};

export class HeldProvider {
  static async start() {
    const provider = new HeldProvider();
    await new Promise((resolve) => provider.server.listen(0, '127.0.0.1', resolve));
    provider.url = `http://127.0.0.1:${provider.server.address().port}`;
    return provider;
  }

  constructor() {
    this.server = http.createServer((request, response) => this.#take(request, response).catch(() => {}));
    this.waiting = new Set();
    this.clear();
  }

  // Forgets what was; `hold` = false answers at once.
  clear(hold = true) {
    this.hold = hold;
    this.calls = [];
    this.active = 0;
    this.peak = 0;
  }

  async #take(request, response) {
    const call = { json: JSON.parse(await body_of(request) || '{}'), aborted: false, answered: false, at: performance.now() };
    call.said = call.json.messages?.findLast(({ role }) => role === 'user')?.content ?? '';
    call.answer = (text = 'An answer.') => {
      if (call.answered || call.aborted) return;
      call.answered = true;
      this.active -= 1;
      this.#answer(response, call.json, text);
    };
    response.on('close', () => {
      if (call.answered) return;
      call.aborted = true;
      this.active -= 1;
      this.#poke();
    });
    this.active += 1;
    this.peak = Math.max(this.peak, this.active);
    this.calls.push(call);
    if (!this.hold) call.answer();
    this.#poke();
  }

  #answer(response, { model, stream }, text) {
    const head = { id: 'chatcmpl-held', created: 1, model };
    if (!stream) {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ ...head, object: 'chat.completion',
        choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }] }));
      return;
    }
    const event = (delta, finish_reason = null) =>
      `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(`${event({ role: 'assistant', content: text })}${event({}, 'stop')}data: [DONE]\n\n`);
  }

  #poke() {
    for (const waiter of [...this.waiting]) waiter();
  }

  // Resolves once `holds()` does, asked whenever a call came or went.
  until(what, holds, limit = 15_000) {
    return new Promise((resolve, reject) => {
      const finish = (act, value) => {
        clearTimeout(timer);
        this.waiting.delete(waiter);
        act(value);
      };
      const waiter = () => holds() && finish(resolve);
      const timer = setTimeout(() => finish(reject, new Error(`${what}: not within ${limit} ms; ${this.calls.length} calls, ${this.active} active`)), limit);
      this.waiting.add(waiter);
      waiter();
    });
  }
  arrived(count) {
    return this.until(`${count} calls`, () => this.calls.length >= count);
  }

  stop() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }
}
