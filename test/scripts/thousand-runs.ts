import { writeFileSync, statSync } from 'node:fs';
import { Client, Connection } from '@temporalio/client';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils';
import { FORMAT, FORMAT_VERSION } from '../../scripts/recorded-runs/bundle-format';
import { runsInBundle } from '../../scripts/recorded-runs/read-bundle';
import type { RecordedRun } from '../../scripts/recorded-runs/recorded-run';
import { writeBundle } from '../../scripts/recorded-runs/write-bundle';
import { recorded } from '../workflows/recorded';

/** Writes a bundle of a run with 1,000 children and reads it, in a process that a test gives little memory. */
async function main(file: string, report: string): Promise<void> {
  let read = 0;
  const exported = await writeBundle(file, {
    client: new Client({ connection: Connection.lazy() }),
    header: {
      kind: 'header',
      format: FORMAT,
      version: FORMAT_VERSION,
      exportedAt: new Date().toISOString(),
      holdfast: { version: '0', commit: null },
      server: { version: '0', namespace: 'default' },
      uiUrl: null,
      root: { workflowId: 'root', runId: 'root', type: 'updateFleet' },
    },
    runs: runs(),
    code: null,
    onProgress: () => undefined,
  });
  let events = 0;
  for await (const { history } of runsInBundle(file)) {
    read += 1;
    events += history?.events?.length ?? 0;
  }
  writeFileSync(
    report,
    JSON.stringify({ written: exported.runs, read, events, bytes: statSync(file).size }),
  );
}

async function* runs(): AsyncGenerator<RecordedRun> {
  const json = recorded('service-host.rolled-back');
  const start = json.events[0]?.['workflowExecutionStartedEventAttributes'];
  // Without an input there is no host that it would ask for a journal.
  if (typeof start === 'object' && start !== null) Object.assign(start, { input: undefined });
  const text = JSON.stringify(json);
  for (let index = 0; index <= 1_000; index += 1) {
    yield await Promise.resolve({
      workflowId: `run-${index}`,
      runId: `run-${index}`,
      parentRunId: index === 0 ? null : 'run-0',
      depth: index === 0 ? 0 : 1,
      history: historyFromJSON(JSON.parse(text)),
      missing: null,
    });
  }
}

void main(process.argv[2] ?? '', process.argv[3] ?? '');
