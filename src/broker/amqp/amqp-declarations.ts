import type { Log } from '../../process/log.ts';
import type { Link } from './amqp-connection.ts';
import { declareQueue, mendQueue, TopologyConflict } from './amqp-topology.ts';

/** A queue whose declaration was refused is not declared again for so long. */
const REFUSED_PAUSE_MS = 5_000;

/** Of each queue that is published to, that it was declared. */
export interface Declarations {
  /** Declares a queue once; whoever publishes to it meanwhile waits for the same declaration. */
  declare(queue: string): Promise<void>;
  /** Nothing leads to the queue in spite of that declaration: makes it reachable, once for all that come to say so. */
  mend(queue: string, declared: Promise<void>): void;
}

export function createDeclarations(link: Link, log: Log): Declarations {
  const declarations = new Map<string, { done: Promise<void>; repeatAt: number }>();

  function keep(queue: string, done: Promise<void>): Promise<void> {
    const declaration = { done, repeatAt: Number.POSITIVE_INFINITY };
    declarations.set(queue, declaration);
    done.catch((error) => {
      declaration.repeatAt = performance.now() + REFUSED_PAUSE_MS;
      if (error instanceof TopologyConflict) log.error({ queue, err: error }, 'queue conflicts');
    });
    return done;
  }

  return {
    declare: (queue) => {
      const known = declarations.get(queue);
      return known && performance.now() < known.repeatAt ? known.done : keep(queue, declareQueue(link, queue));
    },
    mend: (queue, declared) => {
      if (declarations.get(queue)?.done === declared) void keep(queue, mendQueue(link, queue));
    },
  };
}
