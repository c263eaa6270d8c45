/** Submit, be told over SSE, in TypeScript with graphql-sse. Usage: npx node examples/submit.ts [URL] */
import { createClient } from 'graphql-sse';

const url = process.argv[2] ?? 'http://127.0.0.1:4000/graphql';

const response = await fetch(url, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({
    query: 'mutation ($input: PredictionInput!) { submitPrediction(input: $input) { id } }',
    variables: { input: { iris: { sepalLengthCm: 5.1, sepalWidthCm: 3.5, petalLengthCm: 1.4, petalWidthCm: 0.2 } } },
  }),
});
const { data, errors } = (await response.json()) as { data?: { submitPrediction: { id: string } }; errors?: unknown };
if (!data) throw new Error(JSON.stringify(errors));
const { id } = data.submitPrediction;
console.log(`task ${id}`);

const client = createClient({ url });
const events = client.iterate({
  query:
    'subscription ($id: ID!) { taskCompleted(id: $id) { id state prediction { __typename ... on IrisPrediction { label } } } }',
  variables: { id },
});
for await (const event of events) console.log(JSON.stringify(event.data));
client.dispose();
