import { join } from 'node:path';
import Table from 'cli-table3';
import { Command } from 'commander';
import type { JournalEntry } from '../contract/host';
import { Hosts } from '../hosts/open-hosts';
import { runMain } from '../workers/run-main';

interface Options {
  readonly fleetDir: string;
  readonly vm?: string;
  readonly commands?: true;
  readonly decisions?: true;
  readonly json?: true;
}

/** Prints what a simulated host did, step by step, from its own journal; nothing else needs to run. */
async function main(): Promise<void> {
  const command = new Command('npm run journal --')
    .description('Prints the journal of a simulated host.')
    .argument('<hostId>')
    .option('--fleet-dir <directory>', 'where the hosts are', join('.holdfast', 'fleet'))
    .option('--vm <vmId>', 'only this VM')
    .option('--commands', 'every single command too, not only steps')
    .option(
      '--decisions',
      'only what the function policy decided, allowed and denied, with the rule',
    )
    .option('--json', 'one JSON document a line')
    .parse();
  const [hostId = ''] = command.args;
  const { fleetDir, vm, commands, decisions, json } = command.opts<Options>();
  const hosts = Hosts.open(fleetDir, { profile: 'default' });
  try {
    const query = vm === undefined ? {} : { vmId: vm };
    const all = await hosts.driver.readJournal(hostId, {
      ...query,
      limit: Number.MAX_SAFE_INTEGER,
    });
    const entries = all.filter((entry) =>
      decisions === true
        ? entry.rule !== undefined
        : commands === true || entry.kind !== 'command' || entry.status !== 'done',
    );
    const text =
      json === true ? entries.map((entry) => JSON.stringify(entry)).join('\n') : asTable(entries);
    process.stdout.write(`${text}\n`);
  } finally {
    await hosts.close();
  }
}

function asTable(entries: readonly JournalEntry[]): string {
  const table = new Table({
    head: ['no.', 'host ms', 'VM', 'generation', 'step', 'what', 'status', 'rule', 'detail'],
    style: { head: [], border: [] },
    chars: { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' },
  });
  for (const {
    seq,
    hostTimeMs,
    vmId,
    generation,
    step,
    kind,
    command,
    status,
    rule,
    detail,
  } of entries) {
    table.push([
      seq,
      hostTimeMs.toFixed(1),
      vmId ?? '',
      generation,
      step,
      command ?? kind,
      status,
      rule ?? '',
      detail ?? '',
    ]);
  }
  return table.toString();
}

runMain('npm run journal', main);
