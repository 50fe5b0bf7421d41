import {
  CancellationScope,
  allHandlersFinished,
  condition,
  defineQuery,
  defineUpdate,
  setHandler,
  sleep,
} from '@temporalio/workflow';
import { toMs } from '../contract/durations';
import {
  HARD_BLACKOUT_LIMIT,
  isPerVm,
  serviceHostInput,
  type ServiceHostInput,
} from '../contract/inputs';
import type { HostDescription } from '../contract/host';
import type { MigratedVm, NoticeResult, ServiceHostResult, VmVerdict } from '../contract/results';
import { blockedOver, overAllowance } from '../planning/blackout-allowance';
import { classesOf } from '../planning/canaries';
import { preflight, staysHere, thirdVersion } from '../planning/preflight';
import { servicingOrder, servicingResult } from '../planning/servicing';
import { endsTyped } from './ends-typed';
import { cancelled, failure, failureMessage, isCancellation } from './failures';
import { checkFaultsSupported, hostCalls, hostStepCalls, ping } from './host-steps';
import { takeLease, thisRun } from './leases';
import { moveVms } from './move-vms';
import { giveNotice } from './notice';
import { serviceInTurn } from './service-in-turn';
import { serviceTogether } from './service-together';
import { ServicedVms } from './serviced-vms';
import { validated } from './validated';
import { ServicingDetails, showVerdicts } from './servicing-visibility';
import { showAttributes, showBeginning, showEnd } from './visibility';

/** Every half second, for twice as long as a dead-man may need for a VM. */
const VERIFY_LOOKS = (2 * toMs(HARD_BLACKOUT_LIMIT)) / 500;

const EXAMPLE = '{"hostId":"host-01","update":{"version":"2.0.0"}}';

/** Where a servicing run of a host is. */
export interface ServicingProgress {
  phase: 'preflight' | 'migrating' | 'notice' | 'staging' | 'servicing' | 'verifying' | 'done';
  verdicts: readonly VmVerdict[];
}
export const servicingProgress = defineQuery<ServicingProgress>('progress');
export const abort = defineUpdate<string, [{ readonly reason: string }]>('abort');

/**
 * Updates the software of one host under its running VMs: preflight → (VMs that cannot stay move away) → notice → stage →
 * save, commit and restore → verify. What each VM has of its own is updated VM by VM; for what they share all of them are
 * dark together, late and briefly. From the first pause to the last resume the gates are the host's own.
 */
export const serviceHost = endsTyped(async function serviceHost(
  raw: ServiceHostInput,
): Promise<ServiceHostResult> {
  const input = validated(serviceHostInput, raw, EXAMPLE);
  const { hostId } = input;
  const isRolling = isPerVm(input.update.component);
  const progress: ServicingProgress = { phase: 'preflight', verdicts: [] };
  setHandler(servicingProgress, () => progress, {
    description: 'The phase of the run and the verdict for every VM.',
  });
  showBeginning({ HostId: hostId, SaveMode: input.mode, Phase: 'preflight' });

  checkFaultsSupported(await ping(hostId), input.faults);
  const calls = hostCalls(hostId);
  const before = await calls.describeHost(hostId);
  // Where VMs may have left it is as it should be: it is updated before others come.
  if (before.vms.length === 0 && input.onCannotKeep !== 'migrate')
    throw failure('EmptyHost', `Host ${hostId} has no VMs.`);
  refuseUnknownFaultTargets();
  const over =
    input.blackoutAllowance === undefined
      ? new Map<string, never>()
      : overAllowance(before, input.blackoutAllowance, input.blackoutBudget);
  progress.verdicts = blockedOver(preflight(before, input), over);
  showVerdicts(progress.verdicts);
  const details = new ServicingDetails(
    hostId,
    input.update,
    before.versions[input.update.component],
    progress.verdicts,
  );

  const host = hostStepCalls(hostId);
  const generation = await takeLease((from) => calls.acquireHost(hostId, thisRun(), from));
  const lease = { hostId, generation };
  try {
    refuseBlocked(before, progress.verdicts, over);
    const third = thirdVersion(before, input);
    if (third !== null) throw failure('ThirdVersion', third);
    const leaving = progress.verdicts.filter(({ verdict }) => verdict === 'migrate');
    let migrated: readonly MigratedVm[] = [];
    if (leaving.length > 0) {
      progress.phase = 'migrating';
      showAttributes({ Phase: 'migrating' });
      details.phase('migrating');
      migrated = await moveVms(
        input,
        leaving.map(({ vmId }) => vmId),
      );
      details.moved(migrated);
    }

    await calls.armServicing(lease, servicingOrder(input, progress.verdicts));
    const vms = new ServicedVms(hostId, (reason) => calls.abortServicing(lease, reason));
    const noticing = new CancellationScope();
    onAbort(async (reason) => {
      const answer = await calls.abortServicing(lease, reason);
      noticing.cancel();
      if (isRolling) await vms.stopFor(reason, failure('BarrierBroken', reason));
      return isRolling
        ? 'No other VM is updated; one that is dark comes back first.'
        : answer.crossed
          ? 'The point of no return was crossed: all VMs are brought back first.'
          : 'No VM crosses: all are undone and run on the old version.';
    });

    let notice: NoticeResult | null = null;
    if (input.notice !== undefined) {
      progress.phase = 'notice';
      showAttributes({ Phase: 'notice' });
      details.phase('notice');
      notice = await giveNotice(input, input.notice, lease, before.vms, noticing);
    }

    progress.phase = 'staging';
    showAttributes({ Phase: 'staging' });
    details.phase('staging');
    await host.stageUpdate(lease);

    progress.phase = 'servicing';
    showAttributes({ Phase: 'servicing' });
    details.phase('servicing');
    const cancelHeard = CancellationScope.current().cancelRequested.catch((error: unknown) =>
      vms.stopFor('the run was cancelled', error),
    );
    const vmIds = progress.verdicts.filter(staysHere).map(({ vmId }) => vmId);
    vms.onRestored = () => {
      // Until then VMs that wait for each other may be dark, and nothing is done for them but their steps.
      if (isRolling || vms.restored.size === vmIds.length) details.back(vms.restored, vms.runs);
    };
    await CancellationScope.nonCancellable(() =>
      isRolling
        ? serviceInTurn(vms, {
            ...{ ...lease, classes: classesOf(before.vms, progress.verdicts) },
            ...{ version: input.update.version, rolling: input.rolling, notNow },
            describe: (vmId) => calls.describeVm(hostId, vmId),
          })
        : serviceTogether(vms, lease, vmIds),
    );
    void cancelHeard;

    progress.phase = 'verifying';
    showAttributes({ Phase: 'verifying' });
    const after = await CancellationScope.nonCancellable(verifiedHost);
    const { firstFailure, steps } = vms;
    const reason = firstFailure === undefined ? null : failureMessage(firstFailure);
    const { verdicts } = progress;
    const result = servicingResult(
      ...([input, before, after, steps, verdicts, reason, notice, migrated] as const),
    );
    details.ended(result, vms.runs);
    return ended(result, firstFailure);
  } finally {
    progress.phase = 'done';
    await CancellationScope.nonCancellable(async () => {
      await calls.releaseHost(lease);
      await condition(allHandlersFinished);
    });
  }

  /** What a VM was dark is judged at its turn: attempts that failed count, and so does what others did to it meanwhile. */
  async function notNow(vmId: string): Promise<string | null> {
    if (input.blackoutAllowance === undefined) return null;
    const seen = await calls.describeHost(hostId);
    const over = overAllowance(seen, input.blackoutAllowance, input.blackoutBudget);
    return over.get(vmId)?.reason ?? null;
  }

  function refuseUnknownFaultTargets(): void {
    const known = before.vms.map((vm) => vm.vmId);
    const unknown = input.faults.filter((f) => f.vmId !== undefined && !known.includes(f.vmId));
    if (unknown.length > 0) {
      throw failure(
        'UnknownVm',
        `faults: host ${hostId} has no VM ${unknown.map((f) => f.vmId).join(', ')}.`,
      );
    }
  }

  /** Every VM runs again before the run ends; a dead-man that is still at it gets the time it needs. */
  async function verifiedHost() {
    for (let looks = 1; ; looks += 1) {
      await host.verifyHost(lease);
      const seen = await calls.describeHost(hostId);
      const settled = seen.vms.every((vm) => vm.phase === 'running' || vm.phase === 'stranded');
      if (settled || looks === VERIFY_LOOKS) return seen;
      await sleep('500ms', { summary: 'waiting for every VM to run again' });
    }
  }
});

/** How the run ends, once every VM has been seen to: only a host that was updated is a success. */
function ended(result: ServiceHostResult, firstFailure: unknown): ServiceHostResult {
  const { hostId, outcome } = result;
  if (outcome === 'updated' || outcome === 'degraded') {
    showEnd(outcome, null);
    return result;
  }
  if (outcome === 'notUpdated' && isCancellation(firstFailure)) {
    throw cancelled(`Host ${hostId} was not updated; every VM runs.`);
  }
  const type =
    outcome === 'stranded'
      ? 'VmStranded'
      : outcome === 'restarted'
        ? 'VmRestarted'
        : outcome === 'mixed'
          ? 'HostMixed'
          : 'HostNotUpdated';
  throw failure(type, `Host ${hostId}: ${result.reason ?? outcome}`, {
    // A run that ends in a failure because of a cancel would pass for one that was only cancelled.
    ...(isCancellation(firstFailure) ? {} : { cause: firstFailure }),
    details: result,
  });
}

function refuseBlocked(
  host: HostDescription,
  verdicts: readonly VmVerdict[],
  over: ReadonlyMap<string, { readonly reason: string }>,
): void {
  const blocked = verdicts.filter((v) => v.verdict === 'blocked');
  if (blocked.length === 0) return;
  const isSpent = blocked.every((v) => v.reason === over.get(v.vmId)?.reason);
  const away = host.vms.some((vm) => vm.phase !== 'running');
  throw failure(
    isSpent ? 'BlackoutAllowanceSpent' : away ? 'NotRunning' : 'CannotKeep',
    `Host ${host.hostId}: ${blocked.map((v) => `${v.vmId}: ${v.reason}`).join('; ')}.`,
    { details: { verdicts } },
  );
}

function onAbort(stop: (reason: string) => Promise<string>): void {
  setHandler(abort, ({ reason }) => stop(`aborted by an operator: ${reason}`), {
    description:
      'Stops the run safely; every VM runs again before it ends. Takes {"reason": "why"}.',
    validator: (request: { readonly reason?: unknown } | undefined) => {
      if (typeof request?.reason !== 'string' || request.reason === '') {
        throw failure('InvalidInput', 'reason: say why, as {"reason": "why"}.');
      }
    },
  });
}
