import { ApplicationFailure } from '@temporalio/common';
import type { HostActivities } from '../../../activities/host-activities';
import { HostMetrics } from '../../../activities/host-metrics/host-metrics';
import type { HostDescription, Operation, VmDescription } from '../../../contract/host';
import type { StepCall } from '../../../contract/steps';
import { aHost, aVm, lease, outcome } from './described-host';
import { RecordingMeter } from './recording-meter';

const ON = { host_id: 'host-01' };

const CALL: StepCall = { hostId: 'host-01', vmId: 'vm-01', generation: 1, direction: 'forward' };
const request = { hostId: 'host-01', vmId: 'vm-01' } as Parameters<HostActivities['beginSave']>[0];

let meter: RecordingMeter;
let metrics: HostMetrics;
beforeEach(() => {
  meter = new RecordingMeter();
  metrics = new HostMetrics(meter);
});

/** The measured activities of a host that answers as it is told. */
const measured = (answers: Partial<HostActivities>): HostActivities =>
  metrics.around(answers as HostActivities);

describe('steps that are issued by themselves', () => {
  it('are counted when they begin and timed when they end, by step and status', async () => {
    const { saveVm } = measured({
      saveVm: () => Promise.resolve(outcome({ ms: 250, status: 'alreadyDone' })),
    });
    await saveVm(CALL);
    expect(meter.values('holdfast_step_attempts', { step: 'saveVm' })).toEqual([1]);
    expect(
      meter.values('holdfast_step_duration_seconds', {
        ...{ step: 'saveVm', kind: 'dark', status: 'alreadyDone' },
      }),
    ).toEqual([0.25]);
    expect(meter.values('holdfast_step_failures')).toEqual([]);
  });

  it('that never end are counted all the same', () => {
    const { pauseVm } = measured({ pauseVm: () => new Promise(() => undefined) });
    void pauseVm(CALL);
    expect(meter.values('holdfast_step_attempts', { step: 'pauseVm' })).toEqual([1]);
    expect(meter.values('holdfast_step_duration_seconds')).toEqual([]);
  });

  it('that fail are counted by the type of the failure, and the failure goes on unchanged', async () => {
    const refused = ApplicationFailure.create({ type: 'Refused', message: 'no' });
    const bug = new TypeError('x is not a function');
    const { saveVm, commitUpdate } = measured({
      saveVm: () => Promise.reject(refused),
      commitUpdate: () => Promise.reject(bug),
    });
    await expect(saveVm(CALL)).rejects.toBe(refused);
    await expect(commitUpdate({ hostId: 'host-01', generation: 1 })).rejects.toBe(bug);
    expect(meter.sum('holdfast_step_failures', { step: 'saveVm', failure: 'Refused' })).toBe(1);
    expect(meter.sum('holdfast_step_failures', { step: 'commitUpdate', failure: 'other' })).toBe(1);
    expect(meter.values('holdfast_step_duration_seconds', { status: 'failed' })).toHaveLength(2);
  });
});

describe('steps of a list', () => {
  const IN_LIST: StepCall = { ...CALL, list: { after: 'pauseVm', length: 3 } };

  it('are counted when the host answers, with as many attempts as it made', async () => {
    const { saveVm } = measured({
      saveVm: () => Promise.resolve(outcome({ ms: 250, attempts: 3 })),
    });
    await saveVm(IN_LIST);
    expect(meter.sum('holdfast_step_attempts', { step: 'saveVm' })).toBe(3);
    expect(meter.sum('holdfast_step_failures', { step: 'saveVm', failure: 'retried' })).toBe(2);
    expect(
      meter.values('holdfast_step_duration_seconds', { step: 'saveVm', status: 'done' }),
    ).toEqual([0.25]);
  });

  it('that wait for their turn, or were not reached, are no attempts', async () => {
    const { pauseVm, saveVm } = measured({
      pauseVm: () => new Promise(() => undefined),
      saveVm: () => Promise.resolve(outcome({ status: 'notReached', ms: 0, attempts: 0 })),
    });
    void pauseVm(IN_LIST);
    await saveVm(IN_LIST);
    expect(meter.values('holdfast_step_attempts')).toEqual([]);
    expect(meter.values('holdfast_step_failures')).toEqual([]);
    expect(meter.values('holdfast_step_duration_seconds')).toEqual([]);
  });

  it('that the host has given up are counted with all its attempts, by the type of the last', async () => {
    const givenUp = ApplicationFailure.create({
      type: 'HostStepFailed',
      nonRetryable: true,
      details: [{ step: 'saveVm', attempt: 7 }],
    });
    const { saveVm } = measured({ saveVm: () => Promise.reject(givenUp) });
    await expect(saveVm(IN_LIST)).rejects.toBe(givenUp);
    expect(meter.sum('holdfast_step_attempts', { step: 'saveVm' })).toBe(7);
    expect(meter.sum('holdfast_step_failures', { failure: 'HostStepFailed' })).toBe(7);
    expect(meter.values('holdfast_step_duration_seconds')).toEqual([]);
  });

  it('whose call ended before the host answered are counted when it is asked again', async () => {
    const notWaitedFor = ApplicationFailure.create({
      type: 'NotReachedInTime',
      details: [{ step: 'saveVm', attempt: 1 }],
    });
    const { saveVm } = measured({ saveVm: () => Promise.reject(notWaitedFor) });
    await expect(saveVm(IN_LIST)).rejects.toBe(notWaitedFor);
    expect(meter.values('holdfast_step_attempts')).toEqual([]);
    expect(meter.values('holdfast_step_failures')).toEqual([]);
  });
});

describe('blackouts', () => {
  const ended = (ms: number, said: Partial<VmDescription['facts']> = {}) =>
    aVm({
      blackouts: [{ endedAtMs: 2_000, ms }],
      facts: { blackoutMs: ms, vfOutageMs: ms + 5, ...said },
    });

  async function operate(operation: Operation, resumedMs: number | null): Promise<void> {
    const activities = measured({
      beginSave: () => Promise.resolve(operation),
      resumeVm: () =>
        Promise.resolve(outcome({ evidence: resumedMs === null ? {} : { blackoutMs: resumedMs } })),
    });
    await activities.beginSave(request);
    await activities.resumeVm(CALL);
  }

  it('are counted once, when nobody holds the VM any more', async () => {
    metrics.observe(aHost([aVm()]));
    await operate(lease(), 400);
    metrics.observe(aHost([{ ...ended(400), phase: 'preparing' }]));
    expect(meter.values('holdfast_blackout_duration_seconds')).toEqual([]);
    metrics.observe(aHost([ended(400)]));
    metrics.observe(aHost([ended(400)]));
    const how = { mode: 'modified', path: 'kept' };
    expect(meter.values('holdfast_blackout_duration_seconds', how)).toEqual([0.4]);
    expect(meter.values('holdfast_vf_outage_seconds', how)).toEqual([0.405]);
    expect(meter.values('holdfast_blackout_budget_spent_ratio', { mode: 'modified' })).toEqual([
      0.04,
    ]);
    expect(meter.sum('holdfast_ways_back', { ...ON, ...how })).toBe(1);
    expect(meter.sum('holdfast_dead_man_rescues')).toBe(0);
    expect(meter.sum('holdfast_blackouts_beyond_budget')).toBe(0);
  });

  it('that were over when the process started are not counted', () => {
    metrics.observe(aHost([ended(400)]));
    metrics.observe(aHost([ended(400)]));
    expect(meter.values('holdfast_blackout_duration_seconds')).toEqual([]);
    // But a counter that is first seen at 1 has not risen.
    expect(
      meter.values('holdfast_ways_back', { ...ON, mode: 'modified', path: 'stranded' }),
    ).toEqual([0]);
  });

  it('that no step here has ended were ended by the dead-man', async () => {
    metrics.observe(aHost([aVm()]));
    await operate(lease(), 400);
    metrics.observe(aHost([ended(10_900, { withinBudget: false })]));
    expect(meter.sum('holdfast_dead_man_rescues', ON)).toBe(1);
    expect(meter.sum('holdfast_blackouts_beyond_budget', ON)).toBe(1);
    expect(meter.values('holdfast_blackout_budget_spent_ratio')).toEqual([1.09]);
  });

  it('whose end only lost its reply were not ended by the dead-man', async () => {
    metrics.observe(aHost([aVm()]));
    await operate(lease(), null);
    metrics.observe(aHost([ended(500)]));
    expect(meter.sum('holdfast_dead_man_rescues')).toBe(0);
  });

  it('that the dead-man ended, so that the resume of the run was not reached, count as its own', async () => {
    metrics.observe(aHost([aVm()]));
    const { resumeVm } = measured({
      resumeVm: () => Promise.resolve(outcome({ status: 'notReached', attempts: 0, ms: 0 })),
    });
    await resumeVm({ ...CALL, list: { after: null, length: 1 } });
    metrics.observe(aHost([ended(10_900)]));
    expect(meter.sum('holdfast_dead_man_rescues', ON)).toBe(1);
  });

  it('of an operation that began before the process are measured, of an unknown mode', () => {
    metrics.observe(aHost([aVm({ phase: 'saved', darkForMs: 100 })]));
    metrics.observe(aHost([ended(12_000, { withinBudget: false, path: 'reattached' })]));
    const how = { mode: 'unknown', path: 'reattached' };
    expect(meter.values('holdfast_blackout_duration_seconds', how)).toEqual([12]);
    expect(meter.sum('holdfast_blackouts_beyond_budget', ON)).toBe(1);
    expect(meter.values('holdfast_blackout_budget_spent_ratio')).toEqual([]);
  });

  it('may last as long as a VM that is saved on its own may stay saved', async () => {
    metrics.observe(aHost([aVm()]));
    await operate(lease({ inServicing: false }), 155_000);
    metrics.observe(aHost([ended(155_000)]));
    expect(meter.values('holdfast_blackout_budget_spent_ratio')).toEqual([0.5]);
  });
});

describe('what a host is like now', () => {
  it('is told in gauges: dark VMs, how long, held VFs, phases, quarantine', () => {
    const vms = [
      aVm(),
      aVm({ vmId: 'vm-02', phase: 'preparing' }),
      aVm({ vmId: 'vm-03', phase: 'saved', darkForMs: 700 }),
      aVm({ vmId: 'vm-04', phase: 'paused', darkForMs: 900 }),
      aVm({ vmId: 'vm-05', phase: 'saved', darkForMs: 200, identity: null }),
    ];
    metrics.observe(aHost(vms, { quarantine: 'vm-09 stranded' }));
    expect(meter.last('holdfast_dark_vms', ON)).toBe(3);
    expect(meter.last('holdfast_longest_darkness_seconds', ON)).toBe(0.9);
    expect(meter.last('holdfast_held_vfs', ON)).toBe(2);
    expect(meter.last('holdfast_vms', { ...ON, phase: 'saved' })).toBe(2);
    expect(meter.last('holdfast_vms', { ...ON, phase: 'stranded' })).toBe(0);
    expect(meter.last('holdfast_host_quarantined', ON)).toBe(1);
    expect(meter.last('holdfast_host_described_timestamp_seconds', ON)).toBe(5);
    metrics.observe(aHost([aVm()]));
    expect(meter.last('holdfast_dark_vms', ON)).toBe(0);
    expect(meter.last('holdfast_longest_darkness_seconds', ON)).toBe(0);
    expect(meter.last('holdfast_host_quarantined', ON)).toBe(0);
  });

  it('tells VMs that are dark for longer than their own operation allows', async () => {
    const dark = (darkForMs: number) => aHost([aVm({ phase: 'saved', darkForMs })]);
    const activities = measured({
      beginSave: () =>
        Promise.resolve(lease({ settings: { ...lease().settings, blackoutBudgetMs: 1_000 } })),
    });
    await activities.beginSave(request);
    metrics.observe(dark(1_000));
    expect(meter.last('holdfast_vms_dark_beyond_budget', ON)).toBe(0);
    metrics.observe(dark(1_001));
    expect(meter.last('holdfast_vms_dark_beyond_budget', ON)).toBe(1);
  });

  it('does not call a VM overdue that an earlier process saved on its own, but any other after 30 s', () => {
    const dark = (phase: VmDescription['phase'], said: Partial<HostDescription> = {}) =>
      aHost([aVm({ phase, darkForMs: 30_001 })], said);
    metrics.observe(dark('saved'));
    expect(meter.last('holdfast_vms_dark_beyond_budget', ON)).toBe(0);
    metrics.observe(dark('saved', { holder: { workflowId: 'service-host', runId: 'r' } }));
    expect(meter.last('holdfast_vms_dark_beyond_budget', ON)).toBe(1);
    metrics.observe(dark('restoring'));
    expect(meter.last('holdfast_vms_dark_beyond_budget', ON)).toBe(1);
  });

  it('counts a VM that is stranded once, and again how it came back in the end', () => {
    metrics.observe(aHost([aVm()]));
    const stranded = aHost([aVm({ phase: 'stranded', darkForMs: 9_000 })]);
    metrics.observe(stranded);
    metrics.observe(stranded);
    expect(meter.sum('holdfast_ways_back', { ...ON, path: 'stranded' })).toBe(1);
    metrics.observe(
      aHost([aVm({ blackouts: [{ endedAtMs: 1, ms: 60_000 }], facts: { blackoutMs: 60_000 } })]),
    );
    expect(meter.sum('holdfast_ways_back', { ...ON, path: 'kept' })).toBe(1);
  });

  it('starts its counters of forbidden commands and breaches at the count of the host', () => {
    const host = (forbiddenCommands: number, checked: number, violated: number) =>
      aHost([], { forbiddenCommands, invariants: { checked, violated } });
    metrics.observe(host(7, 100, 0));
    metrics.observe(host(8, 150, 1));
    // A host that was made anew begins at nothing again.
    metrics.observe(host(0, 10, 0));
    metrics.observe(host(1, 20, 0));
    expect(meter.values('holdfast_forbidden_commands', ON)).toEqual([7, 1, 0, 1]);
    expect(meter.sum('holdfast_invariants_checked', ON)).toBe(160);
    expect(meter.sum('holdfast_invariant_breaches', ON)).toBe(1);
  });
});
