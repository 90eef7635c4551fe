/** What every part of the controller works with: the ports, the configuration, and the bundles that the state database holds. */

import { assemble } from "../core/assemble.ts";
import type { Bundle } from "../core/bundle.ts";
import { checkIn } from "../core/checks.ts";
import type { Config } from "../core/config.ts";
import { withSealed } from "../core/found.ts";
import type { RanImage } from "../core/images.ts";
import type { Trial } from "../core/judgement.ts";
import type { Draft } from "../core/layout.ts";
import type { ApplicationId, Digest, RelativePath } from "../core/names.ts";
import { policyOf } from "../core/policy-config.ts";
import { missingForProbes } from "../core/probe-secrets.ts";
import type { Target } from "../core/rollout.ts";
import { recalledRendering, type Rendering, type TemplateRenderer } from "../core/rendering.ts";
import type { SelfSite } from "../core/self-quadlet.ts";
import type {
  Archives,
  Changes,
  Clock,
  Git,
  Handovers,
  Host,
  Journal,
  Podman,
  Prober,
  Sealed,
  Secrets,
  Store,
  StoredBundle,
} from "../ports.ts";
import type { StateCopies } from "./heal.ts";
import type { Reach } from "./reach.ts";
import type { Moment, Renderings } from "./rendering.ts";
import type { Resources } from "./resources.ts";
import type { ImageWatch } from "./watch.ts";
import type { Timekeeping } from "./schedule.ts";
import type { Symptoms } from "./health.ts";
import type { Unseen } from "./unseen.ts";

export interface Context {
  readonly config: Config;
  readonly git: Git;
  readonly host: Host;
  readonly podman: Podman;
  readonly secrets: Secrets;
  readonly sealed: Sealed;
  /** With a key of this host's: for what others may see. */
  readonly keyedDigest: (content: string) => string;
  readonly prober: Prober;
  readonly handovers: Handovers;
  readonly archives: Archives;
  readonly store: Store;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly bundles: Bundles;
  readonly reach: Reach;
  readonly time: Timekeeping;
  readonly rendering: Renderings;
  readonly images: ImageWatch;
  readonly resources: Resources;
  readonly copies: StateCopies;
  /** Of systemd's units, and of what only Podman knows of containers. */
  readonly changes: { readonly units: Changes; readonly containers: Changes };
  readonly unseen: Unseen;
  readonly symptoms: Symptoms;
  /** Shows a service's log when its name is put behind: `journalctl -u`. */
  readonly logs: string;
}

/** Bundles by digest, made again from what Git had; those in use are kept, so that a pass over 200 applications parses nothing twice. */
export class Bundles {
  readonly #store: Store;
  readonly #stateDirectory: string;
  readonly #self: SelfSite | undefined;
  readonly #made = new Map<Digest, Bundle>();
  #template: TemplateRenderer | undefined;

  /** `self`: what pgo's own quadlet is made with; undefined where nothing is rolled out. */
  constructor(store: Store, stateDirectory: string, self?: SelfSite) {
    this.#store = store;
    this.#stateDirectory = stateDirectory;
    this.#self = self;
  }

  /** The engine for `.liquid` files is loaded only where there is one, in a saved bundle or among these. */
  async template(paths: Iterable<string> = []): Promise<TemplateRenderer | undefined> {
    if (this.#template === undefined && ([...paths].some((path) => path.endsWith(".liquid")) || this.#store.usesTemplates()))
      this.#template = (await import("../core/template.ts")).rendered;
    return this.#template;
  }

  /** Where processed env files of an application go. */
  envDirectory(application: ApplicationId): string {
    return `${this.#stateDirectory}/env/${application}`;
  }

  /** What a saved bundle was rendered with. */
  renderingOf({ application, vars, sealed, pins }: StoredBundle): Rendering {
    const envDirectory = this.envDirectory(application);
    return recalledRendering({ vars, sealed, pins, envDirectory, template: this.#template, self: this.#self });
  }

  /** Throws where the database doesn't hold it, or this version of pgo can't read it: both are surprises. */
  get(digest: Digest): Bundle {
    const made = this.#made.get(digest);
    if (made !== undefined) return made;
    const stored = this.#store.bundle(digest);
    if (stored === undefined) throw new Error(`read bundle ${digest.slice(0, 12)}: the state database does not hold it`);
    const again = assemble(draftOf(stored), this.renderingOf(stored));
    if (!again.ok)
      throw new Error(`read bundle ${digest.slice(0, 12)} of ${stored.application}: ${again.trouble[0]?.message ?? "no reason"}`);
    // A newer version may compute digests otherwise; what was saved names it.
    const bundle = { ...withSealed(again.value, stored.sealed), digest };
    this.#made.set(digest, bundle);
    return bundle;
  }

  /** Forgets all but these. */
  keep(digests: ReadonlySet<Digest>): void {
    for (const digest of this.#made.keys()) if (!digests.has(digest)) this.#made.delete(digest);
  }
}

/** What a rollout goes to; undefined: the application is taken away. */
export function bundleOf(target: Target, { bundles }: Pick<Context, "bundles">): Bundle | undefined {
  return target === "absent" ? undefined : bundles.get(target);
}

/** The last good bundles of all applications. */
export function liveBundles({ store, bundles }: Context): ReadonlyMap<ApplicationId, Bundle> {
  const live = new Map<ApplicationId, Bundle>();
  for (const { id, lastGood } of store.applications()) if (lastGood !== undefined) live.set(id, bundles.get(lastGood));
  return live;
}

/** What an application is live with. */
export function liveOf(application: ApplicationId, { store }: Pick<Context, "store">): Target {
  return store.application(application)?.lastGood ?? "absent";
}

export function isThere({ application, goal }: { readonly application: ApplicationId; readonly goal: Target }, context: Context): boolean {
  return liveOf(application, context) === goal;
}

export function liveBundle(id: ApplicationId, { store, bundles }: Context): Bundle | undefined {
  const lastGood = store.application(id)?.lastGood;
  return lastGood === undefined ? undefined : bundles.get(lastGood);
}

/** What a judgement needs beside drafts and what is live: the host's facts and secrets of this moment. */
export async function presentRendering(
  drafts: readonly Draft[],
  { bundles, rendering, config, store }: Context,
  signal: AbortSignal,
): Promise<{ readonly moment: Moment } & Pick<Trial, "rendering" | "secrets" | "policy" | "missingForProbes">> {
  const template = await bundles.template(drafts.flatMap(({ files }) => [...files.keys()]));
  const moment = await rendering.now({ drafts, template, envDirectory: (id) => bundles.envDirectory(id) }, signal);
  const { missing } = config.secrets;
  const policy = (id: ApplicationId) => policyOf(config.policy, id);
  const pins = (id: ApplicationId): Pick<Rendering, "pin"> => {
    const moved = config.quadlet.trackDigests ? store.movedImages(id) : new Map<string, RanImage>();
    const pin: Rendering["pin"] = (_path, name) => {
      const reference = moved.get(name)?.reference;
      return reference === undefined ? undefined : { reference, why: "moved" };
    };
    return { pin };
  };
  return {
    moment,
    rendering: (id) => ({ ...moment.rendering(id), ...pins(id) }),
    policy,
    secrets: { missing, unreadable: moment.unreadable },
    missingForProbes: (bundle) =>
      missingForProbes(bundle, { checkOf: (unit) => checkIn(bundle, unit, config), has: (secret) => moment.has(secret) }),
  };
}

/** A saved bundle as it came from Git, to be assembled or judged again. */
export function draftOf(stored: StoredBundle): Draft {
  const files = new Map(
    [...stored.entries].map(([path, entry]): [RelativePath, { entry: typeof entry; origin: string }] => [path, { entry, origin: path }]),
  );
  return { application: stored.application, files, problems: [] };
}
