import { test } from 'vitest';
import { usePrivateServers } from '../support/fleet.ts';
import { type Silence, surviveSilence } from '../support/half-open.ts';

/** RabbitMQ's connection is doubted after two silent seconds, instead of twenty. */
const CASES: Silence[] = [{ of: 'RabbitMQ', brokerQuery: '?heartbeat=1' }, { of: 'Redis' }];

const servers = usePrivateServers();

test.for(CASES)(
  'half-open connections to $of are noticed, submissions refused in time, and all is well again when the way is',
  (silence, context) => surviveSilence(context, servers(), silence),
);

test('half-open connections to RabbitMQ are noticed also by the heartbeat that is usual', (context) =>
  surviveSilence(context, servers(), { of: 'RabbitMQ' }));
