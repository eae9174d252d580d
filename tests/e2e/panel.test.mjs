// The writing tool's panel in examples/panel, in a browser, against a gateway and scripted providers.
// TIDEGATE_SCREENSHOTS=1 also writes the pictures that the README shows.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import * as panel from '../../examples/panel/serve.mjs';
import { credentials, start_gateway, start_mock } from './kit/gateway.mjs';
import { root } from './kit/process.mjs';

const limit = 30_000;
const pictures = path.join(root, 'docs/images');
const window_size = { width: 1280, height: 880 };

let browser;
before(async () => {
  [browser] = await Promise.all([
    // With a profile of its own, made for this run and gone with it.
    chromium.launch({
      executablePath: process.env.TIDEGATE_CHROMIUM ?? '/usr/bin/chromium',
      args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
        '--disable-background-networking', '--disable-component-update'],
    }),
    panel.compile(),
  ]);
}, { timeout: 60_000 });
after(() => browser?.close());

function configuration(primary, backup, session = '') {
  const target = (name, model) => `{ provider = "${name}", model = "${model}" }`;
  const provider = (kind, { url }) => `
[[provider]]
name = "${kind}"
kind = "${kind}"
base_url = "${url}"
api_key = "env:E2E_${kind.toUpperCase()}_KEY"
`;
  return `
[policy.default]
requests_per_minute = 0

[breaker]
failure_threshold = 1

[retry]
backoff = "5,10"

[judge]
advanced = false

[session]
model = "assistant"
${session}
${provider('openai', primary)}${backup ? provider('anthropic', backup) : ''}
[[route]]
model = "assistant"
targets = [${[target('openai', 'gpt-5.2'), ...(backup ? [target('anthropic', 'claude-sonnet-4-5')] : [])].join(', ')}]
`;
}

// A page on a gateway of its own; everything ends with the test, which fails on anything that the page throws or warns of.
async function open(t, { backup = false, session = '' } = {}) {
  const primary = await start_mock();
  t.after(() => primary.stop());
  const second = backup ? await start_mock() : undefined;
  t.after(() => second?.stop());
  const gateway = await start_gateway(configuration(primary, second, session), { environment: credentials });
  t.after(() => gateway.stop());
  const server = await panel.start({ gateway: gateway.url });
  t.after(() => server.stop());
  const context = await browser.newContext({ viewport: window_size, colorScheme: 'light', reducedMotion: 'reduce' });
  t.after(() => context.close());
  context.setDefaultTimeout(10_000);
  const page = await context.newPage();
  const faults = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => { if (message.type() === 'warning') faults.push(message.text()); });
  t.after(() => assert.deepEqual(faults, [], 'the page threw, or warned'));
  const listening = page.waitForResponse((response) => response.url().endsWith('/rpc/events'));
  await page.goto(server.url);
  await page.getByRole('button', { name: 'Polish' }).waitFor();
  await listening;
  return { page, primary, backup: second, gateway, server };
}

const text_of = (page) => page.getByRole('textbox', { name: 'Text', exact: true });
const answers = (page, state) => page.locator(state ? `.answer[data-state="${state}"]` : '.answer');
const answer = (page, number) => answers(page).nth(number);
const in_state = async (page, number, state) =>
  page.locator(`.answer >> nth=${number}`).and(page.locator(`[data-state="${state}"]`)).waitFor();
const shows = (locator, text) => locator.filter({ hasText: text }).first().waitFor();
const lists = (options, text) => options.filter({ hasText: text }).first().waitFor({ state: 'attached' });

async function say(page, message) {
  await page.getByRole('textbox', { name: 'Message' }).fill(message);
  await page.keyboard.press('Enter');
}

async function select(page, from, to) {
  await text_of(page).evaluate((area, [first, last]) => {
    const start = area.value.indexOf(first);
    area.focus();
    area.setSelectionRange(start, area.value.indexOf(last, start) + last.length);
  }, [from, to]);
  await shows(page.locator('.selection'), 'selected');
}
const select_steps = (page) => select(page, 'The steps were', 'one hand on the chain.');

// Answers of this text, a fragment each `interval_ms`.
const speak = (mock, text, interval_ms = 0) => mock.behave({ default: { behavior: 'ok', text, interval_ms, chunk_chars: 8 } });
// The next answer begins so, and comes no further until it is stopped.
const stall = (mock, text, after_events) =>
  mock.behave({ steps: [{ behavior: 'stall', after_events, text, chunk_chars: 8 }] });

async function picture(page, name) {
  if (process.env.TIDEGATE_SCREENSHOTS !== '1') return;
  await mkdir(pictures, { recursive: true });
  await page.screenshot({ path: path.join(pictures, `panel-${name}.png`), animations: 'disabled' });
}

const advice = 'The last line holds. What comes before it hurries: she calls, and the tower answers at once. Let her wait on the '
  + 'threshold for a sentence, and let her see that one of the plates has been used. Then the voice that comes back has something '
  + 'to be lower than.\n\nOne more thing: you tell us three times that the harbour master said it. Once is enough.';
const tightened = 'The steps were green and slick, and she climbed with one hand on the chain.';

test('stream: an answer appears while it is written, with its usage and the judge\'s label', { timeout: limit }, async (t) => {
  const { page, primary } = await open(t);
  await speak(primary, advice, 15);
  await say(page, 'Is the ending too abrupt?');
  const body = answer(page, 0).locator('.text');
  await shows(body, 'The last line holds.');
  assert.equal(await answer(page, 0).getAttribute('data-state'), 'running');
  assert.ok((await body.textContent()).length < advice.length, 'the text is shown before it is whole');
  await in_state(page, 0, 'completed');
  assert.equal(await body.textContent(), advice);
  await shows(page.locator('.judge'), 'Quality: no findings');
  await shows(page.locator('.usage'), /^Prompt: [\d,]+ \| Output: [\d,]+ \| Session: [\d,]+ tokens \| \$0\.\d+$/);
  await speak(primary, tightened, 5);
  await stall(primary, tightened, 7);
  await select_steps(page);
  await page.getByRole('button', { name: 'Condense' }).click();
  await shows(answer(page, 1).locator('.text'), 'slick, and');
  await picture(page, 'conversation');
  await answer(page, 1).getByRole('button', { name: 'Stop' }).click();
  await page.getByRole('button', { name: 'Run again' }).click();
  await in_state(page, 1, 'completed');
  await page.getByRole('button', { name: 'Replace selection' }).click();
  assert.match(await text_of(page).inputValue(), new RegExp(`set into the rock\\. ${tightened} At the top`));
  // What the chat keeps is there again after a reload.
  await page.reload();
  await shows(answer(page, 0), 'The last line holds.');
  assert.equal(await answers(page).count(), 1);
});

test('stop: the button ends the answer, here and at the provider, and what has come stays', { timeout: limit }, async (t) => {
  const { page, primary } = await open(t);
  await speak(primary, advice, 100);
  await say(page, 'Is the ending too abrupt?');
  await shows(answer(page, 0).locator('.text'), 'The last');
  await answer(page, 0).getByRole('button', { name: 'Stop' }).click();
  await in_state(page, 0, 'stopped');
  await shows(answer(page, 0).locator('.status'), 'Stopped');
  const kept = await answer(page, 0).locator('.text').textContent();
  assert.ok(kept.length > 0 && advice.startsWith(kept) && kept.length < advice.length, kept);
  assert.equal((await primary.state()).aborted, 1);
  await speak(primary, 'Short answer.');
  await page.getByRole('button', { name: 'Run again' }).click();
  await in_state(page, 0, 'completed');
  assert.equal(await answer(page, 0).locator('.text').textContent(), 'Short answer.');
  // The question was kept once, and is answered once.
  await page.reload();
  await shows(answer(page, 0), 'Short answer.');
  assert.equal(await page.locator('.question').count(), 1);
});

test('queue: of three clicks one runs, two see their place in line, and all are answered in order', { timeout: limit }, async (t) => {
  const { page, primary } = await open(t);
  await speak(primary, tightened, 20);
  await stall(primary, advice, 4);
  await select_steps(page);
  for (const skill of ['Polish', 'Rewrite', 'Condense']) await page.getByRole('button', { name: skill, exact: true }).click();
  await in_state(page, 0, 'running');
  await shows(answer(page, 1).locator('.status'), '1st in line');
  await shows(answer(page, 2).locator('.status'), '2nd in line');
  assert.equal((await primary.state()).total, 1, 'who waits has not reached the provider');
  await answer(page, 0).getByRole('button', { name: 'Stop' }).click();
  await in_state(page, 1, 'running');
  await shows(answer(page, 2).locator('.status'), '1st in line');
  await in_state(page, 1, 'completed');
  await in_state(page, 2, 'completed');
  assert.equal(await answer(page, 2).locator('.text').textContent(), tightened);
});

test('queue: a click held up on its way is not overtaken by the next, nor by one behind a stopped one', { timeout: limit }, async (t) => {
  const { page, primary } = await open(t);
  await speak(primary, tightened);
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  await page.route('**/rpc/ai:skill:run', async (route) => {
    await held;
    await route.continue();
  }, { times: 1 });
  let begun = 0;
  page.on('request', (request) => { begun += request.url().endsWith('/rpc/ai:skill:run') ? 1 : 0; });
  const order = [];
  page.on('response', (reply) => { if (reply.url().endsWith('/rpc/ai:skill:run')) order.push(reply.request().postDataJSON().skillId); });
  await select_steps(page);
  for (const skill of ['Polish', 'Rewrite', 'Condense']) await page.getByRole('button', { name: skill, exact: true }).click();
  await answer(page, 1).getByRole('button', { name: 'Stop' }).click();
  await in_state(page, 1, 'stopped');
  assert.equal(begun, 1, 'only the first has set out');
  release();
  await in_state(page, 0, 'completed');
  await in_state(page, 2, 'completed');
  assert.deepEqual(order, ['builtin:polish', 'builtin:condense']);
});

test('failover: the primary is pulled while it answers; the backup begins again, a notice names both', { timeout: limit }, async (t) => {
  const { page, primary, backup } = await open(t, { backup: true });
  await stall(primary, 'The last line holds, but the paragraph before it', 4);
  await speak(backup, advice, 5);
  await say(page, 'Is the ending too abrupt?');
  await shows(answer(page, 0).locator('.text'), 'The last line');
  primary.command.signal('SIGKILL');
  await in_state(page, 0, 'completed');
  assert.equal(await answer(page, 0).locator('.text').textContent(), advice, 'nothing of the first beginning is left');
  await shows(answer(page, 0).locator('.notice'), 'Answered by anthropic: openai is unavailable');
  await speak(backup, 'Keep the middle. Only the word “very” stands there three times.', 5);
  await say(page, 'And the middle?');
  await in_state(page, 1, 'completed');
  await shows(answer(page, 1).locator('.notice'), 'Answered by anthropic: openai is unavailable');
  await shows(answer(page, 1).locator('.judge'), 'Quality: ');
  await picture(page, 'failover');
});

test('candidates: three cards, the chosen one replaces the passage', { timeout: limit }, async (t) => {
  const { page, primary } = await open(t);
  await select_steps(page);
  const texts = [tightened, 'Green steps, wet through. She took them one at a time and held on to the chain.',
    'She climbed the slick green steps slowly, the chain cold in one hand.'];
  await primary.behave({ steps: texts.map((text) => ({ behavior: 'ok', text })) });
  await page.getByLabel('Three candidates').check();
  await page.getByRole('button', { name: 'Rewrite' }).click();
  await in_state(page, 0, 'completed');
  const cards = page.locator('.candidate');
  assert.deepEqual((await cards.locator('.text').allTextContents()).toSorted(), texts.toSorted());
  for (const index of [0, 1, 2]) await shows(cards.nth(index).locator('.judge'), 'Quality: no findings');
  await shows(page.locator('.usage'), 'Session: ');
  await picture(page, 'candidates');
  const chosen = await cards.nth(1).locator('.text').textContent();
  await cards.nth(1).getByRole('button', { name: 'Use this' }).click();
  assert.ok((await text_of(page).inputValue()).includes(`set into the rock. ${chosen} At the top`));
  await shows(cards.nth(1), 'Used');
  assert.equal(await page.getByRole('button', { name: 'Use this' }).count(), 0, 'one is chosen once');
});

test('candidates wait in line like others, and can be stopped there', { timeout: limit }, async (t) => {
  const { page, primary } = await open(t);
  await stall(primary, advice, 4);
  await select_steps(page);
  await page.getByRole('button', { name: 'Polish' }).click();
  await in_state(page, 0, 'running');
  await page.getByLabel('Three candidates').check();
  for (const skill of ['Rewrite', 'Condense']) await page.getByRole('button', { name: skill }).click();
  await shows(answer(page, 1).locator('.status'), '1st in line');
  await shows(answer(page, 2).locator('.status'), '2nd in line');
  await answer(page, 1).getByRole('button', { name: 'Stop' }).click();
  await in_state(page, 1, 'stopped');
  await shows(answer(page, 2).locator('.status'), '1st in line');
  await answer(page, 0).getByRole('button', { name: 'Stop' }).click();
  await in_state(page, 2, 'completed');
  assert.equal(await answer(page, 2).locator('.candidate').count(), 3);
  assert.equal((await primary.state()).total, 4, 'who was stopped in line has not reached the provider');
});

test('capacity: a full chat hints at archiving, and the question is answered in a new one', { timeout: limit }, async (t) => {
  const { page, primary } = await open(t, { session: 'chat_capacity = 2' });
  await speak(primary, 'A first answer.');
  await say(page, 'First question');
  await in_state(page, 0, 'completed');
  await say(page, 'Second question');
  const hint = page.locator('.hint.capacity');
  await shows(hint, 'This chat is full');
  await shows(hint, 'CONFLICT');
  await speak(primary, 'A second answer.');
  await hint.getByRole('button', { name: 'Archive and continue' }).click();
  await shows(answer(page, 0), 'A second answer.');  // the old chat's answer, completed as well, stands there before
  await in_state(page, 0, 'completed');
  assert.equal(await answer(page, 0).locator('.text').textContent(), 'A second answer.');
  const chats = page.getByRole('combobox', { name: 'Chat' });
  await lists(chats.locator('option'), 'First question (archived)');
  await lists(chats.locator('option'), 'Second question');
  assert.deepEqual((await chats.locator('option').allTextContents()).toSorted(), ['First question (archived)', 'Second question']);
  await chats.selectOption('First question (archived)');
  await shows(answer(page, 0), 'A first answer.');
  assert.ok(await page.getByRole('textbox', { name: 'Message' }).isDisabled(), 'an archived chat is read, not written');
});

test('provider down: the error says so and can be retried; writing, history and archiving go on', { timeout: limit }, async (t) => {
  const { page, primary } = await open(t);
  await speak(primary, 'An answer from better days.');
  await say(page, 'Old question');
  await in_state(page, 0, 'completed');
  await page.getByRole('button', { name: 'New' }).click();
  await primary.behave({ default: { behavior: 'status', status: 503 } });
  await say(page, 'New question');
  await in_state(page, 0, 'failed');
  const problem = answer(page, 0).getByRole('alert');
  await shows(problem, 'AI_PROVIDER_UNAVAILABLE');
  assert.match(await problem.textContent(), /trace [0-9a-f]{32}/);
  await shows(page.locator('.banner'), 'You can go on writing');
  await picture(page, 'provider-down');

  await text_of(page).press('ControlOrMeta+End');
  await text_of(page).pressSequentially(' She waited.');
  assert.match(await text_of(page).inputValue(), /question\. She waited\.$/);
  const chats = page.getByRole('combobox', { name: 'Chat' });
  await chats.selectOption('Old question');
  await shows(answer(page, 0), 'An answer from better days.');
  await page.getByRole('button', { name: 'Archive' }).click();
  await lists(chats.locator('option'), 'Old question (archived)');
  await chats.selectOption('New question');

  await speak(primary, 'Back again.');
  await problem.getByRole('button', { name: 'Retry' }).click();
  await in_state(page, 0, 'completed');
  assert.equal(await answer(page, 0).locator('.text').textContent(), 'Back again.');
  await page.locator('.banner').waitFor({ state: 'hidden' });
});

test('gateway gone: the page says so, stays usable, and lets one try again', { timeout: limit }, async (t) => {
  const { page, gateway } = await open(t);
  gateway.command.signal('SIGKILL');
  await gateway.command.ended;
  await say(page, 'Anybody there?');
  await in_state(page, 0, 'failed');
  await shows(answer(page, 0).getByRole('alert'), 'OFFLINE');
  await shows(page.locator('.banner'), 'The gateway cannot be reached. You can go on writing');
  await text_of(page).fill('Still here.');
  await shows(page.locator('#word-count'), '2 words');
  await shows(answer(page, 0).getByRole('button'), 'Retry');
});

test('errors: a retry waits as long as the gateway asked, counting down', { timeout: limit }, async (t) => {
  const { page, primary } = await open(t);
  await page.clock.install();
  await page.clock.pauseAt(Date.now() + 60_000);
  await primary.behave({ steps: [{ behavior: 'status', status: 429, headers: { 'retry-after': '70' } }] });
  await say(page, 'Hello?');
  const problem = answer(page, 0).getByRole('alert');
  await shows(problem, 'AI_RATE_LIMITED');
  const retry = problem.getByRole('button');
  assert.equal(await retry.textContent(), 'Retry in 70 s');
  await page.clock.runFor(69_000);
  assert.equal(await retry.textContent(), 'Retry in 1 s');
  assert.ok(await retry.isDisabled());
  await page.clock.runFor(1_000);
  await page.clock.resume();
  await problem.getByRole('button', { name: 'Retry', exact: true }).click();
  await in_state(page, 0, 'completed');
});

test('judge: a finding stands under the answer it is about', { timeout: limit }, async (t) => {
  const { page, primary } = await open(t);
  await speak(primary, 'How dark it was! Nobody came! How dark it was!');
  await say(page, 'Continue in my tone.');
  await shows(answer(page, 0).locator('.judge'), 'Quality: low · repetition');
  await page.getByLabel('Check quality').uncheck();
  await say(page, 'Once more.');
  await in_state(page, 1, 'completed');
  assert.equal(await answer(page, 1).locator('.judge').count(), 0, 'who does not want the check does not get it');
});

test('cost: the guard\'s alert is told, and its hard stop is an error that no retry helps', { timeout: limit }, async (t) => {
  const { page } = await open(t, { session: 'cost_warning_usd = 0.0001\ncost_hard_stop_usd = 0.0002' });
  await say(page, 'Hello');
  await in_state(page, 0, 'completed');
  await page.locator('.banner .cost').waitFor();
  await say(page, 'Hello again');
  await in_state(page, 1, 'failed');
  const problem = answer(page, 1).getByRole('alert');
  await shows(problem, 'COST_BUDGET_EXCEEDED');
  assert.equal(await problem.getByRole('button').count(), 0);
});

test('chats: two first messages at once make one chat, which is found again', { timeout: limit }, async (t) => {
  const { page } = await open(t);
  await say(page, 'First');
  await say(page, 'Second');
  await in_state(page, 0, 'completed');
  await in_state(page, 1, 'completed');
  await page.getByRole('button', { name: 'New' }).click();
  await say(page, 'Elsewhere');
  await in_state(page, 0, 'completed');
  await page.reload();
  const chats = page.getByRole('combobox', { name: 'Chat' });
  await lists(chats.locator('option'), 'First');
  assert.deepEqual(await chats.locator('option').allTextContents(), ['Elsewhere', 'First']);
  await chats.selectOption('First');
  await shows(answer(page, 1), 'You said: ');
  assert.equal(await page.locator('.question').count(), 2);
});

test('chats: who asks before the list has come stays with the question', { timeout: limit }, async (t) => {
  const { page } = await open(t);
  await say(page, 'An older chat');
  await in_state(page, 0, 'completed');
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  await page.route('**/rpc/ai:chat:sessions', async (route) => {
    await held;
    await route.continue();
  });
  const asked = page.waitForRequest('**/rpc/ai:chat:sessions');
  await page.reload();
  await asked;
  await say(page, 'A new one');
  await shows(page.locator('.question'), 'A new one');
  release();
  await in_state(page, 0, 'completed');
  await shows(answer(page, 0), 'You said: A new one');
  const chats = page.getByRole('combobox', { name: 'Chat' }).locator('option');
  await lists(chats, 'A new one');
  assert.deepEqual(await chats.allTextContents(), ['A new one', 'An older chat']);
});

test('text: markup in a message, an answer or a title stays text', { timeout: limit }, async (t) => {
  const { page } = await open(t);
  const markup = '<img src=x onerror="document.title=1"><b>bold</b>';
  await say(page, markup);
  await in_state(page, 0, 'completed');
  assert.equal(await answer(page, 0).locator('.text').textContent(), `You said: ${markup}`);
  await page.reload();
  await shows(answer(page, 0), markup);
  assert.equal(await page.locator('.log img, .log b').count(), 0);
});

test('keyboard: everything is reached and done without a pointer', { timeout: limit }, async (t) => {
  const { page, primary } = await open(t);
  await speak(primary, advice, 100);
  await text_of(page).focus();
  await page.keyboard.press('ControlOrMeta+a');
  const name = () => page.evaluate(() => document.activeElement.textContent || document.activeElement.getAttribute('aria-label'));
  for (const seen = []; (await name()) !== 'Polish';) {
    seen.push(await name());
    assert.ok(seen.length < 20, `Tab does not lead to the skills: ${seen.join(', ')}`);
    await page.keyboard.press('Tab');
  }
  await page.keyboard.press('Enter');
  await in_state(page, 0, 'running');
  await page.keyboard.press('Escape');
  await in_state(page, 0, 'stopped');
});

test('server: neither another site nor another name gets through to the gateway', { timeout: limit }, async (t) => {
  const { server } = await open(t);
  const status = (headers) => new Promise((resolve, reject) => {
    http.request(`${server.url}rpc/ai:config:get`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers } },
      (reply) => resolve(reply.resume().statusCode)).on('error', reject).end('{}');
  });
  const { host, origin } = new URL(server.url);
  assert.equal(await status({ origin }), 200);
  assert.equal(await status({ origin: 'http://evil.example' }), 403);
  assert.equal(await status({ host: `evil.example:${host.split(':')[1]}` }), 403);
  assert.equal((await fetch(`${server.url}..%2fserve.mjs`)).status, 404);
});
