import type { Run, Stage } from './stage';

/** How a history that is kept must end: completed, cancelled, continued as new, or with a failure of this type. */
export type End = 'completed' | 'cancelled' | 'continuedAsNew' | (string & {});

export interface Kept {
  readonly run: Run;
  readonly ends: End;
  /** What the history shows, and why it is worth keeping. */
  readonly shows: string;
  /** Whether it is kept as a bundle too, with the runs below it and the journals of its hosts. */
  readonly withAllBelow?: true;
}

/** Brings one or more runs to their end on hosts of its own; answers the histories to keep, by file name. */
export interface Scenario {
  (on: Stage): Promise<Readonly<Record<string, Kept>>>;
  /** How many hosts it needs; default 1. */
  readonly hosts?: number;
  /** How many more without VMs; default 0. */
  readonly emptyHosts?: number;
}
