/** Which applications a commit calls urgent, by a trailer at the end of its message (git-interpret-trailers(1)). Pure. */

/**
 * `Pgo-Urgent: true` means the applications that the new commits change; other values are names of applications, which may have been waiting
 * before, or `*` for all. `isChanged`: whether this one is among the changed.
 */
export function isUrgent(
  { name, isChanged }: { readonly name: string; readonly isChanged: boolean },
  messages: readonly string[],
  trailer: string,
): boolean {
  return messages.some((message) =>
    trailerValues(message, trailer).some((value) =>
      value === "true" ? isChanged : namesIn(value).some((one) => one === "*" || one === name),
    ),
  );
}

/** The last paragraph's lines of that name, letter case aside; a message of one paragraph has a subject and no trailers. */
function trailerValues(message: string, trailer: string): readonly string[] {
  const paragraphs = message
    .replaceAll("\r\n", "\n")
    .trimEnd()
    .split(/\n[ \t]*\n/);
  if (paragraphs.length < 2) return [];
  return (paragraphs.at(-1) ?? "").split("\n").flatMap((line) => {
    const [, name = "", value = ""] = /^([A-Za-z0-9-]+)[ \t]*:(.*)$/.exec(line) ?? [];
    return name.toLowerCase() === trailer.toLowerCase() ? [value.trim()] : [];
  });
}

function namesIn(value: string): readonly string[] {
  return value.split(/[\s,]+/).filter((name) => name !== "");
}
