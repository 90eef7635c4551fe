/** SOPS's YAML format, also with several documents in one file (stores/yaml): the one file that knows yaml. */

import { Scalar, isAlias, isMap, isScalar, isSeq, parseAllDocuments, type Document } from "yaml";

import { Damaged, type Decrypted, type Leaf, type Plain, type SopsDocument } from "./document.ts";

/** Order, layout and comments stay, but for comments in lists, which sops encrypts as items: those go. */
export function yamlDocument(text: string): SopsDocument {
  const documents = parseAllDocuments(text, { schema: "core", intAsBigInt: true, logLevel: "silent" });
  if (!Array.isArray(documents)) throw new Damaged("it is empty");
  let metadata: unknown;
  const leaves: Leaf[] = [];
  for (const document of documents as Document[]) {
    const [error] = document.errors;
    // Its message quotes the text.
    if (error !== undefined) throw new Damaged(`it is no YAML: see its line ${String(error.linePos?.[0].line ?? 1)}`);
    const { contents } = document;
    if (!isMap(contents)) throw new Damaged("it is no YAML mapping");
    const found: unknown = contents.get("sops", true);
    if (found !== undefined && metadata === undefined) metadata = plainOf(found);
    contents.delete("sops");
    leaves.push(...commentsOf(document, [[]]), ...leavesOf(contents, []));
  }
  const content = (): Uint8Array => {
    const texts = documents.map((document) => document.toString({ lineWidth: 0, doubleQuotedMinMultiLineLength: Infinity }));
    return Buffer.from(texts.map((one, index) => (index > 0 && !one.startsWith("---") ? `---\n${one}` : one)).join(""));
  };
  return { metadata, leaves, content };
}

function plainOf(node: unknown): unknown {
  if (isMap(node)) return Object.fromEntries(node.items.map(({ key, value }) => [String(isScalar(key) ? key.value : ""), plainOf(value)]));
  if (isSeq(node)) return node.items.map(plainOf);
  return isScalar(node) ? node.value : undefined;
}

function leavesOf(node: unknown, path: readonly string[]): readonly Leaf[] {
  // An empty value.
  if (node === null || node === undefined) return [];
  if (isAlias(node)) throw new Damaged("it has an alias (*name), which sops would have written out: edit it with sops");
  // A comment behind the last key of a mapping may belong to a mapping around it.
  const ways = path.map((_, index) => path.slice(0, path.length - index - 1));
  const comments = commentsOf(node, [path, ...ways]);
  if (isMap(node)) {
    const inner = node.items.flatMap(({ key, value }) => {
      if (!isScalar(key)) throw new Damaged("it has a key that is no text");
      const inside = [...path, String(key.value)];
      return [...commentsOf(key, [path, inside, ...ways]), ...leavesOf(value, inside)];
    });
    return [...comments, ...inner];
  }
  if (isSeq(node)) {
    const inner = [...node.items].flatMap((item) => {
      const leaves = leavesOf(item, path);
      if (!isScalar(item)) return leaves;
      const remove = (): void => {
        node.items = node.items.filter((one) => one !== item);
      };
      return leaves.map((leaf): Leaf =>
        leaf.comment
          ? leaf
          : {
              ...leaf,
              write: (open) => {
                if (open.kind === "comment") remove();
                else leaf.write(open);
              },
            },
      );
    });
    return [...comments, ...inner];
  }
  if (!isScalar(node)) throw new Damaged("it has a value of no kind that sops writes");
  return [
    ...comments,
    {
      paths: [path],
      value: valueOf(node),
      comment: false,
      write: (open) => {
        replace(node, open);
      },
    },
  ];
}

function valueOf(node: Scalar): Plain {
  const { value } = node;
  const known = typeof value === "string" || typeof value === "number" || typeof value === "bigint" || typeof value === "boolean";
  return known ? value : null;
}

/** A string is always quoted: readers of YAML 1.1 would take a plain `yes`, `0777` or `12:30` for something else. */
function replace(node: Scalar, { kind, bytes }: Decrypted): void {
  const text = bytes.toString();
  delete node.source;
  delete node.format;
  switch (kind) {
    case "str":
    case "comment":
      node.value = text;
      node.type = Scalar.QUOTE_DOUBLE;
      return;
    case "time":
      node.value = text;
      break;
    case "int":
      node.value = BigInt(text);
      break;
    case "float":
      node.value = Number(text);
      break;
    case "bool":
      node.value = text.toLowerCase() === "true";
      break;
  }
  node.type = Scalar.PLAIN;
}

interface Commented {
  comment?: string | null;
  commentBefore?: string | null;
}

function commentsOf(node: object, paths: Leaf["paths"]): readonly Leaf[] {
  const commented: Commented = node;
  return (["commentBefore", "comment"] as const).flatMap((place) => {
    const lines = commented[place]?.split("\n") ?? [];
    return lines.map((line, index): Leaf => ({
      paths,
      value: line,
      comment: true,
      write({ bytes }) {
        lines[index] = bytes.toString();
        commented[place] = lines.join("\n");
      },
    }));
  });
}
