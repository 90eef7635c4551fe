/** The judgement of a revision's applications, without the asking: what still stands, what takes the place of what fell, and why it fell. */

import { assemble } from "./assemble.ts";
import type { Bundle, Problem, Unit } from "./bundle.ts";
import { strayChecks } from "./checks.ts";
import type { Candidate } from "./decide.ts";
import { isUnitFile, type Draft } from "./layout.ts";
import type { Policy } from "./policy-config.ts";
import type { Rendering } from "./rendering.ts";
import { strayReactions } from "./on-change.ts";
import { refuseSharedNames } from "./shared-names.ts";
import { sharedSecret } from "./order.ts";
import { shownPath } from "./placing.ts";
import { digestOf, type ApplicationId, type Digest, type RelativePath, type UnitName } from "./names.ts";
import { alteredVolumes, strayVolumes } from "./volumes.ts";

/** What is judged, and beside what. */
export interface Trial {
  readonly drafts: readonly Draft[];
  /** The last good bundles of all applications; a draft takes its own's place. */
  readonly live: ReadonlyMap<ApplicationId, Bundle>;
  rendering(application: ApplicationId): Rendering;
  /** Undefined where nobody has set one, as for \`pgo validate\`. */
  policy?(application: ApplicationId): Policy;
  readonly secrets: SecretRules;
  /** Secrets that health checks need and that are nowhere; undefined where no host is at hand, or nothing is looked up again. */
  missingForProbes?(bundle: Bundle): readonly Problem[];
}

/** What is done about secrets that are nowhere. */
export interface SecretRules {
  readonly missing: "error" | "warn" | "empty";
  /** What could not be read of the secrets: one that is missing may be there. */
  readonly unreadable: readonly Problem[];
}

/** Hears what needs nobody to be asked: the files themselves, names that clash, and pgo's own rules. */
export function openCourt(trial: Trial): Court {
  const court = new Court(trial);
  for (const draft of trial.drafts) {
    const made = assemble(draft, trial.rendering(draft.application), trial.policy?.(draft.application));
    if (!made.ok) court.refuse(draft.application, made.trouble);
    else if (made.value.digest === trial.live.get(draft.application)?.digest) court.pass(made.value);
    else court.admit(made.value);
  }
  court.holdForSecrets(trial.secrets, (bundle) => trial.missingForProbes?.(bundle) ?? []);
  court.refuseClashes();
  refuseSharedNames(court);
  for (const bundle of court.admitted()) court.refuseWith(bundle, objections(bundle, trial.live.get(bundle.application)));
  return court;
}

/** pgo's own rules for a bundle that is well formed; a further one, such as a policy, is one more line. Problems name files below the application. */
function objections(bundle: Bundle, before: Bundle | undefined): readonly Problem[] {
  return [
    ...strayChecks(bundle, "pgo.toml"),
    ...strayReactions(bundle, "pgo.toml"),
    ...strayVolumes(bundle, "pgo.toml"),
    ...alteredVolumes(before, bundle),
  ];
}

/** The candidates that still stand, what takes the place of those that fell, and why they fell. */
export class Court {
  readonly #drafts: ReadonlyMap<ApplicationId, Draft>;
  readonly #live: ReadonlyMap<ApplicationId, Bundle>;
  readonly #standing = new Map<ApplicationId, Bundle>();
  readonly #refused = new Map<ApplicationId, readonly Problem[]>();
  readonly #blocked = new Map<ApplicationId, { readonly digest: Digest; readonly why: string }>();
  /** What the generator and systemd only warn of: told when it is rolled out. */
  readonly #warnings = new Map<ApplicationId, readonly Problem[]>();
  /** Secrets that are empty for want of a value. */
  readonly #lacking = new Map<ApplicationId, readonly Problem[]>();
  /** Those equal to their last good: nothing new is judged, but they are there. */
  readonly #unchanged = new Set<ApplicationId>();

  constructor({ drafts, live }: Trial) {
    this.#drafts = new Map(drafts.map((draft) => [draft.application, draft]));
    this.#live = live;
  }

  admit(bundle: Bundle): void {
    this.#standing.set(bundle.application, bundle);
  }

  pass(bundle: Bundle): void {
    this.admit(bundle);
    this.#unchanged.add(bundle.application);
  }

  /** Candidates that are new and not refused. */
  admitted(): readonly Bundle[] {
    return [...this.#standing.values()].filter((bundle) => !this.#unchanged.has(bundle.application));
  }

  /** What would be live if all that still stands were rolled out, or only these of it. */
  staged(candidates: readonly Bundle[] = [...this.#standing.values()]): ReadonlyMap<ApplicationId, Bundle> {
    return new Map([...this.#live, ...candidates.map((bundle): [ApplicationId, Bundle] => [bundle.application, bundle])]);
  }

  refuse(application: ApplicationId, problems: readonly Problem[]): void {
    this.#standing.delete(application);
    this.#refused.set(application, [...(this.#refused.get(application) ?? []), ...problems]);
    this.#block(application);
  }

  /** The last run's word counts: it is of all that still stands. */
  warn(bundle: Bundle, warnings: readonly Problem[]): void {
    this.#warnings.set(bundle.application, warnings);
  }

  /** Beside what the generator's last run warns of. */
  warnToo(bundle: Bundle, warnings: readonly Problem[]): void {
    this.warn(bundle, [...(this.#warnings.get(bundle.application) ?? []), ...warnings]);
  }

  /** Refuses a bundle when there are problems with files of it, named by their place. */
  refuseWith(bundle: Bundle, problems: readonly Problem[]): void {
    const located = problems.map((problem) => locatedIn(bundle, problem));
    if (located.length > 0) this.refuse(bundle.application, located);
  }

  /** A secret that is missing is no fault of Git's: the application waits for it. */
  holdForSecrets({ missing: rule, unreadable }: SecretRules, forProbes: (bundle: Bundle) => readonly Problem[]): void {
    for (const bundle of this.admitted()) {
      const missing = [...bundle.missing, ...forProbes(bundle).map((problem) => locatedIn(bundle, problem))];
      if (missing.length === 0) continue;
      const told = unreadable.length > 0 ? unreadable : missing;
      if (rule === "error" || unreadable.length > 0) {
        this.#standing.delete(bundle.application);
        this.#blocked.set(bundle.application, { digest: bundle.digest, why: problemText(told) });
        this.#block(bundle.application);
      } else if (rule === "warn") this.#lacking.set(bundle.application, missing);
    }
  }

  /** Two units of one name, or two that make one service: the generator would take the first, silently. Two secrets of one name: they would take turns. */
  refuseClashes(): void {
    for (const bundle of this.admitted()) {
      const secret = this.#first(bundle.application, (other) => sharedSecret(other, bundle));
      if (secret === undefined) continue;
      const message = `${shownPath(secret.found)} is one that application ${secret.of} brings already: give it another name`;
      this.refuseWith(bundle, [{ file: secret.found, line: 1, message }]);
    }
    for (const bundle of this.admitted())
      for (const unit of bundle.units) {
        const other = this.#ownerOf(unit, bundle.application);
        if (other === undefined) continue;
        const message = `${unit.name} makes ${unit.service}, which application ${other} has already: give it another name`;
        this.refuseWith(bundle, [{ file: unit.file, line: undefined, message }]);
        break;
      }
  }

  verdicts(): ReadonlyMap<ApplicationId, Candidate> {
    return new Map(
      [...this.#drafts.keys()].map((application): [ApplicationId, Candidate] => {
        const problems = this.#refused.get(application);
        if (problems !== undefined)
          return [application, { kind: "rejected", digest: digestOfDraft(this.#drafts.get(application)), problems }];
        const blocked = this.#blocked.get(application);
        if (blocked !== undefined) return [application, { kind: "blocked", ...blocked }];
        const bundle = this.#standing.get(application);
        if (bundle === undefined) throw new Error(`judge ${application}: it has vanished`);
        return [application, { kind: "bundle", bundle, warnings: this.#warningsOf(bundle) }];
      }),
    );
  }

  #warningsOf({ application, warnings }: Bundle): readonly Problem[] {
    return [...warnings, ...(this.#lacking.get(application) ?? []), ...(this.#warnings.get(application) ?? [])];
  }

  /** The application whose unit stands in the way: one that is live comes before one that is new, then by name. */
  #ownerOf(unit: Unit, application: ApplicationId): ApplicationId | undefined {
    return this.#first(application, ({ units }) => units.find((one) => one.name === unit.name || one.service === unit.service))?.of;
  }

  #first<Found>(
    application: ApplicationId,
    find: (bundle: Bundle) => Found | undefined,
  ): { readonly of: ApplicationId; readonly found: Found } | undefined {
    for (const [other, bundle] of this.staged()) {
      const found = other === application ? undefined : find(bundle);
      const isFirst = this.#live.has(other) || !this.#standing.has(other) || other < application;
      if (found !== undefined && isFirst) return { of: other, found };
    }
    return undefined;
  }

  /** What needs something of a refused application waits for it, and so on. */
  #block(refused: ApplicationId): void {
    const names = new Set([...unitNames(this.#drafts.get(refused)), ...(this.#live.get(refused)?.units.map((unit) => unit.name) ?? [])]);
    const services = new Set(this.#live.get(refused)?.units.map((unit) => unit.service));
    for (const bundle of this.admitted()) {
      if (bundle.application === refused) continue;
      const needed = bundle.units.flatMap((unit) => [
        ...unit.uses.filter((name) => names.has(name)),
        ...unit.after.filter((name) => services.has(name)),
      ])[0];
      if (needed === undefined) continue;
      this.#standing.delete(bundle.application);
      this.#blocked.set(bundle.application, { digest: bundle.digest, why: `it needs ${needed} of ${refused}, which is refused` });
      this.#block(bundle.application);
    }
  }
}

/** The quadlets of an application by their names, whether they can be read or not. */
export function unitNames(draft: Draft | undefined): readonly UnitName[] {
  return [...(draft?.files.keys() ?? [])].filter(isUnitFile).map((path) => (path.split("/").at(-1) ?? "") as UnitName);
}

/** A unit whose service comes from a file that pgo did not place; `couldAdopt`: it could be taken over, if the settings allowed it. */
export function takenBy(owner: string, unit: Unit, couldAdopt = false): Problem {
  const remedy = owner.startsWith("/usr/lib/")
    ? "give it another name"
    : `give it another name, or remove that file and run systemctl daemon-reload${couldAdopt ? ", or let pgo take it over: adopt = true in [quadlet]" : ""}`;
  const message = `the host has ${unit.service} already, from ${owner}, which pgo did not place: ${remedy}`;
  return { file: unit.file, line: undefined, message };
}

/** A problem with a placed file, told of the file in Git that it comes of. */
function locatedIn({ origins }: Bundle, problem: Problem): Problem {
  const { file, line, message } = problem;
  const origin = origins.get(file as RelativePath);
  if (origin === undefined) return problem;
  // A template's line may be longer or shorter than what came of it.
  const there = line === undefined ? undefined : (origin.lines?.[line - 1] ?? line + origin.linesBefore);
  return origin.lines === undefined ? { ...problem, file: origin.file, line: there } : { file: origin.file, line: there, message };
}

/** Problems in one line: `shop/web.container:7: unsupported key …; shop/db.container: …`. */
export function problemText(problems: readonly Problem[]): string {
  return problems.map(({ file, line, message }) => `${file}${line === undefined ? "" : `:${line}`}: ${message}`).join("; ");
}

function digestOfDraft(draft: Draft | undefined): Digest {
  const entries = [...(draft?.files ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
  return digestOf(...entries.flatMap(([path, { entry }]) => [path, entry.kind === "file" ? entry.content : entry.kind]));
}
