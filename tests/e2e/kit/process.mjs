// Starts one of the binary's commands and waits for the log line that says it is ready. Nothing here sleeps.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import path from 'node:path';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
export const binary = process.env.TIDEGATE_BIN ?? path.join(root, 'build/release/tidegate');

// What must not leak in from the person's own environment: providers, configuration, proxies.
export function clean_environment(extra) {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(TIDEGATE_|OPENAI_|ANTHROPIC_)|_proxy$/i.test(name));
  return { ...Object.fromEntries(kept), ...extra };
}

// A test that dies leaves nothing behind.
const running = new Set();
process.on('exit', () => { for (const child of running) child.kill('SIGKILL'); });

// A running command. `lines` holds every JSON line it has logged. `wrap`: the words of a program to run it under.
export class Process {
  constructor(args, { environment = {}, cwd, wrap = [] } = {}) {
    this.args = args;
    this.lines = [];
    this.text = '';
    this.waiting = new Set();
    const [program, ...rest] = [...wrap, binary, ...args];
    this.child = spawn(program, rest, { cwd, env: clean_environment(environment), stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(this.child);
    this.ended = new Promise((resolve) => {
      this.child.on('error', (error) => resolve({ error }));
      this.child.on('close', (code, signal) => {
        running.delete(this.child);
        resolve({ code, signal });
      });
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => this.#take(line));
    }
  }

  #take(line) {
    this.text += `${line}\n`;
    let parsed;
    try {
      parsed = JSON.parse(line);
    } catch {
      return;
    }
    this.lines.push(parsed);
    for (const waiter of [...this.waiting]) waiter(parsed);
  }

  // The first line, past or coming, that `matches`; fails when the process ends or after `limit` ms.
  line(matches, limit = 15_000) {
    const past = this.lines.find(matches);
    if (past) return Promise.resolve(past);
    return new Promise((resolve, reject) => {
      const finish = (act, value) => {
        clearTimeout(timer);
        this.waiting.delete(waiter);
        act(value);
      };
      const waiter = (parsed) => matches(parsed) && finish(resolve, parsed);
      const lost = (why) => finish(reject, new Error(`${this.args.join(' ')}: ${why}\n${this.text}`));
      const timer = setTimeout(() => lost(`no such line within ${limit} ms`), limit);
      this.waiting.add(waiter);
      this.ended.then(({ code, signal, error }) => lost(error ? String(error) : `ended with ${code ?? signal}`));
    });
  }

  event(name, limit) {
    return this.line((parsed) => parsed.event === name, limit);
  }

  signal(name) {
    this.child.kill(name);
  }

  // Ends it and returns its exit code; a process that does not obey is killed, which shows as a signal.
  async stop(limit = 10_000) {
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), limit);
    const { code, signal } = await this.ended;
    clearTimeout(timer);
    return code ?? signal;
  }
}
