// A matrix of cases against targets: every cell is a test of its own, and the table is printed at the end.
import { after, test } from 'node:test';

export function matrix(title, targets, cases, prepare) {
  const cells = new Map();
  for (const [name, check] of Object.entries(cases)) {
    for (const target of targets) {
      test(`${title}: ${name}: ${target}`, { timeout: 60_000 }, async (t) => {
        cells.set(`${name}/${target}`, 'FAIL');
        if (prepare) await prepare();
        await check(target, t);
        cells.set(`${name}/${target}`, 'ok');
      });
    }
  }
  after(() => {
    const width = Math.max(title.length, ...Object.keys(cases).map((name) => name.length));
    const row = (head, values) => [head.padEnd(width), ...values.map((value) => value.padEnd(14))].join('  ').trimEnd();
    console.log(row(title, targets));
    for (const name of Object.keys(cases)) {
      console.log(row(name, targets.map((target) => cells.get(`${name}/${target}`) ?? 'not run')));
    }
  });
}
