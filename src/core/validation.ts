/** What `pgo validate` tells: of each application its units, what is wrong with it and what is only warned of. The shape of `--json`. */

import type { Problem } from "./bundle.ts";
import type { Candidate } from "./decide.ts";
import { unitNames } from "./judgement.ts";
import { isPlainKind } from "./kinds.ts";
import type { Draft } from "./layout.ts";
import { partsOf, type ApplicationId, type RelativePath } from "./names.ts";

export interface ValidationReport {
  readonly schema: 1;
  readonly source: string;
  /** The version of the Podman whose generator judged. */
  readonly podman: string;
  readonly applications: readonly ValidatedApplication[];
  /** Plain systemd units, by their files below the repository's root: only read, since systemd judges them on the host alone. */
  readonly onlyRead: readonly string[];
  /** No application has a problem, with `strict` none a warning either. */
  readonly valid: boolean;
}

export interface ValidatedApplication {
  readonly name: string;
  /** `service` is null in an application that is refused. */
  readonly units: readonly { readonly unit: string; readonly service: string | null }[];
  readonly problems: readonly LocatedProblem[];
  readonly warnings: readonly LocatedProblem[];
  /** Why it can't be judged to the end: what it needs of another application is refused there. */
  readonly blocked: string | null;
}

export interface LocatedProblem {
  /** Below the repository's root. */
  readonly file: string;
  /** From 1; null where the whole file is meant. */
  readonly line: number | null;
  readonly column: number | null;
  readonly message: string;
}

export interface Validation {
  readonly source: string;
  readonly podman: string;
  readonly drafts: readonly Draft[];
  readonly candidates: ReadonlyMap<ApplicationId, Candidate>;
  /** Where the files lie below their repository's root: "" or "deploy/". */
  readonly prefix: string;
  /** Whether warnings make it invalid. */
  readonly strict: boolean;
}

export function validationReport({ source, podman, drafts, candidates, prefix, strict }: Validation): ValidationReport {
  const applications = drafts.map((draft) => validated(draft, candidates.get(draft.application), prefix)).sort(byName);
  const wrong = applications.some(
    ({ problems, warnings, blocked }) => problems.length > 0 || blocked !== null || (strict && warnings.length > 0),
  );
  const onlyRead = [...candidates.values()].flatMap(plainFiles).map((file) => `${prefix}${file}`);
  return { schema: 1, source, podman, applications, onlyRead: [...new Set(onlyRead)].sort(), valid: !wrong };
}

function plainFiles(candidate: Candidate): readonly string[] {
  if (candidate.kind !== "bundle") return [];
  const { units, origins } = candidate.bundle;
  return units.filter(({ kind }) => isPlainKind(kind)).flatMap(({ file }) => origins.get(file)?.file ?? []);
}

function validated(draft: Draft, candidate: Candidate | undefined, prefix: string): ValidatedApplication {
  const { application: name } = partsOf(draft.application);
  const names = unitNames(draft).map((unit) => ({ unit, service: null }));
  const located = (problems: readonly Problem[]) => problems.map((problem) => locatedProblem(problem, prefix)).sort(byPlace);
  switch (candidate?.kind) {
    case undefined:
    case "absent":
      throw new Error(`validate ${draft.application}: it was not judged`);
    case "rejected":
      return { name, units: names, problems: located(candidate.problems), warnings: [], blocked: null };
    case "blocked":
      return { name, units: names, problems: [], warnings: [], blocked: candidate.why };
    case "bundle": {
      const units = candidate.bundle.units.map(({ name: unit, service }) => ({ unit, service }));
      // A candidate's warnings name files below the application, where problems name them as Git has them.
      const warnings = (candidate.warnings ?? []).map((one) => ({ ...one, file: originOf(draft, one.file) }));
      return { name, units, problems: [], warnings: located(warnings), blocked: null };
    }
  }
}

function originOf(draft: Draft, path: string): string {
  return draft.files.get(path as RelativePath)?.origin ?? path;
}

function locatedProblem({ file, line, column, message }: Problem, prefix: string): LocatedProblem {
  return { file: `${prefix}${file}`, line: line ?? null, column: column ?? null, message };
}

function byName({ name: one }: ValidatedApplication, { name: other }: ValidatedApplication): number {
  return one < other ? -1 : 1;
}

function byPlace(one: LocatedProblem, other: LocatedProblem): number {
  if (one.file !== other.file) return one.file < other.file ? -1 : 1;
  return (one.line ?? 0) - (other.line ?? 0) || (one.column ?? 0) - (other.column ?? 0);
}
