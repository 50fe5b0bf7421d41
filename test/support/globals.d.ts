import type { DevServer } from '../../tools/temporal/dev-server';

declare global {
  var holdfastTestServer: DevServer | undefined;
}
