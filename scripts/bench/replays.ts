import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils';
import { repositoryPath } from '../../tools/repository-path';
import { workflowCode } from '../../workers/workflow-code';
import { runsInBundle } from '../recorded-runs/read-bundle';
import { FORMAT, FORMAT_VERSION, type Header } from '../recorded-runs/bundle-format';
import { asText } from '../replay/as-text';
import { replayTrees } from '../replay/replay-trees';
import { buildWorkflowBundle } from '../workflow-bundle';

/** The save and the restore of a VM in a servicing run, as they were recorded. */
const HISTORIES = ['fast-save.in-servicing', 'fast-restore.in-servicing'];

export interface ReplayFigures {
  /** VM histories a second after the first, median of the rounds: of the SDK alone, of histories that are parsed already. */
  readonly bare: number;
  /** The same of `npm run replay` on a bundle: reading, parsing, replaying, telling. */
  readonly ours: number;
  /** How much longer ours took in a round than the SDK alone, median, percent. */
  readonly longerPercent: number;
  /** Processor time of one history, median, ms; more than one thread works on it. */
  readonly cpuMs: { readonly bare: number; readonly ours: number };
}

/** Replays the same VM histories with the SDK alone and with ours, turn about. */
export async function replayFigures(histories: number, rounds: number): Promise<ReplayFigures> {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-bench-'));
  try {
    const code = workflowCode(await buildWorkflowBundle(join(directory, 'workflow-bundle.js')));
    const bundle = join(directory, 'vms.hfbundle');
    writeFileSync(bundle, gzipSync(bundleText(histories)));
    const ours = (onRun: () => void) => {
      const runs = runsInBundle(bundle);
      return replayTrees({ from: bundle, runs }, code, (node) => {
        asText(node, bundle);
        onRun();
      });
    };
    await ours(() => undefined);
    const { Worker } = await import('@temporalio/worker');
    const parsed = texts().map((text) => historyFromJSON(JSON.parse(text)));
    const bare = async (onRun: () => void) => {
      const given = Array.from({ length: histories }, (_none, index) => ({
        workflowId: `vm-${index}`,
        history: parsed[index % parsed.length] ?? {},
      }));
      for await (const { error } of Worker.runReplayHistories(
        { ...code, replayName: 'bench' },
        given,
      )) {
        if (error !== undefined) throw error;
        onRun();
      }
    };
    const measured = [];
    for (let round = 0; round < rounds; round += 1) {
      const [a, b] = [await perHistory(bare, histories), await perHistory(ours, histories)];
      measured.push({ bare: a, ours: b });
    }
    return {
      bare: rate(median(measured.map((m) => m.bare.wallMs))),
      ours: rate(median(measured.map((m) => m.ours.wallMs))),
      longerPercent: tenth(median(measured.map((m) => m.ours.wallMs / m.bare.wallMs - 1)) * 100),
      cpuMs: {
        bare: tenth(median(measured.map((m) => m.bare.cpuMs))),
        ours: tenth(median(measured.map((m) => m.ours.cpuMs))),
      },
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** After the first, which pays for the start of the worker. */
async function perHistory(replay: (onRun: () => void) => Promise<unknown>, histories: number) {
  let first: { readonly ms: number; readonly cpu: NodeJS.CpuUsage } | undefined;
  await replay(() => (first ??= { ms: performance.now(), cpu: process.cpuUsage() }));
  if (first === undefined) throw new Error('nothing was replayed');
  const { user, system } = process.cpuUsage(first.cpu);
  return {
    wallMs: (performance.now() - first.ms) / (histories - 1),
    cpuMs: (user + system) / 1000 / (histories - 1),
  };
}

const texts = (): string[] =>
  HISTORIES.map((name) =>
    readFileSync(repositoryPath(`test/histories/${name}.json`), 'utf8').replaceAll('\n', ''),
  );

/** Each history as a run of its own, so that each is told as soon as it is replayed. */
function bundleText(histories: number): string {
  const its = texts();
  const header: Header = {
    kind: 'header',
    format: FORMAT,
    version: FORMAT_VERSION,
    exportedAt: new Date(0).toISOString(),
    holdfast: { version: '0', commit: null },
    server: { version: '0', namespace: 'default' },
    uiUrl: null,
    root: { workflowId: 'vm-0', runId: 'run-0', type: 'fastSave' },
  };
  const runs = Array.from(
    { length: histories },
    (_none, index) =>
      `{"kind":"run","workflowId":"vm-${index}","runId":"run-${index}","parentRunId":null,"depth":0,"missing":null,"history":${its[index % its.length] ?? ''}}`,
  );
  const end = { kind: 'end', runs: histories, hosts: 0, journalEntries: 0 };
  return [JSON.stringify(header), ...runs, JSON.stringify(end), ''].join('\n');
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
const tenth = (value: number): number => Math.round(value * 10) / 10;
const rate = (ms: number): number => tenth(1_000 / ms);
