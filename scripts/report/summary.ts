import { MODES } from '../../contract/inputs';
import { PATHS, type Path } from '../../contract/results';
import type { Drawing } from './chart';
import { limit, percent, spreadOf } from './figures';
import { blackoutCell } from './host-section';
import { figure, html, linkedTime, table, type Html, type UiLinks } from './html';
import { budgetChart, distributionChart, type Measured, type Spent } from './summary-charts';
import type { Origin, VmReport } from './vms';

const MEANING: Readonly<Record<Path, string>> = {
  kept: 'the same VF all along',
  reattached: 'a VF anew',
  'synthetic-only': 'no VF',
  restarted: 'guest memory lost',
  stranded: 'held and paused: a person must act',
};

/** How the VMs came back, and what it cost them; modified beside conventional. */
export function summary(drawing: Drawing, links: UiLinks, vms: readonly VmReport[]): Html {
  if (vms.length === 0) return html`<p>No VM was serviced in it.</p>`;
  return html`<section aria-labelledby="summary">
      <h2 id="summary">Summary</h2>
      ${waysBack(vms)} ${comparison(links, vms)}
    </section>
    <section aria-labelledby="blackout">
      <h2 id="blackout">How long VMs were dark</h2>
      ${distributions(drawing, vms)}
    </section>
    <section aria-labelledby="budget">
      <h2 id="budget">Blackout budget spent</h2>
      ${budgets(drawing, links, vms)}
    </section>`;
}

function waysBack(vms: readonly VmReport[]): Html {
  const unknown = vms.filter(({ path }) => path === null).length;
  return table(
    'How the VMs came back',
    [{ name: 'came back' }, { name: 'VMs', numeric: true }, { name: 'meaning' }],
    [
      ...PATHS.map((path) => [path, vms.filter((vm) => vm.path === path).length, MEANING[path]]),
      ...(unknown === 0
        ? []
        : [['not known', unknown, 'the histories do not tell, or the run has not come so far']]),
      ['all', vms.length, servicedTwice(vms) ? 'a VM that was serviced twice counts twice' : ''],
    ],
  );
}

const servicedTwice = (vms: readonly VmReport[]): boolean =>
  new Set(vms.map(({ hostId, vmId }) => `${hostId ?? ''}/${vmId}`)).size < vms.length;

/** A time of a VM, with the event that it comes from. */
interface MeasuredTime {
  readonly ms: number;
  readonly origin: Origin | null;
}
type Measure = (vm: VmReport) => MeasuredTime | null;

const blackout: Measure = (vm) => vm.blackout;
const vfOutage: Measure = ({ vfOutageMs: ms, origin }) => (ms === null ? null : { ms, origin });

function comparison(links: UiLinks, vms: readonly VmReport[]): Html {
  const rows = (name: string, measure: Measure) =>
    MODES.map((mode) => {
      const spread = spreadOf(
        vms.filter((vm) => vm.mode === mode).flatMap((vm) => measure(vm) ?? []),
      );
      const cells = [spread?.median, spread?.p95, spread?.max].map((measured) =>
        measured === undefined ? null : linkedTime(links, measured.origin, measured.ms),
      );
      return [`${name}, ${mode}`, spread?.n ?? 0, ...cells];
    });
  return table(
    'Modified against conventional',
    [
      { name: 'measured' },
      { name: 'VMs', numeric: true },
      { name: 'median', numeric: true },
      { name: '95th percentile', numeric: true },
      { name: 'longest', numeric: true },
    ],
    [...rows('blackout', blackout), ...rows('VF outage', vfOutage)],
  );
}

function distributions(drawing: Drawing, vms: readonly VmReport[]): Html {
  const budgets = [...new Set(vms.flatMap(({ budgetMs }) => budgetMs ?? []))];
  const measured = (measure: Measure): Measured[] =>
    vms.flatMap((vm) => {
      const ms = measure(vm)?.ms ?? 0;
      return vm.mode === null || ms === 0 ? [] : [{ mode: vm.mode, ms }];
    });
  const [blackouts, outages] = [measured(blackout), measured(vfOutage)];
  if (blackouts.length < 2)
    return html`<p>Fewer than two VMs were dark: the tables tell of each.</p>`;
  return html`${figure(
    'Distribution of blackouts',
    distributionChart(
      drawing,
      'Blackouts: share of VMs that were dark for at most so long',
      'blackout',
      blackouts,
      budgets,
    ),
    'Share of VMs that were dark for at most so long, with the budget of one blackout.',
  )}
  ${
    outages.length < 2
      ? ''
      : figure(
          'Distribution of VF outages',
          distributionChart(
            drawing,
            'VF outages: share of VMs without an active VF for at most so long',
            'VF outage',
            outages,
            [],
          ),
          'Share of VMs whose guest had no active VF for at most so long. Every number is in the tables of the hosts below.',
        )
  }`;
}

/** Of a large fleet only those are shown that came nearest to their budget. */
const SHOWN = 12;

function budgets(drawing: Drawing, links: UiLinks, vms: readonly VmReport[]): Html {
  const spent = vms
    .flatMap((vm): Spent[] =>
      vm.blackout === null || vm.budgetMs === null
        ? []
        : [{ vm, share: vm.blackout.ms / vm.budgetMs }],
    )
    .sort((a, b) => b.share - a.share);
  const exceeded = spent.filter(({ vm, share }) => share > 1 || vm.withinBudget === false).length;
  const shown = spent.slice(0, SHOWN);
  if (shown.length === 0) return html`<p>No VM was dark, as far as the histories tell.</p>`;
  const which =
    spent.length > SHOWN
      ? `The ${SHOWN} of ${spent.length} VMs that spent most`
      : 'All VMs that were dark';
  return html`<p>
      ${exceeded === 0 ? 'No VM was dark for longer than its budget.' : html`<strong>${exceeded} of ${spent.length} VMs were dark for longer than their budget.</strong>`}
    </p>
    ${figure(
      'Blackout budget spent',
      budgetChart(drawing, 'Blackout budget spent, by VM', shown),
      `${which}; the line is the whole budget.`,
    )}
    ${table(
      `Blackout budget spent: ${spent.length > SHOWN ? 'the VMs that spent most' : 'VMs that were dark'}`,
      [
        { name: 'VM' },
        { name: 'host' },
        { name: 'blackout', numeric: true },
        { name: 'budget', numeric: true },
        { name: 'spent', numeric: true },
      ],
      shown.map(({ vm, share }) => [
        vm.vmId,
        vm.hostId,
        blackoutCell(links, vm),
        vm.budgetMs === null ? null : limit(vm.budgetMs),
        percent(share),
      ]),
    )}`;
}
