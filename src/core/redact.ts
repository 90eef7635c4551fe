/** Takes secrets out of any text: the values themselves and the forms that programs commonly print them in. */

/**
 * Gives a function that puts `***` in the place of each occurrence of a value, of overlapping ones together.
 *
 * Found are: the value; a value of several lines also line by line, since logs are; and of each the forms of URLs (percent-encoded, and as a
 * form has it), JSON and base64 (also base64url), base64 at whatever place in a longer text it stands, as in `Authorization: Basic`.
 *
 * Left out are values shorter than four characters and the words true, false, null and none: they occur everywhere, and a log that is
 * all `***` tells neither the secret nor anything else. Of a value of several lines, lines shorter than eight characters are left out.
 *
 * The time is that of one look at each character of a text, however many values there are.
 */
export function redactor(values: Iterable<string>): (text: string) => string {
  const needles = new Set<string>();
  for (const value of values) {
    if (value.length < shortest || commonWords.has(value.toLowerCase())) continue;
    const pieces = value
      .split(/[\r\n]+/)
      .map((line) => line.trim())
      .filter((line) => line.length >= shortestLine);
    for (const one of [value, value.trim(), ...pieces]) for (const form of formsOf(one)) if (form.length >= shortest) needles.add(form);
  }
  const table = tableOf(needles);
  return (text) => (needles.size === 0 ? text : redacted(text, table));
}

const shortest = 4;
const shortestLine = 8;
const commonWords: ReadonlySet<string> = new Set(["true", "false", "null", "none"]);

function formsOf(value: string): readonly string[] {
  const bytes = Buffer.from(value);
  const url = encodeURIComponent(value.toWellFormed());
  const json = JSON.stringify(value).slice(1, -1);
  return [
    value,
    url,
    // Characters that encodeURIComponent leaves and others encode (RFC 3986, "sub-delims").
    url.replaceAll(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`),
    url.replaceAll(/%[0-9A-F]{2}/g, (one) => one.toLowerCase()),
    new URLSearchParams([["", value]]).toString().slice(1),
    json,
    // Go's encoding/json, which Podman and others print with.
    json.replaceAll(/[<>&]/g, (one) => `\\u00${one.charCodeAt(0).toString(16)}`),
    json.replaceAll(/[^\x20-\x7e]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`),
    ...base64Forms(bytes),
  ];
}

/** Base64 of the value behind no, one or two other bytes, without the characters that depend on what stands before or behind. */
function base64Forms(bytes: Buffer): readonly string[] {
  return [0, 1, 2].flatMap((before) => {
    const whole = Buffer.concat([Buffer.alloc(before), bytes])
      .toString("base64")
      .replaceAll("=", "");
    const from = before === 0 ? 0 : before + 1;
    const to = Math.floor(((before + bytes.length) * 4) / 3);
    const sure = whole.slice(from, to);
    // Of a short value so little is sure that it might be anybody's.
    const forms = before === 0 ? [whole, ...(sure.length >= shortestLine ? [sure] : [])] : sure.length >= shortestLine ? [sure] : [];
    return forms.flatMap((form) => [form, form.replaceAll("+", "-").replaceAll("/", "_")]);
  });
}

// ---- finding many at once ----

interface Table {
  /** By the first four characters, longest first. */
  readonly byStart: ReadonlyMap<string, readonly string[]>;
  /** Bits by a hash of the first two characters: most places of a text are ruled out by one look. */
  readonly starts: Uint32Array;
}

const hashOf = (one: number, other: number): number => (one * 251 + other) & 0xffff;

function tableOf(needles: ReadonlySet<string>): Table {
  const byStart = new Map<string, string[]>();
  const starts = new Uint32Array(0x10000 / 32);
  for (const needle of [...needles].sort((one, other) => other.length - one.length)) {
    const start = needle.slice(0, shortest);
    const same = byStart.get(start);
    if (same === undefined) byStart.set(start, [needle]);
    else same.push(needle);
    const hash = hashOf(needle.charCodeAt(0), needle.charCodeAt(1));
    starts[hash >> 5] = (starts[hash >> 5] ?? 0) | (1 << (hash & 31));
  }
  return { byStart, starts };
}

function redacted(text: string, { byStart, starts }: Table): string {
  let out = "";
  /** What is copied to `out`, and the span being hidden: empty while `to` is not beyond `copied`. */
  let copied = 0;
  let from = 0;
  let to = 0;
  const last = text.length - shortest;
  for (let at = 0; at <= last; at++) {
    const hash = hashOf(text.charCodeAt(at), text.charCodeAt(at + 1));
    if ((((starts[hash >> 5] ?? 0) >>> (hash & 31)) & 1) === 0) continue;
    const found = byStart.get(text.slice(at, at + shortest))?.find((needle) => text.startsWith(needle, at));
    if (found === undefined) continue;
    if (at >= to) {
      if (to > copied) {
        out += `${text.slice(copied, from)}***`;
        copied = to;
      }
      from = at;
    }
    to = Math.max(to, at + found.length);
  }
  return to > copied ? `${out}${text.slice(copied, from)}***${text.slice(to)}` : text;
}
