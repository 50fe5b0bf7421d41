/** docs/list-positions.md: what was seen at each position, in a few words that are the same everywhere. */
import { markdownTable } from '../../../scripts/markdown-table';
import { EVENTS, type Event, type Seen } from './position-events';
import { POSITIONS, type ListName, type Position } from './positions';

export const EVENT_NAMES = Object.keys(EVENTS) as Event[];
export type Cells = (position: Position, event: Event) => Seen;

export function cell(seen: Seen): string {
  return `${ofList(seen)}; ${ofVm(seen)}`;
}

function ofList({ refused, tooLate, anew, isUndone, isPerformed, askedAgain }: Seen): string {
  const goesOn = askedAgain === true ? 'goes on when asked again' : 'goes on';
  const fate = isPerformed ? goesOn : 'list ends';
  if (refused !== undefined) return `refused, \`${refused}\`: ${fate}`;
  if (tooLate === true) return `too late: ${fate}`;
  if (anew === 'from here') return 'goes on in the new run';
  if (anew === 'restore') return 'restored by the new run';
  if (anew === 'save') return isUndone ? 'undone, saved anew' : 'saved anew';
  return isUndone ? 'undone' : fate;
}

function ofVm({ phase, wasPaused }: Seen): string {
  if (phase !== 'running' && phase !== 'preparing') return `VM ${phase}`;
  return wasPaused ? 'VM runs' : 'VM runs, untouched';
}

const rowName = ({ step, isThere }: Position) => `\`${step}\`${isThere ? ', effect there' : ''}`;

const table = (list: ListName, cells: Cells): string =>
  markdownTable([
    [`while … is under way`, ...EVENT_NAMES],
    ...POSITIONS.filter((position) => position.list === list).map((position) => [
      rowName(position),
      ...EVENT_NAMES.map((event) => cell(cells(position, event))),
    ]),
  ]);

/** The whole page, as the formatter would leave it. */
export const positionsPage = (cells: Cells): string => `# Positions of a list

The steps of a dark stretch are issued together, as one list ([architecture.md](architecture.md#lists-issued-ahead)). These tables say
what becomes of list and VM when something happens while one of its steps is under way. They are made from what the tests have seen: each
cell is played on a simulated host, and at its end the VM is brought back by whoever comes then. In every cell it runs again with the
VF that it had, no step has had its effect twice, no forbidden command was issued, no invariant was broken, and no lease is left.

For Temporal a list is one point of a reset: its steps are scheduled by one workflow task, so a reset goes back to before all of them or
to after all of them. And a run that was reset has the old generation: the host answers its steps from what they have come to. To go on
in the middle, fork ([fork.md](fork.md)): a fork may name any step of the list.

- **Under way**: the step has begun, and its effect is not there yet. _Effect there_: it is, but its result is not recorded yet.
- **\`awaitPause\`, \`awaitUpdate\`, \`awaitResume\`** wait for others, so their rows are of a servicing run: the gate is not opened yet, or
  the VM is saved and the update is not committed yet. All other rows are of \`fastSave\` and \`fastRestore\` alone.
- **Terminated**, **taken over**, **forked**: all runs are closed, nobody asks for a step any more, and nobody asks again. After SIGTERM
  and SIGKILL activities are tried again in the next worker process. In a servicing run, its own activities (the commit) are too.
- **Cancelled**: the run of a save calls \`withdrawUnlessCrossed\`, and takes back what was done. That of a restore passes no cancel on.
- **Goes on**: each step of the list is performed, under the same generation. _When asked again_: what was not performed by itself is
  performed, or answered, when the activities are tried again.
- **VM saved**: it is dark, and has a deadline. \`fastRestore\` brings it back; if none comes, the dead-man does.
- **\`HostBusy\`**: while a servicing run has the host, no lone run takes its VMs over; the next \`serviceHost\` does.

A test fails while this page differs from what is seen. To write it anew, run
\`HOLDFAST_WRITE_PAGE=1 npx jest test/docs/list-positions\`.

## The list of a save

${table('save', cells)}
## The list of a restore

${table('restore', cells)}`;
