/** Started as a process by tests: prints what findTemporalBinary does, one JSON value a line. */
import { findTemporalBinary } from '../../../tools/temporal/binary';

const print = (value: unknown): void => {
  process.stdout.write(`${JSON.stringify(value)}\n`);
};

findTemporalBinary({ onProgress: print }).then(
  (binary) => print(binary),
  (error: unknown) => print({ error: error instanceof Error ? error.name : String(error) }),
);
