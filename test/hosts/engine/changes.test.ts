import { Changes } from '../../../hosts/engine/changes';
import { HOST, TestHosts, until } from './issuing';

const NEVER = new AbortController().signal;

it('nothing is watched when nobody waits', async () => {
  const cleared = jest.spyOn(globalThis, 'clearInterval');
  const changes = new Changes(
    () => ({ writes: 0 }),
    () => 0,
  );
  const topics = [{ hostId: HOST, vmId: 'vm-01' }] as const;
  const waiting = changes.after(topics, changes.seen(topics), NEVER);
  changes.tell(topics[0]);
  await waiting;
  expect(cleared).toHaveBeenCalledTimes(1);
  cleared.mockRestore();
});

it('a write of another process wakes whoever waits, although this one has written since', async () => {
  const test = new TestHosts('vm-01', 'vm-02');
  const { store } = test.hosts;
  const topics = [{ hostId: HOST, vmId: 'vm-02' }];
  let isWoken = false;
  void store.changes.after(topics, store.changes.seen(topics), NEVER).then(() => (isWoken = true));
  test.anotherProcess().store.update(HOST, 'vm-02', ({ vm }) => void (vm.pathReason = 'theirs'));
  store.update(HOST, 'vm-01', ({ vm }) => void (vm.pathReason = 'ours'));
  await until(() => isWoken);
  await test.close();
});
