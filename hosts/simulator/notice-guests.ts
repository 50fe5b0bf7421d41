import type { JournalEntry } from '../../contract/host';
import { hostNowMs } from './clock';
import { takeFault } from './faults';
import { servicingOf, type Around, type HostOperation } from './host-operation';
import { sampleMs } from './latency';
import type { HostState } from './state';

/** When a guest that is told now acknowledges, by the host's clock; null: never, since it hangs or is deaf. */
function acknowledgesAtMs(
  host: HostState,
  vmId: string,
  { store, profile, nowMs }: Around,
): number | null {
  const vm = store.vm(host.hostId, vmId);
  const fault = takeFault(vm, 'noticeGuests');
  store.putVm(host.hostId, vm);
  const isDeaf = fault !== undefined && fault.kind !== 'slow';
  journal(host, store, vmId, 'command', 'Guest.NoticeFreeze', fault && `fault ${fault.kind}`);
  if (isDeaf || vm.guestHangs) return null;
  const key = `${vmId}/${String(servicingOf(host).generation)}`;
  return nowMs + sampleMs(profile, 'noticeGuests', host.seed, key) + (fault?.delayMs ?? 0);
}

function journal(
  host: HostState,
  store: Around['store'],
  vmId: string,
  kind: JournalEntry['kind'],
  command: string,
  detail: string | undefined,
): void {
  const { generation } = servicingOf(host);
  const step = 'noticeGuests';
  store.append(host, {
    vmId,
    step,
    generation,
    kind,
    command,
    status: 'done',
    detail: detail ?? null,
  });
}

/**
 * Tells the guests that their VMs will freeze, and waits until all have acknowledged, the time is up or the run was
 * aborted. A notice is no event of I3: the guest's devices stay what they are.
 */
export const noticeGuests: HostOperation = {
  ownLatency: true,
  notApplicable: (host) =>
    servicingOf(host).order.guestNoticeMs === undefined ? 'guests are not to be told' : undefined,
  arrive: (host, around) => {
    const servicing = servicingOf(host);
    const { guestNoticeMs } = servicing.order;
    if (servicing.notice !== null || guestNoticeMs === undefined) return;
    servicing.notice = {
      untilMs: around.nowMs + guestNoticeMs,
      dueMs: Object.fromEntries(
        servicing.members.map((vmId) => [vmId, acknowledgesAtMs(host, vmId, around)]),
      ),
    };
  },
  ready: (host) => {
    const { notice, aborted } = servicingOf(host);
    const nowMs = hostNowMs();
    if (notice === null || aborted !== null || nowMs >= notice.untilMs) return true;
    return Object.values(notice.dueMs).every((dueMs) => dueMs !== null && dueMs <= nowMs);
  },
  inPlace: () => false,
  effect: (host, { store, nowMs }) => {
    const { notice } = servicingOf(host);
    const told = Object.entries(notice?.dueMs ?? {});
    const isIn = ([, dueMs]: (typeof told)[number]) => dueMs !== null && dueMs <= nowMs;
    const acknowledged = told.filter(isIn).map(([vmId]) => vmId);
    for (const vmId of acknowledged)
      journal(host, store, vmId, 'event', 'Guest.AcknowledgeNotice', undefined);
    return { acknowledged, unacknowledged: told.filter((t) => !isIn(t)).map(([vmId]) => vmId) };
  },
};
