import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isPortFree } from '../../tools/temporal/ports';
import { once } from '../support/once';
import { Recordings, ends, withStateVersion, withoutFaultsAndCode } from './recordings';

const OFTEN = 1_000;

let on: Recordings;
beforeAll(async () => {
  on = await Recordings.start(4);
});
afterAll(() => on.stop());

const failedSave = once(async () => {
  const hostId = on.suite.freshHost();
  const workflowId = `fast-save/${hostId}/vm-01`;
  const bundle = await on.recorded('fastSave', workflowId, {
    ...{ hostId, vmId: 'vm-01', blackoutBudget: '3s' },
    faults: [{ step: 'saveVm', kind: 'fail-before', times: OFTEN }],
  });
  return { workflowId, bundle };
});

it.concurrent(
  'a save that failed fails again with the code that decided, and succeeds with code that is mended',
  async () => {
    const { workflowId, bundle } = await failedSave();
    const handle = on.handle(workflowId);
    const { runId } = await handle.describe();
    const end = await on.told(bundle, { workflowBundle: on.mendedCode() });
    expect(end).toMatchObject({
      code: 0,
      workflowId,
      type: 'fastSave',
      recorded: { outcome: 'failed', failure: { type: 'SaveUndone', step: 'saveVm' } },
      reenacted: [
        {
          code: 'recorded',
          buildId: expect.stringMatching(/^holdfast@/),
          outcome: 'failed',
          failure: { type: 'SaveUndone', step: 'saveVm' },
          vms: [{ vmId: 'vm-01', running: true }],
          same: true,
          tookMs: expect.any(Number),
        },
        { code: 'present', buildId: 'mended', outcome: 'completed', failure: null, same: false },
      ],
    });
    // The server that the person works with has not seen it.
    expect((await handle.describe()).runId).toBe(runId);
  },
);

it.concurrent(
  'a save that failed comes to another end without its faults, which is said, and what it left is kept',
  async () => {
    const { bundle } = await failedSave();
    const { code, out, err } = await on.reEnact(on.edited(bundle, withoutFaultsAndCode));
    expect(err).toContain('the bundle does not have the code that decided');
    expect(code).toBe(5);
    expect(out).toMatch(/\n│ outcome +│ failed: SaveUndone +│ completed: saved +│\n/);
    expect(out).toContain('\n│ failure');
    expect(out.trimEnd()).toMatch(
      /\nAnother end: it completed \(saved\) with the present code, the recorded run failed with SaveUndone at saveVm\.$/,
    );
    const [, left] = /are left in (\S+)\.\n$/.exec(err) ?? [];
    expect(existsSync(join(left ?? '', 'present-code', 'logs', 'host.log'))).toBe(true);
  },
);

it.concurrent(
  'stopped with Ctrl-C while it is acted out, a save that failed leaves no server and no directory',
  async () => {
    const hostId = on.suite.freshHost();
    const bundle = await on.recorded('fastSave', `fast-save/${hostId}/vm-01`, {
      ...{ hostId, vmId: 'vm-01' },
      faults: [
        // Long enough to be stopped in, on a busy machine too.
        { step: 'disableOptimizations', kind: 'slow', delay: '10s' },
        { step: 'saveVm', kind: 'fail-before', times: OFTEN },
      ],
    });
    const { code, out, err, left } = await on.interrupted(bundle, 'the workers are ready');
    expect({ code, out }).toEqual({ code: 130, out: '' });
    const port = Number(/using Temporal at 127\.0\.0\.1:(\d+)/.exec(err)?.[1]);
    expect(await isPortFree(port)).toBe(true);
    expect(left).toEqual([]);
  },
);

it.concurrent(
  'a save that failed is refused where its host has another state than this checkout knows',
  async () => {
    const { bundle } = await failedSave();
    const { code, err } = await on.reEnact(on.edited(bundle, withStateVersion(99)));
    expect(code).toBe(2);
    expect(err).toMatch(
      /^replay: The state of the host has version 99, this checkout makes hosts of/,
    );
  },
);

it.concurrent(
  'a host that was not updated is not updated again, and all its VMs run as before',
  async () => {
    const hostId = on.suite.freshHost();
    const bundle = await on.recorded('serviceHost', `service-host/${hostId}`, {
      ...{ hostId, update: { component: 'vpciVsp', version: '2.0.0' }, blackoutBudget: '6s' },
      faults: [{ vmId: 'vm-02', step: 'saveVm', kind: 'fail-before', times: OFTEN }],
    });
    const { code, out, err } = await on.reEnact(bundle);
    expect({ code, out }).toMatchObject({ code: 0 });
    expect(err).toContain('the code that decided is the present one');
    expect(err).toContain(`a host as ${hostId} was, with vm-01, vm-02`);
    expect(out).toMatch(/│ vm-02 +│ runs on stack 1\.0\.0, kept +│ runs on stack 1\.0\.0, kept +│/);
    expect(out.trimEnd()).toMatch(/\nThe same failure: HostNotUpdated at saveVm\.$/);
  },
);

it.concurrent('a restore is acted out from the VM that was saved for it', async () => {
  const hostId = on.suite.freshHost();
  await ends(await on.start('fastSave', `fast-save/${hostId}/vm-02`, { hostId, vmId: 'vm-02' }));
  const bundle = await on.recorded('fastRestore', `fast-restore/${hostId}/vm-02`, {
    ...{ hostId, vmId: 'vm-02', blackoutBudget: '6s' },
    faults: [{ step: 'restoreVm', kind: 'fail-before', times: OFTEN }],
  });
  expect(await on.told(bundle)).toMatchObject({
    code: 0,
    recorded: { failure: { type: 'VmStranded', step: 'restoreVm' } },
    reenacted: [
      {
        code: 'present',
        failure: { type: 'VmStranded', step: 'restoreVm' },
        vms: [{ vmId: 'vm-02', running: false }],
        same: true,
      },
    ],
  });
});
