import type { FleetActivities } from '../../activities/fleet/fleet-activities';
import { HOLDFAST_QUEUE } from '../../contract/queues';
import { labelledActivities } from '../labelled-activities';

/** What the orchestrator keeps and reads for a fleet update. */
export const fleet = labelledActivities<FleetActivities>({
  taskQueue: HOLDFAST_QUEUE,
  startToCloseTimeout: '60s',
  scheduleToCloseTimeout: '10m',
  retry: { initialInterval: '200ms', maximumInterval: '5s' },
});

/** A webhook that does not answer is given up after two minutes: it must not hold a fleet up. */
export const { notify } = labelledActivities<Pick<FleetActivities, 'notify'>>({
  taskQueue: HOLDFAST_QUEUE,
  startToCloseTimeout: '15s',
  scheduleToCloseTimeout: '2m',
  retry: { initialInterval: '1s', maximumInterval: '15s' },
});

/** One look at an address; the probe itself says what a missing answer means. */
export const probes = labelledActivities<Pick<FleetActivities, 'probeHttp' | 'probePrometheus'>>({
  taskQueue: HOLDFAST_QUEUE,
  startToCloseTimeout: '15s',
  scheduleToCloseTimeout: '60s',
});

/** Hosts that one child asks; histories of all of them together would be too large for the fleet's own. */
const HOSTS_PER_CHILD = 50;
/** Children at a time: a thousand hosts asked at once answer so late that many seem to be unreachable. */
const CHILDREN_AT_A_TIME = 4;

/** Works through hosts in batches, a few at a time; answers in the order of the batches. */
export async function eachBatch<Host, Answer>(
  hosts: readonly Host[],
  ask: (part: readonly Host[], index: number) => Promise<Answer>,
): Promise<Answer[]> {
  const parts = Array.from({ length: Math.ceil(hosts.length / HOSTS_PER_CHILD) }, (_, index) =>
    hosts.slice(index * HOSTS_PER_CHILD, (index + 1) * HOSTS_PER_CHILD),
  );
  const waiting = [...parts.entries()];
  const answers: Answer[] = [];
  const askInTurn = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, part] = next;
      answers[index] = await ask(part, index);
    }
  };
  await Promise.all(Array.from({ length: CHILDREN_AT_A_TIME }, askInTurn));
  return answers;
}
