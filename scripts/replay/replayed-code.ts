import { workflowCode } from '../../workers/workflow-code';
import { presentWorkflowCode } from '../workflow-bundle';
import type { WorkflowCode } from './replay-all';

/** The prebuilt workflow code of this file, or that of this checkout. */
export const replayedCode = async (bundlePath: string | undefined): Promise<WorkflowCode> =>
  bundlePath === undefined
    ? { workflowBundle: { code: await presentWorkflowCode() } }
    : workflowCode(bundlePath);
