import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { loadProfile } from '../hosts/open-hosts';
import { comparisonPage, comparisonTable } from './compare/as-text';
import { comparison, type Comparison } from './compare/comparison';
import { comparisonPlot } from './compare/plot';
import { HOSTS, WAYS, WAY_NAMES, runWay, type VmFigures, type Way } from './compare/ways';
import { positiveNumber, wholeNumber } from './options';
import { runScript } from './run-script';
import { Stack } from './stack';

interface Options {
  readonly vms: number;
  readonly seed: number;
  readonly profile: string;
  readonly timeScale?: number;
  readonly rate: number;
  readonly out: string;
  readonly json?: true;
}

const command = new Command('npm run compare --')
  .description('Four ways to get VMs out of the way of an update, side by side.')
  .option('--vms <number>', 'VMs for each way', wholeNumber(1, 32), 4)
  .option('--seed <number>', 'same seed, same latencies', wholeNumber(0, 2 ** 31), 1)
  .option('--profile <name|file>', 'latencies: default, zero, or a JSON file', 'default')
  .option('--time-scale <factor>', 'scales the latencies; 1 = real', positiveNumber)
  .option('--rate <packets>', 'a second, to each VM', wholeNumber(0, 10_000_000), 10_000)
  .option('--out <directory>', 'where compare.md and compare.svg go', '.holdfast')
  .option('--json', 'print the numbers as one JSON document on standard output')
  .exitOverride();

async function main(): Promise<number> {
  const options = command.parse().opts<Options>();
  const compared = await measure(options);
  const plot = 'compare.svg';
  mkdirSync(options.out, { recursive: true });
  writeFileSync(join(options.out, plot), await comparisonPlot(compared));
  writeFileSync(join(options.out, 'compare.md'), comparisonPage(compared, plot));
  if (options.json) process.stdout.write(`${JSON.stringify(compared, null, 2)}\n`);
  else process.stdout.write(`${comparisonTable(compared)}\nPlot: ${join(options.out, plot)}\n`);
  return 0;
}

/** One way after the other, on a server and hosts of their own. */
async function measure({ vms, seed, profile, timeScale, rate }: Options): Promise<Comparison> {
  const say = (text: string) => process.stderr.write(`${text}\n`);
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-compare-'));
  const scale = timeScale ?? loadProfile(profile).timeScale;
  try {
    const stack = await Stack.start({
      ...HOSTS,
      ...{ directory, vms, seed, profile, timeScale: scale },
      onProgress: say,
    });
    try {
      const vmIds = stack.hosts.vmIds('host-01');
      const measured = new Map<Way, readonly VmFigures[]>();
      for (const way of WAY_NAMES) {
        say(`${WAYS[way]} …`);
        measured.set(way, await runWay(stack.client, way, vmIds));
      }
      return comparison({ profile, timeScale: scale, seed, packetsPerSecond: rate }, measured);
    } finally {
      await stack.stop();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

runScript('compare', main);
