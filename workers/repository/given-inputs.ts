import { InputIssues } from '../../src/models/input-issues.ts';
import type { Manifest } from '../../src/models/manifest.ts';
import type { ServedModel } from '../../src/models/served-model.ts';
import { typedApiOf } from '../../src/models/typed-api.ts';
import { readTypedInput } from '../../src/models/typed-input.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';

/** The most warm-up inputs that are tried. */
const WARM_UPS_MAX = 2;

/** What the manifest says that the model takes, its example first; without what does not fit the model as it would be served. */
export function givenInputs(
  served: ServedModel,
  { example, warmUp }: Pick<Manifest, 'example' | 'warmUp'>,
): { what: string; inputs: Tensor[] }[] {
  const typedApi = typedApiOf(served);
  const said = [
    ...(example ? [{ what: 'the example of model.json', input: example }] : []),
    ...warmUp.slice(0, WARM_UPS_MAX).map((input, i) => ({ what: `warmUp.${i} of model.json`, input })),
  ];
  return said.flatMap(({ what, input }) => {
    const issues = new InputIssues();
    const inputs = typedApi ? readTypedInput(typedApi, served.signature.batched, input, [], issues) : [];
    return issues.found || inputs.length === 0 ? [] : [{ what, inputs }];
  });
}
