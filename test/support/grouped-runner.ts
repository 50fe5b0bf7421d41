import { availableParallelism } from 'node:os';
import TestRunner, { EmittingTestRunner, type TestEvents } from 'jest-runner';
import { TestRun } from './test-run';

/** Files that run in the same way. A file's name says in which group it is; CONTRIBUTING.md says how to choose. */
interface Group {
  /** `…<ending>.test.ts`; the first group that fits has the file. */
  readonly ending: string;
  /** How many of its files run at a time. */
  readonly atATime: number;
  readonly needsServer: boolean;
}

/** In the order in which they run. */
const GROUPS: readonly Group[] = [
  { ending: '', atATime: availableParallelism(), needsServer: false },
  { ending: '.server', atATime: 2, needsServer: true },
  { ending: '.alone', atATime: 1, needsServer: true },
];

export const groupOf = (path: string): Group | undefined =>
  GROUPS.toReversed().find(({ ending }) => path.endsWith(`${ending}.test.ts`));

/** Runs the files of one group after those of another, all in one run of Jest, with one dev server. */
export default class GroupedRunner extends EmittingTestRunner {
  readonly #runners: ReadonlyMap<Group, TestRunner>;

  constructor(...[config, context]: ConstructorParameters<typeof TestRunner>) {
    super(config, context);
    this.#runners = new Map(
      GROUPS.map((group) => {
        const maxWorkers = Math.min(group.atATime, config.maxWorkers);
        return [group, new TestRunner({ ...config, maxWorkers }, context)];
      }),
    );
  }

  override async runTests(
    ...[tests, watcher, options]: Parameters<TestRunner['runTests']>
  ): Promise<void> {
    const run = await TestRun.begin();
    try {
      if (tests.some(({ path }) => groupOf(path)?.needsServer)) run.serve();
      for (const [group, runner] of this.#runners) {
        const theirs = tests.filter(({ path }) => groupOf(path) === group);
        if (theirs.length === 0) continue;
        if (group.needsServer) await run.serving;
        if (group.atATime === 1) await run.stopStacks();
        const serial = options.serial || group.atATime === 1;
        await runner.runTests(theirs, watcher, { ...options, serial });
      }
    } finally {
      await run.end();
    }
  }

  override on<Name extends keyof TestEvents>(
    event: Name,
    listener: (data: TestEvents[Name]) => void | Promise<void>,
  ): () => void {
    const unsubscribes = [...this.#runners.values()].map((runner) => runner.on(event, listener));
    return () => {
      for (const unsubscribe of unsubscribes) unsubscribe();
    };
  }
}
