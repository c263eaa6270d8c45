import { existsSync, readFileSync } from 'node:fs';
import type { BlockList } from 'node:net';
import { z } from 'zod';
import { messageOf } from '../errors.ts';
import { ApiKeys, noPairs } from './api-keys.ts';
import type { LOG_LEVELS } from './log.ts';
import { SHIPPED_MODELS_DIR } from './package.ts';
import { runMemoryMb, SECRET_SETTINGS, settings } from './settings.ts';

/** Which process asks: the API alone, the worker alone, or both in one. */
export type Command = 'api' | 'worker' | 'start';

export interface Config {
  host: string;
  port: number;
  workerPort: number | undefined;
  brokerUrl: string;
  storeUrl: string;
  /** Nothing outlives the process: broker and store are in it. */
  embedded: boolean;
  modelsDir: string;
  /** `modelsDir` is the folder of the bundled models, because none was set and ./models does not exist. */
  shippedModels: boolean;
  workerSlots: number;
  /** The models that a worker serves; `undefined` for all. */
  workerModels: string[] | undefined;
  /** What the loaded models of a worker may take. */
  modelMemoryBytes: number;
  /** What a run may take beyond the loaded models of its process. */
  runMemoryBytes: number;
  apiKeys: ApiKeys;
  /** Read again when it changes. */
  apiKeysFile: string | undefined;
  /** The key for /metrics; `undefined` where none is set. */
  metricsKey: ApiKeys | undefined;
  /** A proxy in front authenticates callers: any address, any host name. */
  allowUnauthenticated: boolean;
  /** Proxies whose X-Forwarded-For is believed. */
  trustedProxies: BlockList | undefined;
  corsOrigins: string[];
  resultTtlMs: number;
  bodyLimitBytes: number;
  /** How long a process may take after SIGTERM to finish its work. */
  graceMs: number;
  introspection: boolean;
  graphiql: boolean;
  logLevel: (typeof LOG_LEVELS)[number];
  /** Where traces go; none where it is not set. */
  otlpEndpoint: string | undefined;
  serviceName: string;
}

/** Wrong settings: one line for each, with its name and what was expected. */
export class ConfigError extends Error {}

type Settings = Record<string, string | undefined>;

/**
 * Reads the settings; only this file reads the environment. Throws `ConfigError`.
 * @param options settings of the command line, which override the environment
 */
export function readConfig(command: Command, env: Settings = process.env, options: Settings = {}): Config {
  const given = { ...named(env), ...named(options) };
  const parsed = z.object(settings).safeParse(given);
  if (!parsed.success) {
    throw new ConfigError(
      parsed.error.issues
        .map(({ path: [name], message }) => `${String(name)}: ${message}${gotOf(String(name), given)}`)
        .join('\n'),
    );
  }
  const value = parsed.data;
  const apiKeys = readApiKeys(value.API_KEYS, value.API_KEYS_FILE);
  refuseMemory(command, value.BROKER_URL, value.STORE_URL);
  if (command !== 'worker' && !isLoopback(value.HOST) && !apiKeys.required && !value.ALLOW_UNAUTHENTICATED) {
    throw new ConfigError(
      `HOST: "${value.HOST}" lets other machines in; set API_KEYS, or ALLOW_UNAUTHENTICATED=1 if a proxy in front authenticates callers`,
    );
  }
  const open = !apiKeys.required && !value.PRODUCTION;
  return {
    host: value.HOST,
    port: value.PORT,
    workerPort: value.WORKER_PORT,
    brokerUrl: value.BROKER_URL,
    storeUrl: value.STORE_URL,
    embedded: value.BROKER_URL === 'memory:',
    ...modelsIn(value.MODELS_DIR, command === 'start' && given['MODELS_DIR'] === undefined),
    workerSlots: value.WORKER_SLOTS,
    workerModels: value.WORKER_MODELS,
    modelMemoryBytes: value.MODEL_MEMORY_MB * 1024 * 1024,
    runMemoryBytes: (value.RUN_MEMORY_MB ?? runMemoryMb(value.WORKER_SLOTS)) * 1024 * 1024,
    apiKeys,
    apiKeysFile: value.API_KEYS_FILE,
    metricsKey: readMetricsKey(value.METRICS_KEY),
    allowUnauthenticated: value.ALLOW_UNAUTHENTICATED,
    trustedProxies: value.TRUSTED_PROXIES,
    corsOrigins: value.CORS_ORIGINS,
    resultTtlMs: value.RESULT_TTL_S * 1_000,
    bodyLimitBytes: value.BODY_LIMIT_BYTES,
    graceMs: value.SHUTDOWN_GRACE_S * 1_000,
    introspection: value.INTROSPECTION ?? open,
    graphiql: value.GRAPHIQL ?? open,
    logLevel: value.LOG_LEVEL,
    otlpEndpoint: value.OTEL_EXPORTER_OTLP_ENDPOINT,
    serviceName: value.OTEL_SERVICE_NAME ?? `foretell-${command}`,
  };
}

/** The environment for a child process: this one's, completed by `defaults`. */
export function childEnvironment(defaults: Record<string, string>): NodeJS.ProcessEnv {
  return { ...defaults, ...process.env };
}

/**
 * The directory of models, for what needs no other setting.
 * @param orShipped whether it is that of the models that come along where none is set and there is none
 */
export function readModelsDir(options: Settings, orShipped: boolean, env: Settings = process.env): string {
  const { MODELS_DIR } = { ...named(env), ...named(options) };
  return modelsIn(settings.MODELS_DIR.parse(MODELS_DIR), orShipped && MODELS_DIR === undefined).modelsDir;
}

/** URL and key of a running server, for the commands that are clients, and the demo. */
export function readServerSettings(env: Settings = process.env): { url: string | undefined; key: string | undefined } {
  return { url: env['FORETELL_URL'] || undefined, key: env['FORETELL_KEY'] || undefined };
}

/** The settings among these variables. An empty one counts as not set, as in compose files and shells. */
function named(values: Settings): Settings {
  return Object.fromEntries(Object.entries(values).filter(([name, value]) => name in settings && value));
}

function gotOf(name: string, given: Settings): string {
  return SECRET_SETTINGS.has(name) ? '' : `, got "${given[name] ?? ''}"`;
}

function readApiKeys(inline: string | undefined, file: string | undefined): ApiKeys {
  const keys = readKeys('API_KEYS', () => ApiKeys.parse(inline ?? ''));
  if (file !== undefined) readKeys('API_KEYS_FILE', () => keys.replaceFile(readFileSync(file, 'utf8')));
  // The operator meant to guard the API: an empty setting must not leave it open.
  if (inline !== undefined && !keys.required) throw new ConfigError(`API_KEYS: ${messageOf(noPairs())}`);
  return keys;
}

function readMetricsKey(key: string | undefined): ApiKeys | undefined {
  return key === undefined ? undefined : readKeys('METRICS_KEY', () => ApiKeys.of('metrics', key));
}

function readKeys<T>(setting: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new ConfigError(`${setting}: ${messageOf(error)}`);
  }
}

function refuseMemory(command: Command, brokerUrl: string, storeUrl: string): void {
  const memory = [brokerUrl === 'memory:' && 'BROKER_URL', storeUrl === 'memory:' && 'STORE_URL'].filter(
    (name) => name !== false,
  );
  if (command === 'start' && memory.length === 1) {
    throw new ConfigError(`${memory[0]}: memory: is for both or none; set both BROKER_URL and STORE_URL, or neither`);
  }
  if (command !== 'start' && memory.length > 0) {
    throw new ConfigError(
      `${memory.join(', ')}: memory: works within one process only; set BROKER_URL=amqp://… and STORE_URL=redis://…, or run \`npm start\` (foretell serve) for API and worker in one`,
    );
  }
}

/** Without a folder of models, `serve` starts with the bundled ones; a worker on its own needs MODELS_DIR. */
function modelsIn(modelsDir: string, orShipped: boolean): Pick<Config, 'modelsDir' | 'shippedModels'> {
  const shippedModels = orShipped && !existsSync(modelsDir);
  return { modelsDir: shippedModels ? SHIPPED_MODELS_DIR : modelsDir, shippedModels };
}

/** Whether a name or an address can only mean this machine. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
