import { chosenPath, giveUpPath, losePath, plugPath, preferPath } from '../devices/guest-io';
import type { Objects } from '../state';
import { eachIo, isUsed } from './functions';

/**
 * Without an emulated path the guest itself moves its I/O, as it loses or gets a VF. The steps that take the VF away and
 * give one know nothing of the count, so it is brought up to what the guest has done since.
 */
export function followGuest(o: Objects): void {
  const { vm, nowMs } = o;
  if (vm.migration?.method !== 'unplug-replug') return;
  eachIo(o, (io, medium) => {
    if (io.paths.emulated === null) plugPath(io, medium, 'emulated', nowMs);
    if (!isUsed(o) && io.paths.passthrough !== null) {
      const ended = vm.guest.events.findLast((event) => event.kind !== 'offer');
      const leave = ended?.kind === 'surpriseRemoval' ? losePath : giveUpPath;
      leave(io, medium, 'passthrough', ended?.atMs ?? nowMs);
    }
    if (isUsed(o) && vm.partition.state === 'running') {
      if (io.paths.passthrough === null) plugPath(io, medium, 'passthrough', nowMs);
      if (chosenPath(io) !== 'passthrough') preferPath(io, medium, 'passthrough', nowMs);
    }
  });
}
