import type { EvidenceOf } from '../../contract/steps';
import { servicingOfHost } from '../engine/gates';
import type { Operation } from '../engine/operation';
import { takeFault } from './faults';
import { sampleMs } from './latency';
import type { Pace } from './runner';
import type { HostState, SimulatedHost, VmState } from './state';
import type { SimulatorStore } from './store';

/** When a guest that is told now acknowledges, by the host's clock; null: never, since it hangs or is deaf. */
function acknowledgesAtMs(
  { host, putVm, nowMs }: SimulatedHost,
  vm: VmState,
  { profile }: Pace,
  journal: Journal,
): number | null {
  const fault = takeFault(vm, 'noticeGuests');
  putVm(vm);
  const isDeaf = fault !== undefined && fault.kind !== 'slow';
  journal(host, vm.vmId, 'command', 'Guest.NoticeFreeze', fault && `fault ${fault.kind}`);
  if (isDeaf || vm.guestHangs) return null;
  const key = `${vm.vmId}/${String(servicingOfHost(host).generation)}`;
  return nowMs + sampleMs(profile, 'noticeGuests', host.seed, key) + (fault?.delayMs ?? 0);
}

type Journal = (
  host: HostState,
  vmId: string,
  kind: 'command' | 'event',
  command: string,
  detail: string | undefined,
) => void;

/**
 * Tells the guests that their VMs will freeze, and waits until all have acknowledged, the time is up or the run was
 * aborted. A notice is no event of I3: the guest's devices stay what they are.
 */
export function noticeGuests(
  store: SimulatorStore,
  pace: Pace,
): Operation<SimulatedHost, EvidenceOf<'noticeGuests'>> {
  const journal: Journal = (host, vmId, kind, command, detail) => {
    const { generation } = servicingOfHost(host);
    const entry = { vmId, step: 'noticeGuests', generation, kind, command, status: 'done' };
    store.append(host, { ...entry, detail: detail ?? null });
  };
  return {
    waitsAt: 'prepare',
    notApplicable: ({ host }) =>
      servicingOfHost(host).order.guestNoticeMs === undefined
        ? 'guests are not to be told'
        : undefined,
    arrive: (o) => {
      const servicing = servicingOfHost(o.host);
      const { guestNoticeMs } = servicing.order;
      if (servicing.notice !== null || guestNoticeMs === undefined) return;
      const vms = o.vms();
      const told = servicing.members.flatMap((id) => vms.filter(({ vmId }) => vmId === id));
      servicing.notice = {
        untilMs: o.nowMs + guestNoticeMs,
        dueMs: Object.fromEntries(
          told.map((vm) => [vm.vmId, acknowledgesAtMs(o, vm, pace, journal)]),
        ),
      };
    },
    ready: ({ host, nowMs }) => {
      const { notice, aborted } = servicingOfHost(host);
      if (notice === null || aborted !== null || nowMs >= notice.untilMs) return true;
      return Object.values(notice.dueMs).every((dueMs) => dueMs !== null && dueMs <= nowMs);
    },
    readyAtMs: ({ host }) => {
      const { notice } = servicingOfHost(host);
      if (notice === null) return null;
      const last = Math.max(...Object.values(notice.dueMs).map((dueMs) => dueMs ?? Infinity));
      return Math.min(notice.untilMs, last);
    },
    effect: (c) =>
      c.run('Guest.ReadAcknowledgements', ({ host, nowMs }) => {
        const { notice } = servicingOfHost(host);
        const told = Object.entries(notice?.dueMs ?? {});
        const isIn = ([, dueMs]: (typeof told)[number]) => dueMs !== null && dueMs <= nowMs;
        const acknowledged = told.filter(isIn).map(([vmId]) => vmId);
        for (const vmId of acknowledged)
          journal(host, vmId, 'event', 'Guest.AcknowledgeNotice', undefined);
        return { acknowledged, unacknowledged: told.filter((t) => !isIn(t)).map(([vmId]) => vmId) };
      }),
  };
}
