/** Whatever the paths of a guest go through: nothing lost, nothing executed twice, every queue in its order. */
import fc from 'fast-check';
import {
  SETTLED_MS,
  advance,
  chosenPath,
  giveUpPath,
  ledgerOf,
  losePath,
  newMedium,
  openCommands,
  plugPath,
  preferPath,
  restoreEmulated,
  resumeIo,
  saveEmulated,
  setAccess,
  startIo,
  suspendIo,
  unplugPath,
  type GuestIo,
  type Medium,
  type PathName,
} from '../../../../hosts/simulator/devices/guest-io';

const PATHS = ['passthrough', 'emulated'] as const satisfies readonly PathName[];

/** A guest, what its commands end at, and a clock. */
class Guest {
  nowMs = 1_000;
  readonly medium: Medium = newMedium();
  io: GuestIo;
  constructor(kind: GuestIo['kind']) {
    this.io = startIo(kind, { emulated: false }, this.nowMs);
  }

  pass(ms: number): void {
    this.nowMs += ms;
    advance(this.io, this.medium, this.nowMs);
  }
  plug = (name: PathName) => plugPath(this.io, this.medium, name, this.nowMs);
  prefer = (name: PathName) => preferPath(this.io, this.medium, name, this.nowMs);
  unplug = (name: PathName) => unplugPath(this.io, this.medium, name, this.nowMs);
  /** Suspended, taken elsewhere with what is saved of the emulated device, and resumed there. */
  move(saved = this.saved()): void {
    this.io = structuredClone(this.io);
    restoreEmulated(this.io, saved);
    this.nowMs += 50;
    resumeIo(this.io, this.nowMs);
  }
  suspend = () => suspendIo(this.io, this.medium, this.nowMs);
  saved = () => saveEmulated(this.io);
  get ledger() {
    return ledgerOf(this.io, this.medium);
  }
}

const clean = { lost: 0, executedTwice: 0, outOfOrder: 0 };
const isDrained = (io: GuestIo, name: PathName) => openCommands(io, name) === 0;

const act = fc.oneof(
  { weight: 6, arbitrary: fc.nat(20).map((ms) => ({ kind: 'pass', ms }) as const) },
  fc.constantFrom(...PATHS).map((path) => ({ kind: 'plug', path }) as const),
  fc.constantFrom(...PATHS).map((path) => ({ kind: 'unplug', path }) as const),
  {
    weight: 3,
    arbitrary: fc.constantFrom(...PATHS).map((path) => ({ kind: 'prefer', path }) as const),
  },
  { weight: 2, arbitrary: fc.constant({ kind: 'evacuate' } as const) },
  { weight: 2, arbitrary: fc.constant({ kind: 'move' } as const) },
);

test.each(['network', 'nvme'] as const)(
  'in any order of plugging, switching, unplugging and moving, a %s guest loses nothing',
  (kind) => {
    let moved = 0;
    fc.assert(
      fc.property(fc.array(act, { maxLength: 40 }), (acts) => {
        const guest = new Guest(kind);
        for (const each of acts) {
          const { io } = guest;
          if (each.kind === 'pass') guest.pass(each.ms);
          else if (each.kind === 'plug' && io.paths[each.path] === null) guest.plug(each.path);
          else if (each.kind === 'prefer' && io.paths[each.path] !== null) guest.prefer(each.path);
          else if (each.kind === 'unplug') {
            guest.pass(0);
            const mayGo = chosenPath(io) !== each.path && isDrained(io, each.path);
            if (mayGo && io.paths[each.path] !== null) guest.unplug(each.path);
          } else if (each.kind === 'evacuate' && io.paths.passthrough !== null) {
            if (io.paths.emulated === null) guest.plug('emulated');
            guest.prefer('emulated');
            guest.pass(2 * SETTLED_MS);
            guest.unplug('passthrough');
          } else if (each.kind === 'move' && io.paths.passthrough === null) {
            guest.suspend();
            guest.move();
            moved += 1;
          }
          expect(guest.ledger).toMatchObject(clean);
          const { submitted, executed, completed } = guest.ledger;
          expect(submitted).toBeGreaterThanOrEqual(executed);
          expect(executed).toBeGreaterThanOrEqual(completed);
        }
        // What was submitted by now is completed soon after, whichever path there is.
        guest.pass(0);
        const { submitted } = guest.ledger;
        guest.pass(2 * SETTLED_MS);
        expect(guest.ledger.completed).toBeGreaterThanOrEqual(submitted);
      }),
      { numRuns: 500 },
    );
    expect(moved).toBeGreaterThan(20);
  },
);

/** On the emulated path alone, as before the suspension. */
function onEmulatedPath(): Guest {
  const guest = new Guest('network');
  guest.plug('emulated');
  guest.prefer('emulated');
  guest.pass(SETTLED_MS);
  guest.unplug('passthrough');
  return guest;
}

test('a device that was saved before the suspension would execute commands again: the medium refuses', () => {
  const guest = onEmulatedPath();
  const early = guest.saved();
  guest.pass(30);
  guest.suspend();
  guest.move(early);
  expect(() => guest.pass(1)).not.toThrow();
  expect(() => guest.pass(20)).toThrow(/a second time/);
  expect(guest.ledger.executedTwice).toBeGreaterThan(0);
});

test('what the suspension leaves in flight is completed at the destination, and executed once', () => {
  const guest = onEmulatedPath();
  guest.pass(30);
  guest.suspend();
  const { executed, completed, submitted } = guest.ledger;
  expect(openCommands(guest.io, 'emulated')).toBeGreaterThan(0);
  // Some of it was executed already, some not: both kinds are there, or this proves less.
  expect(executed).toBeGreaterThan(completed);
  expect(submitted).toBeGreaterThan(executed);
  guest.move();
  guest.pass(SETTLED_MS);
  expect(guest.ledger.completed).toBeGreaterThanOrEqual(submitted);
  expect(guest.ledger).toMatchObject(clean);
});

describe('paths and their preference', () => {
  test('an emulated controller appears as non-optimized, and I/O goes on by passthrough', () => {
    const { io, plug } = new Guest('nvme');
    plug('emulated');
    expect(io.paths).toMatchObject({
      passthrough: { access: 'optimized' },
      emulated: { access: 'nonOptimized' },
    });
    expect(chosenPath(io)).toBe('passthrough');
  });

  test('the flip turns both states round', () => {
    const { io, plug, prefer } = new Guest('nvme');
    plug('emulated');
    prefer('emulated');
    expect(io.paths).toMatchObject({
      passthrough: { access: 'nonOptimized' },
      emulated: { access: 'optimized' },
    });
    expect(chosenPath(io)).toBe('emulated');
  });

  test('no new command goes to an inaccessible path, even if it is the only one', () => {
    const guest = new Guest('nvme');
    setAccess(guest.io, guest.medium, 'passthrough', 'inaccessible', guest.nowMs);
    const before = openCommands(guest.io, 'passthrough');
    guest.pass(20);
    expect(chosenPath(guest.io)).toBeNull();
    expect(openCommands(guest.io, 'passthrough')).toBeLessThan(before);
    expect(guest.ledger.submitted).toBeGreaterThan(guest.ledger.completed);
  });

  test('of a network function the device mapper chooses, whatever the states are', () => {
    const { io, plug, prefer } = new Guest('network');
    plug('emulated');
    expect(chosenPath(io)).toBe('passthrough');
    prefer('emulated');
    expect(chosenPath(io)).toBe('emulated');
    expect(io.paths).toMatchObject({
      passthrough: { access: 'optimized' },
      emulated: { access: 'optimized' },
    });
  });
});

describe('draining', () => {
  test('new commands wait on the emulated path until every earlier one is done', () => {
    const guest = new Guest('network');
    guest.plug('emulated');
    guest.prefer('emulated');
    if (guest.io.paths.passthrough !== null) guest.io.paths.passthrough.stuck = true;
    const { executed } = guest.ledger;
    guest.pass(100);
    expect(guest.ledger).toMatchObject({ executed, ...clean });
    expect(openCommands(guest.io, 'emulated')).toBeGreaterThan(50);
  });

  test('a path with open commands cannot be unplugged, nor one that new commands go to', () => {
    const guest = new Guest('network');
    guest.plug('emulated');
    expect(() => guest.unplug('passthrough')).toThrow(/open commands|still go/);
    guest.prefer('emulated');
    expect(() => guest.unplug('passthrough')).toThrow(/open commands/);
  });

  test('back to passthrough before it was drained: what waited comes along, in order', () => {
    const guest = new Guest('nvme');
    guest.plug('emulated');
    guest.prefer('emulated');
    if (guest.io.paths.passthrough !== null) guest.io.paths.passthrough.stuck = true;
    guest.pass(40);
    if (guest.io.paths.passthrough !== null) guest.io.paths.passthrough.stuck = false;
    guest.prefer('passthrough');
    guest.pass(20);
    expect(guest.ledger).toMatchObject(clean);
    expect(isDrained(guest.io, 'emulated')).toBe(true);
  });
});

describe('a path that goes', () => {
  test('without a word takes what it had not executed with it, and that is counted', () => {
    const guest = new Guest('network');
    guest.plug('emulated');
    const open = 16;
    losePath(guest.io, guest.medium, 'passthrough', guest.nowMs);
    expect(guest.ledger.lost).toBe(open);
    guest.pass(30);
    expect(guest.ledger).toMatchObject({ lost: open, executedTwice: 0, outOfOrder: 0 });
  });

  test('by the guest’s own driver loses nothing', () => {
    const guest = new Guest('network');
    guest.plug('emulated');
    guest.pass(3);
    giveUpPath(guest.io, guest.medium, 'passthrough', guest.nowMs);
    guest.pass(30);
    expect(guest.ledger).toMatchObject(clean);
  });
});
