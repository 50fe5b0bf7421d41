import { existsSync } from 'node:fs';
import type { WorkflowOptions } from '@temporalio/client';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils';
import type { Beginning } from '../../contract/host';
import { CannotRebuild, simulationOf, type Simulation } from '../../hosts/open-hosts';
import { buildOf } from '../build-id';
import type { HostLine, Line } from '../recorded-runs/bundle-format';
import { BundleUnreadable, bundleLines } from '../recorded-runs/read-bundle';
import { started, type RecordedRun, type RunRef } from '../recorded-runs/recorded-run';
import type { Code } from '../recorded-runs/write-bundle';
import { accountOf } from '../replay/account';
import { CannotReplay } from '../replay/ended';
import { field, firstValue, textOf, timeMs } from '../replay/values';
import { Unrepeatable } from './unrepeatable';

/** The run that is acted out again, with all that the bundle has of it. */
export interface Chosen {
  readonly workflowId: string;
  /** fastSave, fastRestore or serviceHost. */
  readonly type: string;
  readonly hostId: string;
  /** It, and all below it; parents first. */
  readonly runs: readonly RecordedRun[];
  /** How its host was when it took the host, or one VM of it. */
  readonly simulation: Simulation;
  /** The workflow code that decided in it; null if the bundle does not have it. */
  readonly code: Code | null;
  /** What happened on the host, by its journal, that no run can be made to repeat. */
  readonly unrepeatable: readonly string[];
}

/** What of each run of a bundle decides whether it can be acted out. */
interface Entry extends RunRef {
  readonly parentRunId: string | null;
  readonly type: string;
  readonly hostId: string | null;
  readonly outcome: string;
  readonly detail: string | null;
  readonly isFork: boolean;
  readonly buildIds: readonly string[];
}

interface Index {
  readonly root: RunRef;
  readonly runs: readonly Entry[];
  readonly hosts: ReadonlyMap<string, HostLine>;
  readonly code: Code | null;
}

const ACTED_OUT = new Set(['fastSave', 'fastRestore', 'serviceHost']);

/**
 * The run of a bundle that can be acted out: its root, or the one of this id. Fails with `CannotReplay`, which says
 * what can be acted out instead. The bundle is read twice, so that one history at a time is held that is not needed.
 */
export async function chosenRun(file: string, runId?: string): Promise<Chosen> {
  if (!existsSync(file)) {
    throw new CannotReplay(
      `There is no file ${file}. A run is acted out from a bundle: make one with "npm run replay -- --export <workflowId> ${file}".`,
    );
  }
  try {
    const index = await indexOf(file);
    const run = theRun(index, runId);
    refuseUnfit(index, run);
    const { beginning, hostId } = beginningOf(index, run);
    const wanted = withAllBelow(index, run);
    const simulation = simulationOf(beginning);
    const { runs, unrepeatable } = await collected(file, wanted, hostId, beginning.journalSeq);
    const { workflowId, type } = run;
    const code = codeOf(index, run);
    return { workflowId, type, hostId, runs, simulation, code, unrepeatable };
  } catch (error) {
    if (error instanceof BundleUnreadable || error instanceof CannotRebuild)
      throw new CannotReplay(error.message, undefined, { cause: error });
    throw error;
  }
}

async function indexOf(file: string): Promise<Index> {
  const runs: Entry[] = [];
  const hosts = new Map<string, HostLine>();
  let code: Code | null = null;
  let root: RunRef | undefined;
  for await (const line of bundleLines(file)) {
    if (line.kind === 'header') root = line.root;
    else if (line.kind === 'run') runs.push(...entryOf(line));
    else if (line.kind === 'host') hosts.set(line.hostId, line);
    else if (line.kind === 'code') code = { buildId: line.buildId, source: line.code };
  }
  if (root === undefined) throw new BundleUnreadable(`${file} has no header. Export it again.`);
  return { root, runs, hosts, code };
}

function entryOf(line: Extract<Line, { kind: 'run' }>): Entry[] {
  const { workflowId, runId, parentRunId } = line;
  if (line.history === null) return [];
  const history = historyFromJSON(line.history);
  const { type, input, outcome, detail, buildIds } = accountOf({ workflowId, history });
  return [
    {
      workflowId,
      runId,
      parentRunId,
      type,
      hostId: textOf(field(input, 'hostId')),
      outcome,
      detail,
      isFork: field(input, 'adopt') !== undefined,
      buildIds,
    },
  ];
}

function theRun({ root, runs }: Index, runId: string | undefined): Entry {
  const id = runId ?? root.runId;
  const run = runs.find((entry) => entry.runId === id);
  if (run !== undefined) return run;
  throw new CannotReplay(
    runId === undefined
      ? `The bundle does not have the history of its own run ${root.workflowId} (run ${root.runId}): the server did not have it any more.`
      : `The bundle has no run ${runId}. "npm run replay -- <bundle>" shows those that it has.`,
  );
}

/** Only what takes a host or one of its VMs has a beginning there. */
function refuseUnfit(index: Index, run: Entry): void {
  if (!ACTED_OUT.has(run.type)) {
    throw new CannotReplay(
      `${named(run)} is of type ${run.type}; what can be acted out on a simulated host is one fastSave, fastRestore or serviceHost. ${insteadOf(index, run)}`,
    );
  }
  if (run.outcome === 'open') {
    throw new CannotReplay(
      `${named(run)} is still open where the bundle ends, so there is no end to come to. Export it again when it has ended.`,
    );
  }
}

/** The earliest one: a run that took a VM over takes it twice. */
function beginningOf(
  index: Index,
  run: Entry,
): { readonly beginning: Beginning; readonly hostId: string } {
  const host = index.hosts.get(run.hostId ?? '');
  const beginning = beginningsOf(host, run).toSorted((a, b) => a.generation - b.generation)[0];
  if (host !== undefined && beginning !== undefined) return { beginning, hostId: host.hostId };
  throw new CannotReplay(
    `${named(run)} cannot be acted out: ${noBeginning(run, host)} ${insteadOf(index, run)}`,
  );
}

const beginningsOf = (
  host: HostLine | undefined,
  { workflowId, runId }: RunRef,
): readonly Beginning[] =>
  (host?.beginnings ?? []).filter(
    ({ holder }) => holder.runId === runId && holder.workflowId === workflowId,
  );

function noBeginning({ isFork, parentRunId }: Entry, host: HostLine | undefined): string {
  if (host === undefined) return 'the bundle has nothing of its host.';
  if (host.missing !== null)
    return `nothing was got from ${host.hostId} when the bundle was made: ${host.missing.replace(/\.?$/, '.')} Export it again while the host answers.`;
  if (isFork) return 'it is a fork, which went on from where its old run had brought the VM.';
  if (parentRunId !== null)
    return 'the beginning of a run inside a servicing run is that of the whole host.';
  return `${host.hostId} has not kept how it was when the run took it. Either the run took nothing, because it was refused before, or 16 later ones did.`;
}

/** A bundle has the code of one of its runs, which may be another one. */
function codeOf({ code }: Index, { buildIds }: Entry): Code | null {
  const isIts = (buildId: string) => code !== null && codeIn(buildId) === codeIn(code.buildId);
  return buildIds.some(isIts) ? code : null;
}

/** The same code has the same hash, whichever commit it was built at. */
const codeIn = (buildId: string): string => buildOf(buildId)?.sha256 ?? buildId;

/** More would be a list to read, not an answer. */
const NAMED = 8;

/** What of the same bundle can be acted out: what failed, or else what is there; above and below the run. */
function insteadOf(index: Index, { parentRunId }: Entry): string {
  const able = index.runs.filter(
    (entry) =>
      ACTED_OUT.has(entry.type) &&
      entry.outcome !== 'open' &&
      beginningsOf(index.hosts.get(entry.hostId ?? ''), entry).length > 0,
  );
  const parent = able.filter((entry) => entry.runId === parentRunId);
  const failed = able.filter(({ outcome }) => outcome !== 'completed');
  const [those = []] = [parent, failed, able].filter((list) => list.length > 0);
  if (those.length === 0) return 'No other run of the bundle can be acted out either.';
  const more = those.length > NAMED ? `\n  and ${those.length - NAMED} more` : '';
  return `Act out another run of the bundle instead:\n${those
    .slice(0, NAMED)
    .map((run) => `  --run-id ${run.runId}  ${run.workflowId}, ${endText(run)}`)
    .join('\n')}${more}`;
}

const named = ({ workflowId, runId }: RunRef): string => `${workflowId} (run ${runId})`;
const endText = ({ outcome, detail }: Entry): string =>
  `${outcome}${detail === null ? '' : ` (${detail})`}`;

function withAllBelow({ runs }: Index, run: Entry): ReadonlySet<string> {
  const wanted = new Set([run.runId]);
  for (const { runId, parentRunId } of runs)
    if (parentRunId !== null && wanted.has(parentRunId)) wanted.add(runId);
  return wanted;
}

async function collected(
  file: string,
  wanted: ReadonlySet<string>,
  hostId: string,
  afterSeq: number,
): Promise<Pick<Chosen, 'runs' | 'unrepeatable'>> {
  const runs: RecordedRun[] = [];
  const unrepeatable = new Unrepeatable();
  for await (const line of bundleLines(file)) {
    if (line.kind === 'journal' && line.hostId === hostId)
      for (const entry of line.entries) if (entry.seq > afterSeq) unrepeatable.see(entry);
    if (line.kind !== 'run' || !wanted.has(line.runId)) continue;
    const { workflowId, runId, parentRunId, missing, history } = line;
    const inside = parentRunId !== null && wanted.has(parentRunId);
    runs.push({
      workflowId,
      runId,
      parentRunId: inside ? parentRunId : null,
      depth: line.depth,
      missing,
      history: history === null ? null : historyFromJSON(history),
    });
  }
  return { runs, unrepeatable: unrepeatable.told() };
}

/** How the run was started: its input, when, ms since 1970, and how long it was given, where that was said. */
export function firstOf({ runs: [first] }: Pick<Chosen, 'runs'>): {
  readonly args: unknown;
  readonly atMs: number | null;
  readonly timeouts: Pick<
    WorkflowOptions,
    'workflowExecutionTimeout' | 'workflowRunTimeout' | 'workflowTaskTimeout'
  >;
} {
  const history = first?.history;
  const attributes = history == null ? undefined : started(history);
  if (attributes === undefined) throw new Error('a run without a history was chosen');
  const execution = timeMs(attributes.workflowExecutionTimeout);
  const run = timeMs(attributes.workflowRunTimeout);
  const task = timeMs(attributes.workflowTaskTimeout);
  return {
    args: firstValue(attributes.input),
    atMs: timeMs(history?.events?.[0]?.eventTime),
    timeouts: {
      ...(execution ? { workflowExecutionTimeout: execution } : {}),
      ...(run ? { workflowRunTimeout: run } : {}),
      ...(task ? { workflowTaskTimeout: task } : {}),
    },
  };
}
