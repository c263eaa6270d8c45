import { access, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, type TestContext, test } from 'vitest';
import { predictTyped } from '../support/predictions.ts';
import { runProgram } from '../support/processes.ts';
import { startService } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

// Debian's own Python: its packages are of no use to another one that comes first in the PATH.
const PYTHON = '/usr/bin/python3';

interface Row {
  input: Record<string, number | string>;
  prediction: Record<string, number>;
}

/** Skips where Debian's packages are missing: PyTorch alone is larger than all else that tests install. */
async function needs(context: TestContext, modules: string): Promise<void> {
  const exists = await access(PYTHON).then(
    () => true,
    () => false,
  );
  const imported = exists && (await runProgram(PYTHON, ['-c', `import ${modules}`])).code === 0;
  if (!imported) context.skip(`${PYTHON} cannot import ${modules}`);
}

test.for([
  ['PyTorch', 'examples/pytorch/train.py', 'torch, onnx', 'moons'],
  ['scikit-learn', 'examples/scikit-learn/train.py', 'sklearn, pandas, onnx', 'churn'],
] as const)(
  'the example of %s gives a model that predicts the same, in runs that tasks share',
  async ([, script, modules, model], context) => {
    await needs(context, modules);
    const modelsDir = join(await temporaryDirectory(), 'models');
    await mkdir(modelsDir);
    const { code, stdout, stderr } = await runProgram(PYTHON, [script, modelsDir]);
    expect(code, stderr).toBe(0);
    const rows: Row[] = JSON.parse(stdout);
    expect(rows.length).toBeGreaterThan(10);

    const service = await startService({ servers: { brokerUrl: 'memory:', storeUrl: 'memory:' }, modelsDir });
    const fields = Object.keys(rows[0]?.prediction ?? {});
    const inputs = rows.map(({ input }) => input);
    const answers = await predictTyped<Record<string, number>>(service.client, model, inputs, fields.join(' '));
    for (const [i, { prediction }] of rows.entries()) {
      for (const field of fields) expect(answers[i]?.prediction[field]).toBeCloseTo(prediction[field] ?? Number.NaN, 4);
    }
    expect(Math.max(...answers.map(({ batchSize }) => batchSize ?? 0))).toBeGreaterThan(1);
  },
);
