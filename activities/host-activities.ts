import { Context } from '@temporalio/activity';
import type {
  BeginRequest,
  HostDescription,
  HostRegistration,
  HostSurvey,
  Operation,
  ServicingOrder,
  VmDescription,
} from '../contract/host';
import type { FunctionAnswer, FunctionCommandRequest, RemoteAnswer } from '../contract/functions';
import type { HostProbe } from '../contract/fleet-input';
import type { Finding } from '../contract/fleet-results';
import type { Holder } from '../contract/ids';
import type { MigrationOperation, MigrationRequest, ReceptionRequest } from '../contract/migration';
import {
  HOST_STEP_NAMES,
  VM_STEP_NAMES,
  type HostStep,
  type HostStepCall,
  type StepCall,
  type StepOutcome,
  type VmStep,
} from '../contract/steps';
import type { HostDriver } from '../hosts/host-driver';
import { answered } from './failure';
import { findingsAt } from './probes/host-probes';

/** Answers the evidence of its own step. */
export type StepActivity<Step extends VmStep> = (call: StepCall) => Promise<StepOutcome<Step>>;
export type VmStepActivities = { [Step in VmStep]: StepActivity<Step> };
export type HostStepActivities = {
  [Step in HostStep]: (call: HostStepCall) => Promise<StepOutcome<Step>>;
};

/** One activity for each step of a VM, one for each step of a host, and the calls around them. */
export type HostActivities = VmStepActivities &
  HostStepActivities & {
    pingHost(hostId: string): Promise<HostRegistration>;
    describeHost(hostId: string): Promise<HostDescription>;
    /** As much of its description as a plan of many hosts needs. */
    surveyHost(hostId: string): Promise<HostSurvey>;
    /** What each of these probes finds at the host. */
    probeHost(hostId: string, probes: readonly HostProbe[]): Promise<readonly Finding[]>;
    describeVm(hostId: string, vmId: string): Promise<VmDescription>;
    beginSave(request: BeginRequest): Promise<Operation>;
    beginRestore(request: BeginRequest): Promise<Operation>;
    /** The lease of a VM at the source of a migration. */
    beginMigration(request: MigrationRequest): Promise<MigrationOperation>;
    /** Checks the destination, and keeps a place for the VM there. */
    beginReception(request: ReceptionRequest): Promise<MigrationOperation>;
    fenceOperation(hostId: string, vmId: string, holder: Holder): Promise<Operation>;
    /** The same for a cancel: a VM that has crossed is let go on. */
    withdrawUnlessCrossed(hostId: string, vmId: string, holder: Holder): Promise<Operation>;
    acquireHost(hostId: string, holder: Holder, takeOverFrom?: Holder): Promise<number>;
    armServicing(call: HostStepCall, order: ServicingOrder): Promise<void>;
    abortServicing(call: HostStepCall, reason: string): Promise<{ readonly crossed: boolean }>;
    releaseHost(call: HostStepCall): Promise<void>;
    commandFunction(request: FunctionCommandRequest): Promise<FunctionAnswer>;
    returnRemoteAnswer(answer: RemoteAnswer): Promise<FunctionAnswer>;
  };

/** A running step tells the server that its worker lives after this share of the time that it is given. */
const HEARTBEAT_SHARE = 0.4;

/** The activities of the hosts that one worker process serves. */
export function createHostActivities(driver: HostDriver): HostActivities {
  const vmSteps = Object.fromEntries(
    VM_STEP_NAMES.map((step) => [
      step,
      (call: StepCall) => alive((signal) => driver.ask(step, call, signal)),
    ]),
  ) as VmStepActivities;
  const hostSteps = Object.fromEntries(
    HOST_STEP_NAMES.map((step) => [
      step,
      (call: HostStepCall) => alive((signal) => driver.askHost(step, call, signal)),
    ]),
  ) as HostStepActivities;
  return {
    ...vmSteps,
    ...hostSteps,
    pingHost: (hostId) => answered(driver.ping(hostId)),
    describeHost: (hostId) => answered(driver.describe(hostId)),
    surveyHost: async (hostId) => surveyOf(await answered(driver.describe(hostId))),
    probeHost: async (hostId, probes) =>
      findingsAt(await answered(driver.describe(hostId)), probes),
    describeVm: (hostId, vmId) => answered(driver.describeVm(hostId, vmId)),
    beginSave: (request) => answered(driver.beginSave(request)),
    beginRestore: (request) => answered(driver.beginRestore(request)),
    beginMigration: (request) => answered(driver.beginMigration(request)),
    beginReception: (request) => answered(driver.beginReception(request)),
    fenceOperation: (hostId, vmId, holder) => answered(driver.fenceOperation(hostId, vmId, holder)),
    withdrawUnlessCrossed: (hostId, vmId, holder) =>
      answered(driver.withdrawUnlessCrossed(hostId, vmId, holder)),
    acquireHost: (hostId, holder, takeOverFrom) =>
      answered(driver.acquireHost(hostId, holder, takeOverFrom)),
    armServicing: (call, order) => answered(driver.armServicing(call, order)),
    abortServicing: (call, reason) => answered(driver.abortServicing(call, reason)),
    releaseHost: (call) => answered(driver.releaseHost(call)),
    commandFunction: (request) => answered(driver.commandFunction(request)),
    returnRemoteAnswer: (answer) => answered(driver.returnRemoteAnswer(answer)),
  };
}

const surveyOf = (host: HostDescription): HostSurvey => ({
  hostId: host.hostId,
  versions: host.versions,
  capabilities: host.capabilities,
  quarantine: host.quarantine,
  describedAtMs: host.describedAtMs,
  ...(host.unsupported === undefined ? {} : { unsupported: host.unsupported }),
  ...(host.expected === undefined ? {} : { expected: host.expected }),
  vms: host.vms.map(({ vmId, phase, blackouts, passthrough, stackVersion, adapterClass }) => ({
    ...{ vmId, phase, blackouts, stackVersion, adapterClass },
    ...(passthrough === undefined ? {} : { passthrough }),
  })),
  ...(host.physicalFunctions === undefined ? {} : { physicalFunctions: host.physicalFunctions }),
});

/** Runs a step with heartbeats; a cancelled attempt, a time-out or the worker's shutdown ends its waiting. */
async function alive<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const context = Context.current();
  const { heartbeatTimeoutMs = 10_000 } = context.info;
  const beat = setInterval(() => {
    context.heartbeat();
  }, HEARTBEAT_SHARE * heartbeatTimeoutMs);
  try {
    return await answered(run(context.cancellationSignal));
  } finally {
    clearInterval(beat);
  }
}
