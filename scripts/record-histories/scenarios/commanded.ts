import type { CommandFunctionInput } from '../../../contract/functions';
import type { Scenario } from '../scenario';
import type { Stage } from '../stage';

const command = async (on: Stage, input: unknown) =>
  on.ended(await on.start('commandFunction', `command-function/${on.hostId}`, input));

const reallocate = (on: Stage, bandwidthGbps: number): CommandFunctionInput => ({
  functionId: `local:${on.hostId}/epf-vm-01`,
  operation: 'reallocateVirtualFunction',
  input: { vfId: 0, bandwidthGbps },
});

/** Commands to functions, by way of the function policy. */
export const COMMANDED: readonly Scenario[] = [
  async function commandsAFunction(on) {
    const run = await command(on, {
      ...reallocate(on, 7.5),
      vmId: 'vm-01',
      faults: [{ kind: 'fail-after' }],
    });
    return {
      'command-function.performed': {
        run,
        ends: 'completed',
        shows:
          'The worked example: a VM asks through its own channel for 7.5 Gbps for its VF. The first reply is lost, so the command is sent again and answered as before.',
      },
    };
  },

  async function commandsWhatIsDenied(on) {
    const run = await command(on, {
      functionId: `local:${on.hostId}/epf-vm-01`,
      operation: 'powerCycleDevice',
    });
    return {
      'command-function.denied': {
        run,
        ends: 'FunctionPolicyDenied',
        shows: 'The policy denies it to everyone: the failure names the rule and what is allowed.',
      },
    };
  },

  async function commandsTooMuch(on) {
    return {
      'command-function.over-committed': {
        run: await command(on, reallocate(on, 500)),
        ends: 'FunctionCapacityExceeded',
        shows: 'More bandwidth than the PF has: refused with the numbers of the ledger.',
      },
    };
  },

  async function commandsNothing(on) {
    return {
      'command-function.invalid-input': {
        run: await command(on, { ...reallocate(on, -1), functionId: 'epf-vm-01' }),
        ends: 'InvalidInput',
        shows: 'An id that is none: named in the failure, before anything is touched.',
      },
    };
  },

  Object.assign(
    async function commandsARemoteFunction(on: Stage) {
      const [first = '', second = ''] = on.hostIds;
      const functionId = `remote:${first}/far`;
      await on.ended(
        await on.start('commandFunction', `command-function/${first}/create`, {
          functionId: `local:${first}/controller`,
          operation: 'createRemoteFunction',
          input: { name: 'far', deviceFunctionId: `local:${second}/epf-vm-01`, ownerVmId: 'vm-01' },
        }),
      );
      const run = await command(on, { ...reallocate(on, 6), functionId, vmId: 'vm-01' });
      const refused = await on.ended(
        await on.start('commandFunction', `command-function/${first}/too-much`, {
          ...reallocate(on, 500),
          functionId,
        }),
      );
      return {
        'command-function.remote': {
          run,
          ends: 'completed',
          shows:
            'A function whose device is at another host: decided at both, performed there, and answered by way of the first.',
        },
        'command-function.refused-there': {
          run: refused,
          ends: 'FunctionCapacityExceeded',
          shows: 'The host of the device refuses it: the first one is told before the run ends.',
        },
      };
    },
    { hosts: 2 },
  ),
];
