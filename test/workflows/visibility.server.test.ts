/** What people see of a run in the Temporal UI: labels in the timeline, current details, memo. */
import type { WorkflowHandle } from '@temporalio/client';
import { Suite, ending } from '../support/suite';

let suite: Suite;
beforeAll(async () => {
  suite = await Suite.on({ vms: 2 }, 9);
});
afterAll(() => suite.stop());

async function details(handle: WorkflowHandle): Promise<string> {
  const metadata = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
  return metadata.currentDetails.replaceAll('\u00a0', ' ').replace(/ +/g, ' ');
}

/** Summaries of what stands in a history, in their order. */
async function labels(handle: WorkflowHandle): Promise<string[]> {
  const { events } = await handle.fetchHistory();
  return (events ?? []).flatMap((event) => {
    const data = event.userMetadata?.summary?.data;
    return data == null ? [] : [JSON.parse(Buffer.from(data).toString()) as string];
  });
}

const memoOf = async (handle: WorkflowHandle) => (await handle.describe()).memo;

const STOPPED_SAVE = { step: 'saveVm', kind: 'fail-before', times: 1000 } as const;
/** Whether an attempt, the host or the server says it last is a matter of milliseconds. */
const FAILED_FOR_GOOD = /^(HostStepFailed|BlackoutBudgetSpent)$/;
const SAVE_FAILED =
  /saveVm of vm-\d\d (failed before its effect|was given up)|saveVm did not succeed/;

describe('a save that fails', () => {
  let handle: WorkflowHandle;
  let hostId: string;
  beforeAll(async () => {
    hostId = suite.freshHost();
    const input = { hostId, vmId: 'vm-01', blackoutBudget: '5s' };
    handle = await suite.start('fastSave', { ...input, faults: [STOPPED_SAVE] });
    await ending(handle);
  });

  it('says in its details what failed last, what it means and what to do', async () => {
    const shown = await details(handle);
    expect(shown).toContain(
      '**Failed: SaveUndone.** The save failed before the point of no return',
    );
    expect(shown).toContain('**Next action:** Mend the cause below, then start again.');
    const said = /\| last failure \| (\w+) \|[^]*\| message \| (.*) \|/.exec(shown);
    expect(said?.[1]).toMatch(FAILED_FOR_GOOD);
    expect(said?.[2]).toMatch(SAVE_FAILED);
    expect(shown).toContain('| step | saveVm |');
  });

  it('shows all its steps there', async () => {
    const shown = await details(handle);
    expect(shown).toMatch(/\| saveVm \| \*\*failed\*\* \| 0\.0 \| \d+ \|/);
    // The host undoes by itself what its workflow has not decided on within a second: then it was done already.
    expect(shown).toMatch(/\| undo: resumeVm \| (done|alreadyDone) /);
  });

  it('tells how to replay it and how to take it home, as lines to copy', async () => {
    const { workflowId, runId } = await handle.describe();
    const shown = await details(handle);
    expect(shown).toContain(`npm run replay -- ${workflowId} \\\n --run-id ${runId}\n`);
    expect(shown).toContain(
      `npm run replay -- --export ${workflowId} \\\n --run-id ${runId} run.hfbundle`,
    );
    expect(shown).toContain(`npm run report -- ${workflowId} \\\n --run-id ${runId}\n`);
  });

  it('has the same in its memo, for when no worker lives to answer', async () => {
    const { nextAction, lastFailure } = (await memoOf(handle)) ?? {};
    expect(nextAction).toBe('Mend the cause below, then start again.');
    const type: unknown = expect.stringMatching(FAILED_FOR_GOOD);
    expect(lastFailure).toMatchObject({ type, step: 'saveVm', run: null });
  });

  it('has readable labels in its timeline, also of the undo', async () => {
    expect(await labels(handle)).toEqual(
      expect.arrayContaining([
        `ask whether ${hostId} answers`,
        'begin the save of vm-01',
        'save VF state of vm-01',
        'undo: resume vm-01: the blackout ends',
      ]),
    );
  });
});

test.concurrent('a step that succeeds at a later attempt is shown with all of them', async () => {
  const vm = { hostId: suite.freshHost(), vmId: 'vm-01' };
  const handle = await suite.start('fastSave', { ...vm, faults: [{ ...STOPPED_SAVE, times: 2 }] });
  await handle.result();
  expect(await details(handle)).toMatch(/\| saveVm \| done \| [\d.]+ \| 3 \|/);
});

test.concurrent('wrong input is explained in the details too', async () => {
  const handle = await suite.start('fastSave', { hostId: suite.freshHost() });
  await ending(handle);
  expect(await details(handle)).toContain('| last failure | InvalidInput |');
});

test.concurrent('a stranded VM is shown with the steps that were taken', async () => {
  const vm = { hostId: suite.freshHost(), vmId: 'vm-01' };
  await suite.run('fastSave', vm);
  const faults = [{ step: 'restoreVm', kind: 'fail-before', times: 1000 }];
  const handle = await suite.start('fastRestore', { ...vm, blackoutBudget: '5s', faults });
  const { type } = await ending(handle);
  expect(type).toBe('VmStranded');
  const shown = await details(handle);
  expect(shown).toContain('**Next action:** Do not restart the host.');
  expect(shown).toMatch(/\| restoreVm \| \*\*failed\*\*/);
  expect(shown).toMatch(/\| recover: strandVm \| done/);
});

test.concurrent('a save and a restore say in their details how they ended', async () => {
  const hostId = suite.freshHost();
  const vm = { hostId, vmId: 'vm-01' };
  const saved = await suite.start('fastSave', vm);
  await saved.result();
  expect(await details(saved)).toContain('**Next action:** Run fastRestore for vm-01 within 5m.');
  const restored = await suite.start('fastRestore', vm);
  await restored.result();
  expect(await details(restored)).toContain(`**vm-01 on ${hostId}: kept** (modified)`);
});

describe('a servicing run', () => {
  test.concurrent('shows every VM with its blackout and links to its runs', async () => {
    const hostId = suite.freshHost();
    const { client, namespace } = suite.stack;
    const handle = await suite.start('serviceHost', {
      hostId,
      update: { version: '2.0.0' },
    });
    await handle.result();
    const shown = await details(handle);
    expect(shown).toContain(`**${hostId}: updated** (vmWorkerProcess 1.0.0 → 2.0.0)`);
    for (const vmId of ['vm-01', 'vm-02']) {
      expect(shown).toMatch(
        new RegExp(
          `\\| ${vmId} \\| keep \\| kept \\| [\\d.]+ \\| [\\d.]+ \\| ` +
            `\\[save\\]\\(/namespaces/${namespace}/workflows/fast-save%2F${hostId}%2F${vmId}/[\\w-]{36}\\), ` +
            `\\[restore\\]\\(/namespaces/${namespace}/workflows/fast-restore%2F${hostId}%2F${vmId}/[\\w-]{36}\\) \\|`,
        ),
      );
    }
    const child = client.workflow.getHandle(`fast-save/${hostId}/vm-01`);
    expect(await details(child)).toContain(
      `**vm-01 on ${hostId}: saved** (modified), part of [${handle.workflowId}](/namespaces`,
    );
    expect(await labels(child)).toContain('pause vm-01: the blackout begins');
  });

  test.concurrent(
    'that failed names the VM that failed, not those that waited for it, and links to its run',
    async () => {
      const hostId = suite.freshHost();
      const { namespace } = suite.stack;
      const handle = await suite.start('serviceHost', {
        hostId,
        update: { component: 'vpciVsp', version: '2.0.0' },
        blackoutBudget: '5s',
        faults: [{ vmId: 'vm-02', ...STOPPED_SAVE }],
      });
      await ending(handle);
      const shown = await details(handle);
      expect(shown).toContain('**Failed: HostNotUpdated.**');
      expect(shown).toContain('| step | saveVm |');
      expect(shown).toContain(
        `| in | [fast-save/${hostId}/vm-02](/namespaces/${namespace}/workflows/fast-save%2F${hostId}%2Fvm-02/`,
      );
      expect(shown).toContain(`**${hostId}: notUpdated** (vpciVsp 1.0.0 → 2.0.0)`);
    },
  );
});

test.concurrent(
  'an outcome that the form took over from an earlier run is taken away at the start',
  async () => {
    const hostId = suite.freshHost();
    const handle = await suite.stack.client.workflow.start('serviceHost', {
      workflowId: `prefilled-of-${hostId}`,
      taskQueue: 'holdfast',
      args: [
        {
          hostId,
          update: { version: '2.0.0' },
          notice: { waitUpTo: '60s' },
          faults: [],
        },
      ],
      searchAttributes: { Outcome: ['SaveUndone'] },
    });
    const until = Date.now() + 20_000;
    let seen = await handle.describe();
    while (seen.searchAttributes['HostId'] === undefined && Date.now() < until)
      seen = await handle.describe();
    expect(seen.searchAttributes['HostId']).toEqual([hostId]);
    expect(seen.searchAttributes['Outcome'] ?? []).not.toContain('SaveUndone');
    await handle.result();
  },
);

test.concurrent(
  'a save whose form took over that an earlier run was a fork does not count as one',
  async () => {
    const hostId = suite.freshHost();
    const handle = await suite.stack.client.workflow.start('fastSave', {
      workflowId: `prefilled-save-of-${hostId}`,
      taskQueue: 'holdfast',
      args: [{ hostId, vmId: 'vm-01' }],
      searchAttributes: { ForkOf: ['an-older-run'] },
    });
    await handle.result();
    const { searchAttributes } = await handle.describe();
    expect(searchAttributes['ForkOf'] ?? []).not.toContain('an-older-run');
  },
);
