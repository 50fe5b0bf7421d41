import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils';
import { repositoryPath } from '../../tools/repository-path';
import { stepsOf } from '../../scripts/replay/steps';
import { field } from '../../scripts/replay/values';
import { vmMoments } from '../../scripts/replay/vm-states';

const HISTORIES = repositoryPath('test/histories');
const momentsIn = (file: string) =>
  vmMoments(
    stepsOf(historyFromJSON(JSON.parse(readFileSync(join(HISTORIES, file), 'utf8')) as unknown)),
  );

describe('what the steps of a VM tell of it', () => {
  // The host's own word is walked into the state when it comes; what had been worked out before must be the same.
  const worked = readdirSync(HISTORIES)
    .filter((file) => /^fast-(save|restore)\./.test(file))
    .flatMap((file) => {
      const moments = momentsIn(file);
      return moments.flatMap(({ step }, index) => {
        const before = moments[index - 1]?.after;
        return step.name === 'describeVm' && step.answer !== undefined && before !== undefined
          ? [{ file, before, host: step.answer }]
          : [];
      });
    });

  test('there is enough to compare', () => {
    expect(worked.length).toBeGreaterThan(15);
    expect(new Set(worked.map(({ before }) => before.path))).toEqual(
      new Set(['vf', 'synthetic', 'none']),
    );
  });

  test.each(worked)('$file: as the host describes it', ({ before, host }) => {
    expect(before.phase).toBe(field(host, 'phase'));
    if (before.path !== 'none') expect(before.path).toBe(field(host, 'dataPath'));
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

  test('steps in place end one after the other, though the history has their ends at one time', () => {
    const dark = momentsIn('fast-restore.in-servicing.json').filter(
      ({ step, after }) => step.placement === 'in-place' && after.darkForMs > 0,
    );
    const ends = dark.map(({ toMs }) => toMs ?? NaN);
    expect(ends.length).toBeGreaterThan(5);
    expect(ends).toEqual([...ends].sort((a, b) => a - b));
    expect(new Set(ends).size).toBe(ends.length);
  });
});
