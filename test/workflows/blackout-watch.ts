import type {
  Sinks,
  WorkflowInterceptorsFactory,
  WorkflowOutboundCallsInterceptor,
} from '@temporalio/workflow';
import { proxySinks } from '@temporalio/workflow';
import { getActivator } from '@temporalio/workflow/lib/global-attributes';

/** What a replayed run showed, and when. */
export interface WatchSinks extends Sinks {
  watch: {
    /** Details, search attributes or memo were set; `dark`: inside a blackout, with more steps to come. */
    shown(what: string, dark: boolean): void;
    darkened(): void;
  };
}

const SHOWING = {
  upsertWorkflowSearchAttributes: 'search attributes',
  modifyWorkflowProperties: 'memo',
} as const;

/**
 * Loaded into the sandbox beside the workflow code: follows how dark the VM is by the host's own answers, and tells what
 * is shown meanwhile. What is shown last of all delays nobody; what steps follow upon is shown inside the blackout.
 */
export const interceptors: WorkflowInterceptorsFactory = () => {
  const { watch } = proxySinks<WatchSinks>();
  const activator = getActivator();
  let dark = false;
  let shownInTheDark: string[] = [];
  const darken = () => {
    if (!dark) watch.darkened();
    dark = true;
  };
  const show = (what: string) => {
    if (dark) shownInTheDark.push(what);
    else watch.shown(what, false);
  };
  const stepFollows = () => {
    for (const what of shownInTheDark) watch.shown(what, true);
    shownInTheDark = [];
  };

  let details = '';
  Object.defineProperty(activator, 'currentDetails', {
    get: () => details,
    set: (text: string) => {
      details = text;
      show('details');
    },
  });
  const pushCommand = activator.pushCommand.bind(activator);
  activator.pushCommand = (command, complete) => {
    for (const [kind, what] of Object.entries(SHOWING)) if (kind in command) show(what);
    pushCommand(command, complete);
  };

  const perform = async (name: string, call: () => Promise<unknown>): Promise<unknown> => {
    stepFollows();
    // While a run waits in `awaitUpdate` the run of the save pauses the VM.
    if (name === 'pauseVm' || name === 'awaitUpdate') darken();
    const answer = await call();
    if (typeof answer === 'object' && answer !== null && 'darkForMs' in answer) {
      if (Number(answer.darkForMs) > 0) darken();
      else dark = false;
    }
    return answer;
  };
  let restores = 0;
  const outbound: WorkflowOutboundCallsInterceptor = {
    scheduleActivity: (input, next) => perform(input.activityType, () => next(input)),
    // A host's run: its VMs may be dark until the last of their restores has ended.
    startChildWorkflowExecution: async (input, next) => {
      stepFollows();
      const [started, ended] = await next(input);
      if (input.workflowType !== 'fastRestore') return [started, ended];
      restores += 1;
      darken();
      const restored = ended.finally(() => {
        restores -= 1;
        if (restores === 0) dark = false;
      });
      return [started, restored];
    },
  };
  return { outbound: [outbound] };
};
