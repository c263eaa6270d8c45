import * as fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { ExecutionProvider } from '../../src/models/manifest.ts';
import { createInferencePool } from '../../workers/inference/inference-pool.ts';
import { Providers } from '../../workers/inference/onnx/execution-providers.ts';
import { openModelRepository } from '../../workers/repository/model-repository.ts';
import { modelsDir } from '../support/models-dir.ts';
import { identity } from '../support/onnx-models.ts';
import { tensor } from '../support/tensors.ts';
import { createTestLog } from '../support/test-log.ts';
import { startTestWorker } from '../support/worker.ts';

/** Of another platform: never there, whatever devices this machine has. */
const [ELSEWHERE, ELSEWHERE_TOO] = process.platform === 'linux' ? ['dml', 'coreml'] : ['tensorrt', 'tensorrt'];

const KNOWN = ['cpu', 'cuda', 'tensorrt', 'webgpu'];

test('those that are there are chosen, in the order in which they are wanted, and each is tried once', async () => {
  const provider: fc.Arbitrary<ExecutionProvider> = fc.record(
    { name: fc.constantFrom(...KNOWN, 'dml'), deviceId: fc.nat({ max: 1 }) },
    { requiredKeys: ['name'] },
  );
  const keyOf = ({ name, deviceId }: ExecutionProvider) => `${name}${deviceId === undefined ? '' : ` ${deviceId}`}`;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(provider, { minLength: 1, maxLength: 5 }), { maxLength: 5 }),
      fc.uniqueArray(provider, { selector: keyOf }),
      async (wishes, working) => {
        const works = new Set(working.map(keyOf));
        const tried: string[] = [];
        const providers = new Providers({
          known: KNOWN,
          async attempt(each) {
            tried.push(keyOf(each));
            if (!works.has(keyOf(each))) throw new Error('no such\n  device');
          },
        });
        for (const wanted of wishes) {
          const there = wanted.filter((each) => KNOWN.includes(each.name) && works.has(keyOf(each)));
          const choice = await providers.choose(wanted).catch((error: Error) => error.message);
          if (there.length === 0) expect(choice).toContain('executionProviders: none is available');
          else expect(choice).toMatchObject({ found: there });
          if (typeof choice !== 'string') expect(choice.missing).toHaveLength(wanted.length - there.length);
        }
        expect(new Set(tried).size).toBe(tried.length);
      },
    ),
  );
});

test('where none is there, it is said why not and what is', async () => {
  const attempt = async ({ name }: ExecutionProvider) => {
    if (name === 'cuda') throw new Error('Failed to load\n  shared library');
  };
  const providers = new Providers({ known: ['cpu', 'cuda', 'webgpu'], attempt });
  await expect(providers.choose([{ name: 'cuda' }, { name: 'dml' }])).rejects.toThrow(
    'executionProviders: none is available (cuda: Failed to load shared library; ' +
      'dml: unknown to this build of ONNX Runtime); expected one of cpu, webgpu',
  );
});

describe('a model', () => {
  test('whose first provider is not there runs on the next, and the log says so', async () => {
    const manifest = { executionProviders: [ELSEWHERE, { name: ELSEWHERE_TOO, deviceId: 1 }, 'cpu'] };
    const one = await startTestWorker({ models: { m: { onnx: identity('FP32'), manifest } } });
    const task = await one.predict('m', [tensor('x', 'FP32', [1, 2, 3, 4], [1, 4])]);
    expect(task).toMatchObject({ state: 'SUCCEEDED' });
    const [said] = one.log.lines('warn');
    expect(said).toMatchObject({
      message: 'execution provider is not available, the next is used',
      fields: { used: 'cpu', missing: [expect.stringContaining(`${ELSEWHERE}: `), expect.stringContaining('1: ')] },
    });
  });

  test.each<[string, unknown, string]>([
    ['no provider of which is there', [ELSEWHERE], `executionProviders: none is available (${ELSEWHERE}: `],
    [
      'with a provider that nobody knows',
      ['gpu', 'cpu'],
      'model.json: executionProviders.0: expected one of cpu, cuda,',
    ],
    [
      'with a device that is none',
      [{ name: 'cuda', deviceId: -1 }],
      'model.json: executionProviders.0.deviceId: Too small',
    ],
    ['without any', [], 'model.json: executionProviders: '],
  ])('%s is left out, and the fault says what there is', async (_, executionProviders, fault) => {
    const log = createTestLog();
    const pool = createInferencePool({ slots: 1, log });
    onTestFinished(() => pool.close());
    const folder = await modelsDir({
      bad: { onnx: identity('FP32'), manifest: { executionProviders } },
      good: { onnx: identity('FP32') },
    });
    const repository = await openModelRepository({ modelsDir: folder, pool, log });
    onTestFinished(() => repository.close());
    expect(repository.models().map(({ served }) => served.name)).toEqual(['good']);
    const faults = repository.faults().map(({ message }) => message);
    expect(faults).toEqual([expect.stringContaining(fault)]);
    if (fault.includes('none is available')) expect(faults[0]).toMatch(/model\.json: .*; expected one of cpu/);
  });
});
