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
import { HARD_BLACKOUT_LIMIT, serviceHostInput, type ServiceHostInput } from '../contract/inputs';
import type { HostDescription } from '../contract/host';
import type { MigratedVm, NoticeResult, ServiceHostResult, VmVerdict } from '../contract/results';
import { blockedOver, overAllowance } from '../planning/blackout-allowance';
import { preflight, staysHere } from '../planning/preflight';
import { servicingOrder, servicingResult } from '../planning/servicing';
import { endsTyped } from './ends-typed';
import { cancelled, failure, failureMessage, isCancellation } from './failures';
import { checkFaultsSupported, hostCalls, hostStepCalls, ping } from './host-steps';
import { takeLease, thisRun } from './leases';
import { moveVms } from './move-vms';
import { giveNotice } from './notice';
import { serviceVms, type Serviced } from './service-vms';
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
 * save all → commit → restore all → verify. All VMs pause late and together; from the first pause to the last resume the gates are the host's own.
 */
export const serviceHost = endsTyped(async function serviceHost(
  raw: ServiceHostInput,
): Promise<ServiceHostResult> {
  const input = validated(serviceHostInput, raw, EXAMPLE);
  const { hostId } = input;
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
    const noticing = new CancellationScope();
    onAbort(async (reason) => {
      const answer = await calls.abortServicing(lease, reason);
      noticing.cancel();
      return answer;
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
    const serviced = await serviceVms({
      ...lease,
      vmIds: progress.verdicts.filter(staysHere).map((v) => v.vmId),
      stop: (reason) => calls.abortServicing(lease, reason),
      back: (restored, runs) => {
        details.back(restored, runs);
      },
    });

    progress.phase = 'verifying';
    showAttributes({ Phase: 'verifying' });
    const after = await CancellationScope.nonCancellable(verifiedHost);
    const { firstFailure, steps } = serviced;
    const reason = firstFailure === undefined ? null : failureMessage(firstFailure);
    const { verdicts } = progress;
    const result = servicingResult(
      ...([input, before, after, steps, verdicts, reason, notice, migrated] as const),
    );
    details.ended(result, serviced.runs);
    return ended(result, serviced);
  } finally {
    progress.phase = 'done';
    await CancellationScope.nonCancellable(() => calls.releaseHost(lease));
    await condition(allHandlersFinished);
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
function ended(result: ServiceHostResult, { firstFailure }: Serviced): ServiceHostResult {
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
        : 'HostNotUpdated';
  throw failure(type, `Host ${hostId}: ${result.reason ?? outcome}`, {
    cause: firstFailure,
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

function onAbort(stop: (reason: string) => Promise<{ readonly crossed: boolean }>): void {
  setHandler(
    abort,
    async ({ reason }) => {
      const { crossed } = await stop(`aborted by an operator: ${reason}`);
      return crossed
        ? 'The point of no return was crossed: all VMs are brought back first.'
        : 'No VM crosses: all are undone and run on the old version.';
    },
    {
      description:
        'Stops the run safely; every VM runs again before it ends. Takes {"reason": "why"}.',
      validator: (request: { readonly reason?: unknown } | undefined) => {
        if (typeof request?.reason !== 'string' || request.reason === '') {
          throw failure('InvalidInput', 'reason: say why, as {"reason": "why"}.');
        }
      },
    },
  );
}
