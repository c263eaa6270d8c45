import { Counter, Gauge, type Registry } from 'prom-client';

/** A bound as it stands: what is used of it, the most of it, and how often an owner was refused. */
export interface ObservedBound {
  name: string;
  bound: Record<'used' | 'max' | 'refusals', number>;
}

/** Has a registry tell of the bounds at each scrape. */
export function observeBounds(registry: Registry, bounds: () => readonly ObservedBound[]): void {
  const series = (
    Kind: typeof Gauge | typeof Counter,
    name: string,
    help: string,
    figure: keyof ObservedBound['bound'],
  ) => {
    registry.removeSingleMetric(name);
    const collect = () => {
      metric.reset();
      for (const one of bounds()) metric.inc({ bound: one.name }, one.bound[figure]);
    };
    const metric = new Kind({ name, help, labelNames: ['bound'], registers: [registry], collect });
  };
  series(Gauge, 'foretell_bound_used', 'What clients hold of each bound of this process.', 'used');
  series(Gauge, 'foretell_bound_limit', 'The most that all clients may hold of each.', 'max');
  series(Counter, 'foretell_bound_refusals_total', 'Clients refused because a bound was full.', 'refusals');
}
