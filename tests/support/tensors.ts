import { elementCount, type Tensor } from '../../src/tensor/tensor.ts';
import { type Element, elementsOf, pack } from '../../src/tensor/tensor-values.ts';

/** A tensor of these elements; a list of them if no shape is given. */
export function tensor(
  name: string,
  datatype: Tensor['datatype'],
  elements: Element[],
  shape: number[] = [elements.length],
): Tensor {
  if (elementCount(shape) !== elements.length) throw new Error(`${elements.length} elements do not make [${shape}]`);
  return { name, datatype, shape, data: pack(datatype, elements) };
}

/** What is in the tensors, by name, to compare and to read in a failure. */
export function contents(tensors: readonly Tensor[]): Record<string, { shape: number[]; elements: unknown[] }> {
  return Object.fromEntries(tensors.map((each) => [each.name, { shape: each.shape, elements: elementsOf(each) }]));
}
