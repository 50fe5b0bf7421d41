import { defineQuery, setHandler } from '@temporalio/workflow';
import type { StepReport } from '../contract/steps';

/** The steps of a VM run so far. Inside a blackout it answers late; the host's journal does not. */
export const progress = defineQuery<readonly StepReport[]>('progress');

export function onProgress(steps: () => readonly StepReport[]): void {
  setHandler(progress, steps, {
    description: 'The steps so far, with their time on the host in ms and their attempts.',
  });
}
