// One reading of the engine's metrics, in Prometheus' text form.

export class Metrics {
  #samples = [];

  constructor(text) {
    for (const line of text.split('\n')) {
      const sample = line.match(/^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/);
      if (!sample) continue;
      const labels = {};
      for (const [, name, value] of (sample[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[name] = value;
      this.#samples.push({ name: sample[1], labels, value: Number(sample[3]) });
    }
  }

  /** The samples of a metric whose labels include `labels`. */
  of(name, labels = {}) {
    return this.#samples.filter(
      (sample) => sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
    );
  }

  sum(name, labels = {}) {
    return this.of(name, labels).reduce((total, sample) => total + sample.value, 0);
  }

  /** How many shards show a value above 0. */
  shardsWith(name, labels = {}) {
    const shards = new Set();
    for (const sample of this.of(name, labels)) if (sample.value > 0) shards.add(sample.labels.shard);
    return shards.size;
  }
}
