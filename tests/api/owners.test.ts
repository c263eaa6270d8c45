import { expect, test } from 'vitest';
import { Client } from '../support/client.ts';
import { describeService } from '../support/describe-service.ts';
import { FLOWER } from '../support/models.ts';

const ANN = 'ann-0123456789-0123456789';
const BOB = 'bob-0123456789-0123456789';

describeService('with keys', { keys: `ann:${ANN},bob:${BOB}`, key: ANN, graphiql: true }, (service) => {
  test('an operation without one, or with another, is refused', async () => {
    const { api } = service();
    for (const key of [undefined, 'wrong', `${ANN}x`]) {
      const response = await fetch(`${api.url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...(key && { authorization: `Bearer ${key}` }) },
        body: '{"query":"{ __typename }"}',
      });
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toBe('Bearer');
      expect(await response.json()).toMatchObject({ errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] });
    }
    const query = new URLSearchParams({ query: '{ models { name } }' });
    expect((await fetch(`${api.url}/graphql?${query}`, { headers: { accept: 'text/html' } })).status).toBe(401);
  });

  test('a task is its owner’s: to others it looks as if it did not exist', async () => {
    const { api, client: ann } = service();
    const bob = new Client(api.url, BOB);
    const { id } = await ann.submit({ iris: FLOWER }, { waitMs: 30_000 });
    expect(await ann.result(id)).toMatchObject({ id, state: 'SUCCEEDED' });

    expect(await bob.result(id)).toEqual(await bob.result('unknown'));
    const unknown = async (query: string) => {
      const [theirs, none] = await Promise.all([bob.ask(query, { id }), bob.ask(query, { id: 'unknown' })]);
      expect(theirs.errors?.[0]?.extensions.code).toBe('UNKNOWN_TASK');
      expect(JSON.stringify(theirs).replaceAll(id, 'unknown')).toBe(JSON.stringify(none));
    };
    await unknown('mutation ($id: ID!) { cancelTask(id: $id) { id } }');
    await expect(bob.completed(id)).rejects.toThrow('UNKNOWN_TASK');
    await expect(bob.completions([id])).rejects.toThrow('UNKNOWN_TASK');
    await expect(bob.updates(id)).rejects.toThrow('UNKNOWN_TASK');
    expect(await ann.completed(id)).toMatchObject([{ id, state: 'SUCCEEDED' }]);
  });
});
