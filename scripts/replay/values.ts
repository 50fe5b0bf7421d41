import { defaultPayloadConverter } from '@temporalio/common';
import { temporal, type google } from '@temporalio/proto';

type Payloads = temporal.api.common.v1.IPayloads;

/** The first value of some payloads; undefined if there is none, or if it was encrypted by a codec we do not have. */
export function firstValue(payloads: Payloads | null | undefined): unknown {
  const payload = payloads?.payloads?.[0];
  if (payload == null) return undefined;
  try {
    return defaultPayloadConverter.fromPayload(payload);
  } catch {
    return undefined;
  }
}

/** A field of a value that came from outside. */
export function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined;
}

export const textOf = (value: unknown): string | null =>
  typeof value === 'string' && value !== '' ? value : null;
export const numberOf = (value: unknown): number | null =>
  typeof value === 'number' ? value : null;

/** Milliseconds since 1970, with fractions. */
export function timeMs(time: google.protobuf.ITimestamp | null | undefined): number | null {
  return time == null ? null : Number(time.seconds ?? 0) * 1000 + (time.nanos ?? 0) / 1e6;
}

/** `RETRY_STATE_NON_RETRYABLE_FAILURE` → `non-retryable failure`; null for "not set" or "in progress". */
export function retryStateText(
  state: temporal.api.enums.v1.RetryState | null | undefined,
): string | null {
  const { RetryState } = temporal.api.enums.v1;
  if (state == null || state === RetryState.RETRY_STATE_UNSPECIFIED) return null;
  return RetryState[state]
    .replace('RETRY_STATE_', '')
    .toLowerCase()
    .replaceAll('_', ' ')
    .replace('non ', 'non-');
}

/** `EVENT_TYPE_TIMER_FIRED` → `TimerFired`, as the UI names events. */
export function eventTypeText(type: temporal.api.enums.v1.EventType | null | undefined): string {
  const name = temporal.api.enums.v1.EventType[type ?? 0] ?? String(type);
  return name
    .replace('EVENT_TYPE_', '')
    .toLowerCase()
    .replace(/(^|_)(.)/g, (_match, _line, letter: string) => letter.toUpperCase());
}
