import { randomBytes } from 'node:crypto';
import { type Rabbitmq, startRabbitmq } from './rabbitmq.ts';

/** A queue as its cluster sees it; members are named as nodes are. */
export interface ClusterQueue {
  name: string;
  leader: string;
  members: string[];
  online: string[];
}

/** Some RabbitMQ nodes of one's own that keep the same queues. */
export interface RabbitmqCluster {
  readonly nodes: readonly Rabbitmq[];
  /** Those that run at present. */
  living(): Rabbitmq[];
  /** SIGKILL. */
  kill(node: Rabbitmq): Promise<void>;
  /** Starts one again, and waits until every queue has it back. */
  restart(node: Rabbitmq): Promise<void>;
  /** Those whose name begins so. */
  queues(prefix: string): Promise<ClusterQueue[]>;
  close(): Promise<void>;
}

export async function startRabbitmqCluster(size: number): Promise<RabbitmqCluster> {
  const cookie = randomBytes(16).toString('hex');
  const nodes = await Promise.all(Array.from({ length: size }, () => startRabbitmq({ cookie })));
  const [first, ...others] = nodes;
  if (!first) throw new Error('expected a cluster to have nodes');
  // One after another: two that join at once may each wait for the other.
  for (const { ctl } of others) {
    await ctl('stop_app');
    await ctl('reset');
    await ctl('join_cluster', first.name);
    await ctl('start_app');
  }
  const dead = new Set<Rabbitmq>();
  const living = () => nodes.filter((node) => !dead.has(node));

  async function queues(prefix: string): Promise<ClusterQueue[]> {
    const columns = ['name', 'leader', 'members', 'online'];
    const [node] = living();
    const answer = await node?.ctl('list_queues', '--silent', '--formatter', 'json', ...columns);
    const listed: ClusterQueue[] = JSON.parse(answer ?? '[]');
    return listed.filter(({ name }) => name.startsWith(prefix));
  }

  return {
    nodes,
    living,
    async kill(node) {
      await node.flushQueueNames();
      dead.add(node);
      await node.kill();
    },
    async restart(node) {
      await node.start();
      while (!(await queues('')).every(({ online }) => online.includes(node.name)));
      dead.delete(node);
    },
    queues,
    close: async () => void (await Promise.all(nodes.map((node) => node.close()))),
  };
}
