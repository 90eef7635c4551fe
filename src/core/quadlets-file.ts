/** A `.quadlets` file: several quadlets in one file, taken apart. */

import type { Problem } from "./bundle.ts";
import { NameError, unitName, type UnitName } from "./names.ts";
import { quadletKinds, type QuadletKind } from "./kinds.ts";
import { success, trouble, type Result } from "./result.ts";

/** One quadlet of a `.quadlets` file. */
export interface SplitQuadlet {
  readonly name: UnitName;
  readonly text: string;
  /** How many lines of the `.quadlets` file are above the text: a line of the text and this are a line of the file. */
  readonly offset: number;
}

/**
 * Takes a `.quadlets` file apart as `podman quadlet install` does (Podman 5.7 and newer; parseMultiQuadletFile in its
 * pkg/domain/infra/abi/quadlet.go, podman-quadlet-install(1), tried on 5.8): the generator itself reads no such file, on any version.
 * - A line `---` ends a quadlet; white space around it counts for nothing, and neither do parts that are empty.
 * - The first section that is a kind's, upper or lower case, says which: `[Container]`, `[Pod]`, ….
 * - The first comment `# FileName=NAME`, anywhere in the part, names it, without the suffix. Every part needs one, a single one too.
 * All Problems of the file at once, those in `file`.
 */
export function splitQuadlets(file: string, text: string): Result<readonly SplitQuadlet[], readonly Problem[]> {
  const parts = partsOf(text.replace(/^\ufeff/, ""));
  const problems: Problem[] = [];
  const found: (SplitQuadlet & { readonly line: number })[] = [];
  if (parts.length === 0) problems.push({ file, line: undefined, message: "holds no quadlet: remove it, or write one into it" });
  for (const part of parts) {
    const kind = kindOf(part);
    const name = nameOf(part);
    if (!kind.ok) problems.push({ file, ...kind.trouble });
    if (!name.ok) problems.push({ file, ...name.trouble });
    if (!kind.ok || !name.ok) continue;
    const full = fullName(name.value, kind.value);
    if (!full.ok) {
      problems.push({ file, ...full.trouble });
      continue;
    }
    const { line } = name.value;
    const first = found.find((other) => other.name === full.value);
    if (first !== undefined)
      problems.push({ file, line, message: `a second quadlet is called ${first.name}: the first is on line ${first.line}` });
    found.push({ name: full.value, text: `${part.lines.join("\n")}\n`, offset: part.offset, line });
  }
  return problems.length > 0 ? trouble(problems) : success(found.map(({ name, text, offset }) => ({ name, text, offset })));
}

/** The lines between two separators, without empty ones at the ends. */
interface Part {
  readonly lines: readonly string[];
  readonly offset: number;
}

type Found<Value> = Result<Value, Pick<Problem, "line" | "message">>;

function partsOf(text: string): readonly Part[] {
  const lines = text.split("\n");
  const separators = [...lines.flatMap((line, at) => (line.trim() === "---" ? [at] : [])), lines.length];
  return separators.flatMap((end, index) => {
    const start = index === 0 ? 0 : (separators[index - 1] ?? 0) + 1;
    const part = lines.slice(start, end);
    const first = part.findIndex((line) => line.trim() !== "");
    const last = part.findLastIndex((line) => line.trim() !== "");
    return first === -1 ? [] : [{ lines: part.slice(first, last + 1), offset: start + first }];
  });
}

function kindOf({ lines, offset }: Part): Found<QuadletKind> {
  const headers = lines.flatMap((line, at) => {
    const kind = sectionKind(line.trim());
    return kind === undefined ? [] : [{ kind, line: offset + at + 1, header: line.trim() }];
  });
  const [first] = headers;
  if (first === undefined)
    return trouble({ line: offset + 1, message: "no section says what kind of quadlet begins here: add [Container], [Volume] or another" });
  // Podman places such a part as the first kind; the second would never come to life.
  const second = headers.find(({ kind }) => kind !== first.kind);
  if (second === undefined) return success(first.kind);
  const message = `${second.header} stands in the same quadlet as ${first.header} on line ${first.line}: put a line --- between them`;
  return trouble({ line: second.line, message });
}

function sectionKind(line: string): QuadletKind | undefined {
  if (!line.startsWith("[") || !line.endsWith("]")) return undefined;
  const section = line.replace(/^\[+|\]+$/g, "").toLowerCase();
  return quadletKinds.find((kind) => kind === section);
}

interface PartName {
  readonly name: string;
  readonly line: number;
}

function nameOf({ lines, offset }: Part): Found<PartName> {
  const at = lines.findIndex((line) => /^\s*#\s*FileName=/.test(line));
  if (at === -1) return trouble({ line: offset + 1, message: "the quadlet that begins here has no name: add a line # FileName=NAME" });
  const name = (lines[at] ?? "").replace(/^\s*#\s*FileName=/, "").trim();
  const line = offset + at + 1;
  if (name === "") return trouble({ line, message: "FileName= is empty: write the quadlet's name behind it" });
  if (/[/\\]/.test(name)) return trouble({ line, message: `FileName=${name} is a path: Podman takes a name without / and \\ only` });
  return success({ name, line });
}

function fullName({ name, line }: PartName, kind: QuadletKind): Found<UnitName> {
  // Podman would make web.container.container of it.
  const suffix = [...quadletKinds, "quadlets"].find((one) => name.endsWith(`.${one}`));
  if (suffix !== undefined)
    return trouble({ line, message: `FileName=${name} has a suffix, and the section gives it one: leave .${suffix} away` });
  try {
    return success(unitName(`${name}.${kind}`));
  } catch (error) {
    if (!(error instanceof NameError)) throw error;
    return trouble({ line, message: `FileName=${name} can't be used: ${error.message}` });
  }
}
