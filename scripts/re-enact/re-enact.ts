import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newStamp, readStamp, stampPath } from '../../workers/workflow-code';
import { CannotReplay, EXIT } from '../replay/ended';
import { buildWorkflowBundle } from '../workflow-bundle';
import type { Code } from '../recorded-runs/write-bundle';
import { actOut, type ActedOut, type Acting, type ActingCode } from './act-out';
import { chosenRun, type Chosen } from './chosen-run';
import { endOfRuns, isSameEnd } from './compared';
import { asJson, asText } from './told';

export interface ReEnactOptions {
  /** Of the bundle; default: the run that was exported. */
  readonly runId?: string;
  /** One JSON object on standard output instead of text. */
  readonly json?: boolean;
  /** Prebuilt workflow code of this checkout; without it, it is built first. */
  readonly workflowBundle?: string;
}

/** What a shell says of a process that Ctrl-C ended. */
const STOPPED = 130;

const say = (line: string) => process.stderr.write(`${line}\n`);

/**
 * Acts a run of a bundle out again on a simulated host made as its own was, faults included: with the workflow code that
 * decided in it, if the bundle has that and it is another one, then with that of this checkout. Answers the exit code: 0
 * if the first of these came to the recorded end, or `EXIT.otherEnd`. Fails with `CannotReplay` where it cannot be done.
 */
export async function reEnact(bundleFile: string, options: ReEnactOptions): Promise<number> {
  const chosen = await chosenRun(bundleFile, options.runId);
  const recorded = endOfRuns(chosen.runs);
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-re-enact-'));
  const interrupting = new AbortController();
  const interrupt = () => {
    if (!interrupting.signal.aborted) say('stopping');
    interrupting.abort();
  };
  // Not once: a Ctrl-C reaches us both from the terminal and through npm, and the second would end us half stopped.
  for (const signal of SIGNALS) process.on(signal, interrupt);
  const acting: Acting = { recorded, directory, interrupted: interrupting.signal, say };
  let kept = false;
  try {
    const acted = await actAll(chosen, acting, options.workflowBundle);
    process.stdout.write(
      `${options.json === true ? asJson(chosen, recorded, acted) : asText(chosen, recorded, acted)}\n`,
    );
    const [first] = acted;
    if (first !== undefined && isSameEnd(recorded, first.end)) return EXIT.ok;
    kept = true;
    say(`The hosts and the logs of their workers and server are left in ${directory}.`);
    return EXIT.otherEnd;
  } catch (error) {
    if (interrupting.signal.aborted) return STOPPED;
    kept = error instanceof CannotReplay;
    throw error;
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupt);
    if (!kept) rmSync(directory, { recursive: true, force: true });
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

async function actAll(
  chosen: Chosen,
  acting: Acting,
  workflowBundle: string | undefined,
): Promise<ActedOut[]> {
  const codes = await codesFor(chosen.code, acting.directory, workflowBundle);
  const { hostId, simulation, type, workflowId } = chosen;
  const vms = simulation.vms.map(({ vmId }) => vmId).join(', ');
  const acted: ActedOut[] = [];
  for (const by of codes) {
    acting.interrupted.throwIfAborted();
    say(`a host as ${hostId} was, with ${vms === '' ? 'no VM' : vms}`);
    say(`${type} ${workflowId} again, with the ${by.code} code (${by.buildId})`);
    acted.push(await actOut(chosen, by, acting));
  }
  return acted;
}

/** The recorded code first, where it is there and not the present one. */
async function codesFor(
  recorded: Code | null,
  directory: string,
  workflowBundle: string | undefined,
): Promise<readonly ActingCode[]> {
  const path = workflowBundle ?? (await buildWorkflowBundle(join(directory, 'workflow-bundle.js')));
  const present: ActingCode = { code: 'present', buildId: readStamp(path).buildId, path };
  if (recorded === null) {
    say('the bundle does not have the code that decided: only the present code is tried');
    return [present];
  }
  if (recorded.source === readFileSync(path, 'utf8')) {
    say('the code that decided is the present one');
    return [present];
  }
  const recordedPath = join(directory, 'recorded-workflow-bundle.js');
  writeFileSync(recordedPath, recorded.source);
  // Made by which SDK the bundle does not say; one that does not fit is refused by the worker.
  writeFileSync(stampPath(recordedPath), JSON.stringify(newStamp(recorded.buildId)));
  return [{ code: 'recorded', buildId: recorded.buildId, path: recordedPath }, present];
}
