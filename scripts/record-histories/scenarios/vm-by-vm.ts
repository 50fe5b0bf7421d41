import type { Scenario } from '../scenario';

/** Updates of what each VM has of its own: one VM after the other, and back where that does not work. */
export const VM_BY_VM: readonly Scenario[] = [
  async function updatesVmByVm(on) {
    return {
      'service-host.vm-by-vm': {
        run: await on.ended(await on.serviceVmByVm()),
        ends: 'completed',
        withAllBelow: true,
        shows:
          'A canary, a look at it after a while, then the other VM; the default of the host flips when both run the new version.',
      },
    };
  },

  async function goesBackToTheOldVersion(on) {
    const run = await on.ended(
      await on.serviceVmByVm({ faults: [{ step: 'stageUpdate', kind: 'cannot-read-record' }] }),
    );
    return {
      'service-host.goes-back': {
        run,
        ends: 'HostNotUpdated',
        shows:
          'The new version cannot read the record of the canary: that VM is back on the old one, and no other was touched.',
      },
      'fast-restore.back-on-the-old-version': {
        run: await on.child('restore'),
        ends: 'completed',
        shows:
          'The restore on the new version fails: its process is ended, and the old version restores the VM from the same record.',
      },
    };
  },

  async function leavesAHostMixed(on) {
    const run = await on.ended(
      await on.serviceVmByVm({
        faults: [{ vmId: 'vm-02', step: 'saveVm', kind: 'fail-before', times: 1_000 }],
      }),
    );
    return {
      'service-host.mixed': {
        run,
        ends: 'HostMixed',
        withAllBelow: true,
        shows:
          'The second VM cannot be saved: the first one runs the new version, the second the old one.',
      },
    };
  },

  async function stopsAfterItsCanary(on) {
    return {
      'service-host.canary-fails': {
        run: await on.ended(
          await on.serviceVmByVm({
            faults: [{ vmId: on.vmId, step: 'resumeVm', kind: 'guest-hangs' }],
          }),
        ),
        ends: 'HostMixed',
        shows: 'The canary answers no heartbeat on the new version: the other VM is left as it is.',
      },
    };
  },

  async function isAbortedInBetween(on) {
    const run = await on.serviceVmByVm({ rolling: { bakeFor: '1m' } });
    await on.ended(await on.child('restore'));
    await on.update(run, 'abort', { reason: 'recorded' });
    return {
      'service-host.aborted-in-between': {
        run: await on.ended(run),
        ends: 'HostMixed',
        shows: 'An abort while the canary bakes: the wait ends, and the other VM is left as it is.',
      },
    };
  },
];
