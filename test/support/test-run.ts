import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildWorkflowBundle } from '../../scripts/workflow-bundle';
import { startDevServer, type DevServer } from '../../tools/temporal/dev-server';
import { SharedStacks } from './shared-stacks';

/** Fleets of a size that tests can afford are to go on in another history too. */
const LONG_HISTORY = { 'limit.historyCount.suggestContinueAsNew': 200 };

/**
 * What all test files of one run of Jest have in common: a directory for everything temporary, one bundle of the workflow
 * code and, for those that need it, one dev server with stacks on it. Test files find it by environment variables.
 *
 * However the run ends, SIGKILL included, its processes end too and its directory goes: see sweeper.cjs.
 */
export class TestRun {
  #serving: Promise<{ readonly server: DevServer; readonly stacks: SharedStacks }> | undefined;

  private constructor(
    private readonly sweeper: ChildProcess,
    private readonly temporaryBefore: string | undefined,
  ) {}

  static async begin(): Promise<TestRun> {
    const temporaryBefore = process.env['TMPDIR'];
    const directory = mkdtempSync(join(tmpdir(), 'holdfast-test-'));
    const sweeper = spawn(process.execPath, [join(__dirname, 'sweeper.cjs'), directory], {
      detached: true,
      stdio: ['pipe', 'inherit', 'inherit'],
    });
    // All that the run starts inherits both, and is known by the first.
    process.env['HOLDFAST_TEST_RUN'] = directory;
    process.env['TMPDIR'] = directory;
    process.env['HOLDFAST_TEST_BUNDLE'] = await buildWorkflowBundle(
      join(directory, 'workflow-bundle.js'),
    );
    return new TestRun(sweeper, temporaryBefore);
  }

  /** Begins to start the server; meanwhile tests may run that need none. */
  serve(): void {
    this.#serving ??= startServer();
    // Whoever waits for it hears of it.
    this.#serving.catch(() => undefined);
  }

  /** When the server is up. */
  get serving(): Promise<unknown> | undefined {
    return this.#serving;
  }

  /** Stops the stacks that test files share: idle as they are, they would disturb what is measured. */
  async stopStacks(): Promise<void> {
    const serving = await this.#serving?.catch(() => undefined);
    await serving?.stacks.stop();
  }

  /** Stops everything. Fails if a test left a process behind. */
  async end(): Promise<void> {
    await this.stopStacks();
    const serving = await this.#serving?.catch(() => undefined);
    await serving?.server.stop();
    // With `--watch` there is a next run.
    if (this.temporaryBefore === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = this.temporaryBefore;
    this.sweeper.stdin?.end('finished');
    const [code] = (await once(this.sweeper, 'exit')) as [number | null];
    if (code !== 0)
      throw new Error('Tests left the processes running that are named above. They were ended.');
  }
}

async function startServer() {
  const server = await startDevServer({
    onProgress: (line) => process.stderr.write(`${line}\n`),
    dynamicConfig: LONG_HISTORY,
  });
  process.env['HOLDFAST_TEST_ADDRESS'] = server.address;
  process.env['HOLDFAST_TEST_UI'] = server.uiUrl;
  process.env['HOLDFAST_TEST_SERVER_PID'] = String(server.pid);
  const stacks = await SharedStacks.open(server.address);
  process.env['HOLDFAST_TEST_STACKS'] = stacks.url;
  return { server, stacks };
}
