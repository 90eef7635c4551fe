/** Files ending `.liquid`, rendered with liquidjs: only variables in, only text out, with limits, and with the way back from each line. */

import { analyzeSync, Liquid, LiquidError, TokenKind, toValue, type Context, type Emitter, type Template, type Token } from "liquidjs";

import { closest } from "./closest.ts";
import { positionsIn, type Position } from "./position.ts";
import type { TemplateRenderer } from "./rendering.ts";
import { success, trouble, type Result } from "./result.ts";
import { unknownName, type PlacedProblem, type Vars } from "./substitute.ts";

export interface Rendered {
  readonly text: string;
  /** The template's line for a line of the text (both from 1): where the first thing on it that is no white space comes from. */
  readonly lineOf: (line: number) => number;
}

/** What one rendering may use. Time is a safeguard, not a rule: whether a template is valid should not hang on the machine. */
export interface TemplateLimits {
  /** Characters of the template. */
  readonly source: number;
  /** Characters of the output and of all captures together. */
  readonly output: number;
  /** Characters and elements that filters and ranges make. */
  readonly memory: number;
  readonly milliseconds: number;
}
export const templateLimits: TemplateLimits = { source: 262_144, output: 1_048_576, memory: 1_000_000, milliseconds: 1000 };

/**
 * Renders a template. Its variables are texts (`"false"` is true in an `if`: compare it). Names that nobody declared are Problems,
 * all at once and in branches not taken too; one without a value is none in `if`, `unless` and `default`, and a Problem elsewhere.
 * A value that has a line break is a Problem where it is used, as is one whose backslash at a line's end would join two lines.
 *
 * There are no files (`include`, `render`, `layout`), no clock, nothing by chance, and only filters that take time and memory in
 * proportion to what they are given. liquidjs looks at the time before each tag and output, and counts what filters make; it does
 * not count what is written, so that is done here.
 */
export function renderTemplate(
  text: string,
  vars: Vars,
  { file, limits = templateLimits }: { readonly file: string; readonly limits?: TemplateLimits },
): Result<Rendered, readonly PlacedProblem[]> {
  const position = positionsIn(text);
  if (text.length > limits.source)
    return trouble([{ file, line: 1, column: 1, message: `is longer than a template may be (${limits.source} characters): split it` }]);
  const fail = (error: unknown): Result<never, readonly PlacedProblem[]> => trouble([{ file, ...explain(error, vars) }]);
  const pages = new Pages(position, limits.output);
  const engine = engineFor(limits, pages);
  let templates: Template[];
  let used: ReturnType<typeof analyzeSync>["globals"];
  try {
    templates = engine.parse(text);
    used = analyzeSync(templates, { partials: false }).globals;
  } catch (error) {
    return fail(error);
  }
  const unknown = Object.entries(used)
    .filter(([name]) => !vars.has(name))
    .flatMap(([name, uses]) =>
      uses.map(({ location }) => ({ file, line: location.row, column: location.col, message: unknownName(name, vars) })),
    );
  if (unknown.length > 0) return trouble(unknown.sort((one, other) => one.line - other.line || one.column - other.column));
  try {
    engine.renderSync(templates, scopeOf(vars));
  } catch (error) {
    return fail(error);
  }
  const { joined } = pages.first;
  if (joined !== undefined)
    return trouble([
      { file, ...joined, message: "a backslash of a value ends the line, and would join it with the next: change the value" },
    ]);
  return success(pages.first.rendered());
}

/** In the shape that a bundle is assembled with. */
export const rendered: TemplateRenderer = (text, vars, file) => {
  const made = renderTemplate(text, vars, { file });
  if (!made.ok) return made;
  const count = made.value.text.split("\n").length;
  return success({ text: made.value.text, lines: Array.from({ length: count }, (_, index) => made.value.lineOf(index + 1)) });
};

/** Linear in time and memory, or charged by liquidjs for what they make; none that reads a clock or decodes (a line break could come out). */
const filters = new Set(
  (
    "abs append at_least at_most base64_encode capitalize ceil compact concat default divided_by downcase first floor join json last lstrip " +
    "map minus modulo plus pop prepend push remove remove_first remove_last replace replace_first replace_last reverse round rstrip sha256 " +
    "shift size slice sort sort_natural split strip sum times to_integer truncate uniq unshift upcase url_encode"
  ).split(" "),
);
const tagsOfFiles = ["include", "render", "layout", "block", "tablerow"];

function engineFor(limits: TemplateLimits, pages: Pages): Liquid {
  const engine = new Liquid({
    strictFilters: true,
    strictVariables: true,
    lenientIf: true,
    ownPropertyOnly: true,
    templates: {},
    memoryLimit: limits.memory,
    renderLimit: limits.milliseconds,
  });
  for (const name of Object.keys(engine.filters)) if (!filters.has(name)) engine.unregisterFilter(name);
  for (const name of tagsOfFiles) Reflect.deleteProperty(engine.tags, name);
  // One template at a time, so that the page knows what is written on it. Captures get a page too, or they would not be counted.
  const renderAll = engine.renderer.renderTemplates.bind(engine.renderer);
  engine.renderer.renderTemplates = function* (templates: Template[], context: Context, given?: Emitter): Generator<unknown, string> {
    const page = given instanceof Page ? given : pages.next();
    // An empty list too: this is where liquidjs looks at the time.
    yield* renderAll([], context, page);
    for (const template of templates) {
      page.turnTo(template.token);
      yield* renderAll([template], context, page);
      if (context.breakCalled || context.continueCalled) break;
    }
    return page.buffer;
  };
  return engine;
}

/** No prototype, so that nothing but the variables is found. */
function scopeOf(vars: Vars): object {
  const scope = Object.create(null) as object;
  for (const [name, value] of vars) {
    if (value === undefined) continue;
    const get = (): string => {
      if (/[\n\r\0]/.test(value))
        throw new Error(`the value of ${name} has a line break, which would add a line: take it out of the value`);
      return value;
    };
    Object.defineProperty(scope, name, { enumerable: true, get });
  }
  return scope;
}

/** What a rendering writes on: the output first, then one page for each capture, with one allowance for all. */
class Pages {
  readonly position: (index: number) => Position;
  readonly #limit: number;
  #written = 0;
  #first: Page | undefined;

  constructor(position: (index: number) => Position, limit: number) {
    this.position = position;
    this.#limit = limit;
  }

  /** The output. */
  get first(): Page {
    return (this.#first ??= new Page(this));
  }

  next(): Page {
    return this.#first === undefined ? this.first : new Page(this);
  }

  use(characters: number): void {
    this.#written += characters;
    if (this.#written > this.#limit)
      throw new Error(`the output is longer than ${this.#limit} characters: is there a loop that is too long?`);
  }
}

/** Collects text, and where in the template each line of it comes from. */
class Page implements Emitter {
  buffer = "";
  /** Where a value's backslash came to stand at the end of a line. */
  joined: Position | undefined;
  readonly #pages: Pages;
  readonly #lines: { readonly from: number; readonly solid: boolean }[] = [];
  #at: Position = { line: 1, column: 1 };
  /** Text of the template itself, of which each line comes from the next line of the template. */
  #literal = false;
  #hanging: Position | undefined;

  constructor(pages: Pages) {
    this.#pages = pages;
  }

  /** What is written from now on comes from this token. */
  turnTo(token: Token): void {
    const raw = token.kind === TokenKind.Tag && (token as NamedToken).name === "raw";
    this.#literal = token.kind === TokenKind.HTML || raw;
    this.#at = this.#pages.position(raw ? token.end : token.begin + (token.kind === TokenKind.HTML ? (token as HtmlToken).trimLeft : 0));
  }

  write(html: unknown): void {
    const text = textOf(html);
    if (text === "") return;
    this.#pages.use(text.length);
    this.buffer += text;
    for (const [index, part] of text.split("\n").entries()) {
      if (index > 0 || this.#lines.length === 0) this.#lines.push({ from: this.#lineAfter(index), solid: part.trim() !== "" });
      else if (this.#lines.at(-1)?.solid === false && part.trim() !== "")
        this.#lines[this.#lines.length - 1] = { from: this.#at.line, solid: true };
    }
    if (this.#hanging !== undefined && /^\\*[^\S\n]*\n/.test(text)) this.joined ??= this.#hanging;
    if (text.trim() === "" && !text.includes("\n")) return;
    this.#hanging = !this.#literal && /\\[^\S\n]*$/.test(text) ? this.#at : undefined;
  }

  rendered(): Rendered {
    const lines = this.#lines.map(({ from }) => from);
    return { text: this.buffer, lineOf: (line) => lines[line - 1] ?? lines.at(-1) ?? 1 };
  }

  #lineAfter(breaks: number): number {
    return this.#at.line + (this.#literal ? breaks : 0);
  }
}

type HtmlToken = Token & { readonly trimLeft: number };
type NamedToken = Token & { readonly name: string };

/** As liquidjs prints: lists without anything between. */
function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  if (value === undefined || value === null) return "";
  return Array.isArray(value) ? value.map(textOf).join("") : String(toValue(value));
}

/** The words for what liquidjs threw; what it did not mean to throw goes on, but for a text that is nested too deep for it. */
function explain(error: unknown, vars: Vars): { readonly line: number | undefined; readonly column: number; readonly message: string } {
  if (error instanceof RangeError) return { line: undefined, column: 1, message: tooDeep };
  if (!LiquidError.is(error)) throw error;
  const [line, column = 1] = error.token.getPosition();
  const said = (error.originalError?.message ?? error.message).replace(/, line:\d+, col:\d+$/, "");
  return { line, column, message: inWords(said, vars) };
}

function inWords(said: string, vars: Vars): string {
  const variable = /^undefined variable: (.*)$/s.exec(said)?.[1];
  if (variable !== undefined)
    return vars.has(variable)
      ? `${variable} has no value: set it, or write {{ ${variable} | default: "…" }}`
      : `${variable} is not there: variables are texts and have no parts`;
  const filter = /^undefined filter: (.*)$/s.exec(said)?.[1];
  if (filter !== undefined) {
    const meant = closest(filter, [...filters]);
    return `there is no filter ${filter} here${meant === undefined ? "" : ` (did you mean ${meant}?)`}; there are ${[...filters].join(", ")}`;
  }
  const tag = /^tag "(.*)" not found$/s.exec(said)?.[1];
  if (tag !== undefined && tagsOfFiles.includes(tag)) return `{% ${tag} %} is not available: a template can't read other files`;
  if (said.startsWith("memory alloc limit"))
    return "the template makes more text than it may: is there a loop or a range that is too long?";
  if (said.startsWith("template render limit")) return "the template takes too long: is there a loop that is too long?";
  if (said.startsWith("Maximum call stack size exceeded")) return tooDeep;
  return said;
}

const tooDeep = "the template is nested too deep: make it simpler";
