import { diffArrays } from 'diff';
import type { Account } from './account';
import { timedSteps, type TimedStep } from './step-times';
import { field, textOf } from './values';
import { runsOf, type Node } from './tree';

/** A step of the one run, of the other, or of both. */
export interface StepPair {
  readonly a: TimedStep | null;
  readonly b: TimedStep | null;
}

/** A run of the one tree beside the run of the other that has its place; null where there is none. */
export interface RunPair {
  readonly a: Account | null;
  readonly b: Account | null;
  /** In the order of their histories. */
  readonly steps: readonly StepPair[];
}

/** Puts two trees side by side: the roots, then the children of the same type and VM or host, then what is left in order. */
export function pairsOf(a: Node | null, b: Node | null): RunPair[] {
  // Of a chain of continued runs each is compared with the one at its place from the end: that is where it ended.
  const [runsA, runsB] = [a, b].map((node) => (node === null ? [] : [...runsOf(node)].reverse()));
  const length = Math.max(runsA?.length ?? 0, runsB?.length ?? 0);
  return Array.from({ length }, (_none, index) => length - 1 - index).flatMap((place) => {
    const [runA, runB] = [runsA?.[place], runsB?.[place]];
    return [
      pairOf(runA?.account ?? null, runB?.account ?? null),
      ...matched(runA?.children ?? [], runB?.children ?? []).flatMap(([x, y]) => pairsOf(x, y)),
    ];
  });
}

function pairOf(a: Account | null, b: Account | null): RunPair {
  const stepsIn = (run: Account | null) => (run === null ? [] : timedSteps([run]));
  return { a, b, steps: stepPairs(stepsIn(a), stepsIn(b)) };
}

/** Steps of one name are the same step; the longest common sequence of them is what both did. */
function stepPairs(a: readonly TimedStep[], b: readonly TimedStep[]): StepPair[] {
  let [inA, inB] = [0, 0];
  const changes = diffArrays(
    a.map(({ step }) => step.name),
    b.map(({ step }) => step.name),
  );
  return changes.flatMap(({ added, removed, value }) =>
    value.map(() => ({
      a: added ? null : (a[inA++] ?? null),
      b: removed ? null : (b[inB++] ?? null),
    })),
  );
}

function matched(as: readonly Node[], bs: readonly Node[]): [Node | null, Node | null][] {
  const left = new Set(bs);
  const take = (fits: (b: Node) => boolean): Node | null => {
    const found = [...left].find(fits) ?? null;
    if (found !== null) left.delete(found);
    return found;
  };
  const same = as.map((a) => ({ a, b: take((b) => placeOf(a) === placeOf(b)) }));
  // Of another host, VMs have other names: then the order in which they were started counts.
  const pairs = same.map(({ a, b }): [Node, Node | null] => [
    a,
    b ?? take(({ last }) => last.account?.type === a.last.account?.type),
  ]);
  return [...pairs, ...[...left].map((b): [null, Node] => [null, b])];
}

function placeOf({ last: { account, workflowId } }: Node): string {
  const { type, input } = account ?? {};
  const named = textOf(field(input, 'vmId')) ?? textOf(field(input, 'hostId')) ?? workflowId;
  return `${type ?? ''} ${named}`;
}

/** Whether the two did not do, or did not come to, the same. How long it took is no difference. */
export const differs = ({ a, b, steps }: RunPair): boolean =>
  a === null ||
  b === null ||
  a.outcome !== b.outcome ||
  a.detail !== b.detail ||
  JSON.stringify(a.input) !== JSON.stringify(b.input) ||
  steps.some(stepDiffers);

export const stepDiffers = ({ a, b }: StepPair): boolean =>
  a === null ||
  b === null ||
  a.step.status !== b.step.status ||
  a.step.reason !== b.step.reason ||
  a.step.attempts !== b.step.attempts;
