import { Command, Option } from 'commander';
import { runMain } from '../workers/run-main';
import { blackoutFigures, type BlackoutFigures } from './bench/blackouts';
import { failedSaveFigures, hostWideFigures, hostWorkerMemoryMb } from './bench/default-profile';
import { figures } from './bench/figures';
import { fleetFigures, planningFigures } from './bench/fleets';
import { outageExtras, undoneByHostMs } from './bench/outages';
import { replayFigures } from './bench/replays';
import { service, withStack } from './bench/serviced';
import { throughputFigures } from './bench/throughput';
import { vmByVmFigures } from './bench/vm-by-vm';
import { wholeNumber } from './options';

const HISTORIES_REPLAYED = 60;
const OUTAGE_ROUNDS = 3;

/** Measures what the README claims and prints it as JSON. Times in ms by the host's own clock. */
async function main(): Promise<void> {
  const { rounds, outages, only, json, fleets, replays } = new Command('npm run bench --')
    .option(
      '--rounds <number>',
      'measured runs of each kind, after one warm-up',
      wholeNumber(1, 1000),
      8,
    )
    .addOption(
      new Option(
        '--only <part>',
        'blackout: those of all VMs together, and what outages add; vm-by-vm: of VMs that are updated one by one',
      ).choices(['blackout', 'vm-by-vm']),
    )
    .option('--json', 'one line')
    .option('--no-outages', 'leave out what killed processes cost')
    .option(
      '--fleets [sizes]',
      'only what fleets of these sizes cost; default 10,100,1000: about 20 minutes',
      (text) => text.split(',').map(wholeNumber(1, 1_000)),
    )
    .option('--replays', 'only how many VM histories are replayed in a second')
    .parse()
    .opts<{
      rounds: number;
      outages: boolean;
      only?: 'blackout' | 'vm-by-vm';
      json?: true;
      fleets?: true | number[];
      replays?: boolean;
    }>();
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
  if (only === 'vm-by-vm') {
    say('VM by VM, default profile');
    const measured = await vmByVmFigures();
    process.stdout.write(`${JSON.stringify(measured, null, json ? undefined : 2)}\n`);
    return;
  }
  const blackouts: Record<string, BlackoutFigures> = {};
  for (const vms of [1, 8, 16]) {
    say(`blackouts of ${vms} VM(s), zero latency`);
    blackouts[vms] = await blackoutFigures(vms, rounds);
  }
  if (outages) say('outages while a VM is dark');
  const extraMs = outages ? await outageExtras(OUTAGE_ROUNDS, only === undefined) : undefined;
  if (only === 'blackout') {
    const blackout = Object.fromEntries(
      Object.entries(blackouts).map(([vms, { direct, holdfast, ratio, ratioP99 }]) => [
        vms,
        { directMs: direct.p50, holdfastMs: holdfast.p50, ratio, ratioP99 },
      ]),
    );
    process.stdout.write(`${JSON.stringify({ blackout, extraMs }, null, json ? undefined : 2)}\n`);
    return;
  }
  const undoneMs = outages ? await undoneByHostMs(OUTAGE_ROUNDS) : undefined;
  say('the default profile: a host-wide update, a save that fails for good; memory');
  const hostWide = await hostWideFigures(16, 5);
  const failedSave = await failedSaveFigures(4, 3);
  const hostWorkerMb = await hostWorkerMemoryMb(8);
  const vmByVm = await vmByVmFigures();
  say('60 hosts at once, in turn with as many empty activities');
  const throughput = await throughputFigures(60, 2);
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
  process.stdout.write(
    `${JSON.stringify({ rounds, blackouts, hostWide, vmByVm, failedSave, hostWorkerMb, throughput, defaultProfile, conventional, extraMs, undoneMs }, null, 2)}\n`,
  );
}

runMain('npm run bench', main);
