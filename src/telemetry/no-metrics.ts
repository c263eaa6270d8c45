import type { Metrics } from './metrics.ts';

/** Counts nothing: for what runs outside of a process that is scraped. */
export const NO_METRICS: Metrics = {
  accepted: () => {},
  refused: () => {},
  begun: () => {},
  ran: () => {},
  ended: () => {},
  retried: () => {},
  returned: () => {},
  deadLettered: () => {},
  duplicateDropped: () => {},
  sharingChecked: () => {},
  sharingEnded: () => {},
  reconnected: () => {},
  know: () => {},
  observe: () => {},
  exposition: async () => '',
  contentType: 'text/plain',
};
