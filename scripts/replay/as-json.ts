import { nextActionOf, rootOf, type Account } from './account';
import type { Verdict } from './determinism';

/** What `--json` prints. Times in ms. */
export function asJson(account: Account, verdict: Verdict) {
  const { chain, steps, children } = account;
  const [top, root] = [chain[0], rootOf(chain)];
  const failedStep = chain.findLast((link) => link.step !== null);
  return {
    workflowId: account.workflowId,
    runId: account.runId,
    type: account.type,
    deterministic: verdict.deterministic,
    ...(verdict.deterministic
      ? {}
      : { nonDeterminism: { explanation: verdict.explanation, message: verdict.message } }),
    outcome: account.outcome,
    detail: account.detail,
    failure:
      top === undefined
        ? null
        : {
            type: top.type,
            message: top.message,
            step: failedStep?.step ?? null,
            attempt: failedStep?.attempt ?? null,
            nextAction: nextActionOf(top.type),
            root: {
              type: root?.type,
              message: root?.message,
              nextAction: nextActionOf(root?.type),
            },
            chain,
          },
    steps: steps.map(
      ({ name, placement, status, reason, attempts, darkForMs, lastFailure, ...times }) => ({
        name,
        placement,
        status,
        reason,
        attempts,
        // The host's own time; for what is no step of a host, from schedule to close.
        ms: times.hostMs ?? between(times.scheduledMs, times.closedMs),
        scheduleToStartMs: between(times.scheduledMs, times.startedMs),
        startToCloseMs: between(times.startedMs, times.closedMs),
        darkForMs,
        lastFailure,
      }),
    ),
    children: children.map(({ workflowId, runId, type, outcome }) => ({
      workflowId,
      runId,
      type,
      outcome,
    })),
    happenings: account.happenings.map(({ what, outcome, atMs }) => ({
      what,
      outcome,
      afterMs: between(account.startedMs, atMs),
    })),
    blackouts: account.blackouts,
  };
}

/** Milliseconds from one moment to another, to the microsecond. */
export function between(from: number | null, to: number | null): number | null {
  return from === null || to === null ? null : Math.round((to - from) * 1000) / 1000;
}
