import { GraphQLError } from 'graphql';
import type { ErrorCode } from '../../../errors.ts';
import { isRecord } from '../../../models/input-issues.ts';
import type { OperationParams } from './operation.ts';

const CODE: ErrorCode = 'PERSISTED_QUERY_NOT_SUPPORTED';

/**
 * Tells a client that sends a query's hash in place of its text to send the text. Clients compare the message or the code, and some look at neither unless the status is
 * 200, so all three are as Apollo Server has them. Beside a text the hash is ignored.
 */
export function refusePersistedQuery({ query, extensions }: OperationParams): void {
  if (query || !isRecord(extensions) || extensions['persistedQuery'] == null) return;
  throw new GraphQLError('PersistedQueryNotSupported', { extensions: { code: CODE, http: { status: 200 } } });
}
