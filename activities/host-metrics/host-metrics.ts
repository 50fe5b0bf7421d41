import type { MetricMeter } from '@temporalio/common';
import { HARD_BLACKOUT_LIMIT } from '../../contract/inputs';
import { toMs } from '../../contract/durations';
import { VM_PHASES, type HostDescription, type VmDescription } from '../../contract/host';
import { PATHS, functionsOf, type Path } from '../../contract/results';
import type { HostActivities } from '../host-activities';
import { createInstruments, type Instruments } from './instruments';
import { measuredActivities } from './measured-activities';
import { KnownOperations } from './operations';

/** What was seen of a VM when its host was described the last time. */
interface Seen {
  /** When the latest blackout ended that is counted, by the host's wall clock. */
  countedUntilMs: number;
  stranded: boolean;
}

/** `unknown`: the operation began in an earlier process than this, or was the dead-man's alone. */
const MODES = ['modified', 'conventional', 'unknown'] as const;
type KnownMode = (typeof MODES)[number];

/** A count that a host keeps, and how much of it our counter has. */
type Counted = 'forbidden' | 'invariantsChecked' | 'breaches';

/**
 * What a process measures of the hosts that it serves, from two sources: the steps it performs (`around`), and what the
 * hosts say of themselves from time to time (`observe`). Blackouts are taken from the second, out of the ledger of each
 * VM, so those that the dead-man ended are among them. Any driver gets these metrics: they are made of the contract.
 */
export class HostMetrics {
  readonly #instruments: Instruments;
  readonly #operations = new KnownOperations();
  readonly #seen = new Map<string, Seen>();
  readonly #counted = new Map<string, Record<Counted, number>>();

  constructor(meter: MetricMeter) {
    this.#instruments = createInstruments(meter);
  }

  around(activities: HostActivities): HostActivities {
    return measuredActivities(activities, this.#instruments, this.#operations);
  }

  /** Whether there is a valid function policy, and whether this one was read in vain. */
  functionPolicy({ inForce, rejected }: { inForce: boolean; rejected: boolean }): void {
    this.#instruments.policyInForce.set(inForce ? 1 : 0);
    this.#instruments.policyRejections.add(rejected ? 1 : 0);
  }

  /** Takes in what a host says of itself. The first time nothing is counted that was over by then. */
  observe(host: HostDescription): void {
    const known = this.#counted.has(host.hostId);
    this.#counts(host);
    if (!known) this.#startAtZero(host.hostId);
    for (const vm of host.vms) this.#observeVm(host.hostId, vm);
    this.#gauges(host);
  }

  #gauges(host: HostDescription): void {
    const { hostId, vms } = host;
    const on = { host_id: hostId };
    const dark = vms.filter(isDark);
    const instruments = this.#instruments;
    for (const phase of VM_PHASES) {
      instruments.vms.set(vms.filter((vm) => vm.phase === phase).length, { ...on, phase });
    }
    instruments.darkVms.set(dark.length, on);
    const darkForMs = Math.max(0, ...dark.map((vm) => vm.darkForMs));
    instruments.longestDarkness.set(darkForMs / 1000, on);
    const overdue = dark.filter((vm) => vm.darkForMs > this.#allowedMs(host, vm));
    instruments.darkBeyondBudget.set(overdue.length, on);
    const heldVfs = dark
      .flatMap(({ facts }) => functionsOf(facts))
      .filter((vf) => vf.identityAfter !== null);
    instruments.heldVfs.set(heldVfs.length, on);
    instruments.quarantined.set(host.quarantine === null ? 0 : 1, on);
    instruments.describedAt.set(host.describedAtMs / 1000, on);
  }

  /**
   * The host counts for as long as it exists, whichever process serves it. Our counters start with its count, so a
   * restart of this process neither hides what happened meanwhile nor counts anything twice.
   */
  #counts({ hostId, forbiddenCommands, invariants }: HostDescription): void {
    const before = this.#counted.get(hostId) ?? {
      forbidden: 0,
      invariantsChecked: 0,
      breaches: 0,
    };
    const now: Record<Counted, number> = {
      forbidden: forbiddenCommands,
      invariantsChecked: invariants.checked,
      breaches: invariants.violated,
    };
    for (const name of ['forbidden', 'invariantsChecked', 'breaches'] as const) {
      this.#instruments[name].add(Math.max(0, now[name] - before[name]), { host_id: hostId });
    }
    this.#counted.set(hostId, now);
  }

  /** A counter that is first seen at 1 has not risen, so an alert on its rise would miss the first time. */
  #startAtZero(hostId: string): void {
    for (const mode of MODES) {
      for (const path of PATHS) this.#instruments.waysBack.add(0, { host_id: hostId, mode, path });
    }
    this.#instruments.deadManRescues.add(0, { host_id: hostId });
    this.#instruments.beyondBudget.add(0, { host_id: hostId });
  }

  #observeVm(hostId: string, vm: VmDescription): void {
    const name = `${hostId}/${vm.vmId}`;
    const latestMs = vm.blackouts.at(-1)?.endedAtMs ?? 0;
    const seen = this.#seen.get(name);
    if (seen === undefined) {
      this.#seen.set(name, { countedUntilMs: latestMs, stranded: vm.phase === 'stranded' });
      return;
    }
    const stranded = vm.phase === 'stranded';
    if (stranded && !seen.stranded)
      this.#cameBack(hostId, this.#modeOf(hostId, vm.vmId), 'stranded');
    seen.stranded = stranded;
    // Only when nobody holds it any more are its path and its outage final.
    if (vm.phase !== 'running') return;
    for (const blackout of vm.blackouts) {
      if (blackout.endedAtMs > seen.countedUntilMs) this.#blackoutEnded(hostId, vm, blackout.ms);
    }
    seen.countedUntilMs = latestMs;
    this.#operations.over(hostId, vm.vmId);
  }

  #blackoutEnded(hostId: string, vm: VmDescription, ms: number): void {
    const { facts, vmId } = vm;
    const { path } = facts;
    const known = this.#operations.of(hostId, vmId);
    const mode = this.#modeOf(hostId, vmId);
    this.#instruments.blackout.record(ms / 1000, { mode, path });
    this.#cameBack(hostId, mode, path);
    // What the description says of the operation belongs to the latest blackout alone.
    const latest = ms === facts.blackoutMs;
    if (latest) this.#instruments.vfOutage.record(facts.vfOutageMs / 1000, { mode, path });
    if (known !== undefined) this.#instruments.budgetSpent.record(ms / known.allowedMs, { mode });
    const beyond = known === undefined ? latest && !facts.withinBudget : ms > known.allowedMs;
    if (beyond) this.#instruments.beyondBudget.add(1, { host_id: hostId });
    if (!this.#operations.wasEndedHere(hostId, vmId, ms))
      this.#instruments.deadManRescues.add(1, { host_id: hostId });
  }

  #cameBack(hostId: string, mode: KnownMode, path: Path): void {
    this.#instruments.waysBack.add(1, { host_id: hostId, mode, path });
  }

  #modeOf(hostId: string, vmId: string): KnownMode {
    return this.#operations.of(hostId, vmId)?.mode ?? 'unknown';
  }

  /** Of an operation that began in an earlier process: a VM that was saved on its own may stay so for a day. */
  #allowedMs({ hostId, holder }: HostDescription, { vmId, phase }: VmDescription): number {
    const known = this.#operations.of(hostId, vmId);
    if (known !== undefined) return known.allowedMs;
    return phase === 'saved' && holder === null ? Infinity : toMs(HARD_BLACKOUT_LIMIT);
  }
}

const isDark = ({ phase }: VmDescription): boolean => phase !== 'running' && phase !== 'preparing';
