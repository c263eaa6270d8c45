/** The arithmetic of those of `examples/models` whose weights are a formula, as make.py has it. */

type Matrix = number[][];

function formula(rows: number, columns: number, { plus = 0, times = 1 } = {}): Matrix {
  return Array.from({ length: rows }, (_, i) =>
    Array.from({ length: columns }, (__, j) => (times * (((37 * i + 11 * j + plus) % 17) - 8)) / 16),
  );
}

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0);
const column = (matrix: Matrix, j: number) => matrix.map((row) => row[j] ?? 0);
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

const CELLS = 8;

/** What `embedding` makes of the tokens that the mask leaves in: a vector for each of all, and their mean. */
export function embeddingOf(ids: readonly number[], mask: readonly number[]): { hidden: Matrix; mean: number[] } {
  const vectors = formula(32, CELLS, { times: 4 });
  const weights = formula(CELLS, CELLS, { plus: 5 });
  const hidden = ids.map((id) =>
    Array.from({ length: CELLS }, (_, j) => Math.tanh(dot(vectors[id] ?? [], column(weights, j)))),
  );
  const counted = hidden.filter((_, i) => mask[i] === 1);
  const mean = Array.from({ length: CELLS }, (_, j) => column(counted, j).reduce((a, b) => a + b, 0) / counted.length);
  return { hidden, mean };
}

/** What `voice` says at the end of a sound that it hears in one piece, from a state of zeros on. */
export function voiceOf(samples: readonly number[], rate: number): { output: number; state: [number[], number[]] } {
  const frameLength = rate / 1_000;
  let state: [number[], number[]] = [Array(CELLS).fill(0), Array(CELLS).fill(0)];
  for (let start = 0; start < samples.length; start += frameLength) {
    const frame = samples.slice(start, start + frameLength);
    const loudness = frame.map(Math.abs);
    const mean = loudness.reduce((sum, x) => sum + x, 0) / frame.length;
    state = lstm([mean, Math.max(...loudness), Math.sqrt(dot(frame, frame))], state);
  }
  return { output: sigmoid(dot(state[0], column(formula(CELLS, 1, { times: 4 }), 0))), state };
}

const W = formula(4 * CELLS, 3, { times: 2 });
const R = formula(4 * CELLS, CELLS, { plus: 3 });
const B = formula(1, 8 * CELLS)[0] ?? [];

/** One step of ONNX's LSTM, whose gates come in the order input, output, forget, cell. */
function lstm(heard: readonly number[], [hidden, cell]: [number[], number[]]): [number[], number[]] {
  const gate = (which: number, k: number) => {
    const row = which * CELLS + k;
    return dot(W[row] ?? [], heard) + dot(R[row] ?? [], hidden) + (B[row] ?? 0) + (B[4 * CELLS + row] ?? 0);
  };
  const next = cell.map((c, k) => sigmoid(gate(2, k)) * c + sigmoid(gate(0, k)) * Math.tanh(gate(3, k)));
  return [next.map((c, k) => sigmoid(gate(1, k)) * Math.tanh(c)), next];
}
