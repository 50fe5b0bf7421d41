import type { JsonEvent, JsonHistory } from './recorded';

type Attributes = Record<string, unknown>;

const attributesOf = (event: JsonEvent): Attributes =>
  (Object.entries(event).find(([key]) => key.endsWith('EventAttributes'))?.[1] ?? {}) as Attributes;

interface Marker extends Attributes {
  details: { data: { payloads: { data: string }[] } };
}
type Local = { activity_type: string };

const isLocal = (event: JsonEvent): boolean =>
  attributesOf(event)['markerName'] === 'core_local_activity';
const localOf = (event: JsonEvent): Local => {
  const [payload] = (attributesOf(event) as Marker).details.data.payloads;
  return JSON.parse(Buffer.from(payload?.data ?? '', 'base64').toString()) as Local;
};
const activityType = (event: JsonEvent): { name: string } | undefined =>
  event.eventType === 'EVENT_TYPE_ACTIVITY_TASK_SCHEDULED'
    ? (attributesOf(event)['activityType'] as { name: string })
    : undefined;

function found<T>(what: string, value: T | undefined): T {
  if (value === undefined) throw new Error(`the recorded history has no ${what}`);
  return value;
}
const activity = (history: JsonHistory, name: string): JsonEvent =>
  found(
    `activity ${name}`,
    history.events.find((e) => activityType(e)?.name === name),
  );
const local = (history: JsonHistory, name: string): JsonEvent =>
  found(
    `local activity ${name}`,
    history.events.find((e) => isLocal(e) && localOf(e).activity_type === name),
  );

/** As if the step had had another name when the history was recorded. */
export function renameActivity(history: JsonHistory, from: string, to: string): JsonHistory {
  found(from, activityType(activity(history, from))).name = to;
  return history;
}

export function renameChild(history: JsonHistory, from: string, to: string): JsonHistory {
  const types = history.events
    .filter((e) => e.eventType === 'EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED')
    .map((e) => attributesOf(e)['workflowType'] as { name: string });
  found(
    from,
    types.find((type) => type.name === from),
  ).name = to;
  return history;
}

export function renameLocalActivity(history: JsonHistory, from: string, to: string): JsonHistory {
  const event = local(history, from);
  const [payload] = (attributesOf(event) as Marker).details.data.payloads;
  found('payload', payload).data = Buffer.from(
    JSON.stringify({ ...localOf(event), activity_type: to }),
  ).toString('base64');
  return history;
}

/** As if two local steps had been taken in the other order. */
export function swapLocalActivities(history: JsonHistory, one: string, other: string): JsonHistory {
  const [a, b] = [local(history, one), local(history, other)];
  [a['markerRecordedEventAttributes'], b['markerRecordedEventAttributes']] = [
    b['markerRecordedEventAttributes'],
    a['markerRecordedEventAttributes'],
  ];
  return history;
}

export const removeLocalActivity = (history: JsonHistory, name: string): JsonHistory =>
  without(history, [local(history, name)]);

/** As if the step had not been there: its events, and those of the workflow task that it woke. */
export function removeActivity(history: JsonHistory, name: string): JsonHistory {
  const first = history.events.indexOf(activity(history, name));
  const next = history.events.findIndex(
    (e, index) => index > first && e.eventType === 'EVENT_TYPE_WORKFLOW_TASK_COMPLETED',
  );
  return without(history, history.events.slice(first, next + 1));
}

/** Removes events as if they had never been: the others close up, and what refers to them follows. */
function without({ events }: JsonHistory, removed: readonly JsonEvent[]): JsonHistory {
  const kept = events.filter((event) => !removed.includes(event));
  const before = found(
    'event before',
    kept.findLast(
      (e) =>
        Number(e.eventId) < Number(removed[0]?.eventId) &&
        e.eventType === 'EVENT_TYPE_WORKFLOW_TASK_COMPLETED',
    ),
  );
  const newIds = new Map(kept.map((event, index) => [event.eventId, String(index + 1)]));
  for (const event of kept) {
    const attributes = attributesOf(event);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.endsWith('EventId') && typeof value === 'string' && value !== '0') {
        attributes[key] = newIds.get(value) ?? newIds.get(before.eventId);
      }
    }
    event.eventId = found('id', newIds.get(event.eventId));
  }
  return { events: kept };
}

/** As the UI's "decoded" download has it: plain values in place of payloads. */
export function decoded(history: JsonHistory): JsonHistory {
  return JSON.parse(JSON.stringify(history), (_key, value: unknown) => {
    if (typeof value !== 'object' || value === null || !('metadata' in value) || !('data' in value))
      return value;
    return JSON.parse(Buffer.from(String(value.data), 'base64').toString()) as unknown;
  }) as JsonHistory;
}
