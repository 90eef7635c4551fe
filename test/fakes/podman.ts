/** A stand-in for Podman's service on a unix socket: answers as a real one was seen to, and misbehaves when told. */

import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What a call gets instead of an answer. */
export type Fault =
  /** It gets its answer. */
  | "none"
  | "hang"
  /** The connection ends before an answer. */
  | "end"
  /** The connection breaks after the first bytes of the answer. */
  | "cut"
  | "not HTTP"
  /** So far, and its end does not come. */
  | { readonly status: number; readonly raw: Buffer; readonly isOpen: true }
  | { readonly status: number; readonly body: string };

export interface FakeImage {
  /** "user:password" that a pull needs. */
  readonly login?: string;
}

export interface FakeSecret {
  readonly id: string;
  readonly value: Buffer;
  readonly labels: Readonly<Record<string, string>> | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export class FakePodman implements AsyncDisposable {
  readonly socket: string;
  /** Befalls the next calls, one each, in this order. */
  readonly faults: Fault[] = [];
  /** "GET /containers/json?…": what was called, the API's prefix left out. */
  readonly calls: string[] = [];
  containers: readonly unknown[] = [];
  /** By program: what it writes, and its exit code; one with no code does not end. */
  readonly programs = new Map<string, { readonly output: string; readonly code: number | undefined }>();
  /** By container: how it is connected, as `podman inspect` has it. */
  readonly connections = new Map<string, { readonly mode: string; readonly address: string }>();
  /** By container. */
  readonly written = new Map<string, string>();
  readonly #sessions: string[] = [];
  /** Signals that were sent, such as `0866e28d4fcd SIGHUP`. */
  readonly signals: string[] = [];
  readonly images = new Set<string>();
  /** Of names that were given to an image that has another one. */
  readonly #ids = new Map<string, string>();
  readonly registry = new Map<string, FakeImage>();
  /** By name: whether a container uses it. */
  readonly networks = new Map<string, boolean>();
  readonly volumes = new Map<string, { readonly used: boolean; readonly options?: Readonly<Record<string, string>> }>();
  /** By name, in the order in which they were made. */
  readonly secrets = new Map<string, FakeSecret>();
  /** What `podman login` left on the host. */
  hostLogin: string | undefined;
  readonly #directory: string;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  private constructor(directory: string) {
    this.#directory = directory;
    this.socket = join(directory, "podman.sock");
  }

  static async open(): Promise<FakePodman> {
    const podman = new FakePodman(await mkdtemp(join(tmpdir(), "fake-podman-")));
    await podman.start();
    return podman;
  }

  async start(): Promise<void> {
    const server = createServer((request, response) => void this.#serve(request, response));
    server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => undefined).on("close", () => this.#sockets.delete(socket));
    });
    server.listen(this.socket);
    await once(server, "listening");
    this.#server = server;
  }

  /** Nobody answers any more, and the socket's file is gone. */
  async stop(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    for (const socket of this.#sockets) socket.destroy();
    server.close();
    await once(server, "close");
  }

  /** As `podman secret create` does. */
  makeSecret(name: string, value: string): void {
    this.#createSecret(new URLSearchParams({ name }), Buffer.from(value));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await rm(this.#directory, { recursive: true });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "", "http://d");
    const [, path] = /^\/v\d+\.\d+\.\d+\/libpod(\/.*)$/.exec(url.pathname) ?? [];
    if (path !== undefined) this.calls.push(`${request.method ?? ""} ${path}${url.search}`);
    const fault = this.faults.shift();
    if (fault !== undefined && fault !== "none") misbehave(fault, request, response);
    else await send(response, this.#answer(path ?? "", url.searchParams, request, await bodyOf(request)));
  }

  #answer(path: string, query: URLSearchParams, { method, headers }: IncomingMessage, body: Buffer): Answer {
    const [, kind, name = "", verb] = path.split("/").map(decodeURIComponent);
    if (kind === "containers" && verb === "exec") return this.#makeSession(name, body);
    if (kind === "exec") return this.#session(name, verb);
    if (kind === "containers" && verb === "logs")
      return this.written.has(name) ? { status: 200, raw: frames(this.written.get(name) ?? "") } : gone(name);
    if (kind === "containers" && verb === "json" && name !== "json") return this.#inspect(name);
    if (kind === "containers" && verb === "kill") return this.#signal(name, query.get("signal") ?? "SIGKILL");
    if (kind === "containers" && name === "stats") return { status: 200, body: { Error: null, Stats: this.#stats() } };
    if (kind === "containers") return { status: 200, body: this.#listed(query) };
    if (kind === "info")
      return { status: 200, body: { store: { graphRoot: "/var/lib/containers/storage", graphRootAllocated: 9e9, graphRootUsed: 2e9 } } };
    if (kind === "version") return { status: 200, body: { Version: "5.4.2", ApiVersion: "1.41", Os: "linux" } };
    if (kind === "images" && verb === "json") return this.#inspectImage(name);
    if (kind === "images" && verb === "tag") return this.#name(name, `${query.get("repo") ?? ""}:${query.get("tag") ?? ""}`);
    if (kind === "images" && verb === "untag") {
      const known = this.images.delete(name);
      return known ? { status: 201, body: "" } : refusal(404, `${name}: image not known`);
    }
    if (kind === "images" && verb === "exists") {
      return this.#idOf(name) !== undefined ? { status: 204, body: "" } : refusal(404, `failed to find image ${name}`);
    }
    if (kind === "images" && name === "pull") return this.#pull(query, headers["x-registry-config"]);
    if (kind === "networks" && method === "DELETE") return this.#removeNetwork(name);
    if (kind === "networks" && name === "json")
      return { status: 200, body: [...this.networks.keys()].map((network) => ({ name: network, id: "0".repeat(64), driver: "bridge" })) };
    if (kind === "volumes" && method === "DELETE") return this.#removeVolume(name);
    if (kind === "volumes" && name === "json")
      return {
        status: 200,
        body: [...this.volumes].map(([volume, { options = {} }]) => ({
          ...{ Name: volume, Driver: "local", Options: options, Labels: {} },
          CreatedAt: "2026-01-01T00:00:00.123456789Z",
        })),
      };
    if (kind === "system" && name === "df")
      return { status: 200, body: { Images: [], Volumes: [...this.volumes.keys()].map((volume) => ({ VolumeName: volume, Size: 4096 })) } };
    if (kind === "images" && method === "DELETE") return this.#removeImage(name);
    if (kind === "secrets" && method === "GET" && name === "json") return { status: 200, body: this.#listSecrets() };
    // A body of a form's type is read as query, and so is none (5.4.2).
    const read = headers["content-type"] === "application/octet-stream" ? body : Buffer.alloc(0);
    if (kind === "secrets" && method === "POST" && name === "create") return this.#createSecret(query, read);
    if (kind === "secrets" && method === "DELETE") return this.#removeSecret(name);
    return { status: 404, body: "Not Found\n" };
  }

  /** As where the memory controller is missing: 0 of memory, and the host's memory as the limit (5.4). */
  #stats(): readonly unknown[] {
    const all = this.containers as readonly { readonly Id: string; readonly State: string }[];
    return all.flatMap(({ Id, State }) =>
      State === "running" ? [{ ContainerID: Id, CPU: 0.17, CPUNano: 4_177_000, MemUsage: 0, MemLimit: 25_276_502_016, PIDs: 0 }] : [],
    );
  }

  /** By its name, by its id, or by digest where it has a name in that repository. */
  #idOf(image: string): string | undefined {
    const full = this.images.has(image) ? image : `localhost/${image}:latest`;
    const [repository = "", digest] = image.split("@");
    const all = [...this.images].map((name) => ({ name, id: this.#ids.get(name) ?? idFor(name) }));
    return all.find(({ name, id }) =>
      digest === undefined ? name === full || id === image : name.startsWith(`${repository}:`) && digestFor(id) === digest,
    )?.id;
  }

  #inspectImage(image: string): Answer {
    const id = this.#idOf(image);
    if (id === undefined) return refusal(404, `${image}: image not known`);
    const names = [...this.images].filter((name) => (this.#ids.get(name) ?? idFor(name)) === id);
    const repoDigests = names.map((name) => `${name.slice(0, name.lastIndexOf(":"))}@${digestFor(id)}`);
    return { status: 200, body: { Id: id, Digest: digestFor(id), RepoTags: names, RepoDigests: repoDigests } };
  }

  #name(image: string, name: string): Answer {
    const id = this.#idOf(image);
    if (id === undefined) return refusal(404, `${image}: image not known`);
    this.images.add(name);
    this.#ids.set(name, id);
    return { status: 201, body: "" };
  }

  #signal(container: string, signal: string): Answer {
    const isThere = this.containers.some((one) => (one as { readonly Id: string }).Id === container);
    if (!isThere) return refusal(404, `no container with name or ID "${container}" found: no such container`);
    this.signals.push(`${container.slice(0, 12)} ${signal}`);
    return { status: 204, body: "" };
  }

  #makeSession(container: string, body: Buffer): Answer {
    if (!this.containers.some((one) => (one as { readonly Id: string }).Id === container)) return gone(container);
    const { Cmd, User } = JSON.parse(body.toString()) as { readonly Cmd: readonly string[]; readonly User?: string };
    this.#sessions.push(User === undefined ? Cmd.join(" ") : `${User}: ${Cmd.join(" ")}`);
    return { status: 201, body: { Id: String(this.#sessions.length) } };
  }

  #session(id: string, verb: string | undefined): Answer {
    const line = this.#sessions[Number(id) - 1] ?? "";
    if (line.startsWith("nobody9: ")) return refusal(500, "unable to find user nobody9: no matching entries in passwd file");
    const absent = { output: "Error: crun: executable file `nosuch` not found in $PATH: No such file or directory\n", code: 127 };
    const { output, code } = this.programs.get(line) ?? absent;
    if (verb === "json") return { status: 200, body: { Running: code === undefined, ExitCode: code ?? 0 } };
    return { status: 200, raw: frames(output), isOpen: code === undefined };
  }

  #inspect(container: string): Answer {
    const found = this.connections.get(container);
    if (found === undefined) return gone(container);
    const { mode, address } = found;
    const Networks = address === "" ? {} : { podman: { IPAddress: address, GlobalIPv6Address: "" } };
    return { status: 200, body: { HostConfig: { NetworkMode: mode }, NetworkSettings: { Networks } } };
  }

  #removeVolume(name: string): Answer {
    const volume = this.volumes.get(name);
    if (volume === undefined) return refusal(404, `no volume with name "${name}" found: no such volume`);
    if (volume.used) return refusal(409, `volume ${name} is being used by the following container(s): 0866e28d4fcd: volume is being used`);
    this.volumes.delete(name);
    return { status: 204, body: "" };
  }

  #removeImage(name: string): Answer {
    if (!this.images.delete(name)) return refusal(404, `${name}: image not known`);
    return { status: 200, body: { Untagged: [name], ExitCode: 0, Errors: [] } };
  }

  #listSecrets(): readonly unknown[] {
    return [...this.secrets].map(([name, { id, labels, createdAt, updatedAt }]) => ({
      ID: id,
      CreatedAt: createdAt.toISOString(),
      UpdatedAt: updatedAt.toISOString(),
      Spec: { Name: name, Driver: { Name: "file", Options: { path: "/var/lib/containers/storage/secrets/filedriver" } }, Labels: labels },
    }));
  }

  #createSecret(query: URLSearchParams, value: Buffer): Answer {
    const name = query.get("name") ?? "";
    if (!/^[^=/,\0]{1,253}$/.test(name))
      return refusal(
        500,
        `secret name "${name}" can not include '=', '/', ',', or the '\\0' (NULL) and be between 1 and 253 characters: invalid secret name`,
      );
    if (value.length === 0 || value.length >= 512_000) return refusal(500, "secret data must be larger than 0 and less than 512000 bytes");
    const before = this.secrets.get(name);
    if (before !== undefined && query.get("replace") !== "true") return refusal(500, `${name}: secret name in use`);
    const labels = query.get("labels");
    // A real one counts nanoseconds.
    const now = new Date(Math.max(Date.now(), ...[...this.secrets.values()].map(({ updatedAt }) => updatedAt.getTime() + 1)));
    this.secrets.set(name, {
      id: randomBytes(13).toString("hex").slice(1),
      value,
      labels: labels === null ? null : (JSON.parse(labels) as Record<string, string>),
      createdAt: before?.createdAt ?? now,
      updatedAt: now,
    });
    return { status: 200, body: { ID: this.secrets.get(name)?.id } };
  }

  /** A name, or the beginning of an id. */
  #removeSecret(nameOrId: string): Answer {
    const name = this.secrets.has(nameOrId) ? nameOrId : [...this.secrets].find(([, { id }]) => id.startsWith(nameOrId))?.[0];
    if (name === undefined) return refusal(404, `no secret with name or id "${nameOrId}": no such secret`);
    this.secrets.delete(name);
    return { status: 204, body: "" };
  }

  #listed(query: URLSearchParams): readonly unknown[] {
    const { ancestor } = JSON.parse(query.get("filters") ?? "{}") as { ancestor?: readonly string[] };
    return this.containers.filter((one) => ancestor?.includes((one as { readonly ImageID: string }).ImageID) ?? true);
  }

  #pull(query: URLSearchParams, header: string | string[] | undefined): Answer {
    const image = query.get("reference") ?? "";
    if (this.images.has(image) && query.get("policy") === "missing") return { status: 200, progress: ["Download complete"] };
    if (typeof header === "string" && !/^(?:[\w-]{4})*(?:[\w-]{2}==|[\w-]{3}=)?$/.test(header))
      return refusal(400, 'failed to parse "X-Registry-Config" header: illegal base64 data');
    if (/[A-Z]/.test(image))
      return { status: 500, body: { message: `Invalid image name "${image}", expected colon-separated transport:reference` } };
    if (image.startsWith("127.0.0.1:5999/")) return { status: 500, body: { message: "connection refused" } };
    const needed = [...this.registry].find(([one]) => one.split("/")[0] === image.split("/")[0])?.[1].login;
    const given = typeof header === "string" ? sentLogin(header, image) : this.hostLogin;
    if (needed !== undefined && given !== needed) return { status: 401, body: { message: "unauthorized: authentication required" } };
    if (!this.registry.has(image)) return { status: 404, body: { message: "manifest unknown: manifest unknown" } };
    this.images.add(image);
    return { status: 200, progress: ["Pulling fs layer", ...Array<string>(8).fill("Downloading"), "Download complete"] };
  }

  #removeNetwork(name: string): Answer {
    const used = this.networks.get(name);
    if (used === undefined) return refusal(404, `unable to find network with name or ID ${name}: network not found`);
    if (used)
      return refusal(
        500,
        `"${name}" has associated containers with it. Use -f to forcibly delete containers and pods: network is being used`,
      );
    this.networks.delete(name);
    return { status: 200, body: [{ Name: name, Err: null }] };
  }
}

const idFor = (name: string) => createHash("sha256").update(name).digest("hex");
const digestFor = (id: string) => `sha256:${idFor(id)}`;

type Answer = { readonly status: number } & (
  | { readonly body: unknown }
  | { readonly progress: readonly string[] }
  /** `isOpen`: its end does not come. */
  | { readonly raw: Buffer; readonly isOpen?: boolean }
);

const gone = (container: string): Answer => refusal(404, `no container with name or ID "${container}" found: no such container`);

/** Each line in a frame of its own, `2:` before one for the second stream. */
function frames(text: string): Buffer {
  const lines = text.split(/(?<=\n)/).filter((line) => line !== "");
  return Buffer.concat(
    lines.flatMap((line) => {
      const content = Buffer.from(line.replace(/^2:/, ""));
      const head = Buffer.alloc(8);
      head.writeUInt8(line.startsWith("2:") ? 2 : 1, 0);
      head.writeUInt32BE(content.length, 4);
      return [head, content];
    }),
  );
}

/** One container as Podman 5.4 lists it. */
export function listed(of: {
  readonly service: string;
  readonly state?: string;
  readonly health?: string;
  readonly image?: string;
  readonly startedAt?: number;
  readonly ports?: readonly object[];
  readonly id?: string;
}): object {
  return {
    AutoRemove: true,
    Command: ["sleep", "1000"],
    Created: "2026-01-01T00:00:00.867580332Z",
    CreatedAt: "",
    CIDFile: "/run/web.cid",
    Exited: of.state === "exited",
    ExitedAt: -62135596800,
    ExitCode: 0,
    ExposedPorts: null,
    Id: of.id ?? "0866e28d4fcdd17ab035f7b123dfcf368c07fdc0f5f0b9228af54158fb4acc9b",
    Image: of.image ?? "localhost/test/busybox:latest",
    ImageID: "b5d3debe376b76a3076517583b722b4d6d0dfdef4746d0bf9fa5ef2697ada38a",
    IsInfra: false,
    Labels: { PODMAN_SYSTEMD_UNIT: of.service },
    Mounts: [],
    Names: [`systemd-${of.service.split(".")[0] ?? ""}`],
    Namespaces: {},
    Networks: ["podman"],
    Pid: 679,
    Pod: "",
    PodName: "",
    Ports: of.ports ?? null,
    Restarts: 0,
    Size: null,
    StartedAt: of.startedAt ?? 1767225601,
    State: of.state ?? "running",
    Status: of.health ?? "",
  };
}

const refusal = (status: number, message: string): Answer => ({
  status,
  body: { cause: message.split(": ").at(-1), message, response: status },
});

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Progress as a pull with compatMode tells it, 15 ms apart. */
async function send(response: ServerResponse, answer: Answer): Promise<void> {
  response.writeHead(answer.status, { "Content-Type": "application/json" });
  if ("raw" in answer) {
    response.write(answer.raw);
    if (answer.isOpen !== true) response.end();
  } else if ("body" in answer) response.end(typeof answer.body === "string" ? answer.body : JSON.stringify(answer.body));
  else {
    for (const status of answer.progress) {
      response.write(`${JSON.stringify({ status, progressDetail: {}, id: "a7e4b138c352" })}\n`);
      await new Promise((resolve) => setTimeout(resolve, 15));
    }
    response.end();
  }
}

/** c/image looks for the image's longest prefix. */
function sentLogin(header: string, image: string): string | undefined {
  const config = JSON.parse(Buffer.from(header, "base64url").toString()) as Record<string, { username: string; password: string }>;
  const key = Object.keys(config)
    .sort((one, other) => other.length - one.length)
    .find((one) => image.startsWith(`${one}/`));
  const login = key === undefined ? undefined : config[key];
  return login === undefined ? undefined : `${login.username}:${login.password}`;
}

function misbehave(fault: Exclude<Fault, "none">, request: IncomingMessage, response: ServerResponse): void {
  switch (fault) {
    case "hang":
      return;
    case "end":
      request.socket.destroy();
      return;
    case "cut":
      response.writeHead(200, { "Content-Type": "application/json" }).write('[{"AutoRemove":', () => request.socket.destroy());
      return;
    case "not HTTP":
      request.socket.end("SSH-2.0-OpenSSH_10.0\r\n");
      return;
  }
  void send(response, fault);
}
