import type { Scenario } from '../scenario';
import type { Run, Stage } from '../stage';

const WHY = { by: 'ada', reason: 'recorded' };
const BAD_UPDATE = [{ step: 'stageUpdate', kind: 'fails-to-start' }] as const;
const SLOW = [{ step: 'stageUpdate', kind: 'slow', delay: '1s' }] as const;
const of = (hosts: number, scenario: Scenario): Scenario => Object.assign(scenario, { hosts });

const control = (on: Stage, run: Run, name: string, request: object = {}) =>
  on.update<string>(run, name, { ...WHY, ...request });

/** Updates of whole fleets: two or three hosts each. */
export const FLEETS: readonly Scenario[] = [
  of(3, async function fleetIsUpdated(on) {
    const run = await on.ended(await on.updateFleet({}, { maxConcurrentHosts: 2 }));
    const [survey] = await on.childrenOf(run, 'surveyHosts');
    const [before] = await on.childrenOf(run, 'checkHealth');
    if (survey === undefined || before === undefined) throw new Error('a child is missing');
    return {
      'update-fleet.updated': {
        run,
        ends: 'completed',
        withAllBelow: true,
        shows:
          'A canary, then a wave of two hosts: survey, plan, health gates, children for each host.',
      },
      'survey-hosts.completed': {
        run: survey,
        ends: 'completed',
        shows: 'Three hosts are asked how they are; the answers go to the orchestrator’s store.',
      },
      'check-health.completed': {
        run: before,
        ends: 'completed',
        shows: 'One look of a health gate: every probe of a host.',
      },
    };
  }),

  of(2, async function fleetCanaryFailsAndIsRetried(on) {
    const run = await on.updateFleet({ faults: { [on.hostId]: [...BAD_UPDATE] } });
    await on.fleetIs(run, (p) => p.waiting?.for === 'operator');
    await control(on, run, 'retryFailed');
    return {
      'update-fleet.retried': {
        run: await on.ended(run),
        ends: 'completed',
        shows:
          'A failing canary pauses the run; a person has it tried again, and the fleet goes on.',
      },
    };
  }),

  of(3, async function fleetIsAborted(on) {
    const run = await on.updateFleet({ faults: { [on.hostId]: [...SLOW] } }, { canary: 0 });
    await on.begun(on.hostId, 'stageUpdate');
    await control(on, run, 'abort');
    return {
      'update-fleet.aborted': {
        run: await on.ended(run),
        ends: 'FleetAborted',
        shows: 'Aborted in the middle of a wave: the host in flight finishes, no other is started.',
      },
    };
  }),

  of(2, async function fleetIsCancelled(on) {
    const run = await on.updateFleet({ faults: { [on.hostId]: [...SLOW] } });
    await on.begun(on.hostId, 'stageUpdate');
    await on.cancel(run);
    return {
      'update-fleet.cancelled': {
        run: await on.ended(run),
        ends: 'cancelled',
        shows: 'A cancel: the host in flight is shielded from it and finishes first.',
      },
    };
  }),

  of(3, async function fleetIsRolledBack(on) {
    const [, second = ''] = on.hostIds;
    const run = await on.updateFleet(
      { faults: { [second]: [{ vmId: on.vmId, step: 'resumeVm', kind: 'guest-hangs' }] } },
      { waves: [1], onFailure: 'rollBack' },
    );
    return {
      'update-fleet.rolled-back': {
        run: await on.ended(run),
        ends: 'FleetRolledBack',
        withAllBelow: true,
        shows:
          'A guest that hangs after the second wave: both updated hosts are taken back, the latest first.',
      },
    };
  }),

  of(3, async function fleetIsStoppedByTheThreshold(on) {
    const [first = '', second = ''] = on.hostIds;
    const run = await on.updateFleet(
      { faults: { [first]: [...BAD_UPDATE], [second]: [...BAD_UPDATE] } },
      { canary: 0, failureLimit: 1, onFailure: 'abort', maxConcurrentHosts: 1 },
    );
    return {
      'update-fleet.over-the-limit': {
        run: await on.ended(run),
        ends: 'FleetStopped',
        shows: 'Two failures where one is tolerated: the third host is never started.',
      },
    };
  }),

  of(3, async function fleetIsSteered(on) {
    const [, , third = ''] = on.hostIds;
    const run = await on.updateFleet({}, { approval: 'every-wave' });
    await on.fleetIs(run, (p) => p.waiting?.for === 'approval');
    await control(on, run, 'setConcurrency', { hosts: 2 });
    await control(on, run, 'skipHost', { hostId: third });
    await control(on, run, 'pause');
    await control(on, run, 'approve', { wave: 1 });
    await control(on, run, 'resume');
    await control(on, run, 'approve', { wave: 2 });
    return {
      'update-fleet.steered': {
        run: await on.ended(run),
        ends: 'completed',
        shows:
          'Approvals wave by wave, a pause and a resume, another concurrency, and a host that is skipped.',
      },
    };
  }),

  of(1, async function fleetContinuesAsNew(on) {
    const run = await on.updateFleet({}, { approval: 'every-wave' });
    await on.fleetIs(run, (p) => p.waiting?.for === 'approval');
    // More updates than one history takes; it continues when the wave has been let through.
    for (let hosts = 1; hosts <= 201; hosts += 1)
      await control(on, run, 'setConcurrency', { hosts });
    await control(on, run, 'approve', { wave: 1 });
    await on.ended(run);
    return {
      'update-fleet.continues': {
        run,
        ends: 'continuedAsNew',
        shows:
          'So many updates that the run continues as new before its wave, with what people said.',
      },
      'update-fleet.continued': {
        run: await on.ended(await on.next(run)),
        ends: 'completed',
        shows:
          'The run after that: it begins with what was carried on, and makes no plan of its own.',
      },
    };
  }),

  of(1, async function fleetGateIsInconclusive(on) {
    const prometheus = [{ url: 'http://127.0.0.1:9', query: 'up', atLeast: 1 }];
    const run = await on.updateFleet({ health: { prometheus } });
    await on.fleetIs(run, (p) => p.waiting?.for === 'operator');
    await control(on, run, 'abort');
    return {
      'update-fleet.inconclusive': {
        run: await on.ended(run),
        ends: 'FleetAborted',
        shows:
          'A probe without an answer pauses the run before its first wave; a person ends it there.',
      },
    };
  }),

  of(1, async function fleetWaitsForItsWindow(on) {
    const hour = (inHours: number) =>
      new Date(Date.now() + inHours * 3_600_000).toISOString().slice(11, 16);
    const run = await on.updateFleet({
      maintenanceWindow: { open: [{ from: hour(2), to: hour(3) }] },
    });
    await on.fleetIs(run, (p) => p.waiting?.for === 'window');
    await control(on, run, 'abort');
    return {
      'update-fleet.waits-for-window': {
        run: await on.ended(run),
        ends: 'FleetAborted',
        shows: 'A maintenance window that is closed: nothing is started, and a timer waits for it.',
      },
    };
  }),

  of(2, async function fleetFindsAHostBusy(on) {
    const [, second = ''] = on.hostIds;
    const holder = await on.serviceHost({ faults: [...SLOW] });
    await on.begun(on.hostId, 'stageUpdate');
    const run = await on.ended(await on.updateFleet({ hosts: [on.hostId, second] }, { canary: 0 }));
    await on.ended(holder);
    return {
      'update-fleet.busy': {
        run,
        ends: 'completed',
        shows:
          'A host that another run services: its child cannot be started, and the fleet carries on.',
      },
    };
  }),

  of(1, async function fleetIsOnlyPlanned(on) {
    return {
      'update-fleet.planned': {
        run: await on.ended(await on.updateFleet({ dryRun: true })),
        ends: 'completed',
        shows: 'A dry run: survey and plan, nothing else.',
      },
    };
  }),

  of(1, async function fleetInputIsWrong(on) {
    const nothing = await on.start('updateFleet', `update-fleet/${on.hostId}/nothing`, {
      update: { version: '2.0.0' },
      selector: { labels: { rack: 'none' } },
    });
    const invalid = await on.start('updateFleet', `update-fleet/${on.hostId}/invalid`, {
      update: { version: '2.0.0' },
    });
    return {
      'update-fleet.invalid-input': {
        run: await on.ended(invalid),
        ends: 'InvalidInput',
        shows: 'Neither hosts nor a selector: refused before anything is asked.',
      },
      'update-fleet.empty-selection': {
        run: await on.ended(nothing),
        ends: 'EmptySelection',
        shows: 'A selector that no host meets: an error, never "all".',
      },
    };
  }),
];
