import { setTimeout as delay } from 'node:timers/promises';
import { HoldfastError } from '../../contract/failures';
import type { HostStep, VmStep } from '../../contract/steps';
import type { Commands } from '../engine/operation';
import type { Attempt } from '../engine/port';
import { applyVfGone, takeFault, type Met } from './faults';
import { keepCommands } from './migration/functions';
import { latencyMs, runnerOf, type Pace } from './runner';
import type { Objects, SimulatedHost, UpdateDefect } from './state';
import { IN_SUCCESSOR, endSuccessor, refuseWithoutSuccessor } from './successor';

type Runner = Commands<Objects> | Commands<SimulatedHost>;

/** One attempt of a step at a simulated host: the faults that it meets, and the time that it takes. */
export function attemptOf(
  step: VmStep | HostStep,
  o: Objects | SimulatedHost,
  pace: Pace,
  hasOwnLatency: boolean,
): Attempt<Runner> {
  const fault = takeFault('vm' in o ? o.vm : o.host, step);
  // What is wrong with an update is wrong with it at the next attempt too.
  if (isDefect(fault?.kind) && o.host.servicing !== null) {
    const { generation } = o.host.servicing;
    o.host.updateDefect = { generation, kind: fault.kind };
  }
  return {
    note: fault === undefined ? null : `fault ${fault.kind}`,
    before: async (c, isInPlace) => {
      const whom = c.vmId ?? c.hostId;
      if (fault?.kind === 'fail-before')
        throw new HoldfastError('HostStepFailed', `${step} of ${whom} failed before its effect.`);
      if (fault?.kind === 'stuck') {
        await c.untilOvertaken();
        throw new HoldfastError('HostStepFailed', `${step} of ${whom} did not answer.`);
      }
      if (fault?.kind === 'slow') await delay(fault.delayMs);
      if (isOfVm(c)) meetAtVm(c, fault, pace);
      if (isOfVm(c) && !isInPlace && IN_SUCCESSOR.has(step)) c.look(refuseWithoutSuccessor);
      const ms = latencyMs(c, pace);
      if (!isInPlace && !hasOwnLatency && ms > 0) await delay(ms);
    },
    after: (c) => {
      if (fault?.kind === 'guest-hangs' && isOfVm(c))
        c.run('Guest.Hang', ({ vm }) => {
          vm.guestHangs = true;
        });
      if (fault?.kind === 'fail-after')
        throw new HoldfastError(
          'HostStepFailed',
          `${step} of ${c.vmId ?? c.hostId}: the reply was lost, its outcome is unknown.`,
        );
    },
  };
}

function meetAtVm(c: Commands<Objects>, fault: Met | undefined, pace: Pace): void {
  if (fault?.kind === 'vf-gone') takeVfAway(c, pace);
  if (fault?.kind === 'successor-dies') c.run('VMWP.Ended', endSuccessor);
  if (fault?.kind === 'stuck-command') c.run('Device.KeepsCommand', keepCommands);
}

/** The first VF that the VM still has goes. */
function takeVfAway(c: Commands<Objects>, pace: Pace): void {
  const first = c.look(({ vm: { adapters } }) => {
    const wanting = adapters.filter(({ wantsVf }) => wantsVf);
    return wanting.find(({ vpci }) => vpci.device !== null) ?? wanting[0];
  });
  if (first === undefined) return;
  runnerOf(c, pace).ofAdapter(first).run('NDIS_STATUS_SWITCH_PORT_REMOVE_VF', applyVfGone);
}

const isOfVm = (c: Runner): c is Commands<Objects> => c.vmId !== null;

const DEFECTS: ReadonlySet<string> = new Set<UpdateDefect>([
  'fails-to-start',
  'starts-old-version',
  'fails-verification',
  'cannot-read-record',
]);
const isDefect = (kind: string | undefined): kind is UpdateDefect =>
  kind !== undefined && DEFECTS.has(kind);
