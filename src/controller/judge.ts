/** Judges a revision's applications before the host is touched: by what the host has, by the generator and by systemd over all that would be live. */

import type { Bundle, BundleFile, Problem } from "../core/bundle.ts";
import type { Candidate } from "../core/decide.ts";
import { crashOf, crashProblem, weigh } from "../core/findings.ts";
import { openCourt, takenBy, type Court, type Trial } from "../core/judgement.ts";
import { relativePath, type ApplicationId } from "../core/names.ts";
import { marked } from "../core/placing.ts";
import { stageOf, weighUnits } from "../core/unit-verify.ts";
import type { DryRun, Host } from "../ports.ts";
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
}

export async function judge(trial: Trial, witnesses: Witnesses, signal: AbortSignal): Promise<ReadonlyMap<ApplicationId, Candidate>> {
  const court = openCourt(trial);
  if (witnesses.elsewhere !== undefined) await refuseForeign(court, witnesses.elsewhere, signal);
  let generated = await refuseByGenerator(court, witnesses, signal);
  while (generated !== undefined && (await refuseByVerifier(court, generated, witnesses.verifier, signal)))
    generated = await refuseByGenerator(court, witnesses, signal);
  return court.verdicts();
}

/** The host that this pgo works for. */
export function witnessesOf({ host, store, config }: Context): Witnesses {
  return {
    dryRun: (staged, signal) => host.dryRun(staged, signal),
    generatorWarnings: config.quadlet.generatorWarnings,
    verifier: { verifyUnits: (stage, signal) => host.verifyUnits(stage, signal), directory: config.quadlet.directory },
    elsewhere: {
      foreign: (isPlaced, signal) => host.foreign(isPlaced, signal),
      services: (names, signal) => host.services(names, signal),
      isOurs(path) {
        if (path.startsWith(`${config.quadlet.unitDirectory}/`)) {
          const name = path.slice(config.quadlet.unitDirectory.length + 1);
          return store.applications().some(({ id }) => store.inventory(id).has(marked("unit", name)));
        }
        const below = path.startsWith(`${config.quadlet.directory}/`) ? path.slice(config.quadlet.directory.length + 1) : "";
        const [source = "", application = "", ...rest] = below.split("/");
        return rest.length > 0 && store.inventory(`${source}/${application}` as ApplicationId).has(relativePath(rest.join("/")));
      },
    },
  };
}

/** A service that the host has from elsewhere is neither overwritten nor shadowed: not a person's quadlet, not a unit of the distribution's. */
async function refuseForeign(court: Court, host: Elsewhere, signal: AbortSignal): Promise<void> {
  const admitted = court.admitted();
  if (admitted.length === 0) return;
  const foreign = await host.foreign((path) => host.isOurs(path), signal);
  const states = await host.services([...new Set(admitted.flatMap((bundle) => bundle.units.map((unit) => unit.service)))], signal);
  for (const bundle of admitted) {
    const problems = bundle.units.flatMap((unit): readonly Problem[] => {
      const state = states.get(unit.service);
      // A unit whose file is gone from disk but not yet from systemd's memory blocks nobody.
      const owner =
        foreign.get(unit.name) ?? (state?.load === "not-found" ? undefined : (state?.source ?? "") || (state?.fragment ?? "") || undefined);
      return owner === undefined || host.isOurs(owner) ? [] : [takenBy(owner, unit)];
    });
    court.refuseWith(bundle, problems);
  }
}

/** Each round refuses at least one candidate or is the last, which it answers; undefined when none is left. */
async function refuseByGenerator(court: Court, witnesses: Witnesses, signal: AbortSignal): Promise<DryRun | undefined> {
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
  { crash, witnesses }: { readonly crash: string; readonly witnesses: Witnesses },
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
