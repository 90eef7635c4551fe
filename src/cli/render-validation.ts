/** What `pgo validate` found, for people, for scripts, for code scanning and for the annotations of a GitHub workflow. Pure. */

import type { LocatedProblem, ValidationReport } from "../core/validation.ts";
import { joined } from "./render.ts";
import { cleaned, paint, type View } from "./text.ts";

export const validationFormats = ["text", "json", "sarif", "github"] as const;
export type ValidationFormat = (typeof validationFormats)[number];

/** `version`: of this pgo. */
export function renderValidation(report: ValidationReport, format: ValidationFormat, version: string, view: View): string {
  switch (format) {
    case "text":
      return text(cleaned(report), view);
    case "json":
      return `${JSON.stringify(report, null, 2)}\n`;
    case "sarif":
      return `${JSON.stringify(sarif(report, version), null, 2)}\n`;
    case "github":
      return github(cleaned(report), view);
  }
}

interface Told extends LocatedProblem {
  readonly application: string;
  readonly severity: "error" | "warning";
}

function told({ applications }: ValidationReport): readonly Told[] {
  return applications.flatMap(({ name: application, problems, warnings }) => [
    ...problems.map((problem) => ({ ...problem, application, severity: "error" as const })),
    ...warnings.map((problem) => ({ ...problem, application, severity: "warning" as const })),
  ]);
}

/** `file:line:column: error: message`, as compilers write it and editors read it: one line each, never wrapped. */
function text(report: ValidationReport, view: View): string {
  const lines = told(report).map(({ file, line, column, severity, message }) => {
    const place = [file, line, column].filter((part) => part !== null).join(":");
    return `${paint(`${place}:`, "bold", view)} ${paint(`${severity}:`, severity === "error" ? "bad" : "care", view)} ${oneLine(message)}`;
  });
  return joined([...lines, ...closing(report, view)]);
}

function closing({ applications, onlyRead, podman, valid }: ValidationReport, view: View): readonly string[] {
  const sum = (of: (one: (typeof applications)[number]) => number): number => applications.reduce((all, one) => all + of(one), 0);
  const counts = [
    counted(applications.length, "application"),
    counted(
      sum(({ units }) => units.length),
      "unit",
    ),
    counted(
      sum(({ problems }) => problems.length),
      "problem",
    ),
    counted(
      sum(({ warnings }) => warnings.length),
      "warning",
    ),
  ];
  const word = valid ? paint("valid", "good", view) : paint("not valid", "bad", view);
  return [
    ...applications.flatMap(({ name, blocked }) => (blocked === null ? [] : [`${name}: not judged: ${oneLine(blocked)}`])),
    ...(onlyRead.length === 0
      ? []
      : [`${counted(onlyRead.length, "plain systemd unit")} only read: systemd judges on the host, before anything is placed there`]),
    `${word}: ${counts.join(", ")} (judged by the generator of Podman ${podman})`,
  ];
}

function counted(count: number, what: string): string {
  return `${String(count)} ${what}${count === 1 ? "" : "s"}`;
}

function oneLine(message: string): string {
  return message.replace(/\s*\n\s*/g, " ");
}

/**
 * Workflow commands, https://docs.github.com/actions/reference/workflow-commands-for-github-actions, escaped as packages/core/src/command.ts
 * of actions/toolkit does it. The log shows no more than the message, so the place is in the title too.
 */
function github(report: ValidationReport, view: View): string {
  const lines = told(report).map(({ file, line, column, severity, message }) => {
    const title = `pgo: ${[file, line].filter((part) => part !== null).join(":")}`;
    const properties = { file, line, col: column, title };
    const written = Object.entries(properties).flatMap(([name, value]) => (value === null ? [] : [`${name}=${property(String(value))}`]));
    return `::${severity} ${written.join(",")}::${commandText(message)}`;
  });
  return joined([...lines, ...closing(report, { ...view, colour: false })]);
}

function commandText(value: string): string {
  return value.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}

function property(value: string): string {
  return commandText(value).replaceAll(":", "%3A").replaceAll(",", "%2C");
}

/** What kinds of findings there are, by the words of the message; the first that fits. Ids are stable: code scanning tells alerts apart by them. */
const rules = [
  {
    id: "syntax",
    pattern: /which is not a key-value pair, group, or comment|^TOML |UTF-8/,
    text: "A file that can't be read",
    help: "Correct the line: units are written as systemd.syntax(7) says, pgo.toml as TOML.",
  },
  {
    id: "unknown-key",
    pattern: /^unsupported key |unknown key|did you mean/i,
    text: "A key that nobody knows",
    help: "Correct the key's name; a key may also be too new for this version of Podman: podman-systemd.unit(5).",
  },
  {
    id: "missing-unit",
    pattern: /^requested Quadlet |^unable to translate dependency /,
    text: "A unit that is named and not there",
    help: "Add the unit, or correct its name where it is used.",
  },
  {
    id: "taken-name",
    pattern: / which application \S+ has already| comes of it and of |a second unit is called /,
    text: "A name that another unit has",
    help: "Give one of the two units another name: names of units and services are unique on a host.",
  },
  {
    id: "invalid",
    pattern: /(?:)/,
    text: "A file that would not be deployed",
    help: "The message says what is wrong, and what to do: docs/operations.md of pgo lists them.",
  },
] as const;
const warningRule = { id: "warning", text: "The quadlet generator warns", help: "It would be deployed, but look at the message." } as const;

/** A SARIF 2.1.0 log with the properties that GitHub's code scanning wants (https://docs.github.com/code-security, "SARIF support"). */
function sarif(report: ValidationReport, version: string): object {
  const descriptors = [...rules, warningRule];
  const results = told(report).map(({ file, line, column, severity, message }) => {
    const ruleId = severity === "warning" ? warningRule.id : (rules.find(({ pattern }) => pattern.test(message))?.id ?? "invalid");
    const at = { line: line ?? 1, column: column ?? 1 };
    const region = { startLine: at.line, startColumn: at.column, endLine: at.line, endColumn: at.column + 1 };
    const artifactLocation = { uri: file.split("/").map(encodeURIComponent).join("/"), uriBaseId: "%SRCROOT%" };
    return {
      ruleId,
      ruleIndex: descriptors.findIndex(({ id }) => id === ruleId),
      level: severity,
      message: { text: message },
      locations: [{ physicalLocation: { artifactLocation, region } }],
    };
  });
  const driver = {
    name: "pgo",
    semanticVersion: version,
    rules: descriptors.map((rule) => ({
      id: rule.id,
      shortDescription: { text: rule.text },
      fullDescription: { text: `${rule.text}.` },
      help: { text: rule.help },
      defaultConfiguration: { level: rule.id === warningRule.id ? "warning" : "error" },
    })),
  };
  return { $schema: "https://json.schemastore.org/sarif-2.1.0.json", version: "2.1.0", runs: [{ tool: { driver }, results }] };
}
