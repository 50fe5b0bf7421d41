import type { ReplayWorkerOptions } from '@temporalio/worker';
import type { History, RecordedRun } from '../recorded-runs/recorded-run';
import { accountOf, type Account } from './account';
import { verdictOn, type Verdict } from './determinism';

/** A run that was replayed, with what it tells of itself; both null where its history is missing. */
export interface ReplayedRun extends Omit<RecordedRun, 'history'> {
  readonly verdict: Verdict | null;
  readonly account: Account | null;
}

export type WorkflowCode = Pick<
  ReplayWorkerOptions,
  'workflowBundle' | 'workflowsPath' | 'bundlerOptions'
>;

/** Loaded only when it is needed: the native bridge costs a wrong argument a third of a second. */
async function loaded() {
  const { DefaultLogger, Runtime, Worker } = await import('@temporalio/worker');
  // The SDK logs what it throws as well, with stacks; we say it once, in words.
  Runtime.install({
    logger: new DefaultLogger('ERROR', () => undefined),
    telemetryOptions: { logging: { forward: {}, filter: 'OFF' } },
  });
  return Worker;
}
let loading: ReturnType<typeof loaded> | undefined;

/** Replays runs against the workflow code, one after the other and with one worker; holds one history at a time. */
export async function* replayAll(
  runs: AsyncIterable<RecordedRun>,
  code: WorkflowCode,
): AsyncGenerator<ReplayedRun> {
  const Worker = await (loading ??= loaded());
  const given: RecordedRun[] = [];
  const results = Worker.runReplayHistories({ ...code, replayName: 'replay' }, replayable());
  for await (const { error } of results) {
    for (let run = given.shift(); run !== undefined; run = given.shift()) {
      if (run.history === null) {
        yield unknown(run);
        continue;
      }
      yield replayed(run, run.history, error);
      break;
    }
  }
  for (const run of given) yield unknown(run);

  async function* replayable(): AsyncGenerator<{ workflowId: string; history: History }> {
    for await (const run of runs) {
      given.push(run);
      const { workflowId, history } = run;
      if (history !== null) yield { workflowId, history };
    }
  }
}

const unknown = ({ history: _history, ...run }: RecordedRun): ReplayedRun => ({
  ...run,
  verdict: null,
  account: null,
});

function replayed(
  { history: _history, ...run }: RecordedRun,
  history: History,
  error: Error | undefined,
): ReplayedRun {
  const account = accountOf({ workflowId: run.workflowId, history });
  const verdict: Verdict =
    error === undefined ? { deterministic: true } : verdictOn(error, history, account.buildIds);
  return { ...run, runId: run.runId || (account.runId ?? ''), verdict, account };
}
