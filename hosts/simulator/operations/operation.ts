import type { EvidenceOf, VmStep } from '../../../contract/steps';
import type { Commands, Operation } from '../../engine/operation';
import type { FunctionKind } from '../devices/physical-function';
import type { AdapterObjects, AdapterState, Objects } from '../state';

/** Issues commands of one operation on one simulated VM. */
export interface CommandRunner<O extends Objects = Objects> extends Omit<
  Commands<O>,
  'ofAdapter' | 'act'
> {
  /** The same operation, for one of the VM's adapters. */
  ofAdapter(adapter: Pick<AdapterState, 'adapterId' | 'kind'>): AdapterCommandRunner;
  /** The profile's time for this operation, ms, already scaled. */
  readonly latencyMs: number;
  /** What else in an operation takes time is scaled by this; 1 = real time. */
  readonly timeScale: number;
  sleep(ms: number): Promise<void>;
}

export interface AdapterCommandRunner extends CommandRunner<AdapterObjects> {
  readonly kind: FunctionKind;
}

export interface StepOperation<Step extends VmStep = VmStep> extends Operation<
  Objects,
  EvidenceOf<Step>,
  CommandRunner
> {
  /** Sleeps the profile's time itself, in the middle of its commands. */
  readonly ownLatency?: true;
}
