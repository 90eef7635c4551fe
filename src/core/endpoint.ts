/** Ports of the host: what a unit's `PublishPort=` takes of them, and whether it would find one taken. */

/** One port of the host that something listens on, or is to. */
export interface Endpoint {
  readonly protocol: "tcp" | "udp";
  /** Without brackets; `0.0.0.0` and `::` are every address. */
  readonly address: string;
  readonly port: number;
}

const everyIpv4 = "0.0.0.0";
const everyIpv6 = "::";

/** An IPv4 address in IPv6 is that IPv4 address, as for the kernel. What is no address stays as it is. */
export function endpoint(protocol: Endpoint["protocol"], address: string, port: number): Endpoint {
  return { protocol, address: canonical(address), port };
}

/**
 * The host's ports of a `PublishPort=` value: `[[IP:][HOST]:]CONTAINER[/PROTOCOL]`, HOST a port or a range, an IPv6 address in brackets
 * (podman-run(1), --publish). None where Podman chooses the host's port, where systemd has to fill in a specifier first, for SCTP, and for
 * what Podman will refuse.
 */
export function publishedPorts(value: string): readonly Endpoint[] {
  const [, v6, rest = "", protocol = "tcp"] = /^(?:\[([^\]]*)\]:)?([^/[\]]*)(?:\/(\w+))?$/.exec(value.trim()) ?? [];
  const parts = rest.split(":");
  const [host, container] = parts.slice(-2);
  const address = v6 ?? (parts.length === 3 ? parts[0] : "") ?? "";
  if (parts.length > (v6 === undefined ? 3 : 2) || container === undefined || (protocol !== "tcp" && protocol !== "udp")) return [];
  const range = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(host ?? "");
  if (range === null || !/^[\d-]+$/.test(container) || !/^[\dA-Fa-f:.]*$/.test(address)) return [];
  const [first, last] = [Number(range[1]), Number(range[2] ?? range[1])];
  if (first < 1 || last > 65_535) return [];
  // Without an address Podman asks for those of IPv4 (5.4 and 5.8; rootless also for those of IPv6).
  const on = address === "" ? everyIpv4 : address;
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, at) => endpoint(protocol, on, first + at));
}

/**
 * Whether Podman would say "address already in use". Who listens on every address of IPv6 does so, unless told otherwise, on those of
 * IPv4 too (ipv6(7), IPV6_V6ONLY), and /proc does not show otherwise. All tried with Podman 5.8.
 */
export function isTaken(wanted: Endpoint, bound: Endpoint): boolean {
  if (wanted.protocol !== bound.protocol || wanted.port !== bound.port) return false;
  if (bound.address === everyIpv6) return true;
  if (wanted.address.includes(":") !== bound.address.includes(":")) return false;
  return wanted.address === bound.address || [wanted.address, bound.address].some((one) => one === everyIpv4 || one === everyIpv6);
}

/** `8080/tcp`, `127.0.0.1:53/udp`, `[::1]:80/tcp`. */
export function endpointText({ protocol, address, port }: Endpoint): string {
  const on = address === everyIpv4 ? "" : address.includes(":") ? `[${address}]:` : `${address}:`;
  return `${on}${String(port)}/${protocol}`;
}

function canonical(address: string): string {
  const url = `http://[${address}]/`;
  if (!address.includes(":") || !URL.canParse(url)) return address;
  const plain = new URL(url).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(plain);
  if (mapped === null) return plain;
  const halves = [mapped[1], mapped[2]].map((half) => parseInt(half ?? "", 16));
  return halves.flatMap((half) => [half >> 8, half & 255]).join(".");
}
