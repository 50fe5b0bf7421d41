import { CancellationScope, sleep } from '@temporalio/workflow';
import { toMs } from '../contract/durations';
import type { MigrateVmSettings } from '../contract/inputs';
import type { MigrationOperation, RelinquishProof } from '../contract/migration';
import type { MigrateVmResult } from '../contract/results';
import type { StepReport } from '../contract/steps';
import { nowMs } from './clock';
import { failure, isCancellation } from './failures';
import { hostCalls } from './host-steps';
import { parentRun, takeLease, thisRun } from './leases';
import { StepFailed, VmOperation, type StepAnswer } from './vm-operation';

/** Both ends of one migration: their leases, and the steps taken so far on either host. */
export class MigrationEnds {
  readonly steps: StepReport[] = [];
  #destination: { readonly operation: VmOperation; readonly lease: MigrationOperation } | null =
    null;
  #source: VmOperation;

  private constructor(
    private readonly input: MigrateVmSettings,
    private lease: MigrationOperation,
  ) {
    this.#source = this.#end(input.fromHostId, lease);
  }

  static async takeSource(input: MigrateVmSettings): Promise<MigrationEnds> {
    return new MigrationEnds(input, await askSource(input));
  }

  /** After what an earlier run had left was taken back. */
  async takeSourceAnew(): Promise<void> {
    this.lease = await askSource(this.input);
    this.#source = this.#end(this.input.fromHostId, this.lease);
    this.#destination = null;
  }

  /** Checks the destination and takes a place there; of a move that is under way, its place. */
  async takeDestination(): Promise<void> {
    const { vmId, blackoutBudget, faults } = this.input;
    const { toHostId } = this.lease.manifest;
    const lease = await takeLease((takeOverFrom) =>
      hostCalls(toHostId, vmId).beginReception({
        hostId: toHostId,
        vmId,
        manifest: this.lease.manifest,
        blackoutBudgetMs: toMs(blackoutBudget),
        holder: thisRun(),
        parent: parentRun(),
        faults,
        ...(takeOverFrom === undefined ? {} : { takeOverFrom }),
      }),
    );
    if (lease.stage === 'over') {
      throw failure(
        'UnknownVm',
        `Host ${this.input.fromHostId} has no VM "${vmId}" any more: it was migrated to ${toHostId}.`,
      );
    }
    this.#destination = { operation: this.#end(toHostId, lease), lease };
  }

  /** Of an earlier run that is undone now, wherever it was to go; a host that cannot be asked must not keep it from that. */
  async takeWhatWasKept(): Promise<void> {
    try {
      await this.takeDestination();
    } catch (error) {
      if (isCancellation(error)) throw error;
    }
  }

  /** A new generation at both ends, before any undo. Answers whether the source has relinquished the VM after all. */
  async fence(): Promise<boolean> {
    return CancellationScope.nonCancellable(async () => {
      await this.source.fence();
      if (this.source.crossed) return true;
      await this.#destination?.operation.fence();
      return false;
    });
  }

  /** The source's word, which it gives again and again once it has given it. */
  async proof(): Promise<RelinquishProof> {
    const answer = await withPatience(this, () => this.source.perform('relinquishVm'));
    return evidenceOf(answer, 'proof');
  }

  get vmId() {
    return this.input.vmId;
  }
  get fromHostId() {
    return this.input.fromHostId;
  }
  get toHostId() {
    return this.input.toHostId;
  }
  get method() {
    return this.lease.manifest.method;
  }
  get keepEmulatedPath() {
    return this.input.keepEmulatedPath;
  }
  /** How far the source says an earlier run got. */
  get stage() {
    return this.lease.stage;
  }
  get source() {
    return this.#source;
  }
  get hasDestination() {
    return this.#destination !== null;
  }
  get destination() {
    if (this.#destination === null) throw failure('Refused', 'The destination is not held yet.');
    return this.#destination.operation;
  }
  get destinationStage() {
    return this.#destination?.lease.stage ?? 'new';
  }

  #end(hostId: string, lease: MigrationOperation): VmOperation {
    return VmOperation.ofMigration(hostId, this.input.vmId, lease, this.steps);
  }
}

const askSource = (input: MigrateVmSettings): Promise<MigrationOperation> => {
  const { vmId, fromHostId, toHostId, method, drainTimeLimit, blackoutBudget, faults } = input;
  return takeLease((takeOverFrom) =>
    hostCalls(fromHostId, vmId).beginMigration({
      hostId: fromHostId,
      toHostId,
      vmId,
      method,
      drainTimeLimitMs: toMs(drainTimeLimit),
      blackoutBudgetMs: toMs(blackoutBudget),
      holder: thisRun(),
      parent: parentRun(),
      faults,
      ...(takeOverFrom === undefined ? {} : { takeOverFrom }),
    }),
  );
};

/** A field of the answer without which the migration cannot go on. */
export function evidenceOf<Evidence, Name extends keyof Evidence & string>(
  { evidence }: { readonly evidence: Evidence },
  name: Name,
) {
  const value = evidence[name];
  if (value === undefined) throw failure('HostStepFailed', `The host’s answer lacks ${name}.`);
  return value;
}

/** For so long a step past the relinquish is tried again and again; a host may have to be started first. */
const PATIENCE = { limit: toMs('1h'), first: toMs('500ms'), longest: toMs('15s') };

/** Past the relinquish there is no way back, so what may still succeed is tried again. */
export async function withPatience<T>(
  { vmId, fromHostId, toHostId, steps }: MigrationEnds,
  perform: () => Promise<T>,
): Promise<T> {
  const until = nowMs() + PATIENCE.limit;
  for (let waitMs = PATIENCE.first; ; waitMs = Math.min(2 * waitMs, PATIENCE.longest)) {
    try {
      return await perform();
    } catch (error) {
      if (!(error instanceof StepFailed) || error.type === 'Fenced') throw error;
      const mayPass = error.type === 'HostUnreachable' || error.type === 'HostStepFailed';
      if (!mayPass || nowMs() > until) {
        throw failure(
          'MigrationUnfinished',
          `${vmId} was relinquished by ${fromHostId} to ${toHostId}, and ${error.message}`,
          { cause: error.cause, details: { steps } },
        );
      }
      await sleep(waitMs);
    }
  }
}

export function migrationResult(
  { vmId, fromHostId, toHostId, blackoutBudget }: MigrateVmSettings,
  { method, steps }: MigrationEnds,
  ended: {
    readonly blackoutMs: number | null;
    readonly reason: string | null;
    readonly verified: StepAnswer<'verifyMigration'>;
  },
): MigrateVmResult {
  const { verified } = ended;
  const { facts } = evidenceOf(verified, 'vm');
  return {
    vmId,
    fromHostId,
    toHostId,
    method,
    outcome: ended.reason === null ? 'migrated' : 'degraded',
    reason: ended.reason,
    blackoutMs: ended.blackoutMs,
    vfOutageMs: facts.vfOutageMs,
    guestVisibleEvents: facts.guestVisibleEvents,
    droppedPackets: facts.droppedPackets,
    withinBudget: (ended.blackoutMs ?? facts.blackoutMs) <= toMs(blackoutBudget),
    drain: evidenceOf(verified, 'drain'),
    ledger: evidenceOf(verified, 'ledger'),
    functions: evidenceOf(verified, 'functions'),
    steps,
  };
}
