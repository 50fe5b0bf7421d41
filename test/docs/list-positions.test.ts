/** docs/list-positions.md is made from what is seen at each position of the lists; nobody writes it by hand. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { play, type Event, type Seen } from '../hosts/engine/position-events';
import { POSITIONS, type Position } from '../hosts/engine/positions';
import { EVENT_NAMES, positionsPage } from '../hosts/engine/positions-page';

const PAGE = join(resolve(__dirname, '../..'), 'docs', 'list-positions.md');
const ALL = POSITIONS.flatMap((position) => EVENT_NAMES.map((event) => ({ position, event })));
const nameOf = (position: Position, event: Event) =>
  `${position.list}: ${position.step}${position.isThere ? ', effect there' : ''}: ${event}`;

/** Between a pause and the end of it each of these has its effect at most once, and in this order. */
const TURNS: Readonly<Record<string, string>> = {
  'Hypervisor.SuspendVirtualProcessors': 'pause ',
  'Repository.Commit': 'commit ',
  'PointOfNoReturn.Cross': 'cross ',
  'VMWP.Exit': 'exit ',
  'Hypervisor.ResumeVirtualProcessors': 'resume ',
};
const turnsOf = ({ journal }: Seen) =>
  journal
    .filter(({ kind, status }) => kind === 'command' && status === 'done')
    .map(({ command }) => TURNS[command ?? ''] ?? '')
    .join('');

const seen = new Map<string, Seen>();
beforeAll(async () => {
  const left = [...ALL];
  const playAll = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const { position, event } = next;
      seen.set(nameOf(position, event), await play(position, event));
    }
  };
  // Most of each is waiting.
  await Promise.all([playAll(), playAll(), playAll(), playAll()]);
});
const seenAt = (position: Position, event: Event): Seen => {
  const found = seen.get(nameOf(position, event));
  if (found === undefined) throw new Error(`${nameOf(position, event)} was not played`);
  return found;
};

describe.each(ALL.map((each) => [nameOf(each.position, each.event), each] as const))(
  '%s',
  (_name, { position, event }) => {
    it('loses no VM, has no effect twice, keeps the VF, and leaves no lease that nobody can take', () => {
      const found = seenAt(position, event);
      const { atLast, host, identityBefore, phase, isBroughtBackBy } = found;
      if (phase === 'saved') expect(isBroughtBackBy).toContain('dead-man');
      else expect(phase).toMatch(/^(running|preparing)$/);
      expect(atLast).toMatchObject({
        ...{ phase: 'running', holder: null, dataPath: 'vf', identity: identityBefore },
        facts: { path: 'kept', guestVisibleEvents: 0 },
      });
      expect(host).toMatchObject({ holder: null, forbiddenCommands: 0, quarantine: null });
      expect(host.invariants.violated).toBe(0);
      expect(turnsOf(found)).toMatch(/^(pause (commit (cross exit )?)?resume )*$/);
    });

    it('goes on under its own generation, or ends with it', () => {
      const { isPerformed, generations, repeat, anew, isUndone } = seenAt(position, event);
      if (anew !== undefined || isUndone) {
        expect({ isPerformed, isNew: generations > 0 }).toEqual({
          isPerformed: false,
          isNew: true,
        });
        // Of a VM that the run does not hold any more, the update is not waited for.
        expect(repeat).toBe(position.step === 'awaitUpdate' ? 'notApplicable' : 'Fenced');
      } else if (isPerformed) {
        expect(generations).toBe(0);
        expect(['done', 'notApplicable']).toContain(repeat);
      }
    });
  },
);

test('the page of positions is up to date (else: HOLDFAST_WRITE_PAGE=1 npx jest test/docs/list-positions)', () => {
  const page = positionsPage(seenAt);
  if (process.env['HOLDFAST_WRITE_PAGE'] !== undefined) writeFileSync(PAGE, page);
  expect(readFileSync(PAGE, 'utf8')).toBe(page);
});
