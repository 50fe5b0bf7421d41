import { Recordings, ends } from './recordings';

let on: Recordings;
beforeAll(async () => {
  on = await Recordings.start(3);
});
afterAll(() => on.stop());

/** Each comes while a step is under way: for longer than a busy machine needs to get there when it acts the run out. */
describe('what came from outside comes again, when the run is as far as it was then:', () => {
  it.concurrent('a cancel', async () => {
    const hostId = on.suite.freshHost();
    const run = await on.start('fastSave', `fast-save/${hostId}/vm-01`, {
      ...{ hostId, vmId: 'vm-01' },
      faults: [{ step: 'saveVm', kind: 'slow', delay: '1500ms' }],
    });
    await untilBegun(hostId, 'saveVm');
    await run.cancel();
    await ends(run);
    expect(await on.told(await on.exported(run.workflowId))).toMatchObject({
      code: 0,
      recorded: { outcome: 'cancelled' },
      reenacted: [{ outcome: 'cancelled', same: true, notes: [] }],
    });
  });

  it.concurrent('an abort', async () => {
    const hostId = on.suite.freshHost();
    const run = await on.start('serviceHost', `service-host/${hostId}`, {
      ...{ hostId, update: { version: '2.0.0' } },
      faults: [{ vmId: 'vm-01', step: 'disableOptimizations', kind: 'slow', delay: '6s' }],
    });
    await untilBegun(hostId, 'disableOptimizations');
    await run.executeUpdate('abort', { args: [{ reason: 'a test' }] });
    await ends(run);
    expect(await on.told(await on.exported(run.workflowId))).toMatchObject({
      code: 0,
      recorded: { outcome: 'failed', detail: 'HostNotUpdated' },
      reenacted: [{ outcome: 'failed', detail: 'HostNotUpdated', same: true, notes: [] }],
    });
  });

  it.concurrent('a termination', async () => {
    const hostId = on.suite.freshHost();
    const run = await on.start('fastSave', `fast-save/${hostId}/vm-01`, {
      ...{ hostId, vmId: 'vm-01' },
      faults: [{ step: 'saveVm', kind: 'slow', delay: '1500ms' }],
    });
    await untilBegun(hostId, 'saveVm');
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
