// A scripted provider and a gateway in front of it, on ports that the system chose.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Process } from './process.mjs';

// `tidegate mock`: what the next calls do is set by behave(), what arrived is read by requests().
export async function start_mock() {
  const command = new Process(['mock', '--listen', '127.0.0.1:0']);
  const { address } = await command.event('mock_listening');
  const url = `http://${address}`;
  const call = async (method, where, body) => {
    const reply = await fetch(url + where, {
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    });
    const text = await reply.text();
    if (!reply.ok) throw new Error(`${method} ${where}: ${reply.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  };
  return {
    url,
    address,
    command,
    behave: (body) => call('POST', '/_mock/behavior', body),
    reset: async () => {
      await call('DELETE', '/_mock/behavior');
      await call('DELETE', '/_mock/requests');
    },
    requests: async () => (await call('GET', '/_mock/requests')).requests,
    state: () => call('GET', '/_mock/state'),
    stop: () => command.stop(),
  };
}

// `tidegate serve` with the given TOML, in a folder of its own.
export async function start_gateway(toml, { environment = {}, args = [] } = {}) {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'tidegate-e2e-'));
  const file = path.join(folder, 'tidegate.toml');
  await writeFile(file, toml);
  const command = new Process(
    ['serve', '--config', file, '--listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0',
      '--data', path.join(folder, 'data'), ...args],
    { environment, cwd: folder });
  const listening = await command.event('listening');
  return {
    url: `http://${listening.data}`,
    admin: `http://${listening.admin}`,
    file,
    folder,
    command,
    stop: async () => {
      const code = await command.stop();
      await rm(folder, { recursive: true, force: true });
      return code;
    },
  };
}

// Two providers, one of each kind, both played by the same mock; a route to each.
export function both_kinds(mock, { extra = '', policy = '' } = {}) {
  return `
[policy.default]
requests_per_minute = 0
${policy}
[[provider]]
name = "openai"
kind = "openai"
base_url = "${mock.url}"
api_key = "env:E2E_OPENAI_KEY"

[[provider]]
name = "anthropic"
kind = "anthropic"
base_url = "${mock.url}"
api_key = "env:E2E_ANTHROPIC_KEY"

[[route]]
model = "on-openai"
failover = "immediate"
targets = [{ provider = "openai", model = "gpt-5.2" }]

[[route]]
model = "on-anthropic"
failover = "immediate"
targets = [{ provider = "anthropic", model = "claude-sonnet-4-5" }]
${extra}`;
}

export const credentials = { E2E_OPENAI_KEY: 'sk-e2e-openai-key', E2E_ANTHROPIC_KEY: 'sk-e2e-anthropic-key' };
