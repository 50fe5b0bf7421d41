import { Option } from 'commander';
import type { FleetPlan, FleetProgress } from '../contract/fleet-results';
import { COMPONENTS } from '../contract/inputs';
import { isClusterConfigured } from '../workers/connection';
import { wholeNumber } from './options';
import { control, controlOf, type ControlOptions } from './update-fleet/controls';
import { EXIT, EXIT_CODES } from './update-fleet/ended';
import { readFleet, type Fleet } from './update-fleet/fleet-file';
import { follow, type Followed } from './update-fleet/follow';
import { planDocument, planFromFile, planTable } from './update-fleet/plan';
import { exitCodeOf, resultTable } from './update-fleet/result';
import { confirm, openRun, startRun, summary } from './update-fleet/run';
import { schedule } from './update-fleet/schedule';
import { refuseWithoutOrchestrator, withClient } from './update-fleet/server';
import { commandLine, runScript, type Shell } from './run-script';

interface Options extends ControlOptions {
  readonly fleet?: string;
  readonly hosts?: string[];
  readonly toVersion?: string;
  readonly component?: string;
  readonly dryRun?: true;
  readonly yes?: true;
  readonly watch?: true;
  readonly json?: true;
  readonly schedule?: string;
}

const say = ({ stderr }: Shell, text: string) => stderr.write(`${text}\n`);
const answer = ({ stdout }: Shell, text: string) => stdout.write(`${text}\n`);
const document = (shell: Shell, value: unknown) => answer(shell, JSON.stringify(value, null, 2));

function parse(shell: Shell): Options {
  return commandLine('update-fleet', shell)
    .description(
      'Updates a fleet of hosts in waves, every VM and its VF kept; or steers such an update.',
    )
    .option('--fleet <file>', 'inventory and strategy, YAML or JSON: examples/ has some')
    .option('--hosts <hosts>', 'these hosts, separated by commas', (text) =>
      text.split(',').map((hostId) => hostId.trim()),
    )
    .option('--to-version <version>', 'the version to update to')
    .addOption(new Option('--component <name>', 'what is updated').choices(COMPONENTS))
    .option('--dry-run', 'print the numbered plan; nothing is touched')
    .option('--yes', 'do not ask before it starts; needed without a terminal')
    .option('--watch', 'show every wave, host, VM and step while it goes on')
    .option('--json', 'print one JSON document on standard output')
    .option(
      '--schedule <cron>',
      'start it again and again, e.g. "0 22 * * SAT", in the time zone of its maintenance window',
    )
    .option(
      '--pause <run>',
      'start no more hosts; <run> is the name of the fleet, or a workflow id',
    )
    .option('--resume <run>', 'go on after a pause')
    .option('--approve <run>', 'let the wave begin that waits for approval')
    .option('--abort <run>', 'end it: hosts in flight finish, no more are started')
    .option('--retry-failed <run>', 'try the failed hosts again')
    .option('--wave <number>', 'with --approve: this wave', wholeNumber(1, 10_000))
    .option('--reason <why>', 'why; recorded, needed to steer a run')
    .option('--by <who>', 'who asks; default: the user of this process')
    .addHelpText('after', EXIT_CODES)
    .parse(shell.args, { from: 'user' })
    .opts<Options>();
}

export async function main(shell: Shell): Promise<number> {
  const options = parse(shell);
  const asked = controlOf(options);
  if (asked !== null) {
    return withClient(shell.env, async (client) => {
      await refuseWithoutOrchestrator(client);
      answer(shell, await control(client, asked));
      return EXIT.ok;
    });
  }
  const fleet = readFleet(options.fleet, options);
  if (options.dryRun === true || fleet.settings.dryRun) return dryRun(fleet, options, shell);
  const signal = shell.interrupted();
  return withClient(shell.env, async (client) => {
    await refuseWithoutOrchestrator(client);
    if (options.schedule !== undefined) {
      answer(shell, await schedule(client, fleet, options.schedule));
      return EXIT.ok;
    }
    let handle = await openRun(client, fleet);
    if (handle !== null) say(shell, `${handle.workflowId} is under way: following it`);
    else {
      if (options.yes !== true) await confirm(summary(fleet), shell, signal);
      else say(shell, summary(fleet));
      handle = await startRun(client, fleet);
    }
    const { stdin, stderr } = shell;
    const unattended = !stderr.isTTY || !stdin.isTTY;
    const closely = options.watch === true;
    const followed = await follow(client, handle, { closely, unattended, signal, stderr });
    return told(followed, fleet.name, options, shell);
  });
}

function told(followed: Followed, name: string, options: Options, shell: Shell): number {
  if ('interrupted' in followed) {
    say(
      shell,
      `The run goes on. Run this again to follow it, or stop it with --abort ${name} --reason …`,
    );
    return EXIT.interrupted;
  }
  if ('needsPerson' in followed) {
    if (options.json) document(shell, { outcome: 'paused', ...followed.needsPerson });
    say(shell, howToGoOn(followed.needsPerson, name));
    return EXIT.paused;
  }
  if (followed.ended.outcome === 'planned') return toldPlan(followed.ended, options, shell);
  if (options.json) document(shell, followed.ended);
  else answer(shell, resultTable(followed.ended));
  return exitCodeOf(followed.ended.outcome);
}

function howToGoOn({ waiting }: FleetProgress, name: string): string {
  const how =
    waiting?.for === 'approval'
      ? `--approve ${name}`
      : `--resume ${name} (accepts what failed), --retry-failed ${name}`;
  return `It waits for a person: ${waiting?.detail ?? ''}. Go on with ${how}, or end it with --abort ${name}; each with --reason. Then run this again to follow it.`;
}

/** Asks the hosts where a server is configured; else plans from the file alone, and says so. */
async function dryRun(fleet: Fleet, options: Options, shell: Shell): Promise<number> {
  if (!isClusterConfigured(shell.env)) {
    const plan = planFromFile(fleet);
    say(shell, 'No Temporal server is configured: planned from the file alone, no host was asked.');
    return toldPlan(plan, options, shell);
  }
  return withClient(shell.env, async (client) => {
    await refuseWithoutOrchestrator(client);
    const handle = await startRun(client, {
      ...fleet,
      input: { ...fleet.input, dryRun: true },
      settings: { ...fleet.settings, dryRun: true },
    });
    const { signal } = new AbortController();
    const { stderr } = shell;
    const how = { closely: false, unattended: false, signal, stderr };
    return told(await follow(client, handle, how), fleet.name, options, shell);
  });
}

function toldPlan(plan: FleetPlan, { json }: Options, shell: Shell): number {
  if (json) document(shell, planDocument(plan));
  else answer(shell, planTable(plan));
  return EXIT.ok;
}

if (require.main === module) runScript('update-fleet', main);
