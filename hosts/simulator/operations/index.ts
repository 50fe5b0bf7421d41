import type { VmStep } from '../../../contract/steps';
import * as conventional from './conventional';
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
};
