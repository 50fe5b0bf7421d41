import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';

export const LOOPBACK = '127.0.0.1';

/**
 * A TCP port of the loopback interface that nobody listens on, and that Linux gives to nobody else for a minute: one
 * connection, closed from the listening side first, leaves the port in TIME_WAIT, in which only an explicit bind gets
 * it. The Temporal CLI and the SDK's core choose theirs in the same way, so that servers started at once do not collide.
 */
export async function freePort(): Promise<number> {
  const listener = createServer((accepted) => accepted.destroy());
  listener.listen(0, LOOPBACK);
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  const client = connect(port, LOOPBACK).resume();
  await once(client, 'close');
  listener.close();
  await once(listener, 'close');
  return port;
}

/** Whether we could listen on this loopback port now. */
export async function isPortFree(port: number): Promise<boolean> {
  const listener = createServer();
  try {
    listener.listen(port, LOOPBACK);
    await once(listener, 'listening');
  } catch {
    // Taken, or not ours to take (below 1024): the caller asks for another one either way.
    return false;
  }
  listener.close();
  await once(listener, 'close');
  return true;
}
