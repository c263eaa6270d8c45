import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { fingerprintOf, type ServedModel } from '../../src/models/served-model.ts';
import type { ModelRegistry } from '../../src/registry/registry.ts';

/** Opens a registry that nobody else uses, and closes it when the test is over. */
export type OpenRegistry = () => Promise<ModelRegistry>;

export function newModel(fields: Partial<ServedModel> = {}): ServedModel {
  return {
    name: `iris-${randomUUID()}`,
    version: '1',
    digest: 'd1',
    signature: {
      inputs: [{ name: 'features', datatype: 'FP32', shape: [null, 4] }],
      outputs: [{ name: 'label', datatype: 'INT64', shape: [null] }],
      batched: true,
    },
    names: { inputs: { features: { fields: ['a', 'b', 'c', 'd'] } }, outputs: { label: { labels: ['x', 'y'] } } },
    maxBatch: 64,
    maxWaiting: 100_000,
    example: { a: 1, b: 2, c: 3, d: 4 },
    ...fields,
  };
}

/** What every registry promises to the process that registers; what other processes see is in `registry.test.ts`. */
export function registryContract(name: string, open: OpenRegistry): void {
  describe(`model registry: ${name}`, () => {
    test('an registered model is listed and found, whole', async () => {
      const registry = await open();
      expect(registry.list()).toEqual([]);
      const model = newModel({ description: 'Tells "irises" apart, ünï' });
      await registry.register([model]);
      expect(registry.isReady()).toBe(true);
      expect(registry.list()).toEqual([model]);
      const [fingerprint = ''] = registry.list().map(fingerprintOf);
      expect(await registry.find(fingerprint)).toEqual(model);
      expect(await registry.find('unknown')).toBeUndefined();
    });

    test('models are listed by name, and of one name the newest version first', async () => {
      const registry = await open();
      const [a1, a2, a10, b] = [
        newModel({ name: 'a', version: '1' }),
        newModel({ name: 'a', version: '2' }),
        newModel({ name: 'a', version: '10' }),
        newModel({ name: 'b' }),
      ];
      await registry.register([a2, b, a10, a1]);
      expect(registry.list().map((model) => `${model.name} ${model.version}`)).toEqual(['a 10', 'a 2', 'a 1', 'b 1']);
    });

    test('a replaced registration is found by its fingerprint still, but listed no more', async () => {
      const registry = await open();
      const before = newModel();
      const after = newModel({ name: before.name, digest: 'd2' });
      await registry.register([before]);
      await registry.register([after]);
      expect(registry.list()).toEqual([after]);
      expect(await registry.find(fingerprintOf(before))).toEqual(before);
      expect(await registry.find(fingerprintOf(after))).toEqual(after);
    });

    test('the order of its keys gives a model no other fingerprint', async () => {
      const registry = await open();
      const model = newModel();
      const { name, version, ...rest } = model;
      await registry.register([{ ...rest, version, name }]);
      expect(registry.list().map(fingerprintOf)).toEqual([fingerprintOf(model)]);
      expect(await registry.find(fingerprintOf(model))).toEqual(model);
    });

    test('watchers are called when the list changes, and only then', async () => {
      const registry = await open();
      const lists: unknown[] = [];
      const unwatch = registry.watch(() => lists.push(registry.list()));
      const [first, second] = [newModel({ name: 'a' }), newModel({ name: 'b' })];
      await registry.register([first]);
      await registry.register([first]);
      await registry.register([first, second]);
      expect(lists).toEqual([[first], [first, second]]);
      unwatch();
      await registry.register([first, second, newModel({ name: 'c' })]);
      expect(lists).toHaveLength(2);
    });

    test('a watcher that throws keeps neither the others nor the registration from being heard', async () => {
      const registry = await open();
      let calls = 0;
      registry.watch(() => {
        throw new Error('a bug of the watcher');
      });
      registry.watch(() => {
        calls += 1;
      });
      await registry.register([newModel()]);
      expect(calls).toBe(1);
    });

    test('what is registered no more is known no more, but found by its fingerprint', async () => {
      const registry = await open();
      const [a, b] = [newModel({ name: 'a' }), newModel({ name: 'b' })];
      await registry.register([a, b]);
      expect([a, b].map((model) => registry.workers(fingerprintOf(model)))).toEqual([1, 1]);
      await registry.register([b]);
      expect(registry.list()).toEqual([b]);
      expect([a, b].map((model) => registry.workers(fingerprintOf(model)))).toEqual([0, 1]);
      expect(await registry.find(fingerprintOf(a))).toEqual(a);
      await registry.register([a]);
      expect(registry.list()).toEqual([a]);
    });

    test('a name that is registered no more is withdrawn with the versions that it had last, until it is registered again', async () => {
      const registry = await open();
      const [a1, a2, b] = [
        newModel({ name: 'a' }),
        newModel({ name: 'a', version: '2', digest: 'd2' }),
        newModel({ name: 'b' }),
      ];
      let changes = 0;
      registry.watch(() => {
        changes += 1;
      });
      await registry.register([a1, a2, b]);
      expect(registry.withdrawn()).toEqual([]);
      await registry.register([b]);
      expect(registry.list()).toEqual([b]);
      expect(registry.withdrawn()).toEqual([a2, a1]);
      expect(changes).toBe(2);
      // A version that has others beside it is not what its name was last.
      await registry.register([a1, b]);
      expect(registry.withdrawn()).toEqual([]);
      await registry.register([]);
      expect(registry.withdrawn()).toEqual(expect.arrayContaining([a1, b]));
    });

    test('faults are told until they are told no more', async () => {
      const registry = await open();
      const faults = [
        { name: 'a', version: '2', message: 'broken' },
        { name: 'b', message: 'expected JSON' },
      ];
      await registry.register([], faults);
      expect(registry.faults()).toEqual(faults);
      await registry.register([]);
      expect(registry.faults()).toEqual([]);
    });

    test('a dependent finding stays, and ends sharing alone where an independent one came before', async () => {
      const registry = await open();
      const [key, other] = [randomUUID(), randomUUID()];
      expect(registry.sharing(key)).toBeUndefined();
      const unknown = { finding: 'unknown', reason: 'no probe', probes: 'a' } as const;
      const dependent = { finding: 'dependent', reason: 'output "y" differs' } as const;
      expect(await registry.recordSharing(key, unknown)).toEqual(unknown);
      expect(await registry.recordSharing(key, { finding: 'independent' })).toEqual({ finding: 'independent' });
      expect(await registry.recordSharing(key, unknown)).toEqual({ finding: 'independent' });
      const ended = { ...dependent, inUse: true };
      expect(await registry.recordSharing(key, dependent)).toEqual(ended);
      for (const later of [{ finding: 'independent' }, { finding: 'dependent' }] as const) {
        expect(await registry.recordSharing(key, later)).toEqual(ended);
      }
      expect(registry.sharing(key)).toEqual(ended);
      expect(await registry.findSharing(key)).toEqual(ended);
      expect(await registry.recordSharing(other, dependent)).toEqual(dependent);
    });

    test('watchers are called when a finding changes, and only then', async () => {
      const registry = await open();
      const key = randomUUID();
      const seen: unknown[] = [];
      registry.watch(() => seen.push(registry.sharing(key)));
      await registry.recordSharing(key, { finding: 'independent' });
      await registry.recordSharing(key, { finding: 'independent' });
      await registry.recordSharing(key, { finding: 'dependent' });
      expect(seen).toEqual([{ finding: 'independent' }, { finding: 'dependent', inUse: true }]);
    });

    test('a model that is none is refused', async () => {
      const registry = await open();
      await expect(registry.register([newModel({ maxBatch: 0 })])).rejects.toThrow();
      expect(registry.list()).toEqual([]);
    });

    test('a closed registry is not ready and registers nothing', async () => {
      const registry = await open();
      await registry.register([newModel()]);
      await registry.close();
      expect(registry.isReady()).toBe(false);
      await expect(registry.register([])).rejects.toThrow('closed');
    });
  });
}
