import type * as PlotLibrary from '@observablehq/plot' with { 'resolution-mode': 'import' };
import { raw, type Html } from './html';

/** Charts are drawn here, once: the page has SVG and no script. */
export interface Drawing {
  readonly Plot: typeof PlotLibrary;
  /** `title` names the chart, `description` says in words what it shows; its numbers belong into a table beside it. */
  readonly draw: (title: string, description: string, options: PlotLibrary.PlotOptions) => Html;
}

/** At this width its text is as large as that of the page; a frame that is much narrower scrolls. */
export const WIDTH = 800;

/** As much of a DOM as is used here: this is no page, so that the compiler knows nothing of one. */
interface Element {
  textContent: string;
  readonly outerHTML: string;
  setAttribute(name: string, value: string): void;
  removeAttribute(name: string): void;
  querySelectorAll(selector: string): Iterable<Element>;
  prepend(...elements: Element[]): void;
  remove(): void;
}
interface Page {
  readonly document: { createElementNS(namespace: string, tag: string): Element };
}

const SVG = 'http://www.w3.org/2000/svg';

export async function startDrawing(): Promise<Drawing> {
  // The one is an ES module, and neither is needed where a run cannot be read.
  const [Plot, { parseHTML }] = await Promise.all([
    import('@observablehq/plot'),
    import('linkedom'),
  ]);
  const { document } = parseHTML('<!doctype html><html><body></body></html>') as unknown as Page;
  let charts = 0;

  function named(tag: 'title' | 'desc', id: string, text: string): Element {
    const element = document.createElementNS(SVG, tag);
    element.setAttribute('id', id);
    element.textContent = text;
    return element;
  }

  return {
    Plot,
    draw: (title, description, options) => {
      charts += 1;
      const [titleId, descriptionId] = [`chart-${charts}-title`, `chart-${charts}-description`];
      const svg = Plot.plot({
        width: WIDTH,
        ...options,
        document,
        className: 'plot',
        style: { fontSize: '13px', overflow: 'visible' },
      }) as unknown as Element;
      // The page has one for all of them.
      for (const style of svg.querySelectorAll('style')) style.remove();
      // A chart is one picture with a name and a description: its parts have none of their own.
      for (const part of svg.querySelectorAll('[aria-label]')) part.removeAttribute('aria-label');
      svg.setAttribute('role', 'img');
      svg.setAttribute('aria-labelledby', titleId);
      svg.setAttribute('aria-describedby', descriptionId);
      svg.prepend(named('title', titleId, title), named('desc', descriptionId, description));
      return raw(svg.outerHTML);
    },
  };
}

/** The axis below a chart, named at its left end. */
export const timeAxis = (
  Plot: Drawing['Plot'],
  label: string,
  options: PlotLibrary.AxisXOptions = { ticks: 8 },
) => Plot.axisX({ ...options, label, labelAnchor: 'left', labelArrow: 'none' });
