/** Something in the directory of models that cannot be served: where, and what is wrong there, in one line. */
export class ModelFault extends Error {
  /** The model, where it is one's. */
  readonly model: string | undefined;
  /** The version, where it is not all of the model's. */
  readonly version: string | undefined;

  constructor(of: { name?: string; version?: string }, path: string, fault: string) {
    super(`${path}: ${fault.replace(/\s*\n\s*/g, ' ')}`);
    this.model = of.name;
    this.version = of.version;
  }
}
