import type { temporal } from '@temporalio/proto';
import { endOfRuns, isSameEnd, type RunEnd } from '../../scripts/re-enact/compared';
import type { RecordedRun } from '../../scripts/recorded-runs/recorded-run';

type Failure = temporal.api.failure.v1.IFailure;

const ours = (type: string, cause?: Failure): Failure => ({
  message: `why: ${type}`,
  applicationFailureInfo: { type },
  ...(cause === undefined ? {} : { cause }),
});
const atStep = (name: string, cause: Failure): Failure => ({
  message: 'Activity task failed',
  activityFailureInfo: { activityType: { name } },
  cause,
});
const ofChild = (workflowId: string, cause: Failure): Failure => ({
  message: 'Child Workflow execution failed',
  childWorkflowExecutionFailureInfo: { workflowExecution: { workflowId } },
  cause,
});

const run = (workflowId: string, type: string, failure: Failure, isTop = false): RecordedRun => ({
  ...{ workflowId, runId: workflowId, depth: isTop ? 0 : 1, missing: null },
  parentRunId: isTop ? null : 'service',
  history: {
    events: [
      { workflowExecutionStartedEventAttributes: { workflowType: { name: type } } },
      { workflowExecutionFailedEventAttributes: { failure } },
    ],
  },
});

/** How a host ends whose VMs' runs ended in these ways, the first of which it names as its reason. */
function endOfHost(...ends: readonly (readonly [name: string, failure: Failure])[]): RunEnd {
  const [[name, why] = ['', {}]] = ends;
  const failure = ours('HostNotUpdated', ofChild(name, why));
  const children = ends.map(([id, how]) => run(id, id.replace(/\/.*/, ''), how));
  return endOfRuns([run('service', 'serviceHost', failure, true), ...children]);
}

const saveFailed = [
  'fastSave/vm-01',
  ours('SaveUndone', atStep('saveVm', ours('Refused'))),
] as const;
const gaveUp = (step: string) =>
  ['fastSave/vm-02', ours('SaveUndone', atStep(step, ours('BarrierBroken')))] as const;
/** Of a restore that was not prepared when its save was undone. */
const fenced = [
  'fastRestore/vm-01',
  ours('Fenced', atStep('reserveResources', ours('Fenced'))),
] as const;

describe('where a failure began', () => {
  it('is never where an undo took the VM from its restore: that is left to chance', () => {
    const late = endOfHost(fenced, gaveUp('awaitPause'));
    expect(late).toMatchObject({
      failure: { type: 'HostNotUpdated', step: 'awaitPause' },
      failedSteps: ['awaitPause'],
    });
    expect(isSameEnd(late, endOfHost(gaveUp('awaitPause')))).toBe(true);
  });

  it('is at the VM that failed itself, not at one that was given up for it', () => {
    const late = endOfHost(fenced, gaveUp('awaitPause'), saveFailed);
    expect(late).toMatchObject({
      failure: { step: 'saveVm' },
      failedSteps: ['awaitPause', 'saveVm'],
    });
    expect(isSameEnd(late, endOfHost(saveFailed, gaveUp('crossPointOfNoReturn')))).toBe(true);
  });

  it('is at the step that was fenced, where nothing else failed', () => {
    expect(endOfHost(fenced).failure).toEqual({ type: 'HostNotUpdated', step: 'reserveResources' });
  });

  it('makes another end where it began at another step', () => {
    const late = endOfHost(fenced, gaveUp('awaitPause'));
    expect(isSameEnd(late, endOfHost(saveFailed))).toBe(false);
    expect(isSameEnd(late, endOfHost(gaveUp('crossPointOfNoReturn')))).toBe(false);
  });
});
