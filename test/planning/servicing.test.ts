/** What the host is told before a run, and what is made of it afterwards. */
import * as z from 'zod/mini';
import { serviceHostInput } from '../../contract/inputs';
import type { PATHS, Verdict } from '../../contract/results';

import { hostOutcome, servicingOrder, servicingResult } from '../../planning/servicing';
import { factsWith, hostWith, vmWith } from './descriptions';

const input = z.parse(serviceHostInput, { hostId: 'host-01', update: { version: '2.0.0' } });
const verdict = (vmId: string, v: Verdict) => ({ vmId, verdict: v, reason: 'because' });
const vm = (
  path: (typeof PATHS)[number],
  more: { mode?: 'modified' | 'conventional'; running?: boolean } = {},
) => ({
  mode: more.mode ?? ('modified' as const),
  facts: factsWith({ path, running: more.running ?? path !== 'stranded' }),
});

describe('the order', () => {
  it('names every VM that is serviced with its mode, in ms, and no blocked one', () => {
    const order = servicingOrder(input, [
      verdict('vm-01', 'keep'),
      verdict('vm-02', 'conventional'),
      verdict('vm-03', 'blocked'),
    ]);
    expect(order).toMatchObject({
      update: { component: 'vmWorkerProcess', version: '2.0.0' },
      vms: [
        { vmId: 'vm-01', mode: 'modified' },
        { vmId: 'vm-02', mode: 'conventional' },
      ],
      settings: { blackoutBudgetMs: 10_000, holdMode: 'instruct-skip' },
      parallelism: 16,
      faults: [],
    });
    expect(order).not.toHaveProperty('guestNoticeMs');
  });

  it.each([
    ['as long as they have, if they are to be told', {}, 30_000],
    ['longer, if that is asked for', { waitUpTo: '15m' }, 900_000],
    ['not at all, if only the tenants are', { guests: false }, undefined],
  ])('waits for the guests %s', (_, notice, ms) => {
    const told = z.parse(serviceHostInput, {
      hostId: 'host-01',
      update: { version: '2.0.0' },
      notice,
    });
    expect(servicingOrder(told, []).guestNoticeMs).toBe(ms);
  });
});

it.each([
  ['all kept', 'all', [vm('kept'), vm('kept')], null, 'updated'],
  [
    'a conventional VM with a new VF',
    'all',
    [vm('reattached', { mode: 'conventional' })],
    null,
    'updated',
  ],
  [
    'a conventional VM that kept its VF',
    'all',
    [vm('kept', { mode: 'conventional' })],
    null,
    'updated',
  ],
  ['a modified VM with a new VF', 'all', [vm('kept'), vm('reattached')], null, 'degraded'],
  ['a VM on the synthetic path', 'all', [vm('synthetic-only')], null, 'degraded'],
  [
    'a conventional VM on the synthetic path',
    'all',
    [vm('synthetic-only', { mode: 'conventional' })],
    null,
    'degraded',
  ],
  ['a VM that was left out', 'all', [vm('kept')], 'vm-02 could not be saved', 'degraded'],
  ['one VM on the new version, the other on the old', 'some', [vm('kept')], null, 'mixed'],
  ['that, and a reason', 'some', [vm('reattached')], 'vm-02 could not be saved', 'mixed'],
  ['a stranded VM beside it', 'some', [vm('stranded')], null, 'stranded'],
  ['the old version', 'none', [vm('kept')], 'aborted', 'notUpdated'],
  ['the old version and no VM', 'none', [], null, 'notUpdated'],
  ['the old version and a new VF', 'none', [vm('reattached')], 'aborted', 'notUpdated'],
  ['a restarted VM', 'all', [vm('kept'), vm('restarted')], null, 'restarted'],
  ['a restarted VM on the old version', 'none', [vm('restarted')], 'x', 'restarted'],
  ['a stranded VM', 'all', [vm('restarted'), vm('stranded')], null, 'stranded'],
  [
    'a VM that does not run, whatever its path',
    'all',
    [vm('kept', { running: false })],
    null,
    'stranded',
  ],
] as const)('the worst names the outcome: %s', (_, updated, vms, reason, outcome) => {
  expect(hostOutcome(updated, vms, reason)).toBe(outcome);
});

describe('the result', () => {
  const before = hostWith({
    vms: [vmWith()],
    forbiddenCommands: 3,
    invariants: { checked: 100, violated: 1 },
  });
  const after = hostWith({
    vms: [vmWith(), vmWith({ vmId: 'vm-02', facts: factsWith({ path: 'reattached' }) })],
    versions: { ...before.versions, vmWorkerProcess: '2.0.0' },
    forbiddenCommands: 3,
    invariants: { checked: 150, violated: 1 },
  });
  const verdicts = [verdict('vm-01', 'keep'), verdict('vm-02', 'conventional')];

  it('counts what this run did, not what the host saw before', () => {
    const result = servicingResult(input, before, after, new Map(), verdicts, null);
    expect(result).toMatchObject({
      outcome: 'updated',
      component: 'vmWorkerProcess',
      versionBefore: '1.0.0',
      versionAfter: '2.0.0',
      forbiddenCommands: 0,
      invariants: { checked: 50, violated: 0 },
    });
    expect(result.vms.map((v) => [v.vmId, v.mode])).toEqual([
      ['vm-01', 'modified'],
      ['vm-02', 'conventional'],
    ]);
  });

  it('says what came of the notice, or that there was none', () => {
    const came = { acknowledged: ['vm-01'], unacknowledged: [], webhook: null };
    const of = [input, before, after, new Map(), verdicts, null] as const;
    expect(servicingResult(...of).notice).toBeNull();
    expect(servicingResult(...of, came).notice).toEqual(came);
  });

  it('carries the steps of each VM, and none for a VM without any', () => {
    const steps = [
      { name: 'pauseVm', status: 'done', direction: 'forward', ms: 3, attempts: 1 },
    ] as const;
    const result = servicingResult(
      input,
      before,
      after,
      new Map([['vm-02', steps]]),
      verdicts,
      null,
    );
    expect(result.vms.map((v) => v.steps)).toEqual([[], steps]);
  });

  it('is not updated when the host says that the version is the old one', () => {
    const result = servicingResult(
      input,
      before,
      {
        ...after,
        versions: before.versions,
        vms: [vmWith({ facts: factsWith({ stackVersion: '1.0.0' }) })],
      },
      new Map(),
      verdicts,
      'aborted',
    );
    expect(result).toMatchObject({
      outcome: 'notUpdated',
      reason: 'aborted',
      versionAfter: '1.0.0',
    });
  });

  it.each([
    ['all VMs and the default', ['2.0.0', '2.0.0'], '2.0.0', 'updated'],
    ['some VMs', ['2.0.0', '1.0.0'], '1.0.0', 'mixed'],
    ['all VMs, and not the default', ['2.0.0', '2.0.0'], '1.0.0', 'mixed'],
    ['the default alone', ['1.0.0', '1.0.0'], '2.0.0', 'mixed'],
    ['nothing', ['1.0.0', '1.0.0'], '1.0.0', 'notUpdated'],
  ])('reached by %s', (_, versions, byDefault, outcome) => {
    const vms = versions.map((stackVersion) => vmWith({ facts: factsWith({ stackVersion }) }));
    const now = { ...before, vms, versions: { ...before.versions, vmWorkerProcess: byDefault } };
    expect(servicingResult(input, before, now, new Map(), [], null)).toMatchObject({
      outcome,
      versionAfter: byDefault,
    });
  });
});
