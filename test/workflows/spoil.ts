import type { JsonEvent, JsonHistory } from './recorded';

type Attributes = Record<string, unknown>;

const attributesOf = (event: JsonEvent): Attributes =>
  (Object.entries(event).find(([key]) => key.endsWith('EventAttributes'))?.[1] ?? {}) as Attributes;

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

/** As if two steps had been asked for in the other order. */
export function swapActivities(history: JsonHistory, one: string, other: string): JsonHistory {
  const [a, b] = [activity(history, one), activity(history, other)];
  found(one, activityType(a)).name = other;
  found(other, activityType(b)).name = one;
  return history;
}

/** As if the step had not been there: the other events close up, and what refers to them follows. */
export function removeActivity({ events }: JsonHistory, name: string): JsonHistory {
  const { eventId } = activity({ events }, name);
  const isIts = (event: JsonEvent) =>
    event.eventId === eventId ||
    (event.eventType.startsWith('EVENT_TYPE_ACTIVITY_TASK') &&
      attributesOf(event)['scheduledEventId'] === eventId);
  const kept = events.filter((event) => !isIts(event));
  const newIds = new Map(kept.map((event, index) => [event.eventId, String(index + 1)]));
  for (const event of kept) {
    const attributes = attributesOf(event);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.endsWith('EventId') && typeof value === 'string' && value !== '0')
        attributes[key] = found(`event ${value}`, newIds.get(value));
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
