import { chosenPath, giveUpPath, losePath, plugPath, preferPath } from '../devices/guest-io';
import type { Objects } from '../state';
import { eachMoved, ioOf, isUsed } from './functions';

/**
 * Without an emulated path the guest itself moves its I/O, as it loses or gets a VF: a NIC's to the synthetic adapter, while
 * an NVMe controller's waits. The steps that take the VF away and give one know nothing of the count, so it is brought up to
 * what the guest has done since.
 */
export function followGuest(o: Objects): void {
  const { vm, nowMs } = o;
  if (vm.migration?.method !== 'unplug-replug') return;
  for (const of of eachMoved(o)) {
    const [io, medium] = ioOf(of);
    const { guest, kind } = of.adapter;
    if (kind === 'network' && io.paths.emulated === null) plugPath(io, medium, 'emulated', nowMs);
    if (!isUsed(of) && io.paths.passthrough !== null) {
      const ended = guest.events.findLast((event) => event.kind !== 'offer');
      const leave = ended?.kind === 'surpriseRemoval' ? losePath : giveUpPath;
      leave(io, medium, 'passthrough', ended?.atMs ?? nowMs);
    }
    if (isUsed(of) && vm.partition.state === 'running') {
      if (io.paths.passthrough === null) plugPath(io, medium, 'passthrough', nowMs);
      if (chosenPath(io) !== 'passthrough') preferPath(io, medium, 'passthrough', nowMs);
    }
  }
}
