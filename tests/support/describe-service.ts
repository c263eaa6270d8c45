import { afterAll, beforeAll, describe } from 'vitest';
import { openService, PAIRS, type Service, type ServiceOptions, useServers } from './service.ts';

/**
 * Runs the same tests embedded and on RabbitMQ and Redis: what a client can see must be the same. Each pair has one service,
 * which the tests are given as a function, since it exists only once they run; a listener left behind fails them.
 */
export function describeService(
  what: string,
  options: Omit<ServiceOptions, 'servers'>,
  tests: (service: () => Service) => void,
): void {
  describe.each(PAIRS)(`${what} (%s)`, (pair) => {
    const servers = useServers(pair);
    let service: Service | undefined;
    beforeAll(async () => {
      service = await openService({ ...options, servers });
    });
    afterAll(async () => {
      const left = service?.store.watching() ?? 0;
      await service?.close();
      if (left > 0) throw new Error(`${left} listeners were left behind`);
    });
    tests(() => {
      if (!service) throw new Error('the service is not open yet');
      return service;
    });
  });
}
