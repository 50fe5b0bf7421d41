import { DefaultLogger, Runtime, Worker, type InjectedSinks } from '@temporalio/worker';
import { presentWorkflowCode } from '../../scripts/workflow-bundle';
import type { WatchSinks } from './blackout-watch';
import { historyFiles, recorded } from './recorded';

/** What each replayed run showed while a VM was dark, and how often anything was shown, or a VM went dark, at all. */
const watched = { inTheDark: [] as string[], shown: 0, blackouts: 0 };

const sinks: InjectedSinks<WatchSinks> = {
  watch: {
    shown: {
      callDuringReplay: true,
      fn: ({ workflowType, workflowId }, what, dark) => {
        watched.shown += 1;
        if (dark) watched.inTheDark.push(`${workflowType} of ${workflowId}: ${what}`);
      },
    },
    darkened: {
      callDuringReplay: true,
      fn: () => {
        watched.blackouts += 1;
      },
    },
  },
};

beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR', () => undefined) });
  const code = await presentWorkflowCode([require.resolve('./blackout-watch')]);
  const histories = historyFiles().map((file) => ({
    workflowId: file,
    history: recorded(file.slice(0, -5)),
  }));
  const replays = Worker.runReplayHistories(
    {
      workflowBundle: { code },
      sinks,
      replayName: 'blackouts',
    },
    histories,
  );
  for await (const { workflowId, error } of replays) {
    if (error !== undefined) throw new Error(`${workflowId} does not replay`, { cause: error });
  }
});

afterAll(async () => {
  await Runtime.instance().shutdown();
});

it('the recorded runs have blackouts, and show something outside them', () => {
  expect(watched.blackouts).toBeGreaterThan(30);
  expect(watched.shown).toBeGreaterThan(200);
});

it('no run shows anything inside a blackout: neither details nor search attributes nor memo', () => {
  expect(watched.inTheDark).toEqual([]);
});
