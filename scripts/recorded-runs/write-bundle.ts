import { createWriteStream, renameSync, rmSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { Client } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils';
import type { JournalEntry } from '../../contract/host';
import { buildOf, holdfastVersion, presentCommit } from '../build-id';
import { field, firstValue, textOf } from '../replay/values';
import { FORMAT, FORMAT_VERSION, type Header, type Line } from './bundle-format';
import { journalOf, recordOf, type HostRecord } from './host-records';
import {
  buildIds,
  continuedAs,
  runsChildren,
  started,
  type RecordedRun,
  type RunRef,
} from './recorded-run';

/** Workflow code, as a worker loads it. */
export interface Code {
  readonly buildId: string;
  readonly source: string;
}

export interface Export {
  readonly client: Client;
  readonly header: Header;
  readonly runs: AsyncIterable<RecordedRun>;
  /** Workflow code that may be the one that decided in the runs; it is kept if one of them names its build. */
  readonly code: Code | null;
  readonly onProgress: (progress: Exported) => void;
}

export interface Exported {
  runs: number;
  /** As many as are known of so far. */
  expectedRuns: number;
  missingRuns: number;
  hosts: number;
  missingHosts: { readonly hostId: string; readonly reason: string }[];
  journalEntries: number;
  code: boolean;
}

/** The header of a bundle of this run, or of the latest of its id. */
export async function headerOf(
  client: Client,
  about: {
    readonly workflowId: string;
    readonly runId: string | undefined;
    readonly namespace: string;
    readonly uiUrl: string | null;
  },
): Promise<Header> {
  const { workflowId, namespace, uiUrl } = about;
  const { runId, type } = await client.workflow.getHandle(workflowId, about.runId).describe();
  const { serverVersion } = await client.workflowService.getSystemInfo({});
  return {
    kind: 'header',
    format: FORMAT,
    version: FORMAT_VERSION,
    exportedAt: new Date().toISOString(),
    holdfast: { version: holdfastVersion(), commit: presentCommit() },
    server: { version: serverVersion, namespace },
    uiUrl,
    root: { workflowId, runId, type },
  };
}

/** Writes a bundle as it is read from the server: the file appears when it is whole. */
export async function writeBundle(file: string, given: Export): Promise<Exported> {
  const exported: Exported = {
    runs: 0,
    expectedRuns: 1,
    missingRuns: 0,
    hosts: 0,
    missingHosts: [],
    journalEntries: 0,
    code: false,
  };
  const part = `${file}.part`;
  try {
    await pipeline(
      Readable.from(texts(lines(given, exported))),
      createGzip(),
      createWriteStream(part),
    );
    renameSync(part, file);
  } finally {
    rmSync(part, { force: true });
  }
  return exported;
}

/** A line is put together by hand around a history, which is text already. */
async function* texts(
  lines: AsyncIterable<Line | { readonly run: RecordedRun }>,
): AsyncGenerator<string> {
  for await (const line of lines) {
    if (!('run' in line)) {
      yield `${JSON.stringify(line)}\n`;
      continue;
    }
    const { history, ...run } = line.run;
    const json = history === null ? 'null' : JSON.stringify(JSON.parse(historyToJSON(history)));
    yield `${JSON.stringify({ kind: 'run', ...run }).slice(0, -1)},"history":${json}}\n`;
  }
}

async function* lines(
  { client, header, runs, code, onProgress }: Export,
  exported: Exported,
): AsyncGenerator<Line | { readonly run: RecordedRun }> {
  yield header;
  const byHost = new Map<string, RunRef[]>();
  const builds = new Set<string>();
  for await (const run of runs) {
    yield { run };
    exported.runs += 1;
    if (run.history === null) exported.missingRuns += 1;
    else {
      const { workflowId, runId, history } = run;
      const hostId = textOf(field(firstValue(started(history)?.input), 'hostId'));
      if (hostId !== null)
        byHost.set(hostId, [...(byHost.get(hostId) ?? []), { workflowId, runId }]);
      for (const buildId of buildIds(history)) builds.add(buildId);
      exported.expectedRuns += runsChildren(history).length;
      if (continuedAs(history) !== undefined) exported.expectedRuns += 1;
    }
    onProgress(exported);
  }
  for (const [hostId, its] of byHost) {
    const record = await recordOf(client, hostId, its);
    yield hostLine(record);
    exported.hosts += 1;
    if (record.missing !== null) exported.missingHosts.push({ hostId, reason: record.missing });
    for await (const entries of journalOf(client, record)) {
      yield journalLine(hostId, entries);
      exported.journalEntries += entries.length;
    }
    onProgress(exported);
  }
  if (code !== null && [...builds].some((build) => isSameCode(build, code.buildId))) {
    yield { kind: 'code', buildId: code.buildId, code: code.source };
    exported.code = true;
  }
  const { runs: count, hosts, journalEntries } = exported;
  yield { kind: 'end', runs: count, hosts, journalEntries };
}

const isSameCode = (a: string, b: string): boolean =>
  a === b || (buildOf(a) !== null && buildOf(a)?.sha256 === buildOf(b)?.sha256);

const hostLine = ({ hostId, beginnings, missing }: HostRecord): Line => ({
  kind: 'host',
  hostId,
  beginnings: [...beginnings],
  missing,
});
const journalLine = (hostId: string, entries: readonly JournalEntry[]): Line => ({
  kind: 'journal',
  hostId,
  entries: [...entries],
});
