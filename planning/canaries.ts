import type { VmDescription } from '../contract/host';
import type { Mode } from '../contract/inputs';
import type { VmVerdict } from '../contract/results';
import { modeOf, staysHere } from './preflight';

/** VMs with the same kinds of adapters on the same PFs, served in one mode. */
export interface VmClass {
  readonly mode: Mode;
  readonly vmIds: readonly string[];
}

/** The VMs that are serviced, by class: what an update does to one of a class it does to the others. */
export function classesOf(
  vms: readonly Pick<VmDescription, 'vmId' | 'adapterClass'>[],
  verdicts: readonly VmVerdict[],
): readonly VmClass[] {
  const classes = new Map<string, { mode: Mode; vmIds: string[] }>();
  for (const { vmId, verdict } of verdicts.filter(staysHere)) {
    const name = `${verdict}: ${vms.find((vm) => vm.vmId === vmId)?.adapterClass ?? ''}`;
    const known = classes.get(name) ?? { mode: modeOf(verdict), vmIds: [] };
    classes.set(name, { ...known, vmIds: [...known.vmIds, vmId] });
  }
  return [...classes.values()];
}

/** A guest's clock may lag by as much once it has been resynchronised, ms. */
const CLOCK_LAG_MS = 1_000;

/**
 * Why a canary is none to follow; null: it is as it was before, on the new version, and goes on. `back`: as its restore had
 * left it; `baked`: some time later.
 */
export function canaryFailure(looks: CanaryLooks): string | null {
  const wrong = wrongWith(looks);
  return wrong === null ? null : `${looks.baked.vmId}, a canary, ${wrong}`;
}

interface CanaryLooks extends Readonly<Record<'before' | 'back' | 'baked', VmDescription>> {
  readonly version: string;
  /** The conventional way gives it its VFs anew. */
  readonly mode: Mode;
}

function wrongWith({ before, back, baked, version, mode }: CanaryLooks): string | null {
  const { path } = baked.facts;
  if (baked.phase !== 'running') return `is ${baked.phase}`;
  if (baked.stackVersion !== version) return `runs ${baked.stackVersion}, not ${version}`;
  if (baked.heartbeat !== 'ok' && before.heartbeat === 'ok') return 'answers no heartbeat';
  if (path !== 'kept' && !(mode === 'conventional' && path === 'reattached'))
    return `did not keep its VF: ${path}`;
  if (baked.dataPath !== before.dataPath)
    return `has the data path ${baked.dataPath}, not ${before.dataPath}`;
  if (path === 'kept' && JSON.stringify(baked.identity) !== JSON.stringify(before.identity))
    return 'has another VF than before';
  const [then, now] = [back.vitals, baked.vitals];
  if (then === undefined || now === undefined) return null;
  if (now.clockLagMs > CLOCK_LAG_MS) return `has a clock that is ${now.clockLagMs} ms behind`;
  const stuck = (['packets', 'interrupts', 'diskOperations'] as const).find(
    (of) => now[of] < then[of] || (of !== 'packets' && now[of] === then[of]),
  );
  return stuck === undefined
    ? null
    : `stands still: ${NAMES[stuck]} went from ${then[stuck]} to ${now[stuck]}`;
}
const NAMES = {
  packets: 'its packets',
  interrupts: 'its interrupts',
  diskOperations: 'its disk operations',
} as const;
