import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { historyToJSON } from '@temporalio/common/lib/proto-utils';
import { Command } from 'commander';
import { reasonOf } from '../tools/reason';
import { runMain } from '../workers/run-main';
import { endOf } from './record-histories/end-of';
import type { Kept, Scenario } from './record-histories/scenario';
import { COMMANDED } from './record-histories/scenarios/commanded';
import { FAILING } from './record-histories/scenarios/failing';
import { FLEETS } from './record-histories/scenarios/fleets';
import { MIGRATIONS } from './record-histories/scenarios/migrations';
import { REFUSED } from './record-histories/scenarios/refused';
import { SERVICED } from './record-histories/scenarios/serviced';
import { VM_BY_VM } from './record-histories/scenarios/vm-by-vm';
import { STOPPED } from './record-histories/scenarios/stopped';
import { SUCCEEDING } from './record-histories/scenarios/succeeding';
import { WORKER_LOST } from './record-histories/scenarios/worker-lost';
import { Stage, type Recorded } from './record-histories/stage';
import { Stack } from './stack';

interface Options {
  readonly out: string;
  readonly only?: string;
}

const TOGETHER = [
  ...SUCCEEDING,
  ...FAILING,
  ...STOPPED,
  ...REFUSED,
  ...SERVICED,
  ...VM_BY_VM,
  ...COMMANDED,
  ...FLEETS,
  ...MIGRATIONS,
];
const ALONE = WORKER_LOST;
/** More at a time would not be quicker on two cores, and would show in the times that are recorded. */
const AT_A_TIME = 4;

interface File {
  readonly name: string;
  readonly kept: Kept;
  readonly history: Recorded;
  /** Where it was written as a bundle; null if it is not to be. */
  readonly bundle: string | null;
}

/** Records test/histories anew: real runs, on a server, hosts and workers of their own. */
async function main(): Promise<void> {
  const { out, only } = new Command('record-histories')
    .description(
      'Records the histories that the replay tests hold the workflow code against. On purpose only: see CONTRIBUTING.md.',
    )
    .option(
      '--out <directory>',
      'where they go; what was recorded there before is removed',
      join('test', 'histories'),
    )
    .option(
      '--only <text>',
      'record the scenarios whose name contains this, and leave all other histories as they are',
    )
    .parse()
    .opts<Options>();
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-record-'));
  try {
    const files = await record(directory, only ?? '');
    // Only now, so that a recording that failed leaves the old one as it was.
    write(out, files, only !== undefined);
    const bytes = files.reduce((sum, file) => sum + text(file.history).length, 0);
    console.log(`${files.length} histories in ${out}, ${Math.round(bytes / 1024)} KB`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function record(directory: string, only: string): Promise<File[]> {
  const wanted = (scenario: Scenario) => scenario.name.toLowerCase().includes(only.toLowerCase());
  const together = TOGETHER.filter(wanted);
  const alone = ALONE.filter(wanted);
  const scenarios = [...together, ...alone];
  if (scenarios.length === 0) throw new Error(`there is no scenario with "${only}" in its name`);
  const sum = (of: (scenario: Scenario) => number) =>
    scenarios.reduce((all, scenario) => all + of(scenario), 0);
  const emptyHosts = sum((scenario) => scenario.emptyHosts ?? 0);
  const stack = await Stack.start({
    directory,
    hosts: sum((scenario) => scenario.hosts ?? 1) + emptyHosts,
    emptyHosts,
    vms: 2,
    seed: 1,
    profile: 'zero',
    // So that there is a host-wide component whose update keeps every VF.
    custodyBelowVsp: true,
  });
  const free = [...stack.hosts.hostIds()];
  const empty = free.splice(free.length - emptyHosts);
  const hostIds = new Map(scenarios.map((each) => [each, free.splice(0, each.hosts ?? 1)]));
  const emptyIds = new Map(scenarios.map((each) => [each, empty.splice(0, each.emptyHosts ?? 0)]));
  const failed: string[] = [];
  const recorded = new Map<Scenario, File[]>();
  const performAll = async (waiting: Scenario[]): Promise<void> => {
    for (let scenario = waiting.shift(); scenario !== undefined; scenario = waiting.shift()) {
      try {
        const stage = new Stage(stack, hostIds.get(scenario) ?? [], emptyIds.get(scenario));
        recorded.set(scenario, await perform(scenario, stage, directory));
      } catch (error) {
        failed.push(`${scenario.name}: ${reasonOf(error)}`);
      }
    }
  };
  try {
    // From the end: what waits longest is there.
    const waiting = [...together].reverse();
    await Promise.all(Array.from({ length: AT_A_TIME }, () => performAll(waiting)));
    await performAll([...alone]);
  } finally {
    await stack.stop();
  }
  if (failed.length > 0) throw new Error(`nothing was recorded:\n${failed.join('\n')}`);
  return scenarios.flatMap((scenario) => recorded.get(scenario) ?? []);
}

async function perform(scenario: Scenario, stage: Stage, directory: string): Promise<File[]> {
  const began = Date.now();
  const kept = await scenario(stage);
  const files = await Promise.all(
    Object.entries(kept).map(async ([name, one]): Promise<File> => {
      await stage.ended(one.run);
      const history = await stage.history(one.run);
      const ended = endOf(history);
      if (ended !== one.ends) {
        throw new Error(
          `${name} (${one.run.workflowId}) was to end ${one.ends}, but ended ${ended}`,
        );
      }
      const bundle = one.withAllBelow === true ? join(directory, `${name}.hfbundle`) : null;
      if (bundle !== null) await stage.exportTo(bundle, one.run);
      return { name, kept: one, history, bundle };
    }),
  );
  console.log(
    `${scenario.name}: ${files.map((f) => f.name).join(', ')} (${Date.now() - began} ms)`,
  );
  return files;
}

function write(out: string, files: readonly File[], others: boolean): void {
  const bundles = join(out, 'bundles');
  mkdirSync(bundles, { recursive: true });
  const indexFile = join(out, 'index.json');
  const kept =
    others && existsSync(indexFile)
      ? (JSON.parse(readFileSync(indexFile, 'utf8')) as { file: string }[])
      : [];
  if (!others) {
    for (const old of readdirSync(out)) if (old.endsWith('.json')) rmSync(join(out, old));
    for (const old of readdirSync(bundles)) rmSync(join(bundles, old));
  }
  for (const { name, history, bundle } of files) {
    writeFileSync(join(out, `${name}.json`), text(history));
    if (bundle === null) continue;
    const lines = withoutPlace(gunzipSync(readFileSync(bundle)).toString());
    writeFileSync(join(bundles, `${name}.hfbundle`), gzipSync(lines));
  }
  const index = files.map(({ name, kept }) => ({
    file: `${name}.json`,
    workflowId: kept.run.workflowId,
    ends: kept.ends,
    shows: kept.shows,
  }));
  const left = kept.filter((old) => !index.some((entry) => entry.file === old.file));
  writeFileSync(indexFile, `${JSON.stringify([...left, ...index], null, 2)}\n`);
}

/** One event a line: small, and a difference between two recordings is one of events. */
function text(history: Recorded): string {
  const { events } = JSON.parse(historyToJSON(history)) as { readonly events: readonly unknown[] };
  const lines = events.map((event) => JSON.stringify(event)).join(',\n');
  return `{"events":[\n${withoutPlace(lines)}\n]}\n`;
}

/**
 * Where a checkout lies, which only the stacks of failures say, is left out; a replay does not look at them. It need not be
 * this checkout: workflow code is kept for each user by its content, whichever made it first.
 */
const withoutPlace = (json: string): string =>
  json.replaceAll(`${process.cwd()}/`, '').replace(PLACE_IN_STACK, '');
const PLACE_IN_STACK =
  /(?<=\(|at )\/[^\s()"]*?\/(?=(?:node_modules|workflows|planning|contract|activities|hosts|workers|scripts|tools)\/[^\s()"]*:\d+:\d+)/g;

runMain('record-histories', main);
