import type { Client } from '@temporalio/client';
import { change, type Changes } from './fork/changes';
import { EXIT, EXIT_CODES } from './fork/ended';
import { follow, isGranted, startFork, terminateOld, type End, type NewRun } from './fork/new-run';
import { leaseOf, oldRun, type OldRun } from './fork/old-run';
import { plan, type Plan } from './fork/plan';
import { field, textOf } from './replay/values';
import { refuseWithoutOrchestrator, withClient } from './update-fleet/server';
import { commandLine, runScript, type Shell } from './run-script';

interface Options {
  readonly at: string;
  readonly runId?: string;
  readonly set?: Changes;
  readonly fromOpen?: true;
  readonly detach?: true;
  readonly json?: true;
}

type Lines = (text: string) => void;

/** What the script says on standard error, and what it answers on standard output. */
interface Voice {
  readonly say: Lines;
  readonly answer: Lines;
}

function parse(shell: Shell): { workflowId: string; options: Options } {
  const program = commandLine('fork', shell)
    .description(
      'Starts a new run that goes on where an old one stopped, at a step that you choose and with other options if you like. The host gives it what the old run has done, and fences the old run.',
    )
    .argument('<workflowId>', 'the run to go on with')
    .requiredOption('--at <step>', 'the first step that the new run performs itself')
    .option('--run-id <id>', 'this run of the workflow; default: the latest')
    .option(
      '--set <field=value>',
      'another value for a field of the input, as YAML; may be repeated',
      change,
    )
    .option('--from-open', 'also if the old run is open: it is fenced, then terminated')
    .option('--detach', 'do not wait for the end of the new run')
    .option('--json', 'print one JSON document on standard output')
    .addHelpText('after', EXIT_CODES)
    .parse(shell.args, { from: 'user' });
  return { workflowId: program.args[0] ?? '', options: program.opts<Options>() };
}

export async function main(shell: Shell): Promise<number> {
  const { workflowId, options } = parse(shell);
  const voice: Voice = {
    say: (text) => shell.stderr.write(`${text}\n`),
    answer: (text) => shell.stdout.write(`${text}\n`),
  };
  const interrupted = shell.interrupted();
  return withClient(shell.env, async (client) => {
    await refuseWithoutOrchestrator(client);
    const old = await oldRun(client, workflowId, options.runId);
    const planned = await plan(client, old, {
      at: options.at,
      changes: options.set ?? {},
      fromOpen: options.fromOpen === true,
    });
    const run = await startFork(client, old, planned);
    tellStart(voice, client, old, planned, run);
    if (old.isOpen) await replaceOpen(voice, client, old, run);
    if (options.detach === true) {
      if (options.json) document(voice, old, planned, run, null);
      return EXIT.ok;
    }
    const end = await follow(client, run, interrupted);
    if (options.json) document(voice, old, planned, run, end);
    return end === null ? toldInterrupted(voice, run) : toldEnd(voice, planned, run, end, options);
  });
}

/** Its path in the Temporal UI. */
const uiPath = (client: Client, workflowId: string, runId: string): string =>
  `/namespaces/${client.options.namespace}/workflows/${encodeURIComponent(workflowId)}/${runId}/history`;

function tellStart(
  { say }: Voice,
  client: Client,
  old: OldRun,
  { at, input }: Plan,
  run: NewRun,
): void {
  const { outcome, detail } = old.account;
  say(
    `old: ${old.workflowId}, run ${old.runId}: ${outcome}${detail === null ? '' : ` (${detail})`}`,
  );
  say(`     in the UI: ${uiPath(client, old.workflowId, old.runId)}`);
  say(`new: ${run.workflowId}, run ${run.firstExecutionRunId}: goes on at ${at}`);
  say(`     in the UI: ${uiPath(client, run.workflowId, run.firstExecutionRunId)}`);
  say(`     from the old one's list: ForkOf="${old.runId}"`);
  const { faults } = input;
  if (Array.isArray(faults) && faults.length > 0)
    say('It keeps the faults of the old run; --set faults=[] would leave them out.');
}

/** An open run is terminated only when the host has fenced it: until then it may still get on. */
async function replaceOpen(
  { say }: Voice,
  client: Client,
  old: OldRun,
  run: NewRun,
): Promise<void> {
  if (!(await isGranted(run))) {
    say('The new run was not given the VM: the old run is left alone.');
    return;
  }
  const terminated = await terminateOld(client, old, run);
  say(
    terminated ? 'The old run is fenced and terminated.' : 'The old run is fenced, and has ended.',
  );
}

function toldInterrupted({ say }: Voice, run: NewRun): number {
  say(`The new run goes on: ${run.workflowId}.`);
  return EXIT.interrupted;
}

async function toldEnd(
  { answer }: Voice,
  { type }: Plan,
  run: NewRun,
  end: End,
  { json }: Options,
): Promise<number> {
  if (end.status === 'completed') {
    const outcome = textOf(field(end.result, 'outcome')) ?? 'completed';
    const path = textOf(field(field(end.result, 'vm'), 'path'));
    if (!json) answer(`${run.workflowId}: ${outcome}${path === null ? '' : `, ${path}`}`);
    return path === 'restarted' || outcome === 'degraded' ? EXIT.incomplete : EXIT.ok;
  }
  if (!json) answer(`${run.workflowId}: ${end.status}: ${end.message}`);
  if (end.status !== 'failed') return EXIT.aborted;
  const isRefused = type !== 'serviceHost' && (await isUntouched(run));
  return isRefused ? EXIT.refused : EXIT.failed;
}

/** A run that the host never gave anything has changed nothing. */
const isUntouched = async (run: NewRun): Promise<boolean> =>
  leaseOf(await run.fetchHistory()) === null;

function document(
  { answer }: Voice,
  old: OldRun,
  { type, at, input }: Plan,
  run: NewRun,
  end: End | null,
): void {
  const { workflowId, runId, account, lease } = old;
  const { outcome, detail } = account;
  const told = {
    type,
    at,
    old: { workflowId, runId, outcome, detail, generation: lease?.generation ?? null },
    new: { workflowId: run.workflowId, runId: run.firstExecutionRunId, input },
    end,
  };
  answer(JSON.stringify(told, null, 2));
}

if (require.main === module) runScript('fork', main);
