import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { Client } from '../support/client.ts';
import { describeService } from '../support/describe-service.ts';
import { writeModel } from '../support/model-files.ts';
import { onnxModel, value } from '../support/onnx.ts';
import { shifted } from '../support/onnx-models.ts';
import { openService } from '../support/service.ts';

const modelsDir = mkdtempSync(join(tmpdir(), 'foretell-changed-'));
afterAll(() => rmSync(modelsDir, { recursive: true }));

/** `y = x` and `z = x`, FP32 `[batch, 2]`. */
const TWICE = onnxModel({
  inputs: [value('x', 'FP32', ['batch', 2])],
  outputs: [value('y', 'FP32', ['batch', 2]), value('z', 'FP32', ['batch', 2])],
  nodes: ['y', 'z'].map((output) => ({ op: 'Identity', inputs: ['x'], outputs: [output] })),
});

/** A name that no other test has, as a field and as the beginning of its types. */
function newName() {
  const name = `m${randomUUID().slice(0, 8)}`;
  return { name, typename: `${name.charAt(0).toUpperCase()}${name.slice(1)}Prediction` };
}

async function served(client: Client, name: string, selection = 'name'): Promise<Record<string, unknown> | null> {
  const query = `query ($name: String!) { model(name: $name) { ${selection} } }`;
  return (await client.get<{ model: Record<string, unknown> | null }>(query, { name })).model;
}

const SUBMIT = `mutation ($input: PredictionInput!) {
  submitPrediction(input: $input, options: { waitMs: 20000 }) { id state model { id } } }`;

async function submit(client: Client, input: object): Promise<string> {
  const { submitPrediction } = await client.get<{ submitPrediction: { id: string; state: string } }>(SUBMIT, { input });
  expect(submitPrediction.state).toBe('SUCCEEDED');
  return submitPrediction.id;
}

const resultOf = (selection: string) => `query ($id: ID!) { result(id: $id) { prediction { ${selection} } } }`;
const POLL = { timeout: 20_000, interval: 50 };

describeService('models that change', { modelsDir }, (service) => {
  test('a removed model keeps its types: documents that name it are valid, its tasks are read as before', async () => {
    const { client, servers } = service();
    const [kept, gone] = [newName(), newName()];
    for (const { name } of [kept, gone]) await writeModel(modelsDir, name, { onnx: shifted(1) });
    for (const { name } of [kept, gone]) await expect.poll(() => served(client, name), POLL).toEqual({ name });
    const ids = [];
    for (const { name } of [kept, gone]) ids.push(await submit(client, { [name]: { x: [1] } }));
    const query = `query ($ids: [ID!]!) { results(ids: $ids) { model { name } prediction {
      ... on ${kept.typename} { kept: y } ... on ${gone.typename} { gone: y } } } }`;
    const before = await client.get(query, { ids });
    expect(before).toMatchObject({ results: [{ prediction: { kept: [2] } }, { prediction: { gone: [2] } }] });

    await rm(join(modelsDir, gone.name), { recursive: true });
    await expect.poll(() => served(client, gone.name), POLL).toBeNull();
    expect(await client.get(query, { ids })).toEqual(before);
    const { models } = await client.get<{ models: { name: string }[] }>('{ models { name } }');
    expect(models.map(({ name }) => name)).not.toContain(gone.name);
    // By variables and spelled out, typed and by tensors: the document is valid, and there is no such model.
    const typed = `mutation ($input: ${gone.typename.replace('Prediction', 'Input')}!) { submitPrediction(input: { ${gone.name}: $input }) { id } }`;
    const tensors = { model: gone.name, inputs: [] };
    for (const [document, variables, path] of [
      [SUBMIT, { input: { [gone.name]: { x: [1] } } }, ['input', gone.name]],
      [typed, { input: { x: [1] } }, ['input', gone.name]],
      [SUBMIT, { input: { tensors } }, ['input', 'tensors', 'model']],
    ] as const) {
      const { errors } = await client.ask(document, variables);
      expect(errors).toMatchObject([{ extensions: { code: 'UNKNOWN_MODEL', issues: [{ path }] } }]);
    }

    // An API that starts later knows it, too; embedded, nothing outlives the process.
    if (servers.storeUrl !== 'memory:') {
      const late = await openService({ servers, withWorker: false });
      await expect.poll(() => late.registry.isReady(), POLL).toBe(true);
      expect(await late.client.get(query, { ids })).toEqual(before);
      await late.close();
    }

    await writeModel(modelsDir, gone.name, { onnx: shifted(2) });
    await expect.poll(() => served(client, gone.name), POLL).toEqual({ name: gone.name });
    ids.push(await submit(client, { [gone.name]: { x: [1] } }));
    expect(await client.get(query, { ids: ids.slice(1) })).toMatchObject({
      results: [{ prediction: { gone: [2] } }, { prediction: { gone: [3] } }],
    });
  });

  test('after a change of its outputs an old document fails with an error that names the field, and old tasks show tensors', async () => {
    const { client } = service();
    const { name, typename } = newName();
    const manifest = (fields: string[]) => ({ outputs: { y: { fields } } });
    await writeModel(modelsDir, name, { onnx: TWICE, manifest: manifest(['a', 'b']) });
    await expect.poll(() => served(client, name), POLL).toEqual({ name });
    const id = await submit(client, { [name]: { x: [1, 2] } });
    const before = resultOf(`... on ${typename} { y { a b } z }`);
    expect(await client.get(before, { id })).toEqual({ result: { prediction: { y: { a: 1, b: 2 }, z: [1, 2] } } });
    const was = await served(client, name, 'id');

    await writeModel(modelsDir, name, { onnx: TWICE, manifest: manifest(['a', 'c']) });
    const after = resultOf(`... on ${typename} { y { a c } z }`);
    await expect.poll(async () => (await client.ask(after, { id: 'none' })).errors, POLL).toBeUndefined();
    expect((await client.ask(before, { id })).errors).toMatchObject([
      { message: expect.stringContaining('"b"'), extensions: { code: 'GRAPHQL_VALIDATION_FAILED' } },
    ]);
    // What is still valid is answered with a word, not with nothing.
    for (const valid of [
      after,
      resultOf(`... on ${typename} { z }`),
      resultOf(`... on ${typename} { __typename z }`),
    ]) {
      const { data, errors } = await client.ask(valid, { id });
      expect(data).toEqual({ result: { prediction: null } });
      expect(errors).toMatchObject([{ path: ['result', 'prediction'], extensions: { code: 'BAD_USER_INPUT' } }]);
      expect(errors?.[0]?.message).toMatch(/y.*TensorsPrediction/);
    }
    // What asks for tensors, for the type, or for other models alone has its answer.
    const tensors = '... on TensorsPrediction { outputs { name floats } }';
    const y = { name: 'y', floats: [1, 2] };
    for (const [selection, prediction] of [
      [
        `__typename ... on ${typename} { z } ${tensors}`,
        { __typename: 'TensorsPrediction', outputs: [y, { ...y, name: 'z' }] },
      ],
      [`... on Prediction { ${tensors} } ... on ${typename} { z }`, { outputs: [y, { ...y, name: 'z' }] }],
      [`__typename ... on ${typename} { z }`, { __typename: 'TensorsPrediction' }],
      [`... on ${typename} @skip(if: true) { z }`, {}],
    ] as const) {
      expect(await client.ask(resultOf(selection), { id })).toEqual({ data: { result: { prediction } } });
    }
    const young = await submit(client, { [name]: { x: [3, 4] } });
    expect(await client.get(after, { id: young })).toEqual({
      result: { prediction: { y: { a: 3, c: 4 }, z: [3, 4] } },
    });
    // Two ids, so that a cache keeps both.
    const modelOf = 'query ($id: ID!) { result(id: $id) { model { id } } }';
    expect(await client.get(modelOf, { id })).toEqual({ result: { model: was } });
    expect(await client.get(modelOf, { id: young })).toEqual({ result: { model: await served(client, name, 'id') } });
    expect(await served(client, name, 'id')).not.toEqual(was);
  });

  test('a model that was never served shows the version that lies there', async () => {
    const { client } = service();
    const [broken, without] = [newName(), newName()];
    await writeModel(modelsDir, broken.name, { onnx: { 2: shifted(1), 10: shifted(1) }, manifest: '{' });
    await writeModel(modelsDir, without.name, { onnx: {}, manifest: {} });
    const said = 'id version fault';
    const { id, ...shown } = (await expect
      .poll(() => served(client, broken.name, said), POLL)
      .toMatchObject({ version: '10', fault: expect.stringContaining('expected JSON') })
      .then(() => served(client, broken.name, said))) as Record<string, unknown>;
    expect(shown).toMatchObject({ version: '10' });
    await expect.poll(() => served(client, without.name, 'version fault'), POLL).toMatchObject({ version: 'none' });
    const { models } = await client.get<{ models: { id: string; name: string; version: string }[] }>(
      '{ models { id name version } }',
    );
    expect(models).toContainEqual({ id, name: broken.name, version: '10' });
    expect(models.map(({ version }) => version)).not.toContain('');
    expect(new Set(models.map((model) => model.id)).size).toBe(models.length);
    for (const { name } of [broken, without]) await rm(join(modelsDir, name), { recursive: true });
  });
});
