import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isPortFree } from '../../tools/temporal/ports';
import { Recordings, ends, withStateVersion, withoutFaultsAndCode } from './recordings';

const OFTEN = 1_000;

let on: Recordings;
beforeAll(async () => {
  on = await Recordings.start(9);
});
afterAll(() => on.stop());

describe('a save that failed, in place', () => {
  let bundle: string;
  beforeAll(async () => {
    bundle = await on.recorded('fastSave', 'fast-save/host-01/vm-01', {
      ...{ hostId: 'host-01', vmId: 'vm-01', stepPlacement: 'in-place', blackoutBudget: '3s' },
      faults: [{ step: 'saveVm', kind: 'fail-before', times: OFTEN }],
    });
  });

  it('fails again with the code that decided, and succeeds with code that is mended', async () => {
    const handle = on.handle('fast-save/host-01/vm-01');
    const { runId } = await handle.describe();
    const end = await on.told(bundle, { workflowBundle: on.mendedCode() });
    expect(end).toMatchObject({
      code: 0,
      workflowId: 'fast-save/host-01/vm-01',
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
  });

  it('comes to another end without its faults, which is said, and what it left is kept', async () => {
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
  });

  it('stopped with Ctrl-C while it is acted out, it leaves no server and no directory', async () => {
    const before = on.left();
    const { code, out, err } = await on.interrupted(bundle, 'the workers are ready');
    expect({ code, out }).toEqual({ code: 130, out: '' });
    const port = Number(/using Temporal at 127\.0\.0\.1:(\d+)/.exec(err)?.[1]);
    expect(await isPortFree(port)).toBe(true);
    expect(on.left()).toEqual(before);
  });

  it('is refused where its host has another state than this checkout knows', async () => {
    const { code, err } = await on.reEnact(on.edited(bundle, withStateVersion(99)));
    expect(code).toBe(2);
    expect(err).toMatch(
      /^replay: The state of the host has version 99, this checkout makes hosts of/,
    );
  });
});

it('a host that was not updated is not updated again, and all its VMs run as before', async () => {
  const bundle = await on.recorded('serviceHost', 'service-host/host-02', {
    ...{ hostId: 'host-02', update: { version: '2.0.0' }, blackoutBudget: '3s' },
    faults: [{ vmId: 'vm-02', step: 'saveVm', kind: 'fail-before', times: OFTEN }],
  });
  const { code, out, err } = await on.reEnact(bundle);
  expect({ code, err }).toMatchObject({ code: 0 });
  expect(err).toContain('the code that decided is the present one');
  expect(err).toContain('a host as host-02 was, with vm-01, vm-02');
  expect(out).toMatch(/│ vm-02 +│ runs on stack 1\.0\.0, kept +│ runs on stack 1\.0\.0, kept +│/);
  expect(out.trimEnd()).toMatch(/\nThe same failure: HostNotUpdated at saveVm\.$/);
});

it('a restore is acted out from the VM that was saved for it', async () => {
  await ends(
    await on.start('fastSave', 'fast-save/host-03/vm-02', { hostId: 'host-03', vmId: 'vm-02' }),
  );
  const bundle = await on.recorded('fastRestore', 'fast-restore/host-03/vm-02', {
    ...{ hostId: 'host-03', vmId: 'vm-02', blackoutBudget: '6s' },
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

describe('what came from outside comes again, when the run is as far as it was then:', () => {
  it('a cancel', async () => {
    const run = await on.start('fastSave', 'fast-save/host-04/vm-01', {
      ...{ hostId: 'host-04', vmId: 'vm-01' },
      faults: [{ step: 'saveVm', kind: 'slow', delay: '1s' }],
    });
    await untilBegun('host-04', 'saveVm');
    await run.cancel();
    await ends(run);
    expect(await on.told(await on.exported(run.workflowId))).toMatchObject({
      code: 0,
      recorded: { outcome: 'cancelled' },
      reenacted: [{ outcome: 'cancelled', same: true, notes: [] }],
    });
  });

  it('an abort', async () => {
    const run = await on.start('serviceHost', 'service-host/host-05', {
      ...{ hostId: 'host-05', update: { version: '2.0.0' } },
      faults: [{ vmId: 'vm-01', step: 'disableOptimizations', kind: 'slow', delay: '1s' }],
    });
    await untilBegun('host-05', 'disableOptimizations');
    await run.executeUpdate('abort', { args: [{ reason: 'a test' }] });
    await ends(run);
    expect(await on.told(await on.exported(run.workflowId))).toMatchObject({
      code: 0,
      recorded: { outcome: 'failed', detail: 'HostNotUpdated' },
      reenacted: [{ outcome: 'failed', detail: 'HostNotUpdated', same: true, notes: [] }],
    });
  });

  it('a termination', async () => {
    const run = await on.start('fastSave', 'fast-save/host-06/vm-01', {
      ...{ hostId: 'host-06', vmId: 'vm-01' },
      faults: [{ step: 'saveVm', kind: 'slow', delay: '1s' }],
    });
    await untilBegun('host-06', 'saveVm');
    await run.terminate('by a test');
    await ends(run);
    expect(await on.told(await on.exported(run.workflowId))).toMatchObject({
      code: 0,
      recorded: { outcome: 'terminated', detail: 'by a test' },
      reenacted: [{ outcome: 'terminated', detail: 'by a test', same: true, notes: [] }],
    });
  });

  async function untilBegun(hostId: string, step: string): Promise<void> {
    await on.suite.until(hostId, 'vm-01', step, 'intent');
  }
});

describe('a fleet update', () => {
  let bundle: string;
  const refusal = async (options?: { runId: string }): Promise<string> => {
    const { code, out, err } = await on.reEnact(bundle, options);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    return err;
  };
  const runIdIn = (text: string): string => /--run-id (\S+)/.exec(text)?.[1] ?? '';

  beforeAll(async () => {
    bundle = await on.recorded('updateFleet', 'update-fleet/re-enact', {
      update: { version: '2.0.0' },
      hosts: ['host-07', 'host-08'],
      inventory: {
        hosts: [
          { hostId: 'host-07', faultDomain: 'fd-1' },
          { hostId: 'host-08', faultDomain: 'fd-2' },
        ],
      },
      strategy: { bakeTime: { giveUpAfter: '0s' }, onFailure: 'abort' },
      servicing: { blackoutBudget: '3s' },
      faults: {
        'host-07': [{ vmId: 'vm-01', step: 'saveVm', kind: 'fail-before', times: OFTEN }],
      },
    });
  });

  it('is not acted out as a whole: the refusal names the run of the host that failed', async () => {
    const message = await refusal();
    expect(message).toMatch(/^replay: update-fleet\/re-enact \(run .*\) is of type updateFleet/);
    expect(message).toMatch(/--run-id \S+ {2}service-host\/host-07, failed \(HostNotUpdated\)/);
    expect(message).not.toContain('service-host/host-08');
    const end = await on.told(bundle, { runId: runIdIn(message) });
    expect(end).toMatchObject({
      code: 0,
      workflowId: 'service-host/host-07',
      reenacted: [{ failure: { type: 'HostNotUpdated', step: 'saveVm' }, same: true }],
    });
  });

  it('a VM’s run in it is acted out by the run of its host, which is named', async () => {
    const { runId } = await on.handle('fast-save/host-07/vm-01').describe();
    const message = await refusal({ runId });
    expect(message).toContain('inside a servicing run is that of the whole host');
    expect(message).toMatch(/--run-id \S+ {2}service-host\/host-07/);
  });

  it('a run id that the bundle does not have is refused', async () => {
    expect(await refusal({ runId: 'none' })).toMatch(/^replay: The bundle has no run none\./);
  });
});

it('a run that took nothing is refused: its host has not kept a beginning of it', async () => {
  const bundle = await on.recorded('fastRestore', 'fast-restore/host-09/vm-01', {
    hostId: 'host-09',
    vmId: 'vm-01',
  });
  const { code, out, err } = await on.reEnact(bundle);
  expect({ code, out }).toEqual({ code: 2, out: '' });
  expect(err).toMatch(/cannot be acted out: host-09 has not kept how it was .* refused before/);
});
