import { executeChild, proxyActivities } from '@temporalio/workflow';

/** So many empty activities: some one after the other, the rest scheduled in one go. */
export interface BareFlow {
  readonly queue: string;
  readonly oneByOne: number;
  readonly ahead: number;
}
export interface BareRun extends BareFlow {
  /** Run beside its own, as the save and the restore of each VM are. */
  readonly children: readonly BareFlow[];
}

export async function bareFlow({ queue, oneByOne, ahead }: BareFlow): Promise<void> {
  const { nothing } = proxyActivities<{ nothing(): Promise<void> }>({
    taskQueue: queue,
    scheduleToCloseTimeout: '10m',
  });
  for (let i = 0; i < oneByOne; i += 1) await nothing();
  await Promise.all(Array.from({ length: ahead }, () => nothing()));
}

export async function bareRun({ children, ...own }: BareRun): Promise<void> {
  await Promise.all([
    bareFlow(own),
    ...children.map((flow) => executeChild(bareFlow, { args: [flow] })),
  ]);
}
