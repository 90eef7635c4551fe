/** What one dry run of the generator means for each candidate: whose file a finding is about, in which line, and who falls by it. */

import type { Bundle, Problem, Unit } from "./bundle.ts";
import { isLack, readGenerator, type Finding } from "./generator.ts";
import { takenBy, type Court } from "./judgement.ts";
import { isDropIn } from "./layout.ts";
import { isQuadletKind, traitsOf } from "./kinds.ts";
import type { ApplicationId, RelativePath, ServiceName } from "./names.ts";
import { tooOldForKind } from "./podman-versions.ts";
import { placeIn } from "./position.ts";
import { adviseOn } from "./quadlet-keys.ts";

/** A dry run over all that stands in a court. */
export interface Testimony {
  readonly stdout: string;
  readonly stderr: string;
  /** The staging directory as the output names it; applications lie below it by their id. */
  readonly root: string;
}

/**
 * Refuses what the generator refuses; `warnings`: whether its warnings do so too. Answers whether anybody fell: one refused may have hidden
 * another's fault or provided what another needs, so the generator is asked again.
 */
export function weigh(court: Court, { stdout, stderr, root }: Testimony, warnings: "report" | "refuse"): boolean {
  const counts = (finding: Finding): boolean => finding.severity === "error" || warnings === "refuse";
  const admitted = court.admitted();
  const staged = court.staged();
  const report = readGenerator(stdout, stderr);
  const crash = crashOf({ stderr });
  const places = report.findings.map((finding) => ({ finding, place: locate(finding, root, staged) }));
  // What lacks a unit waits for another round while there are other faults: with the last good in the place of the faulty, it may be there.
  const isHidden = places.some(
    ({ finding, place }) => counts(finding) && !isLack(finding) && admitted.some((bundle) => bundle.application === place?.application),
  );
  for (const bundle of admitted) {
    const own = places.filter(({ place }) => place?.application === bundle.application);
    const told = (which: (finding: Finding) => boolean) =>
      own
        .filter(({ finding }) => which(finding))
        .map(({ finding, place }) => problemOf(finding, place?.path ?? ("" as RelativePath), bundle));
    const problems = told((finding) => counts(finding) && !(isHidden && isLack(finding)));
    const missing = report.findings.some((finding) => finding.severity === "error")
      ? []
      : bundle.units
          .filter((unit) => isQuadletKind(unit.kind) && !isMade(unit.service, report.services))
          .map((unit) => ({
            file: unit.file,
            line: undefined,
            message: `the generator makes no ${unit.service} of it${reasonFor(unit, crash, bundle)}`,
          }));
    // A quadlet of the same name where pgo can't look, /usr/share/containers/systemd for one: the dry run shows which of them counts.
    const shadowed = bundle.units.flatMap((unit) => {
      const foreign = report.sources.get(unit.service)?.find((source) => !source.startsWith(`${root}/`));
      return foreign === undefined ? [] : [takenBy(foreign, unit)];
    });
    court.refuseWith(bundle, [...problems, ...missing, ...shadowed]);
    court.warn(
      bundle,
      told((finding) => finding.severity === "warning"),
    );
  }
  return court.admitted().length < admitted.length;
}

function reasonFor({ kind }: Unit, crash: string | undefined, bundle: Bundle): string {
  if (crash !== undefined) return `: it crashes over what is on the host (${crash})`;
  const lack = isQuadletKind(kind) ? tooOldForKind(traitsOf(kind).section, podmanOf(bundle)) : undefined;
  return lack === undefined ? ", and does not say why" : `: a .${kind} ${lack}`;
}

/** The Podman whose generator judges, as the bundle was told when it was rendered. */
function podmanOf({ vars }: Bundle): string | undefined {
  return vars.get("PGO_PODMAN_VERSION");
}

/** A template's instance comes of the template, where it has no file of its own. */
function isMade(service: ServiceName, made: ReadonlySet<ServiceName>): boolean {
  return made.has(service) || made.has(service.replace(/@.+(?=\.service$)/, "@") as ServiceName);
}

/** How the generator crashed, if it did: it then makes no unit of any file (seen on Podman 5.4.2 with `Mount=type=bind,source=,…`). */
export function crashOf({ stderr }: Pick<Testimony, "stderr">): string | undefined {
  return /^(?:panic|fatal error): (.*)$/m.exec(stderr)?.[1]?.trim();
}

/** A crash names nobody; this is for the file without which it does not happen. */
export function crashProblem(file: string, crash: string): Problem {
  const message = `the generator crashes on it (${crash}), and would then make no unit of any file on the host: look for a value that is empty or cut short`;
  return { file, line: undefined, message };
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
  const advised = files.map((file) => ({ file, ...adviseOn(finding.message, textOf(file, bundle), podmanOf(bundle)) }));
  const found = finding.line === undefined ? advised.find(({ entry }) => entry !== undefined) : undefined;
  const { file, message } = found ?? { file: path, message: advised[0]?.message ?? finding.message };
  return found?.entry === undefined ? { file, line: finding.line, message } : { file, ...placeIn(found.entry), message };
}

function textOf(path: RelativePath, bundle: Bundle): string {
  return Buffer.from(bundle.files.find((file) => file.path === path)?.content ?? "").toString("utf8");
}
