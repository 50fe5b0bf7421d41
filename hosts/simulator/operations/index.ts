import type { VmStep } from '../../../contract/steps';
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
import * as waits from './waits';
import * as waysBack from './ways-back';

/** How the simulator performs each step. */
export const OPERATIONS: Readonly<Record<VmStep, StepOperation>> = {
  ...save,
  ...tearDown,
  ...waits,
  ...restore,
  ...resume,
  ...undo,
  detachHeldFunction: waysBack.detachHeldFunction,
  recreateSyntheticAdapter: waysBack.recreateSyntheticAdapter,
  coldStartVm: waysBack.coldStartVm,
  strandVm: waysBack.strandVm,
  ...conventional,
  ...source,
  ...destination,
  ...takingBack,
};
