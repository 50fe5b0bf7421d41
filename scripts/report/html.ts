import { html, raw } from 'hono/html';
import { webUrl } from '../../contract/inputs';
import { z } from '../../contract/zod';
import { time } from './figures';
import type { Origin } from './vms';

/** Markup. What is put into a `html` template is escaped, unless it is markup itself. */
export type Html = ReturnType<typeof html>;
export { html, raw };

/** Where a UI is, without a slash at its end. Null for what is no address of the web: it must not become a link. */
export const uiAddress = (text: string): string | null =>
  z.safeParse(webUrl, text).success ? text.replace(/\/+$/, '') : null;

/** The addresses of runs and events in the Temporal UI; without it, numbers are shown without links. */
export class UiLinks {
  constructor(
    private readonly uiUrl: string | null,
    private readonly namespace: string,
  ) {}

  get known(): boolean {
    return this.uiUrl !== null;
  }

  run({ workflowId, runId }: Pick<Origin, 'workflowId' | 'runId'>, text: string): Html {
    return this.#link(this.#run(workflowId, runId), text);
  }

  event({ workflowId, runId, eventId }: Origin, text: string): Html {
    return this.#link(`${this.#run(workflowId, runId)}/events/${eventId}`, text);
  }

  #run(workflowId: string, runId: string): string {
    const [id, namespace] = [encodeURIComponent(workflowId), encodeURIComponent(this.namespace)];
    return `/namespaces/${namespace}/workflows/${id}/${encodeURIComponent(runId)}/history`;
  }

  #link(path: string, text: string): Html {
    return this.uiUrl === null ? html`${text}` : html`<a href="${this.uiUrl}${path}">${text}</a>`;
  }
}

export interface Column {
  readonly name: string;
  /** Right-aligned. */
  readonly numeric?: true;
}

/** Null: not known, or nothing to tell. */
export type Cell = Html | string | number | null;

/** A table in a frame of its own that scrolls where it is too wide; the first cell of a row names it. */
export function table(
  caption: string,
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
): Html {
  if (rows.length === 0) return html``;
  const right = columns.flatMap(({ numeric }, index) => (numeric === true ? `r${index + 1}` : []));
  return html`<div class="scroll" tabindex="0" role="group" aria-label="${caption}">
    <table class="${right.join(' ')}">
      <caption>
        ${caption}
      </caption>
      <thead>
        <tr>
          ${columns.map(({ name }) => html`<th scope="col">${name}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(tableRow)}
      </tbody>
    </table>
  </div>`;
}

/** Without white space and attributes: a large fleet has tens of thousands of cells. */
// prettier-ignore
const tableRow = ([name, ...cells]: readonly Cell[]): Html =>
  html`<tr><th scope="row">${name ?? ''}</th>${cells.map((cell) => html`<td>${cell ?? ''}</td>`)}</tr>`;

/** Names with what they are. */
export const list = (pairs: readonly (readonly [string, Html | string | null])[]): Html =>
  html`<dl>
    ${pairs.flatMap(([name, what]) =>
      what === null
        ? []
        : [
            html`<div>
              <dt>${name}</dt>
              <dd>${what}</dd>
            </div>`,
          ],
    )}
  </dl>`;

/** A time with a link to the event that it comes from. */
export const linkedTime = (
  links: UiLinks,
  origin: Origin | null,
  ms: number | null,
): Html | null =>
  ms === null ? null : origin === null ? html`${time(ms)}` : links.event(origin, time(ms));

/** A chart in a frame that scrolls where it is too wide, as a table does. */
export const figure = (name: string, chart: Html, caption: string | null): Html =>
  html`<figure>
    <div class="scroll" tabindex="0" role="group" aria-label="${name}">${chart}</div>
    ${caption === null ? '' : html`<figcaption>${caption}</figcaption>`}
  </figure>`;
