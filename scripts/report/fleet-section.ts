import type { Account } from '../replay/account';
import type { Drawing } from './chart';
import { anchor, runLink } from './host-section';
import { figure, html, linkedTime, table, type Html, type UiLinks } from './html';
import type { HostReport } from './hosts';
import { asFleetPlan, asFleetResult } from './results';
import { fleetChart } from './fleet-chart';
import { endOf, type Origin } from './vms';

/** The waves and hosts of a fleet update, the decisions of its gates, and who stepped in. */
export function fleetSection(
  drawing: Drawing,
  links: UiLinks,
  account: Account,
  hosts: readonly HostReport[],
): Html {
  const fleet = asFleetResult(account.result);
  const plan = asFleetPlan(account.result);
  const chart = fleetChart(drawing, 'Hosts over time', hosts);
  return html`<section aria-labelledby="fleet">
    <h2 id="fleet">Fleet</h2>
    ${hosts.length > 0 || plan !== null ? '' : html`<p>No host was serviced, as far as the histories tell.</p>`}
    ${
      fleet === null
        ? ''
        : table(
            'What became of the planned hosts',
            [{ name: 'hosts' }, { name: 'number', numeric: true }],
            Object.entries(fleet.counts).map(([what, number]) => [COUNTS[what] ?? what, number]),
          )
    }
    ${
      plan === null
        ? ''
        : table(
            'The plan: nothing was touched',
            [
              { name: 'host' },
              { name: 'wave', numeric: true },
              { name: 'VMs', numeric: true },
              { name: 'why there' },
            ],
            plan.waves.flatMap(({ number, hosts: its }) =>
              its.map(({ hostId, vms, reason }) => [hostId, number, vms.length, reason]),
            ),
          )
    }
    ${
      chart === null
        ? ''
        : figure(
            'Hosts over time',
            chart,
            'When each host was serviced; hatched: from the first pause of a VM to the last resume.',
          )
    }
    ${hostTable(links, hosts)}
    ${table(
      'Decisions of the health gates',
      [
        { name: 'gate' },
        { name: 'wave', numeric: true },
        { name: 'at' },
        { name: 'verdict' },
        { name: 'looks', numeric: true },
      ],
      (fleet?.decisions ?? []).map(({ gate, wave, at, verdict, looks }) => [
        gate,
        wave,
        at,
        verdict,
        looks,
      ]),
    )}
    ${table(
      'Interventions',
      [{ name: 'what' }, { name: 'at' }, { name: 'by' }, { name: 'why' }, { name: 'answer' }],
      (fleet?.interventions ?? []).map(({ action, at, by, reason, answer }) => [
        action,
        at,
        by,
        reason,
        answer,
      ]),
    )}
    ${table(
      'Hosts without a place in the plan',
      [{ name: 'host' }, { name: 'why' }, { name: 'reason' }],
      ((fleet ?? plan)?.refused ?? []).map(({ hostId, why, reason }) => [hostId, why, reason]),
    )}
    ${table(
      'Messages that no webhook took',
      [{ name: 'message' }],
      (fleet?.undelivered ?? []).map((message) => [message]),
    )}
  </section>`;
}

/** The counts of a fleet's result, in words. */
const COUNTS: Readonly<Record<string, string>> = {
  rolledBack: 'rolled back',
  notStarted: 'not started',
};

const hostTable = (links: UiLinks, hosts: readonly HostReport[]): Html =>
  table(
    'Hosts, in the order of their waves',
    [
      { name: 'host' },
      { name: 'wave', numeric: true },
      { name: 'outcome' },
      { name: 'version' },
      { name: 'VMs', numeric: true },
      { name: 'kept', numeric: true },
      { name: 'longest blackout', numeric: true },
      { name: 'took', numeric: true },
      { name: 'run' },
      { name: 'why' },
    ],
    hosts.map((host) => [
      html`<a href="#${anchor(host)}">${host.hostId}</a>`,
      host.wave,
      host.outcome,
      host.versions,
      host.vms.length === 0 ? host.vmCount : host.vms.length,
      keptOf(host),
      linkedTime(links, darkest(host), host.longestBlackoutMs),
      tookOf(links, host),
      runLink(links, host),
      host.reason,
    ]),
  );

const keptOf = ({ vms }: HostReport): number | null =>
  vms.length === 0 ? null : vms.filter(({ path }) => path === 'kept').length;

const darkest = ({ vms, longestBlackoutMs }: HostReport): Origin | null =>
  vms.find(({ blackout }) => blackout?.ms === longestBlackoutMs)?.blackout?.origin ?? null;

const tookOf = (links: UiLinks, { run }: HostReport): Html | null =>
  run?.startedMs == null || run.closedMs === null
    ? null
    : linkedTime(links, endOf(run), run.closedMs - run.startedMs);
