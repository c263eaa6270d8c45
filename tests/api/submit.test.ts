import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { TaskAnswer } from '../support/client.ts';
import { describeService } from '../support/describe-service.ts';
import { FLOWER, IRIS } from '../support/models.ts';

const WAIT = { waitMs: 30_000 };
const flower = (petalLengthCm: number) => ({ iris: { ...FLOWER, petalLengthCm } });
const manifest = (name: string) => JSON.parse(readFileSync(`models/${name}/model.json`, 'utf8'));

describeService('submitting', {}, (service) => {
  test('synchronously answers with the prediction and how it ran', async () => {
    const task = await service().client.submit({ iris: FLOWER }, WAIT);
    expect(task).toMatchObject({ state: 'SUCCEEDED', attempts: 1, error: null, batchSize: 1 });
    expect(task.prediction).toMatchObject({ __typename: 'IrisPrediction', label: 'setosa' });
    const probabilities = Object.values(task.prediction?.['probabilities'] ?? {}).map(Number);
    expect(probabilities.reduce((sum, probability) => sum + probability, 0)).toBeCloseTo(1, 5);
    expect(task.runMs).toBeGreaterThan(0);
    expect(task.queuedMs).toBeGreaterThanOrEqual(0);
    const times = [task.submittedAt, task.startedAt, task.completedAt].map((time) => Date.parse(time ?? ''));
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  });

  test('answers at once with an id, by which the result is found later', async () => {
    const { client } = service();
    const submitted = await client.submit({ iris: FLOWER });
    expect(submitted).toMatchObject({ state: 'QUEUED', attempts: 0, prediction: null, startedAt: null });
    const [completed] = await client.completed(submitted.id);
    expect(completed).toMatchObject({ id: submitted.id, state: 'SUCCEEDED' });
    expect(await client.result(submitted.id)).toEqual(completed);
  });

  test.each([
    ['digits', /^\d$/],
    ['spam', /^(ham|spam)$/],
  ])('takes the example of %s', async (name, label) => {
    const type = `${name[0]?.toUpperCase()}${name.slice(1)}Prediction`;
    const { submitPrediction } = await service().client.get<{ submitPrediction: TaskAnswer }>(
      `mutation ($input: PredictionInput!) { submitPrediction(input: $input, options: { waitMs: 30000 }) {
        state prediction { ... on ${type} { label } } } }`,
      { input: { [name]: manifest(name).example } },
    );
    expect(submitPrediction).toMatchObject({ state: 'SUCCEEDED', prediction: { label: expect.stringMatching(label) } });
  });

  test('a thousand in one call completes a thousand, each with its own answer', async () => {
    const { client } = service();
    const lengths = Array.from({ length: 1_000 }, (_, i) => 1 + (i % 60) / 10);
    const tasks = await client.submitAll(lengths.map(flower));
    expect(new Set(tasks.map(({ id }) => id)).size).toBe(1_000);
    const events = await client.completions(tasks.map(({ id }) => id));
    expect(events).toHaveLength(1_000);
    const labels = new Map(events.map(({ id, prediction }) => [id, prediction?.['label']]));
    const alone = await Promise.all([1, 4, 6.9].map((length) => client.submit(flower(length), WAIT)));
    for (const [i, length] of [1, 4, 6.9].entries()) {
      const same = tasks[lengths.indexOf(length)];
      expect(labels.get(same?.id ?? '')).toBe(alone[i]?.prediction?.['label']);
    }
    const sizes = events.map(({ batchSize }) => batchSize ?? 0);
    expect(sizes.reduce((sum, size) => sum + size, 0) / sizes.length).toBeGreaterThan(8);
  });

  test('waiting for many answers when all are done', async () => {
    const tasks = await service().client.submitAll([flower(1), flower(5)], WAIT);
    expect(tasks.map(({ state }) => state)).toEqual(['SUCCEEDED', 'SUCCEEDED']);
    expect(await service().client.submitAll([])).toEqual([]);
  });

  test('results come in the order asked, null for what is unknown', async () => {
    const { client } = service();
    const [a, b] = await client.submitAll([flower(1), flower(2)], WAIT);
    const { results } = await client.get<{ results: (TaskAnswer | null)[] }>(
      'query ($ids: [ID!]!) { results(ids: $ids) { id } }',
      { ids: [b?.id, 'unknown', a?.id] },
    );
    expect(results).toEqual([{ id: b?.id }, null, { id: a?.id }]);
    expect(await client.result('unknown')).toBeNull();
  });

  test('the tensors API takes several rows, and answers with tensors', async () => {
    const data = { floats: [...Object.values(FLOWER), 6.7, 3, 5.2, 2.3] };
    const inputs = [{ name: 'features', datatype: 'FP32', shape: [2, 4], data }];
    const task = await service().client.submit({ tensors: { model: 'iris', inputs } }, WAIT);
    const outputs = (task.prediction as { outputs: Record<string, unknown>[] } | null)?.outputs;
    expect(outputs).toMatchObject([
      { name: 'label', datatype: 'INT64', shape: [2], longs: ['0', '2'], floats: null, ints: null },
      { name: 'probabilities', datatype: 'FP32', shape: [2, 3], longs: null },
    ]);
    const floats = outputs?.[1]?.['floats'] as number[];
    expect(Buffer.from(Float32Array.from(floats).buffer).toString('base64')).toBe(outputs?.[1]?.['base64']);
  });

  test('models are what workers register', async () => {
    const { models, model, none } = await service().client.get<Record<string, unknown>>(
      `{ models { name version versions maxBatch unbatched digest inputs { name datatype shape } }
         model(name: "digits", version: "1") { name description } none: model(name: "digits", version: "7") { name } }`,
    );
    expect(models).toMatchObject([
      { name: 'digits', versions: ['1'], inputs: [{ name: 'pixels', datatype: 'FP32', shape: [null, 28, 28] }] },
      { name: 'iris', digest: expect.stringMatching(/^[0-9a-f]{64}$/), maxBatch: 256, unbatched: null },
      { name: 'spam', inputs: [{ datatype: 'STRING' }] },
    ]);
    expect(model).toMatchObject({ name: 'digits', description: expect.any(String) });
    expect(none).toBeNull();
  });
});

describeService('without a worker', { withWorker: false }, (service) => {
  test('a queued task is cancelled once, told of, and stays cancelled', async () => {
    const { client, registry } = service();
    await registry.register([IRIS]);
    const { id } = await client.submit({ iris: FLOWER });
    const told = client.completed(id);
    expect(await client.cancel(id)).toMatchObject({ id, state: 'CANCELLED' });
    expect(await told).toMatchObject([{ id, state: 'CANCELLED', prediction: null }]);
    expect(await client.cancel(id)).toMatchObject({ id, state: 'CANCELLED' });
    expect((await client.ask('mutation { cancelTask(id: "unknown") { id } }')).errors?.[0]?.extensions.code).toBe(
      'UNKNOWN_TASK',
    );
  });

  test('a wait that ends before the task does answers with the task as it is', async () => {
    const { client, registry } = service();
    await registry.register([IRIS]);
    expect(await client.submit({ iris: FLOWER }, { waitMs: 1 })).toMatchObject({ state: 'QUEUED' });
  });
});
