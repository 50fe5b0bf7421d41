import { DefaultLogger, Runtime, Worker, type ReplayResult } from '@temporalio/worker';
import { workflowCode } from '../../workers/workflow-code';
import { INDEX, historyFiles, recorded, type JsonHistory } from './recorded';
import { decoded, removeActivity, renameActivity, renameChild, swapActivities } from './spoil';

/** The workflow code of this checkout, bundled once for all suites. */
const code = { ...workflowCode(process.env['HOLDFAST_TEST_BUNDLE']), replayName: 'test' };

beforeAll(() => {
  // Replays that are meant to fail would fill the log.
  const logger = new DefaultLogger('ERROR', () => undefined);
  Runtime.install({ logger, telemetryOptions: { logging: { forward: {}, filter: 'OFF' } } });
});

afterAll(async () => {
  await Runtime.instance().shutdown();
});

async function replayAll(
  histories: ReadonlyMap<string, JsonHistory>,
): Promise<Map<string, ReplayResult>> {
  const results = new Map<string, ReplayResult>();
  const given = [...histories].map(([workflowId, history]) => ({ workflowId, history }));
  for await (const result of Worker.runReplayHistories(code, given)) {
    results.set(result.workflowId, result);
  }
  return results;
}

const replayed = async (history: JsonHistory): Promise<void> =>
  Worker.runReplayHistory(code, history, 'spoiled');

describe('recorded histories', () => {
  let results: Map<string, ReplayResult>;
  beforeAll(async () => {
    results = await replayAll(
      new Map(historyFiles().map((file) => [file, recorded(file.slice(0, -5))])),
    );
  });

  it.each(INDEX.map(({ file, shows }) => [file, shows]))('%s replays: %s', (file) => {
    expect(results.get(file)).toBeDefined();
    expect(results.get(file)?.error).toBeUndefined();
  });

  it('are all in the index, which says of each what it shows', () => {
    expect(INDEX.map(({ file }) => file).sort()).toEqual(historyFiles());
    expect(INDEX.filter(({ shows }) => shows.length < 20)).toEqual([]);
  });

  it('carry the flags without which Core would not compare the names of activities', () => {
    const withoutFlags = historyFiles().filter(
      (file) => !/"coreUsedFlags":\[\d/.test(JSON.stringify(recorded(file.slice(0, -5)))),
    );
    expect(withoutFlags).toEqual([]);
  });

  it.each([
    ...['fastSave', 'fastRestore', 'migrateVm', 'serviceHost', 'updateFleet', 'commandFunction'],
  ])('show %s succeeding and failing', (type) => {
    const ends = INDEX.filter(({ file }) =>
      JSON.stringify(recorded(file.slice(0, -5)).events[0]).includes(
        `"workflowType":{"name":"${type}"}`,
      ),
    ).map(({ ends }) => ends);
    expect(ends).toContain('completed');
    expect(ends.some((end) => !['completed', 'continuedAsNew'].includes(end))).toBe(true);
  });
});

describe('a history that today’s code would not have made is refused', () => {
  it.each([
    [
      'a renamed activity',
      () => renameActivity(recorded('fast-save.alone'), 'saveVm', 'saveVmState'),
    ],
    [
      'a renamed step of a host',
      () => renameActivity(recorded('service-host.updated'), 'stageUpdate', 'stage'),
    ],
    [
      'steps that were issued together in another order',
      () => swapActivities(recorded('fast-save.alone'), 'saveVm', 'crossPointOfNoReturn'),
    ],
    [
      'one less of the steps that were issued together',
      () => removeActivity(recorded('fast-save.alone'), 'writeVirtualFunctionInfo'),
    ],
    ['an activity less', () => removeActivity(recorded('fast-save.alone'), 'disableOptimizations')],
    [
      'a renamed activity of a fleet',
      () => renameActivity(recorded('update-fleet.updated'), 'planFleet', 'planHosts'),
    ],
    [
      'another child of a fleet',
      () => renameChild(recorded('update-fleet.updated'), 'checkHealth', 'checkHosts'),
    ],
    ['an undo step less', () => removeActivity(recorded('fast-save.undone'), 'unsaveVm')],
  ])('%s', async (_what, spoiled) => {
    await expect(replayed(spoiled())).rejects.toThrow('TMPRL1100');
  });

  it('a decoded download cannot be replayed at all', async () => {
    await expect(replayed(decoded(recorded('fast-save.alone')))).rejects.toThrow(/payload/i);
  });
});
