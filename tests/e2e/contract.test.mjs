// The generated contract (RPC-4): in step with the schemas, whatever is changed in it, and sound by other people's tools.
import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import Ajv from '@redocly/ajv/dist/2020.js';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { run } from './kit/place.mjs';
import { root } from './kit/process.mjs';

const checked_in = path.join(root, 'contract');
let folder;
before(async () => { folder = await mkdtemp(path.join(os.tmpdir(), 'tidegate-contract-')); });
after(() => rm(folder, { recursive: true, force: true }));

let copies = 0;
async function copy() {
  copies += 1;
  const place = path.join(folder, `copy-${copies}`);
  await cp(checked_in, place, { recursive: true });
  return place;
}

// The mutation that `change` makes of one file; it must make one.
async function mutate(place, file, change) {
  const before_it = await readFile(path.join(place, file), 'utf8');
  const after_it = change(before_it);
  assert.notEqual(after_it, before_it, `nothing to change in ${file}`);
  await writeFile(path.join(place, file), after_it);
}

const check = (dir) => run(['contract', 'check', '--dir', dir]);

test('the contract that is checked in is what the schemas say', { timeout: 60_000 }, async () => {
  const { code, out, err } = await run(['contract', 'check'], { cwd: root });
  assert.equal(code, 0, err);
  assert.match(out, /^contract: \d+ files, as the schemas say\n$/);
});

test('generating anew gives the same files, and again changes nothing', async () => {
  const place = path.join(folder, 'anew');
  assert.equal((await run(['contract', 'generate', '--dir', place])).code, 0);
  const files = await readdir(place, { recursive: true });
  assert.deepEqual(files.sort(), (await readdir(checked_in, { recursive: true })).sort());
  assert.equal((await check(place)).code, 0);
  assert.match((await run(['contract', 'generate', '--dir', place])).out, / 0 written, 0 removed\n$/);
});

// C5, T80: each drift fails the check and is named.
const drifts = {
  'a renamed field': ['schemas/AiChatSendRequest.json', (text) => text.replace('"newSession"', '"freshSession"')],
  'a changed type': ['schemas/AiChatClearReply.json', (text) => text.replace('"type": "integer"', '"type": "string"')],
  'a new code': ['client.ts', (text) => text.replace('  "AI_AUTH_FAILED",\n', '  "AI_AUTH_FAILED",\n  "AI_NEW_CODE",\n')],
  'a code that is gone': ['openapi.json', (text) => text.replace('          "CONFLICT",\n', '')],
  'a field that is no longer required': ['openapi.json', (text) => text.replace('"required": ["projectId"]', '"required": []')],
  'a channel more': ['client.ts', (text) => text.replace('"ai:chat:send": {', '"ai:chat:spend": {')],
  'a push that is gone': ['client.ts', (text) => text.replace('  "cost:alert": CostAlertPush;\n', '')],
  'other line ends': ['client.ts', (text) => text.replaceAll('\n', '\r\n')],
  'no last line end': ['openapi.json', (text) => text.trimEnd()],
  'a changed client': ['client.ts', (text) => text.replace('redirect: "error"', 'redirect: "follow"')],
};
for (const [name, [file, change]] of Object.entries(drifts)) {
  test(`the check finds ${name}`, async () => {
    const place = await copy();
    await mutate(place, file, change);
    const { code, err } = await check(place);
    assert.equal(code, 1);
    const told = err.match(/^(.*):(\d+): not what the schemas say/);
    assert.equal(told?.[1], path.join(place, file), err);
    const before_it = (await readFile(path.join(checked_in, file), 'utf8')).split('\n');
    const after_it = (await readFile(path.join(place, file), 'utf8')).split('\n');
    const first = before_it.findIndex((text, at) => text !== after_it[at]);
    // A line end that is missing shows at the line that it should end.
    const line = after_it.length < before_it.length && first === after_it.length ? first : first + 1;
    assert.equal(Number(told[2]), line);
    // And generating mends it.
    assert.equal((await run(['contract', 'generate', '--dir', place])).code, 0);
    assert.equal((await check(place)).code, 0);
  });
}

test('the check finds a file that is missing and one that is too many', async () => {
  const missing = await copy();
  await rm(path.join(missing, 'schemas/Usage.json'));
  const gone = await check(missing);
  assert.equal(gone.code, 1);
  assert.match(gone.err, /Usage\.json: missing/);
  const many = await copy();
  await writeFile(path.join(many, 'schemas/AiOldRunRequest.json'), '{}\n');
  const old = await check(many);
  assert.equal(old.code, 1);
  assert.match(old.err, /AiOldRunRequest\.json: not a part of the contract/);
  assert.equal((await run(['contract', 'generate', '--dir', many])).code, 0);
  assert.equal((await check(many)).code, 0);
  assert.equal((await check(path.join(folder, 'nowhere'))).code, 1);
});

test('wrong usage ends with 2', async () => {
  for (const args of [['contract'], ['contract', 'compare'], ['contract', 'check', '--no-such'], ['contract', 'check', 'x']]) {
    assert.equal((await run(args)).code, 2, args.join(' '));
  }
});

const lint = async (source) => lintFromString({ source, config: await createConfig({ extends: ['recommended-strict'] }) });

test('the OpenAPI document passes a linter in its strictest setting', { timeout: 60_000 }, async () => {
  const source = await readFile(path.join(checked_in, 'openapi.json'), 'utf8');
  const problems = await lint(source);
  assert.deepEqual(problems.map(({ ruleId, message, location }) => `${ruleId} ${message} ${location[0]?.pointer}`), []);
  // The linter does look: it finds what is planted.
  const broken = JSON.parse(source);
  delete broken.components.schemas.Usage;
  delete broken.paths['/rpc/ai:chat:send'].post.operationId;
  const rules = (await lint(JSON.stringify(broken))).map(({ ruleId }) => ruleId);
  assert.ok(rules.includes('no-unresolved-refs') && rules.includes('operation-operationId'), rules.join(' '));
});

test('every schema compiles in strict mode and stands alone', async () => {
  const ajv = new Ajv.default({ strict: true, formats: { int64: true } });
  const files = (await readdir(path.join(checked_in, 'schemas'))).filter((name) => name.endsWith('.json'));
  assert.ok(files.length > 60);
  const schema_of = Object.fromEntries(await Promise.all(files.map(async (name) =>
    [name.slice(0, -5), ajv.compile(JSON.parse(await readFile(path.join(checked_in, 'schemas', name), 'utf8')))])));
  assert.ok(schema_of.AiChatSendRequest({ message: 'm', projectId: 'p' }));
  assert.ok(!schema_of.AiChatSendRequest({ message: 'm', projectId: 'p', extra: 1 }));
  assert.ok(schema_of.ErrorEnvelope({ ok: false, error: { code: 'CONFLICT', message: 'm', retryable: false }, meta: { requestId: 'r', ts: 1 } }));
  assert.ok(!schema_of.ErrorEnvelope({ ok: false, error: { code: 'CONFUSED', message: 'm', retryable: false }, meta: { requestId: 'r', ts: 1 } }));
});
