import type { VmDescription } from '../contract/host';
import type { Rolling } from '../contract/inputs';
import type { VmVerdict } from '../contract/results';
import { staysHere } from './preflight';

/** In which order the VMs of a host are updated, where each is updated by itself. */
export interface Turns {
  /** They go one by one, before the others. */
  readonly canaries: readonly string[];
  readonly others: readonly string[];
}

/** The first VMs of each class are canaries: what an update does to one of a class it does to the others. */
export function turns(
  vms: readonly Pick<VmDescription, 'vmId' | 'adapterClass'>[],
  verdicts: readonly VmVerdict[],
  { canary }: Pick<Rolling, 'canary'>,
): Turns {
  const serviced = verdicts.filter(staysHere);
  const seen = new Map<string, number>();
  const canaries = serviced.filter(({ vmId, verdict }) => {
    const of = `${verdict}: ${vms.find((vm) => vm.vmId === vmId)?.adapterClass ?? ''}`;
    const so = (seen.get(of) ?? 0) + 1;
    seen.set(of, so);
    return so <= canary;
  });
  const ids = canaries.map(({ vmId }) => vmId);
  const others = serviced.map(({ vmId }) => vmId).filter((vmId) => !ids.includes(vmId));
  return { canaries: ids, others };
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
