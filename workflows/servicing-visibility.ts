import { setCurrentDetails, upsertMemo } from '@temporalio/workflow';
import type { Holder } from '../contract/ids';
import type { Update } from '../contract/inputs';
import { fastRestoreId, fastSaveId, migrateVmId } from '../contract/queues';
import type {
  FastRestoreResult,
  MigratedVm,
  ServiceHostResult,
  Verdict,
  VmFacts,
  VmVerdict,
} from '../contract/results';
import { withoutNextActions } from './failures';
import { literal, markdownTable, page, runLink } from './markdown';

/** The runs of a VM's save and restore: by id while they are being started, then by run. */
export interface VmRuns {
  readonly save?: Holder;
  readonly restore?: Holder;
}

/** What is about to become of each VM. */
export function showVerdicts(verdicts: readonly VmVerdict[]): void {
  setCurrentDetails(
    markdownTable(
      ['VM', 'verdict', 'dark', 'reason'],
      verdicts.map((v) => [v.vmId, v.verdict, darkness(v), literal(v.reason)]),
    ),
  );
  upsertMemo({ verdicts });
}

const darkness = ({ blackout }: VmVerdict): string => {
  if (blackout === undefined) return '-';
  const { together, likelyMs, rarelyOverMs } = blackout;
  return `${together ? 'with all others' : 'alone'}, about ${likelyMs} ms, rarely over ${rarelyOverMs}`;
};

/**
 * A servicing run as it goes on, one row a VM. Not called from the start of the VMs' runs until the last of them is back:
 * in between each may be dark.
 */
export class ServicingDetails {
  readonly #movedTo = new Map<string, string>();

  constructor(
    private readonly hostId: string,
    private readonly update: Update,
    private readonly versionBefore: string,
    private readonly verdicts: readonly VmVerdict[],
  ) {}

  /** Before a VM's run starts: the links are the way to what happens inside the blackout. */
  phase(name: 'migrating' | 'notice' | 'staging' | 'servicing'): void {
    this.#show(
      name,
      this.verdicts.map(({ vmId, verdict }) => [
        vmId,
        verdict,
        this.#phaseOf(vmId, verdict, name),
        ...NOT_YET,
        name === 'servicing' && verdict !== 'migrate' ? this.#runs(vmId) : '',
      ]),
    );
  }

  /** Where the VMs are that had to leave. */
  moved(migrated: readonly MigratedVm[]): void {
    for (const { vmId, toHostId } of migrated) this.#movedTo.set(vmId, toHostId);
  }

  #phaseOf(vmId: string, verdict: Verdict, name: string): string {
    if (verdict === 'blocked') return '-';
    const toHostId = this.#movedTo.get(vmId);
    if (toHostId !== undefined) return `runs on ${toHostId}`;
    if (verdict === 'migrate') return 'is being migrated';
    return name === 'servicing' ? 'being saved and restored' : 'runs';
  }

  /** Every VM is back; the host is still to be verified. */
  back(restored: ReadonlyMap<string, FastRestoreResult>, runs: ReadonlyMap<string, VmRuns>): void {
    this.#show(
      'verifying',
      this.verdicts.map(({ vmId, verdict }) => {
        const vm = restored.get(vmId);
        const phase = vm?.outcome === 'restored' ? vm.vm.path : 'save undone';
        return [vmId, verdict, phase, ...measured(vm?.vm), this.#runs(vmId, runs.get(vmId))];
      }),
    );
  }

  ended(
    { outcome, reason, vms, migrated = [] }: ServiceHostResult,
    runs: ReadonlyMap<string, VmRuns>,
  ): void {
    const verdictOf = new Map(this.verdicts.map((v) => [v.vmId, v.verdict]));
    this.#show(
      outcome,
      [
        ...vms.map(({ vmId, facts }) => [
          vmId,
          verdictOf.get(vmId) ?? '-',
          facts.path,
          ...measured(facts),
          this.#runs(vmId, runs.get(vmId)),
        ]),
        ...migrated.map(({ vmId, toHostId, blackoutMs, vfOutageMs }) => [
          vmId,
          'migrate',
          `runs on ${toHostId}`,
          blackoutMs?.toFixed(1) ?? '-',
          vfOutageMs.toFixed(1),
          runLink('migration', { workflowId: migrateVmId(this.hostId, vmId) }),
        ]),
      ],
      reason === null ? '' : literal(withoutNextActions(reason)),
    );
  }

  #show(state: string, rows: readonly (readonly string[])[], more = ''): void {
    const { component, version } = this.update;
    setCurrentDetails(
      page(
        `**${this.hostId}: ${state}** (${component} ${this.versionBefore} → ${version})`,
        more,
        markdownTable(['VM', 'verdict', 'phase', 'blackout ms', 'VF outage ms', 'runs'], rows),
      ),
    );
  }

  #runs(vmId: string, { save, restore }: VmRuns = {}): string {
    return [
      runLink('save', save ?? { workflowId: fastSaveId(this.hostId, vmId) }),
      runLink('restore', restore ?? { workflowId: fastRestoreId(this.hostId, vmId) }),
    ].join(', ');
  }
}

const NOT_YET = ['-', '-'];

function measured(facts: VmFacts | undefined): readonly string[] {
  if (facts === undefined) return NOT_YET;
  return [facts.blackoutMs.toFixed(1), facts.vfOutageMs.toFixed(1)];
}
