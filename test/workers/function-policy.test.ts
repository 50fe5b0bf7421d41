/** A host worker keeps the policy of its file in force: a change counts within a second, a broken file changes nothing. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BUILT_IN, readPolicy } from '../../hosts/function-policy/policy-file';
import { SimulatorStore } from '../../hosts/simulator/store';
import { keepFunctionPolicy } from '../../workers/function-policy';
import { loadPolicy } from '../../hosts/simulator/functions/policy-in-force';
import { SimulatedFleet } from '../hosts/simulator/simulated-fleet';

const { policy } = readPolicy(BUILT_IN);
const text = (id: string) =>
  JSON.stringify({
    everywhere: [...policy.everywhere, { id, effect: 'deny', operations: ['listFunctions'] }],
    policies: policy.policies,
  });

let fleet: SimulatedFleet;
let path: string;
let stop: AbortController;
let keeping: Promise<void>;
let told: string[];

beforeEach(() => {
  fleet = new SimulatedFleet();
  path = join(fleet.directory, 'policy.json');
  stop = new AbortController();
  told = [];
});
afterEach(async () => {
  stop.abort();
  await keeping;
  await fleet.close();
});

const keep = () => {
  keeping = keepFunctionPolicy(
    { loadFunctionPolicy: (file) => loadPolicy(fleet.store, file) },
    path,
    {
      onLoaded: (version) => told.push(`loaded ${version}`),
      onRejected: (_why, staysInForce) => told.push(`rejected, ${staysInForce ?? 'none'}`),
    },
    stop.signal,
  );
};
const until = async (length: number) => {
  for (const by = Date.now() + 5_000; told.length < length && Date.now() < by;) await delay(20);
  expect(told).toHaveLength(length);
};
/** As another process sees it: the dead-man, say. */
const inForce = async () => {
  const other = new SimulatorStore(fleet.directory);
  const { policy: found } = other.functions.inForce();
  await other.close();
  return found?.version ?? 'none';
};

test('a change is in force soon, for every process; a broken file leaves what was', async () => {
  writeFileSync(path, text('first'));
  keep();
  await until(1);
  const first = await inForce();
  writeFileSync(path, text('second'));
  await until(2);
  const second = await inForce();
  expect(second).not.toBe(first);
  writeFileSync(path, text('third').slice(0, -1));
  await until(3);
  rmSync(path);
  await until(4);
  expect(await inForce()).toBe(second);
  writeFileSync(path, text('second'));
  await until(5);
  expect(told).toEqual([
    `loaded ${first}`,
    `loaded ${second}`,
    `rejected, ${second}`,
    `rejected, ${second}`,
    `loaded ${second}`,
  ]);
});

test('a first file that is broken leaves none, until it is mended', async () => {
  writeFileSync(path, '{}');
  keep();
  await until(1);
  expect(await inForce()).toBe('none');
  writeFileSync(path, text('mended'));
  await until(2);
  expect(told).toEqual(['rejected, none', `loaded ${await inForce()}`]);
});
