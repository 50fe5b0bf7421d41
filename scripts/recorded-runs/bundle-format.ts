import * as z from 'zod';

/**
 * A bundle is a gzip-compressed file of JSON lines: `zcat run.hfbundle | jq .` shows it. The header comes first, then
 * the runs, parents before children, each with its history as Temporal writes it in JSON; then what the hosts had on
 * record; then the workflow code; the last line counts what came before, so that a file that was cut off is noticed.
 */
export const FORMAT = 'holdfast-bundle';
/** Raised when an older reader would misread a newer file. A field more is not a reason: unknown ones are ignored. */
export const FORMAT_VERSION = 1;

const run = z.object({ workflowId: z.string(), runId: z.string() });

export const header = z.object({
  kind: z.literal('header'),
  format: z.literal(FORMAT),
  version: z.int(),
  exportedAt: z.string(),
  /** What exported it. `commit` is null outside a checkout. */
  holdfast: z.object({ version: z.string(), commit: z.string().nullable() }),
  server: z.object({ version: z.string(), namespace: z.string() }),
  /** Of the server's UI, if it was told; links of reports lead there. */
  uiUrl: z.string().nullable(),
  root: run.extend({ type: z.string() }),
});
export type Header = z.infer<typeof header>;

const runLine = run.extend({
  kind: z.literal('run'),
  parentRunId: z.string().nullable(),
  depth: z.int().min(0),
  missing: z.string().nullable(),
  /** Temporal's JSON of a history; null if it is missing. */
  history: z.unknown(),
});

const holder = run;
const beginning = z.object({
  holder,
  vmId: z.string().nullable(),
  generation: z.int(),
  journalSeq: z.int(),
  simulation: z.unknown(),
});

/** What a host had on record of these runs; `missing` says why nothing is known. */
const hostLine = z.object({
  kind: z.literal('host'),
  hostId: z.string(),
  beginnings: z.array(beginning),
  missing: z.string().nullable(),
});

const journalEntry = z.object({
  seq: z.int(),
  hostTimeMs: z.number(),
  vmId: z.string().nullable(),
  step: z.string(),
  generation: z.int(),
  kind: z.enum(['intent', 'command', 'event', 'result', 'failed']),
  command: z.string().nullable(),
  status: z.string(),
  detail: z.string().nullable(),
});

/** A part of a host's journal. */
const journalLine = z.object({
  kind: z.literal('journal'),
  hostId: z.string(),
  entries: z.array(journalEntry),
});

/** The workflow code that decided in the runs. */
const codeLine = z.object({ kind: z.literal('code'), buildId: z.string(), code: z.string() });

const endLine = z.object({
  kind: z.literal('end'),
  runs: z.int(),
  hosts: z.int(),
  journalEntries: z.int(),
});

export const line = z.discriminatedUnion('kind', [
  header,
  runLine,
  hostLine,
  journalLine,
  codeLine,
  endLine,
]);
export type Line = z.infer<typeof line>;
export type HostLine = z.infer<typeof hostLine>;
