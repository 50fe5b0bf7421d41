import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils';
import { restoreFlow, saveFlow } from '../../contract/flows';
import { repositoryPath } from '../../tools/repository-path';
import { stepsOf } from '../../scripts/replay/steps';
import { field } from '../../scripts/replay/values';
import { vmMoments } from '../../scripts/replay/vm-states';

const HISTORIES = repositoryPath('test/histories');
const stepsIn = (file: string) =>
  stepsOf(historyFromJSON(JSON.parse(readFileSync(join(HISTORIES, file), 'utf8')) as unknown));
const momentsIn = (...files: readonly string[]) =>
  vmMoments(files.map((file) => ({ steps: stepsIn(file) })));

/** Whose VM another run brings back meanwhile. */
const BESIDE: Readonly<Record<string, readonly string[]>> = {
  'fast-restore.not-needed.json': ['fast-save.undone-in-servicing.json'],
};

describe('what the steps of a VM tell of it', () => {
  // The host's own word is walked into the state when it comes; what had been worked out before must be the same.
  const worked = readdirSync(HISTORIES)
    .filter((file) => /^fast-(save|restore)\./.test(file))
    .flatMap((file) => {
      const moments = momentsIn(file, ...(BESIDE[file] ?? []));
      return moments.flatMap(({ step }, index) => {
        const before = moments[index - 1]?.after;
        return step.name === 'describeVm' && step.answer !== undefined && before !== undefined
          ? [{ file, before, host: step.answer }]
          : [];
      });
    });

  test('there is enough to compare', () => {
    expect(worked.length).toBeGreaterThan(15);
    const paths = new Set(worked.map(({ before }) => before.path));
    expect([...paths]).toEqual(expect.arrayContaining(['vf', 'synthetic']));
  });

  test.each(worked)('$file: as the host describes it', ({ before, host }) => {
    expect(before.phase).toBe(field(host, 'phase'));
    // A restore that is not needed may ask while the VM is still dark; the host says then what it will have.
    const isDark = Number(field(host, 'darkForMs')) > 0;
    expect(before.path).toBe(isDark ? 'none' : field(host, 'dataPath'));
    expect(before.vf === 'none').toBe(field(host, 'identity') === null);
  });

  test('a save in a servicing run: held while it is dark, whatever carries on afterwards', () => {
    const after = new Map(
      momentsIn('fast-save.in-servicing.json').map((m) => [m.step.name, m.after]),
    );
    expect(after.get('awaitPause')).toEqual({
      phase: 'preparing',
      path: 'vf',
      vf: 'assigned',
      darkForMs: 0,
    });
    expect(after.get('saveVm')).toMatchObject({ phase: 'paused', path: 'none', vf: 'held' });
    expect(after.get('tearDownSyntheticAdapter')).toMatchObject({ phase: 'saved', vf: 'held' });
    expect(after.get('concludeSave')).toMatchObject({ path: 'vf', vf: 'assigned', darkForMs: 0 });
  });

  test('steps that were answered together end one after the other, in those of a save and of its restore', () => {
    const dark = momentsIn('fast-restore.in-servicing.json', 'fast-save.in-servicing.json').filter(
      ({ step, after }) => step.list !== null && after.darkForMs > 0,
    );
    const flow = [
      ...saveFlow({ mode: 'modified' }),
      ...restoreFlow({ mode: 'modified', virtualFunctionRestore: 'step-by-step' }),
    ];
    const order = dark.map(({ step }) => flow.findIndex((name) => name === step.name));
    expect(order.length).toBeGreaterThan(12);
    expect(order).toEqual([...order].sort((a, b) => a - b));
    const ends = dark.map(({ endedMs }) => endedMs ?? NaN);
    expect(ends).toEqual([...ends].sort((a, b) => a - b));
    expect(new Set(ends).size).toBe(ends.length);
    for (const { step, endedMs } of dark) expect(endedMs).toBeLessThan(step.closedMs ?? 0);
  });

  test('a step has not taken the time in which it waited for its turn', () => {
    const moments = momentsIn('fast-save.undone.json');
    const took = (name: string) => {
      const { beganMs, endedMs } = moments.find(({ step }) => step.name === name) ?? {};
      return (endedMs ?? NaN) - (beganMs ?? NaN);
    };
    expect(took('saveSyntheticAdapter')).toBeLessThan(100);
    expect(took('saveVm')).toBeGreaterThan(400);
    expect(moments.map(({ step }) => step.name)).not.toContain('crossPointOfNoReturn');
  });

  test('how dark a VM was is told too where its host gave the answers once more, when it ran again', () => {
    const paused = momentsIn('fast-save.worker-killed.json').filter(
      ({ after }) => after.path === 'none',
    );
    expect(paused.map(({ step }) => step.name)).toEqual(
      saveFlow({ mode: 'modified' }).slice(2, -2),
    );
    expect(paused.at(-1)?.after.darkForMs).toBeGreaterThan(50);
  });
});
