// Every shell example of the README, run as printed against the scripted provider that ./run would start.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { start_gateway } from './kit/gateway.mjs';
import { Process, root } from './kit/process.mjs';

const text = await readFile(path.join(root, 'README.md'), 'utf8');
const examples = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, code]) => code);

let gateway;
before(async () => { gateway = await start_gateway('', { args: ['--mock'] }); });
after(() => gateway.stop());

test('the README has examples', () => assert.ok(examples.length >= 6));

for (const [at, code] of examples.entries()) {
  test(`README example ${at + 1}`, { timeout: 30_000 }, async () => {
    // Only the port differs from what is printed.
    const { stdout } = await promisify(execFile)('sh', ['-ec', code.replaceAll('http://127.0.0.1:8787', gateway.url)]);
    if (code.includes('"stream": true')) {
      const end = code.includes('/v1/messages') ? 'event: message_stop'
        : code.includes('/rpc/') ? 'event: skill:stream:done' : 'data: [DONE]';
      assert.ok(stdout.includes(end), stdout);
      assert.ok(!stdout.includes('"error"'), stdout);
    } else {
      const reply = JSON.parse(stdout);
      assert.equal(reply.error, undefined, stdout);
      if (code.includes('/rpc/')) assert.ok(reply.ok && reply.data.outputText.length > 0, stdout);
      else assert.ok((reply.choices ?? reply.content ?? reply.data).length > 0, stdout);
    }
  });
}

test('the configuration of the README is accepted', async () => {
  const [[, toml]] = [...text.matchAll(/^```toml\n([\s\S]*?)^```$/gm)];
  const folder = await mkdtemp(path.join(os.tmpdir(), 'tidegate-readme-'));
  const file = path.join(folder, 'tidegate.toml');
  await writeFile(file, toml);
  const check = new Process(['check', '--config', file], { cwd: folder });
  const { code } = await check.ended;
  await rm(folder, { recursive: true });
  assert.equal(code, 0, check.text);
});
