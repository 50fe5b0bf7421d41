import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { spawnGuarded, type GuardedProcess } from '../processes/spawn-guarded';
import type { TemporalRequirement } from './requirement';

const GO_PACKAGE = 'github.com/temporalio/cli/cmd/temporal';
const VERSION_VARIABLE = 'github.com/temporalio/cli/internal/temporalcli.Version';
const PROGRESS_INTERVAL_MS = 10_000;
const KEPT_LINES = 20;

/** The build was stopped by SIGINT or SIGTERM to this process; go has ended and nothing half-made is left. */
export class TemporalBuildInterrupted extends Error {
  override readonly name = 'TemporalBuildInterrupted';
  constructor(readonly signal: NodeJS.Signals) {
    super(
      `building the Temporal CLI was interrupted (${signal}); what go has compiled so far is kept`,
    );
  }
}

/** `go build` ended with an error; the message has the last lines of its output. */
export class TemporalBuildFailed extends Error {
  override readonly name = 'TemporalBuildFailed';
}

/**
 * Builds the Temporal CLI, with server and web UI, from Go sources into `scratchDirectory`.
 * About 6 minutes on 2 cores the first time; a later attempt goes on from what go has cached.
 * While it runs, SIGINT and SIGTERM end the build instead of this process.
 *
 * @returns path of the finished binary
 * Fails with {@link TemporalBuildFailed}, {@link TemporalBuildInterrupted}, or GuardedStartError when there is no `go`.
 */
export async function buildTemporal(
  requirement: TemporalRequirement,
  scratchDirectory: string,
  env: NodeJS.ProcessEnv,
  onProgress: (line: string) => void,
): Promise<string> {
  const file = join(scratchDirectory, 'temporal');
  const go = await spawnGuarded('go', buildArguments(requirement, file), {
    cwd: requirement.moduleDirectory,
    // GOTMPDIR: go leaves its work folder behind when it is killed, and ours is swept.
    env: { ...env, CGO_ENABLED: '0', GOWORK: 'off', GOTMPDIR: scratchDirectory },
    output: 'pipe',
  });
  onProgress(
    `building the Temporal CLI ${requirement.cliVersion} from source: about 6 minutes, needed once`,
  );
  const { lastLines, allRead } = reportProgress(go, onProgress);
  const { exit, interruptedBy } = await endOrInterruption(go);
  if (interruptedBy !== undefined) throw new TemporalBuildInterrupted(interruptedBy);
  if (exit.code !== 0) {
    await allRead;
    const end = exit.code === null ? `by ${exit.signal}` : `with code ${exit.code}`;
    throw new TemporalBuildFailed([`go build ended ${end}`, ...lastLines].join('\n'));
  }
  return file;
}

function buildArguments(requirement: TemporalRequirement, file: string): string[] {
  const linkerFlags = `-s -w -X ${VERSION_VARIABLE}=${requirement.cliVersion}`;
  return [
    'build',
    '-v',
    '-mod=readonly',
    '-trimpath',
    '-ldflags',
    linkerFlags,
    '-o',
    file,
    GO_PACKAGE,
  ];
}

interface BuildOutput {
  /** The last lines that are not mere progress; grows while go runs. */
  readonly lastLines: readonly string[];
  /** Settles when all output has been read: the news that go has ended may be faster than its last words. */
  readonly allRead: Promise<unknown>;
}

/** Counts what go reports and says it now and then. */
function reportProgress(go: GuardedProcess, onProgress: (line: string) => void): BuildOutput {
  const lastLines: string[] = [];
  const startedAt = Date.now();
  let packages = 0;
  let modules = 0;
  const follow = (line: string): void => {
    if (line.startsWith('go: downloading ')) modules += 1;
    else if (/^[^\s:#]+$/.test(line)) packages += 1;
    else if (lastLines.push(line) > KEPT_LINES) lastLines.shift();
  };
  const read = [go.stdout, go.stderr].map(async (stream) => {
    if (stream === null) return;
    await once(createInterface({ input: stream }).on('line', follow), 'close');
  });
  const timer = setInterval(() => {
    const elapsed = Math.round((Date.now() - startedAt) / 1000);
    const elapsedText = `${Math.floor(elapsed / 60)}m ${elapsed % 60}s`;
    onProgress(
      `building the Temporal CLI: ${elapsedText}, ${modules} modules downloaded, ${packages} packages compiled`,
    );
  }, PROGRESS_INTERVAL_MS);
  void go.exited.then(() => clearInterval(timer));
  return { lastLines, allRead: Promise.all(read) };
}

async function endOrInterruption(go: GuardedProcess) {
  let interruptedBy: NodeJS.Signals | undefined;
  const interrupt = (signal: NodeJS.Signals): void => {
    interruptedBy = signal;
    void go.stop();
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  try {
    const exit = await go.exited;
    return { exit, interruptedBy };
  } finally {
    process.removeListener('SIGINT', interrupt);
    process.removeListener('SIGTERM', interrupt);
  }
}
