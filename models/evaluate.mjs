// Scores a model on held-out examples, on the ONNX file itself and with the runtime that serves it. Each train.py ends
// with a call of it:
//
//   node models/evaluate.mjs <model> <held-out.json>     { "inputs": [one example each], "labels": [integer each] }
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as ort from 'onnxruntime-node';

const [name, heldOutFile] = process.argv.slice(2);
const folder = new URL(`./${name}/`, import.meta.url);
const manifest = JSON.parse(readFileSync(new URL('model.json', folder), 'utf8'));
const { inputs, labels } = JSON.parse(readFileSync(heldOutFile, 'utf8'));
const session = await ort.InferenceSession.create(fileURLToPath(new URL('1/model.onnx', folder)));
const [input] = session.inputMetadata;

/** Answers in batches of the given size; one answer is the list of its outputs' values. */
async function predict(examples, batchSize) {
  const answers = [];
  for (let start = 0; start < examples.length; start += batchSize) {
    const rows = examples.slice(start, start + batchSize);
    const dims = [rows.length, ...input.shape.slice(1)];
    const values = rows.flat(Number.POSITIVE_INFINITY);
    const data = input.type === 'string' ? values : Float32Array.from(values);
    const outputs = await session.run({ [input.name]: new ort.Tensor(input.type, data, dims) });
    for (let row = 0; row < rows.length; row++) {
      answers.push(
        Object.fromEntries(
          session.outputNames.map((output) => {
            const width = outputs[output].data.length / rows.length;
            return [output, Array.from(outputs[output].data.slice(row * width, (row + 1) * width), Number)];
          }),
        ),
      );
    }
  }
  return answers;
}

const percent = (part, whole) => `${((100 * part) / whole).toFixed(2)} %`;
const answers = await predict(inputs, manifest.maxBatch);
const predicted = answers.map((answer) => answer.label[0]);
const right = predicted.filter((label, i) => label === labels[i]).length;
console.log(`${name}: ${percent(right, labels.length)} of ${labels.length} held-out examples right`);

manifest.outputs.label.labels.forEach((label, index) => {
  const hits = predicted.filter((answer, i) => answer === index && labels[i] === index).length;
  const precision = percent(hits, predicted.filter((answer) => answer === index).length);
  const recall = percent(hits, labels.filter((truth) => truth === index).length);
  console.log(`  ${label}: precision ${precision}, recall ${recall}`);
});

// An example's answer must not depend on which others happen to share its batch.
const alone = await predict(inputs, 1);
const differences = answers.flatMap((answer, i) =>
  session.outputNames.flatMap((output) => answer[output].map((value, k) => Math.abs(value - alone[i][output][k]))),
);
const largest = differences.reduce((a, b) => Math.max(a, b), 0);
console.log(`  alone and ${manifest.maxBatch} at a time, the outputs differ by at most ${largest.toExponential(1)}`);
if (largest > 1e-4) process.exitCode = 1;
