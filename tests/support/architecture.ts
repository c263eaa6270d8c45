/** The rules of ARCHITECTURE.md, as functions of source texts: a test keeps them, and another shows that they can fail. */
export type Sources = ReadonlyMap<string, string>;

export const LINES_MAX = 250;

/** Which files may name a library; everyone else goes through that door. */
const DOORS: Record<string, RegExp> = {
  amqplib: /^src\/broker\/amqp\//,
  ioredis: /^src\/(redis|store\/redis|registry)\//,
  'graphql-redis-subscriptions': /^src\/redis\//,
  'onnxruntime-node': /^workers\/inference\/onnx\/onnx-session\.ts$/,
  graphql: /^src\/api\/graphql\//,
  'graphql-yoga': /^src\/api\/graphql\//,
  '@graphql-yoga/render-graphiql': /^src\/api\/graphql\/graphiql\//,
  '@pothos/core': /^src\/api\/graphql\/schema\//,
  'graphql-sse': /^bin\/server\.ts$/,
  sharp: /^src\/media\/image-decoder\.ts$/,
  pino: /^src\/process\/log\.ts$/,
  'prom-client': /^src\/telemetry\/(metrics|series|observed|process-registry|bound-metrics)\.ts$/,
  ...Object.fromEntries(
    ['api', 'exporter-trace-otlp-http', 'resources', 'sdk-trace'].map((name) => [
      `@opentelemetry/${name}`,
      /^src\/telemetry\/tracing-otlp\.ts$/,
    ]),
  ),
  zod: /^(src\/(process|task|tensor|media|models|registry|broker|store)\/|workers\/|bin\/)/,
};

/** Libraries and modules of Node's that open a connection. */
const CONNECTING = new Set(['amqplib', 'ioredis', 'node:net', 'node:tls', 'node:http', 'node:https', 'node:dgram']);

/** Modules of Node's that start a process. */
const STARTING = new Set(['node:child_process', 'node:cluster']);

/** What runs in an inference process, with all that it imports: a model's run must not hold, or lose, a connection. */
const INFERENCE_PROCESS = 'workers/inference/inference-process.ts';

type Floors = readonly (readonly string[])[];

/** What API and worker share, from the domain up: a room may import from the floors below it, never from another room on its own floor. */
const SHARED: Floors = [
  ['src/errors.ts'],
  ['src/process/', 'src/tensor/'],
  ['src/async/', 'src/ledger/'],
  ['src/task/', 'src/media/'],
  ['src/models/'],
  ['src/telemetry/'],
  ['src/broker/', 'src/redis/'],
  ['src/store/', 'src/registry/'],
  ['src/open-store.ts'],
  ['src/services.ts'],
];

/** The two wings stand on what they share and know nothing of each other. */
const API: Floors = [
  ['src/api/predictions/'],
  ['src/api/graphql/schema/'],
  ['src/api/graphql/request/', 'src/api/graphql/graphiql/'],
  ['src/api/http/'],
  ['src/api/'],
];
const WORKER: Floors = [
  ['workers/inference/'],
  ['workers/repository/'],
  ['workers/batching/'],
  ['workers/tasks/'],
  ['workers/scheduling/'],
  ['workers/intake/'],
  ['workers/'],
];
const COMMANDS: Floors = [['bin/']];

const WINGS = { shared: SHARED, api: API, worker: WORKER, command: COMMANDS };
type Wing = keyof typeof WINGS;
const MAY_IMPORT: Record<Wing, readonly Wing[]> = {
  shared: [],
  api: ['shared'],
  worker: ['shared'],
  command: ['shared', 'api', 'worker'],
};

/** Rooms below another that it has no business with all the same. */
const APART: readonly (readonly [room: string, from: string])[] = [
  ['src/store/', 'src/models/'],
  ['src/broker/', 'src/models/'],
];

interface Import {
  from: string;
  /** A path from the root for a file of ours, else the package's name. */
  to: string;
}

/** Static imports and exports, types among them; `import()` with a text, in code and in types; and files started by their URL. */
export function importsOf(sources: Sources): Import[] {
  const patterns = [
    /(?:^|\n)\s*(?:import|export)\b(?!\s*\()[^'"\n;]*?(?:\{[^}]*\}[^'"\n;]*?)?['"]([^'"]+)['"]/g,
    /\bimport\(\s*['"`]([^'"`$]+)['"`]/g,
    /\bnew URL\(\s*['"`](\.[^'"`$]+)(?:\$\{[^}]*\})?['"`]\s*,\s*import\.meta\.url/g,
  ];
  return [...sources].flatMap(([from, text]) =>
    patterns.flatMap((pattern) =>
      [...text.matchAll(pattern)].map(([, specifier = '']) => ({ from, to: resolve(from, specifier) })),
    ),
  );
}

/** `import()` of something that is no plain text, which no rule here could follow. */
export function hiddenImports(sources: Sources): string[] {
  return [...sources].filter(([, text]) => /\bimport\(\s*(?!['"][^'"]+['"]\s*\))/.test(text)).map(([file]) => file);
}

function resolve(from: string, specifier: string): string {
  if (specifier.startsWith('.')) return new URL(specifier, `file:///${from}`).pathname.slice(1);
  if (specifier.startsWith('node:')) return specifier;
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

export function brokenDoors(sources: Sources): string[] {
  return importsOf(sources)
    .filter(({ from, to }) => DOORS[to] && !DOORS[to].test(from))
    .map(({ from, to }) => `${from} names ${to}`);
}

/** Imports that point up, to the room next door, or into the other wing. */
export function brokenDirections(sources: Sources): string[] {
  return importsOf(sources)
    .filter(({ from, to }) => sources.has(to) && !mayImport(from, to))
    .map(({ from, to }) => `${from} imports ${to}`);
}

function mayImport(from: string, to: string): boolean {
  const [here, there] = [placeOf(from), placeOf(to)];
  if (!here || !there) return false;
  if (APART.some(([room, other]) => from.startsWith(room) && to.startsWith(other))) return false;
  if (here.wing !== there.wing) return MAY_IMPORT[here.wing].includes(there.wing);
  return here.room === there.room || there.floor < here.floor;
}

/** Files that no rule knows: a new room needs a floor. */
export function withoutFloor(sources: Sources): string[] {
  return [...sources.keys()].filter((file) => !placeOf(file));
}

/** The innermost room that a file lies in. */
function placeOf(file: string): { wing: Wing; floor: number; room: string } | undefined {
  const places = (Object.keys(WINGS) as Wing[]).flatMap((wing) =>
    WINGS[wing].flatMap((rooms, floor) => rooms.map((room) => ({ wing, floor, room }))),
  );
  return places.filter(({ room }) => file.startsWith(room)).toSorted((a, b) => b.room.length - a.room.length)[0];
}

/** What opens a connection among all that an inference process loads, with the file that names it. */
export function connectionsOfInference(sources: Sources): string[] {
  return loadedBy(sources, INFERENCE_PROCESS)
    .filter(({ to }) => CONNECTING.has(to))
    .map(({ from, to }) => `${from} names ${to}`);
}

/** Unit tests that could start a process, by all that they load, with the file that names the module for it. */
export function processesOfUnits(sources: Sources): string[] {
  return [...sources.keys()]
    .filter((file) => file.startsWith('tests/unit/'))
    .flatMap((file) => loadedBy(sources, file).map((each) => ({ file, ...each })))
    .filter(({ to }) => STARTING.has(to))
    .map(({ file, from, to }) => `${file} loads ${from}, which names ${to}`);
}

/** The imports of a file and of all that it loads by them. Imports of types load nothing. */
function loadedBy(sources: Sources, start: string): Import[] {
  const reached = new Set([start]);
  const found: Import[] = [];
  for (const file of reached) {
    const imports = importsOf(new Map([[file, withoutTypes(sources.get(file) ?? '')]]));
    found.push(...imports);
    for (const { to } of imports) if (sources.has(to)) reached.add(to);
  }
  return found;
}

function withoutTypes(text: string): string {
  return text.replace(/(?:^|\n)\s*(?:import|export) type\b[^'"]*['"][^'"]+['"]/g, '');
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
    [/\bprocess\.env\b/, 'reads the environment', /^(src\/process\/config|bin\/main)\.ts$/],
    [/\bjobs?\b/i, 'says "job"'],
    [/\b(TODO|FIXME)\b/, 'has something left to do'],
    [/@ts-(ignore|expect-error|nocheck)|biome-ignore/, 'silences a check'],
  ];
  return [...sources].flatMap(([file, text]) =>
    rules.filter(([rule, , door]) => rule.test(text) && !door?.test(file)).map(([, what]) => `${file} ${what}`),
  );
}
