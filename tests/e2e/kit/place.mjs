// One data directory with its configuration: gateways are started on it, killed and started again, and the other commands
// are run against it, whether somebody serves from it or not.
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { binary, clean_environment, Process } from './process.mjs';

// Runs a command to its end: exit code (or signal), standard output, standard error.
export function run(args, { input = '', environment = {}, cwd, limit = 60_000 } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(binary, args, { cwd, env: clean_environment(environment), stdio: ['pipe', 'pipe', 'pipe'] });
    const timer = setTimeout(() => child.kill('SIGKILL'), limit);
    const kept = { out: [], err: [] };
    child.stdout.on('data', (block) => kept.out.push(block));
    child.stderr.on('data', (block) => kept.err.push(block));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code: code ?? signal, out: Buffer.concat(kept.out).toString(), err: Buffer.concat(kept.err).toString() });
    });
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

export class Place {
  // Gone when the test `t` has ended, with everything that was started on it.
  static async make(t, toml, environment = {}) {
    const place = new Place();
    place.folder = await mkdtemp(path.join(os.tmpdir(), 'tidegate-place-'));
    place.file = path.join(place.folder, 'tidegate.toml');
    place.data = path.join(place.folder, 'data');
    place.environment = environment;
    place.gateways = [];
    await place.write(toml);
    t.after(async () => {
      // Killed by the test, or drained and gone in peace.
      const codes = await Promise.all(place.gateways.map(async ({ command }) => (command.child.signalCode === 'SIGKILL' ? 0 : command.stop())));
      await rm(place.folder, { recursive: true, force: true });
      const bad = codes.findIndex((code) => code !== 0);
      if (bad >= 0) throw new Error(`serve ended with ${codes[bad]}\n${place.gateways[bad].command.text.slice(-20_000)}`);
    });
    return place;
  }

  write(toml) {
    return writeFile(this.file, toml);
  }

  // `tidegate serve` on ports that the system chooses.
  async start(listen) {
    const command = this.launch(listen);
    const { data, admin } = await command.event('listening');
    return { command, url: `http://${data}`, admin: `http://${admin}`, port: Number(data.split(':').at(-1)) };
  }

  // The same, without waiting for it to listen.
  launch(listen = '127.0.0.1:0') {
    const command = new Process(
      ['serve', '--config', this.file, '--listen', listen, '--admin-listen', '127.0.0.1:0', '--data', this.data],
      { environment: this.environment, cwd: this.folder });
    this.gateways.push({ command });
    return command;
  }

  run(args, options = {}) {
    return run([...args, '--config', this.file, '--data', this.data],
      { environment: this.environment, cwd: this.folder, ...options });
  }

  // The run must succeed.
  async done(args, options) {
    const ended = await this.run(args, options);
    if (ended.code !== 0) throw new Error(`${args.join(' ')}: ${ended.code}\n${ended.err}`);
    return ended;
  }

  // What the journal holds, oldest first: the events with their fields.
  async records() {
    const { out } = await this.done(['audit', 'export']);
    return out.split('\n').filter(Boolean).map((line) => JSON.parse(line)).filter(({ type }) => type === 'event').map(({ data }) => data);
  }
}

// kill -9, and not on before it is dead.
export async function kill(gateway) {
  gateway.command.signal('SIGKILL');
  await gateway.command.ended;
}

// The running gateway reads its configuration again.
export async function reload(gateway) {
  const reply = await fetch(`${gateway.admin}/admin/v1/reload`, { method: 'POST' });
  if (!reply.ok) throw new Error(`reload: ${reply.status} ${await reply.text()}`);
}

// Values of a metric, by their label text: {'code="X"': 3}.
export async function metric(gateway, name) {
  const text = await (await fetch(`${gateway.admin}/metrics`)).text();
  const values = {};
  for (const [, labels, value] of text.matchAll(new RegExp(`^${name}(?:\\{(.*)\\})? (\\S+)$`, 'gm'))) values[labels ?? ''] = Number(value);
  return values;
}
