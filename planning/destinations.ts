import { fit, type DestinationFacts } from '../contract/migration-fit';
import type { HostSurvey } from '../contract/host';
import type { PlannedHost, PlannedWave } from '../contract/fleet-results';
import type { Surveyed } from '../contract/fleet-plan';
import type { Update } from '../contract/inputs';
import { isUpToDate } from './preflight';

/** Where the VMs of planned hosts go that cannot stay, by host; and why a host's VMs have nowhere to go. */
export interface Destinations {
  readonly migrateTo: ReadonlyMap<string, readonly string[]>;
  readonly nowhere: ReadonlyMap<string, string>;
}

interface Candidate {
  readonly facts: DestinationFacts;
  readonly faultDomain: string | undefined;
  /** 0: not in this fleet's waves. */
  readonly wave: number;
  /** It runs the version of the update already. */
  readonly upToDate: boolean;
}

/**
 * Finds each VM that must leave a host the best host of the fleet that can take it: never one of the same wave; one that
 * runs the new version already, or will by then, before one whose turn is still to come, so that no VM moves twice; of
 * another fault domain than its own host's, if there is one; and then the one with the most free functions. What one VM
 * takes is not there for the next.
 */
export function findDestinations(
  waves: readonly PlannedWave[],
  surveys: ReadonlyMap<string, Surveyed>,
  faultDomains: ReadonlyMap<string, string>,
  update: Update,
): Destinations {
  const waveOf = new Map(
    waves.flatMap(({ number, hosts }) => hosts.map(({ hostId }) => [hostId, number] as const)),
  );
  let candidates = [...surveys.values()].filter(canTakeVms).map((survey): Candidate => ({
    facts: factsOf(survey),
    faultDomain: faultDomains.get(survey.hostId),
    wave: waveOf.get(survey.hostId) ?? 0,
    upToDate: isUpToDate(survey, update),
  }));
  const migrateTo = new Map<string, readonly string[]>();
  const nowhere = new Map<string, string>();
  for (const wave of waves) {
    for (const host of wave.hosts) {
      const found = destinationsOf(host, wave.number, surveys.get(host.hostId), candidates);
      if (typeof found === 'string') nowhere.set(host.hostId, found);
      else if (found.chosen.length > 0) {
        migrateTo.set(host.hostId, found.chosen);
        candidates = found.left;
      }
    }
  }
  return { migrateTo, nowhere };
}

type TakesVms = HostSurvey & Required<Pick<HostSurvey, 'physicalFunctions'>>;
const canTakeVms = (survey: Surveyed): survey is TakesVms =>
  !('unreachable' in survey) &&
  survey.quarantine === null &&
  survey.physicalFunctions !== undefined;

const factsOf = (survey: TakesVms): DestinationFacts => ({
  hostId: survey.hostId,
  stackVersion: survey.versions.vmWorkerProcess,
  vmIds: survey.vms.map(({ vmId }) => vmId),
  physicalFunctions: survey.physicalFunctions,
});

/** The hosts for the VMs of one host that must leave and what is left then, or why there is none for one of them. */
function destinationsOf(
  host: PlannedHost,
  wave: number,
  survey: Surveyed | undefined,
  candidates: readonly Candidate[],
): { readonly chosen: readonly string[]; readonly left: Candidate[] } | string {
  const leaving = host.vms.filter(({ verdict }) => verdict === 'migrate');
  if (leaving.length === 0 || survey === undefined || 'unreachable' in survey)
    return { chosen: [], left: [...candidates] };
  const isOther = (c: Candidate) => c.facts.hostId !== host.hostId && c.wave !== wave;
  const left = [...candidates];
  const chosen = new Set<string>();
  for (const { vmId } of leaving) {
    const of = survey.vms.find((vm) => vm.vmId === vmId);
    const functions = of?.passthrough ?? [];
    const stackVersion = of?.stackVersion ?? survey.versions.vmWorkerProcess;
    const vm = { vmId, method: 'emulated-path', stackVersion, functions } as const;
    const reasons: string[] = [];
    const taker = ranked(left.filter(isOther), host.faultDomain, wave).find(({ facts }) => {
      const { reasons: why } = fit(facts, vm);
      if (why.length > 0) reasons.push(`${facts.hostId}: ${why.join(', ')}`);
      return why.length === 0;
    });
    if (taker === undefined)
      return `${vmId} has nowhere to go: ${reasons.length === 0 ? 'no host of another wave can be asked' : reasons.join('; ')}`;
    chosen.add(taker.facts.hostId);
    left.splice(left.indexOf(taker), 1, { ...taker, facts: withVm(taker.facts, vm) });
  }
  return { chosen: [...chosen], left };
}

function ranked(candidates: readonly Candidate[], faultDomain: string, wave: number): Candidate[] {
  const isDone = (c: Candidate) => c.upToDate || (c.wave > 0 && c.wave < wave);
  const free = ({ facts }: Candidate) =>
    facts.physicalFunctions.reduce((sum, pf) => sum + pf.free, 0);
  const first = (a: boolean, b: boolean) => Number(b) - Number(a);
  return [...candidates].sort(
    (a, b) =>
      first(isDone(a), isDone(b)) ||
      first(a.faultDomain !== faultDomain, b.faultDomain !== faultDomain) ||
      free(b) - free(a) ||
      a.facts.hostId.localeCompare(b.facts.hostId),
  );
}

/** The host once the VM has come: its functions are taken, also those of the emulated path, which it needs on the way. */
function withVm(facts: DestinationFacts, vm: Parameters<typeof fit>[1]): DestinationFacts {
  const taken = Object.values(fit(facts, vm).pfIds);
  return {
    ...facts,
    vmIds: [...facts.vmIds, vm.vmId],
    physicalFunctions: facts.physicalFunctions.map((pf) => ({
      ...pf,
      free: pf.free - 2 * taken.filter((pfId) => pfId === pf.pfId).length,
    })),
  };
}
