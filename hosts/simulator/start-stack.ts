import type { Component } from '../../contract/inputs';
import type { Started } from '../engine/port';
import type { HostState } from './state';

/** How a stack starts that an update has brought: as its defect says, if it has one. */
export function startStack(
  { servicing, updateDefect }: HostState,
  _component: Component,
  { before, now }: { readonly before: string; readonly now: string },
): Started {
  const kind = updateDefect?.generation === servicing?.generation ? updateDefect?.kind : undefined;
  return {
    version: kind === 'fails-to-start' ? null : kind === 'starts-old-version' ? before : now,
    isSound: kind !== 'fails-verification',
  };
}
