import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils';
import { Command } from 'commander';
import { reasonOf } from '../tools/reason';
import { runMain } from '../workers/run-main';
import { endOf } from './record-histories/end-of';
import { SCENARIOS, type Kept, type Scenario } from './record-histories/scenarios';
import { Stage, type Recorded } from './record-histories/stage';
import { Stack } from './stack';

interface Options {
  readonly out: string;
}

/** More at a time would not be quicker on two cores, and would show in the times that are recorded. */
const AT_A_TIME = 4;

interface File {
  readonly name: string;
  readonly kept: Kept;
  readonly history: Recorded;
}

/** Records test/histories anew: real runs, on a server, hosts and workers of their own. */
async function main(): Promise<void> {
  const { out } = new Command('record-histories')
    .description('Records the histories that the replay tests hold the workflow code against. On purpose only: see CONTRIBUTING.md.')
    .option('--out <directory>', 'where they go; what was recorded there before is removed', join('test', 'histories'))
    .parse()
    .opts<Options>();
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-record-'));
  try {
    const files = await record(directory);
    // Only now, so that a recording that failed leaves the old one as it was.
    write(out, files);
    const bytes = files.reduce((sum, file) => sum + text(file.history).length, 0);
    console.log(`${files.length} histories in ${out}, ${Math.round(bytes / 1024)} KB`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function record(directory: string): Promise<File[]> {
  const stack = await Stack.start({ directory, hosts: SCENARIOS.length, vms: 2, seed: 1, profile: 'zero' });
  try {
    const waiting = [...SCENARIOS.entries()];
    const files: File[][] = [];
    const failed: string[] = [];
    const next = async (): Promise<void> => {
      for (let job = waiting.pop(); job !== undefined; job = waiting.pop()) {
        const [index, scenario] = job;
        const stage = new Stage(stack.client, stack.store.hostIds()[index] ?? '');
        try {
          files[index] = await perform(scenario, stage);
        } catch (error) {
          failed.push(`${scenario.name}: ${reasonOf(error)}`);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, next));
    if (failed.length > 0) throw new Error(`nothing was recorded:\n${failed.join('\n')}`);
    return files.flat();
  } finally {
    await stack.stop();
  }
}

async function perform(scenario: Scenario, stage: Stage): Promise<File[]> {
  const began = Date.now();
  const kept = await scenario(stage);
  const files = await Promise.all(
    Object.entries(kept).map(async ([name, one]): Promise<File> => {
      await stage.ended(one.run);
      const history = await stage.history(one.run);
      const ended = endOf(history);
      if (ended !== one.ends) {
        throw new Error(`${name} (${one.run.workflowId}) was to end ${one.ends}, but ended ${ended}`);
      }
      return { name, kept: one, history };
    }),
  );
  console.log(`${scenario.name}: ${files.map((f) => f.name).join(', ')} (${Date.now() - began} ms)`);
  return files;
}

function write(out: string, files: readonly File[]): void {
  mkdirSync(out, { recursive: true });
  for (const old of readdirSync(out)) if (old.endsWith('.json')) rmSync(join(out, old));
  for (const { name, history } of files) writeFileSync(join(out, `${name}.json`), text(history));
  const index = files.map(({ name, kept }) => ({
    file: `${name}.json`,
    workflowId: kept.run.workflowId,
    ends: kept.ends,
    shows: kept.shows,
  }));
  writeFileSync(join(out, 'index.json'), `${JSON.stringify(index, null, 2)}\n`);
}

const text = (history: Recorded): string => `${JSON.stringify(JSON.parse(historyToJSON(history)), null, 1)}\n`;

runMain('record-histories', main);
