/** A handover: pgo replaced by another version of itself, from the saved intention to its end, and the unit of the host's that carries it out. */

import { z } from "zod";

import { readUnit, values } from "./unit-text.ts";
import { words } from "./unit-words.ts";

const file = z.object({
  /** Below the directory of pgo's own quadlet: `pgo.container`, `pgo.container.d/age.conf`. */
  path: z.string().regex(/^(?:[A-Za-z0-9_][A-Za-z0-9_.@-]*\/)?[A-Za-z0-9_][A-Za-z0-9_.@-]*$/),
  text: z.string(),
});

/** One of the two versions. */
const side = z.object({
  /** As `podman run` takes it. Of the one that runs its id: a tag may have moved. */
  image: z.string().min(1),
  files: z.array(file),
});
export type Side = z.infer<typeof side>;

/**
 * What is known at each moment; saved before the next begins, so that what carries it out may be killed at any of them:
 * - `begun`: nothing is touched.
 * - `switched`: the old pgo is stopped and a copy of its state is safe; the new one is written and started, as often as it takes.
 * - `undoing`: the new pgo is to be stopped, and the copy put back.
 * - `restored`: the copy is back; the old pgo is written and started.
 * - `done`, `undone`: the end.
 */
const phase = z.discriminatedUnion("at", [
  z.object({ at: z.literal("begun") }),
  z.object({ at: z.literal("switched") }),
  z.object({ at: z.literal("undoing"), because: z.string() }),
  z.object({ at: z.literal("restored"), because: z.string() }),
  z.object({ at: z.literal("done") }),
  z.object({ at: z.literal("undone"), because: z.string() }),
]);
export type HandoverPhase = z.infer<typeof phase>;

/** Both versions of pgo read it, so what stands here stays readable: fields may be added, none may change its meaning. */
const record = z.object({
  schema: z.literal(1),
  /** The rollout that it belongs to. */
  deployment: z.int(),
  from: side,
  to: side,
  /** The state database's path. */
  database: z.string().startsWith("/"),
  /** The directory of pgo's own quadlet. */
  directory: z.string().startsWith("/"),
  /** Milliseconds from the start of the new pgo until it must have said that it works. */
  deadline: z.int().min(1),
  phase,
});
export type Handover = z.infer<typeof record>;

/** What the new pgo says of itself: under the invocation that systemd started it with, so that no earlier start's word counts. */
const answer = z.object({ schema: z.literal(1), invocation: z.string(), trouble: z.string().optional() });
export type Answer = z.infer<typeof answer>;

/** Throws where it is none. */
export function readHandover(text: string): Handover {
  return record.parse(JSON.parse(text));
}

/** Undefined where it is none: it may be of a version that words it otherwise, which is no yes. */
export function readAnswer(text: string): Answer | undefined {
  try {
    const read = answer.safeParse(JSON.parse(text));
    return read.success ? read.data : undefined;
  } catch {
    return undefined;
  }
}

export function hasEnded({ phase: { at } }: Handover): boolean {
  return at === "done" || at === "undone";
}

/** Whether a pgo that starts now is the new one, on trial: it must leave everything as it is. */
export function isOnTrial({ phase: { at } }: Handover): boolean {
  return at === "switched" || at === "undoing";
}

/** The unit on the host that carries it out, also after a reboot in the middle. */
export const handoverUnit = "pgo-handover.service";

export interface HandoverUnit {
  /** pgo's quadlet as it is now: its mounts and user are those of the handover. */
  readonly quadlet: string;
  /** The old image's id. */
  readonly image: string;
  /** The state directory, with the same path inside and outside the container. */
  readonly state: string;
  readonly mode: "rootful" | "rootless";
}

/**
 * A plain unit, not a quadlet: no fault in a quadlet, and no generator, stands between it and its start. It is enabled while the handover
 * lasts, so that a power cut in the middle ends with it too; it is stopped by nothing that stops pgo. systemd fills in `%h` and `%t`.
 */
export function handoverUnitText({ quadlet, image, state, mode }: HandoverUnit): string {
  const { entries } = readUnit(quadlet, "podman");
  const own = (key: string): readonly string[] => values(entries, "Container", key).map(({ value }) => value);
  const options = [
    ...["--rm", "--replace", "--name=pgo-handover", "--pull=never", "--network=host", "--log-driver=passthrough", "--sdnotify=ignore"],
    ...["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--security-opt=label=disable"],
    ...own("UserNS").map((value) => `--userns=${value}`),
    ...own("Environment").flatMap((value) => words(value).map((assignment) => `--env=${assignment}`)),
    ...own("Volume").map((value) => `--volume=${value}`),
  ];
  const command = ["/usr/bin/env", "podman", "run", ...options, image, "handover", state];
  return `# Made by pgo while it hands over to another version of itself, and removed when that is over.
[Unit]
Description=pgo hands over to another version of itself
Wants=podman.socket
After=podman.socket
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=${command.map(quoted).join(" ")}
Restart=on-failure
RestartSec=3s
KillMode=mixed

[Install]
WantedBy=${mode === "rootful" ? "multi-user.target" : "default.target"}
`;
}

/** A word of a command line (systemd.syntax(7), "Quoting"; systemd.service(5): `$` would be a variable). */
function quoted(word: string): string {
  const safe = word.replaceAll("$", "$$$$");
  return /^[\w@%+=:,./$-]+$/.test(safe) ? safe : `"${safe.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}
