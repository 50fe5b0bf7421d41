import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HISTORIES, recorded } from '../workflows/recorded';
import { renameActivity } from '../workflows/spoil';
import { processOf, replayGate } from './replay-script';

const ADDRESS = process.env['HOLDFAST_TEST_ADDRESS'] ?? '';

describe('npm run replay:gate', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'holdfast-gate-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  const put = (name: string) => {
    copyFileSync(join(HISTORIES, 'bundles', name), join(directory, name));
  };

  it('lets code pass that replays every run, of failed runs too', async () => {
    put('service-host.not-updated.hfbundle');
    put('fast-save.undone.hfbundle');
    const { code, out } = await replayGate(['--bundles', directory]);
    expect(out.replaceAll(/host-\d+/g, 'host-n').split('\n')).toEqual([
      'ok   fast-save.undone.hfbundle: fastSave fast-save/host-n/vm-01, 1 run',
      'ok   service-host.not-updated.hfbundle: serviceHost service-host/host-n, 5 runs',
      '6 of 6 runs in 2 trees replayed: the workflow code is compatible with them.',
      '',
    ]);
    expect(code).toBe(0);
  });

  it('fails where one of them does not replay, and says which and why', async () => {
    put('service-host.updated.hfbundle');
    const spoiled = renameActivity(recorded('fast-save.alone'), 'saveVm', 'saveMachine');
    writeFileSync(join(directory, 'spoiled.json'), JSON.stringify(spoiled));
    const { code, out } = await processOf('replay-gate', ['--bundles', directory]);
    expect(code).toBe(3);
    expect(out).toMatch(/^ok {3}service-host\.updated\.hfbundle: /m);
    expect(out).toMatch(/^FAIL spoiled\.json: fastSave .*, 1 run$/m);
    expect(out).toMatch(/The history has the activity "saveMachine", the code asks for "saveVm"/);
    expect(out).toMatch(/^5 of 6 runs in 2 trees replayed: DO NOT DEPLOY/m);
  });

  it('does not pass for want of anything to replay', async () => {
    const empty = await replayGate(['--bundles', directory]);
    expect(empty).toMatchObject({ code: 2 });
    expect(empty.err).toMatch(/has no bundle in it/);
    const none = await replayGate(['--query', 'WorkflowId="there-is-none"'], {
      TEMPORAL_ADDRESS: ADDRESS,
    });
    expect(none.err).toMatch(/There is no run to replay in /);
    expect(none.code).toBe(2);
  });

  it('does not pass over a bundle that it cannot read', async () => {
    put('service-host.updated.hfbundle');
    const whole = readFileSync(join(HISTORIES, 'bundles', 'fast-save.undone.hfbundle'));
    writeFileSync(join(directory, 'cut-off.hfbundle'), whole.subarray(0, whole.length / 2));
    const { code, err } = await replayGate(['--bundles', directory]);
    expect(code).toBe(2);
    expect(err).toMatch(/cut-off\.hfbundle cannot be read beyond line \d+/);
  });

  it('wants one of its two sources', async () => {
    const neither = await replayGate([]);
    expect(neither).toMatchObject({ code: 2 });
    expect(neither.err).toMatch(/Give --bundles or --query/);
  });
});
