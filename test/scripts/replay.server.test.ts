import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { FAILURES } from '../../contract/failures';
import type { asJson } from '../../scripts/replay/as-json';
import { happeningsOf } from '../../scripts/replay/happenings';
import { HISTORIES, recorded, type JsonHistory } from '../workflows/recorded';
import { processOf, replay } from './replay-script';
import { decoded, renameActivity, swapActivities } from '../workflows/spoil';

const ADDRESS = process.env['HOLDFAST_TEST_ADDRESS'] ?? '';

const file = (name: string): string => join(HISTORIES, `${name}.json`);
async function told(name: string): Promise<ReturnType<typeof asJson>> {
  const { code, out } = await replay([file(name), '--json']);
  expect(code).toBe(0);
  return JSON.parse(out) as ReturnType<typeof asJson>;
}

describe('npm run replay', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'holdfast-replay-'));
  });
  afterAll(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  function written(name: string, content: JsonHistory | string): string {
    const path = join(directory, name);
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
    return path;
  }

  describe('on a run that went well', () => {
    it('tells its steps, its children and how long the VMs were dark', async () => {
      const { code, out, err } = await processOf('replay', [file('service-host.updated')]);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(out).toContain('serviceHost service-host/');
      expect(out).toContain('ended: completed (updated)');
      expect(out).toMatch(/│ commitUpdate +│ done/);
      expect(out).toMatch(/child fast-save\/host-\d+\/vm-01 +│ completed: saved/);
      expect(out).toMatch(/vm-02 was dark for \d+\.\d ms\./);
      expect(out).not.toContain('Why it failed');
    });

    it('tells steps that were issued together each with its own time, and with the attempts of its host', async () => {
      const { steps, blackouts } = await told('fast-save.retried-in-servicing');
      const saved = steps.find(({ name }) => name === 'saveSyntheticAdapter');
      expect(saved).toMatchObject({ status: 'done', attempts: 3 });
      const next = steps.find(({ name }) => name === 'saveVm');
      // It has waited for the one before it, which is not its own time.
      // They are scheduled together, and the server's times are whole milliseconds.
      const untilSaved = (saved?.waitedMs ?? NaN) + (saved?.ms ?? NaN);
      expect(next?.waitedMs).toBeGreaterThan(untilSaved - 20);
      expect(next?.ms).toBeLessThan(saved?.ms ?? NaN);
      expect(next?.darkForMs).toBeGreaterThan(saved?.darkForMs ?? NaN);
      expect(blackouts).toEqual([{ vmId: null, ms: expect.any(Number), ended: false }]);
    });

    it('tells steps that were issued by themselves with why an attempt failed', async () => {
      const { steps } = await told('fast-save.retried-steps');
      const disabled = steps.find(({ name }) => name === 'disableOptimizations');
      expect(disabled).toMatchObject({ status: 'done', attempts: 3 });
      expect(disabled?.waitedMs).toBeGreaterThan(0);
      expect(disabled?.ms).toBeGreaterThan(0);
      expect(disabled?.lastFailure).toContain('failed before its effect');
    });

    it('tells cancel requests, updates, time-outs and where a run went on', async () => {
      const [cancelled, aborted, killed, continued] = await Promise.all([
        told('fast-save.cancelled-before-the-point'),
        told('service-host.aborted'),
        told('service-host.worker-killed'),
        told('update-fleet.continues'),
      ]);
      expect(cancelled.outcome).toBe('cancelled');
      expect(cancelled.happenings).toContainEqual(
        expect.objectContaining({ what: 'cancel of this run' }),
      );
      expect(aborted.happenings).toContainEqual(expect.objectContaining({ what: 'update abort' }));
      expect(killed.steps).toContainEqual(
        expect.objectContaining({
          ...{ name: 'commitUpdate', status: 'notApplicable', attempts: 2 },
          lastFailure: 'activity Heartbeat timeout',
        }),
      );
      expect(continued).toMatchObject({
        outcome: 'continued as new',
        detail: expect.stringMatching(/^run [0-9a-f-]+$/),
      });
    });

    it('tells a workflow task whose worker ended', () => {
      const timedOut = { eventId: 4 as never, workflowTaskTimedOutEventAttributes: {} };
      expect(happeningsOf({ events: [timedOut] })).toMatchObject([
        { eventId: 4, what: 'workflow task', outcome: expect.stringContaining('timed out') },
      ]);
    });
  });

  describe('on a run that failed', () => {
    it('prints the whole chain down to the root, and what to do', async () => {
      const { code, out } = await replay([file('fast-restore.stranded')]);
      expect(code).toBe(0);
      const why = out.slice(out.indexOf('Why it failed:'));
      expect(why).toMatch(/^VmStranded: vm-01 stays held and paused/m);
      expect(why).toMatch(/^ +because the step restoreVm failed \(/m);
      expect(why).toMatch(
        /^ +because BlackoutBudgetSpent: restoreVm of vm-01 was given up after \d+ attempts \(restoreVm of vm-01 failed before its effect\)/m,
      );
      expect(why).toContain(`What to do: ${FAILURES.VmStranded.nextAction}`);
    });

    it('names the step that failed in the dark, with the attempts of its host, and what was not reached for it', async () => {
      const { failure, steps } = await told('fast-save.undone-in-servicing');
      expect(failure).toMatchObject({
        type: 'SaveUndone',
        step: 'saveVm',
        attempt: 6,
        nextAction: FAILURES.SaveUndone.nextAction,
        root: { type: 'HostStepFailed' },
      });
      const ended = steps.filter(({ status }) => status === 'notReached');
      expect(ended.map(({ name }) => name)).toEqual([
        ...['crossPointOfNoReturn', 'resetVpciBusInterface', 'tearDownSyntheticAdapter'],
        'awaitResume',
      ]);
      const { out } = await replay([file('fast-save.undone-in-servicing')]);
      expect(out).toMatch(/│ awaitResume +│ not reached +│ +│ +│ +│ +│/);
    });

    it('follows the failure of a child', async () => {
      const { failure, children } = await told('service-host.not-updated');
      expect(failure).toMatchObject({
        type: 'HostNotUpdated',
        nextAction: FAILURES.HostNotUpdated.nextAction,
      });
      expect(failure?.chain.map(({ type }) => type)).toEqual(
        expect.arrayContaining(['child workflow', 'SaveUndone']),
      );
      expect(children.map(({ type, outcome }) => `${type} ${outcome}`)).toEqual(
        expect.arrayContaining(['fastSave failed: SaveUndone', 'fastRestore completed: notNeeded']),
      );
    });

    it('says when no worker took a step', async () => {
      const { failure, steps } = await told('fast-save.host-unreachable');
      expect(failure).toMatchObject({ type: 'HostUnreachable', step: 'pingHost', attempt: 0 });
      expect(steps).toMatchObject([{ name: 'pingHost', status: 'timed out' }]);
    });
  });

  describe('on a history that the code would not have made', () => {
    it('says what the history has and what the code asks for, and ends with 3', async () => {
      const path = written(
        'renamed.json',
        renameActivity(recorded('fast-save.alone'), 'saveVm', 'saveVmState'),
      );
      const { code, out } = await replay([path]);
      expect(code).toBe(3);
      expect(out).toContain(
        'The history has the activity "saveVmState", the code asks for "saveVm" instead.',
      );
      expect(out).toContain('TMPRL1100');
      expect(out).toContain('pauseVm');
    });

    it('says so as JSON too', async () => {
      const path = written(
        'swapped.json',
        swapActivities(recorded('fast-save.alone'), 'saveVm', 'crossPointOfNoReturn'),
      );
      const { code, out } = await replay([path, '--json']);
      expect(code).toBe(3);
      expect(JSON.parse(out)).toMatchObject({
        deterministic: false,
        nonDeterminism: {
          explanation: expect.stringContaining(
            'The history has the activity "crossPointOfNoReturn", the code asks for "saveVm" instead.',
          ),
        },
      });
    });
  });

  describe('on what cannot be replayed', () => {
    it('says that a file is a decoded download, and how to get the encoded one', async () => {
      const { code, err } = await replay([
        written('decoded.json', decoded(recorded('fast-save.alone'))),
      ]);
      expect(code).toBe(2);
      expect(err).toContain('is a decoded download');
      expect(err).toContain('temporal workflow show');
    });

    it.each([
      ['a file that is not there', () => 'nowhere.json', 'There is no file nowhere.json'],
      ['a file that is no JSON', () => written('text.json', 'hello'), 'is no JSON'],
      ['JSON that is no history', () => written('other.json', '{"a":1}'), 'is no workflow history'],
      [
        'a history with a hole',
        () => {
          const history = recorded('fast-save.alone');
          history.events.splice(10, 1);
          return written('hole.json', history);
        },
        'event 11 is missing',
      ],
      [
        'a workflow that this code does not have',
        () => {
          const text = JSON.stringify(recorded('fast-save.invalid-input'));
          return written(
            'unknown.json',
            text.replace('{"name":"fastSave"}', '{"name":"fasterSave"}'),
          );
        },
        'no workflow "fasterSave"',
      ],
    ])('%s ends with 2 and one message', async (_what, path, message) => {
      const { code, out, err } = await replay([path()]);
      expect({ code, out }).toEqual({ code: 2, out: '' });
      expect(err).toContain(message);
      expect(err.trim().split('\n')).toHaveLength(1);
    });

    it('wrong arguments end with 2', async () => {
      const { code, err } = await processOf('replay', []);
      expect(code).toBe(2);
      expect(err).toContain('Name a bundle, a history file or a workflow id');
    });
  });

  describe('with a server', () => {
    it('fetches a run by its workflow id and run id', async () => {
      const connection = await Connection.connect({ address: ADDRESS });
      try {
        const workflowId = `fast-save/replayed/${randomUUID()}`;
        const { workflow } = new Client({ connection });
        const { firstExecutionRunId } = await workflow.start('fastSave', {
          workflowId,
          taskQueue: 'nobody-polls-this',
          args: [{ hostId: 'host-01', vmId: 'vm-01' }],
        });
        await workflow.getHandle(workflowId).terminate('seen enough');
        const { code, out } = await replay(
          [workflowId, '--run-id', firstExecutionRunId, '--json'],
          {
            TEMPORAL_ADDRESS: ADDRESS,
          },
        );
        expect(code).toBe(0);
        expect(JSON.parse(out)).toMatchObject({
          workflowId,
          outcome: 'terminated',
          detail: 'seen enough',
          steps: [],
        });
      } finally {
        await connection.close();
      }
    });

    it('says that it does not know a workflow, and ends with 2', async () => {
      const { code, err } = await replay(['fast-save/host-01/nobody'], {
        TEMPORAL_ADDRESS: ADDRESS,
      });
      expect(code).toBe(2);
      expect(err).toContain('There is no workflow "fast-save/host-01/nobody"');
    });

    it('says that a run id is none', async () => {
      const { code, err } = await replay(['fast-save/host-01/nobody', '--run-id', 'first'], {
        TEMPORAL_ADDRESS: ADDRESS,
      });
      expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining('with run id first') });
    });

    it('ends with 4 when the server does not answer', async () => {
      const { code, err } = await replay(['fast-save/host-01/vm-01']);
      expect(code).toBe(4);
      expect(err).toContain('No Temporal server answers at 127.0.0.1:1');
    });
  });
});
