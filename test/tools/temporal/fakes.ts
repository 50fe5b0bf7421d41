import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { cachedBinaryPath } from '../../../tools/temporal/cache';
import { temporalRequirement } from '../../../tools/temporal/requirement';

export const { cliVersion, goVersion } = temporalRequirement();

/** A shell script that answers `--version` as the wanted Temporal CLI does. */
export const TEMPORAL_SCRIPT = `#!/bin/sh\necho "temporal version ${cliVersion} (fake)"\n`;

/** A machine of its own: an empty PATH folder, an empty cache, no network. */
export interface FakeMachine {
  readonly bin: string;
  readonly env: NodeJS.ProcessEnv;
  /** Where the cached binary belongs. */
  readonly cached: string;
}

export function fakeMachine(): FakeMachine {
  const root = mkdtempSync(join(tmpdir(), 'holdfast-test-'));
  const bin = join(root, 'bin');
  const env: NodeJS.ProcessEnv = {
    PATH: bin,
    HOME: root,
    HOLDFAST_CACHE_DIR: join(root, 'cache'),
    HOLDFAST_TEMPORAL_DOWNLOAD_URL: 'off',
  };
  return { bin, env, cached: cachedBinaryPath(cliVersion, env) };
}

export function writeExecutable(path: string, script: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, script);
  chmodSync(path, 0o755);
  return path;
}

/**
 * A `go` that takes `seconds` to "build" the fake CLI, notes each run in `go.log` next to it, and leaves a file
 * in its work folder, as the real one does when it is killed.
 */
export function writeFakeGo(machine: FakeMachine, seconds: number): string {
  const log = join(machine.bin, 'go.log');
  writeExecutable(
    join(machine.bin, 'go'),
    `#!/bin/sh
PATH=/usr/bin:/bin
echo "pid $$ CGO_ENABLED=$CGO_ENABLED $*" >> '${log}'
echo half > "$GOTMPDIR/half-made"
while [ "$1" != -o ]; do shift; done
sleep ${seconds}
printf '%s' '${TEMPORAL_SCRIPT}' > "$2"
`,
  );
  return log;
}
