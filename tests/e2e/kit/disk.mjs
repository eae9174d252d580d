// A disk whose Nth write or sync of the journal fails: strace answers in the kernel's place, for the files that a new journal
// begins with, or `anywhere`.
import { mkdirSync } from 'node:fs';
import path from 'node:path';

export class FailingDisk {
  // `when` as strace's: "3" for the third such call, "3+" for it and all behind it.
  constructor(data, syscall, error, when, { anywhere = false } = {}) {
    const journal = path.join(data, 'journal');
    mkdirSync(journal, { recursive: true, mode: 0o700 });
    const files = anywhere ? [] : [journal, path.join(journal, 'checkpoints.jsonl'), path.join(journal, `${'1'.padStart(20, '0')}.seg`)];
    // -D: the gateway stays our own child, so that signals reach it.
    this.wrap = ['strace', '-D', '-f', '-qq', '--signal=none', '--seccomp-bpf', '-o', '/dev/null', '-e', `trace=${syscall}`,
      '-e', `inject=${syscall}:error=${error}:when=${when}`, ...files.flatMap((file) => ['-P', file])];
  }
}
