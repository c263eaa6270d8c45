import { test } from 'vitest';
import { usePrivateServers } from '../support/fleet.ts';
import { surviveSilence } from '../support/half-open.ts';

const servers = usePrivateServers();

test('half-open connections to RabbitMQ are noticed also by the heartbeat that is usual', (context) =>
  surviveSilence(context, servers(), { of: 'RabbitMQ' }));
