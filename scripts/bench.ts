import { Command } from 'commander';
import type { ServiceHostInput } from '../contract/inputs';
import { runMain } from '../workers/run-main';
import { directBlackouts } from './bench/direct';
import { figures, type Figures } from './bench/figures';
import { fleetFigures, planningFigures } from './bench/fleets';
import { outageBlackouts } from './bench/outages';
import { replayFigures } from './bench/replays';
import { service, withStack } from './bench/serviced';
import { wholeNumber } from './options';

const HISTORIES_REPLAYED = 60;

/** Measures what the README claims and prints it as JSON. Times in ms by the host's own clock. */
async function main(): Promise<void> {
  const { rounds, outages, fleets, replays } = new Command('npm run bench --')
    .option(
      '--rounds <number>',
      'measured runs of each kind, after one warm-up',
      wholeNumber(1, 1000),
      15,
    )
    .option('--no-outages', 'leave out what killed processes cost')
    .option(
      '--fleets [sizes]',
      'only what fleets of these sizes cost; default 10,100,1000: about 20 minutes',
      (text) => text.split(',').map(wholeNumber(1, 1_000)),
    )
    .option('--replays', 'only how many VM histories are replayed in a second')
    .parse()
    .opts<{ rounds: number; outages: boolean; fleets?: true | number[]; replays?: boolean }>();
  const say = (text: string) => process.stderr.write(`${text}\n`);
  if (fleets) {
    const measured = [];
    for (const hosts of fleets === true ? [10, 100, 1_000] : fleets) {
      say(`a fleet of ${hosts} hosts with 1 VM each, zero latency`);
      measured.push(await fleetFigures(hosts));
    }
    const planning = { '1,000 hosts planned, ms': planningFigures(1_000) };
    process.stdout.write(`${JSON.stringify({ fleets: measured, planning }, null, 2)}\n`);
    return;
  }
  if (replays === true) {
    say(
      `${HISTORIES_REPLAYED} VM histories, ${rounds} rounds of the SDK alone and of ours in turn`,
    );
    const figures = await replayFigures(HISTORIES_REPLAYED, rounds);
    process.stdout.write(`${JSON.stringify({ rounds, replays: figures }, null, 2)}\n`);
    return;
  }
  const blackouts: Record<string, Record<string, Figures>> = {};
  for (const vms of [1, 8, 16]) {
    say(`blackouts of ${String(vms)} VM(s), zero latency`);
    blackouts[`${String(vms)} VMs`] = {
      'direct driver calls': figures((await directBlackouts(vms, rounds + 1)).slice(vms)),
      ...(await servicedBlackouts(vms, rounds)),
    };
  }
  say('8 VMs, default profile');
  const defaultProfile = await withStack({ vms: 8, profile: 'default' }, async (stack) => {
    const first = await service(stack);
    const all = [first];
    for (let round = 1; round < Math.min(rounds, 8); round += 1) all.push(await service(stack));
    return {
      firstRunTookMs: Math.round(first.tookMs),
      blackout: figures(all.flatMap(({ result }) => result.vms.map((vm) => vm.facts.blackoutMs))),
      vfsKept: all.every(({ result }) =>
        result.vms.every((vm) => vm.facts.path === 'kept' && vm.facts.guestVisibleEvents === 0),
      ),
    };
  });
  say('8 VMs, default profile, conventional');
  const conventional = await withStack({ vms: 8, profile: 'default' }, async (stack) => {
    const { result, tookMs } = await service(stack, { mode: 'conventional' });
    return {
      tookMs: Math.round(tookMs),
      vfOutage: figures(result.vms.map((vm) => vm.facts.vfOutageMs)),
      guestVisibleEvents: result.vms.map((vm) => vm.facts.guestVisibleEvents),
    };
  });
  if (outages) say('outages while a VM is dark');
  const outageCosts = outages
    ? {
        'in-place': await outageBlackouts('in-place'),
        'task-queue': await outageBlackouts('task-queue'),
      }
    : undefined;
  process.stdout.write(
    `${JSON.stringify({ rounds, blackouts, defaultProfile, conventional, outages: outageCosts }, null, 2)}\n`,
  );
}

/** Both placements in one stack, turn about, so that a drift of the machine meets both alike. */
async function servicedBlackouts(vms: number, rounds: number): Promise<Record<string, Figures>> {
  return withStack({ vms, profile: 'zero' }, async (stack) => {
    const of: Record<NonNullable<ServiceHostInput['stepPlacement']>, number[]> = {
      'in-place': [],
      'task-queue': [],
    };
    for (let round = 0; round <= rounds; round += 1) {
      for (const stepPlacement of ['in-place', 'task-queue'] as const) {
        const { result } = await service(stack, { stepPlacement });
        if (round > 0) of[stepPlacement].push(...result.vms.map((vm) => vm.facts.blackoutMs));
      }
    }
    return { 'in-place': figures(of['in-place']), 'task-queue': figures(of['task-queue']) };
  });
}

runMain('npm run bench', main);
