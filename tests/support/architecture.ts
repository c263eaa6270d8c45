/** The rules of ARCHITECTURE.md, as functions of source texts: a test keeps them, and another shows that they can fail. */
export type Sources = ReadonlyMap<string, string>;

export const LINES_MAX = 250;

/** Which files may name a library; everyone else goes through that door. */
const DOORS: Record<string, RegExp> = {
  amqplib: /^src\/broker\/amqp[\w-]*\.ts$/,
  ioredis: /^src\/store\/redis[\w-]*\.ts$/,
  'graphql-redis-subscriptions': /^src\/store\/redis[\w-]*\.ts$/,
  'onnxruntime-node': /^workers\/inference\/onnx-session\.ts$/,
  graphql: /^src\/graphql\//,
  'graphql-yoga': /^src\/graphql\//,
  '@graphql-yoga/render-graphiql': /^src\/graphql\//,
  '@pothos/core': /^src\/graphql\//,
  sharp: /^src\/media\/image-decoder\.ts$/,
  pino: /^src\/log\.ts$/,
  'prom-client': /^src\/telemetry\/(metrics|observed|process-registry)\.ts$/,
  ...Object.fromEntries(
    ['api', 'exporter-trace-otlp-http', 'resources', 'sdk-trace'].map((name) => [
      `@opentelemetry/${name}`,
      /^src\/telemetry\/tracing-otlp\.ts$/,
    ]),
  ),
  zod: /^(src\/(config|settings|submission|tensor-frame)\.ts|src\/(media|models|broker|store)\/|workers\/|bin\/)/,
};

/**
 * The rooms, from the domain up: a file may import from its own room and from the floors below it, never from above and never
 * from another room on its floor.
 */
const FLOORS: readonly (readonly RegExp[])[] = [
  [/^src\/(tensor|errors|task|gathering)\.ts$/],
  [/^src\/(submission|tensor-values|tensor-frame)\.ts$/],
  [/^src\/ledger\//],
  [/^src\/media\//],
  [/^src\/models\//],
  [/^src\/(log|rare-log|lifecycle|api-keys|weak-key|key-file|settings|package|config)\.ts$/],
  [/^src\/telemetry\//],
  [/^src\/broker\//, /^src\/store\//],
  [/^src\/predictions\//],
  [/^src\/graphql\//],
  [/^src\/http\//],
  [/^src\/(services|deployment|api)\.ts$/],
  [/^workers\/inference\//],
  [/^workers\/repository\//],
  [/^workers\/batching\//],
  [/^workers\/tasks\//],
  [/^workers\/[\w-]+\.ts$/],
  [/^bin\//],
];

interface Import {
  from: string;
  /** A path from the root for a file of ours, else the package's name. */
  to: string;
}

export function importsOf(sources: Sources): Import[] {
  const pattern = /(?:^|\n)\s*(?:import|export)\b[^'"\n;]*?(?:\{[^}]*\}[^'"\n;]*?)?['"]([^'"]+)['"]/g;
  return [...sources].flatMap(([from, text]) =>
    [...text.matchAll(pattern)].map(([, specifier = '']) => ({ from, to: resolve(from, specifier) })),
  );
}

function resolve(from: string, specifier: string): string {
  if (specifier.startsWith('.')) return new URL(specifier, `file:///${from}`).pathname.slice(1);
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

export function brokenDoors(sources: Sources): string[] {
  return importsOf(sources)
    .filter(({ from, to }) => DOORS[to] && !DOORS[to].test(from))
    .map(({ from, to }) => `${from} names ${to}`);
}

/** Imports that point up, or to the room next door. */
export function brokenDirections(sources: Sources): string[] {
  const isBroken = (from: string, to: string) => {
    const floors = floorOf(to) - floorOf(from);
    return floors > 0 || (floors === 0 && roomOf(to) !== roomOf(from));
  };
  return importsOf(sources)
    .filter(({ from, to }) => sources.has(to) && isBroken(from, to))
    .map(({ from, to }) => `${from} imports ${to}`);
}

/** Files that no rule knows: a new room needs a floor. */
export function withoutFloor(sources: Sources): string[] {
  return [...sources.keys()].filter((file) => floorOf(file) < 0);
}

function floorOf(file: string): number {
  return FLOORS.findIndex((floor) => floor.some((room) => room.test(file)));
}

function roomOf(file: string): RegExp | undefined {
  return FLOORS.flat().find((room) => room.test(file));
}

/** Each cycle of imports once, as the path around it. */
export function cycles(sources: Sources): string[] {
  const next = Map.groupBy(importsOf(sources), ({ from }) => from);
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (file: string, trail: string[]): void => {
    if (trail.includes(file)) {
      found.push([...trail.slice(trail.indexOf(file)), file].join(' → '));
      return;
    }
    if (done.has(file) || !sources.has(file)) return;
    for (const { to } of next.get(file) ?? []) visit(to, [...trail, file]);
    done.add(file);
  };
  for (const file of sources.keys()) visit(file, []);
  return found;
}

export function tooLong(sources: Sources): string[] {
  return [...sources].filter(([, text]) => text.split('\n').length - 1 > LINES_MAX).map(([file]) => file);
}

/** Words and habits the house style rules out. */
export function banned(sources: Sources): string[] {
  const rules: [RegExp, string, RegExp?][] = [
    [/\bprocess\.env\b/, 'reads the environment', /^(src\/config|bin\/main)\.ts$/],
    [/\bjobs?\b/i, 'says "job"'],
    [/\b(TODO|FIXME)\b/, 'has something left to do'],
    [/@ts-(ignore|expect-error|nocheck)|biome-ignore/, 'silences a check'],
  ];
  return [...sources].flatMap(([file, text]) =>
    rules.filter(([rule, , door]) => rule.test(text) && !door?.test(file)).map(([, what]) => `${file} ${what}`),
  );
}
