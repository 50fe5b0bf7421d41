import { createInterface } from 'node:readline';
import { isLabelledCall, stepLabel } from '../../contract/step-labels';
import { between } from './as-json';
import type { Stop, Walk } from './stops';
import type { VmState } from './vm-states';

/** Where a person looks, and where their answers come from. */
export interface Terminal {
  readonly input: NodeJS.ReadableStream;
  readonly output: NodeJS.WritableStream;
  /** Whether somebody sits in front of it. Nobody: all stops are printed, one after the other. */
  readonly isInteractive: boolean;
}

const KEYS =
  'Enter: on · b: back · f: to the end of the run that failed first · number: to that stop · q: quit > ';

/** Walks a person through a tree of runs, stop by stop, with what every VM of the host is at each. */
export async function walkThrough(
  walk: Walk,
  { input, output, isInteractive }: Terminal,
): Promise<void> {
  const show = (index: number) => output.write(`${stopText(walk, index)}\n\n`);
  if (!isInteractive) {
    for (const index of walk.stops.keys()) show(index);
    return;
  }
  const lines = createInterface({ input, output, prompt: KEYS });
  let at = 0;
  show(at);
  lines.prompt();
  for await (const line of lines) {
    const next = nextStop(line.trim(), at, walk);
    if (next === null) return;
    if (typeof next === 'string') output.write(`${next}\n`);
    else show((at = next));
    lines.prompt();
  }
}

/** The next stop, null to quit, or why there is none. */
export function nextStop(
  answer: string,
  at: number,
  { stops, firstFailure }: Walk,
): number | null | string {
  const last = stops.length - 1;
  switch (answer) {
    case 'q':
      return null;
    case '':
      return at === last ? 'This was the last stop; q quits.' : at + 1;
    case 'b':
      return at === 0 ? 'This is the first stop.' : at - 1;
    case 'f':
      return firstFailure ?? 'Nothing failed.';
    default: {
      const number = Number(answer);
      return Number.isInteger(number) && number >= 1 && number <= stops.length
        ? number - 1
        : `"${answer}" is no stop: they go from 1 to ${stops.length}.`;
    }
  }
}

export function stopText({ stops }: Walk, index: number): string {
  const stop = stops[index];
  if (stop === undefined) throw new RangeError(`there is no stop ${index}`);
  const { account, eventId, atMs, what, outcome } = stop;
  const after = between(stops[0]?.atMs ?? null, atMs);
  const label = isLabelledCall(what) ? ` (${stepLabel(what, stop.vm ?? {})})` : '';
  return [
    `${index + 1} of ${stops.length}, ${after === null ? 'at an unknown time' : `+${after.toFixed(1)} ms`}, ${account.workflowId}, event ${eventId}`,
    `${what}${label}: ${outcome}`,
    ...effortText(stop),
    ...vmsText(stops, index),
  ].join('\n  ');
}

function effortText({ timed }: Stop): string[] {
  if (timed === null) return [];
  const { step, beganMs, endedMs } = timed;
  const { attempts, scheduledMs, lastFailure } = step;
  const ms = (label: string, value: number | null) =>
    value === null ? [] : [`${label} ${value.toFixed(1)} ms`];
  return [
    [
      attempts === null
        ? 'attempts not known'
        : `${attempts} ${attempts === 1 ? 'attempt' : 'attempts'}`,
      ...ms('waited', between(scheduledMs, beganMs)),
      ...ms('took', between(beganMs, endedMs)),
    ].join(', '),
    ...(lastFailure === null ? [] : [`last failure: ${lastFailure}`]),
  ];
}

/** The VMs of the host, each as its latest step up to here tells; the one that this stop is of first. */
function vmsText(stops: readonly Stop[], index: number): string[] {
  const here = stops[index];
  if (here?.after == null || here.vm === null) return [];
  const latest = new Map([[here.vm.vmId, here.after]]);
  for (let at = index - 1; at >= 0; at -= 1) {
    const { vm, after } = stops[at] ?? {};
    if (vm == null || after == null || vm.hostId !== here.vm.hostId) continue;
    if (!latest.has(vm.vmId)) latest.set(vm.vmId, after);
  }
  return [...latest].map(([vmId, state]) => `${vmId}: ${stateText(state)}`);
}

export function stateText({ phase, path, vf, darkForMs }: VmState): string {
  const carried = {
    vf: 'data path: its VF',
    synthetic: 'data path: synthetic',
    none: `no data path, dark for ${darkForMs.toFixed(1)} ms`,
  }[path];
  return `${phase}; ${carried}; VF ${vf}`;
}
