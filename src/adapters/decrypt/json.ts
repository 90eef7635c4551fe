/** SOPS's JSON format, and its binary one, which is JSON with all of the file in one value (stores/json). */

import { Damaged, type Decrypted, type Leaf, type SopsDocument } from "./document.ts";

/** Written with tabs, as sops does. */
export function jsonDocument(text: string): SopsDocument {
  const { root, metadata, leaves } = read(text);
  return { metadata, leaves, content: () => Buffer.from(`${textOf(root, "\n")}\n`) };
}

export function binaryDocument(text: string): SopsDocument {
  const { metadata, leaves } = read(text);
  let content: Buffer = Buffer.alloc(0);
  return {
    metadata,
    leaves: leaves.map((leaf) => ({ ...leaf, write: ({ bytes }) => (content = bytes) })),
    content: () => content,
  };
}

type Node =
  | { readonly kind: "object"; readonly entries: readonly (readonly [string, Node])[] }
  | { readonly kind: "list"; readonly items: readonly Node[] }
  /** `text` is what stands in the file. */
  | { readonly kind: "value"; text: string };

function read(text: string): { root: Node; metadata: unknown; leaves: readonly Leaf[] } {
  let all: unknown;
  try {
    all = JSON.parse(text);
  } catch {
    // Its own error quotes the text.
    throw new Damaged("it is no JSON");
  }
  const whole = ordered(text);
  if (whole.kind !== "object") throw new Damaged("it is no JSON object");
  const root: Node = { kind: "object", entries: whole.entries.filter(([key]) => key !== "sops") };
  return { root, metadata: (all as { sops?: unknown }).sops, leaves: leavesOf(root, []) };
}

/** The order of keys counts in the MAC, and JSON.parse puts those that look like numbers first. The text is known to be JSON. */
function ordered(text: string): Node {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/gs) ?? [];
  let at = 0;
  const node = (): Node => {
    const token = tokens[at++] ?? "";
    if (token === "{") {
      const entries: [string, Node][] = [];
      while (tokens[at] !== "}") {
        if (tokens[at] === ",") at++;
        const key = JSON.parse(tokens[at] ?? "") as string;
        at += 2;
        entries.push([key, node()]);
      }
      at++;
      return { kind: "object", entries };
    }
    if (token === "[") {
      const items: Node[] = [];
      while (tokens[at] !== "]") {
        if (tokens[at] === ",") at++;
        items.push(node());
      }
      at++;
      return { kind: "list", items };
    }
    return { kind: "value", text: token };
  };
  return node();
}

function leavesOf(node: Node, path: readonly string[]): readonly Leaf[] {
  switch (node.kind) {
    case "object":
      return node.entries.flatMap(([key, value]) => leavesOf(value, [...path, key]));
    case "list":
      return node.items.flatMap((item) => leavesOf(item, path));
    case "value": {
      const value = JSON.parse(node.text) as string | number | boolean | null;
      const write: Leaf["write"] = (open) => (node.text = literal(open));
      return [{ paths: [path], value, comment: false, write }];
    }
  }
}

function literal({ kind, bytes }: Decrypted): string {
  const text = bytes.toString();
  if (kind === "bool") return text.toLowerCase();
  return (kind === "int" || kind === "float") && /^-?\d+(?:\.\d+)?$/.test(text) ? text : JSON.stringify(text);
}

function textOf(node: Node, line: string): string {
  const inside = `${line}\t`;
  switch (node.kind) {
    case "object":
      if (node.entries.length === 0) return "{}";
      return `{${node.entries.map(([key, value]) => `${inside}${JSON.stringify(key)}: ${textOf(value, inside)}`).join(",")}${line}}`;
    case "list":
      return node.items.length === 0 ? "[]" : `[${node.items.map((item) => inside + textOf(item, inside)).join(",")}${line}]`;
    case "value":
      return node.text;
  }
}
