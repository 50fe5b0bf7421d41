import type { VmDescription } from '../contract/host';
import type { VmVerdict } from '../contract/results';
import { staysHere } from './preflight';

/** The VMs that are serviced, by class: what an update does to one of a class it does to the others. */
export function classesOf(
  vms: readonly Pick<VmDescription, 'vmId' | 'adapterClass'>[],
  verdicts: readonly VmVerdict[],
): readonly (readonly string[])[] {
  const classes = new Map<string, string[]>();
  for (const { vmId, verdict } of verdicts.filter(staysHere)) {
    const name = `${verdict}: ${vms.find((vm) => vm.vmId === vmId)?.adapterClass ?? ''}`;
    classes.set(name, [...(classes.get(name) ?? []), vmId]);
  }
  return [...classes.values()];
}

/** A guest's clock may lag by as much once it has been resynchronised, ms. */
const CLOCK_LAG_MS = 1_000;

/**
 * Why a canary is none to follow; null: it is as it was before, on the new version, and goes on. `back`: as its restore had
 * left it; `baked`: some time later.
 */
export function canaryFailure({
  before,
  back,
  baked,
  version,
}: Readonly<Record<'before' | 'back' | 'baked', VmDescription>> & {
  readonly version: string;
}): string | null {
  const wrong = wrongWith(before, back, baked, version);
  return wrong === null ? null : `${baked.vmId}, a canary, ${wrong}`;
}

function wrongWith(
  before: VmDescription,
  back: VmDescription,
  baked: VmDescription,
  version: string,
): string | null {
  if (baked.phase !== 'running') return `is ${baked.phase}`;
  if (baked.stackVersion !== version) return `runs ${baked.stackVersion}, not ${version}`;
  if (baked.heartbeat === 'lost') return 'answers no heartbeat';
  if (baked.dataPath !== before.dataPath)
    return `has the data path ${baked.dataPath}, not ${before.dataPath}`;
  if (
    before.dataPath === 'vf' &&
    JSON.stringify(baked.identity) !== JSON.stringify(before.identity)
  )
    return baked.facts.path === 'reattached' ? null : 'has another VF than before';
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
