/** Podman's REST API (libpod) over its unix socket. */

import { NameError, serviceName, type ServiceName } from "../../core/names.ts";
import type { SeenVolume } from "../../core/objects.ts";
import { success, trouble, type Result } from "../../core/result.ts";
import { mostPodmanSecret } from "../../core/secrets-config.ts";
import type { ContainerState, Podman, PodmanSecret } from "../../ports.ts";
import { plain } from "./pull.ts";
import { openPulls, type Wanted } from "./pulling.ts";
import { expect, isRecord, parsed, wordsOf, type Named } from "./answers.ts";
import { openExec } from "./exec.ts";
import { openLooks, portsOf } from "./looks.ts";
import { ask, PodmanTrouble, type Answer, type Call } from "./socket.ts";

export interface PodmanSettings {
  /** The socket's path: /run/podman/podman.sock, or podman/podman.sock below the user's runtime directory. */
  readonly socket: string;
  /** Of the Podman behind it; a rootless one's networks are in a namespace that the host does not reach. */
  readonly mode?: "rootful" | "rootless";
  /** For one answer, in milliseconds. A service that systemd has to start first, on a slow machine, needs seconds. */
  readonly deadline?: number;
  /**
   * How long a pull may be silent, in milliseconds: Podman tells each second that something came, and is silent while it
   * unpacks a layer. A pull that goes on may take as long as it takes.
   */
  readonly silence?: number;
  /** Before each further try of a pull that the network or the registry broke off, in milliseconds. */
  readonly pauses?: readonly number[];
}

/**
 * Opens nothing yet: each call is a connection of its own. Closing ends the calls under way, which reject.
 *
 * What only looks (`containers`, `hasImage`, `image`, `networks`, `volumes`, `version`, `storage`, `secrets` and their like) throws when Podman
 * can't be asked or answers with an error; the others have it in their trouble. Messages are complete: "list containers: podman socket …: connection refused: …".
 */
export function openPodman(settings: PodmanSettings): Podman & AsyncDisposable {
  const { socket, mode = "rootful", deadline = 60_000, silence = 600_000, pauses = [2_000, 10_000, 30_000] } = settings;
  const closing = new AbortController();
  const call = (one: Omit<Call, "deadline"> & { readonly deadline?: number }, signal: AbortSignal) =>
    ask(socket, { deadline, ...one }, AbortSignal.any([signal, closing.signal]));

  const hasImage = async (image: string, signal: AbortSignal) => {
    const look = { action: `look for image ${image}`, method: "GET", path: `/images/${encodeURIComponent(image)}/exists` } as const;
    const answer = await call(look, signal);
    if (answer.status === 404) return false;
    expect(answer.status === 204, look, answer);
    return true;
  };

  const pulls = openPulls(call, { silence, pauses, hasImage });
  const pull = (wanted: Wanted, signal: AbortSignal) => orTrouble(() => pulls.pull(wanted, signal));

  const listSecrets = async (signal: AbortSignal) => {
    const list = { action: "list secrets", method: "GET", path: "/secrets/json" } as const;
    return secretsOf(list, await call(list, signal));
  };

  return {
    exec: openExec(call),
    ...openLooks(call, mode),

    async containers(signal) {
      const filters = encodeURIComponent(JSON.stringify({ label: [unitLabel] }));
      const list = { action: "list containers", method: "GET", path: `/containers/json?all=true&filters=${filters}` } as const;
      return containersOf(list, await call(list, signal));
    },

    hasImage,

    pull: (image, authFile, signal) => pull({ image, authFile, policy: "missing" }, signal),

    /** Not by policy "newer": that takes a registry which can't be reached for one that has nothing new (5.4.2). */
    update: (image, authFile, signal) => pull({ image, authFile, policy: "always" }, signal),

    pulls: () => Promise.resolve(pulls.under()),

    async image(name, signal) {
      const look = { action: `look at image ${name}`, method: "GET", path: `/images/${encodeURIComponent(name)}/json` } as const;
      const answer = await call(look, signal);
      if (answer.status === 404) return undefined;
      const found = answer.status === 200 ? parsed(look, answer) : undefined;
      expect(isRecord(found) && typeof found["Id"] === "string" && typeof found["Digest"] === "string", look, answer);
      const { Id: id, Digest: digest, RepoDigests: names } = found;
      expect(typeof id === "string" && typeof digest === "string", look, answer);
      return { id, digest, repoDigests: Array.isArray(names) ? names.filter((one) => typeof one === "string") : [] };
    },

    async nameImage(image, { repository, tag }, signal) {
      const name = { action: `name image ${image} ${repository}:${tag}`, method: "POST" } as const;
      const query = new URLSearchParams({ repo: repository, tag }).toString();
      return orTrouble(async () => {
        const answer = await call({ ...name, path: `/images/${encodeURIComponent(image)}/tag?${query}` }, signal);
        return answer.status === 201 ? success(undefined) : trouble(`${name.action}: ${wordsOf(answer)}`);
      });
    },

    async unnameImage({ repository, tag }, signal) {
      const full = `${repository}:${tag}`;
      const unname = { action: `take the name ${full} away`, method: "POST" } as const;
      const query = new URLSearchParams({ repo: repository, tag }).toString();
      return orTrouble(async () => {
        const answer = await call({ ...unname, path: `/images/${encodeURIComponent(full)}/untag?${query}` }, signal);
        return answer.status === 201 || answer.status === 404 ? success(undefined) : trouble(`${unname.action}: ${wordsOf(answer)}`);
      });
    },

    async signal(container, name, signal) {
      const kill = { action: `send SIG${name} to container ${container.slice(0, 12)}`, method: "POST" } as const;
      return orTrouble(async () => {
        const answer = await call({ ...kill, path: `/containers/${encodeURIComponent(container)}/kill?signal=SIG${name}` }, signal);
        return answer.status === 204 ? success(undefined) : trouble(`${kill.action}: ${wordsOf(answer)}`);
      });
    },

    async removeNetwork(name, signal) {
      const remove = { action: `remove network ${name}`, method: "DELETE", path: `/networks/${encodeURIComponent(name)}` } as const;
      return orTrouble(async () => {
        const answer = await call(remove, signal);
        if (answer.status === 404 || answer.status === 200 || answer.status === 204) return success(undefined);
        return trouble(`${remove.action}: ${answer.body.includes("being used") ? "containers still use it" : wordsOf(answer)}`);
      });
    },

    async networks(signal) {
      const list = { action: "list networks", method: "GET", path: "/networks/json" } as const;
      return new Set(namedIn(list, await call(list, signal), "name").map(({ name }) => name));
    },

    async volumes(signal) {
      const list = { action: "list volumes", method: "GET", path: "/volumes/json" } as const;
      const found = namedIn(list, await call(list, signal), "Name");
      return new Map(found.map(({ name, entry }) => [name, volumeOf(entry)]));
    },

    async volumeSizes(signal) {
      const get = { action: "ask for the sizes of volumes", method: "GET", path: "/system/df" } as const;
      const answer = await call(get, signal);
      const all = answer.status === 200 ? parsed(get, answer) : undefined;
      const list = isRecord(all) ? (all["Volumes"] ?? []) : undefined;
      expect(Array.isArray(list), get, answer);
      return new Map(
        list.flatMap((entry: unknown): [string, number][] => {
          expect(isRecord(entry) && typeof entry["VolumeName"] === "string" && typeof entry["Size"] === "number", get, answer);
          return [[entry["VolumeName"], entry["Size"]]];
        }),
      );
    },

    async removeVolume(name, signal) {
      const remove = { action: `remove volume ${name}`, method: "DELETE", path: `/volumes/${encodeURIComponent(name)}` } as const;
      return orTrouble(async () => {
        const answer = await call(remove, signal);
        if (answer.status === 404 || answer.status === 204) return success(undefined);
        return trouble(`${remove.action}: ${answer.status === 409 ? "a container still uses it" : wordsOf(answer)}`);
      });
    },

    /** Podman removes an image that has other names only from this one (5.4.2). */
    async removeImage(image, signal) {
      const remove = { action: `remove image ${image}`, method: "DELETE", path: `/images/${encodeURIComponent(image)}` } as const;
      return orTrouble(async () => {
        const answer = await call(remove, signal);
        if (answer.status === 404 || answer.status === 200) return success(undefined);
        return trouble(`${remove.action}: ${answer.status === 409 ? "a container still uses it" : wordsOf(answer)}`);
      });
    },

    async isImageUsed(id, signal) {
      const filters = encodeURIComponent(JSON.stringify({ ancestor: [id] }));
      const list = { action: `look for containers of image ${id.slice(0, 12)}`, method: "GET" } as const;
      const answer = await call({ ...list, path: `/containers/json?all=true&filters=${filters}` }, signal);
      const found = answer.status === 200 ? parsed(list, answer) : undefined;
      expect(Array.isArray(found), list, answer);
      return found.length > 0;
    },

    async about(signal) {
      const get = { action: "ask podman about the host", method: "GET", path: "/info" } as const;
      const answer = await call(get, signal);
      const all = answer.status === 200 ? parsed(get, answer) : undefined;
      expect(isRecord(all) && isRecord(all["host"]) && isRecord(all["version"]), get, answer);
      const { host, version } = all;
      const { distribution } = host;
      expect(isRecord(distribution), get, answer);
      const text = (value: unknown) => (typeof value === "string" ? value : "");
      return {
        hostname: text(host["hostname"]),
        arch: text(host["arch"]),
        os: text(distribution["distribution"]),
        osVersion: text(distribution["version"]),
        podman: text(version["Version"]),
      };
    },

    /** Takes about 100 ms: Podman runs conmon and crun for it. */
    async version(signal) {
      const get = { action: "ask for podman's version", method: "GET", path: "/version" } as const;
      const answer = await call(get, signal);
      const version = answer.status === 200 ? parsed(get, answer) : undefined;
      expect(isRecord(version) && typeof version["Version"] === "string", get, answer);
      return version["Version"];
    },

    /** As long as `version`, for the same reason. A store for images alone (additionalImageStores) is not written to. */
    async storage(signal) {
      const get = { action: "ask for podman's storage", method: "GET", path: "/info" } as const;
      const answer = await call(get, signal);
      const all = answer.status === 200 ? parsed(get, answer) : undefined;
      const store = isRecord(all) ? all["store"] : undefined;
      expect(isRecord(store) && typeof store["graphRoot"] === "string", get, answer);
      const { graphRoot: directory, graphRootAllocated: size, graphRootUsed: used } = store;
      expect(typeof directory === "string" && typeof size === "number" && typeof used === "number", get, answer);
      return { directory, free: size - used };
    },

    async secrets(signal) {
      return (await listSecrets(signal)).map(({ name, labels, updatedAt }) => ({ name, labels, updatedAt }));
    },

    /** With `replace` Podman changes value, labels and UpdatedAt of the one that is there, at once (5.4.2). */
    async saveSecret({ name, value, labels, replace }, signal) {
      const action = `save secret ${name}`;
      // Podman's own words for these are of no help, and those for an empty value are the same.
      if (value.length === 0) return trouble(`${action}: the value is empty, and Podman takes no empty secrets: give it one`);
      if (value.length > mostPodmanSecret)
        return trouble(`${action}: the value has ${value.length} bytes, and Podman takes ${mostPodmanSecret} at most`);
      return orTrouble(async () => {
        const query = new URLSearchParams({ name, labels: JSON.stringify(labels), ...(replace ? { replace: "true" } : {}) });
        const answer = await call({ action, method: "POST", path: `/secrets/create?${query.toString()}`, body: value }, signal);
        if (answer.status === 200 || answer.status === 201) return success(undefined);
        if (answer.body.includes("secret name in use"))
          return trouble(
            `${action}: there is one of that name that pgo did not make: choose another name, or remove it (podman secret rm)`,
          );
        return trouble(`${action}: ${plain(wordsOf(answer), [Buffer.from(value).toString()])}`);
      });
    },

    async removeSecret(name, signal) {
      return orTrouble(async () => {
        // By its whole id: in the place of a name Podman also takes the beginning of an id, and so perhaps that of another secret.
        const found = (await listSecrets(signal)).find((one) => one.name === name);
        if (found === undefined) return success(undefined);
        const remove = { action: `remove secret ${name}`, method: "DELETE", path: `/secrets/${found.id}` } as const;
        const answer = await call(remove, signal);
        if (answer.status === 204 || answer.status === 404) return success(undefined);
        return trouble(`${remove.action}: ${wordsOf(answer)}`);
      });
    },

    [Symbol.asyncDispose]() {
      closing.abort(new Error("the connection to podman is closed"));
      return Promise.resolve();
    },
  };
}

/** Set by every unit that quadlet generates: its own full name. */
const unitLabel = "PODMAN_SYSTEMD_UNIT";

/** The list tells the result of the health check as `Status` (Podman's pkg/ps), so no container needs an inspect. */
function containersOf(call: Named, answer: Answer): readonly ContainerState[] {
  const list = answer.status === 200 ? parsed(call, answer) : undefined;
  expect(Array.isArray(list), call, answer);
  return list.flatMap((entry: unknown): readonly ContainerState[] => {
    expect(isRecord(entry) && isRecord(entry["Labels"]), call, answer);
    const service = serviceOf(entry["Labels"][unitLabel]);
    if (service === undefined) return [];
    const text = (key: string) => {
      const value = entry[key];
      expect(typeof value === "string", call, answer);
      return value;
    };
    return [
      {
        service,
        id: text("Id"),
        image: text("Image"),
        imageId: text("ImageID"),
        name: nameOf(entry["Names"]),
        state: text("State"),
        exitCode: typeof entry["ExitCode"] === "number" ? entry["ExitCode"] : 0,
        health: healthOf(entry["Status"]),
        startedAt: dateOf(entry["StartedAt"]),
        ports: portsOf(entry["Ports"]),
      },
    ];
  });
}

function namedIn(
  call: Named,
  answer: Answer,
  key: string,
): readonly { readonly name: string; readonly entry: Readonly<Record<string, unknown>> }[] {
  const list = answer.status === 200 ? parsed(call, answer) : undefined;
  expect(Array.isArray(list), call, answer);
  return list.map((entry: unknown) => {
    const name = isRecord(entry) ? entry[key] : undefined;
    expect(isRecord(entry) && typeof name === "string", call, answer);
    return { name, entry };
  });
}

/** A local volume with a device shows a directory, a share or a tmpfs, which is not Podman's to keep (podman-volume-create(1), --opt). */
function volumeOf(entry: Readonly<Record<string, unknown>>): SeenVolume {
  const { CreatedAt: createdAt, Driver: driver, Options: options } = entry;
  const device = isRecord(options) ? (options["device"] ?? "") : "";
  return { createdAt: typeof createdAt === "string" ? createdAt : "", holdsData: driver !== "local" || device === "" };
}

function secretsOf(call: Named, answer: Answer): readonly (PodmanSecret & { readonly id: string })[] {
  const list = answer.status === 200 ? parsed(call, answer) : undefined;
  expect(Array.isArray(list), call, answer);
  return list.map((entry: unknown) => {
    expect(isRecord(entry) && typeof entry["ID"] === "string" && /^[0-9a-f]+$/.test(entry["ID"]) && isRecord(entry["Spec"]), call, answer);
    const { Name: name, Labels: labels } = entry["Spec"];
    const updatedAt = new Date(String(entry["UpdatedAt"]));
    expect(typeof name === "string" && !Number.isNaN(updatedAt.getTime()), call, answer);
    const texts = Object.entries(isRecord(labels) ? labels : {}).filter((pair): pair is [string, string] => typeof pair[1] === "string");
    return { id: entry["ID"], name, labels: Object.fromEntries(texts), updatedAt };
  });
}

/** Anyone can put the label on a container: what is no service's name belongs to none. */
function serviceOf(label: unknown): ServiceName | undefined {
  try {
    return typeof label === "string" ? serviceName(label) : undefined;
  } catch (error) {
    if (error instanceof NameError) return undefined;
    throw error;
  }
}

function nameOf(names: unknown): string {
  return Array.isArray(names) && typeof names[0] === "string" ? names[0] : "";
}

function healthOf(status: unknown): ContainerState["health"] {
  return status === "healthy" || status === "unhealthy" || status === "starting" ? status : undefined;
}

/** Seconds since 1970; one that never started has Go's zero time, far below. */
function dateOf(seconds: unknown): Date | undefined {
  return typeof seconds === "number" && seconds > 0 ? new Date(seconds * 1000) : undefined;
}

async function orTrouble(work: () => Promise<Result<void, string>>): Promise<Result<void, string>> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof PodmanTrouble) return trouble(error.message);
    throw error;
  }
}
