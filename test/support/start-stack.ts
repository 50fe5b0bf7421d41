import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import { Stack, type StackOptions } from '../../scripts/stack';
import { required } from './required';

/** Workers with hosts of zero latency, unless the options say otherwise, in a new namespace of a server that runs. */
export async function startStack(
  address: string,
  namespace: string,
  options: Partial<StackOptions>,
): Promise<Stack> {
  const connection = await Connection.connect({ address });
  await connection.workflowService.registerNamespace({
    namespace,
    workflowExecutionRetentionPeriod: { seconds: 86_400 as never },
  });
  await connection.close();
  return Stack.start({
    directory: mkdtempSync(join(tmpdir(), `${namespace}-`)),
    hosts: 1,
    vms: 3,
    seed: 1,
    profile: 'zero',
    // So that there is a host-wide component whose update keeps every VF.
    custodyBelowVsp: true,
    server: { address, namespace },
    workflowBundle: required('HOLDFAST_TEST_BUNDLE'),
    ...options,
  });
}
