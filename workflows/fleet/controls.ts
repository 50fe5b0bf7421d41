import { defineQuery, defineUpdate, setHandler } from '@temporalio/workflow';
import {
  FLEET_CONTROLS,
  type ControlRequest,
  type FleetControl,
} from '../../contract/fleet-control';
import type { FleetProgress } from '../../contract/fleet-results';
import { failure } from '../failures';
import { validated } from '../validated';
import { fleet } from './calls';
import type { FleetRun } from './fleet-run';

export const fleetProgress = defineQuery<FleetProgress>('progress');

interface Control<Name extends FleetControl> {
  readonly description: string;
  readonly example: string;
  /** Why it does not fit the run as it stands; nothing is changed then. */
  refusal?(run: FleetRun, request: ControlRequest<Name>): string | undefined;
  /** Does it and answers, in words. */
  perform(run: FleetRun, request: ControlRequest<Name>): string | Promise<string>;
}

const WHY = '"by":"ada","reason":"change freeze"';
const isOver = (run: FleetRun) =>
  run.goesOn() ? undefined : `the run is ending already: ${run.state.ending?.reason ?? ''}`;
const flying = (run: FleetRun) =>
  run.inFlight.size === 0
    ? 'no host is in flight'
    : `${run.inFlight.size} in flight finish first: ${[...run.inFlight.keys()].slice(0, 20).join(', ')}`;

/** All at safe points: a host in flight is never touched, so nothing happens between a VM's pause and its resume. */
const CONTROLS: { readonly [Name in FleetControl]: Control<Name> } = {
  pause: {
    description: 'Starts no more hosts; those in flight finish.',
    example: `{${WHY}}`,
    refusal: (run) =>
      run.state.paused === null ? undefined : `it is paused already, by ${run.state.paused.by}`,
    perform: (run, { by, reason }) => {
      run.pause(by, reason);
      return `Paused: no host starts; ${flying(run)}.`;
    },
  },
  resume: {
    description: 'Goes on after a pause; failures so far are accepted and count no more.',
    example: `{${WHY}}`,
    refusal: (run) => (run.state.paused === null ? 'it is not paused' : undefined),
    perform: (run) => {
      const accepted = run.state.failed.length - run.state.accepted;
      run.resume();
      return `Goes on${accepted === 0 ? '' : `; ${accepted} failed so far, which count no more`}.`;
    },
  },
  approve: {
    description: 'Lets a wave begin that needs approval; it may be given early.',
    example: `{${WHY},"wave":2}`,
    refusal: (run, { wave }) => {
      if (wave > run.state.plan.waves.length)
        return `there are ${run.state.plan.waves.length} waves, and wave ${wave} is none of them`;
      if (!needsApproval(run, wave)) return `wave ${wave} needs no approval`;
      if (wave < run.state.wave || run.state.approved.includes(wave))
        return `wave ${wave} is approved already`;
      return isOver(run);
    },
    perform: (run, { wave }) => {
      run.state.approved.push(wave);
      run.touch();
      return `Wave ${wave} is approved.`;
    },
  },
  abort: {
    description: 'Ends the run: hosts in flight finish, no more are started.',
    example: `{${WHY}}`,
    refusal: (run) => (run.state.ending?.outcome === 'rolledBack' ? undefined : isOver(run)),
    perform: (run, { by, reason }) => {
      const rollingBack = run.state.ending?.outcome === 'rolledBack';
      run.end('aborted', `aborted by ${by}: ${reason}`);
      return `Aborted: no host ${rollingBack ? 'is taken back' : 'starts'} any more; ${flying(run)}.`;
    },
  },
  setConcurrency: {
    description: 'How many hosts may be in flight at a time from now on.',
    example: `{${WHY},"hosts":4}`,
    perform: (run, { hosts }) => {
      const before = run.concurrency;
      run.state.concurrency = hosts;
      run.touch();
      return `At most ${hosts} hosts in flight instead of ${before}; ${flying(run)}.`;
    },
  },
  skipHost: {
    description: 'Leaves out a host that has not been started.',
    example: `{${WHY},"hostId":"host-07"}`,
    refusal: (run, { hostId }) => {
      if (run.inFlight.has(hostId)) return `${hostId} is in flight and finishes`;
      if (run.state.skips.includes(hostId)) return `${hostId} is to be skipped already`;
      return isOver(run);
    },
    perform: async (run, { hostId }) => {
      await run.flush();
      const found = await fleet.findHost(run.state.planId, hostId);
      if (found === null) throw failure('ControlRefused', `skipHost: ${hostId} is not planned.`);
      const again = run.state.retry.some((host) => host.hostId === hostId);
      if ((found.outcome !== null && !again) || run.inFlight.has(hostId)) {
        const how = found.outcome ?? 'in flight';
        throw failure('ControlRefused', `skipHost: it is too late, ${hostId} is ${how}.`);
      }
      run.state.skips.push(hostId);
      run.touch();
      return `${hostId} (wave ${found.wave}) will be left out.`;
    },
  },
  retryFailed: {
    description:
      'Tries every failed host again; they count no more, and a pause of the run’s own ends.',
    example: `{${WHY}}`,
    refusal: (run) =>
      isOver(run) ?? (run.state.failed.length === 0 ? 'no host has failed' : undefined),
    perform: (run) => `Tried again: ${run.retryFailed().join(', ')}.`,
  },
};

/** Also while the plan is being made, when there is no run yet. */
export function onProgressAsked(run: () => FleetRun | undefined): void {
  setHandler(fleetProgress, () => run()?.progress() ?? PLANNING, {
    description: 'Waves, hosts in flight, failures, and what the run waits for.',
  });
}
const PLANNING: FleetProgress = {
  phase: 'planning',
  waiting: null,
  paused: null,
  wave: 0,
  waves: [],
  inFlight: [],
  concurrency: 0,
  failures: [],
  failureLimit: 0,
  refused: 0,
  longestBlackoutMs: null,
};

/** Lets people steer the run while it goes on; what each asked for is recorded with who, why and the answer. */
export function onControls(run: FleetRun): void {
  const names: readonly FleetControl[] = Object.keys(CONTROLS) as FleetControl[];
  for (const name of names) onControl(run, name);
}

function onControl<Name extends FleetControl>(run: FleetRun, name: Name): void {
  const control: Control<Name> = CONTROLS[name];
  const read = (request: unknown) =>
    validated(FLEET_CONTROLS[name], request, control.example) as ControlRequest<Name>;
  setHandler(
    defineUpdate<string, [unknown]>(name),
    async (given) => {
      const request = read(given);
      run.updates += 1;
      const answer = await control.perform(run, request);
      run.record({ action: name, by: request.by, reason: request.reason, answer });
      return answer;
    },
    {
      description: `${control.description} Takes ${control.example}.`,
      validator: (given) => {
        const refusal = control.refusal?.(run, read(given));
        if (refusal !== undefined) throw failure('ControlRefused', `${name}: ${refusal}.`);
      },
    },
  );
}

export function needsApproval(run: FleetRun, wave: number): boolean {
  const { approval } = run.settings.strategy;
  if (approval === 'every-wave') return true;
  // The canary wave is always the first; what comes after it is approved once.
  return approval === 'after-canary' && wave === 2;
}
