/** SOPS's dotenv format: lines, each value all that stands behind the first `=`, quotes included (stores/dotenv). */

import { Damaged, unflattened, type Leaf, type SopsDocument } from "./document.ts";

export function dotenvDocument(text: string): SopsDocument {
  const metadata = new Map<string, string>();
  const lines: string[] = [];
  const leaves: Leaf[] = [];
  text.split("\n").forEach((line, index) => {
    // As sops: it leaves out empty lines when it encrypts, and by itself adds none.
    if (line === "") return;
    const at = lines.length;
    if (line.startsWith("#")) {
      lines.push(line);
      const write: Leaf["write"] = ({ bytes }) => (lines[at] = `#${bytes.toString()}`);
      leaves.push({ paths: [[]], value: line.slice(1), comment: true, write });
      return;
    }
    const equals = line.indexOf("=");
    if (equals < 0) throw new Damaged(`its line ${String(index + 1)} is no NAME=value`);
    const [name, value] = [line.slice(0, equals), line.slice(equals + 1)];
    if (name.startsWith("sops_")) {
      metadata.set(name.slice("sops_".length), value);
      return;
    }
    lines.push(line);
    const write: Leaf["write"] = ({ bytes }) => (lines[at] = `${name}=${bytes.toString().replaceAll("\n", "\\n")}`);
    leaves.push({ paths: [[name]], value: value.replaceAll("\\n", "\n"), comment: false, write });
  });
  return { metadata: unflattened(metadata), leaves, content: () => Buffer.from(lines.map((line) => `${line}\n`).join("")) };
}
