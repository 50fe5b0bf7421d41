import type { temporal } from '@temporalio/proto';
import { interventionsIn } from '../../scripts/re-enact/interventions';
import type { RecordedRun } from '../../scripts/recorded-runs/recorded-run';

type Event = temporal.api.history.v1.IHistoryEvent;

const at = (ms: number, event: Event): Event => ({
  ...event,
  eventTime: { seconds: 0 as never, nanos: ms * 1_000_000 },
});
const started = { workflowExecutionStartedEventAttributes: {} };
const step = { activityTaskScheduledEventAttributes: {} };
const cancel = { workflowExecutionCancelRequestedEventAttributes: {} };

const run = (workflowId: string, parentRunId: string | null, events: Event[]): RecordedRun => ({
  ...{ workflowId, runId: workflowId, parentRunId, depth: 0, missing: null },
  history: { events },
});

it('an intervention knows how far all runs had come, and how long none of them got on', () => {
  const [intervention, ...others] = interventionsIn([
    run('top', null, [at(0, started), at(300, step), at(450, cancel), at(700, step)]),
    run('below', 'top', [at(310, started), at(430, step), at(460, step)]),
  ]);
  expect(others).toEqual([]);
  expect(intervention).toMatchObject({
    workflowId: 'top',
    reached: new Map([
      ['top', 2],
      ['below', 2],
    ]),
    afterAllMs: 20,
    // Not the 300 ms before the last landmark of its own run, which is waited for in any case.
    longestPauseMs: 120,
    what: 'cancel of top',
  });
});
