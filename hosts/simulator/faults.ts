import type { Fault } from '../../contract/faults';
import { toMs } from '../../contract/durations';
import { loseVf, vfOf } from './devices/network-adapter';
import { guestKnowsVf, guestLosesVf } from './devices/guest';
import { markUnassigned } from './devices/synthetic-network-adapter';
import { losePassthrough } from './migration/functions';
import type { Objects } from './state';

/** The fault that this attempt of a step meets, if any; it counts down as it is met. */
export function takeFault(
  owner: { faults: Fault[] },
  step: string,
): (Fault & { readonly delayMs: number }) | undefined {
  const index = owner.faults.findIndex((f) => f.step === step && f.times > 0);
  const fault = owner.faults[index];
  if (fault === undefined) return undefined;
  owner.faults[index] = { ...fault, times: fault.times - 1 };
  return { ...fault, delayMs: toMs(fault.delay) };
}

/** The switch takes the port's VF away without a command of ours: VF, device and connection are gone at once. */
export function applyVfGone(o: Objects): void {
  const { vm, pf, nowMs } = o;
  const vf = vfOf(pf, vm.vmId);
  if (vf !== undefined) loseVf(pf, vf);
  vm.vpci.device = null;
  vm.vpci.interface = { state: 'none', madeBy: null };
  if (vm.custody !== null) vm.custody.lost = true;
  markUnassigned(vm.adapter);
  if (guestKnowsVf(vm.guest)) guestLosesVf(vm.guest, 'surpriseRemoval', nowMs);
  losePassthrough(o);
  if (vm.path === 'kept' || vm.path === 'reattached') {
    vm.path = 'synthetic-only';
    vm.pathReason = 'the VF was taken away from the VM';
  }
}
