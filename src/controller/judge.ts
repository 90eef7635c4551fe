/** Judges a revision's applications before the host is touched: names, clashes, and the host's own generator over all that would be live. */

import { assemble } from "../core/assemble.ts";
import type { Bundle, Problem, Unit } from "../core/bundle.ts";
import { strayChecks } from "../core/checks.ts";
import { alteredObjects, type Candidate } from "../core/decide.ts";
import { isLack, readGenerator, type Finding } from "../core/generator.ts";
import { isDropIn, type Draft } from "../core/layout.ts";
import { digestOf, relativePath, type ApplicationId, type Digest, type RelativePath, type UnitName } from "../core/names.ts";
import { adviseOn } from "../core/quadlet-keys.ts";
import { quadletSuffix } from "../core/quadlet.ts";
import type { Context } from "./context.ts";

/** What is judged, and beside what. */
export interface Trial {
  readonly drafts: readonly Draft[];
  /** The last good bundles of all applications; a draft takes its own's place. */
  readonly live: ReadonlyMap<ApplicationId, Bundle>;
}

export async function judge(trial: Trial, context: Context, signal: AbortSignal): Promise<ReadonlyMap<ApplicationId, Candidate>> {
  const court = new Court(trial);
  for (const draft of trial.drafts) {
    const made = assemble(draft);
    if (!made.ok) court.refuse(draft.application, made.trouble);
    else if (made.value.digest === trial.live.get(draft.application)?.digest) court.pass(made.value);
    else court.admit(made.value);
  }
  court.refuseClashes();
  for (const bundle of court.admitted()) {
    const origin = originOf(court.draft(bundle.application), "pgo.toml");
    court.refuseWith(bundle, [...strayChecks(bundle, origin), ...alteredObjects(trial.live.get(bundle.application), bundle)]);
  }
  await refuseForeign(court, context, signal);
  await refuseByGenerator(court, context, signal);
  return court.verdicts();
}

/** The candidates that still stand, what takes the place of those that fell, and why they fell. */
class Court {
  readonly #drafts: ReadonlyMap<ApplicationId, Draft>;
  readonly #live: ReadonlyMap<ApplicationId, Bundle>;
  readonly #standing = new Map<ApplicationId, Bundle>();
  readonly #refused = new Map<ApplicationId, readonly Problem[]>();
  readonly #blocked = new Map<ApplicationId, { readonly digest: Digest; readonly why: string }>();
  /** What the generator only warns of: told when it is rolled out. */
  readonly #warnings = new Map<ApplicationId, readonly Problem[]>();
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

  draft(application: ApplicationId): Draft | undefined {
    return this.#drafts.get(application);
  }

  /** Candidates that are new and not refused. */
  admitted(): readonly Bundle[] {
    return [...this.#standing.values()].filter((bundle) => !this.#unchanged.has(bundle.application));
  }

  /** What would be live if all that still stands were rolled out. */
  staged(): ReadonlyMap<ApplicationId, Bundle> {
    return new Map([...this.#live, ...this.#standing]);
  }

  refuse(application: ApplicationId, problems: readonly Problem[]): void {
    this.#standing.delete(application);
    this.#refused.set(application, [...(this.#refused.get(application) ?? []), ...problems]);
    this.#block(application);
  }

  /** The last run's word counts: it is of all that still stands. */
  warn(application: ApplicationId, warnings: readonly Problem[]): void {
    this.#warnings.set(application, warnings);
  }

  /** Refuses a bundle when there are problems with files of it, named by their path below the application. */
  refuseWith(bundle: Bundle, problems: readonly Problem[]): void {
    const draft = this.draft(bundle.application);
    const located = problems.map((problem) => ({ ...problem, file: originOf(draft, problem.file) }));
    if (located.length > 0) this.refuse(bundle.application, located);
  }

  /** Two units of one name, or two that make one service: the generator would take the first, silently. */
  refuseClashes(): void {
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
        return [application, { kind: "bundle", bundle, warnings: this.#warnings.get(application) ?? [] }];
      }),
    );
  }

  /** The application whose unit stands in the way: one that is live comes before one that is new, then by name. */
  #ownerOf(unit: Unit, application: ApplicationId): ApplicationId | undefined {
    return [...this.staged()]
      .filter(
        ([other, bundle]) => other !== application && bundle.units.some((one) => one.name === unit.name || one.service === unit.service),
      )
      .map(([other]) => other)
      .find((other) => this.#live.has(other) || !this.#standing.has(other) || other < application);
  }

  /** What needs something of a refused application waits for it, and so on. */
  #block(refused: ApplicationId): void {
    const names = new Set([...unitNames(this.draft(refused)), ...(this.#live.get(refused)?.units.map((unit) => unit.name) ?? [])]);
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

/** A service that the host has from elsewhere is neither overwritten nor shadowed: not a person's quadlet, not a unit of the distribution's. */
async function refuseForeign(court: Court, context: Context, signal: AbortSignal): Promise<void> {
  const admitted = court.admitted();
  if (admitted.length === 0) return;
  const { host, store, config } = context;
  const ours = (path: string) => {
    const below = path.startsWith(`${config.quadlet.directory}/`) ? path.slice(config.quadlet.directory.length + 1) : "";
    const [source = "", application = "", ...rest] = below.split("/");
    return rest.length > 0 && store.inventory(`${source}/${application}` as ApplicationId).has(relativePath(rest.join("/")));
  };
  const foreign = await host.foreign(ours, signal);
  const states = await host.services([...new Set(admitted.flatMap((bundle) => bundle.units.map((unit) => unit.service)))], signal);
  for (const bundle of admitted) {
    const problems = bundle.units.flatMap((unit): readonly Problem[] => {
      const state = states.get(unit.service);
      // A unit whose file is gone from disk but not yet from systemd's memory blocks nobody.
      const owner =
        foreign.get(unit.name) ?? (state?.load === "not-found" ? undefined : (state?.source ?? "") || (state?.fragment ?? "") || undefined);
      return owner === undefined || ours(owner) ? [] : [taken(unit, owner)];
    });
    court.refuseWith(bundle, problems);
  }
}

function taken(unit: Unit, owner: string): Problem {
  const remedy = owner.startsWith("/usr/lib/")
    ? "give it another name"
    : "give it another name, or remove that file and run systemctl daemon-reload";
  const message = `the host has ${unit.service} already, from ${owner}, which pgo did not place: ${remedy}`;
  return { file: unit.file, line: undefined, message };
}

/** Each round refuses at least one candidate or is the last, and one refused may have hidden another's fault or provided what another needs. */
async function refuseByGenerator(court: Court, context: Context, signal: AbortSignal): Promise<void> {
  for (let admitted = court.admitted(); admitted.length > 0;) {
    const staged = court.staged();
    const run = await context.host.dryRun(new Map([...staged].map(([id, bundle]) => [id, bundle.files])), signal);
    const report = readGenerator(run.stdout, run.stderr);
    const places = report.findings.map((finding) => ({ finding, place: locate(finding, run.root, staged) }));
    // What lacks a unit waits for another round while there are other faults: with the last good in the place of the faulty, it may be there.
    const isHidden = places.some(
      ({ finding, place }) =>
        counts(finding, context) && !isLack(finding) && admitted.some((bundle) => bundle.application === place?.application),
    );
    for (const bundle of admitted) {
      const own = places.filter(({ place }) => place?.application === bundle.application);
      const told = (which: (finding: Finding) => boolean) =>
        own
          .filter(({ finding }) => which(finding))
          .map(({ finding, place }) => problemOf(finding, place?.path ?? ("" as RelativePath), bundle));
      const problems = told((finding) => counts(finding, context) && !(isHidden && isLack(finding)));
      const missing = report.findings.some((finding) => finding.severity === "error")
        ? []
        : bundle.units
            .filter((unit) => !report.services.has(unit.service))
            .map((unit) => ({
              file: unit.file,
              line: undefined,
              message: `the host's generator makes no ${unit.service} of it, and does not say why`,
            }));
      // A quadlet of the same name where pgo can't look, /usr/share/containers/systemd for one: the dry run shows which of them counts.
      const shadowed = bundle.units.flatMap((unit) => {
        const foreign = report.sources.get(unit.service)?.find((source) => !source.startsWith(`${run.root}/`));
        return foreign === undefined ? [] : [taken(unit, foreign)];
      });
      court.refuseWith(bundle, [...problems, ...missing, ...shadowed]);
      court.warn(
        bundle.application,
        told((finding) => finding.severity === "warning"),
      );
    }
    const left = court.admitted();
    if (left.length === admitted.length) return;
    admitted = left;
  }
}

function counts(finding: Finding, { config }: Context): boolean {
  return finding.severity === "error" || config.quadlet.generatorWarnings === "refuse";
}

/** Whose file a finding is about: by its path in the staging copy, or by its base name, which is unique. */
function locate(
  finding: Finding,
  root: string,
  staged: ReadonlyMap<ApplicationId, Bundle>,
): { readonly application: ApplicationId; readonly path: RelativePath } | undefined {
  for (const [application, bundle] of staged)
    for (const file of bundle.files)
      if (finding.file === `${root}/${application}/${file.path}` || finding.file === file.path.split("/").at(-1))
        return { application, path: file.path };
  return undefined;
}

/** The generator's own words, which name the quadlet also for what is in a drop-in of its; with the line of what they quote and a guess at what was meant. */
function problemOf(finding: Finding, path: RelativePath, bundle: Bundle): Problem {
  const unit = bundle.units.find((one) => one.file === path);
  const files = [path, ...(unit?.files.filter(isDropIn) ?? [])];
  const advised = files.map((file) => ({ file, ...adviseOn(finding.message, textOf(file, bundle)) }));
  const found = finding.line === undefined ? advised.find(({ line }) => line !== undefined) : undefined;
  const { file = path, line = finding.line, advice = advised[0]?.advice ?? "" } = found ?? {};
  return { file, line, message: `${finding.message}${advice}` };
}

function textOf(path: RelativePath, bundle: Bundle): string {
  return Buffer.from(bundle.files.find((file) => file.path === path)?.content ?? "").toString("utf8");
}

function unitNames(draft: Draft | undefined): readonly UnitName[] {
  return [...(draft?.files.keys() ?? [])]
    .filter((path) => quadletSuffix(path) !== undefined)
    .map((path) => (path.split("/").at(-1) ?? "") as UnitName);
}

function originOf(draft: Draft | undefined, path: string): string {
  return draft?.files.get(path as RelativePath)?.origin ?? path;
}

function digestOfDraft(draft: Draft | undefined): Digest {
  const entries = [...(draft?.files ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
  return digestOf(...entries.flatMap(([path, { entry }]) => [path, entry.kind === "file" ? entry.content : entry.kind]));
}
