import type { Predictions } from '../../src/api/predictions/predictions.ts';
import type { ServedModel } from '../../src/models/served-model.ts';
import type { Ledger } from './ledger.ts';
import type { Machine, Setting } from './machine.ts';

/** Every client's. */
export const OWNER = 'alice';

/** An API process that clients may talk to. */
export interface ApiMachine {
  machine: Machine;
  predictions: Predictions;
  watching: () => number;
}

/** What clients are given of their world. */
export interface ClientOptions {
  setting: Setting;
  /** One that is there at this moment; waits while none is. */
  anApi: () => Promise<ApiMachine>;
  model: ServedModel;
  ledger: Ledger;
}
