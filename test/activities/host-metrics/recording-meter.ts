import type {
  MetricCounter,
  MetricGauge,
  MetricHistogram,
  MetricMeter,
  MetricTags,
} from '@temporalio/common';

type Labels = Readonly<Record<string, string>>;

/** Keeps what is recorded, by name and labels: counters summed, gauges as last set, histograms as a list. */
export class RecordingMeter implements MetricMeter {
  readonly #recorded: { name: string; labels: Labels; value: number }[] = [];

  createCounter(name: string): MetricCounter {
    return this.#instrument(name, 'counter');
  }
  createHistogram(name: string): MetricHistogram {
    return this.#instrument(name, 'histogram');
  }
  createGauge(name: string): MetricGauge {
    return this.#instrument(name, 'gauge');
  }
  withTags(): MetricMeter {
    return this;
  }

  /** Everything that was recorded under a name with at least these labels, in order. */
  values(name: string, labels: Labels = {}): number[] {
    return this.#recorded
      .filter((r) => r.name === name && Object.entries(labels).every(([k, v]) => r.labels[k] === v))
      .map((r) => r.value);
  }
  sum(name: string, labels: Labels = {}): number {
    return this.values(name, labels).reduce((all, value) => all + value, 0);
  }
  last(name: string, labels: Labels = {}): number | undefined {
    return this.values(name, labels).at(-1);
  }

  /** One object for every kind: each has the verb of its own. */
  #instrument<Kind extends 'counter' | 'histogram' | 'gauge'>(name: string, kind: Kind) {
    const record = (value: number, tags: MetricTags = {}) => {
      const labels = Object.fromEntries(Object.entries(tags).map(([k, v]) => [k, String(v)]));
      this.#recorded.push({ name, labels, value });
    };
    const instrument = {
      name,
      kind,
      valueType: 'int' as const,
      add: record,
      record,
      set: record,
      withTags: () => instrument,
    };
    return instrument;
  }
}
