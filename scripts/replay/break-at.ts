import { open } from 'node:inspector';
import { LABELLED_CALLS, isLabelledCall } from '../../contract/step-labels';
import { presentWorkflowCode } from '../workflow-bundle';
import { CannotReplay } from './ended';
import type { WorkflowCode } from './replay-all';

/** Where a debugger finds this process, unless it is told otherwise; what Chrome and VS Code look for by themselves. */
export const DEBUGGER_PORT = 9229;

/** The workflow code of this checkout, made so that it stops in a debugger wherever it asks for this step. */
export async function breakingCode(step: string): Promise<WorkflowCode> {
  if (!isLabelledCall(step)) {
    throw new CannotReplay(
      `--break: there is no step "${step}". Steps are ${LABELLED_CALLS.join(', ')}.`,
    );
  }
  // Read when the SDK is loaded: workflows run in the main thread, where debuggers see them, for as long as they like.
  process.env['TEMPORAL_DEBUG'] = '1';
  const code = await presentWorkflowCode([require.resolve('../../workflows/break-at')]);
  // On the first line, so that no line moves and the source map stays right.
  const stopping = `globalThis.holdfastBreakAt = ${JSON.stringify(step)}; `;
  return { workflowBundle: { code: stopping + code } };
}

/** Opens this process to a debugger on this machine, and waits until there is one. */
export function awaitDebugger(port: number): void {
  process.stderr.write(
    'Waiting for a debugger: in VS Code "Debug: Attach to Node Process", in Chrome chrome://inspect, or "node inspect" as docs/replay.md says. Ctrl-C ends it.\n',
  );
  open(port, '127.0.0.1', true);
}
