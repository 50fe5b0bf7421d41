import type { VmStep } from '../../../contract/steps';
import type { GateStep, LeaseStep } from '../../engine/port';
import * as conventional from './conventional';
import * as destination from '../migration/destination';
import * as source from '../migration/source';
import * as takingBack from '../migration/taking-back';
import type { StepOperation } from './operation';
import * as restore from './restore';
import * as resume from './resume';
import * as save from './save';
import * as tearDown from './tear-down';
import * as undo from './undo';
import * as waysBack from './ways-back';

/** How the simulator performs each step. */
export const OPERATIONS: {
  readonly [Step in Exclude<VmStep, GateStep | LeaseStep>]: StepOperation<Step>;
} = {
  ...save,
  ...tearDown,
  ...restore,
  connectSyntheticAdapter: resume.connectSyntheticAdapter,
  resumeSyntheticAdapter: resume.resumeSyntheticAdapter,
  resumeVm: resume.resumeVm,
  enableOptimizations: resume.enableOptimizations,
  ...undo,
  detachHeldFunction: waysBack.detachHeldFunction,
  retreatToOldStack: waysBack.retreatToOldStack,
  recreateSyntheticAdapter: waysBack.recreateSyntheticAdapter,
  coldStartVm: waysBack.coldStartVm,
  ...conventional,
  ...source,
  ...destination,
  ...takingBack,
};
