/** Units that a person placed: found on the host, compared by the generator, and followed while they are taken over or given back. */

import {
  adoption,
  isAdoptable,
  ownerOf,
  searchPathOf,
  type Adoption,
  type HandMade,
  type SeenAdoption,
  type Sighting,
} from "../core/adopt.ts";
import { envFilesIn } from "../core/adopted-env.ts";
import type { Bundle, Unit } from "../core/bundle.ts";
import { isPlainKind } from "../core/kinds.ts";
import { readGenerator } from "../core/generator.ts";
import { digestOf, partsOf, relativePath, type ApplicationId, type ServiceName } from "../core/names.ts";
import { marked, placeOf } from "../core/placing.ts";
import type { Rollout } from "../core/rollout.ts";
import type { ServiceState } from "../ports.ts";
import { liveBundles, type Context } from "./context.ts";

/** Whether pgo placed the file of this path. */
export function isOurs(path: string, { store, config }: Context): boolean {
  if (path.startsWith(`${config.quadlet.unitDirectory}/`)) {
    const name = path.slice(config.quadlet.unitDirectory.length + 1);
    return store.applications().some(({ id }) => store.inventory(id).has(marked("unit", name)));
  }
  const below = path.startsWith(`${config.quadlet.directory}/`) ? path.slice(config.quadlet.directory.length + 1) : "";
  const [source = "", application = "", ...rest] = below.split("/");
  return rest.length > 0 && store.inventory(`${source}/${application}` as ApplicationId).has(relativePath(rest.join("/")));
}

/** Whether this unit of an application may take the place of a file: never, if only the settings said so, or yes. */
export function mayAdopt(owner: string, unit: Unit, application: ApplicationId, context: Context): "never" | "if set" | "yes" {
  // What bootstrap placed, or a person: the handover keeps it.
  if (placeOf(unit.file).place === "self") return owner === `${context.handovers.directory}/pgo.container` ? "yes" : "never";
  if (!isAdoptable(owner, unit, context.config.quadlet)) return "never";
  return adopts(application, context) ? "yes" : "if set";
}

function adopts(application: ApplicationId, { config }: Context): boolean {
  return config.applications.get(partsOf(application).application)?.adopt ?? config.quadlet.adopt;
}

/** What a rollout to the bundle would take over, compared with what the bundle makes of it. Two dry runs, where there is anything. */
export async function adoptionsOf(bundle: Bundle, context: Context, signal: AbortSignal): Promise<readonly Adoption[]> {
  const { host } = context;
  const { application, units } = bundle;
  if (!adopts(application, context)) return [];
  const [foreign, states] = await Promise.all([
    host.foreign((path) => isOurs(path, context), signal),
    host.services(
      units.map(({ service }) => service),
      signal,
    ),
  ]);
  const owned = units.flatMap((unit) => {
    if (placeOf(unit.file).place === "self") return [];
    const owner = ownerOf(unit, foreign, states.get(unit.service));
    const isTaken = owner !== undefined && !isOurs(owner, context) && mayAdopt(owner, unit, application, context) === "yes";
    return isTaken ? [{ unit, owner }] : [];
  });
  if (owned.length === 0) return [];
  const made = await generatedFor(bundle, new Set(owned.map(({ owner }) => owner)), context, signal);
  const plain = owned.flatMap(({ unit }) => (isPlainKind(unit.kind) ? [unit.service] : []));
  const enabled = plain.length === 0 ? new Set<ServiceName>() : await host.enabled(plain, signal);
  const found: Adoption[] = [];
  const taken = new Set<string>();
  for (const { unit, owner } of owned) {
    const state = states.get(unit.service);
    const files = await host.handMade(owner, signal);
    if (state === undefined) continue;
    const generated = made(unit.service);
    const one = adoption({
      ...{ unit, bundle, files, state, generated, placedAs: (path) => placedAs(path, bundle, context) },
      enabled: enabled.has(unit.service),
      env: await envOf(generated.before, context, signal),
      madeEnv: (path) => madeEnv(path, bundle, context),
    });
    if (one === undefined) continue;
    // The instances of a template have one file.
    found.push({ ...one, files: one.files.filter(({ path }) => !taken.has(path)) });
    for (const { path } of one.files) taken.add(path);
  }
  return found;
}

/** With the intention to roll out, before the first file is moved. What an earlier rollout began stays as it was saved. */
export function saveAdoptions(
  adoptions: readonly Adoption[],
  { application, deployment, startedAt }: Pick<Rollout, "application" | "deployment" | "startedAt">,
  { store }: Context,
): void {
  const begun = new Set(store.adoptions(application).map(({ service }) => service));
  const backup = `${startedAt.toISOString().replace(/[-:]|\.\d+/g, "")}-${deployment}`;
  for (const one of adoptions) if (!begun.has(one.service)) store.saveAdoption(application, { ...one, backup });
}

/** What the host shows of adoptions that are planned or under way. */
export async function look(adoptions: readonly Adoption[], context: Context, signal: AbortSignal): Promise<readonly SeenAdoption[]> {
  if (adoptions.length === 0) return [];
  const states = await context.host.services(
    adoptions.map(({ service }) => service),
    signal,
  );
  return Promise.all(
    adoptions.map(async (one): Promise<SeenAdoption> => {
      // A drop-in may be there when the unit file has gone already.
      const looks = await Promise.all([one.from, ...one.files.map(({ path }) => path)].map((path) => context.host.handMade(path, signal)));
      const present = new Map(looks.flat().map(({ path, digest }) => [path, digest]));
      const state = states.get(one.service);
      return { ...one, present, untouched: state?.invocation === one.before.invocation && isUp(state) === one.before.up, up: isUp(state) };
    }),
  );
}

function isUp(state: ServiceState | undefined): boolean {
  return state?.active === "active" || state?.active === "activating" || state?.active === "reloading";
}

/** The generator's texts of a service before and after, with all else as it is. */
async function generatedFor(
  bundle: Bundle,
  owners: ReadonlySet<string>,
  context: Context,
  signal: AbortSignal,
): Promise<(service: ServiceName) => Sighting["generated"]> {
  const live = new Map([...liveBundles(context)].map(([id, { files }]) => [id, files]));
  const before = await context.host.dryRun(live, new Set(), signal);
  const after = await context.host.dryRun(new Map([...live, [bundle.application, bundle.files]]), owners, signal);
  // The staging directories differ, and stand for the same one.
  const texts = ({ stdout, stderr, root }: typeof before) =>
    readGenerator(stdout.replaceAll(`${root}/`, `${context.config.quadlet.directory}/`), stderr).texts;
  const [old, now] = [texts(before), texts(after)];
  const ofTemplate = (service: ServiceName) => service.replace(/@.+(?=\.service$)/, "@") as ServiceName;
  return (service) => ({
    before: old.get(service) ?? old.get(ofTemplate(service)),
    after: now.get(service) ?? now.get(ofTemplate(service)),
  });
}

/** The env files that a hand-made service reads. Elsewhere than in Podman's search path pgo may see its own container's files, not the host's. */
async function envOf(text: string | undefined, { host, config }: Context, signal: AbortSignal): Promise<ReadonlyMap<string, HandMade>> {
  const found = new Map<string, HandMade>();
  for (const { path } of text === undefined ? [] : envFilesIn(text)) {
    const [file] = path.startsWith(`${searchPathOf(config.quadlet.directory)}/`) ? await host.handMade(path, signal) : [];
    if (file !== undefined) found.set(path, file);
  }
  return found;
}

/** Undefined where it is sealed, and not at hand. */
function madeEnv(path: string, { application, files }: Bundle, { bundles }: Context): string | undefined {
  const file = files.find((one) => {
    const { place, path: below } = placeOf(one.path);
    return place === "env" && path === `${bundles.envDirectory(application)}/${below}`;
  });
  return file === undefined || (file.sealed !== undefined && digestOf(file.content) !== file.sealed)
    ? undefined
    : Buffer.from(file.content).toString("utf8");
}

/** The bundle's file that goes to this path on the host. */
function placedAs(path: string, bundle: Bundle, { config }: Context): ReturnType<Sighting["placedAs"]> {
  const { source, application } = partsOf(bundle.application);
  return bundle.files.find((file) => {
    const { place, path: below } = placeOf(file.path);
    if (place === "env" || place === "secret" || place === "self") return false;
    return (
      path ===
      (place === "unit" ? `${config.quadlet.unitDirectory}/${below}` : `${config.quadlet.directory}/${source}/${application}/${below}`)
    );
  })?.path;
}
