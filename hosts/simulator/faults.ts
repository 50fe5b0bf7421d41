import type { Fault } from '../../contract/faults';
import { toMs } from '../../contract/durations';
import { loseVf, vfOf } from './devices/physical-function';
import { guestKnowsVf, guestLosesVf } from './devices/guest';
import { markUnassigned } from './devices/synthetic-network-adapter';
import { losePassthrough } from './migration/functions';
import type { AdapterObjects } from './state';

/** A fault that is met, with how long it delays, ms. */
export type Met = Fault & { readonly delayMs: number };

/** The fault that this attempt of a step meets, if any; it counts down as it is met. */
export function takeFault(owner: { faults: Fault[] }, step: string): Met | undefined {
  const index = owner.faults.findIndex((f) => f.step === step && f.times > 0);
  const fault = owner.faults[index];
  if (fault === undefined) return undefined;
  owner.faults[index] = { ...fault, times: fault.times - 1 };
  return { ...fault, delayMs: toMs(fault.delay) };
}

/** The switch takes the port's VF away without a command of ours: VF, device and connection are gone at once. */
export function applyVfGone(o: AdapterObjects): void {
  const { adapter, pf, nowMs } = o;
  const vf = vfOf(o);
  if (vf !== undefined) loseVf(pf, vf);
  adapter.vpci.device = null;
  adapter.vpci.interface = { state: 'none', madeBy: null };
  if (adapter.custody !== null) adapter.custody.lost = true;
  markUnassigned(adapter.vdev);
  if (guestKnowsVf(adapter.guest)) guestLosesVf(adapter.guest, 'surpriseRemoval', nowMs);
  losePassthrough(o);
  adapter.path = 'synthetic-only';
  adapter.pathReason = 'the VF was taken away from the VM';
}
