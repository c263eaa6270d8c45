import { declaredVariables } from './declared-variables.ts';
import type { Operation, Step } from './operation.ts';
import { refusePersistedQuery } from './persisted-queries.ts';
import { misplacedFiles } from './uploads.ts';
import { variableFault } from './variable-issues.ts';

/** In this order, around what `createOperations` does: parse, validate, execute, mask errors, write. */
export const STEPS: readonly Step[] = [
  { onParams: refusePersistedQuery },
  // Files are known by the variables that they came in, which are replaced after it.
  { onOperation: misplacedFiles },
  { onOperation: keepDeclaredVariables },
  { onOperation: variableFault },
];

function keepDeclaredVariables(operation: Operation): undefined {
  operation.variableValues = declaredVariables(operation);
}
