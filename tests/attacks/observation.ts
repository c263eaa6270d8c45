import { deflateSync } from 'node:zlib';
import { FLOWER } from '../support/models.ts';
import { dataUrl, greyPng } from './pictures.ts';

/** One task of B's: how long from its submission to the event of its end, and what went wrong. */
export interface Observation {
  ms: number;
  refused?: string;
  failed?: string;
}

const ones = (count: number) => Buffer.from(new Float32Array(count).fill(1).buffer).toString('base64');

/** What B submits: an ordinary user's inputs. */
export const BYSTANDER_INPUTS = {
  iris: () => ({ iris: FLOWER }),
  /** 0.6 MB in, as much out. */
  large: () => echo(150_000),
  picture: () => ({ digits: { image: dataUrl(PICTURE) } }),
  /** The models that A attacks are B's, too. */
  slow: () => int64('slow', { rounds: 1_000 }),
  hoards: () => int64('hoards', { n: 10 }),
  crashes: () => int64('crashes', { x: 7, d: 2 }),
} as const;

export type BystanderInput = keyof typeof BYSTANDER_INPUTS;

/** The identity over so many floats, by the tensors API. */
export function echo(count: number): unknown {
  const input = { name: 'x', datatype: 'FP32', shape: [1, count], data: { base64: ones(count) } };
  return { tensors: { model: 'echo', inputs: [input] } };
}

export function int64(model: string, values: Record<string, number | string>): unknown {
  const inputs = Object.entries(values).map(([name, element]) => {
    return { name, datatype: 'INT64', shape: [1], data: { longs: [String(element)] } };
  });
  return { tensors: { model, inputs } };
}

/** A thick line on white paper. */
const PICTURE = greyPng(280, 280, deflateSync, (x, y) => (x > 120 && x < 150 && y > 40 && y < 240 ? 0 : 255));
