import { fastSaveId } from '../../../contract/queues';
import type { Scenario } from '../scenario';

/** Runs that end before anything is touched. */
export const REFUSED: readonly Scenario[] = [
  async function refusesAnInput(on) {
    const run = await on.start('fastSave', fastSaveId(on.hostId, 'wrong'), {
      hostId: on.hostId,
      vmId: 'no such name',
      mode: 'typical',
      blackoutBudget: '31s',
    });
    return {
      'fast-save.invalid-input': {
        run: await on.ended(run),
        ends: 'InvalidInput',
        shows: 'Three wrong fields, all named in one failure, before anything is touched.',
      },
    };
  },

  async function namesAnUnknownVm(on) {
    const run = await on.start('fastSave', fastSaveId(on.hostId, 'vm-99'), {
      hostId: on.hostId,
      vmId: 'vm-99',
    });
    return {
      'fast-save.unknown-vm': {
        run: await on.ended(run),
        ends: 'UnknownVm',
        shows:
          'A VM that the host does not have: the host’s own failure reaches the person with the VMs it has.',
      },
    };
  },

  async function findsNoHost(on) {
    const run = await on.start('fastSave', fastSaveId('host-99', on.vmId), {
      hostId: 'host-99',
      vmId: on.vmId,
    });
    return {
      'fast-save.host-unreachable': {
        run: await on.ended(run),
        ends: 'HostUnreachable',
        shows: 'Nobody polls the host’s queue: the ping times out before anything is touched.',
      },
    };
  },

  async function meetsAnotherRun(on) {
    const save = await on.fastSave({
      faults: [{ step: 'disableOptimizations', kind: 'slow', delay: '500ms' }],
    });
    await on.scheduled(save, 'disableOptimizations');
    const run = await on.start('fastSave', `${fastSaveId(on.hostId, on.vmId)}/again`, {
      hostId: on.hostId,
      vmId: on.vmId,
    });
    await on.ended(run);
    await on.ended(save);
    return {
      'fast-save.vm-busy': {
        run,
        ends: 'VmBusy',
        shows:
          'Another run holds the VM, and the server says that it is open: refused, naming the holder.',
      },
    };
  },
];
