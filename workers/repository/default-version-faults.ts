import { join } from 'node:path';
import { defaultVersions } from '../../src/registry/registry.ts';
import { ModelFault } from './model-fault.ts';
import type { LoadedModel } from './model-loading.ts';

/** Default versions that manifests name and that are not there. */
export function defaultVersionFaults(models: readonly LoadedModel[], modelsDir: string): ModelFault[] {
  return defaultVersions(models.map(({ served }) => served)).flatMap(({ name, version, defaultVersion = version }) => {
    if (defaultVersion === version) return [];
    const fault = `defaultVersion: version ${defaultVersion} is missing or cannot be served; version ${version} is the default instead`;
    return [new ModelFault({ name }, join(modelsDir, name, 'model.json'), fault)];
  });
}
