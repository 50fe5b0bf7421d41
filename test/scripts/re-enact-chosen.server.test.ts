/** Which run of a bundle is acted out: that of one host, and only one that took something there. */
import { once } from '../support/once';
import { Recordings } from './recordings';

const OFTEN = 1_000;

let on: Recordings;
beforeAll(async () => {
  on = await Recordings.start(3);
});
afterAll(() => on.stop());

const failedFleet = once(async () => {
  const [failing, untouched] = [on.suite.freshHost(), on.suite.freshHost()];
  const bundle = await on.recorded('updateFleet', 'update-fleet/re-enact', {
    update: { version: '2.0.0' },
    hosts: [failing, untouched],
    inventory: {
      hosts: [
        { hostId: failing, faultDomain: 'fd-1' },
        { hostId: untouched, faultDomain: 'fd-2' },
      ],
    },
    strategy: { bakeTime: { giveUpAfter: '0s' }, onFailure: 'abort' },
    servicing: { blackoutBudget: '3s' },
    faults: {
      [failing]: [{ vmId: 'vm-01', step: 'saveVm', kind: 'fail-before', times: OFTEN }],
    },
  });
  return { failing, untouched, bundle };
});
const refusal = async (bundle: string, options?: { runId: string }): Promise<string> => {
  const { code, out, err } = await on.reEnact(bundle, options);
  expect({ code, out }).toEqual({ code: 2, out: '' });
  return err;
};
const runIdIn = (text: string): string => /--run-id (\S+)/.exec(text)?.[1] ?? '';

it.concurrent(
  'a fleet update is not acted out as a whole: the refusal names the run of the host that failed',
  async () => {
    const { failing, untouched, bundle } = await failedFleet();
    const message = await refusal(bundle);
    expect(message).toMatch(/^replay: update-fleet\/re-enact \(run .*\) is of type updateFleet/);
    expect(message).toMatch(
      new RegExp(`--run-id \\S+ {2}service-host/${failing}, failed \\(HostNotUpdated\\)`),
    );
    expect(message).not.toContain(`service-host/${untouched}`);
    const end = await on.told(bundle, { runId: runIdIn(message) });
    expect(end).toMatchObject({
      code: 0,
      workflowId: `service-host/${failing}`,
      reenacted: [{ failure: { type: 'HostNotUpdated', step: 'saveVm' }, same: true }],
    });
  },
);

it.concurrent(
  'of a fleet update a VM’s run is acted out by the run of its host, which is named',
  async () => {
    const { failing, bundle } = await failedFleet();
    const { runId } = await on.handle(`fast-save/${failing}/vm-01`).describe();
    const message = await refusal(bundle, { runId });
    expect(message).toContain('inside a servicing run is that of the whole host');
    expect(message).toMatch(new RegExp(`--run-id \\S+ {2}service-host/${failing}`));
  },
);

it.concurrent('a run id that the bundle does not have is refused', async () => {
  const { bundle } = await failedFleet();
  expect(await refusal(bundle, { runId: 'none' })).toMatch(/^replay: The bundle has no run none\./);
});

it.concurrent(
  'a run that took nothing is refused: its host has not kept a beginning of it',
  async () => {
    const hostId = on.suite.freshHost();
    const bundle = await on.recorded('fastRestore', `fast-restore/${hostId}/vm-01`, {
      hostId,
      vmId: 'vm-01',
    });
    const { code, out, err } = await on.reEnact(bundle);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(
      new RegExp(`cannot be acted out: ${hostId} has not kept how it was .* refused before`),
    );
  },
);
