import { toMs } from '../contract/durations';
import type { HostSurvey, PastBlackout } from '../contract/host';
import type { BlackoutAllowance } from '../contract/inputs';
import type { VmVerdict } from '../contract/results';

/** How long a VM was dark in the period that ends now, ms. A blackout counts for a period from its end on. */
export const spentMs = (blackouts: readonly PastBlackout[], per: string, nowMs: number): number =>
  blackouts
    .filter((blackout) => blackout.endedAtMs > nowMs - toMs(per))
    .reduce((sum, blackout) => sum + blackout.ms, 0);

/** Exactly: what was spent and another blackout of the whole budget come to more than the allowance; as much as it does not. */
export const exceedsAllowance = (
  blackouts: readonly PastBlackout[],
  { atMost, per }: BlackoutAllowance,
  blackoutBudget: string,
  nowMs: number,
): boolean => spentMs(blackouts, per, nowMs) + toMs(blackoutBudget) > toMs(atMost);

/** The first moment at which another blackout fits; null if none ever does, since the budget alone is too large. */
export function freeAgainAtMs(
  blackouts: readonly PastBlackout[],
  allowance: BlackoutAllowance,
  blackoutBudget: string,
  nowMs: number,
): number | null {
  const ends = blackouts.map((blackout) => blackout.endedAtMs + toMs(allowance.per));
  const moments = [nowMs, ...ends.filter((end) => end > nowMs).sort((a, b) => a - b)];
  return moments.find((at) => !exceedsAllowance(blackouts, allowance, blackoutBudget, at)) ?? null;
}

/** VMs that another blackout could take beyond their allowance: why, and when there is room again (null: never). */
export function overAllowance(
  { vms, describedAtMs }: Pick<HostSurvey, 'vms' | 'describedAtMs'>,
  allowance: BlackoutAllowance,
  blackoutBudget: string,
): ReadonlyMap<string, { readonly reason: string; readonly freeAgainAtMs: number | null }> {
  const over = vms.filter((vm) =>
    exceedsAllowance(vm.blackouts, allowance, blackoutBudget, describedAtMs),
  );
  return new Map(
    over.map(({ vmId, blackouts }) => {
      const seconds = (spentMs(blackouts, allowance.per, describedAtMs) / 1000).toFixed(1);
      const reason = `was dark for ${seconds} s in the last ${allowance.per}; another ${blackoutBudget} would exceed its ${allowance.atMost}`;
      const at = freeAgainAtMs(blackouts, allowance, blackoutBudget, describedAtMs);
      return [vmId, { reason, freeAgainAtMs: at }];
    }),
  );
}

/** The verdicts with such VMs blocked; one that is blocked already keeps its reason, which no waiting mends. */
export const blockedOver = (
  verdicts: readonly VmVerdict[],
  over: ReadonlyMap<string, { readonly reason: string }>,
): VmVerdict[] =>
  verdicts.map((vm) => {
    const reason = over.get(vm.vmId)?.reason;
    return reason === undefined || vm.verdict === 'blocked' || vm.verdict === 'there'
      ? vm
      : { vmId: vm.vmId, verdict: 'blocked', reason };
  });
