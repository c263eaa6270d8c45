import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { elementCount, type Tensor } from '../../src/tensor/tensor.ts';
import { elementsOf } from '../../src/tensor/tensor-values.ts';
import { requireFiles } from '../support/binaries.ts';
import type { DirectAnswer, DirectRequest } from './direct-run.ts';
import { readTensorProto } from './tensor-proto.ts';

/** Where Debian's libonnx-testdata puts ONNX's own backend tests. */
const DIRECTORY = '/usr/share/libonnx-testdata/data/node';

/** By how much a number may differ: absolutely, and by how much of itself. */
export interface Tolerance {
  absolute: number;
  relative: number;
}

/** ONNX's own. */
const TOLERANCE: Tolerance = { absolute: 1e-7, relative: 1e-3 };

export interface OnnxTest {
  name: string;
  file: string;
  inputs: Tensor[];
  expected: Tensor[];
}

/** A test that onnxruntime-node passes when it is called directly, with what it gave. */
export interface PassedTest extends OnnxTest {
  outputs: Tensor[];
}

export interface DirectRuns {
  passed: PassedTest[];
  /** Why the others are left out: what is no tensor, what onnxruntime-node refuses, or gives otherwise. */
  leftOut: Map<string, string>;
}

/** Runs every test of the group `node` by onnxruntime-node alone. */
export async function runDirectly(): Promise<DirectRuns> {
  await requireFiles(DIRECTORY, 'libonnx-testdata');
  const passed: PassedTest[] = [];
  const leftOut = new Map<string, string>();
  const runner = new DirectRunner();
  for (const name of (await readdir(DIRECTORY)).sort()) {
    try {
      const test = await readTest(name);
      const answer = await runner.run(test);
      if ('error' in answer) throw new Error(`onnxruntime-node: ${answer.error}`);
      const outputs = answer.outputs.filter((output) => output !== null);
      if (outputs.length < answer.outputs.length) throw new Error('no tensor');
      if (!test.expected.every((tensor, i) => isClose(tensor, outputs[i])))
        throw new Error('onnxruntime-node gives otherwise');
      passed.push({ ...test, outputs });
    } catch (error) {
      leftOut.set(name, error instanceof Error ? error.message : String(error));
    }
  }
  runner.close();
  return { passed, leftOut };
}

async function readTest(name: string): Promise<OnnxTest> {
  const data = join(DIRECTORY, name, 'test_data_set_0');
  const files = await readdir(data);
  const read = async (kind: string) => {
    const count = files.filter((file) => file.startsWith(`${kind}_`)).length;
    const numbered = Array.from({ length: count }, (_, i) => `${kind}_${i}`);
    return Promise.all(numbered.map(async (each) => readTensorProto(await readFile(join(data, `${each}.pb`)), each)));
  };
  return {
    name,
    file: join(DIRECTORY, name, 'model.onnx'),
    inputs: await read('input'),
    expected: await read('output'),
  };
}

/** One process for all tests, and another where a test takes it along. */
class DirectRunner {
  #child: ChildProcess | undefined;

  async run({ file, inputs }: OnnxTest): Promise<DirectAnswer> {
    this.#child ??= fork(new URL('direct-run.ts', import.meta.url), { serialization: 'advanced', execArgv: [] });
    const child = this.#child;
    const answered = new AbortController();
    const { signal } = answered;
    const request: DirectRequest = { file, inputs };
    child.send(request);
    const crash = once(child, 'exit', { signal }).then(
      (): [DirectAnswer] => {
        this.#child = undefined;
        return [{ error: 'the process died' }];
      },
      () => undefined,
    );
    const message = once(child, 'message', { signal }).catch(() => undefined);
    const [answer] = (await Promise.race([message, crash])) as [DirectAnswer];
    answered.abort();
    return answer;
  }

  close(): void {
    this.#child?.kill();
  }
}

export function isClose(expected: Tensor, found: Tensor | undefined, tolerance = TOLERANCE): boolean {
  if (!found || expected.datatype !== found.datatype || expected.shape.join() !== found.shape.join()) return false;
  const [a, b] = [elementsOf(expected), elementsOf(found)];
  return a.length === elementCount(expected.shape) && a.every((element, i) => isNear(element, b[i], tolerance));
}

function isNear(a: unknown, b: unknown, { absolute, relative }: Tolerance): boolean {
  if (typeof a !== 'number' || typeof b !== 'number') return a === b;
  return Object.is(a, b) || a === b || Math.abs(a - b) <= absolute + relative * Math.abs(a);
}
