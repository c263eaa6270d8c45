import { randomUUID } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import { openApi } from '../../src/api/open.ts';
import { keyedTaskId } from '../../src/api/predictions/submission-id.ts';
import { BrokerUnavailable } from '../../src/errors.ts';
import { readConfig } from '../../src/process/config.ts';
import { createLog } from '../../src/process/log.ts';
import { Client, type TaskAnswer } from '../support/client.ts';
import { describeService } from '../support/describe-service.ts';
import { FLOWER, IRIS, servedModel } from '../support/models.ts';

const ANN = 'ann-0123456789-0123456789';
const BOB = 'bob-0123456789-0123456789';
const WAIT = { waitMs: 30_000 };
const OTHER_FLOWER = { ...FLOWER, petalLengthCm: 6.5, petalWidthCm: 2.3 };
const SUBMIT = `mutation ($input: PredictionInput!, $options: SubmitOptions) { submitPrediction(input: $input, options: $options) { id } }`;
const SUBMIT_ALL = `mutation ($inputs: [PredictionInput!]!, $options: SubmitOptions) { submitPredictions(inputs: $inputs, options: $options) { id } }`;
const UPDATED = 'subscription ($id: ID!) { taskUpdated(id: $id) { id state } }';

/** The state of each event. */
const states = (events: TaskAnswer[]) => events.map(({ state }) => state);

describeService('options', { keys: `ann:${ANN},bob:${BOB}`, key: ANN }, (service) => {
  test.each([
    [{ expiresInMs: 0 }, 'expiresInMs'],
    [{ expiresInMs: 604_800_001 }, 'expiresInMs'],
    [{ idempotencyKey: '' }, 'idempotencyKey'],
    [{ idempotencyKey: 'k'.repeat(256) }, 'idempotencyKey'],
    [{ waitMs: -1 }, 'waitMs'],
  ])('%j is refused with its path', async (options, name) => {
    const { errors } = await service().client.ask(SUBMIT, { input: { iris: FLOWER }, options });
    const issues = [{ path: ['options', name], message: expect.stringContaining('expected') }];
    expect(errors).toMatchObject([{ extensions: { code: 'INVALID_INPUT', issues } }]);
  });

  test('a key with several predictions is refused, and all that is wrong is said at once', async () => {
    const options = { idempotencyKey: 'key', expiresInMs: -1 };
    const { errors } = await service().client.ask(SUBMIT_ALL, { inputs: [{ iris: FLOWER }], options });
    expect(errors?.[0]?.extensions.issues?.map(({ path }) => path)).toEqual([
      ['options', 'expiresInMs'],
      ['options', 'idempotencyKey'],
    ]);
  });

  test('each option may be null, which is the default', async () => {
    const options = { expiresInMs: null, idempotencyKey: null, priority: null, version: null, waitMs: null };
    expect(await service().client.submit({ iris: FLOWER }, options)).toMatchObject({ state: 'QUEUED' });
  });

  test('fifty submissions at once with one key are one task that runs once', async () => {
    const { client } = service();
    const options = { idempotencyKey: randomUUID() };
    const tasks = await Promise.all(Array.from({ length: 50 }, () => client.submit({ iris: FLOWER }, options)));
    const [id = '', ...others] = new Set(tasks.map((task) => task.id));
    expect(others).toEqual([]);
    expect(id).toMatch(/^[\da-f]{8}-[\da-f]{4}-8[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
    expect(await client.completed(id)).toMatchObject([{ state: 'SUCCEEDED', attempts: 1 }]);
  });

  test('a key that is used at two processes at once is one task that runs once', async () => {
    const { client } = service();
    const config = readConfig('start', { PORT: '0', API_KEYS: `ann:${ANN}` });
    const other = await openApi(config, service(), createLog('silent', 'test'));
    onTestFinished(() => other.close());
    const options = { idempotencyKey: randomUUID() };
    const clients = Array.from({ length: 20 }, (_, i) => (i % 2 ? client : new Client(other.url, ANN)));
    const tasks = await Promise.all(clients.map((one) => one.submit({ iris: FLOWER }, options)));
    const [id = '', ...others] = new Set(tasks.map((task) => task.id));
    expect(others).toEqual([]);
    expect(await client.completed(id)).toMatchObject([{ state: 'SUCCEEDED', attempts: 1 }]);
  });

  test('a key that was used gives the task as it is: neither another input nor other options change it', async () => {
    const { client } = service();
    const options = { idempotencyKey: randomUUID(), ...WAIT };
    const first = await client.submit({ iris: FLOWER }, options);
    expect(first).toMatchObject({ state: 'SUCCEEDED', prediction: { label: 'setosa' } });
    const again = await client.submit({ iris: OTHER_FLOWER }, { ...options, priority: 'HIGH', expiresInMs: 1 });
    expect(again).toEqual(first);
    const input = { tensors: { model: 'iris', inputs: [iris(OTHER_FLOWER)] } };
    expect(await client.submit(input, options)).toEqual(first);
  });

  test('a key is its owner’s: another’s is another task', async () => {
    const { api, client } = service();
    const options = { idempotencyKey: randomUUID(), ...WAIT };
    const theirs = await new Client(api.url, BOB).submit({ iris: OTHER_FLOWER }, options);
    const ours = await client.submit({ iris: FLOWER }, options);
    expect(ours.id).not.toBe(theirs.id);
    expect(ours.prediction).toMatchObject({ label: 'setosa' });
    expect(await client.result(theirs.id)).toBeNull();
  });

  test('a prediction of high priority takes the model’s own lane for it', async () => {
    expect(await service().client.submit({ iris: FLOWER }, { priority: 'HIGH', ...WAIT })).toMatchObject({
      state: 'SUCCEEDED',
    });
  });
});

/** The typed input of a flower as a tensor. */
function iris(flower: typeof FLOWER) {
  return { name: 'features', datatype: 'FP32', shape: [1, 4], data: { floats: Object.values(flower) } };
}

describeService('without a worker', { withWorker: false }, (service) => {
  /** Every test has a model, and so queues, of its own. */
  async function model(): Promise<string> {
    const name = `m${randomUUID().replaceAll('-', '')}`;
    await service().registry.register([IRIS, servedModel(name, IRIS.signature, { names: IRIS.names })]);
    return name;
  }

  test('a task expires on time, and whoever waits is told', async () => {
    const { client } = service();
    const name = await model();
    const [expiring, waiting] = await Promise.all([
      client.submit({ [name]: FLOWER }, { expiresInMs: 5_000 }),
      client.submit({ [name]: FLOWER }),
    ]);
    const updates = client.stream('taskUpdated', UPDATED, { id: expiring.id });
    expect((await updates.next()).value).toMatchObject({ state: 'QUEUED' });
    expect(await client.completed(expiring.id)).toMatchObject([{ state: 'EXPIRED', attempts: 0, prediction: null }]);
    expect((await updates.next()).value).toMatchObject({ state: 'EXPIRED' });
    expect((await updates.next()).done).toBe(true);
    const { submittedAt = '', completedAt } = (await client.result(expiring.id)) ?? {};
    expect(Date.parse(completedAt ?? '') - Date.parse(submittedAt)).toBeGreaterThanOrEqual(5_000);
    expect(await client.result(waiting.id)).toMatchObject({ state: 'QUEUED' });
    expect(await client.cancel(expiring.id)).toMatchObject({ state: 'EXPIRED' });
  });

  test('whoever waits for the answer is answered when the tasks have expired, all of a call', async () => {
    const name = await model();
    const inputs = Array.from({ length: 250 }, () => ({ [name]: FLOWER }));
    const tasks = await service().client.submitAll(inputs, { expiresInMs: 300, ...WAIT });
    expect(new Set(states(tasks))).toEqual(new Set(['EXPIRED']));
    const one = await service().client.submit({ [name]: FLOWER }, { expiresInMs: 1, ...WAIT });
    expect(one).toMatchObject({ state: 'EXPIRED' });
  });

  test('a key whose task waits gives that task, and the first deadline stands', async () => {
    const { client } = service();
    const name = await model();
    const options = { idempotencyKey: randomUUID() };
    const first = await client.submit({ [name]: FLOWER }, { ...options, expiresInMs: 2_000 });
    const again = await client.submit({ [name]: OTHER_FLOWER }, { ...options, expiresInMs: 600_000 });
    expect(again).toEqual(first);
    expect(await service().waiting(name)).toBe(1);
    expect(await client.completed(first.id)).toMatchObject([{ state: 'EXPIRED' }]);
    expect(await client.submit({ [name]: FLOWER }, options)).toMatchObject({ id: first.id, state: 'EXPIRED' });
  });

  test('a key whose submission the broker refused is free to be submitted again, as the same task', async () => {
    const { client, broker } = service();
    const name = await model();
    const options = { idempotencyKey: randomUUID() };
    const { publish } = broker;
    broker.publish = () => Promise.reject(new BrokerUnavailable('away'));
    const refused = await Promise.all([1, 2].map(() => client.ask(SUBMIT, { input: { [name]: FLOWER }, options })));
    broker.publish = publish;
    expect(refused.map(({ errors }) => errors?.[0]?.extensions.code)).toEqual(Array(2).fill('BROKER_UNAVAILABLE'));
    const accepted = await client.submit({ [name]: FLOWER }, options);
    expect(accepted).toMatchObject({ state: 'QUEUED', id: keyedTaskId('anonymous', options.idempotencyKey) });
    expect(await service().waiting(name)).toBe(1);
    // Not withdrawn by the refusal, or its message would be dropped.
    expect(await client.result(accepted.id)).toMatchObject({ state: 'QUEUED' });
  });

  test('a key whose task may still have to be queued is not queued with another input', async () => {
    const { client, broker } = service();
    const name = await model();
    const options = { idempotencyKey: randomUUID() };
    const { publish } = broker;
    broker.publish = () => Promise.reject(new BrokerUnavailable('away'));
    await expect(client.submit({ [name]: FLOWER }, options)).rejects.toThrow('BROKER_UNAVAILABLE');
    broker.publish = publish;
    const { errors } = await client.ask(SUBMIT, { input: { [name]: OTHER_FLOWER }, options });
    const issues = [{ path: ['options', 'idempotencyKey'] }];
    expect(errors).toMatchObject([{ extensions: { code: 'INVALID_INPUT', issues } }]);
    expect(await service().waiting(name)).toBe(0);
    expect(await client.submit({ [name]: FLOWER }, options)).toMatchObject({ state: 'QUEUED' });
  });

  test('a key whose task waits in vain is not queued for another model, which would answer for the first', async () => {
    const { client, store } = service();
    const name = await model();
    const idempotencyKey = randomUUID();
    // As another process leaves it that dies before its publish.
    const submission = { owner: 'anonymous', door: 'tensors' as const, submittedAt: Date.now() };
    const id = keyedTaskId('anonymous', idempotencyKey);
    await store.create([{ id, model: { name, version: '1', fingerprint: 'f' }, ...submission }]);
    const { errors } = await client.ask(SUBMIT, { input: { iris: FLOWER }, options: { idempotencyKey } });
    const issues = [{ path: ['options', 'idempotencyKey'] }];
    expect(errors).toMatchObject([{ extensions: { code: 'INVALID_INPUT', issues } }]);
    expect(await service().waiting('iris')).toBe(0);
  });

  test('priority says which queue: HIGH has its own', async () => {
    const { client } = service();
    const name = await model();
    await client.submitAll([{ [name]: FLOWER }, { [name]: FLOWER }], { priority: 'HIGH' });
    await client.submit({ [name]: FLOWER }, { priority: 'NORMAL' });
    expect([await service().waiting(name, 'high'), await service().waiting(name)]).toEqual([2, 1]);
  });

  test('a queued task that is cancelled is told to be, and its key gives the cancelled task', async () => {
    const { client } = service();
    const name = await model();
    const options = { idempotencyKey: randomUUID() };
    const { id } = await client.submit({ [name]: FLOWER }, options);
    const events = client.stream('taskUpdated', UPDATED, { id });
    expect((await events.next()).value).toMatchObject({ state: 'QUEUED' });
    await client.cancel(id);
    expect((await events.next()).value).toMatchObject({ state: 'CANCELLED' });
    expect((await events.next()).done).toBe(true);
    expect(await client.submit({ [name]: FLOWER }, { ...options, ...WAIT })).toMatchObject({ id, state: 'CANCELLED' });
  });
});
