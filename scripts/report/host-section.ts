import type { Drawing } from './chart';
import { limit, percent, time } from './figures';
import { spentMs } from '../../planning/blackout-allowance';
import { figure, html, linkedTime, list, table, type Html, type UiLinks } from './html';
import { hostCharts, markText } from './host-chart';
import type { HostReport } from './hosts';
import { runTable } from './run-table';
import { endOf, type VmReport } from './vms';

/** One servicing of a host: its VMs over time, their numbers, and every step behind them. */
export function hostSection(
  drawing: Drawing,
  links: UiLinks,
  host: HostReport,
  isOpen: boolean,
): Html {
  const { hostId, outcome, run, result, vms, versions, reason } = host;
  const summary = [
    outcome,
    `${vms.length === 0 ? host.vmCount : vms.length} VMs`,
    ...(host.longestBlackoutMs === null
      ? []
      : [`longest blackout ${time(host.longestBlackoutMs)}`]),
  ].join(', ');
  return html`<details class="host" id="${anchor(host)}" ${isOpen ? html` open` : ''}>
    <summary>
      <h3>${hostId}</h3>
      <span>${summary}</span>
    </summary>
    ${list([
      ['Run', runLink(links, host)],
      ['Version', versions],
      ['Why', reason],
      ['Forbidden commands', result === null ? null : String(result.forbiddenCommands)],
      [
        'Invariants',
        result === null
          ? null
          : `${result.invariants.checked} checks, ${result.invariants.violated} violated`,
      ],
    ])}
    ${vms.length === 0 ? html`<p>${whyNoVms(host)}</p>` : vmsPart(drawing, links, host)}
    ${
      run === null
        ? ''
        : html`<details>
            <summary>Steps of the host’s run</summary>
            ${runTable(links, `Steps of ${hostId}`, [run], run.startedMs)}
          </details>`
    }
  </details>`;
}

/** Within the page; a host may be serviced more than once. */
export const anchor = ({ hostId, runRef }: HostReport): string =>
  `host-${`${hostId}-${runRef?.runId ?? ''}`.replace(/[^\w-]/g, '_')}`;

export function runLink(links: UiLinks, { run, runRef }: HostReport): Html | null {
  if (run !== null) return links.event(endOf(run), run.workflowId);
  return runRef === null ? null : links.run(runRef, runRef.workflowId);
}

const whyNoVms = ({ run, runRef }: HostReport): string =>
  run !== null
    ? 'It has not come to its VMs, or their runs are not there.'
    : runRef === null
      ? 'Its run was not started.'
      : 'Its run is not here: export the run of the fleet as a bundle to see it.';

/** VMs in a chart, in a table, and one by one. */
export function vmsPart(
  drawing: Drawing,
  links: UiLinks,
  host: Pick<HostReport, 'hostId' | 'vms' | 'steps' | 'allowance' | 'run'>,
): Html {
  const { hostId, vms } = host;
  const charts = hostCharts(drawing, `VMs of ${hostId}`, vms, host.steps);
  return html`${
    charts.length === 0
      ? html`<p>
          When each step was is in the histories of the VMs’ runs, and these are not here: export
          the run as a bundle.
        </p>`
      : charts.map((chart, index) =>
          figure(
            `Timeline of ${hostId}${index === 0 ? '' : ', around the blackouts'}`,
            chart,
            index === 0 ? null : 'Around the blackouts, larger.',
          ),
        )
  }
  ${vmTable(links, host)} ${vms.map((vm) => vmDetails(links, host, vm))}`;
}

const VM_COLUMNS = [
  { name: 'VM' },
  { name: 'mode' },
  { name: 'came back' },
  { name: 'version' },
  { name: 'blackout', numeric: true },
  { name: 'of budget', numeric: true },
  { name: 'VF outage', numeric: true },
  { name: 'retries and faults' },
] as const;

function vmTable(links: UiLinks, { hostId, vms, allowance }: Parameters<typeof vmsPart>[2]): Html {
  const columns = allowance === null ? VM_COLUMNS : [...VM_COLUMNS, { name: 'of allowance' }];
  return table(
    `VMs of ${hostId}`,
    columns,
    vms.map((vm) => [
      vm.vmId,
      vm.mode,
      vm.path,
      vm.stackVersion,
      blackoutCell(links, vm),
      shareOfBudget(vm),
      linkedTime(links, vm.origin, vm.vfOutageMs),
      vm.timeline.marks.map(markText).join('; ') || 'none',
      ...(allowance === null ? [] : [shareOfAllowance(allowance, vm.vmId)]),
    ]),
  );
}

export function blackoutCell(links: UiLinks, { blackout, runs, timeline }: VmReport): Html | null {
  if (blackout === null) return null;
  const { ms, ended, origin } = blackout;
  // A dead-man may have brought it back between two steps: none of them saw it dark.
  const isUnseen = runs.length > 0 && timeline.dark.length === 0;
  return html`${ended ? '' : 'at least '}${links.event(origin, time(ms))}${isUnseen ? ', seen by no step' : ''}`;
}

const shareOfBudget = ({ blackout, budgetMs, withinBudget }: VmReport): string | null => {
  if (blackout === null || budgetMs === null) return null;
  const exceeded = withinBudget === false ? ' (exceeded)' : '';
  return `${percent(blackout.ms / budgetMs)} of ${limit(budgetMs)}${exceeded}`;
};

/** All its blackouts of the period, those before this run too, as the host has them. */
function shareOfAllowance(
  { of, description }: NonNullable<HostReport['allowance']>,
  vmId: string,
): string | null {
  const vm = description.vms.find((each) => each.vmId === vmId);
  if (vm === undefined) return null;
  const spent = spentMs(vm.blackouts, of.per, description.describedAtMs);
  return `${time(spent)} of ${limit(of.atMost)} in ${of.per}`;
}

function vmDetails(
  links: UiLinks,
  { run, hostId }: Parameters<typeof vmsPart>[2],
  vm: VmReport,
): Html {
  const { vmId, pathReason, identity, timeline, runs } = vm;
  const beganMs = run?.startedMs ?? runs[0]?.startedMs ?? null;
  return html`<details class="vm">
    <summary>Steps of ${vmId}</summary>
    ${list([
      ['Why it came back so', pathReason],
      ['VF ID', changed(identity?.identityBefore?.vfId, identity?.identityAfter?.vfId)],
      ['LUID', changed(identity?.identityBefore?.luid, identity?.identityAfter?.luid)],
    ])}
    ${runs.length === 0 ? html`<p>The histories of its save and restore are not here: export the run as a bundle.</p>` : ''}
    ${runTable(links, `Steps of ${vmId} on ${hostId}`, runs, beganMs, timeline.changes)}
  </details>`;
}

const changed = (
  before: string | number | undefined,
  after: string | number | undefined,
): string | null =>
  before === undefined && after === undefined
    ? null
    : before === after
      ? `${before ?? ''}, the same before and after`
      : `${before ?? 'none'} before, ${after ?? 'none'} after`;
