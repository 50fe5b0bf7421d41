/**
 * Whether a history file is the UI's *decoded* download: its payloads are plain values instead of
 * `{ metadata, data }`. Only the encoded one replays, since the SDK needs the payloads as the server has them.
 */
export function isDecoded(json: unknown): boolean {
  if (Array.isArray(json)) return json.some(isDecoded);
  if (!isObject(json)) return false;
  return Object.entries(json).some(
    ([key, value]) => holdsPlainValues(key, value) || isDecoded(value),
  );
}

function holdsPlainValues(key: string, value: unknown): boolean {
  switch (key) {
    case 'payloads':
      return Array.isArray(value) && !value.every(isPayload);
    case 'input':
    case 'result':
      return Array.isArray(value) && value.length > 0;
    case 'indexedFields':
      return isObject(value) && !Object.values(value).every(isPayload);
    default:
      return false;
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isPayload = (value: unknown): boolean =>
  isObject(value) && (isObject(value['metadata']) || typeof value['data'] === 'string');
