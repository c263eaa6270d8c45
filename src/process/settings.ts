import { BlockList, isIP } from 'node:net';
import { availableParallelism, totalmem } from 'node:os';
import { z } from 'zod';
import { originError } from './cors-origins.ts';
import { LOG_LEVELS } from './log.ts';

const integer = (min: number, max: number) =>
  z
    .string()
    .regex(/^-?\d+$/, `expected a whole number from ${min} to ${max}`)
    .transform(Number)
    .refine((value) => value >= min && value <= max, `expected a whole number from ${min} to ${max}`);

const flag = z
  .enum(['1', 'true', 'yes', '0', 'false', 'no'], 'expected 1 or 0')
  .transform((value) => ['1', 'true', 'yes'].includes(value));

/** `memory:`, or a URL of one of these protocols that names a host; `example` is shown where it is not. */
const url = (protocols: readonly string[], example: string, path = /^\/?/) =>
  z
    .string()
    .refine(
      (value) => value === 'memory:' || isAddress(value, protocols, path),
      `expected memory: or an address such as ${example}`,
    );

/** The same, or several comma-separated addresses. */
const urls = (protocols: readonly string[], example: string) =>
  z
    .string()
    .refine(
      (value) => value === 'memory:' || value.split(',').every((one) => isAddress(one, protocols, /^\/?/)),
      `expected memory: or an address such as ${example}, or several, comma-separated`,
    );

function isAddress(value: string, protocols: readonly string[], path: RegExp): boolean {
  const parsed = URL.parse(value);
  const named = parsed !== null && parsed.hostname !== '' && value.startsWith(`${parsed.protocol}//`);
  return named && protocols.includes(parsed.protocol) && path.test(parsed.pathname);
}

const httpUrl = z
  .string()
  .refine(
    (value) => /^https?:$/.test(URL.parse(value)?.protocol ?? ''),
    'expected an address such as http://collector:4318',
  );

const origins = z
  .string()
  .transform((text) => text.split(',').flatMap((origin) => origin.trim() || []))
  .refine((list) => list.length > 0, 'expected origins such as https://app.example, comma-separated')
  .superRefine((list, context) => {
    const errors = list.flatMap((origin) => originError(origin) ?? []);
    if (errors.length > 0) context.addIssue({ code: 'custom', message: errors.join('; ') });
  });

const proxies = z.string().transform((text, context) => {
  const list = new BlockList();
  for (const one of text.split(',').flatMap((part) => part.trim() || [])) {
    if (!addNetwork(list, one)) {
      context.addIssue('expected addresses or networks such as 10.0.0.0/8 or ::1, comma-separated');
      return z.NEVER;
    }
  }
  return list;
});

/** Whether it is an address, or a network by its first address and its length. */
function addNetwork(list: BlockList, network: string): boolean {
  const [address = '', length, ...rest] = network.split('/');
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
  const bits = family === 'ipv6' ? 128 : 32;
  const isLength = length === undefined || (/^\d{1,3}$/.test(length) && Number(length) <= bits);
  if (isIP(address) === 0 || !isLength || rest.length > 0) return false;
  list.addSubnet(address, length === undefined ? bits : Number(length), family);
  return true;
}

const names = z
  .string()
  .transform((text) => text.split(',').flatMap((name) => name.trim() || []))
  .refine((list) => list.length > 0, 'expected names of models, comma-separated');

/** Settings whose value may hold a password or a key: an error does not repeat it. */
export const SECRET_SETTINGS = new Set([
  'BROKER_URL',
  'STORE_URL',
  'API_KEYS',
  'METRICS_KEY',
  'OTEL_EXPORTER_OTLP_ENDPOINT',
]);

/** Every setting: an environment variable each, with its meaning, unit and default. */
export const settings = {
  HOST: z
    .string()
    .default('127.0.0.1')
    .describe(
      'address that the API, and a worker with WORKER_PORT, listens on; an address other than loopback needs API_KEYS',
    ),
  PORT: integer(0, 65_535).default(4000).describe('port of the API; 0 takes a free one'),
  WORKER_PORT: integer(0, 65_535)
    .optional()
    .describe("port of a worker's /healthz and /readyz; a worker listens only where it is set"),
  BROKER_URL: urls(['amqp:', 'amqps:'], 'amqp://user:password@host:5672')
    .default('memory:')
    .describe('RabbitMQ, amqp://user:password@host:5672; several nodes of a cluster, comma-separated'),
  STORE_URL: url(['redis:', 'rediss:'], 'redis://:password@host:6379/0', /^(\/\d*)?$/)
    .default('memory:')
    .describe('Redis, redis://:password@host:6379/0'),
  MODELS_DIR: z.string().min(1).default('models').describe('folder of NAME/model.json and NAME/VERSION/model.onnx'),
  WORKER_SLOTS: integer(1, 256)
    .default(availableParallelism())
    .describe('inference processes of a worker; default: one per core'),
  WORKER_MODELS: names.optional().describe('models in MODELS_DIR that a worker serves, comma-separated; default: all'),
  MODEL_MEMORY_MB: integer(1, 1_048_576)
    .default(halfOfMemoryMb())
    .describe('MiB that the loaded models of a worker may take; default: half of what the machine or container has'),
  RUN_MEMORY_MB: integer(1, 1_048_576)
    .optional()
    .describe(
      'MiB that a run may take in addition to the loaded models; a task that takes more fails (Linux only); default: a quarter of memory divided by WORKER_SLOTS, at least 512',
    ),
  API_KEYS: z
    .string()
    .optional()
    .describe('owner:key,owner:key, each key of 24 characters or more; if set, every operation needs a key'),
  API_KEYS_FILE: z
    .string()
    .optional()
    .describe('a file with one owner:key per line; it is read again when it changes, and on SIGHUP'),
  METRICS_KEY: z
    .string()
    .optional()
    .describe('key for /metrics, 24 characters or more; if it or API_KEYS is set, other machines need it'),
  ALLOW_UNAUTHENTICATED: flag
    .default(false)
    .describe('1: accept requests without keys on any address and for any host name'),
  TRUSTED_PROXIES: proxies
    .optional()
    .describe(
      'addresses or networks of proxies whose X-Forwarded-For is believed, 10.0.0.0/8,::1; requests without a key count by the address found there',
    ),
  CORS_ORIGINS: origins
    .default([])
    .describe('origins of pages that may call the API, comma-separated, without wildcards; default: none'),
  RESULT_TTL_S: integer(1, 31_536_000).default(86_400).describe('seconds that a task is kept after its terminal state'),
  BODY_LIMIT_BYTES: integer(1_024, 1_073_741_824)
    .default(67_108_864)
    .describe('largest request in bytes; default: 64 MiB'),
  SHUTDOWN_GRACE_S: integer(1, 3_600)
    .default(10)
    .describe('seconds after SIGTERM to finish running predictions; set it above the time of a usual prediction'),
  PRODUCTION: flag.default(false).describe('1: introspection and GraphiQL are off unless set below'),
  INTROSPECTION: flag.optional().describe('1 or 0; default: on, unless API_KEYS or PRODUCTION is set'),
  GRAPHIQL: flag.optional().describe('1 or 0; default: on, unless API_KEYS or PRODUCTION is set'),
  OTEL_EXPORTER_OTLP_ENDPOINT: httpUrl
    .optional()
    .describe('OpenTelemetry collector that receives traces by OTLP over HTTP, http://collector:4318; default: none'),
  OTEL_SERVICE_NAME: z.string().optional().describe('name of a process in traces; default: foretell-api and so on'),
  LOG_LEVEL: z
    .enum(LOG_LEVELS, `expected ${LOG_LEVELS.join(', ')}`)
    .default('info')
    .describe('debug, info, warn, error, silent'),
} as const;

/** A container's limit, where there is one, is less than what the machine has; where there is none, Node gives 0 or an absurd number. */
function halfOfMemoryMb(): number {
  const bytes = Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY);
  return Math.max(1, Math.floor(bytes / 2 / 1024 / 1024));
}

/** A run of inputs and outputs of 64 MiB needs some 500 MiB for them alone. */
const RUN_MEMORY_MB_MIN = 512;

/** With the loaded models, at most three quarters of memory where the machine has enough: the rest is for other programs. */
export function runMemoryMb(slots: number): number {
  return Math.max(RUN_MEMORY_MB_MIN, Math.floor(halfOfMemoryMb() / 2 / slots));
}

/** Defaults that differ from machine to machine. */
const SHOWN: Record<string, string> = { WORKER_SLOTS: 'cores', MODEL_MEMORY_MB: 'half' };

/** The table of settings, for `--help` and docs/settings.md. */
export function describeSettings(): { name: string; default: string; description: string }[] {
  return Object.entries(settings).map(([name, setting]) => {
    const fallback = setting.safeParse(undefined);
    const shown = fallback.success && fallback.data !== undefined ? String(fallback.data) : '';
    return { name, default: SHOWN[name] ?? shown, description: setting.description ?? '' };
  });
}
