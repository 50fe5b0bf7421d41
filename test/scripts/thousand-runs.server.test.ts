import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { runTypeScript } from '../../tools/typescript/run-typescript';

/** All histories at once would take more than three times as much: with them held, this process dies. */
const MEMORY_MB = 64;

it('a run with 1,000 children is written and read one history at a time', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-thousand-'));
  try {
    const [file, report] = [join(directory, 'run.hfbundle'), join(directory, 'report.json')];
    await promisify(execFile)(process.execPath, [
      `--max-old-space-size=${MEMORY_MB}`,
      ...runTypeScript(join(__dirname, 'thousand-runs.ts')),
      file,
      report,
    ]);
    expect(JSON.parse(readFileSync(report, 'utf8'))).toMatchObject({
      written: 1_001,
      read: 1_001,
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
