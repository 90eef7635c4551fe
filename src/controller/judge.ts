/** Judges a revision's applications before the host is touched: by what the host has, by the generator and by systemd over all that would be live. */

import { ownerOf } from "../core/adopt.ts";
import type { Bundle, BundleFile, Problem, Unit } from "../core/bundle.ts";
import type { Candidate } from "../core/decide.ts";
import { refuseCycles } from "../core/cycles.ts";
import { crashOf, crashProblem, weigh } from "../core/findings.ts";
import { openCourt, takenBy, type Court, type Trial } from "../core/judgement.ts";
import type { ApplicationId } from "../core/names.ts";
import { stageOf, weighUnits } from "../core/unit-verify.ts";
import type { DryRun, Host } from "../ports.ts";
import { isOurs, mayAdopt } from "./adopt.ts";
import type { Context } from "./context.ts";

/** Who is asked. */
export interface Witnesses {
  readonly dryRun: Host["dryRun"];
  readonly generatorWarnings: "report" | "refuse";
  /** The host that it would be rolled out to; undefined where none is at hand, as for `pgo validate`. */
  readonly elsewhere: Elsewhere | undefined;
  /** systemd's word on plain units; without it they are only read. */
  readonly verifier?: Verifier;
}

interface Verifier extends Pick<Host, "verifyUnits"> {
  /** Where quadlets and what lies beside them go on the host. */
  readonly directory: string;
}

/** What the host has that pgo did not place. */
interface Elsewhere extends Pick<Host, "foreign" | "services"> {
  /** Whether pgo placed the file of this path. */
  isOurs(path: string): boolean;
  /** Whether a unit of an application may take the place of this file. */
  mayAdopt(path: string, unit: Unit, application: ApplicationId): "never" | "if set" | "yes";
}

export async function judge(trial: Trial, witnesses: Witnesses, signal: AbortSignal): Promise<ReadonlyMap<ApplicationId, Candidate>> {
  const court = openCourt(trial);
  const adopted = witnesses.elsewhere === undefined ? new Set<string>() : await refuseForeign(court, witnesses.elsewhere, signal);
  const dryRun: Staging = (staged, inner) => witnesses.dryRun(staged, adopted, inner);
  const stage: Stage = { ...witnesses, dryRun };
  let generated = await refuseByGenerator(court, stage, signal);
  while (
    generated !== undefined &&
    (refuseCycles(court, generated.stdout) || (await refuseByVerifier(court, generated, witnesses.verifier, signal)))
  )
    generated = await refuseByGenerator(court, stage, signal);
  return court.verdicts();
}

/** A dry run without the files that are taken over. */
type Staging = (staged: ReadonlyMap<ApplicationId, readonly BundleFile[]>, signal: AbortSignal) => ReturnType<Host["dryRun"]>;
type Stage = Pick<Witnesses, "generatorWarnings"> & { readonly dryRun: Staging };

/** The host that this pgo works for. */
export function witnessesOf(context: Context): Witnesses {
  const { host, config } = context;
  return {
    dryRun: (staged, without, signal) => host.dryRun(staged, without, signal),
    generatorWarnings: config.quadlet.generatorWarnings,
    verifier: { verifyUnits: (stage, signal) => host.verifyUnits(stage, signal), directory: config.quadlet.directory },
    elsewhere: {
      foreign: (isPlaced, signal) => host.foreign(isPlaced, signal),
      services: (names, signal) => host.services(names, signal),
      isOurs: (path) => isOurs(path, context),
      mayAdopt: (path, unit, application) => mayAdopt(path, unit, application, context),
    },
  };
}

/**
 * A service that the host has from elsewhere is neither overwritten nor shadowed: not a person's quadlet, not a unit of the distribution's.
 * Answers the files that are to be taken over.
 */
async function refuseForeign(court: Court, host: Elsewhere, signal: AbortSignal): Promise<ReadonlySet<string>> {
  const adopted = new Set<string>();
  const admitted = court.admitted();
  if (admitted.length === 0) return adopted;
  const foreign = await host.foreign((path) => host.isOurs(path), signal);
  const states = await host.services([...new Set(admitted.flatMap((bundle) => bundle.units.map((unit) => unit.service)))], signal);
  for (const bundle of admitted) {
    const problems = bundle.units.flatMap((unit): readonly Problem[] => {
      const owner = ownerOf(unit, foreign, states.get(unit.service));
      if (owner === undefined || host.isOurs(owner)) return [];
      const may = host.mayAdopt(owner, unit, bundle.application);
      if (may !== "yes") return [takenBy(owner, unit, may === "if set")];
      adopted.add(owner);
      return [];
    });
    court.refuseWith(bundle, problems);
  }
  return adopted;
}

/** Each round refuses at least one candidate or is the last, which it answers; undefined when none is left. */
async function refuseByGenerator(court: Court, witnesses: Stage, signal: AbortSignal): Promise<DryRun | undefined> {
  while (court.admitted().length > 0) {
    const run = await witnesses.dryRun(filesOf(court.staged()), signal);
    const crash = crashOf(run);
    if (crash !== undefined && (await refuseCrasher(court, { crash, witnesses }, signal))) continue;
    if (!weigh(court, run, witnesses.generatorWarnings)) return run;
  }
  return undefined;
}

/** Asked only where a candidate brings a plain unit. Answers whether anybody fell: the generator is asked again then, without them. */
async function refuseByVerifier(court: Court, { stdout }: DryRun, verifier: Verifier | undefined, signal: AbortSignal): Promise<boolean> {
  const stage = verifier === undefined ? undefined : stageOf(court, stdout);
  if (verifier === undefined || stage === undefined) return false;
  return weighUnits(court, await verifier.verifyUnits(stage, signal), verifier.directory);
}

/** A crash names nobody, so the candidate is found by halving, and in it the unit. Answers false when it is something that is live already. */
async function refuseCrasher(
  court: Court,
  { crash, witnesses }: { readonly crash: string; readonly witnesses: Stage },
  signal: AbortSignal,
): Promise<boolean> {
  const crashes = async (staged: ReadonlyMap<ApplicationId, readonly BundleFile[]>) =>
    crashOf(await witnesses.dryRun(staged, signal)) !== undefined;
  const admitted = court.admitted();
  let [well, ill] = [0, admitted.length];
  if (await crashes(filesOf(court.staged([])))) return false;
  while (ill - well > 1) {
    const middle = Math.floor((well + ill) / 2);
    if (await crashes(filesOf(court.staged(admitted.slice(0, middle))))) ill = middle;
    else well = middle;
  }
  const culprit = admitted[well];
  if (culprit === undefined) return false;
  for (const { file, files } of culprit.units) {
    const alone = culprit.files.filter(({ path }) => files.includes(path));
    if (!(await crashes(new Map([[culprit.application, alone]])))) continue;
    court.refuseWith(culprit, [crashProblem(file, crash)]);
    return true;
  }
  court.refuseWith(culprit, [crashProblem(culprit.units[0]?.file ?? "", crash)]);
  return true;
}

function filesOf(staged: ReadonlyMap<ApplicationId, Bundle>): ReadonlyMap<ApplicationId, readonly BundleFile[]> {
  return new Map([...staged].map(([id, bundle]) => [id, bundle.files]));
}
