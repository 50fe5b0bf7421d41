import { runsOf } from '../replay/tree';
import { startDrawing, type Drawing } from './chart';
import { fleetSection } from './fleet-section';
import { heading } from './heading';
import { hostSection, vmsPart } from './host-section';
import { hostsOf } from './hosts';
import { UiLinks, html, raw, type Html } from './html';
import { DEFINITIONS, LEGEND, STYLE } from './looks';
import type { Tree } from './read-tree';
import { COLUMNS_EXPLAINED, runTable } from './run-table';
import { summary } from './summary';
import { vmsOf } from './vms';

/** By this a file is known to be a report that may be written over. */
export const GENERATOR = '<meta name="generator" content="holdfast report">';

/** Of more hosts than this each is folded up. */
const OPEN_HOSTS = 2;

/** The whole page: it loads nothing, and no script runs in it. */
export async function page(tree: Tree, uiUrl: string | null): Promise<string> {
  const { node, namespace } = tree;
  const links = new UiLinks(uiUrl, namespace);
  const { account, workflowId } = node.last;
  const title = `${account?.type ?? 'run'} ${workflowId}`;
  const body = await html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        ${raw(GENERATOR)}
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'"
        />
        <meta name="color-scheme" content="light dark" />
        <title>${title}</title>
        <style>
          ${raw(STYLE)}
        </style>
      </head>
      <body>
        <a class="skip" href="#main">To the content</a>
        <header><h1>${title}</h1></header>
        <main id="main">
          ${raw(DEFINITIONS)} ${heading(tree, links)}
          ${account === null ? '' : contents(await startDrawing(), tree, links)}
        </main>
        <footer>
          <p>
            ${
              links.known
                ? 'Numbers lead to their events in the Temporal UI.'
                : 'Numbers have no links, since nobody said where the Temporal UI is: make the report with --ui-url, e.g. --ui-url http://localhost:8233.'
            }
            VF outage: how long the guest had no active VF. Times are by the host’s clock where a
            host measured them, or else by the server’s.
          </p>
        </footer>
      </body>
    </html> `;
  return body.toString();
}

function contents(drawing: Drawing, { node }: Tree, links: UiLinks): Html {
  const runs = runsOf(node).flatMap(({ account }) => account ?? []);
  const { type, startedMs } = runs[0] ?? {};
  const last = node.last.account;
  const hosts = hostsOf(node);
  const alone = vmsOf([node], null);
  const vms = [...hosts.flatMap((host) => host.vms), ...alone];
  return html`${summary(drawing, links, vms)}
  ${type === 'updateFleet' && last !== null ? fleetSection(drawing, links, last, hosts) : ''}
  ${
    vms.length === 0 && hosts.length === 0
      ? ''
      : html`<section aria-labelledby="timelines">
          <h2 id="timelines">${alone.length > 0 ? 'The VM over time' : 'Hosts and their VMs'}</h2>
          ${raw(LEGEND)}
          <p>${COLUMNS_EXPLAINED}</p>
          ${hosts.map((host) => hostSection(drawing, links, host, hosts.length <= OPEN_HOSTS))}
          ${
            alone.length === 0
              ? ''
              : vmsPart(drawing, links, {
                  hostId: alone[0]?.hostId ?? 'an unknown host',
                  vms: alone,
                  steps: [],
                  allowance: null,
                  run: null,
                })
          }
        </section>`
  }
  ${
    type === 'serviceHost' || alone.length > 0
      ? ''
      : html`<section aria-labelledby="steps">
          <h2 id="steps">Steps of the run</h2>
          <details>
            <summary>All steps of ${node.workflowId}</summary>
            ${runTable(links, `Steps of ${node.workflowId}`, runs, startedMs ?? null)}
          </details>
        </section>`
  }`;
}
