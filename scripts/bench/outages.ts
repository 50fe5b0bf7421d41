import { setTimeout as delay } from 'node:timers/promises';
import type { ServiceHostInput } from '../../contract/inputs';
import type { Stack } from '../stack';
import { figures } from './figures';
import { service, untilStep, withStack } from './serviced';

/** How long the step that each outage hits takes, ms. */
const STEP_MS = 300;
const FROZEN_MS = 5_000;
type Faults = ServiceHostInput['faults'];

/** What happens while one VM is dark. */
interface Outage {
  readonly happen: (stack: Stack) => Promise<void> | void;
  /** Beside the slow step that the outage hits. */
  readonly faults?: Faults;
}

const UNDISTURBED: Outage = { happen: () => undefined };

/** By how much they prolong a blackout. */
const OUTAGES = {
  hostWorkerKilled: { happen: kill('host') },
  orchestratorKilled: { happen: kill('orchestrator') },
  serverFrozen: { happen: freezeServer },
} as const satisfies Readonly<Record<string, Outage>>;

const MORE_OUTAGES = {
  hostWorkerStopped: {
    happen: (stack) => {
      process.kill(stack.pid('host'), 'SIGSTOP');
    },
  },
  orchestratorKilledAndServerFrozen: {
    happen: async (stack) => {
      kill('orchestrator')(stack);
      await freezeServer(stack);
    },
  },
  stepFailsOnceServerFrozen: {
    happen: freezeServer,
    faults: [{ vmId: 'vm-01', step: 'resetVpciBusInterface', kind: 'fail-before' }],
  },
} as const satisfies Readonly<Record<string, Outage>>;

function kill(role: 'host' | 'orchestrator') {
  return (stack: Stack): void => {
    process.kill(stack.pid(role), 'SIGKILL');
  };
}

async function freezeServer(stack: Stack): Promise<void> {
  process.kill(stack.serverPid, 'SIGSTOP');
  await delay(FROZEN_MS);
  process.kill(stack.serverPid, 'SIGCONT');
}

/** By how much each outage prolongs the blackout of one VM, when it comes while the VM is being saved, ms: medians. */
export async function outageExtras(
  rounds: number,
  all = false,
): Promise<Partial<Record<keyof typeof OUTAGES | keyof typeof MORE_OUTAGES, number>>> {
  const outages: Readonly<Record<string, Outage>> = all ? { ...OUTAGES, ...MORE_OUTAGES } : OUTAGES;
  return withStack({ vms: 1, profile: 'zero' }, async (stack) => {
    await service(stack);
    const measured = new Map<string, number[]>();
    for (let round = 0; round < rounds; round += 1)
      for (const [name, outage] of Object.entries({ undisturbed: UNDISTURBED, ...outages }))
        measured.set(name, [...(measured.get(name) ?? []), await blackoutMs(stack, outage)]);
    const median = (name: string) => figures(measured.get(name) ?? []).p50;
    return Object.fromEntries(
      Object.keys(outages).map((name) => {
        // A step whose process dies is begun anew, and is not slow the second time: its repeat is not counted.
        const repeated = name.startsWith('hostWorker') ? STEP_MS : 0;
        return [name, Math.round(median(name) - median('undisturbed') + repeated)];
      }),
    );
  });
}

async function blackoutMs(stack: Stack, { happen, faults = [] }: Outage): Promise<number> {
  const dark = untilStep(stack, 'vm-01', 'saveVm');
  // A slow step keeps the VM dark long enough for the outage to hit it there.
  const slow = { vmId: 'vm-01', step: 'saveVm', kind: 'slow', delay: `${STEP_MS}ms` } as const;
  const ended = service(stack, { faults: [slow, ...faults] }).catch(() => undefined);
  await dark;
  await happen(stack);
  await ended;
  // Its run may have ended without an update: the host has brought the VM back by itself.
  const [vm] = (await stack.hosts.driver.describe('host-01')).vms;
  if (vm?.facts.path !== 'kept' || !vm.facts.running)
    throw new Error(`vm-01 came back as ${String(vm?.facts.path)}`);
  await stack.ready();
  return vm.facts.blackoutMs;
}

/** From when a save fails for good while the server is frozen until the host has undone it by itself, ms: the median. */
export async function undoneByHostMs(rounds: number): Promise<number> {
  return withStack({ vms: 1, profile: 'zero' }, async (stack) => {
    await service(stack);
    const took: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const { journalSeq: afterSeq } = await stack.hosts.driver.describe('host-01');
      await blackoutMs(stack, {
        happen: freezeServer,
        faults: [
          { vmId: 'vm-01', step: 'crossPointOfNoReturn', kind: 'fail-before', times: 1_000 },
        ],
      });
      const journal = await stack.hosts.driver.readJournal('host-01', { afterSeq, limit: 50_000 });
      const failedMs = journal.find(({ detail }) => detail?.startsWith('given up: '))?.hostTimeMs;
      const resumedMs = journal.find(
        (e) => e.step === 'resumeVm' && e.kind === 'result',
      )?.hostTimeMs;
      took.push((resumedMs ?? NaN) - (failedMs ?? NaN));
    }
    return Math.round(figures(took).p50);
  });
}
